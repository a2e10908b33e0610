//! The results of the decoder.

use crate::command::MessageKind;
use std::ops::Range;

use crate::buf::BlockPool;

/// The messages and control frames of one call of the decoder, in order. Kept and cleared by its owner, so that it
/// stops allocating.
#[derive(Debug, Default)]
pub struct Inbox {
    /// The items, oldest first.
    pub items: Vec<Item>,
}

impl Inbox {
    /// Empties it and brings the blocks that are still in it back to their pool.
    pub fn clear(&mut self, pool: &mut BlockPool) {
        for item in self.items.drain(..) {
            item.into_payload().recycle(pool);
        }
    }
}

/// A message or a control frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A whole message, reassembled where it was fragmented.
    Message {
        /// Text, checked to be UTF-8 unless it is compressed; binary otherwise.
        kind: MessageKind,
        /// To be inflated; whether text is UTF-8 shows only then.
        is_deflated: bool,
        /// Its payload.
        payload: Payload,
    },
    /// To be answered by a pong with the same payload. [RFC 6455 5.5.2]
    Ping(Payload),
    /// A sign of life.
    Pong(Payload),
    /// The closing handshake; nothing follows. [RFC 6455 5.5.1]
    Close {
        /// Valid on the wire; `None` if the frame was empty.
        code: Option<u16>,
        /// UTF-8, at most 123 bytes.
        reason: Payload,
    },
}

impl Item {
    /// The payload of any item.
    #[must_use]
    pub fn into_payload(self) -> Payload {
        match self {
            Self::Message { payload, .. } | Self::Ping(payload) | Self::Pong(payload) => payload,
            Self::Close { reason, .. } => reason,
        }
    }
}

/// Bytes of a message or control frame, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub enum Payload {
    /// A range of the bytes that were passed to the decoder in the same call.
    InPlace(Range<usize>),
    /// A pooled block, to be brought back through [`Payload::recycle`], or counted as moved through
    /// [`BlockPool::forget`].
    Block(Vec<u8>),
}

impl Payload {
    /// The bytes. `bytes` are those that were passed to the decoder.
    ///
    /// # Panics
    /// If `bytes` is shorter than the bytes that were passed to the decoder.
    #[must_use]
    pub fn as_slice<'a>(&'a self, bytes: &'a [u8]) -> &'a [u8] {
        match self {
            Self::InPlace(range) => &bytes[range.clone()],
            Self::Block(block) => block,
        }
    }

    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::InPlace(range) => range.len(),
            Self::Block(block) => block.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Brings the block back, if it is one.
    pub fn recycle(self, pool: &mut BlockPool) {
        if let Self::Block(block) = self {
            pool.put(block);
        }
    }
}
