//! Where the server is: `ws://host:port/path`, or `wss`.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};

/// A server that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address that connections go to.
    pub addr: SocketAddr,
    /// Name and port as they were typed, for the `Host` field.
    pub host: String,
    /// Whether connections are secured by TLS.
    pub is_secure: bool,
    /// The path as it was typed, if it is more than `/`.
    pub path: Option<String>,
}

/// Why a URL is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadTarget {
    /// None of `ws`, `wss`, `http` and `https`.
    Scheme,
    /// No `host:port` behind the scheme, or one that no request could carry.
    Authority,
    /// The name has no address.
    Unknown(String),
}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("a URL is ws://HOST[:PORT][/PATH] or wss://..."),
            Self::Authority => f.write_str("the URL has no host and port that can be used"),
            Self::Unknown(host) => write!(f, "{host} has no address"),
        }
    }
}

impl std::error::Error for BadTarget {}

impl Target {
    /// Reads a URL and looks its host up.
    ///
    /// # Errors
    /// [`BadTarget`], for a person to read.
    pub fn find(url: &str) -> Result<Self, BadTarget> {
        let (scheme, rest) = url.split_once("://").ok_or(BadTarget::Scheme)?;
        let (is_secure, port) = match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => (false, 80),
            "wss" | "https" => (true, 443),
            _ => return Err(BadTarget::Scheme),
        };
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if authority.is_empty() || authority.contains(['@', '#']) || !is_visible(authority) || !is_visible(path) {
            return Err(BadTarget::Authority);
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
        let addrs = authority.to_socket_addrs().map_err(|_| BadTarget::Unknown(authority.clone()))?;
        let mut addrs: Vec<_> = addrs.collect();
        // A name of this host often has both; source addresses are spread over IPv4 only.
        addrs.sort_by_key(|addr| addr.is_ipv6());
        let addr = *addrs.first().ok_or_else(|| BadTarget::Unknown(authority.clone()))?;
        let path = match path {
            "" | "/" => None,
            path if path.starts_with('?') => Some(format!("/{path}")),
            path => Some(path.to_owned()),
        };
        Ok(Self { addr, host: authority, is_secure, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, addr, path) in [
            ("ws://127.0.0.1:8080", "127.0.0.1:8080", None),
            ("WS://127.0.0.1/", "127.0.0.1:80", None),
            ("http://[::1]:9/a?b=c", "[::1]:9", Some("/a?b=c")),
            ("wss://127.0.0.1", "127.0.0.1:443", None),
            ("https://127.0.0.1:9/a", "127.0.0.1:9", Some("/a")),
            ("ws://127.0.0.1:1?x", "127.0.0.1:1", Some("/?x")),
            ("ws://127.0.0.1:1/{topic}", "127.0.0.1:1", Some("/{topic}")),
        ] {
            let target = Target::find(url).expect(url);
            assert_eq!((target.addr.to_string().as_str(), target.path.as_deref()), (addr, path), "{url}");
            assert_eq!(target.is_secure, url.starts_with("wss") || url.starts_with("https"), "{url}");
        }
    }

    #[test]
    fn a_url_that_is_of_no_use_says_why() {
        for (url, error) in [
            ("127.0.0.1:8080", BadTarget::Scheme),
            ("ftp://127.0.0.1", BadTarget::Scheme),
            ("ws://", BadTarget::Authority),
            ("ws:///a", BadTarget::Authority),
            ("ws://a b", BadTarget::Authority),
            ("ws://a@127.0.0.1", BadTarget::Authority),
            ("ws://127.0.0.1:1/\r\nX: y", BadTarget::Authority),
            ("ws://127.0.0.1:99999", BadTarget::Unknown("127.0.0.1:99999:80".to_owned())),
        ] {
            assert_eq!(Target::find(url), Err(error), "{url}");
        }
    }
}
