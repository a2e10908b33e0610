//! The request of a head, as values.

use super::follow::Follow;
use crate::command::{Extras, HistoryQuery, ListCursor, PayloadKind, Policy, Position, Target, Terms, TopicName};
use crate::dialect::Dialect;
use crate::transport::Framing;
use crate::transport::http::{RequestError, Right};
use crate::transport::service::ServiceCall;
use crate::wire::ws::extension::DeflateOffer;

/// A request, and the right that its endpoint asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The request.
    pub route: Route,
    /// The right, which its listener gives.
    pub right: Right,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `POST /publish/TOPIC`.
    PublishOne {
        topic: TopicName,
        /// The kind of the body.
        kind: PayloadKind,
        /// `Fanwire-Key`.
        key: Option<Box<str>>,
        /// `Fanwire-Id`, `If-Match` and `If-None-Match`.
        terms: Box<Terms>,
        /// `Fanwire-Event`, `Fanwire-Last`, `Fanwire-Attribute-NAME` and `Content-Type`.
        extras: Option<Box<Extras>>,
    },
    /// `POST /publish`.
    PublishMany,
    /// `GET /topics/TOPIC`.
    Topic(TopicName),
    /// `DELETE /topics/TOPIC/last`.
    ForgetLast(TopicName),
    /// `DELETE /topics/TOPIC`.
    EndTopic(TopicName),
    /// `GET /topics`.
    Topics {
        /// `match=`: those that match; `None` for all.
        wanted: Option<Target>,
        /// `limit=`: at most so many.
        limit: u32,
        /// `after=`: where to go on.
        after: ListCursor,
    },
    /// `GET /topics/TOPIC/history`.
    History {
        topic: TopicName,
        /// Which part.
        query: HistoryQuery,
    },
    /// `GET /sse`, `/stream`, `/poll`.
    Follow(Box<Follow>),
    /// The request of a service's client, except for WebSockets.
    Service(Box<ServiceRoute>),
    /// `OPTIONS`, with the methods that work.
    Options(&'static str),
    /// `GET /healthz`.
    Health,
    /// `GET /readyz`.
    Ready,
    /// `GET /metrics`.
    Metrics,
    /// `GET` of a page, by its place in the list of pages.
    Page(usize),
    /// Something that is refused, as a request like any other: its end is known, and another may follow.
    Refused(RequestError),
}

/// An opening handshake that is accepted, and the session that begins with it.
#[derive(Debug, PartialEq, Eq)]
pub struct Handshake {
    /// How messages stand in the bytes.
    pub framing: Framing,
    /// The meaning of the messages.
    pub dialect: Dialect,
    /// The subprotocol, if one that is spoken was offered.
    pub subprotocol: Option<&'static str>,
    /// The topic that the session follows from the beginning.
    pub topic: Option<(TopicName, RawOptions)>,
    /// `Sec-WebSocket-Accept`.
    pub accept: [u8; 28],
    /// The first offer to compress messages that can be accepted.
    pub deflate: Option<DeflateOffer>,
    /// The most that the reader wants, in bytes a second.
    pub bandwidth: Option<u32>,
    /// `X-Forwarded-For`, all fields of it in one list.
    pub forwarded_for: Option<Vec<u8>>,
}

/// The request of a service's client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRoute {
    /// The service, by its place.
    pub service: usize,
    /// The topic of its path.
    pub topic: Option<TopicName>,
    /// The call.
    pub call: ServiceCall,
}

/// The query of `/raw/TOPIC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawOptions {
    /// `last=0` leaves out the last value.
    pub last: bool,
    /// `since=EPOCH-OFFSET`.
    pub since: Option<Position>,
    /// `mode=..`, `max_rate=..`, `max_age_ms=..`, if any was given.
    pub policy: Option<Policy>,
    /// `echo=0` hides one's own messages.
    pub echo: bool,
}

impl RawOptions {
    /// Of a query that says nothing.
    pub const DEFAULT: Self = Self { last: true, since: None, policy: None, echo: true };
}

/// A page that the gateway serves beside its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The path, without a query.
    pub path: &'static str,
    /// The media type.
    pub content_type: &'static str,
    /// The bytes.
    pub body: &'static [u8],
}
