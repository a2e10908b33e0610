//! What a listener lets its clients do: its role, the names that it answers to, and the pages that may use it.

use std::net::IpAddr;

use super::origin::Origins;
use super::route::{Route, RouteError, UpgradeRoute};
use crate::close::ErrorCode;
use crate::wire::http1::RequestHead;

/// What a listener is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Reading, and publishing to topics whose rule allows it.
    #[default]
    All,
    /// Reading: nothing is published, on any endpoint. `/metrics` is not for readers either.
    Readers,
    /// Publishing, also to topics with `publish = false`; nothing is read.
    Publishers,
}

/// What holds for every connection of one listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// What it is for.
    pub role: Role,
    /// The names that it answers to.
    pub hosts: Hosts,
    /// The origins of pages that may use it from a browser.
    pub origins: Origins,
}

/// The names that a listener answers to. A page whose name was made to resolve to the gateway's address (DNS rebinding)
/// has an `Origin` and a `Host` that agree, or no `Origin`: only the name itself gives it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    /// Only this machine reaches it: `localhost` and loopback addresses are its names, and no others but those listed.
    pub is_loopback: bool,
    /// Further names, without a port; `*` stands for all. Without any, a listener that is not loopback answers to all.
    pub names: Vec<Box<str>>,
}

impl Access {
    /// For a listener without bounds.
    pub const OPEN: Self =
        Self { role: Role::All, hosts: Hosts { is_loopback: false, names: Vec::new() }, origins: Origins::Unchecked };

    /// Judges by which name a request asks for its route, and whether the listener is for that.
    ///
    /// # Errors
    /// 403 if it is not.
    pub fn judge(&self, head: &RequestHead<'_>, route: &Route) -> Result<(), RouteError> {
        let says_nothing = matches!(route, Route::Health | Route::Ready | Route::Refused(_));
        if !says_nothing && !self.hosts.has(head.authority()) {
            return Err(WRONG_HOST);
        }
        self.role.judge(route)
    }
}

impl Role {
    /// Whether anything may be published.
    #[must_use]
    pub fn may_publish(self) -> bool {
        self != Self::Readers
    }

    /// Whether anything may be read.
    #[must_use]
    pub fn may_read(self) -> bool {
        self != Self::Publishers
    }

    fn judge(self, route: &Route) -> Result<(), RouteError> {
        let publishes = matches!(route, Route::PublishOne { .. } | Route::PublishMany);
        let publishes = publishes || matches!(route, Route::ForgetLast(_) | Route::EndTopic(_));
        let reads = matches!(route, Route::Topic(_) | Route::History { .. } | Route::Follow(_));
        let reads = reads || matches!(route, Route::Topics { .. });
        let reads = reads || matches!(route, Route::Upgrade(UpgradeRoute::Raw { .. }));
        let reads = reads || matches!(route, Route::Service(route) if route.topic.is_some());
        match self {
            Self::Readers if publishes => Err(forbidden(NO_PUBLISHING)),
            Self::Readers if *route == Route::Metrics => Err(forbidden("this address does not tell metrics")),
            Self::Publishers if reads => Err(forbidden(NO_READING)),
            _ => Ok(()),
        }
    }
}

impl Hosts {
    /// Whether a name, with or without a port, is one of the listener's. Without a name (HTTP/1.0) there is none to
    /// check: browsers always send one.
    fn has(&self, authority: &str) -> bool {
        if authority.is_empty() || (!self.is_loopback && self.names.is_empty()) {
            return true;
        }
        let host = without_port(authority);
        let is_listed = self.names.iter().any(|name| **name == *"*" || name.eq_ignore_ascii_case(host));
        is_listed || (self.is_loopback && is_loopback(host))
    }
}

fn without_port(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(authority, |(host, _)| host),
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    }
}

fn is_loopback(host: &str) -> bool {
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    // A name that ends with a dot is the same name.
    host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
}

/// Whether a text is a name as it can stand in `Host`, without a port; `*` stands for all.
#[must_use]
pub fn is_server_name(text: &str) -> bool {
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte))
    };
    text == "*" || is_name(text) || text.parse::<std::net::Ipv6Addr>().is_ok()
}

const fn forbidden(message: &'static str) -> RouteError {
    RouteError::new(ErrorCode::Forbidden, message)
}

/// For a client that may not publish where it is.
pub const NO_PUBLISHING: &str = "this address is for readers: nothing can be published here";
/// For a client that may not read where it is.
pub const NO_READING: &str = "this address is for publishers: nothing can be read here";

const WRONG_HOST: RouteError = forbidden("the gateway does not answer to the name in Host: see server_names");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::parse_head;

    fn answers(hosts: &Hosts, path: &str, host: &str) -> bool {
        let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let (head, _) = parse_head(text.as_bytes()).expect(&text).expect(&text);
        let route = Route::find(&head, &[], &[]).expect("a path");
        Access { hosts: hosts.clone(), ..Access::OPEN }.judge(&head, &route).is_ok()
    }

    fn hosts(is_loopback: bool, names: &[&str]) -> Hosts {
        Hosts { is_loopback, names: names.iter().map(|name| Box::from(*name)).collect() }
    }

    #[test]
    fn on_loopback_a_name_that_is_not_the_machines_own_is_refused() {
        let local = hosts(true, &[]);
        for host in ["localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "[::1]"]
        {
            assert!(answers(&local, "/topics/a", host), "{host}");
        }
        let foreign =
            ["evil.example:8080", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"];
        for host in foreign {
            for path in ["/topics/a", "/ws", "/echo", "/raw/a", "/sse?topic=a", "/metrics"] {
                assert!(!answers(&local, path, host), "{path} for {host}");
            }
            assert!(answers(&local, "/healthz", host) && answers(&local, "/readyz", host), "{host}");
        }
        let named = hosts(true, &["push.example"]);
        assert!(answers(&named, "/ws", "Push.Example:443") && answers(&named, "/ws", "localhost"));
        assert!(!answers(&named, "/ws", "evil.example"));
        assert!(answers(&hosts(true, &["*"]), "/ws", "any.example"));
    }

    #[test]
    fn elsewhere_the_names_are_those_that_are_listed() {
        assert!(answers(&hosts(false, &[]), "/ws", "any.example"));
        let named = hosts(false, &["push.example", "::2"]);
        for host in ["push.example", "push.example:8080", "[::2]:80"] {
            assert!(answers(&named, "/ws", host), "{host}");
        }
        for host in ["evil.example", "localhost", "push.example.evil", "10.0.0.1"] {
            assert!(!answers(&named, "/ws", host), "{host}");
        }
    }

    #[test]
    fn a_server_name_is_a_host_without_a_port() {
        for good in ["push.example", "10.0.0.1", "::1", "*", "a-b_c"] {
            assert!(is_server_name(good), "{good}");
        }
        for bad in ["", "push.example:80", "https://push.example", "a b", "*.example", "a/b"] {
            assert!(!is_server_name(bad), "{bad}");
        }
    }
}
