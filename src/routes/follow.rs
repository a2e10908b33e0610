//! The query of the endpoints that only read: what to follow, and from where.

use super::decode::{BAD_TOPIC, bad_request, decode_bandwidth, decode_flag, decode_policy, decode_since, each_pair};
use super::judge::forwarded_for;
use crate::close::ErrorCode;
use crate::command::{Epoch, Policy, Position, Target, TopicName};
use crate::dialect::Dialect;
use crate::limits::{HEAD_LEN_MAX, HEADERS_MAX, POLL_TIMEOUT_MS, POLL_TIMEOUT_MS_MAX, TOPICS_PER_REQUEST_MAX};
use crate::transport::Framing;
use crate::transport::http::RequestError;
use crate::wire::http1::{RequestHead, Version};

/// A request to follow topics and patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// How it is to be told.
    pub transport: HttpTransport,
    /// In the order of the request, each once; never empty.
    pub targets: Vec<Target>,
    /// The last position that the peer saw, of every topic that is named, or of none.
    pub since: Vec<(TopicName, Position)>,
    /// Whether to send the last values first.
    pub last: bool,
    /// `mode=..`, `max_rate=..`, `max_age_ms=..`, if any was given.
    pub policy: Option<Policy>,
    /// `bandwidth=..`.
    pub bandwidth: Option<u32>,
    /// `headers=1`: messages come with their attributes, where there is room for them.
    pub headers: bool,
    /// `X-Forwarded-For`, all fields of it in one list.
    pub forwarded_for: Option<Vec<u8>>,
}

/// A way of being told things over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpTransport {
    /// A response that does not end: `/sse`, `/stream`.
    Stream {
        /// How messages stand in it.
        framing: Framing,
        /// The meaning of the messages.
        dialect: Dialect,
        /// Each reader's messages begin with bytes of its own.
        has_prefix: bool,
    },
    /// `/poll`.
    Poll {
        /// How long it waits.
        timeout_ms: u64,
    },
}

/// A poll, before its query is read.
pub(super) const POLL: HttpTransport = HttpTransport::Poll { timeout_ms: POLL_TIMEOUT_MS };

impl HttpTransport {
    /// A stream, before its head is read.
    pub(super) const fn stream(framing: Framing, dialect: Dialect) -> Self {
        Self::Stream { framing, dialect, has_prefix: false }
    }

    fn is_events(self) -> bool {
        matches!(self, Self::Stream { framing: Framing::Events, .. })
    }

    /// As a request asks for it.
    fn settle(&mut self, version: Version, headers: bool, targets: &[Target]) {
        let Self::Stream { framing, dialect, has_prefix } = self else { return };
        *dialect = dialect.with_headers(headers);
        match framing {
            // An event says a position of each topic that is followed.
            Framing::Events => *has_prefix = !matches!(targets, [Target::Topic(_)]),
            // A peer of HTTP/1.0 knows no chunks.
            Framing::Lines if version == Version::Http11 => *framing = Framing::Chunks,
            _ => {}
        }
    }
}

/// Reads `topic=T&topic=U[&since=P,P][&last=0][&headers=1][&mode=..][&timeout=25s]` and `Last-Event-ID`, which a reader sends when it comes back
/// and which therefore wins over `since`.
pub(super) fn decode(head: &RequestHead<'_>, transport: HttpTransport) -> Result<Follow, RequestError> {
    let mut follow = Follow {
        transport,
        targets: Vec::new(),
        since: Vec::new(),
        last: true,
        policy: None,
        bandwidth: decode_bandwidth(head.query())?,
        headers: false,
        forwarded_for: forwarded_for(head),
    };
    let mut since = None;
    let is_poll = matches!(transport, HttpTransport::Poll { .. });
    let names: &[&str] = if is_poll { &POLL_NAMES } else { &POLL_NAMES[1..] };
    each_pair(head.query(), names, |name, value| {
        match name {
            "topic" => add_target(&mut follow.targets, value)?,
            "since" if !value.is_empty() => {
                since = Some(value.split(',').map(decode_since).collect::<Result<Vec<_>, _>>()?);
            }
            "last" => follow.last = decode_flag(value)?,
            "headers" => follow.headers = decode_flag(value)?,
            "timeout" => {
                if let HttpTransport::Poll { timeout_ms } = &mut follow.transport {
                    *timeout_ms = decode_timeout(value)?;
                }
            }
            _ => decode_policy(name, value, &mut follow.policy)?,
        }
        Ok(())
    })?;
    if follow.targets.is_empty() {
        return Err(bad_request("name what to follow: ?topic=T, again for more"));
    }
    let has_pattern = follow.targets.iter().any(|target| name(target).is_none());
    if has_pattern && is_poll {
        // Without a position of each topic, something would be lost between two polls.
        return Err(RequestError { message: "a poll names topics, not patterns", ..BAD_TOPIC });
    }
    let names = || follow.targets.iter().filter_map(name);
    let count = names().count();
    if !can_come_back(head, transport, count) {
        return Err(TOO_LONG);
    }
    // After a refusal an `EventSource` would retry for ever, or never again. So a bad position is accepted, and the
    // reader is told that it missed something.
    let last_event_id = head.only_value("last-event-id").unwrap_or(Some(b"several")).filter(|id| !id.is_empty());
    let since = match (last_event_id, since) {
        (Some(id), _) => Some(decode_event_id(id).unwrap_or_default()),
        (None, Some(since)) if since.len() != count => {
            return Err(bad_request("since has a position for each topic, in their order, joined by commas"));
        }
        (None, since) => since,
    };
    if let Some(since) = since {
        let position = |index| if since.len() == count { since[index] } else { NOWHERE };
        follow.since = names().enumerate().map(|(index, name)| (name.clone(), position(index))).collect();
    }
    follow.transport.settle(head.version(), follow.headers, &follow.targets);
    Ok(follow)
}

/// Whether the same request fits in a head with the longest positions that its reader may ever say.
fn can_come_back(head: &RequestHead<'_>, transport: HttpTransport, count: usize) -> bool {
    let added_len = if transport.is_events() {
        LAST_EVENT_ID.len() + count * (POSITION_LEN_MAX + 1) + "\r\n".len()
    } else {
        // Some encode the commas of a query.
        SINCE.len() + count * (POSITION_LEN_MAX + "%2C".len())
    };
    let ids = head.raw_values("last-event-id").map(|id| LAST_EVENT_ID.len() + id.len() + "\r\n".len()).sum::<usize>();
    let since = head.query().into_iter().flat_map(|query| query.split('&')).filter(|pair| pair.starts_with("since="));
    let told_len = if transport.is_events() { ids } else { since.map(|pair| pair.len() + "&".len()).sum() };
    let header_count = head.header_count() + usize::from(transport.is_events() && ids == 0);
    head.head_len().saturating_sub(told_len) + added_len <= HEAD_LEN_MAX && header_count <= HEADERS_MAX
}

/// The query parameters that are read; the first ones only by polls.
const POLL_NAMES: [&str; 8] = ["timeout", "topic", "since", "last", "headers", "mode", "max_rate", "max_age_ms"];

/// The positions of an id; `None` for what is no list of positions.
fn decode_event_id(id: &[u8]) -> Option<Vec<Position>> {
    std::str::from_utf8(id).ok()?.split(',').map(|position| position.parse().ok()).collect()
}

fn add_target(targets: &mut Vec<Target>, text: &str) -> Result<(), RequestError> {
    let target = Target::parse(text).map_err(|_| BAD_TOPIC)?;
    if targets.contains(&target) {
        return Ok(());
    }
    if targets.len() == TOPICS_PER_REQUEST_MAX {
        let message = "a request names at most 128 topics";
        return Err(RequestError::new(ErrorCode::TooManyTopics, message));
    }
    targets.push(target);
    Ok(())
}

/// Seconds or milliseconds, with their unit.
fn decode_timeout(text: &str) -> Result<u64, RequestError> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        _ => 0,
    };
    let number = digits.parse().ok().filter(|_| scale > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let timeout_ms = number.map(|number: u32| u64::from(number) * scale);
    timeout_ms
        .map(|timeout_ms| timeout_ms.min(POLL_TIMEOUT_MS_MAX))
        .ok_or(bad_request("timeout is a number with its unit, such as 25s or 500ms"))
}

fn name(target: &Target) -> Option<&TopicName> {
    match target {
        Target::Topic(name) => Some(name),
        Target::Pattern(_) => None,
    }
}

const LAST_EVENT_ID: &str = "Last-Event-ID: ";
const SINCE: &str = "&since=";
/// Characters of `EPOCH-OFFSET`: up to 16 hexadecimal digits, and 20 decimal ones.
const POSITION_LEN_MAX: usize = 16 + 1 + 20;

const TOO_LONG: RequestError = RequestError::new(
    ErrorCode::TooManyTopics,
    "with a position for each topic the request would be longer than 16384 bytes or 64 fields: name fewer topics",
);

/// A position that no topic has: epochs have 32 bits.
const NOWHERE: Position = Position { epoch: Epoch(u64::MAX), offset: u64::MAX };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::parse_head;

    fn decoded(query: &str, fields: &str) -> Result<Follow, &'static str> {
        decoded_at(HttpTransport::stream(Framing::Events, Dialect::Feed), query, fields)
    }

    fn decoded_at(transport: HttpTransport, query: &str, fields: &str) -> Result<Follow, &'static str> {
        let text = format!("GET /sse?{query} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let (head, _) = parse_head(text.as_bytes()).expect(&text).expect(&text);
        decode(&head, transport).map_err(|error| error.code.as_str())
    }

    fn since(query: &str, fields: &str) -> Vec<(String, String)> {
        let follow = decoded(query, fields).expect(query);
        follow.since.iter().map(|(name, position)| (name.as_str().to_owned(), position.to_string())).collect()
    }

    #[test]
    fn topics_are_followed_once_and_in_their_order() {
        let follow = decoded("topic=b&topic=a&x=y&topic=b&topic=px.*&last=0&mode=latest", "").expect("a request");
        assert_eq!(follow.targets.iter().map(Target::as_str).collect::<Vec<_>>(), ["b", "a", "px.*"]);
        assert!(!follow.last && follow.since.is_empty());
        assert_eq!(follow.policy.and_then(|policy| policy.mode), Some(crate::command::Mode::Latest));
    }

    #[test]
    fn positions_belong_to_the_named_topics_and_last_event_id_wins() {
        let row = |name: &str, position: &str| (name.to_owned(), position.to_owned());
        assert_eq!(since("topic=b&topic=px.*&topic=a&since=1-2,3-4", ""), [row("b", "1-2"), row("a", "3-4")]);
        assert_eq!(since("topic=b&since=1-2", "Last-Event-ID: f-9\r\n"), [row("b", "f-9")]);
        assert_eq!(since("topic=b&since=1-2", "Last-Event-ID:\r\n"), [row("b", "1-2")]);
        assert_eq!(since("topic=b&since=", ""), []);
    }

    #[test]
    fn an_id_that_says_nothing_is_a_position_that_no_topic_has() {
        let head = b"GET /sse HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 1-2\xff\r\n\r\n";
        let (head, _) = parse_head(head).expect("valid").expect("complete");
        assert_eq!(head.only_value("last-event-id").map(|id| id.and_then(decode_event_id)), Ok(None));
        let twice = ("b".to_owned(), NOWHERE.to_string());
        assert_eq!(since("topic=b", "Last-Event-ID: 1-2\r\nLast-Event-ID: 1-3\r\n"), [twice]);
        for id in ["x", "1-2-3", "1-2,", ",", "1-2,3-4", "-", "1_2", "%0d%0a", "\u{fffd}", &"9".repeat(9_000)] {
            let nowhere = ("b".to_owned(), NOWHERE.to_string());
            assert_eq!(since("topic=b", &format!("Last-Event-ID: {id}\r\n")), [nowhere], "{id}");
        }
    }

    #[test]
    fn a_poll_waits_as_long_as_it_says_within_bounds_and_names_topics() {
        let timeout = |query: &str| decoded_at(POLL, query, "").map(|follow| follow.transport);
        let waits = |timeout_ms| Ok(HttpTransport::Poll { timeout_ms });
        assert_eq!(timeout("topic=a"), waits(POLL_TIMEOUT_MS));
        assert_eq!(timeout("topic=a&timeout=0s"), waits(0));
        assert_eq!(timeout("topic=a&timeout=1500ms"), waits(1_500));
        assert_eq!(timeout("topic=a&timeout=4294967295s"), waits(POLL_TIMEOUT_MS_MAX));
        for bad in ["", "5", "s", "5m", "-5s", "%2B5s", "5.5s", "4294967296s", "5s5s", "5S"] {
            assert_eq!(timeout(&format!("topic=a&timeout={bad}")), Err("bad_request"), "{bad}");
        }
        assert_eq!(timeout("topic=a&topic=px.*"), Err("bad_topic"));
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let many: String = (0..=TOPICS_PER_REQUEST_MAX).map(|n| format!("topic=t.{n}&")).collect();
        for (query, code) in [
            ("", "bad_request"),
            ("topics=a", "bad_request"),
            ("topic=", "bad_topic"),
            ("topic=a%0d%0aSet-Cookie:b", "bad_topic"),
            ("topic=a%20b", "bad_topic"),
            ("topic=a&topic=.bye", "bad_topic"),
            ("topic=a&since=x", "bad_request"),
            ("topic=a&since=1-2,3-4", "bad_request"),
            ("topic=px.*&since=1-2", "bad_request"),
            ("topic=a&last=2", "bad_request"),
            ("topic=a&mode=fast", "bad_request"),
            ("topic=a&max_rate=x", "bad_request"),
            ("topic=a&bandwidth=1", "bad_request"),
            ("topic=%zz", "bad_request"),
            (&many, "too_many_topics"),
        ] {
            assert_eq!(decoded(query, "").map(|_| ()), Err(code), "{query}");
        }
    }
}
