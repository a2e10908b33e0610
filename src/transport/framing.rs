//! How a message stands in the bytes of a connection: one entry a transport that pushes.
//!
//! A reader's message is its own prefix, if its encoding has one, and what all readers share. What the framing puts in
//! front of a message goes with the prefix, since it may count the bytes of both; what it puts behind is shared.

#[cfg(test)]
use super::packets;
use super::service::Messages;
use super::sse::IdLine;
use super::{sockjs, sse, stream, websocket};
use crate::close::CloseReason;
use crate::command::{MessageKind, Outbound, Position, Publication};
use crate::wire::ws::Opcode;
use crate::wire::ws::encode::encode_header;

/// A way to tell messages apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Framing {
    /// WebSocket frames.
    WebSocket,
    /// Server-sent events.
    Events,
    /// Lines of a response that does not end.
    Lines,
    /// The same, each line a chunk.
    Chunks,
    /// WebSocket frames with a frame of SockJS in each.
    SockJs,
    /// Elements of a frame of SockJS, which the response puts around them.
    SockJsElements,
    /// Lines that the tests' transport is answered with.
    #[cfg(test)]
    Packets,
}

impl Framing {
    /// Appends one publication, whose message stands in `message`, whole.
    pub fn push(self, publication: &Publication, kind: MessageKind, message: &[u8], out: &mut Vec<u8>) {
        if self == Self::Events {
            sse::id(std::iter::once(publication.position), out);
            return sse::event(publication, message, out);
        }
        self.message(kind, message, out);
    }

    /// Appends a message that is all by itself; nothing where the transport has no way to say it.
    pub fn message(self, kind: MessageKind, message: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::WebSocket => websocket::frame(kind, message, out),
            Self::Events => {}
            Self::Lines => stream::line(message, out),
            Self::Chunks => stream::chunk(message, out),
            Self::SockJs => {
                let mut element = Vec::with_capacity(message.len() + 16);
                sockjs::element(message, &mut element);
                let mut frame = Vec::with_capacity(element.len() + 4);
                sockjs::wrap(&element, &mut frame);
                websocket::frame(MessageKind::Text, &frame, out);
            }
            Self::SockJsElements => sockjs::element(message, out),
            #[cfg(test)]
            Self::Packets => packets::message(message, out),
        }
    }

    /// Appends what all readers share of one publication, behind the prefix of each.
    pub fn push_shared(self, publication: &Publication, message: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::WebSocket | Self::SockJs | Self::SockJsElements => out.extend_from_slice(message),
            #[cfg(test)]
            Self::Packets => packets::message(message, out),
            Self::Events => sse::event(publication, message, out),
            Self::Lines => stream::line(message, out),
            Self::Chunks => {
                stream::line(message, out);
                out.extend_from_slice(stream::CHUNK_END);
            }
        }
    }

    /// Appends one reader's prefix to `shared_len` bytes: what its dialect says there, and where it is.
    pub fn prefix(self, kind: MessageKind, own: &[u8], id: &IdLine, shared_len: usize, out: &mut Vec<u8>) {
        match self {
            Self::WebSocket => {
                let opcode = if kind == MessageKind::Text { Opcode::Text } else { Opcode::Binary };
                encode_header(out, opcode, true, own.len() + shared_len);
            }
            Self::Events => out.extend_from_slice(id.as_bytes()),
            Self::Lines | Self::SockJs | Self::SockJsElements => {}
            #[cfg(test)]
            Self::Packets => {}
            Self::Chunks => stream::chunk_len(own.len() + shared_len - stream::CHUNK_END.len(), out),
        }
        out.extend_from_slice(own);
    }

    /// Appends a message that is no publication; nothing where the transport has no way to say it.
    pub fn say(self, outbound: &Outbound<'_>, message: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::WebSocket | Self::SockJs | Self::SockJsElements if message.is_empty() => {}
            Self::Events => sse::say(outbound, message, out),
            framing => framing.message(MessageKind::Text, message, out),
        }
    }

    /// Appends what begins a response: when to come back after it, and where the reader is.
    pub fn begin(self, retry_ms: u64, positions: impl Iterator<Item = Position>, out: &mut Vec<u8>) {
        if self == Self::Events {
            sse::retry(retry_ms, out);
            sse::id(positions, out);
        }
    }

    /// Appends where the reader is, for readers that give it back when they return; nothing for others.
    pub fn position(self, id: &IdLine, out: &mut Vec<u8>) {
        if self == Self::Events {
            out.extend_from_slice(id.as_bytes());
            out.push(b'\n');
        }
    }

    /// Appends something that says nothing, so that nobody in between takes the connection for dead.
    pub fn heartbeat(self, out: &mut Vec<u8>) {
        match self {
            Self::WebSocket => websocket::ping(out),
            Self::SockJs => {
                websocket::ping(out);
                websocket::frame(MessageKind::Text, sockjs::heartbeat(), out);
            }
            Self::SockJsElements => {}
            #[cfg(test)]
            Self::Packets => {}
            Self::Events => out.extend_from_slice(sse::HEARTBEAT),
            Self::Lines => stream::line(b"", out),
            Self::Chunks => stream::chunk(b"", out),
        }
    }

    /// Appends what a WebSocket begins with; nothing where its handshake says it all.
    pub fn greet(self, out: &mut Vec<u8>) {
        if self == Self::SockJs {
            websocket::frame(MessageKind::Text, sockjs::open(), out);
        }
    }

    /// The messages of a frame that a client sent, where each stands in one with others; `None` where a frame is one.
    ///
    /// # Errors
    /// It is none: why the connection is closed.
    pub fn messages(self, frame: &[u8]) -> Result<Option<Messages<'_>>, &'static str> {
        match self {
            Self::SockJs if frame.is_empty() => Ok(Some(Vec::new())),
            Self::SockJs => sockjs::messages(frame).map(Some).map_err(|sockjs::BrokenFrame| "Broken framing."),
            _ => Ok(None),
        }
    }

    /// Appends the last message before the connection closes; nothing if the close frame says everything.
    pub fn farewell(self, reason: CloseReason, text: &str, out: &mut Vec<u8>) {
        if self == Self::SockJs
            && let Some(code) = reason.row().close_code
        {
            websocket::frame(MessageKind::Text, &sockjs::close(code, text), out);
        }
    }

    /// Appends what ends a response in order.
    pub fn end(self, out: &mut Vec<u8>) {
        if self == Self::Chunks {
            out.extend_from_slice(stream::LAST_CHUNK);
        }
    }

    /// The media type of a response in this framing.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        if self == Self::Events { sse::CONTENT_TYPE } else { stream::CONTENT_TYPE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Epoch, PayloadKind, TopicName};
    use crate::time::MonoTime;

    /// A prefix and what is shared are, one behind the other, what stands in the bytes where there is no prefix.
    #[test]
    fn a_prefix_and_what_is_shared_make_a_whole_message() {
        for len in [0, 1, 13, 14, 200, 70_000] {
            let publication = Publication {
                topic: TopicName::parse("px.A").expect("a valid name"),
                position: Position { epoch: Epoch(0x1f), offset: 12 },
                prev: 11,
                kind: PayloadKind::Text,
                payload: vec![b'x'; len].into(),
                key: None,
                origin: None,
                time: MonoTime::ZERO,
                extras: None,
            };
            for framing in [Framing::WebSocket, Framing::Events, Framing::Lines, Framing::Chunks] {
                let own: &[u8] = if framing == Framing::Events { b"" } else { b"own " };
                let mut whole = Vec::new();
                framing.push(&publication, MessageKind::Text, &[own, &publication.payload].concat(), &mut whole);
                let (mut shared, mut parts) = (Vec::new(), Vec::new());
                framing.push_shared(&publication, &publication.payload, &mut shared);
                let id = IdLine::new(std::iter::once(publication.position));
                framing.prefix(MessageKind::Text, own, &id, shared.len(), &mut parts);
                parts.append(&mut shared);
                assert_eq!(parts, whole, "{framing:?} {len}");
            }
        }
    }
}
