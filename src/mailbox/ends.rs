//! One thread's ends of all lanes: what a shard's mailbox and the engine's have in common.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use super::lane::{Lanes, pop_some};
use super::{Mail, Outgoing};
use crate::command::{Peer, PeerSet, ShardId};
use crate::limits::{MAIL_PER_ROUND_MAX, MAILBOX_LEN, SPILL_COST_MAX, SPILL_LEN_MAX};

#[derive(Debug)]
pub(super) struct Ends {
    me: Peer,
    shards: usize,
    /// By place: the shards, and behind them the engine if there is one. The own place stays empty.
    lanes: Vec<Option<Lanes>>,
    /// Whether a thread waits, by place.
    parked: Arc<[AtomicBool]>,
    /// The place of the lanes that were drained first the last time. It moves on, so that no peer is always last.
    first: usize,
}

impl Ends {
    /// The ends of each shard, in order, and of the engine if there is one.
    pub fn mesh(shards: usize, has_engine: bool) -> Vec<Self> {
        let places = shards + usize::from(has_engine);
        let parked: Arc<[AtomicBool]> = (0..places).map(|_| AtomicBool::new(false)).collect();
        let mut ends: Vec<Self> = (0..places)
            .map(|place| {
                let lanes = (0..places).map(|_| None).collect();
                Self { me: peer_at(place, shards), shards, lanes, parked: Arc::clone(&parked), first: 0 }
            })
            .collect();
        let len = (2 * MAILBOX_LEN / shards).clamp(LANE_LEN_MIN, MAILBOX_LEN);
        for a in 0..places {
            for b in a + 1..places {
                let (of_a, of_b) = Lanes::pair(len);
                ends[a].lanes[b] = Some(of_a);
                ends[b].lanes[a] = Some(of_b);
            }
        }
        ends
    }

    /// The address of the thread that has these ends.
    pub fn me(&self) -> Peer {
        self.me
    }

    /// Says that this thread is about to wait. `false` if mail is there already: then it must not wait.
    pub fn park(&self) -> bool {
        self.parked[place_of(self.me, self.shards)].store(true, Ordering::Relaxed);
        // Pairs with the fence in `post`: either the sender sees the flag, or this thread sees the mail.
        fence(Ordering::SeqCst);
        self.is_empty()
    }

    /// Says that this thread is up again.
    pub fn unpark(&self) {
        self.parked[place_of(self.me, self.shards)].store(false, Ordering::Relaxed);
    }

    /// Sends the outgoing mail, and the mail that waited before it. Returns the threads that wait and must be woken.
    pub fn post(&mut self, outgoing: &mut Outgoing) -> PeerSet {
        let mut posted = PeerSet::EMPTY;
        for (to, request, cost) in outgoing.requests.drain(..) {
            lanes_to(&mut self.lanes, to, self.shards).requests.add(request, cost);
        }
        for (to, answer, cost) in outgoing.answers.drain(..) {
            lanes_to(&mut self.lanes, to, self.shards).answers.add(answer, cost);
        }
        outgoing.cost = 0;
        for (place, lanes) in self.lanes.iter_mut().enumerate() {
            let Some(lanes) = lanes else { continue };
            if lanes.requests.flush() | lanes.answers.flush() {
                posted.insert(peer_at(place, self.shards));
            }
        }
        if posted.is_empty() {
            return PeerSet::EMPTY;
        }
        fence(Ordering::SeqCst);
        let wakes = |to: &Peer| {
            let parked = &self.parked[place_of(*to, self.shards)];
            parked.load(Ordering::Relaxed) && parked.swap(false, Ordering::Relaxed)
        };
        posted.iter().filter(wakes).collect()
    }

    /// Hands over at most `budget` mails of each lane, in rounds, answers first, until `sink` says that it has enough.
    pub fn drain(&mut self, budget: usize, sink: &mut impl FnMut(Peer, Mail) -> ControlFlow<()>) -> ControlFlow<()> {
        let takes_requests = self.takes_requests();
        let count = self.lanes.len();
        self.first = (self.first + 1) % count;
        let (mut left, mut has_more) = (budget, true);
        while has_more && left > 0 {
            let portion = left.min(MAIL_PER_ROUND_MAX);
            left -= portion;
            has_more = false;
            for place in (self.first..count).chain(0..self.first) {
                let Some(lanes) = &mut self.lanes[place] else { continue };
                let from = peer_at(place, self.shards);
                has_more |= pop_some(&mut lanes.answers_in, portion, |answer| sink(from, Mail::Answer(answer)))?;
                if takes_requests {
                    has_more |= pop_some(&mut lanes.requests_in, portion, |mail| sink(from, Mail::Request(mail)))?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Whether so much mail waits for room that this thread should make no more of it.
    pub fn is_congested(&self) -> bool {
        let cost = |lanes: &Lanes| lanes.requests.spilled_cost + lanes.answers.spilled_cost;
        self.spilled() >= SPILL_LEN_MAX || self.lanes().map(cost).sum::<usize>() >= SPILL_COST_MAX
    }

    /// Mails that wait for room.
    pub fn spilled(&self) -> usize {
        self.lanes().map(Lanes::spilled).sum()
    }

    /// Mail not yet taken, in both directions, as far as this thread can see.
    pub fn depth(&self) -> usize {
        let arrived = |lanes: &Lanes| lanes.requests_in.slots() + lanes.answers_in.slots();
        self.spilled() + self.lanes().map(arrived).sum::<usize>()
    }

    /// The cost of mail that this thread has sent and that is not taken, as of the last [`Ends::post`].
    pub fn cost(&self) -> usize {
        self.lanes().map(Lanes::cost).sum()
    }

    /// Whether the other ends of all lanes are gone.
    pub fn is_abandoned(&self) -> bool {
        self.lanes().all(|lanes| lanes.requests_in.is_abandoned())
    }

    fn is_empty(&self) -> bool {
        let takes_requests = self.takes_requests();
        self.lanes().all(|lanes| lanes.answers_in.is_empty() && (!takes_requests || lanes.requests_in.is_empty()))
    }

    /// Requests make answers: no more of them while those find no room.
    fn takes_requests(&self) -> bool {
        let (len, cost) = self
            .lanes()
            .fold((0, 0), |(len, cost), lanes| (len + lanes.answers.spill.len(), cost + lanes.answers.spilled_cost));
        len < SPILL_LEN_MAX && cost < SPILL_COST_MAX
    }

    fn lanes(&self) -> impl Iterator<Item = &Lanes> {
        self.lanes.iter().flatten()
    }
}

fn place_of(peer: Peer, shards: usize) -> usize {
    match peer {
        Peer::Shard(shard) => shard.index(),
        Peer::Engine => shards,
    }
}

fn peer_at(place: usize, shards: usize) -> Peer {
    if place == shards { Peer::Engine } else { Peer::Shard(ShardId(place as u8)) }
}

fn lanes_to(lanes: &mut [Option<Lanes>], to: Peer, shards: usize) -> &mut Lanes {
    let lanes = lanes.get_mut(place_of(to, shards)).and_then(Option::as_mut);
    lanes.expect("nobody writes to itself, nor to an engine where there is none")
}

/// The shortest lane, however many shards share the memory.
pub(super) const LANE_LEN_MIN: usize = 64;
