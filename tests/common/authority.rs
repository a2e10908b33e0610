//! Certificates of a test's own, in a folder of its own.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// A folder that goes with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("fanwire-test-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }

    /// The name of a file in it.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a name of UTF-8").to_owned()
    }

    /// Writes a file; returns its name.
    pub fn write(&self, name: &str, text: &str) -> String {
        let fresh = self.0.join(format!("{name}.new"));
        fs::write(&fresh, text).expect("the folder is ours");
        fs::rename(&fresh, self.0.join(name)).expect("the folder is ours");
        self.file(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub struct Issued {
    pub cert: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

impl Issued {
    /// As `openssl req -x509` makes one: signed with its own key, and an authority's unless it is told otherwise.
    pub fn by_itself(names: &[&str], is_authority: bool, days: (i64, i64)) -> Self {
        let mut params = params_for(names, days);
        params.is_ca = if is_authority { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { cert: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }
}

/// The validity of a certificate, from some days before now until some days after.
fn params_for(names: &[&str], days: (i64, i64)) -> CertificateParams {
    let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut params = CertificateParams::new(names).expect("names");
    let now = SystemTime::now();
    let at = |days: i64| match u64::try_from(days) {
        Ok(days) => now + Duration::from_secs(days * 86_400),
        Err(_) => now - Duration::from_secs(days.unsigned_abs() * 86_400),
    };
    (params.not_before, params.not_after) = (at(days.0).into(), at(days.1).into());
    params
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// A certificate that holds from some days before now until some days behind.
    pub fn issue_for(&self, names: &[&str], key: KeyPair, days: (i64, i64)) -> Issued {
        let certificate = params_for(names, days).signed_by(&key, &self.0).expect("a certificate");
        Issued { cert: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }

    /// A certificate with a P-256 key.
    pub fn issue(&self, names: &[&str]) -> Issued {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        self.issue_for(names, key, (-1, 30))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A client that believes this authority.
    pub fn client(&self, version: &'static SupportedProtocolVersion, own: Option<&Issued>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .expect("a version that the provider has")
            .with_root_certificates(roots);
        let own = own.map(|own| {
            let key = rustls::pki_types::pem::PemObject::from_pem_slice(own.key.as_bytes()).expect("a key");
            let key: PrivateKeyDer<'static> = key;
            (vec![own.der.clone()], key)
        });
        Arc::new(match own {
            Some((chain, key)) => config.with_client_auth_cert(chain, key).expect("a certificate and its key"),
            None => config.with_no_client_auth(),
        })
    }
}
