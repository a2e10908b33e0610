//! The protocol between the parent and its worker processes: one JSON object a line.
//!
//! The parent writes a [`WorkerPlan`](crate::plan::WorkerPlan) and then [`Command`]s to a worker's standard input, and
//! reads [`Event`]s from its standard output. The end of either stream ends the worker.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::latency::Buckets;

/// A command to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Open readers, the publishers if they are not open, and those that were lost. Answered by [`Event::Connected`].
    Connect {
        /// Of each thousand of its readers, how many shall be open.
        up_to_permille: u32,
        /// New connections a second; 0 is as fast as it goes.
        per_second: f64,
    },
    /// Count from now on what is received. Answered by [`Event::Started`]: a message that is published before every
    /// reader's worker has said so would be missing from its count.
    Round(Round),
    /// Measure the round that was announced. Answered by [`Event::Published`] when it has published all.
    Go {
        /// As [`Round::start_ns`].
        start_ns: u64,
        /// As [`Round::end_ns`].
        end_ns: u64,
    },
    /// Publish nothing more in this round. Answered by [`Event::Published`] if that was not said yet.
    Stop,
    /// End the round. Answered by [`Event::Ended`].
    Collect,
    /// Reset a share of the readers and open them again at once, and later again if they are refused. Answered by
    /// [`Event::Connected`] when all are back, or no more come.
    Drop {
        /// Of each thousand of its readers.
        permille: u32,
        /// Whether what they receive from then on counts.
        still_counts: bool,
    },
    /// Read no more from a share of the readers. They count neither in expectations nor in latencies.
    Stall {
        /// Of each thousand of its readers.
        permille: u32,
    },
    /// Read from stalled readers again, to find out which were closed. Answered by [`Event::Resumed`].
    Resume,
    /// Close everything and exit.
    Quit,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Its number, part of every stamp.
    pub number: u16,
    /// When it begins, on the machine's monotonic clock; [`u64::MAX`] until a [`Command::Go`].
    pub start_ns: u64,
    /// When nothing more is sent; [`u64::MAX`] until a [`Command::Go`].
    pub end_ns: u64,
    /// The message.
    pub traffic: Traffic,
}

/// The messages of a round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Traffic {
    /// Nothing.
    Silence,
    /// Open loop: messages at a rate, even if earlier ones are late.
    Rate {
        /// Messages a second, of all publishers together.
        per_second: f64,
        /// How many of them go in one write.
        batch: u32,
    },
    /// Open loop: messages at a rate, each to the own topic of a reader drawn by chance; and now and then one to all.
    Own {
        /// Messages a second.
        per_second: f64,
        /// Readers, all of whom have an own topic.
        readers: u32,
        /// From one message to all to the next; the first comes after as long. 0 is none.
        broadcast_ms: u64,
    },
    /// Closed loop: the next messages follow when every reader of the publisher's process has those before.
    Window {
        /// Messages in flight, sent in one write.
        len: u32,
        /// Windows to send; 0 for as many as the time permits.
        count: u32,
    },
    /// Every connection keeps so many echoes in flight, or all together send at a rate.
    Echo {
        /// Messages in flight on each connection, without a rate.
        depth: u32,
        /// Messages a second over all connections of the worker; 0 for as fast as the echoes come.
        per_second: f64,
    },
    /// Connections are opened, and reset as soon as they are open.
    Handshakes {
        /// New connections a second; 0 is as fast as it goes.
        per_second: f64,
    },
}

/// A report of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// How it stands, every now and then.
    Progress(Progress),
    /// A [`Command::Connect`] or [`Command::Drop`] is done.
    Connected(Connected),
    /// Readers whose received messages count, by topic.
    Started {
        /// One number for each topic. In an echo round, and without readers, empty.
        readers: Vec<u32>,
    },
    /// All of a round is published.
    Published {
        /// Messages by topic; of an echo round, one sum.
        messages: Vec<u64>,
        /// Messages to readers' own topics.
        own: u64,
    },
    /// A round is over.
    Ended(Box<Ended>),
    /// Stalled readers were read again.
    Resumed {
        /// Readers that were stalled.
        stalled: u32,
        /// How many of them the server had closed meanwhile.
        closed: u32,
    },
    /// The worker cannot go on.
    Failed {
        /// For a person to read.
        why: String,
    },
}

/// How a worker stands. Counts are since it began, but for those of the round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Readers that are open.
    pub open: u32,
    /// Opening handshakes that succeeded.
    pub handshakes: u64,
    /// Messages that readers received in this round.
    pub delivered: u64,
    /// Messages published in this round.
    pub published: u64,
    /// Everything that went wrong.
    pub failed: u64,
}

/// The outcome of opening connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Connected {
    /// Readers that are open now.
    pub open: u32,
    /// Publishers that are open now.
    pub publishers: u32,
    /// From dialling to ready.
    pub handshake: Buckets,
    /// The failures meanwhile, by kind.
    pub failures: Failures,
    /// When the last one was ready.
    pub last_ready_ns: u64,
    /// CPU of the worker meanwhile.
    pub cpu_ns: u64,
}

/// The outcome of a round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Messages that counted readers received.
    pub delivered: u64,
    /// Messages that other readers received: those that came back in a storm.
    pub delivered_to_others: u64,
    /// From the intended send time to the delivery, of counted readers.
    pub latency: Buckets,
    /// From the intended to the actual send time: how late the client itself was.
    pub lateness: Buckets,
    /// From dialling to open, in a round of handshakes.
    pub handshake: Buckets,
    /// Reads that had messages in them.
    pub reads: u64,
    /// The messages in them.
    pub messages: u64,
    /// Windows that were given up.
    pub windows_given_up: u64,
    /// Messages that a reader got right after themselves.
    pub duplicates: u64,
    /// Messages that a reader got after a later one.
    pub out_of_order: u64,
    /// Of the messages that counted readers received, those on their own topics.
    pub own: Own,
    /// Pings that were answered.
    pub pings: u64,
    /// Readers that had one.
    pub pinged: u64,
    /// The failures meanwhile, by kind.
    pub failures: Failures,
    /// The first and the last delivery; 0 without any.
    pub first_last_ns: (u64, u64),
    /// From the start to now.
    pub elapsed_ns: u64,
    /// CPU of the worker meanwhile.
    pub cpu_ns: u64,
    /// How long the worker was ready to run and did not get a core.
    pub waited_ns: u64,
}

/// The outcome of messages to readers' own topics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Own {
    /// Messages that readers received.
    pub delivered: u64,
    /// Messages that came to another reader.
    pub strays: u64,
    /// Messages that came again.
    pub duplicates: u64,
    /// From the intended send time to the delivery.
    pub latency: Buckets,
}

/// Failures, counted by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Failures(pub BTreeMap<String, u64>);

impl Failures {
    /// Counts one.
    pub fn add(&mut self, kind: &str) {
        self.add_n(kind, 1);
    }

    /// Counts several. Past [`KINDS_MAX`] kinds the rest are `other`: a server can make kinds up, in close codes.
    pub fn add_n(&mut self, kind: &str, count: u64) {
        if count == 0 {
            return;
        }
        let kind = if self.0.len() < KINDS_MAX || self.0.contains_key(kind) { kind } else { "other" };
        *self.0.entry(kind.to_owned()).or_default() += count;
    }

    /// Counts all of another.
    pub fn merge(&mut self, other: &Self) {
        for (kind, &count) in &other.0 {
            self.add_n(kind, count);
        }
    }

    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

/// Kinds of failures that are told apart.
pub const KINDS_MAX: usize = 64;

/// How many of `count` a share in permille is, rounded up, so that a small share of few is not none.
#[must_use]
pub fn share_of(count: u32, permille: u32) -> u32 {
    (u64::from(count) * u64::from(permille.min(1000))).div_ceil(1000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_make_up_kinds_of_failures_without_end() {
        let mut failures = Failures::default();
        (0..1000).for_each(|code| failures.add(&format!("closed_{code}")));
        failures.add("closed_0");
        assert_eq!(failures.0.len(), KINDS_MAX + 1);
        assert_eq!(failures.0["other"], 1000 - KINDS_MAX as u64);
        assert_eq!(failures.0["closed_0"], 2);
        assert_eq!(failures.total(), 1001);
    }

    #[test]
    fn a_share_is_rounded_up_and_never_more_than_all() {
        for (count, permille, share) in [
            (1000, 10, 10),
            (10, 1, 1),
            (10, 0, 0),
            (10, 1000, 10),
            (10, 2000, 10),
            (0, 500, 0),
            (u32::MAX, 1000, u32::MAX),
        ] {
            assert_eq!(share_of(count, permille), share, "{permille} of {count}");
        }
    }

    #[test]
    fn commands_and_events_are_one_line_each() {
        let round = Round { number: 1, start_ns: 2, end_ns: 3, traffic: Traffic::Window { len: 32, count: 0 } };
        for command in [Command::Round(round), Command::Quit, Command::Drop { permille: 5, still_counts: true }] {
            let line = serde_json::to_string(&command).expect("it is data");
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Command>(&line).expect("it was written by us"), command);
        }
        let ended = Ended { latency: vec![(1, 2)], first_last_ns: (u64::MAX, 1), ..Ended::default() };
        let event = Event::Ended(Box::new(ended));
        let line = serde_json::to_string(&event).expect("it is data");
        assert_eq!(serde_json::from_str::<Event>(&line).expect("it was written by us"), event);
    }
}
