//! The way to a gateway: TCP, and TLS over it where the URL says so.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::driver::Stream;

/// Whose certificates are believed. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Trust(Arc<ClientConfig>);

/// A connected stream, with TLS or without.
pub(super) enum Link {
    Plain(Stream),
    Tls(Box<StreamOwned<ClientConnection, Stream>>),
}

impl Trust {
    /// Those signed by who is in `ca`, a PEM file; without one by those whom this host believes.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, String> {
        let host = || BUNDLES.iter().map(Path::new).find(|path| path.exists());
        let path = ca.or_else(host).ok_or("this host has no bundle of certificates; --ca names one")?;
        let told = |what: &dyn fmt::Display| format!("{}: {what}", path.display());
        let pem = fs::read(path).map_err(|error| told(&error))?;
        let mut roots = RootCertStore::empty();
        // A bundle may have certificates that no one can read; the others count.
        if roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok)).0 == 0 {
            return Err(told(&"there is no certificate in it"));
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| told(&error))?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

impl Link {
    /// Goes through the handshake with `host`, a name or an address, if there is somebody to trust.
    pub(super) fn new(mut stream: Stream, trust: Option<&Trust>, host: &str) -> io::Result<Self> {
        let Some(Trust(config)) = trust else { return Ok(Self::Plain(stream)) };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            let (read_len, written_len) = connection.complete_io(&mut stream)?;
            if (read_len, written_len) == (0, 0) {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, stream))))
    }

    /// As [`Stream::set_read_timeout_ms`].
    pub(super) fn set_read_timeout_ms(&self, timeout_ms: Option<u64>) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.set_read_timeout_ms(timeout_ms),
            Self::Tls(stream) => stream.sock.set_read_timeout_ms(timeout_ms),
        }
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            // An end without a farewell is an end: every message that is read here has a length of its own.
            Self::Tls(stream) => match stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
                outcome => outcome,
            },
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Where distributions keep whom they believe.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
