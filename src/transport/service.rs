//! Services: addresses whose clients use a transport with sessions of its own. Each transport has one entry in each
//! enumeration; its folder defines the bytes.

use std::borrow::Cow;

#[cfg(test)]
use super::packets;
use super::{Framing, sockjs};
use crate::close::Status;
use crate::command::Carried;
use crate::limits::SERVICE_RESPONSE_LEN_MAX;
use crate::wire::http1::percent_decode;

/// One service of the configuration, such as one of `[[sockjs]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The path that its clients connect to, such as `/sockjs`; without a slash at its end.
    pub base: Box<str>,
    /// The transport.
    pub kind: ServiceKind,
    /// The meaning of its messages.
    pub meaning: Meaning,
    /// Whether clients may use WebSocket.
    pub websocket: bool,
    /// Bytes of messages after which a streaming response ends and the client sends a new request.
    pub response_len_max: usize,
}

/// A transport with sessions of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// SockJS 0.3.
    SockJs,
    /// The transport for tests.
    #[cfg(test)]
    Packets,
}

/// The meaning of a service's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// `fanwire.json.v1`.
    Json,
    /// The bare feed of one topic, named after the base: `BASE/TOPIC`.
    Raw,
    /// Each message goes back to its sender.
    Echo,
}

/// A call of a client to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceCall {
    /// A page that is the same for all clients, by the transport's own number.
    Page(u8),
    /// An opening handshake, with the framing of messages in the WebSocket.
    WebSocket(Framing),
    /// Waits for messages of the session.
    Receive {
        /// The name of the session.
        session: Box<str>,
        /// The form of the response.
        receiver: Receiver,
    },
    /// Messages for the session.
    Send {
        /// The name of the session.
        session: Box<str>,
    },
}

/// The form in which a request receives messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// A form of SockJS.
    SockJs(sockjs::Receiver),
    /// The form of the transport for tests.
    #[cfg(test)]
    Packets,
}

/// A part of a response body, and whether it is the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The bytes of the body.
    pub bytes: Vec<u8>,
    /// No frame follows.
    pub is_last: bool,
}

/// A response without frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: Status,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Cow<'static, [u8]>,
}

/// Messages of a client, one after the other.
pub type Messages<'a> = Vec<Cow<'a, str>>;

impl Service {
    /// A service of SockJS with the defaults.
    #[must_use]
    pub fn sockjs(base: &str, meaning: Meaning) -> Self {
        let response_len_max = SERVICE_RESPONSE_LEN_MAX;
        Self { base: base.into(), kind: ServiceKind::SockJs, meaning, websocket: true, response_len_max }
    }

    /// Finds the call of a path, and the topic after the base if its messages have one. `None` if the service has no
    /// such path.
    fn find<'a>(&self, path: &'a str) -> Option<(Option<Cow<'a, str>>, ServiceCall)> {
        let rest = path.strip_prefix(&*self.base).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        let (topic, rest) = match self.meaning {
            Meaning::Raw => {
                let rest = rest.strip_prefix('/')?;
                let (topic, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(percent_decode(topic).ok()?), rest)
            }
            Meaning::Json | Meaning::Echo => (None, rest),
        };
        let call = match self.kind {
            ServiceKind::SockJs => sockjs::call(rest),
            #[cfg(test)]
            ServiceKind::Packets => packets::call(rest),
        }?;
        let is_there = self.websocket || !matches!(call, ServiceCall::WebSocket(_));
        is_there.then_some((topic, call))
    }

    /// A page that is the same for all clients; `entropy` differs each time.
    #[must_use]
    pub fn page(&self, number: u8, entropy: u32) -> Answer {
        match self.kind {
            ServiceKind::SockJs => sockjs::page(self, number, entropy),
            #[cfg(test)]
            ServiceKind::Packets => packets::taken(),
        }
    }
}

/// Finds the service of a path by its index, the topic after its base, and the call.
#[must_use]
pub fn find<'a>(path: &'a str, services: &[Service]) -> Option<(usize, Option<Cow<'a, str>>, ServiceCall)> {
    services.iter().enumerate().find_map(|(place, service)| {
        let (topic, call) = service.find(path)?;
        Some((place, topic, call))
    })
}

impl ServiceKind {
    /// The framing of messages in responses to a session's requests.
    #[must_use]
    pub fn framing(self) -> Framing {
        match self {
            Self::SockJs => Framing::SockJsElements,
            #[cfg(test)]
            Self::Packets => Framing::Packets,
        }
    }

    /// The header fields of a response, besides those of every response.
    #[must_use]
    pub fn fields(self, origin: Option<&str>) -> [(&'static str, &'static str); 2] {
        match self {
            Self::SockJs => sockjs::fields(origin),
            #[cfg(test)]
            Self::Packets => sockjs::fields(origin),
        }
    }

    /// The messages of a body.
    ///
    /// # Errors
    /// The answer to a body without messages.
    pub fn messages(self, body: &[u8]) -> Result<Messages<'_>, Answer> {
        match self {
            Self::SockJs => sockjs::sent(body),
            #[cfg(test)]
            Self::Packets => packets::messages(body),
        }
    }

    /// The answer to messages: whether they were accepted, or there is no such session.
    #[must_use]
    pub fn taken(self, is_taken: bool) -> Answer {
        match self {
            Self::SockJs => sockjs::taken(is_taken),
            #[cfg(test)]
            Self::Packets => packets::taken(),
        }
    }
}

impl ServiceCall {
    /// The allowed methods.
    #[must_use]
    pub fn methods(&self) -> &'static str {
        match self {
            Self::Receive { receiver, .. } => receiver.methods(),
            Self::Send { .. } => "POST",
            _ => "GET, HEAD",
        }
    }
}

impl Receiver {
    /// The allowed methods.
    #[must_use]
    pub fn methods(self) -> &'static str {
        match self {
            Self::SockJs(receiver) => receiver.methods(),
            #[cfg(test)]
            Self::Packets => "POST",
        }
    }

    /// Whether the response continues after its first frame.
    #[must_use]
    pub fn is_stream(self) -> bool {
        match self {
            Self::SockJs(receiver) => receiver.is_stream(),
            #[cfg(test)]
            Self::Packets => false,
        }
    }

    /// The media type of the response.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::SockJs(receiver) => receiver.content_type(),
            #[cfg(test)]
            Self::Packets => packets::CONTENT_TYPE,
        }
    }

    /// The first bytes of a streaming response.
    #[must_use]
    pub fn prelude(self) -> &'static [u8] {
        match self {
            Self::SockJs(receiver) => receiver.prelude(),
            #[cfg(test)]
            Self::Packets => b"",
        }
    }

    /// The frame that answers the request; `None` if the request cannot be served.
    #[must_use]
    pub fn frame(self, carried: &Carried) -> Option<Frame> {
        match self {
            Self::SockJs(receiver) => receiver.frame(carried),
            #[cfg(test)]
            Self::Packets => packets::frame(carried),
        }
    }
}
