//! The kinds of frames. [RFC 6455 5.2]

/// The opcode of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// Another fragment of the message in progress.
    Continuation,
    /// The first fragment of a text message.
    Text,
    /// The first fragment of a binary message.
    Binary,
    /// The closing handshake.
    Close,
    /// Are you there?
    Ping,
    /// The answer to a ping, or a sign of life.
    Pong,
}

impl Opcode {
    /// The opcode in the low four bits of a frame's first byte; `None` for a reserved one.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits & 0x0f {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xa => Some(Self::Pong),
            _ => None,
        }
    }

    /// The four bits on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    /// Whether it may stand between the fragments of a message. [RFC 6455 5.5]
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_opcode_reads_back_and_the_other_ten_are_reserved() {
        let known: Vec<_> = (0..16).filter_map(|bits| Opcode::from_bits(bits).map(|opcode| (bits, opcode))).collect();
        assert_eq!(known.iter().map(|&(bits, _)| bits).collect::<Vec<_>>(), [0x0, 0x1, 0x2, 0x8, 0x9, 0xa]);
        for (bits, opcode) in known {
            assert_eq!(opcode.bits(), bits);
            assert_eq!(opcode.is_control(), bits >= 0x8, "{opcode:?}");
        }
    }
}
