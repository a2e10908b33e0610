//! The rights of a listener's clients: its role, the names that it answers to, and the pages that may use it.

use std::net::IpAddr;

use super::origin::Origins;
use super::refusal::RequestError;
use crate::close::ErrorCode;
use crate::wire::http1::RequestHead;

/// The role of a listener.
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

/// The right that an endpoint asks for before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// None: it is there for everybody, or asks for each act by itself.
    None,
    /// To read topics.
    Read,
    /// To publish.
    Publish,
    /// To read metrics.
    Metrics,
}

/// The clients that may use an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody, by any name of the gateway: it says nothing.
    Everybody,
    /// Any page: it says and takes nothing that is anybody's.
    EveryPage,
    /// The pages of the listener's [`Origins`].
    AllowedPages,
}

/// The rules for every connection of one listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Its role.
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

    /// Judges by which name a request asks, and whether the listener is for that.
    ///
    /// # Errors
    /// 403 if it is not.
    pub fn judge(&self, head: &RequestHead<'_>, audience: Audience, right: Right) -> Result<(), RequestError> {
        if audience != Audience::Everybody && !self.hosts.has(head.authority()) {
            return Err(WRONG_HOST);
        }
        self.role.judge(right)
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

    fn judge(self, right: Right) -> Result<(), RequestError> {
        match right {
            Right::Publish if !self.may_publish() => Err(forbidden(NO_PUBLISHING)),
            Right::Read if !self.may_read() => Err(forbidden(NO_READING)),
            Right::Metrics if self == Self::Readers => Err(forbidden("this address does not tell metrics")),
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

const fn forbidden(message: &'static str) -> RequestError {
    RequestError::new(ErrorCode::Forbidden, message)
}

/// For a client that may not publish where it is.
pub const NO_PUBLISHING: &str = "this address is for readers: nothing can be published here";
/// For a client that may not read where it is.
pub const NO_READING: &str = "this address is for publishers: nothing can be read here";

const WRONG_HOST: RequestError = forbidden("the gateway does not answer to the name in Host: see server_names");

#[cfg(test)]
mod tests {
    use super::*;

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
