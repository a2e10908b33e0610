//! From a head to its judgement: the row, or the page or service, and what it says of methods, pages, rights and bodies.

use std::borrow::Cow;

use super::decode::{BAD_TOPIC, decode_bandwidth};
use super::follow;
use super::route::{Asked, Handshake, Page, RawOptions, Route, ServiceRoute};
use super::table::{Body, Endpoint, Methods, Opens, TABLE};
use crate::close::{ErrorCode, Status};
use crate::command::TopicName;
use crate::dialect::Dialect;
use crate::limits::{BATCH_LEN_MAX, REFUSED_BODY_LEN_MAX};
use crate::transport::Framing;
use crate::transport::http::{Accepted, Access, Audience, Judged, RequestError, Right};
use crate::transport::service::{self, Meaning, Service, ServiceCall};
use crate::wire::http1::{BodyDecoder, RequestHead};
use crate::wire::ws::handshake;

/// The rules for every request of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Pages beside the endpoints.
    pub pages: &'a [Page],
    /// Transports with sessions of their own.
    pub services: &'a [Service],
    /// The rights of the listener's clients.
    pub access: &'a Access,
    /// The longest message.
    pub message_len_max: usize,
}

/// The request of a head, and the clients that may send it.
struct Found {
    wanted: Wanted,
    audience: Audience,
    right: Right,
}

enum Wanted {
    Request(Route, Body),
    Session(Opening),
}

/// The session that a WebSocket opens.
struct Opening {
    framing: Framing,
    dialect: Dialect,
    subprotocols: &'static [&'static str],
    topic: Option<(TopicName, RawOptions)>,
}

/// The kind of a path.
enum Place<'a> {
    Page(usize),
    Service(usize, Option<Cow<'a, str>>, ServiceCall),
    Table,
}

impl Site<'_> {
    /// The judgement of a head.
    #[must_use]
    pub fn judge(&self, head: &RequestHead<'_>) -> Judged<Asked, Handshake> {
        let found = self.find(head);
        let origins = &self.access.origins;
        let origin = match &found {
            Ok(Found { audience: Audience::Everybody | Audience::EveryPage, .. }) => None,
            Ok(_) => match origins.judge(head) {
                Ok(origin) => origin,
                Err(error) => return Judged { origin: None, outcome: Err(error) },
            },
            Err(error) if error.code == ErrorCode::Forbidden => None,
            Err(_) => origins.judge(head).unwrap_or_default(),
        };
        let outcome = match found {
            Ok(Found { wanted: Wanted::Request(route, body), right, .. }) => {
                Ok(Accepted::Request { asked: Asked { route, right }, body_len_max: self.body_len_max(body) })
            }
            Ok(Found { wanted: Wanted::Session(opening), .. }) => accept(head, opening).map(Accepted::Session),
            Err(error) if may_go_on(head) => {
                let asked = Asked { route: Route::Refused(error), right: Right::None };
                Ok(Accepted::Request { asked, body_len_max: REFUSED_BODY_LEN_MAX })
            }
            Err(error) => Err(error),
        };
        Judged { origin, outcome }
    }

    /// The request of a head, if it is allowed.
    ///
    /// # Errors
    /// 501 for a method that nobody knows, 404 for an unknown path, 405 for a known one with another method, 400 for a bad
    /// topic, field or query, 415 for a body that is encoded, 403 for what the listener is not for, 426 for what is no
    /// opening handshake.
    fn find(&self, head: &RequestHead<'_>) -> Result<Found, RequestError> {
        let found = self.look_up(head)?;
        self.access.judge(head, found.audience, found.right)?;
        match found.wanted {
            Wanted::Session(_) if head.method() != "GET" || !handshake::is_upgrade(head) => Err(NOT_AN_UPGRADE),
            _ => Ok(found),
        }
    }

    fn look_up(&self, head: &RequestHead<'_>) -> Result<Found, RequestError> {
        let method = head.method();
        if !METHODS.contains(&method) {
            return Err(UNKNOWN_METHOD);
        }
        let path = head.path();
        let place = self.place(path);
        if let Place::Table = place
            && let Some((endpoint, topic)) = row(path, Methods::of(method))
        {
            return endpoint.find(head, topic);
        }
        let allow = match &place {
            Place::Page(_) => Methods::GET.as_str(),
            Place::Service(.., call) => call.methods(),
            Place::Table => methods_at(path).ok_or(NOTHING_HERE)?.as_str(),
        };
        if method == "OPTIONS" {
            // Before all other checks: if the request of the page has a mistake, its answer says so.
            return Ok(Found::request(Route::Options(allow), Body::None));
        }
        if !allow.split(", ").any(|allowed| allowed == method) {
            let message = "this path does not take this method";
            let error = RequestError::with_status(Status::MethodNotAllowed, message);
            return Err(RequestError { allow: Some(allow), ..error });
        }
        match place {
            Place::Page(page) => {
                Ok(Found { audience: Audience::EveryPage, ..Found::request(Route::Page(page), Body::None) })
            }
            Place::Service(service, topic, call) => self.find_service(service, topic, call),
            // `*`, which is for OPTIONS alone.
            Place::Table => Err(NOTHING_HERE),
        }
    }

    fn place<'a>(&self, path: &'a str) -> Place<'a> {
        if let Some(page) = self.pages.iter().position(|page| page.path == path) {
            return Place::Page(page);
        }
        match service::find(path, self.services) {
            Some((service, topic, call)) => Place::Service(service, topic, call),
            None => Place::Table,
        }
    }

    fn find_service(
        &self,
        service: usize,
        topic: Option<Cow<'_, str>>,
        call: ServiceCall,
    ) -> Result<Found, RequestError> {
        let topic = topic.map(|topic| TopicName::parse(&topic).map_err(|_| BAD_TOPIC)).transpose()?;
        if let ServiceCall::WebSocket(framing) = call {
            let dialect = dialect_of(self.services[service].meaning);
            let topic = topic.map(|topic| (topic, RawOptions::DEFAULT));
            let opening = Opening { framing, dialect, subprotocols: &[], topic };
            return Ok(Found::session(opening));
        }
        let right = if topic.is_some() { Right::Read } else { Right::None };
        let route = Route::Service(Box::new(ServiceRoute { service, topic, call }));
        Ok(Found { right, ..Found::request(route, Body::Message) })
    }

    fn body_len_max(&self, body: Body) -> usize {
        match body {
            Body::None => 0,
            Body::Message => self.message_len_max,
            Body::Batch => BATCH_LEN_MAX,
        }
    }
}

impl Endpoint {
    fn find(&self, head: &RequestHead<'_>, topic: &str) -> Result<Found, RequestError> {
        let wanted = match self.opens {
            Opens::Request { decode, body } => Wanted::Request(decode(head, topic)?, body),
            Opens::Follow(transport) => {
                Wanted::Request(Route::Follow(Box::new(follow::decode(head, transport)?)), Body::None)
            }
            Opens::Session { framing, dialect, subprotocols, topic: decode } => {
                Wanted::Session(Opening { framing, dialect, subprotocols, topic: decode(head, topic)? })
            }
        };
        Ok(Found { wanted, audience: self.audience, right: self.right })
    }
}

impl Found {
    /// For pages that may, without a right of its own.
    fn request(route: Route, body: Body) -> Self {
        Self { wanted: Wanted::Request(route, body), audience: Audience::AllowedPages, right: Right::None }
    }

    fn session(opening: Opening) -> Self {
        Self { wanted: Wanted::Session(opening), audience: Audience::AllowedPages, right: Right::None }
    }
}

/// The row of a path and a method, and the topic as it stands in the path.
fn row(path: &str, method: Methods) -> Option<(&'static Endpoint, &str)> {
    let mut rows = TABLE.iter().filter(|row| row.methods.meets(method));
    rows.find_map(|row| row.path.fit(path).map(|topic| (row, topic)))
}

/// The methods that work at a path, if it is one of ours.
fn methods_at(path: &str) -> Option<Methods> {
    // For the whole of the gateway. [RFC 9110 7.1]
    let fitting = TABLE.iter().filter(|row| path == "*" || row.path.fit(path).is_some());
    fitting.map(|row| row.methods).reduce(Methods::and)
}

/// The dialect of a service's messages.
#[must_use]
pub fn dialect_of(meaning: Meaning) -> Dialect {
    match meaning {
        Meaning::Json => Dialect::Json,
        Meaning::Raw => Dialect::Raw,
        Meaning::Echo => Dialect::Echo,
    }
}

/// Whether it is known where the next request begins, behind one that is refused for what it asks, and is not far away.
fn may_go_on(head: &RequestHead<'_>) -> bool {
    let is_near = BodyDecoder::new(head.body(), REFUSED_BODY_LEN_MAX).is_ok();
    is_near && !head.expects_continue() && !handshake::is_upgrade(head)
}

fn accept(head: &RequestHead<'_>, opening: Opening) -> Result<Handshake, RequestError> {
    let upgrade =
        handshake::accept(head).map_err(|error| RequestError::with_status(error.status(), error.message()))?;
    let Opening { framing, dialect, subprotocols, topic } = opening;
    let is_offered = |name: &&&str| upgrade.protocols().any(|offered| offered == **name);
    Ok(Handshake {
        framing,
        dialect,
        subprotocol: subprotocols.iter().find(is_offered).copied(),
        topic,
        accept: upgrade.accept,
        bandwidth: decode_bandwidth(head.query())?,
        forwarded_for: forwarded_for(head),
        deflate: upgrade.deflate,
    })
}

/// `X-Forwarded-For`, all fields of it in one list.
pub(super) fn forwarded_for(head: &RequestHead<'_>) -> Option<Vec<u8>> {
    let fields = head.raw_values("x-forwarded-for").map(<[u8]>::to_vec);
    fields.reduce(|list, more| [&list[..], &more].join(&b','))
}

/// The methods that HTTP knows, those among them that no path takes. [RFC 9110 9.3] [RFC 5789]
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

const NOTHING_HERE: RequestError = RequestError::new(ErrorCode::NotFound, "there is nothing at this path");

const UNKNOWN_METHOD: RequestError = RequestError::new(ErrorCode::NotSupported, "there is no such method");

const NOT_AN_UPGRADE: RequestError =
    RequestError::with_status(Status::UpgradeRequired, "this path speaks WebSocket: send an opening handshake");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::http::Hosts;
    use crate::wire::http1::parse_head;

    fn answers(hosts: &Hosts, path: &str, host: &str) -> bool {
        let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let (head, _) = parse_head(text.as_bytes()).expect(&text).expect(&text);
        let access = Access { hosts: hosts.clone(), ..Access::OPEN };
        let site = Site { pages: &[], services: &[], access: &access, message_len_max: 0 };
        let not_for_it = |error: &RequestError| error.code == ErrorCode::Forbidden;
        !site.find(&head).is_err_and(|error| not_for_it(&error))
    }

    fn hosts(is_loopback: bool, names: &[&str]) -> Hosts {
        Hosts { is_loopback, names: names.iter().map(|name| Box::from(*name)).collect() }
    }

    #[test]
    fn on_loopback_a_name_that_is_not_the_machines_own_is_refused() {
        let local = hosts(true, &[]);
        for host in ["localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "[::1]"]
        {
            assert!(answers(&local, "/topics/a", host), "{host}");
        }
        let foreign =
            ["evil.example:8080", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"];
        for host in foreign {
            for path in ["/topics/a", "/ws", "/echo", "/raw/a", "/sse?topic=a", "/metrics"] {
                assert!(!answers(&local, path, host), "{path} for {host}");
            }
            assert!(answers(&local, "/healthz", host) && answers(&local, "/readyz", host), "{host}");
        }
        let named = hosts(true, &["push.example"]);
        assert!(answers(&named, "/ws", "Push.Example:443") && answers(&named, "/ws", "localhost"));
        assert!(!answers(&named, "/ws", "evil.example"));
        assert!(answers(&hosts(true, &["*"]), "/ws", "any.example"));
    }

    #[test]
    fn elsewhere_the_names_are_those_that_are_listed() {
        assert!(answers(&hosts(false, &[]), "/ws", "any.example"));
        let named = hosts(false, &["push.example", "::2"]);
        for host in ["push.example", "push.example:8080", "[::2]:80"] {
            assert!(answers(&named, "/ws", host), "{host}");
        }
        for host in ["evil.example", "localhost", "push.example.evil", "10.0.0.1"] {
            assert!(!answers(&named, "/ws", host), "{host}");
        }
    }
}
