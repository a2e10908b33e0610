//! TLS without a socket: a client by rustls, and a gateway's settings for it. Keys are Ed25519, whose signatures all have
//! one length, so that a run repeats in its splits.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use fanwire::shard::EdgeSettings;
use fanwire::transport::tls::{Certificates, Material, PemFile};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

/// One end of a connection under TLS.
#[derive(Debug)]
pub struct TlsPeer {
    pub client: ClientConnection,
    /// For the socket.
    pub wire: Vec<u8>,
    /// The alert that it received, or its own error.
    pub failure: Option<rustls::Error>,
}

/// A gateway's certificate, and who believes it.
#[derive(Clone, Debug)]
pub struct Tls {
    certificates: Certificates,
    roots: Arc<RootCertStore>,
}

impl Tls {
    pub fn new() -> Self {
        let signing_key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let cert = params.self_signed(&signing_key).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("a certificate");
        let file = |name: &str, text: String| PemFile { name: name.to_owned(), pem: text.into_bytes() };
        let pairs = vec![(file("cert", cert.pem()), file("key", signing_key.serialize_pem()))];
        // Certificates of rcgen hold for as long as there are dates.
        let certificates = Certificates::new(Material { pairs, client_ca: None }, 1_700_000_000, None).expect("good");
        Self { certificates, roots: Arc::new(roots) }
    }

    /// The first listener speaks no TLS, the second does.
    pub fn settings(&self) -> EdgeSettings {
        EdgeSettings {
            tls_listeners: [false, true].into(),
            tls: Some((Arc::clone(self.certificates.config()), self.certificates.expires_s())),
            ..EdgeSettings::default()
        }
    }

    pub fn config(&self, version: &'static SupportedProtocolVersion) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .expect("a version that the provider has")
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config
    }

    pub fn peer(&self, version: &'static SupportedProtocolVersion) -> TlsPeer {
        TlsPeer::new(self.config(version))
    }
}

impl TlsPeer {
    pub fn new(config: ClientConfig) -> Self {
        let name = "localhost".try_into().expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
        client.set_buffer_limit(None);
        let mut peer = Self { client, wire: Vec::new(), failure: None };
        peer.flush();
        peer
    }

    /// Adds to `wire` what says `plain`, now or behind the handshake.
    pub fn say(&mut self, plain: &[u8]) {
        self.client.writer().write_all(plain).expect("there is no limit");
        self.flush();
    }

    /// Takes what came from the socket; returns what it says.
    pub fn hear(&mut self, mut wire: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        while !wire.is_empty() && self.failure.is_none() {
            if self.client.read_tls(&mut wire).expect("a slice can be read") == 0 {
                break;
            }
            self.failure = self.client.process_new_packets().err();
            if let Err(error) = self.client.reader().read_to_end(&mut plain) {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
            }
            self.flush();
        }
        plain
    }

    pub fn flush(&mut self) {
        while self.client.wants_write() {
            self.client.write_tls(&mut self.wire).expect("a vector takes all");
        }
    }
}
