//! The `--url` flag of the client commands.

use std::fmt;
use std::io;
use std::str::FromStr;

use crate::driver::{self, Stream};

/// Which gateway to talk to.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct ServerFlags {
    /// The gateway's address
    #[arg(long, value_name = "URL", env = "FANWIRE_URL", default_value = "http://127.0.0.1:8080")]
    pub(super) url: ServerUrl,
}

/// A gateway's address, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerUrl {
    /// `host:port`, as it is dialled and as it stands in `Host`.
    pub(super) authority: String,
}

/// How long a connection may take to be made, in milliseconds.
const DIAL_TIMEOUT_MS: u64 = 10_000;

impl ServerUrl {
    /// Connects.
    pub(super) fn dial(&self) -> io::Result<Stream> {
        driver::dial(&self.authority, DIAL_TIMEOUT_MS)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("it starts with http:// or ws://")?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => {}
            "https" | "wss" => return Err("TLS is not in this version yet; use http:// or ws://".to_owned()),
            _ => return Err("it starts with http:// or ws://".to_owned()),
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let strange = |c: char| !c.is_ascii_alphanumeric() && !".-_:[]".contains(c);
        if authority.is_empty() || authority.contains(strange) {
            return Err("it is scheme, host and port, as in http://127.0.0.1:8080".to_owned());
        }
        let host_end = authority.rfind(']').map_or(0, |end| end + 1);
        let port = authority.get(host_end..).and_then(|rest| rest.split_once(':')).map(|(_, port)| port);
        match port {
            None => Ok(Self { authority: format!("{authority}:80") }),
            Some(port) if port.parse::<u16>().is_ok_and(|port| port != 0) => {
                Ok(Self { authority: authority.to_owned() })
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
        for (url, authority) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("ws://localhost:9/", "localhost:9"),
            ("http://example.com", "example.com:80"),
            ("HTTP://[::1]:8080", "[::1]:8080"),
            ("http://[::1]", "[::1]:80"),
        ] {
            assert_eq!(url.parse::<ServerUrl>().map(|url| url.authority), Ok(authority.to_owned()), "{url}");
        }
        for (url, why) in [
            ("127.0.0.1:8080", "starts with http://"),
            ("ftp://x", "starts with http://"),
            ("https://x", "TLS is not in this version yet"),
            ("wss://x", "TLS is not in this version yet"),
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
