//! SockJS 0.3: messages as text over WebSocket, or over HTTP requests where there is none.
//!
//! Over WebSocket a session is the connection's own. Over HTTP it is a *detached* one: a request that receives carries it
//! for as long as it waits, and requests that send find it by the name that the client chose. The name decides which
//! shard holds the session, so that a balancer in front needs no sticky sessions.
//!
//! | file | what stands there |
//! |---|---|
//! | `path` | from a path to what is asked for |
//! | `frames` | messages as frames, and back |
//! | `answers` | the heads and bodies of responses |
//!
//! Source: sockjs-protocol 0.3.3. What is not there: `htmlfile`, `jsonp` and the page for `iframe` transports, which only
//! browsers without CORS need.

mod answers;
mod frames;
mod path;

pub use answers::{CACHE, GREETING, JAVASCRIPT, JSON, PRELUDE, TEXT, info, page_fields};
pub use frames::{BrokenFrame, close, element, heartbeat, messages, open, wrap};
pub use path::{SockJsCall, find};

use crate::limits::SOCKJS_RESPONSE_LEN_MAX;

/// A service: one entry of `[[sockjs]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SockJs {
    /// The path that its clients are made with, such as `/sockjs`; without a slash at its end.
    pub base: Box<str>,
    /// What its messages mean.
    pub dialect: SockJsDialect,
    /// Whether clients may use WebSocket.
    pub websocket: bool,
    /// Bytes of messages after which a streaming response ends and the client asks anew.
    pub response_len_max: usize,
}

/// What the messages of a service mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SockJsDialect {
    /// `fanwire.json.v1`.
    Json,
    /// The bare feed of one topic, which stands behind the base: `BASE/TOPIC`.
    Raw,
    /// Each message goes back to its sender.
    Echo,
}

impl SockJs {
    /// A service with the defaults.
    #[must_use]
    pub fn new(base: &str, dialect: SockJsDialect) -> Self {
        let response_len_max = SOCKJS_RESPONSE_LEN_MAX;
        Self { base: base.into(), dialect, websocket: true, response_len_max }
    }
}

/// How a request receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// `xhr`: one frame, then the client asks anew.
    Xhr,
    /// `xhr_streaming`: a frame a line.
    XhrStreaming,
    /// `eventsource`: a frame an event.
    EventSource,
}

impl Receiver {
    /// Whether the response goes on behind its first frame.
    #[must_use]
    pub fn is_stream(self) -> bool {
        self != Self::Xhr
    }

    /// The media type of the response.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        if self == Self::EventSource { "text/event-stream" } else { JAVASCRIPT }
    }

    /// What the body begins with.
    #[must_use]
    pub fn prelude(self) -> &'static [u8] {
        match self {
            Self::Xhr => b"",
            Self::XhrStreaming => PRELUDE,
            Self::EventSource => b"\r\n",
        }
    }

    /// Appends a frame as it stands in the response.
    pub fn frame(self, frame: &[u8], out: &mut Vec<u8>) {
        if self == Self::EventSource {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(frame);
            out.extend_from_slice(b"\r\n\r\n");
        } else {
            out.extend_from_slice(frame);
            out.push(b'\n');
        }
    }
}
