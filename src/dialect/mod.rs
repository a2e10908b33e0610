//! What the messages mean: from a message to a [`Command`], from an [`Outbound`] to a message.
//!
//! A dialect knows no frame and no connection; a transport knows no operation. Each is one entry of the closed
//! enumeration [`Dialect`], so that adding one touches its file, its variant and its rows in the tables of encodings and
//! routes. Tests: beside the code.

pub mod json;
pub mod raw;
#[cfg(test)]
mod tagged;

use crate::command::{Command, MessageKind, OperationId, Outbound, Publication, Refusal};
use crate::limits::{PRICE_FOUR_BYTES, PRICE_JSON_BYTE};

/// Which language the messages of a session speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Dialect {
    /// Nothing but payloads of one topic.
    Raw,
    /// One JSON object a message: subprotocol `fanwire.json.v1`.
    Json,
    /// The same, and publications come with their attributes.
    JsonWithHeaders,
    /// Every message goes back to its sender.
    Echo,
    /// Payloads as they are, and JSON for all else: for transports that name the topic themselves.
    Feed,
    /// Lines behind a tag of the reader's own.
    #[cfg(test)]
    Tagged,
}

/// What a dialect keeps of one session; most keep nothing.
#[derive(Debug, Default)]
pub enum DialectState {
    /// Nothing.
    #[default]
    None,
    /// Tags by subscription.
    #[cfg(test)]
    Tagged(tagged::Tags),
}

/// Memory that decoding uses, kept between messages so that it stops allocating. Made when a dialect first needs it.
#[derive(Debug, Default)]
pub struct Scratch {
    json: Option<Box<crate::wire::json::Scratch>>,
}

impl Scratch {
    /// What the JSON reader needs.
    pub fn json(&mut self) -> &mut crate::wire::json::Scratch {
        self.json.get_or_insert_default()
    }
}

/// What one message of a peer comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// Something to do.
    Command(Command<'a>),
    /// Something that cannot be done: the peer is told, and the session goes on.
    Refused(Option<OperationId>, Refusal),
    /// Nothing yet, or nothing but a sign of life.
    Nothing,
    /// A message that the dialect has no room for: the session ends, and the sentence says why.
    Unsupported(&'static str),
}

impl Dialect {
    /// What a session that speaks it begins with.
    #[must_use]
    pub fn open(self) -> DialectState {
        match self {
            #[cfg(test)]
            Self::Tagged => DialectState::Tagged(tagged::Tags::default()),
            _ => DialectState::None,
        }
    }

    /// What reading a message of so many bytes costs of a turn's budget at most.
    #[must_use]
    pub fn price(self, len: usize) -> u64 {
        if self == Self::Json { len as u64 * PRICE_JSON_BYTE } else { len as u64 / 4 * PRICE_FOUR_BYTES }
    }

    /// Reads one message.
    pub fn decode<'a>(
        self,
        state: &mut DialectState,
        scratch: &'a mut Scratch,
        kind: MessageKind,
        message: &'a [u8],
    ) -> Decoded<'a> {
        match (self, state) {
            #[cfg(test)]
            (Self::Tagged, DialectState::Tagged(tags)) => tagged::decode(tags, message),
            (dialect, _) => dialect.decode_without_state(scratch, kind, message),
        }
    }

    fn decode_without_state<'a>(self, scratch: &'a mut Scratch, kind: MessageKind, message: &'a [u8]) -> Decoded<'a> {
        match self {
            Self::Raw => Decoded::Command(Command::Say { kind: kind.into(), payload: message }),
            Self::Echo => Decoded::Command(Command::Echo { kind, message }),
            Self::Json | Self::JsonWithHeaders if kind == MessageKind::Text => {
                match json::decode(scratch.json(), message) {
                    Ok(command) => Decoded::Command(command),
                    Err(refused) => Decoded::Refused(refused.id, refused.refusal),
                }
            }
            Self::Json | Self::JsonWithHeaders => Decoded::Unsupported("operations are text"),
            Self::Feed => Decoded::Nothing,
            #[cfg(test)]
            Self::Tagged => Decoded::Nothing,
        }
    }

    /// The same dialect with or without attributes, where it can be either.
    #[must_use]
    pub fn with_headers(self, tells_headers: bool) -> Self {
        match self {
            Self::Json | Self::JsonWithHeaders if tells_headers => Self::JsonWithHeaders,
            Self::JsonWithHeaders => Self::Json,
            other => other,
        }
    }

    /// Whether a peer can be told that something was refused.
    #[must_use]
    pub fn has_replies(self) -> bool {
        !matches!(self, Self::Raw | Self::Echo)
    }

    /// Writes what is not a publication as a text message; nothing where the dialect has no way to say it.
    pub fn encode_outbound(self, _state: &DialectState, outbound: &Outbound<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Raw | Self::Echo => {}
            Self::Json | Self::JsonWithHeaders | Self::Feed => json::encode(outbound, out),
            #[cfg(test)]
            Self::Tagged => tagged::encode(outbound, out),
        }
    }

    /// Writes one publication as a message of this dialect, the same bytes for every reader, and returns the kind of the
    /// message. Where each reader's message begins with its own bytes, these are what stands behind them.
    pub fn encode_push(self, publication: &Publication, out: &mut Vec<u8>) -> MessageKind {
        match self {
            Self::Raw | Self::Echo | Self::Feed => raw::encode_push(publication, out),
            Self::Json => {
                json::encode_push(publication, out);
                MessageKind::Text
            }
            Self::JsonWithHeaders => {
                json::encode_push_with_headers(publication, out);
                MessageKind::Text
            }
            #[cfg(test)]
            Self::Tagged => tagged::encode_push(publication, out),
        }
    }

    /// Writes what one reader's message begins with, in the encodings that have a prefix.
    #[cfg_attr(
        not(test),
        expect(unused_variables, clippy::ptr_arg, reason = "only the dialect of the tests has a prefix yet")
    )]
    pub fn encode_prefix(self, state: &DialectState, publication: &Publication, out: &mut Vec<u8>) {
        match state {
            DialectState::None => {}
            #[cfg(test)]
            DialectState::Tagged(tags) => tagged::encode_prefix(tags, publication, out),
        }
    }
}
