//! Listeners and what protects them: addresses and files, certificates, and the proxies that are trusted.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::raw::{RawConfig, RawTable, Source, Typed};
use super::{ConfigError, value};
use crate::limits::{ALLOWED_ORIGINS_MAX, LISTENERS_MAX, PROXIES_MAX, SERVER_NAMES_MAX, TLS_CERTIFICATES_MAX};
use crate::transport::http::{Access, Hosts, Origins, Role, is_origin, is_server_name};
use crate::transport::tls::ClientAuth;
use crate::wire::proxy::Trusted;

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Its address or file.
    pub place: Place,
    /// Whether it uses TLS.
    pub is_tls: bool,
    /// Its role: which clients it is for.
    pub role: Role,
}

impl Listen {
    /// Whether only this machine can reach it, at an address that browsers use. A Unix-domain socket does not count:
    /// a proxy is in front of it.
    pub(super) fn is_loopback(&self) -> bool {
        matches!(&self.place, Place::Tcp(addr) if addr.ip().to_canonical().is_loopback())
    }
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

/// Names of the certificate files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chains and their keys; never empty.
    pub pairs: Vec<(PathBuf, PathBuf)>,
    /// The file with the authority that signs the certificates of clients.
    pub client_ca: Option<(PathBuf, ClientAuth)>,
}

/// The proxies in front of the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// The proxies that are trusted to name a client's address.
    pub trusted: Trusted,
    /// Whether each of their connections begins with a PROXY header.
    pub protocol: bool,
}

pub(super) fn listen(raw: &mut RawConfig, insecure: bool, has_tls: bool) -> Result<Vec<Listen>, ConfigError> {
    let typed = match raw.take("listen") {
        Some(typed) => typed,
        None if raw.tables("listeners").is_empty() => {
            Typed { words: vec![LISTEN_DEFAULT.to_owned()], source: Source::Default }
        }
        None => Typed { words: Vec::new(), source: Source::Default },
    };
    let mut wanted = Vec::new();
    for word in &typed.words {
        let listen = listener(word, has_tls).map_err(|message| ConfigError::new(&typed.source, message))?;
        wanted.push((listen, &typed.source));
    }
    for table in raw.tables("listeners") {
        wanted.push((table_listener(table, has_tls)?, &table.source));
    }
    if wanted.is_empty() {
        return Err(ConfigError::new(&typed.source, "listen needs an address, such as \"127.0.0.1:8080\""));
    }
    let mut all: Vec<Listen> = Vec::new();
    for (listen, source) in wanted {
        let fail = |message: String| Err(ConfigError::new(source, message));
        if all.len() == LISTENERS_MAX {
            return fail(format!("there are more than {LISTENERS_MAX} addresses to listen on"));
        }
        if let Place::Tcp(addr) = listen.place
            && !(insecure || listen.is_loopback())
            && listen.role.may_publish()
        {
            return fail(format!(
                "{addr} is not a loopback address, and this version has no credentials for publishing: every \
                 client that reaches it could publish; add --insecure to allow that, or give it the role \"readers\" in \
                 [[listeners]]"
            ));
        }
        let is_any_port = matches!(listen.place, Place::Tcp(addr) if addr.port() == 0);
        if !is_any_port && all.iter().any(|other| other.place == listen.place) {
            let place = listen.to_string();
            let place = place.trim_start_matches("http://").trim_start_matches("https://");
            return fail(format!("{place} is listed twice"));
        }
        all.push(listen);
    }
    Ok(all)
}

/// Reads one of `[[listeners]]`: an `address` as in `listen`, its `role`, and whether it uses `tls`.
fn table_listener(table: &RawTable, has_tls: bool) -> Result<Listen, ConfigError> {
    let (mut address, mut role, mut is_tls) = (None, Role::All, None);
    for (key, typed) in &table.fields {
        let set = match *key {
            "address" => {
                address = Some(typed);
                Ok(())
            }
            "role" => listener_role(typed.word()).map(|word| role = word),
            _ => value::boolean(typed.word()).map(|word| is_tls = Some(word)),
        };
        set.map_err(|message| ConfigError::new(&typed.source, format!("listeners: {key} {message}")))?;
    }
    let Some(address) = address else {
        return Err(ConfigError::new(&table.source, "listeners: a listener needs address, such as 127.0.0.1:8080"));
    };
    let word = address.word();
    let fail = |message: &str| Err(ConfigError::new(&address.source, format!("listeners: {message}")));
    let has_scheme = ["http://", "https://", "unix:"].iter().any(|scheme| word.starts_with(scheme));
    let word = match is_tls {
        Some(_) if has_scheme => {
            return fail("tls needs an address without a scheme: http:// and https:// mean the same as tls");
        }
        Some(true) => format!("https://{word}"),
        Some(false) => format!("http://{word}"),
        None => word.to_owned(),
    };
    let listen = listener(&word, has_tls).map_err(|message| ConfigError::new(&address.source, message))?;
    Ok(Listen { role, ..listen })
}

fn listener_role(word: &str) -> Result<Role, String> {
    match word {
        "all" => Ok(Role::All),
        "readers" => Ok(Role::Readers),
        "publishers" => Ok(Role::Publishers),
        _ => Err(format!("is \"readers\", \"publishers\" or \"all\", not \"{word}\"")),
    }
}

/// The host names of the gateway and the origins of the pages that may use it, as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    origins: Option<Box<[Box<str>]>>,
    servers: Vec<Box<str>>,
}

impl Names {
    /// The rights of the clients of each listener. A listener on loopback accepts only pages of this machine, unless
    /// a list says otherwise. It answers to the names of this machine and to the listed names.
    #[must_use]
    pub fn access(&self, listen: &[Listen]) -> Vec<Access> {
        let of = |listen: &Listen| Access {
            role: listen.role,
            hosts: Hosts { is_loopback: listen.is_loopback(), names: self.servers.clone() },
            origins: match &self.origins {
                Some(list) => Origins::Listed(list.clone()),
                None if listen.is_loopback() => Origins::Local,
                None => Origins::Unchecked,
            },
        };
        listen.iter().map(of).collect()
    }
}

pub(super) fn names(raw: &mut RawConfig) -> Result<Names, ConfigError> {
    let origins = match raw.take("allowed_origins") {
        Some(typed) => Some(words(&typed, "allowed_origins", ALLOWED_ORIGINS_MAX, |word| {
            let is_origin = word == "*" || is_origin(word);
            is_origin.then_some(()).ok_or("is not an origin, such as \"https://example.com\", or \"*\" for all")
        })?),
        None => None,
    };
    let servers = match raw.take("server_names") {
        Some(typed) => words(&typed, "server_names", SERVER_NAMES_MAX, |word| {
            is_server_name(word).then_some(()).ok_or("is not a name, such as \"push.example.com\", or \"*\" for all")
        })?,
        None => Vec::new(),
    };
    Ok(Names { origins: origins.map(Vec::into), servers })
}

/// Checks each word of a list.
fn words(
    typed: &Typed,
    key: &str,
    count_max: usize,
    check: impl Fn(&str) -> Result<(), &'static str>,
) -> Result<Vec<Box<str>>, ConfigError> {
    let fail = |message: String| Err(ConfigError::new(&typed.source, message));
    if typed.words.len() > count_max {
        return fail(format!("there are more than {count_max} {key}"));
    }
    for word in &typed.words {
        if let Err(message) = check(word) {
            return fail(format!("\"{word}\" {message}"));
        }
    }
    Ok(typed.words.iter().map(|word| word.as_str().into()).collect())
}

/// Reads a listener. `ADDR:PORT` uses TLS if there are certificates; `http://` and `https://` choose; `unix:/path` is
/// a Unix-domain socket.
fn listener(word: &str, has_tls: bool) -> Result<Listen, String> {
    if let Some(path) = word.strip_prefix("unix:") {
        if path.is_empty() {
            return Err("unix: needs a path, such as unix:/run/fanwire.sock".to_owned());
        }
        return Ok(Listen { place: Place::Unix(path.into()), is_tls: false, role: Role::All });
    }
    let (addr, is_tls) = match (word.strip_prefix("http://"), word.strip_prefix("https://")) {
        (Some(addr), _) => (addr.trim_end_matches('/'), false),
        (_, Some(addr)) => (addr.trim_end_matches('/'), true),
        _ => (word, has_tls),
    };
    if is_tls && !has_tls {
        return Err(format!("{word} needs a certificate: set tls.cert and tls.key"));
    }
    Ok(Listen { place: Place::Tcp(value::address(addr)?), is_tls, role: Role::All })
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
            return fail(format!("tls: {what} needs cert and key, for clients that name no other host"));
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
                    let message =
                        format!("proxy: trusted: \"{word}\" is not a network, such as 10.0.0.0/8, ::1 or unix:");
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

/// The default listener.
pub(super) const LISTEN_DEFAULT: &str = "127.0.0.1:8080";
