//! The neutral vocabulary: what a peer can want and what it can be told, with no protocol's bytes in it.
//!
//! Dialects turn messages into [`Command`]s and [`Outbound`]s into messages; the hub and the shard know nothing else.

mod policy;

pub use policy::{Mode, Policy, Rate, parse_age, parse_rate};

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::limits::{ID_LEN_MAX, TOPIC_LEN_MAX};
use crate::time::MonoTime;

/// A connection of one shard: its arena index, and how often that place was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// Its place in the arena.
    pub index: u32,
    /// How often the place was used before; a stale id is told apart by it.
    pub generation: u32,
}

/// A shard of this process, `0..SHARDS_MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u8);

impl ShardId {
    /// As an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A valid topic name: 1 to 255 bytes, tokens of any visible character but `.`, `*`, `>` and space, joined by dots.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

/// A valid pattern with at least one wildcard: `*` stands for one token, a last `>` for one or more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(Arc<str>);

/// What can be subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// One topic.
    Topic(TopicName),
    /// Every topic that the pattern matches, also those that come to be later.
    Pattern(Pattern),
}

/// Not a topic name, or not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTopic;

impl fmt::Display for BadTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a topic is 1 to 255 bytes: tokens of visible characters but '.', '*', '>' and space, joined by dots",
        )
    }
}

impl std::error::Error for BadTopic {}

impl TopicName {
    /// Checks a name and keeps a copy of it.
    ///
    /// # Errors
    /// [`BadTopic`] if it breaks a rule, or holds a wildcard.
    pub fn parse(name: &str) -> Result<Self, BadTopic> {
        check_tokens(name, |token, _| !token.contains(['*', '>']))?;
        Ok(Self(name.into()))
    }

    /// Whether `name` would parse; makes no copy.
    #[must_use]
    pub fn is_valid(name: &str) -> bool {
        check_tokens(name, |token, _| !token.contains(['*', '>'])).is_ok()
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Pattern {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern stands for `topic`.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        let mut tokens = topic.split('.');
        for want in self.0.split('.') {
            match (want, tokens.next()) {
                (">", Some(_)) => return true,
                (_, None) => return false,
                ("*", Some(_)) => {}
                (want, Some(token)) if want == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }
}

impl Target {
    /// Checks a topic name or pattern and keeps a copy of it.
    ///
    /// # Errors
    /// [`BadTopic`] if it is neither.
    pub fn parse(text: &str) -> Result<Self, BadTopic> {
        let mut is_pattern = false;
        check_tokens(text, |token, is_last| {
            is_pattern |= token == "*" || token == ">";
            token == "*" || (token == ">" && is_last) || !token.contains(['*', '>'])
        })?;
        Ok(if is_pattern { Self::Pattern(Pattern(text.into())) } else { Self::Topic(TopicName(text.into())) })
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Topic(topic) => topic.as_str(),
            Self::Pattern(pattern) => pattern.as_str(),
        }
    }
}

impl FromStr for Target {
    type Err = BadTopic;

    fn from_str(text: &str) -> Result<Self, BadTopic> {
        Self::parse(text)
    }
}

impl FromStr for TopicName {
    type Err = BadTopic;

    fn from_str(text: &str) -> Result<Self, BadTopic> {
        Self::parse(text)
    }
}

fn check_tokens(text: &str, mut token_ok: impl FnMut(&str, bool) -> bool) -> Result<(), BadTopic> {
    if text.is_empty() || text.len() > TOPIC_LEN_MAX {
        return Err(BadTopic);
    }
    let mut tokens = text.split('.').peekable();
    while let Some(token) = tokens.next() {
        let visible = !token.is_empty() && !token.chars().any(|c| c.is_whitespace() || c.is_control());
        if !visible || !token_ok(token, tokens.peek().is_none()) {
            return Err(BadTopic);
        }
    }
    Ok(())
}

/// Which life of a topic an offset belongs to. A topic that is forgotten and made again gets another epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A place in a topic's sequence of publications; its text form is `EPOCH-OFFSET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The topic's life.
    pub epoch: Epoch,
    /// The number of the publication; the first is 1, and 0 is before the first.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

/// Not an `EPOCH-OFFSET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPosition;

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let (epoch, offset) = text.split_once('-').ok_or(BadPosition)?;
        let plain = |part: &str| part.len() <= 20 && part.bytes().all(|b| b.is_ascii_hexdigit());
        if !plain(epoch) || !plain(offset) {
            return Err(BadPosition);
        }
        Ok(Self {
            epoch: Epoch(u64::from_str_radix(epoch, 16).map_err(|_| BadPosition)?),
            offset: offset.parse().map_err(|_| BadPosition)?,
        })
    }
}

/// What the bytes of a payload are known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayloadKind {
    /// Valid JSON, as it came in a JSON message.
    Json,
    /// UTF-8 that may or may not be JSON; whoever encodes it as JSON looks.
    Text,
    /// Any bytes.
    Binary,
}

impl PayloadKind {
    /// Whether a payload can be of this kind.
    #[must_use]
    pub fn allows(self, payload: &[u8]) -> bool {
        self == Self::Binary || std::str::from_utf8(payload).is_ok()
    }
}

/// Which connection of which shard published; a reader may ask not to get its own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The publisher's shard.
    pub shard: ShardId,
    /// The publisher.
    pub conn: ConnId,
}

/// One message of a topic, numbered by the topic's home shard. Shared between shards, never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The topic.
    pub topic: TopicName,
    /// Its number.
    pub position: Position,
    /// What the payload is.
    pub kind: PayloadKind,
    /// The bytes, as they were published.
    pub payload: Box<[u8]>,
    /// The conflation key, if it has one.
    pub key: Option<Box<str>>,
    /// Who published it, where that is a connection of this process.
    pub origin: Option<Origin>,
    /// When it was numbered.
    pub time: MonoTime,
}

/// What is to be said, before it has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What the payload is.
    pub kind: PayloadKind,
    /// The bytes.
    pub payload: Box<[u8]>,
    /// The conflation key.
    pub key: Option<Box<str>>,
    /// Who publishes.
    pub origin: Option<Origin>,
}

impl Message {
    /// A text without a key, from nobody in particular.
    #[must_use]
    pub fn text(payload: &[u8]) -> Self {
        Self { kind: PayloadKind::Text, payload: payload.into(), key: None, origin: None }
    }
}

/// How what a topic says is compressed for readers that take it so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Not at all.
    Off,
    /// Each message for itself.
    #[default]
    Message,
    /// All of them in one stream.
    Shared,
}

impl FromStr for Compression {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "off" => Ok(Self::Off),
            "message" => Ok(Self::Message),
            "shared" => Ok(Self::Shared),
            _ => Err(()),
        }
    }
}

/// The `id` of an operation, echoed in its reply: the JSON text of a number or a string, at most
/// [`ID_LEN_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationId(Box<str>);

impl OperationId {
    /// Keeps the JSON text of an id; `None` if it is too long.
    #[must_use]
    pub fn new(json: &str) -> Option<Self> {
        (json.len() <= ID_LEN_MAX).then(|| Self(json.into()))
    }

    /// The JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// What a peer wants, decoded from one message.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Follow topics and patterns.
    Subscribe(Subscribe),
    /// Leave topics and patterns.
    Unsubscribe {
        /// Echoed.
        id: Option<OperationId>,
        /// What to leave.
        targets: Vec<Target>,
    },
    /// Say something in a topic.
    Publish(Publish<'a>),
    /// What was said in a topic.
    History {
        /// Echoed.
        id: Option<OperationId>,
        /// The topic.
        topic: TopicName,
        /// Which part of it.
        query: HistoryQuery,
    },
    /// Are you there?
    Ping {
        /// Echoed.
        id: Option<OperationId>,
    },
}

/// Which part of a topic's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Only what is newer.
    pub since: Option<Position>,
    /// At most so many publications.
    pub limit: u32,
    /// The newest first, rather than the oldest.
    pub newest_first: bool,
}

impl HistoryQuery {
    /// All that is kept, oldest first.
    pub const ALL: Self = Self { since: None, limit: u32::MAX, newest_first: false };
}

/// What is kept of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryAnswer {
    /// Where the topic stands.
    pub position: Position,
    /// In the order that was asked for.
    pub publications: Vec<Arc<Publication>>,
}

/// Follow topics and patterns.
#[derive(Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Echoed.
    pub id: Option<OperationId>,
    /// What to follow.
    pub targets: Vec<Target>,
    /// The last position that the reader saw, by topic.
    pub since: Vec<(TopicName, Position)>,
    /// Whether to send the last value on joining.
    pub last: bool,
    /// What it asks for beside; a target that is followed already keeps its policy if this is `None`.
    pub policy: Option<Policy>,
}

/// Say something in a topic. The name is checked when it is looked up.
#[derive(Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Echoed.
    pub id: Option<OperationId>,
    /// The topic's name, valid.
    pub topic: &'a str,
    /// What the payload is.
    pub kind: PayloadKind,
    /// The bytes.
    pub payload: &'a [u8],
    /// The conflation key.
    pub key: Option<&'a str>,
}

/// Why an operation was refused; the names are those of the protocol page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Not an operation, or not with these fields.
    BadRequest,
    /// Not a topic name or pattern.
    BadTopic,
    /// Not allowed.
    Forbidden,
    /// Not without credentials.
    Unauthorized,
    /// More topics than a connection, or an operation, may have.
    TooManyTopics,
    /// A payload past its bound.
    TooLarge,
    /// Too often.
    RateLimited,
    /// No such thing.
    NotFound,
    /// The process is at one of its limits; later it may work.
    Overloaded,
    /// Our mistake.
    Internal,
}

impl ErrorCode {
    /// The name on the wire, and the HTTP status that goes with it.
    #[must_use]
    pub const fn row(self) -> (&'static str, u16) {
        match self {
            Self::BadRequest => ("bad_request", 400),
            Self::BadTopic => ("bad_topic", 400),
            Self::Forbidden => ("forbidden", 403),
            Self::Unauthorized => ("unauthorized", 401),
            Self::TooManyTopics => ("too_many_topics", 400),
            Self::TooLarge => ("too_large", 413),
            Self::RateLimited => ("rate_limited", 429),
            Self::NotFound => ("not_found", 404),
            Self::Overloaded => ("overloaded", 503),
            Self::Internal => ("internal", 500),
        }
    }

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }
}

/// A refused operation: a code for programs, a sentence for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: ErrorCode,
    /// The sentence.
    pub message: &'static str,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub const fn new(code: ErrorCode, message: &'static str) -> Self {
        Self { code, message }
    }
}

/// How one topic or pattern of a subscription went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// What was joined.
    pub target: Target,
    /// Where the topic stood at that moment; `None` for a pattern.
    pub position: Option<Position>,
    /// Whether the reader misses nothing since the position it gave; `None` if it gave none.
    pub recovered: Option<bool>,
}

/// What a new reader of a topic is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinAnswer {
    /// Where the topic stands; what the reader gets from now on follows it without a gap.
    pub position: Position,
    /// Whether nothing was missed since the position that the reader gave; `None` if it gave none.
    pub recovered: Option<bool>,
    /// What the reader gets first: what it missed, or the last value.
    pub publications: Vec<Arc<Publication>>,
}

/// What there is to say of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// Where it stands.
    pub position: Position,
    /// Its readers in all shards, by name and by pattern.
    pub readers: u32,
    /// Its last value, if it is kept.
    pub last: Option<Arc<Publication>>,
}

/// What a peer is told, to be encoded by its dialect.
#[derive(Debug)]
pub enum Outbound<'a> {
    /// A subscription was made.
    Subscribed {
        /// Echoed.
        id: Option<&'a OperationId>,
        /// Each target of the operation, once.
        joined: &'a [Joined],
    },
    /// An operation succeeded that has nothing to tell.
    Done {
        /// Echoed.
        id: Option<&'a OperationId>,
    },
    /// A publication was taken.
    Published {
        /// Echoed.
        id: Option<&'a OperationId>,
        /// The topic.
        topic: &'a str,
        /// Its number.
        position: Position,
    },
    /// What was said in a topic.
    History {
        /// Echoed.
        id: Option<&'a OperationId>,
        /// The topic.
        topic: &'a str,
        /// The topic's life.
        epoch: Epoch,
        /// In the order that was asked for.
        publications: &'a [Arc<Publication>],
    },
    /// An operation was refused.
    Refused {
        /// Echoed.
        id: Option<&'a OperationId>,
        /// Why.
        refusal: Refusal,
    },
    /// Publications were left out because the reader was behind and asked for that.
    Gap {
        /// The topic.
        topic: &'a str,
        /// How many.
        skipped: u64,
        /// The number of the publication that comes next.
        offset: u64,
    },
    /// The gateway goes away.
    Bye {
        /// When to come back, in milliseconds.
        retry_ms: u64,
    },
    /// One publication.
    Push(&'a Publication),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_and_patterns_are_told_apart_and_bad_ones_refused() {
        for good in ["px.AAPL", "a", "größe.€", "a-b_c/d:e", &"x".repeat(TOPIC_LEN_MAX)] {
            assert!(matches!(Target::parse(good), Ok(Target::Topic(_))), "{good}");
            assert!(TopicName::parse(good).is_ok(), "{good}");
        }
        for pattern in ["*", ">", "px.*", "*.a", "px.>", "a.*.b.>"] {
            assert!(matches!(Target::parse(pattern), Ok(Target::Pattern(_))), "{pattern}");
            assert!(TopicName::parse(pattern).is_err(), "{pattern}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\u{7f}", ">.a", "a*", "a.b>", "\u{a0}"] {
            assert!(Target::parse(bad).is_err(), "{bad:?}");
            assert!(!TopicName::is_valid(bad), "{bad:?}");
        }
        assert!(Target::parse(&"x".repeat(TOPIC_LEN_MAX + 1)).is_err());
    }

    #[test]
    fn a_star_stands_for_one_token_and_a_last_arrow_for_the_rest() {
        let matches = |pattern: &str, topic: &str| match Target::parse(pattern) {
            Ok(Target::Pattern(pattern)) => pattern.matches(topic),
            _ => panic!("{pattern} is a pattern"),
        };
        assert!(matches("px.*", "px.AAPL"));
        assert!(!matches("px.*", "px"));
        assert!(!matches("px.*", "px.AAPL.bid"));
        assert!(matches("px.>", "px.AAPL.bid"));
        assert!(!matches("px.>", "px"));
        assert!(matches("*.AAPL", "px.AAPL"));
        assert!(matches(">", "anything.at.all"));
        assert!(!matches("a.*.c", "a.b.d"));
    }

    #[test]
    fn a_position_reads_back_as_it_was_written() {
        let position = Position { epoch: Epoch(0xdead_beef), offset: 123 };
        assert_eq!(position.to_string(), "deadbeef-123");
        assert_eq!("deadbeef-123".parse(), Ok(position));
        for bad in ["", "-", "1", "1-", "-1", "x-1", "1-x", "1-f", "+1-1", "1-+1", "11111111111111111-1", "1-1-1"] {
            assert_eq!(bad.parse::<Position>(), Err(BadPosition), "{bad}");
        }
    }
}
