//! Which pages may use the gateway from a browser. [RFC 6454], [Fetch 3.2]
//!
//! A browser names the asking page in `Origin`; a request without it does not come from a page and is not checked. A
//! page of the gateway's own address is always allowed. Other pages are refused, since a browser would open a WebSocket
//! and send a publication for any page that it shows.

use super::refusal::RequestError;
use crate::close::ErrorCode;
use crate::wire::http1::RequestHead;

/// The pages that may follow and publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// All of them; those of other addresses cannot read answers over HTTP, since nothing tells the browser that they may.
    #[default]
    Unchecked,
    /// Those that this machine serves: for a gateway that only this machine reaches.
    Local,
    /// These; `*` stands for all.
    Listed(Box<[Box<str>]>),
}

impl Origins {
    /// The origin of the page that a request is for, if there is one that may read the answer.
    ///
    /// # Errors
    /// 403 for a page that may not.
    pub fn judge(&self, head: &RequestHead<'_>) -> Result<Option<Box<str>>, RequestError> {
        let origin = match head.only_value("origin").map(|origin| origin.map(std::str::from_utf8)) {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(origin))) => origin,
            // A request with two Origins, or with one that is not UTF-8, comes from an unknown page.
            _ if matches!(self, Self::Unchecked) => return Ok(None),
            _ => return Err(FORBIDDEN),
        };
        let is_allowed = is_same(origin, head.authority())
            || match self {
                Self::Unchecked => return Ok(None),
                Self::Local => is_local(origin),
                Self::Listed(list) => list.iter().any(|one| **one == *"*" || one.eq_ignore_ascii_case(origin)),
            };
        if is_allowed { Ok(Some(origin.into())) } else { Err(FORBIDDEN) }
    }
}

/// Whether a text is an origin as browsers say it: a scheme, a host, and a port that is not the scheme's own.
#[must_use]
pub fn is_origin(text: &str) -> bool {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let is_host = |host: &str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte))
    };
    text == "null" || text.split_once("://").is_some_and(|(scheme, host)| is_scheme(scheme) && is_host(host))
}

/// Whether a page of the origin is one of the address that the request is for.
fn is_same(origin: &str, authority: &str) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let without_port = |text: &str| text.strip_suffix(default_port).unwrap_or(text).to_ascii_lowercase();
    !host.is_empty() && without_port(host) == without_port(authority)
}

/// Whether this machine serves the pages of the origin.
fn is_local(origin: &str) -> bool {
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).unwrap_or_default();
    let (host, port) = match host.strip_prefix('[') {
        Some(host) => host.split_once(']').unwrap_or_default(),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    if !port.is_empty() && port.strip_prefix(':').is_none_or(|port| port.parse::<u16>().is_err()) {
        return false;
    }
    let is_loopback = |address: std::net::IpAddr| address.is_loopback();
    host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(is_loopback)
}

const FORBIDDEN: RequestError =
    RequestError::new(ErrorCode::Forbidden, "pages of this origin may not use the gateway: see allowed_origins");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::parse_head;

    fn check(origins: &Origins, host: &str, origin: &str, expected: Option<bool>) {
        let text = format!("GET /ws HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n\r\n");
        let (head, _) = parse_head(text.as_bytes()).expect(&text).expect(&text);
        let judged = match origins.judge(&head) {
            Ok(Some(allowed)) => Some(allowed.as_ref() == origin),
            Ok(None) => None,
            Err(_) => Some(false),
        };
        assert_eq!(judged, expected, "{origins:?}: {origin} asks {host}");
    }

    #[test]
    fn pages_of_the_own_address_may_whatever_the_rule_is() {
        let none = Origins::Listed(Box::default());
        for origins in [Origins::Unchecked, Origins::Local, none] {
            for (host, origin) in [
                ("127.0.0.1:8080", "http://127.0.0.1:8080"),
                ("push.example", "https://push.example"),
                ("push.example:443", "https://PUSH.example"),
                ("push.example", "http://push.example:80"),
                ("[::1]:8080", "http://[::1]:8080"),
            ] {
                check(&origins, host, origin, Some(true));
            }
            assert_eq!(
                origins.judge(&parse_head(b"GET / HTTP/1.0\r\n\r\n").expect("a head").expect("whole").0),
                Ok(None)
            );
        }
    }

    #[test]
    fn a_gateway_of_this_machine_takes_pages_of_this_machine() {
        for origin in ["http://localhost:3000", "https://app.localhost", "http://127.8.9.1", "http://[::1]:5173"] {
            check(&Origins::Local, "127.0.0.1:8080", origin, Some(true));
        }
        for origin in [
            "https://evil.example",
            "http://127.0.0.1.evil.example",
            "http://localhost.evil.example",
            "http://notlocalhost",
            "http://127.0.0.1:8080.evil.example",
            "http://[::1].evil.example/",
            "null",
            "file://",
            "",
            "http://",
        ] {
            check(&Origins::Local, "127.0.0.1:8080", origin, Some(false));
        }
    }

    #[test]
    fn a_list_allows_what_stands_in_it() {
        let list = Origins::Listed(["https://example.com", "null"].map(Box::from).into());
        check(&list, "push.example", "https://example.com", Some(true));
        check(&list, "push.example", "https://Example.com", Some(true));
        check(&list, "push.example", "null", Some(true));
        for origin in ["https://example.com.evil", "http://example.com", "https://example.com:8443", "http://localhost"]
        {
            check(&list, "push.example", origin, Some(false));
        }
        check(&Origins::Listed([Box::from("*")].into()), "push.example", "https://any.example", Some(true));
        check(&Origins::Unchecked, "push.example", "https://any.example", None);
    }

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        for good in ["https://example.com", "http://localhost:3000", "null", "http://[::1]:80", "app+x://id"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in ["example.com", "https://", "https://a/", "https://a b", "://a", "https://a\r\n", "", "https://a/b"]
        {
            assert!(!is_origin(bad), "{bad:?}");
        }
    }
}
