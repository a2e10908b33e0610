//! The things that an HTTP request waits for, as values: one variant for each kind of answer.

use crate::command::{ErrorCode, Position, Refusal, SessionKey, ShardId, Taken, Target, TopicName};
use crate::dialect::json;
use crate::metrics::ShardMetrics;
use crate::routes::{Asked, Follow};
use crate::transport::http::Exchange;
use crate::transport::service::{Receiver, ServiceKind};
use crate::wire::json::escape_into;

/// A connection's requests while any is under way.
#[derive(Debug, Default)]
pub(in crate::shard) struct HttpSession {
    pub exchange: Exchange<Asked>,
    pub waiting: Option<Waiting>,
    /// A trusted proxy named the client of the request under way, which was counted for it.
    pub is_client_counted: bool,
}

/// The thing that the request under way waits for.
#[derive(Debug)]
pub(in crate::shard) enum Waiting {
    PublishOne(TopicName),
    PublishMany {
        batch: Batch,
        waits: usize,
    },
    Topic(TopicName),
    ForgetLast(TopicName),
    EndTopic(TopicName),
    Topics(List),
    History,
    Follow(Opening),
    Poll(Poll),
    Metrics {
        shards: Vec<ShardMetrics>,
        waits: usize,
    },
    Carry(CarryWait),
    /// Messages for a detached session.
    Sent(ServiceKind),
}

impl HttpSession {
    /// Bytes of an unfinished request.
    pub fn held_len(&self) -> usize {
        let batch = if let Some(Waiting::PublishMany { batch, .. }) = &self.waiting { batch.len() } else { 0 };
        self.exchange.held_len() + batch
    }
}

/// A request with many publications.
#[derive(Debug, Default)]
pub(in crate::shard) struct Batch {
    /// Empty once all of it is published.
    pub body: Vec<u8>,
    /// The next line.
    pub at: usize,
    /// By line; blank ones do not count.
    pub results: Vec<Line>,
}

impl Batch {
    pub fn is_published(&self) -> bool {
        self.body.is_empty()
    }

    /// Bytes that it holds.
    pub fn len(&self) -> usize {
        self.body.capacity() + self.results.capacity() * size_of::<Line>()
    }
}

/// The outcome of one line of a batch.
#[derive(Debug)]
pub(in crate::shard) enum Line {
    Waits(TopicName),
    Taken(TopicName, Taken),
    Refused(Refusal),
}

/// A request that waits for messages of a detached session.
#[derive(Debug)]
pub(in crate::shard) struct CarryWait {
    pub key: SessionKey,
    pub kind: ServiceKind,
    pub receiver: Receiver,
    /// Bytes of messages after which the response ends.
    pub len_max: usize,
    /// The bytes of messages so far.
    pub len: usize,
    /// Whether its head is out.
    pub has_begun: bool,
    /// The ticket of the question to the session's home, while there is one.
    pub asked: Option<u32>,
}

/// A list of topics under way, from one shard to the next.
#[derive(Debug)]
pub(in crate::shard) struct List {
    pub wanted: Option<Target>,
    /// So many more.
    pub left: u32,
    /// The shard that is asked.
    pub shard: ShardId,
    pub body: Vec<u8>,
}

/// A response that is about to begin.
#[derive(Debug)]
pub(in crate::shard) struct Opening {
    /// The topics that are named, in the order of the request.
    pub names: Box<[TopicName]>,
    /// Where the reader says it was.
    pub since: Vec<(TopicName, Position)>,
}

/// A poll under way.
#[derive(Debug)]
pub(in crate::shard) struct Poll {
    /// In the order of the request.
    pub names: Box<[TopicName]>,
    pub timeout_ms: u64,
    /// Whether messages come with their attributes.
    pub headers: bool,
    /// The results of its subscriptions, once they are made.
    pub open: Option<Open>,
}

#[derive(Debug)]
pub(in crate::shard) struct Open {
    /// Where the peer is when it has had the answer.
    pub positions: Box<[(TopicName, Position)]>,
    /// The positions of its topics when it joined them: the peer has everything up to there.
    pub stands: Box<[u64]>,
    /// Whether anything is missing, by topic, where the peer gave a position.
    pub recovered: Vec<(TopicName, bool)>,
    /// Whether it is answered at the end of the turn, even if nothing is held.
    pub is_due: bool,
}

impl Poll {
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

impl Line {
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Taken(topic, taken) => {
                out.extend_from_slice(b"{\"topic\":");
                escape_into(out, topic.as_str());
                out.push(b',');
                json::encode_taken(taken, out);
                out.extend_from_slice(b"}\n");
            }
            Self::Refused(refusal) => json::encode_refusal(refusal, out),
            Self::Waits(_) => unreachable!("a batch is answered when every line is"),
        }
    }
}

/// The topics that a request names, in its order.
pub(in crate::shard) fn names(follow: &Follow) -> Box<[TopicName]> {
    let name = |target: &Target| match target {
        Target::Topic(name) => Some(name.clone()),
        Target::Pattern(_) => None,
    };
    follow.targets.iter().filter_map(name).collect()
}

pub(in crate::shard) const UNKNOWN_TOPIC: Refusal =
    Refusal::new(ErrorCode::NotFound, "nobody reads or published this topic");

pub(in crate::shard) const TEXT: &str = "text/plain; charset=utf-8";
pub(in crate::shard) const JSON: &str = "application/json";
pub(in crate::shard) const NDJSON: &str = "application/x-ndjson";
pub(in crate::shard) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
