//! Errors: each way in which a connection can end, each code of a refusal and each HTTP status, one row each. No other
//! room writes such a number or name (`tests/tidy.rs` holds that).

mod code;
mod status;

pub use code::ErrorCode;
pub use status::{Status, is_interim, is_success, is_without_body, may_pass_later};

use std::fmt;

/// Why a connection ends. [`CloseReason::row`] maps it to the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The peer asked for the closing handshake, or its last HTTP response is out.
    Normal,
    /// The gateway shuts down.
    Shutdown,
    /// A frame broke a rule of RFC 6455.
    ProtocolError,
    /// A message of a type that this endpoint does not take.
    UnsupportedData,
    /// A text message, or the reason in a close frame, is not UTF-8.
    InvalidUtf8,
    /// A message that is marked as compressed but cannot be inflated.
    InvalidDeflate,
    /// A message, or the bytes of its fragments, passed `message_len_max`.
    MessageTooBig,
    /// The peer may not do what it asks for.
    Forbidden,
    /// The reader's outbox passed its bound.
    SlowReader,
    /// The process is at one of its limits.
    Overloaded,
    /// No complete request head or opening handshake in time.
    HandshakeTimeout,
    /// No complete request body in time.
    BodyTimeout,
    /// A keep-alive connection that asked for nothing more.
    IdleTimeout,
    /// No sign of life after a ping.
    PingTimeout,
    /// The peer did not finish the closing handshake, or did not read what was queued, in time.
    CloseTimeout,
    /// An HTTP request that cannot be served; the response said why.
    BadRequest,
    /// The peer ended its side without a closing handshake.
    PeerGone,
    /// The network or the peer reset the connection.
    Reset,
    /// Our own mistake.
    Internal,
    /// The TLS handshake or a record failed; an alert said why.
    TlsFailed,
    /// TLS on a port without TLS, or plain HTTP on a TLS port.
    WrongScheme,
    /// A PROXY header from an address that is not trusted as a proxy, or a missing or broken one from a trusted proxy.
    BadProxyHeader,
}

/// The side that is to blame for an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Nobody: a normal end.
    Nobody,
    /// The peer broke a rule.
    Peer,
    /// The peer is too slow.
    PeerTooSlow,
    Limit,
    Shutdown,
    Network,
    Bug,
}

impl Blame {
    /// The label `blame` of `fanwire_closes_total`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Peer => "peer",
            Self::PeerTooSlow => "peer_too_slow",
            Self::Limit => "limit",
            Self::Shutdown => "shutdown",
            Self::Network => "network",
            Self::Bug => "bug",
        }
    }
}

/// The level at which the log reports an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loudness {
    /// Only with `log = "debug"`.
    Debug,
    /// From `log = "info"` on.
    Info,
    /// Always: an operator should look.
    Error,
}

/// The visible form of a [`CloseReason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The close code of the close frame; `None` where no frame can or need be sent. [RFC 6455 7.4.1]
    pub close_code: Option<u16>,
    /// The status of the HTTP response, where the request has no response yet.
    pub status: Status,
    /// The label `reason` of `fanwire_closes_total`.
    pub label: &'static str,
    /// How loud the log is.
    pub loudness: Loudness,
    /// The side that is to blame.
    pub blame: Blame,
}

/// SockJS: a request for a session that is gone.
pub const SOCKJS_INTERRUPTED: u16 = 1002;
/// SockJS: a request while another one waits for the same session.
pub const SOCKJS_BUSY: u16 = 2010;
/// SockJS: an end that has no close code of its own.
pub const SOCKJS_CLOSED: u16 = 3000;

impl CloseReason {
    /// Every reason, in the order of its discriminant.
    pub const ALL: [Self; 22] = [
        Self::Normal,
        Self::Shutdown,
        Self::ProtocolError,
        Self::UnsupportedData,
        Self::InvalidUtf8,
        Self::InvalidDeflate,
        Self::MessageTooBig,
        Self::Forbidden,
        Self::SlowReader,
        Self::Overloaded,
        Self::HandshakeTimeout,
        Self::BodyTimeout,
        Self::IdleTimeout,
        Self::PingTimeout,
        Self::CloseTimeout,
        Self::BadRequest,
        Self::PeerGone,
        Self::Reset,
        Self::Internal,
        Self::TlsFailed,
        Self::WrongScheme,
        Self::BadProxyHeader,
    ];

    /// The one table.
    #[must_use]
    pub const fn row(self) -> Row {
        use Blame::{Bug, Limit, Network, Nobody, Peer, PeerTooSlow, Shutdown};
        use Loudness::{Debug, Error, Info};
        match self {
            Self::Normal => row(Some(1000), Status::Ok, "normal", Debug, Nobody),
            Self::Shutdown => row(Some(1001), Status::ServiceUnavailable, "shutdown", Debug, Shutdown),
            Self::ProtocolError => row(Some(1002), Status::BadRequest, "protocol_error", Info, Peer),
            Self::UnsupportedData => row(Some(1003), Status::UnsupportedMediaType, "unsupported_data", Info, Peer),
            Self::InvalidUtf8 => row(Some(1007), Status::BadRequest, "invalid_utf8", Info, Peer),
            Self::InvalidDeflate => row(Some(1007), Status::BadRequest, "invalid_deflate", Info, Peer),
            Self::MessageTooBig => row(Some(1009), Status::ContentTooLarge, "message_too_big", Info, Peer),
            Self::Forbidden => row(Some(1008), Status::Forbidden, "forbidden", Info, Peer),
            Self::SlowReader => row(Some(1013), Status::ServiceUnavailable, "slow_reader", Info, PeerTooSlow),
            Self::Overloaded => row(Some(1013), Status::ServiceUnavailable, "overloaded", Info, Limit),
            Self::HandshakeTimeout => row(None, Status::RequestTimeout, "handshake_timeout", Debug, PeerTooSlow),
            Self::BodyTimeout => row(Some(1008), Status::RequestTimeout, "body_timeout", Debug, PeerTooSlow),
            Self::IdleTimeout => row(None, Status::RequestTimeout, "idle_timeout", Debug, Nobody),
            Self::PingTimeout => row(Some(1001), Status::RequestTimeout, "ping_timeout", Debug, Network),
            Self::CloseTimeout => row(None, Status::RequestTimeout, "close_timeout", Debug, PeerTooSlow),
            Self::BadRequest => row(None, Status::BadRequest, "bad_request", Debug, Peer),
            Self::PeerGone => row(None, Status::BadRequest, "peer_gone", Debug, Network),
            Self::Reset => row(None, Status::BadRequest, "reset", Debug, Network),
            Self::Internal => row(Some(1011), Status::InternalServerError, "internal", Error, Bug),
            Self::TlsFailed => row(None, Status::BadRequest, "tls_failed", Debug, Peer),
            Self::WrongScheme => row(None, Status::BadRequest, "wrong_scheme", Debug, Peer),
            Self::BadProxyHeader => row(None, Status::BadRequest, "bad_proxy_header", Info, Peer),
        }
    }

    /// The place in [`CloseReason::ALL`], for counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

const fn row(close_code: Option<u16>, status: Status, label: &'static str, loudness: Loudness, blame: Blame) -> Row {
    Row { close_code, status, label, loudness, blame }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_at_its_index_and_has_a_label_of_its_own() {
        let mut labels: Vec<_> = CloseReason::ALL.iter().map(|reason| reason.row().label).collect();
        for (index, reason) in CloseReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), CloseReason::ALL.len());
    }

    #[test]
    fn the_protocol_page_has_every_label() {
        let page = include_str!("../docs/PROTOCOL.md");
        let row = page.lines().find(|line| line.starts_with("| `fanwire_closes_total{reason,blame}`")).expect("a row");
        for reason in CloseReason::ALL {
            for label in [reason.row().label, reason.row().blame.label()] {
                assert!(row.contains(&format!("`{label}`")), "{label}");
            }
        }
    }
}
