//! The agreement with a peer on compression.

/// The agreement of a connection, and whether it follows a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Agreed(u8);

impl Agreed {
    /// Nothing is compressed.
    pub const NONE: Self = Self(0);
    const WINDOW: u8 = 3;
    const KEEPS_CONTEXT: u8 = 1 << 2;
    const IN_STREAM: u8 = 1 << 3;
    const MAY_LEAN: u8 = 1 << 4;

    /// Messages in this window at most; with `keeps_context` they may lean on each other, and with `may_lean` those of
    /// the peer may, though it is asked that they do not.
    pub fn new(window: Window, keeps_context: bool, may_lean: bool) -> Self {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        Self(window as u8 | flag(keeps_context, Self::KEEPS_CONTEXT) | flag(may_lean, Self::MAY_LEAN))
    }

    /// As a number for its image, out of any stream.
    pub fn to_bits(self) -> u8 {
        self.0 & !Self::IN_STREAM
    }

    /// The agreement of an image; `None` if there is no such agreement.
    pub fn from_bits(bits: u8) -> Option<Self> {
        let is_any = bits & Self::WINDOW != 0 && bits & !(Self::WINDOW | Self::KEEPS_CONTEXT | Self::MAY_LEAN) == 0;
        (is_any || bits == 0).then_some(Self(bits))
    }

    pub fn may_lean(self) -> bool {
        self.0 & Self::MAY_LEAN != 0
    }

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Whether it follows the stream of the topic that stands first.
    pub fn is_in_stream(self) -> bool {
        self.0 & Self::IN_STREAM != 0
    }

    pub fn enter_stream(&mut self) {
        self.0 |= Self::IN_STREAM;
    }

    pub fn leave_stream(&mut self) {
        self.0 &= !Self::IN_STREAM;
    }

    pub fn keeps_context(self) -> bool {
        self.0 & Self::KEEPS_CONTEXT != 0
    }

    pub fn window(self) -> Window {
        match self.0 & Self::WINDOW {
            1 => Window::Bits9,
            2 => Window::Bits12,
            _ => Window::Bits15,
        }
    }
}

/// The windows in which messages stand for themselves. A client that asks for another gets the next smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::shard) enum Window {
    Bits9 = 1,
    Bits12 = 2,
    Bits15 = 3,
}

impl Window {
    pub fn at_most(bits: u8) -> Self {
        match bits {
            ..12 => Self::Bits9,
            12..15 => Self::Bits12,
            15.. => Self::Bits15,
        }
    }

    pub fn bits(self) -> u8 {
        match self {
            Self::Bits9 => 9,
            Self::Bits12 => 12,
            Self::Bits15 => 15,
        }
    }
}
