//! The meaning of messages: a dialect turns a message into a [`Command`], and an [`Outbound`] into a message.
//!
//! A dialect knows no frame and no connection; a transport knows no operation. Each dialect is one entry of the
//! closed enumeration [`Dialect`]: a new one adds its file, its variant and its rows in the tables of encodings and
//! routes. Tests: beside the code.

pub mod json;
pub mod raw;
#[cfg(test)]
mod tagged;

use crate::command::{Command, MessageKind, OperationId, Outbound, Publication, Refusal};
use crate::limits::{PRICE_FOUR_BYTES, PRICE_JSON_BYTE};

/// The message format of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Dialect {
    /// Payloads of one topic and nothing else.
    Raw,
    /// One JSON object a message: subprotocol `fanwire.json.v1`.
    Json,
    /// `Json`, with the attributes of each publication.
    JsonWithHeaders,
    /// Each message goes back to its sender.
    Echo,
    /// Publications as bare payloads, everything else as JSON: for transports that name the topic themselves.
    Feed,
    /// Lines that begin with the reader's own tag.
    #[cfg(test)]
    Tagged,
}

/// State that a dialect keeps for one session; most dialects keep none.
#[derive(Debug, Default)]
pub enum DialectState {
    /// No state.
    #[default]
    None,
    /// The tag of each subscription.
    #[cfg(test)]
    Tagged(tagged::Tags),
}

/// Memory for decoding, kept between messages so that decoding stops allocating. Made when a dialect first needs it.
#[derive(Debug, Default)]
pub struct Scratch {
    json: Option<Box<crate::wire::json::Scratch>>,
}

impl Scratch {
    /// The memory of the JSON reader.
    pub fn json(&mut self) -> &mut crate::wire::json::Scratch {
        self.json.get_or_insert_default()
    }
}

/// The result of decoding one message.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A command to carry out.
    Command(Command<'a>),
    /// The message is refused: the peer gets the refusal, and the session goes on.
    Refused(Option<OperationId>, Refusal),
    /// Nothing to do.
    Nothing,
    /// The dialect does not support such a message: the session ends with this reason.
    Unsupported(&'static str),
}

impl Dialect {
    /// The state of a new session.
    #[must_use]
    pub fn open(self) -> DialectState {
        match self {
            #[cfg(test)]
            Self::Tagged => DialectState::Tagged(tagged::Tags::default()),
            _ => DialectState::None,
        }
    }

    /// The highest cost of reading a message of `len` bytes, in units of a turn's budget.
    #[must_use]
    pub fn price(self, len: usize) -> u64 {
        if self.reads_json() { len as u64 * PRICE_JSON_BYTE } else { len as u64 / 4 * PRICE_FOUR_BYTES }
    }

    /// Whether [`Dialect::decode`] reads a message as JSON.
    fn reads_json(self) -> bool {
        matches!(self, Self::Json | Self::JsonWithHeaders)
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

    /// The same dialect with or without attributes, if it has both forms.
    #[must_use]
    pub fn with_headers(self, tells_headers: bool) -> Self {
        match self {
            Self::Json | Self::JsonWithHeaders if tells_headers => Self::JsonWithHeaders,
            Self::JsonWithHeaders => Self::Json,
            other => other,
        }
    }

    /// Whether the dialect can send a refusal to the peer.
    #[must_use]
    pub fn has_replies(self) -> bool {
        !matches!(self, Self::Raw | Self::Echo)
    }

    /// Writes an outbound message that is no publication, as text. Writes nothing if the dialect has no form for it.
    pub fn encode_outbound(self, _state: &DialectState, outbound: &Outbound<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Raw | Self::Echo => {}
            Self::Json | Self::JsonWithHeaders | Self::Feed => json::encode(outbound, out),
            #[cfg(test)]
            Self::Tagged => tagged::encode(outbound, out),
        }
    }

    /// Writes one publication as a message, the same bytes for every reader, and returns the kind of the message. In
    /// an encoding with a prefix these bytes follow the prefix.
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

    /// Writes the prefix of one reader's message, in the encodings that have one.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_that_reads_json_charges_for_json() {
        for dialect in [Dialect::Raw, Dialect::Json, Dialect::JsonWithHeaders, Dialect::Echo, Dialect::Feed] {
            let mut scratch = Scratch::default();
            dialect.decode(&mut DialectState::None, &mut scratch, MessageKind::Text, b"{}");
            let charges_for_json = dialect.price(1000) == 1000 * PRICE_JSON_BYTE;
            assert_eq!(charges_for_json, scratch.json.is_some(), "{dialect:?}");
        }
    }
}
