//! The flags of the client commands that say which gateway to talk to: `--url`, `--ca`, `--insecure`.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use rustls::ClientConfig;

use super::End;
use super::link::Link;
use super::trust::{Trust, client_config};
use crate::driver;

/// Which gateway to talk to.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct ServerFlags {
    /// The gateway's address; https:// and wss:// are TLS
    #[arg(long, value_name = "URL", env = "FANWIRE_URL", default_value = "http://127.0.0.1:8080")]
    url: ServerUrl,
    /// A PEM file with the gateway's certificate or that of its signer; without it, those that this host believes
    #[arg(long, value_name = "FILE", env = "FANWIRE_CA")]
    ca: Option<PathBuf>,
    /// With https:// and wss://: believe any certificate
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
}

/// A gateway's address, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ServerUrl {
    /// `host:port`, as it is dialled and as it stands in `Host`.
    authority: String,
    is_tls: bool,
}

/// A gateway, and the certificates that prove its identity.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// `host:port`.
    pub(super) authority: String,
    tls: Option<Arc<ClientConfig>>,
}

/// How long a connection may take to be made, in milliseconds, and then each step of its handshake.
const DIAL_TIMEOUT_MS: u64 = 10_000;

impl ServerFlags {
    /// Checks the flags; does not connect yet.
    pub(super) fn server(&self) -> Result<Server, End> {
        let trust = match &self.ca {
            _ if self.insecure => Trust::Anybody,
            Some(path) => Trust::File(path.clone()),
            None => Trust::Host,
        };
        let told = |why: String| End::Usage(format!("--ca: {why}"));
        let tls = self.url.is_tls.then(|| client_config(&trust)).transpose().map_err(told)?;
        Ok(Server { authority: self.url.authority.clone(), tls: tls.map(Arc::new) })
    }
}

impl Server {
    /// One that speaks no TLS.
    pub(super) fn plain(authority: String) -> Self {
        Self { authority, tls: None }
    }

    /// Connects.
    pub(super) fn dial(&self) -> io::Result<Link> {
        let stream = driver::dial(&self.authority, DIAL_TIMEOUT_MS)?;
        let host = self.authority.rsplit_once(':').map_or(&*self.authority, |(host, _)| host);
        Link::new(stream, self.tls.as_ref(), host.trim_start_matches('[').trim_end_matches(']'))
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let strange_scheme = "it starts with http://, https://, ws:// or wss://";
        let (scheme, rest) = url.split_once("://").ok_or(strange_scheme)?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => return Err(strange_scheme.to_owned()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let strange = |c: char| !c.is_ascii_alphanumeric() && !".-_:[]".contains(c);
        if authority.is_empty() || authority.contains(strange) {
            return Err("it is scheme, host and port, as in http://127.0.0.1:8080".to_owned());
        }
        let host_end = authority.rfind(']').map_or(0, |end| end + 1);
        let port = authority.get(host_end..).and_then(|rest| rest.split_once(':')).map(|(_, port)| port);
        match port {
            None => Ok(Self { authority: format!("{authority}:{}", if is_tls { 443 } else { 80 }), is_tls }),
            Some(port) if port.parse::<u16>().is_ok_and(|port| port != 0) => {
                Ok(Self { authority: authority.to_owned(), is_tls })
            }
            Some(port) => Err(format!("\"{port}\" is not a port")),
        }
    }
}

/// Percent-encodes one path segment: all but what stands for itself everywhere.
pub(super) fn path_segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_a_scheme_a_host_and_a_port() {
        for (url, authority, is_tls) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", false),
            ("ws://localhost:9/", "localhost:9", false),
            ("http://example.com", "example.com:80", false),
            ("HTTP://[::1]:8080", "[::1]:8080", false),
            ("http://[::1]", "[::1]:80", false),
            ("https://example.com", "example.com:443", true),
            ("wss://[::1]:9", "[::1]:9", true),
        ] {
            assert_eq!(url.parse(), Ok(ServerUrl { authority: authority.to_owned(), is_tls }), "{url}");
        }
        for (url, why) in [
            ("127.0.0.1:8080", "it starts with http://, https://,"),
            ("ftp://x", "it starts with http://, https://,"),
            ("http://", "scheme, host and port"),
            ("http://x/path", "scheme, host and port"),
            ("http://a@b", "scheme, host and port"),
            ("http://x:y", "\"y\" is not a port"),
            ("http://x:0", "\"0\" is not a port"),
            ("http://x:65536", "\"65536\" is not a port"),
        ] {
            let error = url.parse::<ServerUrl>().expect_err(url);
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn topics_become_one_path_segment() {
        assert_eq!(path_segment("px.AAPL"), "px.AAPL");
        assert_eq!(path_segment("a/b?c#d%"), "a%2Fb%3Fc%23d%25");
        assert_eq!(path_segment("größe"), "gr%C3%B6%C3%9Fe");
    }
}
