//! How a peer can break the framing rules.

use std::fmt;

use crate::close::CloseReason;

/// The rule that a frame broke. The connection fails: a close frame goes out, and nothing more is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WsError {
    /// `rsv1`, `rsv2` or `rsv3` without an extension that gives it a meaning. [RFC 6455 5.2]
    ReservedBits,
    /// An opcode of 3-7 or 11-15. [RFC 6455 5.2]
    ReservedOpcode,
    /// A client's frame without a masking key. [RFC 6455 5.1]
    Unmasked,
    /// A server's frame with a masking key. [RFC 6455 5.1]
    Masked,
    /// A control frame that is a fragment. [RFC 6455 5.5]
    FragmentedControl,
    /// A control frame of more than 125 bytes. [RFC 6455 5.5]
    ControlTooLong,
    /// A length that is not in its shortest form, or has its most significant bit set. [RFC 6455 5.2]
    BadLength,
    /// A continuation frame with nothing to continue. [RFC 6455 5.4]
    UnexpectedContinuation,
    /// A new message between the fragments of another. [RFC 6455 5.4]
    InterleavedMessage,
    /// A close frame of one byte. [RFC 6455 5.5.1]
    TruncatedClose,
    /// A close code that may not stand in a close frame. [RFC 6455 7.4]
    BadCloseCode,
    /// A text message or a close reason that is not UTF-8. [RFC 6455 8.1]
    InvalidUtf8,
    /// A message, or the fragments of one, past `message_len_max`.
    MessageTooBig,
}

impl WsError {
    /// Why the connection ends.
    #[must_use]
    pub const fn close_reason(self) -> CloseReason {
        match self {
            Self::InvalidUtf8 => CloseReason::InvalidUtf8,
            Self::MessageTooBig => CloseReason::MessageTooBig,
            _ => CloseReason::ProtocolError,
        }
    }

    /// The reason in the close frame: short, and without the peer's bytes in it.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved bit set",
            Self::ReservedOpcode => "reserved opcode",
            Self::Unmasked => "frame is not masked",
            Self::Masked => "frame is masked",
            Self::FragmentedControl => "control frame is fragmented",
            Self::ControlTooLong => "control frame is longer than 125 bytes",
            Self::BadLength => "payload length is not in its shortest form",
            Self::UnexpectedContinuation => "continuation without a message",
            Self::InterleavedMessage => "new message inside a fragmented one",
            Self::TruncatedClose => "close payload of one byte",
            Self::BadCloseCode => "close code is not valid",
            Self::InvalidUtf8 => "text is not UTF-8",
            Self::MessageTooBig => "message too big",
        }
    }
}

impl fmt::Display for WsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for WsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broken_rule_closes_with_the_code_of_the_protocol_page() {
        for (error, code) in [
            (WsError::ReservedBits, 1002),
            (WsError::ReservedOpcode, 1002),
            (WsError::Unmasked, 1002),
            (WsError::Masked, 1002),
            (WsError::FragmentedControl, 1002),
            (WsError::ControlTooLong, 1002),
            (WsError::BadLength, 1002),
            (WsError::UnexpectedContinuation, 1002),
            (WsError::InterleavedMessage, 1002),
            (WsError::TruncatedClose, 1002),
            (WsError::BadCloseCode, 1002),
            (WsError::InvalidUtf8, 1007),
            (WsError::MessageTooBig, 1009),
        ] {
            assert_eq!(error.close_reason().row().close_code, Some(code), "{error}");
            assert!(error.message().len() <= crate::limits::CLOSE_REASON_LEN_MAX, "{error}");
        }
    }
}
