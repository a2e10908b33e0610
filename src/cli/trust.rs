//! The trusted certificates of the client commands and of the load client. This file must never know sockets. Tests:
//! `tests/tls/commands.rs` and `loadtest/tests/layers.rs`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use serde::{Deserialize, Serialize};

/// The trusted certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// Those that this host believes.
    Host,
    /// Those that stand in this PEM file, and those that they sign.
    File(PathBuf),
    /// Any certificate, with any signature.
    Anybody,
}

/// A configuration for TLS towards a gateway.
///
/// # Errors
/// One line: the file cannot be read, or there is no certificate in it.
pub fn client_config(trust: &Trust) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let listed = match trust {
        Trust::Anybody => None,
        Trust::File(path) => Some(Listed::those_in(path, &provider)?),
        Trust::Host => {
            let path = BUNDLES.iter().map(Path::new).find(|path| path.exists());
            let path = path.ok_or("this host has no bundle of certificates; --ca names one")?;
            Some(Listed::those_in(path, &provider)?)
        }
    };
    let verifier = Arc::new(Believes { provider: Arc::clone(&provider), listed });
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Why a handshake failed, in one line for a person.
pub(super) fn told(error: &Error, host: &str) -> String {
    use CertificateError as Bad;
    match error {
        Error::InvalidCertificate(bad) => match bad {
            Bad::UnknownIssuer => "its certificate is signed by no trusted authority; --ca names a PEM file with the \
                certificate, or with that of its signer, and --insecure believes any"
                .to_owned(),
            Bad::NotValidForName => format!("its certificate is not for \"{host}\""),
            Bad::NotValidForNameContext { presented, .. } if presented.is_empty() => format!(
                "its certificate names no host (it has no subjectAltName); openssl req takes \
                 -addext subjectAltName=DNS:{host}, or IP: for an address"
            ),
            Bad::NotValidForNameContext { presented, .. } => {
                format!("its certificate is for {}, not for \"{host}\"", presented.join(", "))
            }
            Bad::Expired | Bad::ExpiredContext { .. } => "its certificate has expired".to_owned(),
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "its certificate is not valid yet".to_owned(),
            Bad::BadSignature => "its certificate has the signer's name, but not its signature".to_owned(),
            bad if is_authority(bad) => "its certificate is that of an authority, and does not stand in --ca itself; \
                name it there, or use --insecure"
                .to_owned(),
            bad => format!("its certificate is not believed: {bad}"),
        },
        Error::InvalidMessage(_) => "it does not speak TLS; is it http:// or ws://?".to_owned(),
        // Our own gateway says so where it speaks no TLS.
        Error::AlertReceived(alert) => {
            format!("it ended the handshake with the alert {alert:?}; is it http:// or ws://?")
        }
        error => error.to_string(),
    }
}

/// Whether a certificate was only refused because it may sign others.
fn is_authority(error: &CertificateError) -> bool {
    // The library that says so is not ours to name.
    matches!(error, CertificateError::Other(other) if format!("{:?}", other.0) == "CaUsedAsEndEntity")
}

/// Believes those in a file and those that they sign, or any. A gateway may show one of the file itself, even where that is
/// an authority's: `openssl req -x509` makes such. Signatures are looked at in any case.
#[derive(Debug)]
struct Believes {
    provider: Arc<CryptoProvider>,
    /// `None`: any.
    listed: Option<Listed>,
}

#[derive(Debug)]
struct Listed {
    signed: Arc<WebPkiServerVerifier>,
    themselves: Vec<CertificateDer<'static>>,
}

impl Listed {
    fn those_in(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let told = |what: &dyn fmt::Display| format!("{}: {what}", path.display());
        let pem = fs::read(path).map_err(|error| told(&error))?;
        // A bundle may have certificates that no one can read; the others count.
        let themselves: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
        let mut roots = RootCertStore::empty();
        if roots.add_parsable_certificates(themselves.iter().cloned()).0 == 0 {
            return Err(told(&"there is no certificate in it"));
        }
        let signed = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
        Ok(Self { signed: signed.map_err(|error| told(&error))?, themselves })
    }
}

impl ServerCertVerifier for Believes {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(Listed { signed, themselves }) = &self.listed else { return Ok(ServerCertVerified::assertion()) };
        match signed.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // Its dates were looked at before what it may do, its name was not.
            Err(Error::InvalidCertificate(bad)) if is_authority(&bad) && themselves.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Where distributions keep the certificates that a host trusts.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    /// What becomes of a certificate for `localhost` that signed itself and holds from yesterday until tomorrow, some
    /// days from now.
    fn after(days: i64, is_authority: bool) -> Result<(), String> {
        let day = Duration::from_secs(86_400);
        let now = SystemTime::now();
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.is_ca = if is_authority { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        (params.not_before, params.not_after) = ((now - day).into(), (now + day).into());
        let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
        let file = std::env::temp_dir().join(format!("fanwire-trust-{}-{days}-{is_authority}.pem", std::process::id()));
        fs::write(&file, certificate.pem()).expect("a temporary file");
        let provider = Arc::new(ring::default_provider());
        let listed = Some(Listed::those_in(&file, &provider).expect("a certificate"));
        fs::remove_file(&file).expect("it is ours");
        let now = now.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(now.saturating_add_signed(days * 86_400)));
        let name = ServerName::try_from("localhost").expect("a name");
        let outcome = Believes { provider, listed }.verify_server_cert(certificate.der(), &[], &name, &[], at);
        outcome.map(drop).map_err(|error| told(&error, "localhost"))
    }

    #[test]
    fn a_certificate_that_signed_itself_is_believed_while_its_dates_hold() {
        for is_authority in [true, false] {
            assert_eq!(after(0, is_authority), Ok(()));
            assert_eq!(after(9, is_authority), Err("its certificate has expired".to_owned()));
            assert_eq!(after(-9, is_authority), Err("its certificate is not valid yet".to_owned()));
        }
    }
}
