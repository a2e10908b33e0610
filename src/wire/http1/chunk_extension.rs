//! Extensions of a chunk-size line, one byte at a time: they are dropped, but must follow the grammar, so that no proxy
//! in front of the gateway ends the line elsewhere. [RFC 9112 7.1.1]

use super::body::{is_field_byte, is_token_byte};

/// Where in `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` the line is.
///
/// ```text
///  Gap --';'--> Start --token--> Name --'='--> Equals --token--> Value ---\
///                                 | space        \-- '"' --> Quoted        | space, ';'
///                                 v                          |   ^         v
///                                NameGap                 '\' v   | any    Gap, Start
///                                                          Escape
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// Behind the size or a value, and a space: only another extension may follow.
    Gap,
    Start,
    Name,
    NameGap,
    Equals,
    Value,
    Quoted,
    Escape,
    QuotedEnd,
}

impl Extension {
    /// The next state; `None` if the byte cannot stand there.
    pub(super) fn step(self, byte: u8) -> Option<Self> {
        let is_space = matches!(byte, b' ' | b'\t');
        Some(match self {
            Self::Gap if is_space => Self::Gap,
            Self::Gap | Self::Name | Self::NameGap | Self::Value | Self::QuotedEnd if byte == b';' => Self::Start,
            Self::Start if is_space => Self::Start,
            Self::Start | Self::Name if is_token_byte(byte) => Self::Name,
            Self::Name | Self::NameGap if is_space => Self::NameGap,
            Self::Name | Self::NameGap if byte == b'=' => Self::Equals,
            Self::Equals if is_space => Self::Equals,
            Self::Equals if byte == b'"' => Self::Quoted,
            Self::Equals | Self::Value if is_token_byte(byte) => Self::Value,
            Self::Value | Self::QuotedEnd if is_space => Self::Gap,
            Self::Quoted if byte == b'"' => Self::QuotedEnd,
            Self::Quoted if byte == b'\\' => Self::Escape,
            Self::Quoted | Self::Escape if is_field_byte(byte) => Self::Quoted,
            _ => return None,
        })
    }

    /// Whether the line may end here.
    pub(super) fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Value | Self::QuotedEnd)
    }
}
