//! The table: one row an endpoint.

use super::decode;
use super::follow::{HttpTransport, POLL};
use super::route::{RawOptions, Route};
use crate::command::TopicName;
use crate::dialect::{Dialect, json};
use crate::transport::Framing;
use crate::transport::http::{Audience, RequestError, Right};
use crate::wire::http1::RequestHead;

/// One endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Where it is.
    pub path: Path,
    /// The methods that work.
    pub methods: Methods,
    /// The endpoint.
    pub opens: Opens,
    /// Which pages may use it, and by which names of the gateway.
    pub audience: Audience,
    /// The right that it asks for. Sessions that begin without a topic ask with each of their commands.
    pub right: Right,
}

/// Every endpoint beside pages and services. Of those that a path fits, the first with the method of the request is taken;
/// the methods of a path are those of all that it fits.
pub static TABLE: &[Endpoint] = &[
    session(Path::Exact("/ws"), Right::None, Dialect::Json, &[json::SUBPROTOCOL], decode::no_topic),
    session(Path::Topic("/raw/", ""), Right::Read, Dialect::Raw, &[], decode::raw),
    Endpoint {
        audience: Audience::EveryPage,
        ..session(Path::Exact("/echo"), Right::None, Dialect::Echo, &[], decode::no_topic)
    },
    request(Path::Topic("/publish/", ""), Methods::POST, Right::Publish, Body::Message, decode::publish),
    request(Path::Exact("/publish"), Methods::POST, Right::Publish, Body::Batch, decode::publish_many),
    follow("/sse", HttpTransport::stream(Framing::Events, Dialect::Feed)),
    follow("/stream", HttpTransport::stream(Framing::Lines, Dialect::Json)),
    follow("/poll", POLL),
    request(Path::Topic("/topics/", "/history"), Methods::GET, Right::Read, Body::None, decode::history),
    request(Path::Topic("/topics/", "/last"), Methods::DELETE, Right::Publish, Body::None, decode::forget_last),
    request(TOPIC, Methods::GET, Right::Read, Body::None, decode::topic),
    request(TOPIC, Methods::DELETE, Right::Publish, Body::None, decode::end_topic),
    request(Path::Exact("/topics"), Methods::GET, Right::Read, Body::None, decode::topics),
    told("/healthz", Audience::Everybody, Right::None, decode::health),
    told("/readyz", Audience::Everybody, Right::None, decode::ready),
    told("/metrics", Audience::EveryPage, Right::Metrics, decode::metrics),
];

/// A path ending in `/history` always is the history of the topic before it.
const TOPIC: Path = Path::TopicWithout("/topics/", "/history");

/// Where an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Here.
    Exact(&'static str),
    /// A topic between the two.
    Topic(&'static str, &'static str),
    /// A topic behind the first, which does not end in the second.
    TopicWithout(&'static str, &'static str),
}

/// The kind of an endpoint.
#[derive(Clone, Copy, Debug)]
pub enum Opens {
    /// An answer.
    Request {
        /// Makes the request, from a head and the topic in the path.
        decode: Decode,
        /// The longest body.
        body: Body,
    },
    /// Publications, in a response that does not end or in the next answer.
    Follow(HttpTransport),
    /// A WebSocket.
    Session {
        /// How messages stand in the bytes.
        framing: Framing,
        /// The meaning of the messages.
        dialect: Dialect,
        /// Names of the dialect, of which one that is offered is agreed on.
        subprotocols: &'static [&'static str],
        /// The topic that it follows from the beginning, from a head and the topic as it stands in the path.
        topic: DecodeTopic,
    },
}

/// Reads a request.
pub type Decode = fn(&RequestHead<'_>, &str) -> Result<Route, RequestError>;
/// Reads the topic of a session.
pub type DecodeTopic = fn(&RequestHead<'_>, &str) -> Result<Option<(TopicName, RawOptions)>, RequestError>;

/// The longest body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Empty.
    None,
    /// One message.
    Message,
    /// Lines with many.
    Batch,
}

/// A set of methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Methods(u8);

const fn request(path: Path, methods: Methods, right: Right, body: Body, decode: Decode) -> Endpoint {
    Endpoint { path, methods, opens: Opens::Request { decode, body }, audience: Audience::AllowedPages, right }
}

const fn told(path: &'static str, audience: Audience, right: Right, decode: Decode) -> Endpoint {
    Endpoint { audience, ..request(Path::Exact(path), Methods::GET, right, Body::None, decode) }
}

const fn follow(path: &'static str, transport: HttpTransport) -> Endpoint {
    Endpoint {
        path: Path::Exact(path),
        methods: Methods::GET,
        opens: Opens::Follow(transport),
        audience: Audience::AllowedPages,
        right: Right::Read,
    }
}

const fn session(
    path: Path,
    right: Right,
    dialect: Dialect,
    subprotocols: &'static [&'static str],
    topic: DecodeTopic,
) -> Endpoint {
    let opens = Opens::Session { framing: Framing::WebSocket, dialect, subprotocols, topic };
    Endpoint { path, methods: Methods::GET, opens, audience: Audience::AllowedPages, right }
}

impl Path {
    /// The topic's part of a path, if the path is this one; empty if it has no topic.
    #[must_use]
    pub fn fit(self, path: &str) -> Option<&str> {
        match self {
            Self::Exact(exact) => (path == exact).then_some(""),
            Self::Topic(before, after) => path.strip_prefix(before)?.strip_suffix(after),
            Self::TopicWithout(before, end) => path.strip_prefix(before).filter(|topic| !topic.ends_with(end)),
        }
    }
}

impl Methods {
    /// `GET`, and with it `HEAD`.
    pub const GET: Self = Self(1);
    /// `POST`.
    pub const POST: Self = Self(2);
    /// `DELETE`.
    pub const DELETE: Self = Self(4);

    /// The set with nothing in it.
    pub const NONE: Self = Self(0);

    /// A method; none if no path takes it.
    #[must_use]
    pub fn of(method: &str) -> Self {
        match method {
            "GET" | "HEAD" => Self::GET,
            "POST" => Self::POST,
            "DELETE" => Self::DELETE,
            _ => Self::NONE,
        }
    }

    /// Both sets in one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of them is in another set.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The list of them, as in `Allow`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        // By the three bits.
        const LISTS: [&str; 8] = [
            "",
            "GET, HEAD",
            "POST",
            "GET, HEAD, POST",
            "DELETE",
            "GET, HEAD, DELETE",
            "POST, DELETE",
            "GET, HEAD, POST, DELETE",
        ];
        LISTS[usize::from(self.0)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The endpoints as headings of the protocol's page name them: "`GET /healthz`, `/readyz`".
    fn documented() -> BTreeSet<String> {
        let page = include_str!("../../docs/PROTOCOL.md");
        let mut found = BTreeSet::new();
        for heading in page.lines().filter(|line| line.starts_with("### `")) {
            let mut method = "";
            for code in heading.split('`').skip(1).step_by(2) {
                let (named, path) = code.split_once(' ').unwrap_or((method, code));
                method = named;
                found.insert(format!("{method} {path}"));
            }
        }
        found
    }

    #[test]
    fn the_table_and_the_page_of_the_protocol_name_the_same_endpoints() {
        let name = |endpoint: &Endpoint| {
            let method = endpoint.methods.as_str().split(',').next().unwrap_or_default();
            let path = match endpoint.path {
                Path::Exact(path) => path.to_owned(),
                Path::Topic(before, after) => format!("{before}TOPIC{after}"),
                Path::TopicWithout(before, _) => format!("{before}TOPIC"),
            };
            format!("{method} {path}")
        };
        let named: BTreeSet<_> = TABLE.iter().map(name).collect();
        assert_eq!(named.len(), TABLE.len(), "one row an endpoint");
        let headings = documented();
        assert!(headings.is_subset(&named), "{:?} without a row", headings.difference(&named));
        // One that is told of elsewhere stands in the text, with a query or without.
        let page = include_str!("../../docs/PROTOCOL.md");
        for name in named.difference(&headings) {
            assert!(["`", "?"].iter().any(|end| page.contains(&format!("`{name}{end}"))), "{name} is not told of");
        }
    }

    #[test]
    fn a_path_fits_what_stands_in_its_place() {
        let topic = Path::Topic("/topics/", "/last");
        assert_eq!(topic.fit("/topics/a/b/last"), Some("a/b"));
        assert_eq!(topic.fit("/topics/last"), None);
        let other = Path::TopicWithout("/topics/", "/history");
        assert_eq!(other.fit("/topics/a/history"), None);
        assert_eq!(other.fit("/topics/history"), Some("history"));
        assert_eq!(Path::Exact("/ws").fit("/ws/"), None);
    }
}
