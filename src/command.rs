//! The neutral vocabulary: the commands of a peer and the answers to it, without the bytes of any protocol.
//!
//! Dialects turn messages into [`Command`]s and [`Outbound`]s into messages; the hub and the shard know nothing else.

mod carry;
mod compression;
mod extras;
mod image;
mod policy;
mod position;
mod refusal;
mod session;
mod shards;
mod topic;
mod visible;

pub use carry::{Carried, Carry, Opening};
pub use compression::Compression;
pub use extras::{Attributes, CONTENT_TYPE, Extras, is_event};
pub use image::{LastImage, TopicImage};
pub use policy::{Mode, Policy, Rate, parse_age, parse_rate};
pub use position::{BadPosition, Epoch, Position};
pub use refusal::{NotTaken, Refusal};
pub use session::{ConnId, Owner, SessionId, SessionIndex, SessionKey};
pub use shards::{Peer, PeerSet, ShardId, ShardSet};
pub use topic::{BadTopic, Pattern, Target, TopicName};

use std::borrow::Cow;
use std::sync::Arc;

pub use crate::close::ErrorCode;
use crate::limits::{ID_LEN_MAX, MESSAGE_ID_LEN_MAX, PUBLICATION_COST, TEXT_COST};
use crate::time::MonoTime;

/// The kind of a payload's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayloadKind {
    /// Valid JSON, as it came in a JSON message.
    Json,
    /// UTF-8 that may or may not be JSON; a dialect that encodes it as JSON checks.
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

/// The kind of a message in its transport: text, or any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

impl From<PayloadKind> for MessageKind {
    fn from(kind: PayloadKind) -> Self {
        if kind == PayloadKind::Binary { Self::Binary } else { Self::Text }
    }
}

impl From<MessageKind> for PayloadKind {
    fn from(kind: MessageKind) -> Self {
        if kind == MessageKind::Binary { Self::Binary } else { Self::Text }
    }
}

/// Which session of which shard published; a reader may ask not to get its own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The publisher's shard.
    pub shard: ShardId,
    /// The publisher.
    pub session: SessionId,
}

/// One message of a topic, numbered by the topic's home shard. Shared between shards, never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub topic: TopicName,
    /// Its number.
    pub position: Position,
    /// The offset of the one before it in its topic. Offsets may have holes, where another source numbers the
    /// publications. Nothing is missing between two publications if the second names the first.
    pub prev: u64,
    /// The kind of the payload.
    pub kind: PayloadKind,
    /// The bytes, as they were published.
    pub payload: Box<[u8]>,
    /// The conflation key, if it has one.
    pub key: Option<Box<str>>,
    /// The session that published it, if it is one of this process.
    pub origin: Option<Origin>,
    /// When it was numbered.
    pub time: MonoTime,
    /// The event, the attributes and the like, if there are any.
    pub extras: Option<Box<Extras>>,
}

impl Publication {
    /// Bytes that it takes, for as long as anybody keeps it. Its topic's name is the topic's.
    #[inline]
    #[must_use]
    pub fn cost(&self) -> usize {
        cost(&self.payload, self.key.as_deref(), self.extras.as_deref())
    }

    /// Bytes of it that are said to each reader: the payload, and the texts that it comes with.
    #[must_use]
    pub fn said_len(&self) -> usize {
        self.payload.len() + self.extras.as_ref().map_or(0, |extras| extras.text_len())
    }

    /// The name of the event that it tells of.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        self.extras.as_ref().and_then(|extras| extras.event.as_deref())
    }

    /// Whether its offset is the next one behind that of the publication before it.
    #[must_use]
    pub fn is_next(&self) -> bool {
        self.prev.wrapping_add(1) == self.position.offset
    }

    /// Whether it becomes the topic's last value.
    #[must_use]
    pub fn keeps_last(&self) -> bool {
        !self.extras.as_ref().is_some_and(|extras| extras.is_passing)
    }

    /// Whether one session does not get it, even if that session follows the topic.
    #[must_use]
    pub fn has_exception(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.except.is_some())
    }

    /// Whether a session does not get it: it is the exception, or published it and `hides_own`.
    #[must_use]
    pub fn is_hidden_from(&self, session: Origin, hides_own: bool) -> bool {
        let is_own = hides_own && self.origin == Some(session);
        is_own || self.extras.as_ref().is_some_and(|extras| extras.except == Some(session))
    }
}

#[inline]
fn cost(payload: &[u8], key: Option<&str>, extras: Option<&Extras>) -> usize {
    let key = key.map_or(0, |key| key.len() + TEXT_COST);
    PUBLICATION_COST + payload.len() + key + extras.map_or(0, Extras::cost)
}

/// A publication before it is numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The kind of the payload.
    pub kind: PayloadKind,
    /// The bytes.
    pub payload: Box<[u8]>,
    /// The conflation key.
    pub key: Option<Box<str>>,
    /// The publishing session.
    pub origin: Option<Origin>,
    /// The message id and the condition, if there are any.
    pub terms: Option<Box<Terms>>,
    /// The event, the attributes and the like, if there are any.
    pub extras: Option<Box<Extras>>,
}

/// Conditions under which a message is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The message id: a repeat with the same id is not published again.
    pub message_id: Option<Box<str>>,
    /// Where the topic must stand.
    pub condition: Option<Condition>,
    /// The owner in whose share its message id counts.
    pub owner: Owner,
}

/// Whether a text can name a message: 1 to [`MESSAGE_ID_LEN_MAX`] visible ASCII characters, so that it can stand in a
/// header field and in JSON alike.
#[must_use]
pub fn is_message_id(text: &str) -> bool {
    (1..=MESSAGE_ID_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Where a topic must stand for a publication to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// At this position: nothing was published since.
    At(Position),
    /// At no position: nothing was published yet.
    Nothing,
}

/// The outcome of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its number.
    pub position: Position,
    /// Whether it was published before with the same message id. It is not published again.
    pub is_duplicate: bool,
}

impl Message {
    /// Bytes that it takes.
    #[must_use]
    pub fn cost(&self) -> usize {
        let message_id = self.terms.as_ref().and_then(|terms| terms.message_id.as_ref());
        let message_id = message_id.map_or(0, |id| id.len() + TEXT_COST);
        message_id + cost(&self.payload, self.key.as_deref(), self.extras.as_deref())
    }

    /// A text without a key and without an origin.
    #[must_use]
    pub fn text(payload: &[u8]) -> Self {
        Self { kind: PayloadKind::Text, payload: payload.into(), key: None, origin: None, terms: None, extras: None }
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

/// A command of a peer, decoded from one message.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Follow topics and patterns.
    Subscribe(Subscribe),
    /// Leave topics and patterns.
    Unsubscribe {
        /// Echoed.
        id: Option<OperationId>,
        /// The targets to leave.
        targets: Vec<Target>,
    },
    /// Publish in a topic.
    Publish(Publish<'a>),
    /// Publish in the one topic of the session.
    Say {
        /// The kind of the payload.
        kind: PayloadKind,
        /// The bytes.
        payload: &'a [u8],
    },
    /// Send the message back to its sender.
    Echo {
        /// Text or binary.
        kind: MessageKind,
        /// The bytes.
        message: &'a [u8],
    },
    /// Read the history of a topic.
    History {
        /// Echoed.
        id: Option<OperationId>,
        topic: TopicName,
        /// Which part of it.
        query: HistoryQuery,
    },
    /// Ask for a reply, to see that the gateway is there.
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

/// The answer to a question for history.
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
    /// The targets to follow.
    pub targets: Vec<Target>,
    /// The last position that the reader saw, by topic.
    pub since: Vec<(TopicName, Position)>,
    /// Whether to send the last value on joining.
    pub last: bool,
    /// Its policy; a target that is followed already keeps its policy if this is `None`.
    pub policy: Option<Policy>,
    /// Whether to tell how many read the topics.
    pub presence: bool,
    /// Whether from now on the session's publications come with their attributes; as before if this is `None`.
    pub headers: Option<bool>,
}

/// Publish in a topic. The name is checked when it is looked up.
#[derive(Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Echoed.
    pub id: Option<OperationId>,
    /// The topic's name, valid.
    pub topic: Cow<'a, str>,
    /// The kind of the payload.
    pub kind: PayloadKind,
    /// The bytes.
    pub payload: &'a [u8],
    /// The conflation key.
    pub key: Option<Cow<'a, str>>,
    /// The message id: a repeat with the same id is not published again.
    pub message_id: Option<Cow<'a, str>>,
    /// Where the topic must stand.
    pub condition: Option<Condition>,
    /// The event, the attributes and the like, if there are any.
    pub extras: Option<Box<Extras>>,
    /// Whether the publisher gets it too, if it follows the topic.
    pub echo: bool,
}

impl Publish<'_> {
    /// The message, with a copy of the payload; takes the extras.
    #[must_use]
    pub fn message(&mut self, origin: Origin) -> Message {
        let has_terms = self.message_id.is_some() || self.condition.is_some();
        let terms = || {
            Box::new(Terms {
                message_id: self.message_id.as_deref().map(Box::from),
                condition: self.condition,
                owner: Owner::default(),
            })
        };
        let mut extras = self.extras.take();
        if !self.echo {
            extras.get_or_insert_default().except = Some(origin);
        }
        Message {
            kind: self.kind,
            payload: Box::from(self.payload),
            key: self.key.as_deref().map(Box::from),
            origin: Some(origin),
            terms: has_terms.then(terms),
            extras,
        }
    }
}

/// The result of a subscription for one topic or pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The target.
    pub target: Target,
    /// Where the topic stood at that moment; `None` for a pattern.
    pub position: Option<Position>,
    /// Whether the reader misses nothing since the position it gave; `None` if it gave none.
    pub recovered: Option<bool>,
}

/// The answer to a new reader of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinAnswer {
    /// The position of the topic. The publications that the reader gets from now on follow it without a gap.
    pub position: Position,
    /// Whether nothing was missed since the position that the reader gave; `None` if it gave none.
    pub recovered: Option<bool>,
    /// The publications that the reader gets first: those that it missed, or the last value.
    pub publications: Vec<Arc<Publication>>,
}

/// How many read a topic, in all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Subscriptions, by name and by pattern.
    pub readers: u32,
    /// Subscriptions by name made since the topic was created.
    pub joins: u64,
    /// Subscriptions by name that ended since then.
    pub leaves: u64,
}

/// The state of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// The position.
    pub position: Position,
    /// The counts of its readers.
    pub presence: Presence,
    /// Its last value, if it is kept.
    pub last: Option<Arc<Publication>>,
    /// Payload bytes of the last value.
    pub last_len: u64,
    /// Payload bytes of the history beside it.
    pub history_len: u64,
}

/// A topic in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicLine {
    /// The topic.
    pub topic: TopicName,
    /// The position.
    pub position: Position,
    /// Its readers by name in all shards.
    pub readers: u32,
}

/// Where a list of topics goes on: the shard, and the place in its table. As text `SHARD-PLACE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListCursor {
    /// The shard.
    pub shard: u8,
    /// The place.
    pub place: u32,
}

impl ListCursor {
    /// Reads one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (shard, place) = text.split_once('-')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_number = digits(shard) && digits(place);
        is_number.then(|| Some(Self { shard: shard.parse().ok()?, place: place.parse().ok()? }))?
    }
}

/// A message to a peer, to be encoded by its dialect.
#[derive(Debug)]
pub enum Outbound<'a> {
    /// A subscription was made.
    Subscribed {
        /// Echoed.
        id: Option<&'a OperationId>,
        /// Each target of the operation, once.
        joined: &'a [Joined],
    },
    /// An operation succeeded, and the reply has no further fields.
    Done {
        /// Echoed.
        id: Option<&'a OperationId>,
    },
    /// A publication was taken.
    Published {
        /// Echoed.
        id: Option<&'a OperationId>,
        topic: &'a str,
        /// Its number.
        taken: Taken,
    },
    /// The history of a topic.
    History {
        /// Echoed.
        id: Option<&'a OperationId>,
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
    /// Publications were left out, because the reader was behind and its mode permits that.
    Gap {
        topic: &'a str,
        /// How many.
        skipped: u64,
        /// The number of the publication that comes next.
        offset: u64,
    },
    /// How many read a topic.
    Presence {
        topic: &'a str,
        /// The count.
        presence: Presence,
    },
    /// The gateway shuts down.
    Bye {
        /// When to come back, in milliseconds.
        retry_ms: u64,
    },
    /// One publication.
    Push(&'a Publication),
}
