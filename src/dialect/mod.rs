//! What the messages mean: from a message to a [`Command`](crate::command::Command), from an
//! [`Outbound`] to a message.
//!
//! A dialect knows no frame and no connection; a transport knows no operation. Each is one entry of the closed
//! enumeration [`Dialect`], so that adding one touches its file, its variant and its row in the routes. Tests: beside
//! the code.

pub mod json;
pub mod raw;

use crate::command::{Outbound, Publication};

/// Which language the messages of a connection speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Dialect {
    /// Nothing but payloads of one topic.
    Raw,
    /// One JSON object a message: subprotocol `fanwire.json.v1`.
    Json,
    /// Every message goes back to its sender.
    Echo,
}

impl Dialect {
    /// Writes what is not a publication as a text message; nothing where the dialect has no way to say it.
    pub fn encode_outbound(self, outbound: &Outbound<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Raw | Self::Echo => {}
            Self::Json => json::encode(outbound, out),
        }
    }

    /// Writes one publication as a message of this dialect, the same bytes for every reader, and says whether the
    /// message is text.
    pub fn encode_push(self, publication: &Publication, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Raw | Self::Echo => raw::encode_push(publication, out),
            Self::Json => {
                json::encode_push(publication, out);
                true
            }
        }
    }
}
