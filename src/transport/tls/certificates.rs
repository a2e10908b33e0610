//! Certificates and keys, from PEM to what handshakes are made with. All that is wrong with them is one line.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};

use super::SharedConfig;
use super::names::ByName;
use super::validity::validity;

/// A file that was read, and its name in errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PemFile {
    /// As it was typed.
    pub name: String,
    /// Its bytes.
    pub pem: Vec<u8>,
}

/// Whether a client has to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// It may.
    Optional,
    /// Without one there is no handshake.
    #[default]
    Required,
}

/// All that the configuration's files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Material {
    /// Certificate chains and their keys; the first serves clients that ask for no name, or for an unknown one.
    pub pairs: Vec<(PemFile, PemFile)>,
    /// The authorities that sign the certificates of clients.
    pub client_ca: Option<(PemFile, ClientAuth)>,
}

/// The configuration of handshakes. Clones share it.
#[derive(Clone, Debug)]
pub struct Certificates {
    config: SharedConfig,
    material: Arc<Material>,
    expires_s: u64,
}

/// The error in the files, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCertificates(String);

impl fmt::Display for BadCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadCertificates {}

impl Certificates {
    /// Checks the files of `material` against each other and against the time, in seconds since 1970. Sessions that
    /// began with `earlier` go on with these, unless clients have to show who they are and someone else says who may.
    ///
    /// # Errors
    /// What is wrong, first of all a file without what it should have, a key that is not the certificate's, and a
    /// certificate that does not hold now.
    pub fn new(material: Material, now_s: u64, earlier: Option<&Self>) -> Result<Self, BadCertificates> {
        let provider = Arc::new(ring::default_provider());
        let mut expires_s = u64::MAX;
        let mut keys = Vec::with_capacity(material.pairs.len());
        for (chain, key) in &material.pairs {
            keys.push(Arc::new(certified_key(chain, key, &provider, now_s, &mut expires_s)?));
        }
        if keys.is_empty() {
            return Err(BadCertificates("there is no certificate".to_owned()));
        }
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| told("tls", &error))?;
        let builder = match &material.client_ca {
            None => builder.with_no_client_auth(),
            Some((file, auth)) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots(file)?.into(), provider);
                let verifier = match auth {
                    ClientAuth::Optional => verifier.allow_unauthenticated(),
                    ClientAuth::Required => verifier,
                };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| told(&file.name, &error))?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(ByName(keys)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // The client keeps the state of its session (a ticket): the gateway keeps nothing for clients that may never
        // come back.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = match earlier.filter(|earlier| earlier.material.client_ca == material.client_ca) {
            Some(earlier) => Arc::clone(&earlier.config.ticketer),
            None => ring::Ticketer::new().map_err(|error| told("tickets", &error))?,
        };
        Ok(Self { config: Arc::new(config), material: Arc::new(material), expires_s })
    }

    /// The files that these are from.
    #[must_use]
    pub fn material(&self) -> &Material {
        &self.material
    }

    /// When the first of them runs out, in seconds since 1970.
    #[must_use]
    pub fn expires_s(&self) -> u64 {
        self.expires_s
    }

    /// For handshakes, and for the mail that brings it to the shards.
    #[must_use]
    pub fn config(&self) -> &SharedConfig {
        &self.config
    }
}

fn certified_key(
    chain: &PemFile,
    key: &PemFile,
    provider: &CryptoProvider,
    now_s: u64,
    expires_s: &mut u64,
) -> Result<CertifiedKey, BadCertificates> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&chain.pem)
        .collect::<Result<_, _>>()
        .map_err(|_| told(&chain.name, &"is not PEM"))?;
    if certificates.is_empty() {
        return Err(told(&chain.name, &"there is no certificate in it"));
    }
    for (index, certificate) in certificates.iter().enumerate() {
        let which = if index == 0 { "the certificate" } else { "a certificate of the chain" };
        let holds = validity(certificate).ok_or_else(|| told(&chain.name, &format!("{which} cannot be read")))?;
        if now_s > *holds.end() {
            let days = (now_s - holds.end()) / 86_400;
            return Err(told(&chain.name, &format!("{which} has expired, {days} days ago")));
        }
        if now_s < *holds.start() {
            return Err(told(&chain.name, &format!("{which} is not valid yet; is the clock right?")));
        }
        *expires_s = *holds.end().min(expires_s);
    }
    let private = PrivateKeyDer::from_pem_slice(&key.pem)
        .map_err(|_| told(&key.name, &"there is no private key in it that is not encrypted"))?;
    CertifiedKey::from_der(certificates, private, provider).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            told(&key.name, &format!("is not the key of the certificate in {}", chain.name))
        }
        Error::InvalidCertificate(_) => told(&chain.name, &"the certificate cannot be read"),
        _ => told(&key.name, &"the key is of a kind that cannot be used; take ECDSA P-256, Ed25519 or RSA"),
    })
}

fn roots(file: &PemFile) -> Result<RootCertStore, BadCertificates> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&file.pem) {
        let certificate = certificate.map_err(|_| told(&file.name, &"is not PEM"))?;
        roots.add(certificate).map_err(|_| told(&file.name, &"a certificate in it cannot be read"))?;
    }
    if roots.is_empty() {
        return Err(told(&file.name, &"there is no certificate in it"));
    }
    Ok(roots)
}

fn told(name: &str, what: &dyn fmt::Display) -> BadCertificates {
    BadCertificates(format!("{name}: {what}"))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm, date_time_ymd};

    use super::*;

    /// 2026-01-01.
    const NOW_S: u64 = 20_454 * 86_400;

    fn pair(name: &str, algorithm: &'static SignatureAlgorithm, years: (i32, i32)) -> (PemFile, PemFile) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        let file = |kind: &str, text: String| PemFile { name: format!("{name}.{kind}"), pem: text.into_bytes() };
        (file("cert", certificate), file("key", key.serialize_pem()))
    }

    fn check(pairs: Vec<(PemFile, PemFile)>) -> Result<Certificates, String> {
        let material = Material { pairs, client_ca: None };
        Certificates::new(material, NOW_S, None).map_err(|error| error.to_string())
    }

    #[test]
    fn good_files_are_taken_and_the_first_end_is_told() {
        let pairs = vec![
            pair("a.example", &PKCS_ECDSA_P256_SHA256, (2020, 2100)),
            pair("b.example", &PKCS_ED25519, (2020, 2027)),
        ];
        assert_eq!(check(pairs).expect("all is well").expires_s(), 20_819 * 86_400);
    }

    #[test]
    fn every_mistake_in_the_files_is_one_line_with_its_file() {
        let (cert, key) = pair("a", &PKCS_ED25519, (2020, 2100));
        let (_, other) = pair("b", &PKCS_ED25519, (2020, 2100));
        let junk = |pem: &[u8]| PemFile { name: "junk".to_owned(), pem: pem.to_vec() };
        let torn = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (pair, line) in [
            ((junk(b""), key.clone()), "junk: there is no certificate in it"),
            ((junk(b"-----BEGIN CERTIFICATE-----\n!"), key.clone()), "junk: "),
            ((junk(torn), key.clone()), "junk: the certificate cannot be read"),
            ((cert.clone(), junk(b"")), "junk: there is no private key in it"),
            ((cert.clone(), cert.clone()), "a.cert: there is no private key in it"),
            ((cert.clone(), other), "b.key: is not the key of the certificate in a.cert"),
            (pair("c", &PKCS_ED25519, (2020, 2025)), "c.cert: the certificate has expired, 365 days ago"),
            (pair("d", &PKCS_ED25519, (2027, 2028)), "d.cert: the certificate is not valid yet"),
        ] {
            let error = check(vec![pair]).expect_err(line);
            assert!(error.starts_with(line) && !error.contains('\n'), "{error}\n not {line}");
        }
        assert_eq!(check(Vec::new()).expect_err("nothing"), "there is no certificate");
        let material = Material { pairs: vec![(cert, key)], client_ca: Some((junk(b""), ClientAuth::Required)) };
        let error = Certificates::new(material, NOW_S, None).expect_err("no authority");
        assert_eq!(error.to_string(), "junk: there is no certificate in it");
    }
}
