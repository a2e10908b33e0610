//! How a reader is told things: a framing and a dialect. All readers of one encoding and one form of compression get the
//! same bytes, but for a prefix of their own where the encoding has one.

use super::rest::Rest;
use crate::command::{MessageKind, Outbound, Position, Publication, TopicName};
use crate::dialect::{Dialect, DialectState};
use crate::transport::Framing;
use crate::transport::sse::IdLine;

/// A framing and a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Encoding {
    pub framing: Framing,
    pub dialect: Dialect,
    /// Each reader's bytes begin with its own, and end with what all share.
    pub has_prefix: bool,
}

/// An [`Encoding`] by its place in [`ENCODINGS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::shard) struct EncodingId(u8);

/// Every encoding that an endpoint speaks, one row each.
const ENCODINGS: &[Encoding] = &[
    row(Framing::WebSocket, Dialect::Raw),
    row(Framing::WebSocket, Dialect::Json),
    row(Framing::WebSocket, Dialect::Echo),
    row(Framing::Events, Dialect::Feed),
    // Readers of several topics: the position is the reader's own, or there is none.
    Encoding { has_prefix: true, ..row(Framing::Events, Dialect::Feed) },
    row(Framing::Lines, Dialect::Json),
    row(Framing::Chunks, Dialect::Json),
    row(Framing::WebSocket, Dialect::JsonWithHeaders),
    row(Framing::Lines, Dialect::JsonWithHeaders),
    row(Framing::Chunks, Dialect::JsonWithHeaders),
    row(Framing::SockJs, Dialect::Json),
    row(Framing::SockJs, Dialect::JsonWithHeaders),
    row(Framing::SockJs, Dialect::Raw),
    row(Framing::SockJs, Dialect::Echo),
    row(Framing::SockJsElements, Dialect::Json),
    row(Framing::SockJsElements, Dialect::JsonWithHeaders),
    row(Framing::SockJsElements, Dialect::Raw),
    row(Framing::SockJsElements, Dialect::Echo),
    #[cfg(test)]
    Encoding { has_prefix: true, ..row(Framing::WebSocket, Dialect::Tagged) },
    #[cfg(test)]
    row(Framing::Packets, Dialect::Json),
];

const fn row(framing: Framing, dialect: Dialect) -> Encoding {
    Encoding { framing, dialect, has_prefix: false }
}

impl EncodingId {
    /// The encoding of a connection before its upgrade or its stream.
    pub const RAW: Self = Self(0);
    /// The one encoding with patterns over WebSocket, and that of most operations.
    pub const JSON: Self = Self(1);

    /// The row of a framing and a dialect. There is one for all that the routes lead to.
    pub fn of(framing: Framing, dialect: Dialect, has_prefix: bool) -> Self {
        let wanted = Encoding { framing, dialect, has_prefix };
        let place = ENCODINGS.iter().position(|row| *row == wanted);
        Self(place.expect("each encoding that a route leads to has its row") as u8)
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (0..ENCODINGS.len() as u8).map(Self)
    }

    /// As a number for an image.
    pub fn to_bits(self) -> u8 {
        self.0
    }

    /// The encoding of an image; `None` if there is none of this number.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (usize::from(bits) < ENCODINGS.len()).then_some(Self(bits))
    }

    pub fn row(self) -> &'static Encoding {
        &ENCODINGS[usize::from(self.0)]
    }
}

impl Encoding {
    /// Appends what all readers share of one publication: the whole, or what stands behind the prefix of each.
    pub fn push(&self, publication: &Publication, message: &mut Vec<u8>, out: &mut Vec<u8>) {
        message.clear();
        let kind = self.dialect.encode_push(publication, message);
        if self.has_prefix {
            self.framing.push_shared(publication, message, out);
        } else {
            self.framing.push(publication, kind, message, out);
        }
    }

    /// Moves one reader behind a publication, and appends its prefix to what is shared; nothing where there is none.
    pub fn prefix(
        &self,
        rest: Option<&mut Rest>,
        publication: &Publication,
        shared_len: usize,
        message: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        if !self.has_prefix {
            return;
        }
        message.clear();
        let Some(rest) = rest else {
            return self.framing.prefix(MessageKind::Text, message, &IdLine::default(), shared_len, out);
        };
        self.dialect.encode_prefix(&rest.state, publication, message);
        match &mut rest.vector {
            Some(vector) => {
                vector.move_to(&publication.topic, publication.position);
                self.framing.prefix(MessageKind::Text, message, vector.id(), shared_len, out);
            }
            None => self.framing.prefix(MessageKind::Text, message, &IdLine::default(), shared_len, out),
        }
    }

    /// Appends one publication for one reader alone, its prefix included.
    pub fn push_alone(
        &self,
        rest: Option<&mut Rest>,
        publication: &Publication,
        message: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        if !self.has_prefix {
            return self.push(publication, message, out);
        }
        let mut shared = Vec::new();
        self.push(publication, message, &mut shared);
        self.prefix(rest, publication, shared.len(), message, out);
        out.append(&mut shared);
    }

    /// Appends where a reader is in a topic; nothing where its messages tell no positions to come back to.
    pub fn say_position(&self, rest: Option<&mut Rest>, topic: &TopicName, position: Position, out: &mut Vec<u8>) {
        if !self.has_prefix {
            return self.framing.position(&IdLine::new(std::iter::once(position)), out);
        }
        if let Some(vector) = rest.and_then(|rest| rest.vector.as_mut()) {
            vector.move_to(topic, position);
            self.framing.position(vector.id(), out);
        }
    }

    /// Appends an outbound that is not a publication; nothing where the encoding has no form for it.
    pub fn say(&self, state: &DialectState, outbound: &Outbound<'_>, message: &mut Vec<u8>, out: &mut Vec<u8>) {
        message.clear();
        self.dialect.encode_outbound(state, outbound, message);
        self.framing.say(outbound, message, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::{HttpTransport, Opens, TABLE};

    #[test]
    fn each_endpoint_that_opens_a_session_has_its_encoding() {
        for endpoint in TABLE {
            let (framing, dialect) = match endpoint.opens {
                Opens::Session { framing, dialect, .. } => (framing, dialect),
                Opens::Follow(HttpTransport::Stream { framing, dialect, .. }) => (framing, dialect),
                Opens::Follow(HttpTransport::Poll { .. }) | Opens::Request { .. } => continue,
            };
            for dialect in [dialect, dialect.with_headers(true)] {
                let row = EncodingId::of(framing, dialect, false).row();
                assert_eq!((row.framing, row.dialect), (framing, dialect), "{:?}", endpoint.path);
            }
        }
    }
}
