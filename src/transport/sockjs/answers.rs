//! The heads and bodies of responses.

use super::frames::{self, messages};
use crate::close::{SOCKJS_BUSY, SOCKJS_CLOSED, SOCKJS_INTERRUPTED, Status};
use crate::command::Carried;
use crate::transport::service::{Answer, Frame, Messages, Service};

/// The page number of the base.
pub(super) const GREETING: u8 = 0;
/// The page number of `BASE/info`.
pub(super) const INFO: u8 = 1;

/// The form in which a request receives messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// `xhr`: one frame, then the client sends a new request.
    Xhr,
    /// `xhr_streaming`: one frame a line.
    XhrStreaming,
    /// `eventsource`: one frame an event.
    EventSource,
}

impl Receiver {
    /// The allowed methods.
    #[must_use]
    pub fn methods(self) -> &'static str {
        if self == Self::EventSource { "GET, HEAD" } else { "POST" }
    }

    /// Whether the response continues after its first frame.
    #[must_use]
    pub fn is_stream(self) -> bool {
        self != Self::Xhr
    }

    /// The media type of the response.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        if self == Self::EventSource { "text/event-stream" } else { JAVASCRIPT }
    }

    /// The first bytes of a streaming response.
    #[must_use]
    pub fn prelude(self) -> &'static [u8] {
        match self {
            Self::Xhr => b"",
            Self::XhrStreaming => PRELUDE,
            Self::EventSource => b"\r\n",
        }
    }

    /// The frame that answers the request; `None` if the request cannot be served.
    #[must_use]
    pub fn frame(self, carried: &Carried) -> Option<Frame> {
        let (frame, is_last) = match carried {
            Carried::Opened => (frames::open().to_vec(), false),
            Carried::Told(elements) => {
                let mut frame = Vec::with_capacity(elements.len() + 3);
                frames::wrap(elements, &mut frame);
                (frame, false)
            }
            Carried::Silence => (frames::heartbeat().to_vec(), false),
            Carried::Busy => (frames::close(SOCKJS_BUSY, "Another connection still open"), true),
            Carried::Ended(reason, text) => {
                (frames::close(reason.row().close_code.unwrap_or(SOCKJS_CLOSED), text), true)
            }
            Carried::Unknown => (frames::close(SOCKJS_INTERRUPTED, "Connection interrupted"), true),
            Carried::Taken | Carried::Refused => return None,
        };
        let bytes = match self {
            Self::EventSource => [b"data: ", &frame[..], b"\r\n\r\n"].concat(),
            Self::Xhr | Self::XhrStreaming => [&frame[..], b"\n"].concat(),
        };
        Some(Frame { bytes, is_last })
    }
}

/// The answer to `BASE` or `BASE/info`; `entropy` differs each time.
#[must_use]
pub fn page(service: &Service, number: u8, entropy: u32) -> Answer {
    if number == GREETING {
        return answer(Status::Ok, "Welcome to SockJS!\n");
    }
    let websocket = service.websocket;
    let info =
        format!("{{\"websocket\":{websocket},\"cookie_needed\":false,\"origins\":[\"*:*\"],\"entropy\":{entropy}}}");
    Answer { status: Status::Ok, content_type: JSON, body: info.into_bytes().into() }
}

/// The messages of an `xhr_send`.
///
/// # Errors
/// The answer to a body without messages.
pub fn sent(body: &[u8]) -> Result<Messages<'_>, Answer> {
    let error = if body.is_empty() { "Payload expected." } else { "Broken JSON encoding." };
    messages(body).map_err(|_| answer(Status::InternalServerError, error))
}

/// The answer to an `xhr_send`: whether its messages were accepted, or there is no such session.
#[must_use]
pub fn taken(is_taken: bool) -> Answer {
    answer(if is_taken { Status::NoContent } else { Status::NotFound }, "")
}

/// The fields of a response: no cache keeps it, and pages of other origins may read it.
#[must_use]
pub fn fields(origin: Option<&str>) -> [(&'static str, &'static str); 2] {
    let page = match origin {
        Some(_) => ("Access-Control-Allow-Credentials", "true"),
        None => ("Access-Control-Allow-Origin", "*"),
    };
    [("Cache-Control", "no-store, no-cache, no-transform, must-revalidate, max-age=0"), page]
}

fn answer(status: Status, text: &'static str) -> Answer {
    Answer { status, content_type: TEXT, body: text.as_bytes().into() }
}

/// The media type of frames over `xhr`.
const JAVASCRIPT: &str = "application/javascript; charset=UTF-8";
/// The media type of texts for people.
const TEXT: &str = "text/plain; charset=UTF-8";
/// The media type of `BASE/info`.
const JSON: &str = "application/json; charset=UTF-8";
/// The first bytes of a streaming response: old browsers show nothing before this many bytes.
const PRELUDE: &[u8] = &{
    let mut prelude = [b'h'; 2049];
    prelude[2048] = b'\n';
    prelude
};
