//! Mail between threads: two lanes for each ordered pair, bounded, without a lock.
//!
//! The threads are the shards and, where there is one, the *engine*, which numbers publications for all of them.
//! *Requests* ask a thread to do something and may make it send answers. *Answers* never make anybody send answers. A
//! thread always takes its answers, and takes requests only while its own answers find room, so that two that are full of
//! each other's mail still get on. Each lane keeps its order; a snapshot and what follows it travel as answers, so that no
//! publication overtakes the snapshot it belongs behind.
//!
//! A full lane drops nothing: mail waits at its sender, and [`Mailbox::is_congested`] tells the sender to stop reading
//! from its publishers. This room knows no connection and no kernel: it returns the threads to wake, and the shard's
//! loop wakes them. Tests: beside the code.

mod admission;
mod ends;
mod engine;
mod lane;
mod mail;
mod portions;
#[cfg(test)]
mod tests;

pub use admission::{Admission, AdmissionError, one_client};
pub use engine::EngineBox;
pub use mail::{Answer, Mail, Outgoing, Request};
pub use portions::{Portion, PortionLane, SnapshotNumber};

use std::ops::ControlFlow;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::command::{Peer, PeerSet};
use crate::limits::SHARDS_MAX;
use ends::Ends;

/// One shard's end of all lanes.
#[derive(Debug)]
pub struct Mailbox {
    ends: Ends,
    control: Consumer<Request>,
}

/// The end that the composition root keeps, to send mail to every shard.
#[derive(Debug)]
pub struct Control {
    lanes: Vec<Producer<Request>>,
}

impl Mailbox {
    /// Mailboxes for `shards` shards, and the control that reaches them all.
    ///
    /// # Panics
    /// If `shards` is 0 or past [`SHARDS_MAX`].
    #[must_use]
    pub fn mesh(shards: usize) -> (Vec<Self>, Control) {
        assert!((1..=SHARDS_MAX).contains(&shards), "shards are validated before");
        Self::of(Ends::mesh(shards, false))
    }

    /// The same, and the mailbox of an engine that all of them write to.
    ///
    /// # Panics
    /// As [`Mailbox::mesh`].
    #[must_use]
    pub fn mesh_with_engine(shards: usize) -> (Vec<Self>, EngineBox, Control) {
        assert!((1..=SHARDS_MAX).contains(&shards), "shards are validated before");
        let mut ends = Ends::mesh(shards, true);
        let engine = EngineBox(ends.pop().expect("the engine's place is the last"));
        let (mailboxes, control) = Self::of(ends);
        (mailboxes, engine, control)
    }

    fn of(ends: Vec<Ends>) -> (Vec<Self>, Control) {
        let mut lanes = Vec::new();
        let mailbox = |ends| {
            let (lane, control) = RingBuffer::new(CONTROL_LEN);
            lanes.push(lane);
            Self { ends, control }
        };
        (ends.into_iter().map(mailbox).collect(), Control { lanes })
    }

    /// Says that this shard is about to wait. `false` if mail is there already: then it must not wait.
    pub fn park(&self) -> bool {
        // A sender of control mail wakes all shards, parked or not.
        self.ends.park() && self.control.is_empty()
    }

    /// Says that this shard is up again.
    pub fn unpark(&self) {
        self.ends.unpark();
    }

    /// Hands over at most `budget` mails of each lane, in rounds, answers first, until `sink` says that it has enough.
    pub fn drain(&mut self, budget: usize, mut sink: impl FnMut(Peer, Mail) -> ControlFlow<()>) {
        for _ in 0..budget {
            let Ok(request) = self.control.pop() else { break };
            if sink(self.ends.me(), Mail::Request(request)).is_break() {
                return;
            }
        }
        let _ = self.ends.drain(budget, &mut sink);
    }

    /// Sends the outgoing mail, and the mail that waited before it. Returns the threads that wait and must be woken.
    ///
    /// # Panics
    /// If mail is addressed to the shard itself, which handles its own without a mailbox, or to an engine where there is
    /// none.
    pub fn post(&mut self, outgoing: &mut Outgoing) -> PeerSet {
        self.ends.post(outgoing)
    }

    /// Whether so much mail waits for room that this shard should read no more publications.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.ends.is_congested()
    }

    /// Whether mail of this shard waits for room: it should not sleep long.
    #[must_use]
    pub fn has_spilled(&self) -> bool {
        self.ends.spilled() > 0
    }

    /// Mail not yet taken, in both directions, as far as this shard can see: for the metrics.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.ends.depth()
    }

    /// Bytes of what this shard has sent and is not taken, as of the last [`Mailbox::post`]: for the metrics.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.ends.cost()
    }
}

impl Control {
    /// Sends a request to every shard; the caller wakes them all. `false` if a lane is full, which only repeated calls
    /// can bring about.
    pub fn tell_all(&mut self, request: impl Fn() -> Request) -> bool {
        self.lanes.iter_mut().filter_map(|lane| lane.push(request()).err()).count() == 0
    }

    /// Sends a request to every shard if all of them have read most of what they were sent; `false` if not, and then to
    /// none. What comes again and again is sent like this, so that there is always room for what comes once.
    pub fn offer_all(&mut self, request: impl Fn() -> Request) -> bool {
        self.lanes.iter().all(|lane| lane.slots() > CONTROL_LEN / 2) && self.tell_all(request)
    }
}

/// Requests that the composition root may have under way to one shard.
const CONTROL_LEN: usize = 16;
