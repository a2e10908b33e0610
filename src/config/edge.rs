//! Where the gateway listens and what it speaks there: addresses and files, certificates, and whose word is taken.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::raw::{RawConfig, Source, Typed};
use super::{ConfigError, value};
use crate::limits::{LISTENERS_MAX, PROXIES_MAX, TLS_CERTIFICATES_MAX};
use crate::transport::tls::ClientAuth;
use crate::wire::proxy::Trusted;

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub place: Place,
    /// Whether it speaks TLS.
    pub is_tls: bool,
}

/// An address or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Port 0 takes any free port.
    Tcp(SocketAddr),
    /// A Unix-domain socket.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(addr) => write!(f, "{}://{addr}", if self.is_tls { "https" } else { "http" }),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The files of certificates, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chains and their keys; never empty.
    pub pairs: Vec<(PathBuf, PathBuf)>,
    /// Who signs the certificates of clients.
    pub client_ca: Option<(PathBuf, ClientAuth)>,
}

/// The proxies before the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Whose word on a client's address is taken.
    pub trusted: Trusted,
    /// Whether they begin each connection with a PROXY header.
    pub protocol: bool,
}

pub(super) fn listen(raw: &mut RawConfig, insecure: bool, has_tls: bool) -> Result<Vec<Listen>, ConfigError> {
    let typed =
        raw.take("listen").unwrap_or_else(|| Typed { words: vec![LISTEN_DEFAULT.to_owned()], source: Source::Default });
    let mut all: Vec<Listen> = Vec::new();
    for word in &typed.words {
        let listen = listener(word, has_tls).map_err(|message| ConfigError::new(&typed.source, message))?;
        if let Place::Tcp(addr) = listen.place
            && !insecure
            && !addr.ip().to_canonical().is_loopback()
        {
            let message = format!(
                "{addr} is not a loopback address, and this version has no credentials for publishing: whoever \
                 reaches it could publish; add --insecure if that is meant"
            );
            return Err(ConfigError::new(&typed.source, message));
        }
        let is_any_port = matches!(listen.place, Place::Tcp(addr) if addr.port() == 0);
        if !is_any_port && all.iter().any(|other| other.place == listen.place) {
            let place = word.trim_start_matches("http://").trim_start_matches("https://");
            return Err(ConfigError::new(&typed.source, format!("{place} is there twice")));
        }
        all.push(listen);
    }
    if all.is_empty() {
        return Err(ConfigError::new(&typed.source, "listen needs an address, such as \"127.0.0.1:8080\""));
    }
    if all.len() > LISTENERS_MAX {
        return Err(ConfigError::new(&typed.source, format!("listen has more than {LISTENERS_MAX} addresses")));
    }
    Ok(all)
}

/// `ADDR:PORT` speaks TLS where there are certificates; `http://` and `https://` say which; `unix:/path` is a file.
fn listener(word: &str, has_tls: bool) -> Result<Listen, String> {
    if let Some(path) = word.strip_prefix("unix:") {
        if path.is_empty() {
            return Err("unix: needs a path, such as unix:/run/fanwire.sock".to_owned());
        }
        return Ok(Listen { place: Place::Unix(path.into()), is_tls: false });
    }
    let (addr, is_tls) = match (word.strip_prefix("http://"), word.strip_prefix("https://")) {
        (Some(addr), _) => (addr.trim_end_matches('/'), false),
        (_, Some(addr)) => (addr.trim_end_matches('/'), true),
        _ => (word, has_tls),
    };
    if is_tls && !has_tls {
        return Err(format!("{word} needs a certificate: set tls.cert and tls.key"));
    }
    Ok(Listen { place: Place::Tcp(value::address(addr)?), is_tls })
}

pub(super) fn tls(raw: &mut RawConfig) -> Result<Option<TlsFiles>, ConfigError> {
    let (cert, key) = (raw.take("tls_cert"), raw.take("tls_key"));
    let mut files = TlsFiles::default();
    let place = match (&cert, &key) {
        (Some(cert), Some(key)) => {
            files.pairs.push((path(cert)?, path(key)?));
            Some(cert.source.clone())
        }
        (Some(alone), None) => return Err(ConfigError::new(&alone.source, "tls: cert needs its key")),
        (None, Some(alone)) => return Err(ConfigError::new(&alone.source, "tls: key needs its cert")),
        (None, None) => None,
    };
    for (key, what) in
        [("tls_certificates", "certificates"), ("tls_client_ca", "client_ca"), ("tls_client_auth", "client_auth")]
    {
        let Some(typed) = raw.take(key) else { continue };
        let fail = |message: String| Err(ConfigError::new(&typed.source, message));
        if place.is_none() {
            return fail(format!("tls: {what} needs cert and key, for who asks for no other name"));
        }
        match key {
            "tls_certificates" if typed.words.len() % 2 != 0 => {
                return fail("tls: certificates come in pairs, a certificate and its key".to_owned());
            }
            "tls_certificates" => {
                files.pairs.extend(typed.words.chunks(2).map(|pair| (pair[0].clone().into(), pair[1].clone().into())));
            }
            "tls_client_ca" => files.client_ca = Some((path(&typed)?, ClientAuth::default())),
            _ => match (&mut files.client_ca, typed.word()) {
                (None, _) => return fail("tls: client_auth needs client_ca".to_owned()),
                (Some((_, auth)), "required") => *auth = ClientAuth::Required,
                (Some((_, auth)), "optional") => *auth = ClientAuth::Optional,
                (_, word) => return fail(format!("tls: client_auth is \"required\" or \"optional\", not \"{word}\"")),
            },
        }
    }
    let Some(source) = place else { return Ok(None) };
    if files.pairs.len() > TLS_CERTIFICATES_MAX {
        return Err(ConfigError::new(&source, format!("tls: there are more than {TLS_CERTIFICATES_MAX} certificates")));
    }
    Ok(Some(files))
}

fn path(typed: &Typed) -> Result<PathBuf, ConfigError> {
    match typed.word() {
        "" => Err(ConfigError::new(&typed.source, "tls: the name of a file is empty")),
        word => Ok(word.into()),
    }
}

pub(super) fn proxies(raw: &mut RawConfig) -> Result<Proxies, ConfigError> {
    let mut proxies = Proxies::default();
    if let Some(typed) = raw.take("proxy_trusted") {
        if typed.words.len() > PROXIES_MAX {
            return Err(ConfigError::new(
                &typed.source,
                format!("proxy: trusted has more than {PROXIES_MAX} networks"),
            ));
        }
        for word in &typed.words {
            match (word.as_str(), word.parse()) {
                ("unix:", _) => proxies.trusted.unix = true,
                (_, Ok(network)) => proxies.trusted.networks.push(network),
                _ => {
                    let message = format!("proxy: trusted: \"{word}\" is no network, such as 10.0.0.0/8, ::1 or unix:");
                    return Err(ConfigError::new(&typed.source, message));
                }
            }
        }
    }
    if let Some(typed) = raw.take("proxy_protocol") {
        proxies.protocol = match typed.word() {
            "v1v2" => true,
            "off" => false,
            word => {
                let message = format!("proxy: protocol is \"v1v2\" or \"off\", not \"{word}\"");
                return Err(ConfigError::new(&typed.source, message));
            }
        };
        if proxies.protocol && proxies.trusted.is_empty() {
            return Err(ConfigError::new(&typed.source, "proxy: protocol needs trusted, the networks of the proxies"));
        }
    }
    Ok(proxies)
}

/// Where it listens if nobody says.
const LISTEN_DEFAULT: &str = "127.0.0.1:8080";
