//! The route table: one row an endpoint, from a request head to what it asks for.

use std::borrow::Cow;

use super::follow::{self, Follow, HttpTransport};
use crate::close::Status;
use crate::command::{
    Attributes, Condition, ErrorCode, Extras, HistoryQuery, ListCursor, Mode, Owner, PayloadKind, Policy, Position,
    Target, Terms, TopicName, is_event, is_message_id, parse_age, parse_rate,
};
use crate::limits::{BANDWIDTH_MIN, KEY_LEN_MAX, TOPICS_LISTED_MAX};
use crate::transport::Framing;
use crate::transport::service::{self, Service, ServiceCall};
use crate::wire::http1::{HttpError, NotOneValue, RequestHead, percent_decode, query_pairs};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET` with an upgrade.
    Upgrade(UpgradeRoute),
    /// `POST /publish/TOPIC`.
    PublishOne {
        topic: TopicName,
        /// What the body is.
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
    /// What a client of a service asks for, but for WebSockets.
    Service(Box<ServiceRoute>),
    /// `OPTIONS`, with the methods that work.
    Options(&'static str),
    /// `GET /healthz`.
    Health,
    /// `GET /readyz`.
    Ready,
    /// `GET /metrics`.
    Metrics,
    /// `GET` of a page, by its place in the table.
    Page(usize),
    /// Something that is refused, as a request like any other: its end is known, and another may follow.
    Refused(RouteError),
}

/// What a WebSocket is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpgradeRoute {
    /// `/raw/TOPIC`.
    Raw {
        topic: TopicName,
        /// What the query asked for.
        options: RawOptions,
    },
    /// `/ws`.
    Json,
    /// `/echo`.
    Echo,
    /// A WebSocket of a service.
    Service {
        /// The service, by its place.
        service: usize,
        /// The topic of its path.
        topic: Option<TopicName>,
        /// How messages stand in it.
        framing: Framing,
    },
}

/// What a client of a service asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRoute {
    /// The service, by its place.
    pub service: usize,
    /// The topic of its path.
    pub topic: Option<TopicName>,
    /// What is asked of it.
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

/// Why no route was found, as it is told to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteError {
    /// The status: that of the code, or one that says more.
    pub status: Status,
    /// The code for programs.
    pub code: ErrorCode,
    /// The sentence for people.
    pub message: &'static str,
    /// With 405: the methods that work.
    pub allow: Option<&'static str>,
}

impl RouteError {
    /// A refusal with the status that goes with its code.
    #[must_use]
    pub const fn new(code: ErrorCode, message: &'static str) -> Self {
        Self { status: code.status(), code, message, allow: None }
    }

    /// A refusal with a status that says more than the code of a bad request.
    #[must_use]
    pub const fn with_status(status: Status, message: &'static str) -> Self {
        Self { status, ..Self::new(ErrorCode::BadRequest, message) }
    }
}

impl Route {
    /// Finds what a request asks for.
    ///
    /// # Errors
    /// 501 for a method that nobody knows, 404 for an unknown path, 405 for a known one with another method, 400 for a bad
    /// topic, field or query, 415 for a body that is encoded.
    pub fn find(head: &RequestHead<'_>, pages: &[Page], services: &[Service]) -> Result<Self, RouteError> {
        if !METHODS.contains(&head.method()) {
            return Err(UNKNOWN_METHOD);
        }
        let path = head.path();
        let page = pages.iter().position(|page| page.path == path);
        let found = if page.is_none() { service::find(path, services) } else { None };
        let allow = match &found {
            Some((.., call)) => call.methods(),
            None if page.is_some() => GET,
            None => methods_of(path).ok_or(NOTHING_HERE)?,
        };
        if head.method() == "OPTIONS" {
            // Before all other checks: if the request of the page has a mistake, its answer says so.
            return Ok(Self::Options(allow));
        }
        if !allow.split(", ").any(|method| method == head.method()) {
            let message = "this path does not take this method";
            return Err(RouteError {
                allow: Some(allow),
                ..RouteError::with_status(Status::MethodNotAllowed, message)
            });
        }
        if let Some(page) = page {
            return Ok(Self::Page(page));
        }
        if let Some((service, topic, call)) = found {
            return decode_service(service, topic, call);
        }
        match path {
            "/ws" => Ok(Self::Upgrade(UpgradeRoute::Json)),
            "/echo" => Ok(Self::Upgrade(UpgradeRoute::Echo)),
            "/sse" => follow::decode(head, HttpTransport::Events),
            "/stream" => follow::decode(head, HttpTransport::Lines),
            "/poll" => follow::decode(head, follow::POLL),
            "/healthz" => Ok(Self::Health),
            "/readyz" => Ok(Self::Ready),
            "/metrics" => Ok(Self::Metrics),
            "/topics" => decode_list(head.query()),
            "/publish" => check_encoding(head).map(|()| Self::PublishMany),
            _ => find_by_prefix(head, path),
        }
    }
}

fn decode_service(service: usize, topic: Option<Cow<'_, str>>, call: ServiceCall) -> Result<Route, RouteError> {
    let topic = topic.map(|topic| TopicName::parse(&topic).map_err(|_| BAD_TOPIC)).transpose()?;
    Ok(match call {
        ServiceCall::WebSocket(framing) => Route::Upgrade(UpgradeRoute::Service { service, topic, framing }),
        call => Route::Service(Box::new(ServiceRoute { service, topic, call })),
    })
}

/// The methods that HTTP knows, those among them that no path takes. [RFC 9110 9.3] [RFC 5789]
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
const GET: &str = "GET, HEAD";
const POST: &str = "POST";
const GET_AND_DELETE: &str = "GET, HEAD, DELETE";
const LAST: &str = "/last";

/// The methods that work at a path, if it is one of ours.
fn methods_of(path: &str) -> Option<&'static str> {
    match path {
        "*" => Some("GET, HEAD, POST, DELETE"),
        "/publish" => Some(POST),
        "/ws" | "/echo" | "/sse" | "/stream" | "/poll" | "/healthz" | "/readyz" | "/metrics" => Some(GET),
        _ if path.starts_with("/publish/") => Some(POST),
        "/topics" => Some(GET),
        _ if path.starts_with("/topics/") && path.ends_with("/history") => Some(GET),
        _ if path.starts_with("/topics/") => Some(GET_AND_DELETE),
        _ if path.starts_with("/raw/") => Some(GET),
        _ => None,
    }
}

impl Route {
    /// Whether it is there for any page: it says and takes nothing that is anybody's.
    pub(super) fn is_open(&self) -> bool {
        let says_nothing = matches!(self, Self::Health | Self::Ready | Self::Metrics | Self::Page(_));
        says_nothing || matches!(self, Self::Upgrade(UpgradeRoute::Echo))
    }
}

fn find_by_prefix(head: &RequestHead<'_>, path: &str) -> Result<Route, RouteError> {
    if let Some(topic) = path.strip_prefix("/raw/") {
        let upgrade = UpgradeRoute::Raw { topic: decode_topic(topic)?, options: decode_raw_options(head.query())? };
        Ok(Route::Upgrade(upgrade))
    } else if let Some(topic) = path.strip_prefix("/publish/") {
        check_encoding(head)?;
        decode_publish(head, decode_topic(topic)?)
    } else if let Some(topic) = path.strip_prefix("/topics/") {
        if head.method() == "DELETE" {
            return match topic.strip_suffix(LAST) {
                Some(topic) => Ok(Route::ForgetLast(decode_topic(topic)?)),
                None => Ok(Route::EndTopic(decode_topic(topic)?)),
            };
        }
        match topic.strip_suffix("/history") {
            Some(topic) => decode_history(decode_topic(topic)?, head.query()),
            None => Ok(Route::Topic(decode_topic(topic)?)),
        }
    } else {
        Err(NOTHING_HERE)
    }
}

fn decode_publish(head: &RequestHead<'_>, topic: TopicName) -> Result<Route, RouteError> {
    let content_type =
        head.only_value("content-type").map_err(|NotOneValue| bad_request("there is one Content-Type"))?;
    let content_type = content_type.unwrap_or_default();
    let kind = if is_media_type(content_type, OCTETS) { PayloadKind::Binary } else { PayloadKind::Text };
    let bad_key = bad_request("Fanwire-Key is one text of UTF-8, at most 255 bytes");
    let key = only_text(head, "fanwire-key").ok().filter(|key| key.is_none_or(|key| key.len() <= KEY_LEN_MAX));
    let key = key.ok_or(bad_key)?.filter(|key| !key.is_empty()).map(Box::from);
    let id = only_text(head, "fanwire-id").ok().filter(|id| id.is_none_or(is_message_id));
    let message_id = id.ok_or(bad_request("Fanwire-Id is 1 to 255 visible ASCII characters"))?.map(Box::from);
    let terms = Box::new(Terms { message_id, condition: decode_condition(head)?, owner: Owner::default() });
    let extras = decode_extras(head, content_type)?.boxed();
    Ok(Route::PublishOne { topic, kind, key, terms, extras })
}

fn is_media_type(content_type: &[u8], media_type: &str) -> bool {
    let told = content_type.split(|&byte| byte == b';').next().unwrap_or_default();
    told.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes())
}

/// What few publications come with.
fn decode_extras(head: &RequestHead<'_>, content_type: &[u8]) -> Result<Extras, RouteError> {
    let bad_event = bad_request("Fanwire-Event is one text of UTF-8, 1 to 255 bytes without control characters");
    let event = only_text(head, "fanwire-event").ok().filter(|event| event.is_none_or(is_event)).ok_or(bad_event)?;
    let is_passing = match only_text(head, "fanwire-last") {
        Ok(None | Some("1")) => false,
        Ok(Some("0")) => true,
        _ => return Err(bad_request("Fanwire-Last is 0 or 1")),
    };
    let mut pairs = Vec::new();
    for (name, value) in head.fields_with_prefix("fanwire-attribute-") {
        let value = std::str::from_utf8(value).map_err(|_| bad_request("Fanwire-Attribute-NAME is text of UTF-8"))?;
        // Names of fields have no case.
        pairs.push((Cow::from(name.to_ascii_lowercase()), Cow::from(value)));
    }
    let attributes = Attributes::new(told_type(content_type), pairs.into_iter())
        .map_err(|refusal| RouteError::new(refusal.code, refusal.message))?;
    Ok(Extras { event: event.map(Box::from), attributes, is_passing, except: None })
}

/// The media type that readers are told. That it is text, or octets, they know; and a form is what curl says of any body.
fn told_type(content_type: &[u8]) -> Option<&str> {
    let says_nothing = [OCTETS, "text/plain", "application/x-www-form-urlencoded"];
    let text = std::str::from_utf8(content_type).ok().filter(|text| !text.chars().any(char::is_control));
    text.filter(|text| !text.is_empty() && !says_nothing.iter().any(|it| is_media_type(content_type, it)))
}

const OCTETS: &str = "application/octet-stream";

/// A body is taken as it is: what is compressed would reach readers as that. [RFC 9110 8.4]
fn check_encoding(head: &RequestHead<'_>) -> Result<(), RouteError> {
    let mut codings = head.raw_values("content-encoding").flat_map(|list| list.split(|&byte| byte == b','));
    let is_plain =
        |coding: &[u8]| matches!(coding.trim_ascii(), b"") || coding.trim_ascii().eq_ignore_ascii_case(b"identity");
    if codings.all(is_plain) { Ok(()) } else { Err(ENCODED) }
}

/// `If-Match: EPOCH-OFFSET`, in quotes or not; `If-None-Match: *`.
fn decode_condition(head: &RequestHead<'_>) -> Result<Option<Condition>, RouteError> {
    let bad = bad_request("If-Match is one \"EPOCH-OFFSET\", or If-None-Match is *");
    let fields = only_text(head, "if-match").and_then(|at| Ok((at, only_text(head, "if-none-match")?)));
    match fields.map_err(|()| bad)? {
        (None, None) => Ok(None),
        (None, Some("*")) => Ok(Some(Condition::Nothing)),
        (Some(tag), None) => {
            let unquoted = tag.strip_prefix('"').map_or(Some(tag), |rest| rest.strip_suffix('"'));
            let position = unquoted.and_then(|text| text.parse().ok());
            position.map(|position| Some(Condition::At(position))).ok_or(bad)
        }
        _ => Err(bad),
    }
}

/// A header field that changes what is published or whether: nobody may overlook it, so it is there once and is text, or
/// the request is refused.
fn only_text<'a>(head: &RequestHead<'a>, name: &str) -> Result<Option<&'a str>, ()> {
    let value = head.only_value(name).map_err(|NotOneValue| ())?;
    value.map(std::str::from_utf8).transpose().map_err(|_| ())
}

fn decode_raw_options(query: Option<&str>) -> Result<RawOptions, RouteError> {
    let mut options = RawOptions { last: true, since: None, policy: None, echo: true };
    each_pair(query, &["last", "echo", "since", "mode", "max_rate", "max_age_ms"], |name, value| {
        match name {
            "last" => options.last = decode_flag(value)?,
            "echo" => options.echo = decode_flag(value)?,
            "since" => options.since = Some(decode_since(value)?),
            _ => decode_policy(name, value, &mut options.policy)?,
        }
        Ok(())
    })?;
    Ok(options)
}

fn decode_history(topic: TopicName, query: Option<&str>) -> Result<Route, RouteError> {
    let mut wanted = HistoryQuery::ALL;
    each_pair(query, &["since", "limit", "order"], |name, value| {
        match name {
            "since" if !value.is_empty() => wanted.since = Some(decode_since(value)?),
            "limit" if !value.is_empty() => {
                wanted.limit = decode_limit(value)?;
            }
            "order" => match value {
                "oldest" => wanted.newest_first = false,
                "newest" => wanted.newest_first = true,
                _ => return Err(bad_request("order is oldest or newest")),
            },
            _ => {}
        }
        Ok(())
    })?;
    Ok(Route::History { topic, query: wanted })
}

fn decode_list(query: Option<&str>) -> Result<Route, RouteError> {
    let (mut wanted, mut limit, mut after) = (None, TOPICS_LISTED_MAX, ListCursor::default());
    each_pair(query, &["match", "limit", "after"], |name, value| {
        match name {
            _ if value.is_empty() => {}
            "match" => wanted = Some(Target::parse(value).map_err(|_| BAD_TOPIC)?),
            "limit" => limit = decode_limit(value)?.clamp(1, TOPICS_LISTED_MAX),
            _ => after = ListCursor::parse(value).ok_or(bad_request("after is what the answer before called next"))?,
        }
        Ok(())
    })?;
    Ok(Route::Topics { wanted, limit, after })
}

/// Reads the pairs of a query that `names` stand for. What others say is not looked at.
pub(super) fn each_pair(
    query: Option<&str>,
    names: &[&str],
    mut each: impl FnMut(&str, &str) -> Result<(), RouteError>,
) -> Result<(), RouteError> {
    let mut pairs = query_pairs(query).filter(|pair| names.contains(&&*pair.name));
    pairs.try_for_each(|pair| each(&pair.name, &pair.value()?))
}

/// Digits; more than can be counted is all that there is.
fn decode_limit(value: &str) -> Result<u32, RouteError> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| value.parse().unwrap_or(u32::MAX)).ok_or(bad_request("limit is a number of publications"))
}

fn decode_topic(path: &str) -> Result<TopicName, RouteError> {
    TopicName::parse(&percent_decode(path)?).map_err(|_| BAD_TOPIC)
}

pub(super) fn decode_flag(value: &str) -> Result<bool, RouteError> {
    match value {
        "0" | "false" => Ok(false),
        "1" | "true" => Ok(true),
        _ => Err(bad_request("last, echo and headers are 0 or 1")),
    }
}

pub(super) fn decode_since(value: &str) -> Result<Position, RouteError> {
    value.parse().map_err(|_| bad_request("since is EPOCH-OFFSET"))
}

/// Reads what a reader may ask for beside its topics; leaves other names alone.
pub(super) fn decode_policy(name: &str, value: &str, policy: &mut Option<Policy>) -> Result<(), RouteError> {
    let before = policy.unwrap_or_default();
    let after = match name {
        "mode" => Policy { mode: Some(decode_mode(value)?), ..before },
        "max_rate" => {
            let rate = value.parse().unwrap_or(f64::NAN);
            Policy { max_rate: parse_rate(rate).map_err(bad_request)?, ..before }
        }
        "max_age_ms" => {
            let millis = value.parse().unwrap_or(u64::MAX);
            Policy { max_age_ms: parse_age(millis).map_err(bad_request)?, ..before }
        }
        _ => return Ok(()),
    };
    *policy = Some(after);
    Ok(())
}

/// `bandwidth=BYTES`: the most a reader wants in a second.
pub(super) fn decode_bandwidth(query: Option<&str>) -> Result<Option<u32>, RouteError> {
    let mut bandwidth = None;
    each_pair(query, &["bandwidth"], |_, value| {
        let bytes = value.parse().ok().filter(|bytes| *bytes >= BANDWIDTH_MIN);
        bandwidth = Some(bytes.ok_or(bad_request("bandwidth is bytes a second, 1400 or more"))?);
        Ok(())
    })?;
    Ok(bandwidth)
}

pub(super) fn decode_mode(value: &str) -> Result<Mode, RouteError> {
    value.parse().map_err(|()| bad_request("mode is queue, drop_oldest or latest"))
}

pub(super) const fn bad_request(message: &'static str) -> RouteError {
    RouteError::new(ErrorCode::BadRequest, message)
}

const NOTHING_HERE: RouteError = RouteError::new(ErrorCode::NotFound, "there is nothing at this path");

const UNKNOWN_METHOD: RouteError = RouteError::new(ErrorCode::NotSupported, "there is no such method");

const ENCODED: RouteError =
    RouteError::with_status(Status::UnsupportedMediaType, "a body is taken as it is: send it without Content-Encoding");

pub(super) const NOT_AN_UPGRADE: RouteError =
    RouteError::with_status(Status::UpgradeRequired, "this path speaks WebSocket: send an opening handshake");

pub(super) const BAD_TOPIC: RouteError = RouteError::new(
    ErrorCode::BadTopic,
    "a topic is 1 to 255 bytes: tokens of visible characters but '.', '*', '>' and space, joined by dots",
);

impl From<HttpError> for RouteError {
    fn from(error: HttpError) -> Self {
        Self { status: error.status(), ..Self::new(error.code(), error.message()) }
    }
}
