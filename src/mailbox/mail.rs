//! The mails between shards, and between them and the engine.

use std::sync::Arc;

use crate::command::{
    Carried, Carry, HistoryAnswer, HistoryQuery, JoinAnswer, Message, NotTaken, Pattern, Peer, Position, Presence,
    Publication, Refusal, SessionKey, Taken, Target, TopicLine, TopicName, TopicState,
};
use crate::limits::MAIL_COST;
use crate::live::Live;
use crate::metrics::ShardMetrics;

#[derive(Debug)]
pub enum Mail {
    /// Do something.
    Request(Request),
    /// A result, or publications to deliver.
    Answer(Answer),
}

/// A request of one shard to another. A `ticket` comes back in the answer; only its maker knows its meaning.
#[derive(Debug)]
pub enum Request {
    /// Number a publication and see that it reaches its readers. The receiver is the topic's home, or the engine.
    Publish {
        topic: TopicName,
        /// The publication, before it is numbered.
        message: Message,
        /// Answered by `Published`, if there is one.
        ticket: Option<u32>,
    },
    /// See that a publication reaches its readers that the engine has numbered; answered by `NotTaken` if it was not
    /// taken. The receiver is the topic's home. Only the engine sends it.
    Take(Arc<Publication>),
    /// A subscriber of the sender wants a topic; answered by `Joined`. The receiver is the topic's home.
    Join {
        topic: TopicName,
        /// The last position that the reader saw.
        since: Option<Position>,
        /// Whether it wants the last value.
        last: bool,
        /// Whether it leaves with the first message and comes back for the next.
        polls: bool,
        /// Whether it would rather skip than get very much of what it missed.
        skips: bool,
        /// Comes back.
        ticket: u32,
    },
    /// A subscriber of the sender left a topic. The receiver is the topic's home.
    Leave {
        topic: TopicName,
        /// Whether the sender has no other reader of it.
        is_last: bool,
    },
    /// How many readers of a pattern the sender has now.
    PatternInterest {
        pattern: Pattern,
        /// Its readers in the sender's shard; 0 ends the interest.
        readers: u32,
        /// If a reader joins with it: answered by `PatternNoted`.
        ticket: Option<u32>,
    },
    /// The last values of the topics at home here that match a pattern; answered by `PatternLastValues`.
    AskPattern {
        /// Where in the table of topics to begin.
        place: u32,
        /// The pattern, in which the sender's interest is noted.
        pattern: Pattern,
        /// Comes back.
        ticket: u32,
    },
    /// From now on the sender wants to know how many read a topic that it reads; answered by `Presence`, now and
    /// whenever the count changes. The receiver is the topic's home.
    Watch { topic: TopicName },
    /// The sender stops watching; it says so before its last reader leaves.
    Unwatch { topic: TopicName },
    /// Asks for the state of a topic. Answered by `TopicState`. The receiver is the topic's home.
    AskTopic {
        topic: TopicName,
        /// Comes back.
        ticket: u32,
    },
    /// The last value of a topic is wanted no longer; answered by `LastForgotten`. The receiver is the topic's home.
    ForgetLast {
        /// The topic.
        topic: TopicName,
        /// Comes back.
        ticket: u32,
    },
    /// End a topic; answered by `TopicEnded`. The receiver is the topic's home.
    EndTopic {
        /// The topic.
        topic: TopicName,
        /// Comes back.
        ticket: u32,
    },
    /// Which topics have their home with the receiver? Answered by `Topics`.
    ListTopics {
        /// Those that match; `None` for all.
        wanted: Option<Target>,
        /// Where in the table of topics to begin.
        place: u32,
        /// At most so many.
        limit: u32,
        /// Comes back.
        ticket: u32,
    },
    /// Asks for more of what a reader missed. Answered by `Missed`. The receiver is the topic's home.
    AskMissed {
        /// The topic.
        topic: TopicName,
        /// The last position that the reader has.
        since: Position,
        /// Comes back.
        ticket: u32,
    },
    /// Asks for the kept publications of a topic. Answered by `History`.
    AskHistory {
        topic: TopicName,
        /// Which part.
        query: HistoryQuery,
        /// Comes back.
        ticket: u32,
    },
    /// An operation of a request on a detached session; `Carried` answers all but `Gone`. The receiver is the
    /// session's home.
    Carry {
        /// The session.
        key: SessionKey,
        /// The operation.
        carry: Carry,
        /// Comes back.
        ticket: u32,
    },
    /// Asks for the shard's counters. Answered by `Metrics`.
    AskMetrics {
        /// Comes back.
        ticket: u32,
    },
    /// The certificate files were loaded again. Only the composition root sends it.
    Certificates {
        /// The certificates of handshakes from now on; `None` if the files cannot be used, and the old ones stay.
        config: Option<Arc<rustls::ServerConfig>>,
        /// When the first of them expires, in seconds since 1970.
        expires_s: u64,
    },
    /// The live configuration has changed. Only the composition root sends it.
    Live(Arc<Live>),
    /// Hand over your topics for a snapshot. Only the thread that writes it says so.
    Snapshot {
        /// Which one.
        number: u64,
    },
    /// A snapshot was written, or could not be. Only the thread that writes it says so.
    SnapshotEnded {
        /// Whether it is on the disk.
        is_written: bool,
    },
    /// Shut down in order. Only the composition root sends it.
    Drain,
    /// Everything that the sender is to deliver for what it has answered so far comes before the `Fenced` to this.
    Fence,
    /// The sender has no connection left and stays only to answer.
    Drained,
}

/// Mail that needs no answer.
#[derive(Debug)]
pub enum Answer {
    /// A publication for the receiver's readers.
    Deliver(Arc<Publication>),
    /// A publication was taken or refused.
    Published {
        /// From the request.
        ticket: u32,
        /// Its number.
        result: Result<Taken, Refusal>,
    },
    /// A publication of the engine was not taken.
    NotTaken {
        topic: TopicName,
        /// Why not.
        cause: NotTaken,
    },
    /// A subscriber was counted or refused. What is delivered after this follows the position without a gap.
    Joined {
        /// From the request.
        ticket: u32,
        /// Where the topic stands.
        result: Result<JoinAnswer, Refusal>,
    },
    /// The interest in a pattern is noted: from here on every publication that matches is delivered.
    PatternNoted {
        /// From the request.
        ticket: u32,
    },
    /// The last values of a pattern's topics. What was delivered before this includes each of them, or nothing of its
    /// topic.
    PatternLastValues {
        /// Where to go on, if there is more.
        next: Option<u32>,
        /// From the request.
        ticket: u32,
        /// The last values of the sender's topics.
        publications: Vec<Arc<Publication>>,
    },
    /// The state of a topic.
    TopicState {
        /// From the request.
        ticket: u32,
        /// `None` if nobody reads or published it.
        state: Option<TopicState>,
    },
    /// A topic has no last value any more.
    LastForgotten {
        /// From the request.
        ticket: u32,
        /// Where the topic stands; `None` if nobody reads or published it.
        position: Option<Position>,
    },
    /// Some of what a reader missed.
    Missed {
        /// From the request.
        ticket: u32,
        /// What follows the position; `None` if not all of it is kept any more.
        missed: Option<Vec<Arc<Publication>>>,
    },
    /// A topic was ended.
    TopicEnded {
        /// From the request.
        ticket: u32,
        /// Where it stood, and how many readers keep it; `None` if nobody reads or published it.
        ended: Option<(Position, u32)>,
    },
    /// Some topics.
    Topics {
        /// From the request.
        ticket: u32,
        /// In the order of the table.
        lines: Vec<TopicLine>,
        /// Where to go on, if there are more.
        next: Option<u32>,
    },
    /// The kept publications of a topic.
    History {
        /// From the request.
        ticket: u32,
        /// `None` if nobody reads or published it.
        history: Option<HistoryAnswer>,
    },
    /// How many read a topic that the receiver watches.
    Presence {
        topic: TopicName,
        /// The count.
        presence: Presence,
    },
    /// The result of an operation on a detached session.
    Carried {
        /// From the request.
        ticket: u32,
        /// The answer to the request.
        carried: Carried,
    },
    /// Everything before the fence was sent.
    Fenced,
    /// The counters of the sender.
    Metrics {
        /// From the request.
        ticket: u32,
        /// The counters.
        metrics: Box<ShardMetrics>,
    },
}

impl Request {
    /// Bytes that it takes.
    #[must_use]
    pub fn cost(&self) -> usize {
        let brought = match self {
            Self::Publish { message, .. } => message.cost(),
            Self::Take(publication) => publication.cost(),
            Self::Carry { carry, .. } => carry.payload_len(),
            _ => 0,
        };
        MAIL_COST + brought
    }
}

impl Answer {
    /// Bytes that it keeps alive.
    #[must_use]
    pub fn cost(&self) -> usize {
        let cost_of_all = |all: &[Arc<Publication>]| all.iter().map(|publication| publication.cost()).sum();
        let kept: usize = match self {
            Self::Deliver(publication) => publication.cost(),
            Self::Joined { result: Ok(answer), .. } => cost_of_all(&answer.publications),
            Self::PatternLastValues { publications, .. } => cost_of_all(publications),
            Self::History { history: Some(history), .. } => cost_of_all(&history.publications),
            Self::Missed { missed: Some(missed), .. } => cost_of_all(missed),
            Self::Topics { lines, .. } => size_of_val(&**lines),
            Self::Metrics { .. } => size_of::<ShardMetrics>(),
            Self::Carried { carried: Carried::Told(bytes), .. } => bytes.len(),
            Self::TopicState { state: Some(state), .. } => state.last.as_ref().map_or(0, |last| last.cost()),
            _ => 0,
        };
        MAIL_COST + kept
    }
}

/// Mail on its way out, collected in a turn.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// By receiver, in order, with the bytes of each.
    pub(super) requests: Vec<(Peer, Request, usize)>,
    /// By receiver, in order, with the bytes that each keeps alive.
    pub(super) answers: Vec<(Peer, Answer, usize)>,
    /// Bytes of all of it. A publication counts once, however many shards it goes to.
    pub(super) cost: usize,
}

impl Outgoing {
    /// Adds a request.
    pub fn ask(&mut self, to: impl Into<Peer>, request: Request) {
        let cost = request.cost();
        self.cost += cost;
        self.requests.push((to.into(), request, cost));
    }

    /// Adds an answer.
    pub fn answer(&mut self, to: impl Into<Peer>, answer: Answer) {
        let cost = answer.cost();
        let is_shared = match (&answer, self.answers.last()) {
            (Answer::Deliver(one), Some((_, Answer::Deliver(other), _))) => Arc::ptr_eq(one, other),
            _ => false,
        };
        self.cost += if is_shared { MAIL_COST } else { cost };
        self.answers.push((to.into(), answer, cost));
    }

    /// Bytes of all of it.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Gives room that is not needed now back to the allocator.
    pub fn shrink_to_fit(&mut self) {
        self.requests.shrink_to_fit();
        self.answers.shrink_to_fit();
    }

    /// Mails.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len() + self.answers.len()
    }

    /// Whether nothing is on its way out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.answers.is_empty()
    }
}
