//! TLS on the client's side: bytes of the socket in and out, bytes of HTTP and WebSocket on the other side.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::plan::Trust;

/// Why a configuration cannot be made, for a person to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTrust(String);

impl fmt::Display for BadTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadTrust {}

/// What all connections share. Every handshake is a full one: none resumes the session of another.
///
/// # Errors
/// [`BadTrust`] if the certificates cannot be read, or there are none.
pub fn config(trust: &Trust) -> Result<Arc<ClientConfig>, BadTrust> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| BadTrust(error.to_string()))?;
    let mut config = match trust {
        Trust::Anybody => {
            let verifier = Arc::new(BelievesAnybody(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
        Trust::File(path) => builder.with_root_certificates(roots(path)?).with_no_client_auth(),
        Trust::Host => {
            let path = BUNDLES.iter().map(Path::new).find(|path| path.exists());
            let path = path.ok_or_else(|| BadTrust("this host has no bundle of certificates".to_owned()))?;
            builder.with_root_certificates(roots(path)?).with_no_client_auth()
        }
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn roots(path: &Path) -> Result<RootCertStore, BadTrust> {
    let told = |what: &dyn fmt::Display| BadTrust(format!("{}: {what}", path.display()));
    let pem = fs::read(path).map_err(|error| told(&error))?;
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err(told(&"there is no certificate in it")),
        _ => Ok(roots),
    }
}

/// One connection's TLS.
pub struct Session(ClientConnection);

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    /// Before its first byte. `host` is a name or an address, with or without a port.
    #[must_use]
    pub fn new(config: &Arc<ClientConfig>, host: &str) -> Option<Self> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.to_owned()).ok()?;
        let mut session = ClientConnection::new(Arc::clone(config), name).ok()?;
        // What is held is bounded where sockets are: nothing stays in here once the handshake is done.
        session.set_buffer_limit(None);
        Some(Self(session))
    }

    /// Appends to `out` what has to go to the socket so that `plain` arrives. Before the end of the handshake, `plain`
    /// is kept and goes out with a later call.
    pub fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        // Without a limit the writer takes everything, and so does a vector.
        let _ = self.0.writer().write_all(plain);
        self.flush(out);
    }

    /// Takes what came from the socket; appends what it says to `plain`, and to `out` what has to go back.
    ///
    /// # Errors
    /// What to call it in a report; `out` then holds the alert to send.
    pub fn decrypt(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            // After a close_notify, what follows is not read. It is no TLS any more.
            if self.0.read_tls(&mut bytes).map_or(true, |len| len == 0) {
                break;
            }
            let outcome = self.0.process_new_packets();
            self.flush(out);
            outcome.map_err(|error| kind_of(&error))?;
            match self.0.reader().read_to_end(plain) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err("bad_tls"),
                _ => {}
            }
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        while self.0.wants_write() && self.0.write_tls(out).is_ok_and(|len| len > 0) {}
    }
}

fn kind_of(error: &Error) -> &'static str {
    match error {
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => "bad_certificate",
        Error::AlertReceived(_) => "tls_alert",
        _ => "bad_tls",
    }
}

/// Looks at signatures, so that a handshake costs what it costs, and at no name, date or issuer.
#[derive(Debug)]
struct BelievesAnybody(Arc<CryptoProvider>);

impl ServerCertVerifier for BelievesAnybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Where distributions keep the certificates that a host trusts.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
