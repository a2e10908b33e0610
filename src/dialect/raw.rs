//! The bare feed: a message is a payload, with nothing around it.

use crate::command::{MessageKind, Publication};

/// Writes the payload; returns its kind.
pub fn encode_push(publication: &Publication, out: &mut Vec<u8>) -> MessageKind {
    out.extend_from_slice(&publication.payload);
    publication.kind.into()
}
