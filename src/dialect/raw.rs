//! The bare feed: a message is a payload, with nothing around it.

use crate::command::{PayloadKind, Publication, Publish};

/// The publication that a message of a reader stands for.
#[must_use]
pub fn decode<'a>(topic: &'a str, is_text: bool, message: &'a [u8]) -> Publish<'a> {
    let kind = if is_text { PayloadKind::Text } else { PayloadKind::Binary };
    Publish { id: None, topic: topic.into(), kind, payload: message, key: None, message_id: None, condition: None }
}

/// Writes the payload; says whether it is text.
pub fn encode_push(publication: &Publication, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(&publication.payload);
    publication.kind != PayloadKind::Binary
}
