//! Mail between shards: two lanes for each ordered pair, bounded, without a lock.
//!
//! *Requests* ask a shard to do something and may make it send answers. *Answers* never make anybody send answers. A
//! shard always takes its answers, and takes requests only while its own answers find room, so that two shards that
//! are full of each other's mail still get on. Each lane keeps its order; a snapshot and what follows it travel as
//! answers, so that no publication overtakes the snapshot it belongs behind.
//!
//! A full lane drops nothing: mail waits at its sender, and [`Mailbox::is_congested`] tells the sender to stop reading
//! from its publishers. This room knows no connection and no kernel: it returns the shards to wake, and the shard's
//! loop wakes them. Tests: beside the code.

mod admission;
mod mail;
mod portions;

pub use admission::{Admission, AdmissionError, one_client};
pub use mail::{Answer, Mail, Outgoing, Request};
pub use portions::{Portion, PortionLane, SnapshotNumber};

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::command::{ShardId, ShardSet};
use crate::limits::{LANE_COST_MAX, MAIL_PER_ROUND_MAX, MAILBOX_LEN, SHARDS_MAX, SPILL_COST_MAX, SPILL_LEN_MAX};

/// One shard's end of all lanes.
#[derive(Debug)]
pub struct Mailbox {
    shard: ShardId,
    /// By shard; the own place stays empty.
    peers: Vec<Option<Peer>>,
    control: Consumer<Request>,
    parked: Arc<[AtomicBool]>,
    /// The shard with the lanes that are drained first in the next turn, so that no shard is always last.
    first: usize,
}

/// The end that the composition root keeps, to send mail to every shard.
#[derive(Debug)]
pub struct Control {
    lanes: Vec<Producer<Request>>,
}

#[derive(Debug)]
struct Peer {
    requests: Lane<Request>,
    answers: Lane<Answer>,
    requests_in: Consumer<Request>,
    answers_in: Consumer<Answer>,
}

/// The sending end of a lane, with the mail that found no room in it.
#[derive(Debug)]
struct Lane<T> {
    ring: Producer<T>,
    /// The size of each mail that was in the ring at the last look, and the sum.
    costs: VecDeque<usize>,
    cost: usize,
    spill: VecDeque<(T, usize)>,
    spilled_cost: usize,
}

impl Mailbox {
    /// Mailboxes for `shards` shards, and the control that reaches them all.
    ///
    /// # Panics
    /// If `shards` is 0 or past [`SHARDS_MAX`].
    #[must_use]
    pub fn mesh(shards: usize) -> (Vec<Self>, Control) {
        assert!((1..=SHARDS_MAX).contains(&shards), "shards are validated before");
        let parked: Arc<[AtomicBool]> = (0..shards).map(|_| AtomicBool::new(false)).collect();
        let mut lanes = Vec::new();
        let mut boxes: Vec<Self> = (0..shards)
            .map(|shard| {
                let (lane, control) = RingBuffer::new(CONTROL_LEN);
                lanes.push(lane);
                let peers = (0..shards).map(|_| None).collect();
                Self { shard: ShardId(shard as u8), peers, control, parked: Arc::clone(&parked), first: 0 }
            })
            .collect();
        let len = (2 * MAILBOX_LEN / shards).clamp(LANE_LEN_MIN, MAILBOX_LEN);
        for a in 0..shards {
            for b in a + 1..shards {
                let (requests_ab, requests_from_a) = RingBuffer::new(len);
                let (requests_ba, requests_from_b) = RingBuffer::new(len);
                let (answers_ab, answers_from_a) = RingBuffer::new(len);
                let (answers_ba, answers_from_b) = RingBuffer::new(len);
                boxes[a].peers[b] = Some(Peer::new(requests_ab, answers_ab, requests_from_b, answers_from_b));
                boxes[b].peers[a] = Some(Peer::new(requests_ba, answers_ba, requests_from_a, answers_from_a));
            }
        }
        (boxes, Control { lanes })
    }

    /// Says that this shard is about to wait. `false` if mail is there already: then it must not wait.
    pub fn park(&self) -> bool {
        self.parked[self.shard.index()].store(true, Ordering::Relaxed);
        // Pairs with the fence in `post`: either the sender sees the flag, or this shard sees the mail.
        fence(Ordering::SeqCst);
        self.is_empty()
    }

    /// Says that this shard is up again.
    pub fn unpark(&self) {
        self.parked[self.shard.index()].store(false, Ordering::Relaxed);
    }

    /// Hands over at most `budget` mails of each lane, in rounds, answers first, until `sink` says that it has enough.
    pub fn drain(&mut self, budget: usize, mut sink: impl FnMut(ShardId, Mail) -> ControlFlow<()>) {
        let _ = self.try_drain(budget, &mut sink);
    }

    /// Sends what there is, and what waited before. Returns the shards that wait and must be woken.
    ///
    /// # Panics
    /// If mail is addressed to the shard itself, which handles its own without a mailbox.
    pub fn post(&mut self, outgoing: &mut Outgoing) -> ShardSet {
        let mut posted = ShardSet::EMPTY;
        for (to, request, cost) in outgoing.requests.drain(..) {
            peer_mut(&mut self.peers, to).requests.add(request, cost);
        }
        for (to, answer, cost) in outgoing.answers.drain(..) {
            peer_mut(&mut self.peers, to).answers.add(answer, cost);
        }
        outgoing.cost = 0;
        for (to, peer) in peers_mut(&mut self.peers) {
            if peer.requests.flush() | peer.answers.flush() {
                posted.insert(to);
            }
        }
        if posted.is_empty() {
            return ShardSet::EMPTY;
        }
        fence(Ordering::SeqCst);
        let wakes = |to: &ShardId| {
            let parked = &self.parked[to.index()];
            parked.load(Ordering::Relaxed) && parked.swap(false, Ordering::Relaxed)
        };
        posted.iter().filter(wakes).collect()
    }

    /// Whether so much mail waits for room that this shard should read no more publications.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        let cost = |peer: &Peer| peer.requests.spilled_cost + peer.answers.spilled_cost;
        self.spilled() >= SPILL_LEN_MAX || peers(&self.peers).map(cost).sum::<usize>() >= SPILL_COST_MAX
    }

    /// Whether mail of this shard waits for room: it should not sleep long.
    #[must_use]
    pub fn has_spilled(&self) -> bool {
        self.spilled() > 0
    }

    /// Mail not yet taken, in both directions, as far as this shard can see: for the metrics.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.spilled()
            + peers(&self.peers).map(|peer| peer.requests_in.slots() + peer.answers_in.slots()).sum::<usize>()
    }

    /// Bytes of what this shard has sent and is not taken, as of the last [`Mailbox::post`]: for the metrics.
    #[must_use]
    pub fn cost(&self) -> usize {
        peers(&self.peers).map(|peer| peer.requests.cost_of_all() + peer.answers.cost_of_all()).sum()
    }

    fn try_drain(&mut self, budget: usize, sink: &mut impl FnMut(ShardId, Mail) -> ControlFlow<()>) -> ControlFlow<()> {
        for _ in 0..budget {
            let Ok(request) = self.control.pop() else { break };
            sink(self.shard, Mail::Request(request))?;
        }
        let takes_requests = self.takes_requests();
        let count = self.peers.len();
        self.first = (self.first + 1) % count;
        let (mut left, mut has_more) = (budget, true);
        while has_more && left > 0 {
            let portion = left.min(MAIL_PER_ROUND_MAX);
            left -= portion;
            has_more = false;
            for index in (self.first..count).chain(0..self.first) {
                let Some(peer) = &mut self.peers[index] else { continue };
                let from = ShardId(index as u8);
                has_more |= pop_some(&mut peer.answers_in, portion, |answer| sink(from, Mail::Answer(answer)))?;
                if takes_requests {
                    has_more |= pop_some(&mut peer.requests_in, portion, |mail| sink(from, Mail::Request(mail)))?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn is_empty(&self) -> bool {
        let takes_requests = self.takes_requests();
        self.control.is_empty()
            && peers(&self.peers)
                .all(|peer| peer.answers_in.is_empty() && (!takes_requests || peer.requests_in.is_empty()))
    }

    /// Requests make answers: no more of them while those find no room.
    fn takes_requests(&self) -> bool {
        let cost = peers(&self.peers).map(|peer| peer.answers.spilled_cost).sum::<usize>();
        self.spilled_answers() < SPILL_LEN_MAX && cost < SPILL_COST_MAX
    }

    fn spilled(&self) -> usize {
        self.spilled_answers() + peers(&self.peers).map(|peer| peer.requests.spill.len()).sum::<usize>()
    }

    fn spilled_answers(&self) -> usize {
        peers(&self.peers).map(|peer| peer.answers.spill.len()).sum()
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

impl Peer {
    fn new(
        requests: Producer<Request>,
        answers: Producer<Answer>,
        requests_in: Consumer<Request>,
        answers_in: Consumer<Answer>,
    ) -> Self {
        Self { requests: Lane::new(requests), answers: Lane::new(answers), requests_in, answers_in }
    }
}

impl<T> Lane<T> {
    fn new(ring: Producer<T>) -> Self {
        Self { ring, costs: VecDeque::new(), cost: 0, spill: VecDeque::new(), spilled_cost: 0 }
    }

    fn add(&mut self, mail: T, cost: usize) {
        self.spilled_cost += cost;
        self.spill.push_back((mail, cost));
    }

    /// Of what is in the ring and of what found no room there.
    fn cost_of_all(&self) -> usize {
        self.cost + self.spilled_cost
    }

    /// Moves what fits from the spill to the ring, by mails and by bytes; says whether anything did.
    fn flush(&mut self) -> bool {
        let before = self.spill.len();
        if before == 0 && self.costs.is_empty() {
            return false;
        }
        let slots = self.ring.slots();
        let in_ring = self.ring.buffer().capacity() - slots;
        while self.costs.len() > in_ring {
            self.cost -= self.costs.pop_front().unwrap_or(0);
        }
        for _ in 0..slots.min(before) {
            if self.cost >= LANE_COST_MAX {
                break;
            }
            let Some((mail, cost)) = self.spill.pop_front() else { break };
            self.spilled_cost -= cost;
            self.cost += cost;
            self.costs.push_back(cost);
            let pushed = self.ring.push(mail).is_ok();
            debug_assert!(pushed, "the slots were counted");
        }
        if self.spill.is_empty() && self.spill.capacity() > SPILL_KEPT {
            self.spill.shrink_to(SPILL_KEPT);
        }
        self.spill.len() < before
    }
}

/// Hands over at most `count` mails of a lane; says whether there were as many.
fn pop_some<T>(
    lane: &mut Consumer<T>,
    count: usize,
    mut sink: impl FnMut(T) -> ControlFlow<()>,
) -> ControlFlow<(), bool> {
    for _ in 0..count {
        let Ok(mail) = lane.pop() else { return ControlFlow::Continue(false) };
        sink(mail)?;
    }
    ControlFlow::Continue(true)
}

fn peer_mut(peers: &mut [Option<Peer>], to: ShardId) -> &mut Peer {
    peers[to.index()].as_mut().expect("a shard does not write to itself")
}

fn peers(peers: &[Option<Peer>]) -> impl Iterator<Item = &Peer> {
    peers.iter().flatten()
}

fn peers_mut(peers: &mut [Option<Peer>]) -> impl Iterator<Item = (ShardId, &mut Peer)> {
    peers.iter_mut().enumerate().filter_map(|(index, peer)| Some((ShardId(index as u8), peer.as_mut()?)))
}

/// Requests that the composition root may have under way to one shard.
const CONTROL_LEN: usize = 16;
/// Places for mails that found no room which a lane keeps.
const SPILL_KEPT: usize = 256;
/// The shortest lane, however many shards share the memory.
const LANE_LEN_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::TopicName;

    fn leave(n: usize) -> Request {
        Request::Leave { topic: TopicName::parse(&format!("t.{n}")).expect("a valid name"), is_last: false }
    }

    fn check_drained(mailbox: &mut Mailbox, from: ShardId, expected: std::ops::Range<usize>) {
        let mut next = expected.start;
        mailbox.drain(usize::MAX, |sender, mail| {
            assert_eq!(sender, from);
            let Mail::Request(Request::Leave { topic, .. }) = mail else { panic!("only requests were sent") };
            assert_eq!(topic.as_str(), format!("t.{next}"));
            next += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(next, expected.end);
    }

    #[test]
    fn a_full_lane_spills_in_order_and_says_that_it_is_congested() {
        let (mut boxes, _control) = Mailbox::mesh(2);
        let (first, second) = boxes.split_at_mut(1);
        let (a, b) = (&mut first[0], &mut second[0]);
        let mut outgoing = Outgoing::default();
        let total = MAILBOX_LEN + SPILL_LEN_MAX;
        (0..total).for_each(|n| outgoing.ask(ShardId(1), leave(n)));
        assert_eq!(a.post(&mut outgoing), ShardSet::EMPTY, "nobody is parked");
        assert!(a.is_congested() && a.has_spilled());
        check_drained(b, ShardId(0), 0..MAILBOX_LEN);
        a.post(&mut outgoing);
        assert!(!a.is_congested());
        let mut from = MAILBOX_LEN;
        while from < total {
            let to = (from + MAILBOX_LEN).min(total);
            check_drained(b, ShardId(0), from..to);
            a.post(&mut outgoing);
            from = to;
        }
        assert!(!a.has_spilled() && b.depth() == 0);
    }

    #[test]
    fn large_mails_fill_a_lane_by_their_bytes_and_arrive_in_order() {
        let (mut boxes, _control) = Mailbox::mesh(2);
        let (first, second) = boxes.split_at_mut(1);
        let (a, b) = (&mut first[0], &mut second[0]);
        let payload_len = LANE_COST_MAX / 4;
        let publish = |n: usize| Request::Publish {
            topic: TopicName::parse(&format!("t.{n}")).expect("a valid name"),
            message: crate::command::Message::text(&vec![b'x'; payload_len]),
            ticket: None,
        };
        let total = 4 + SPILL_COST_MAX / payload_len;
        let mut outgoing = Outgoing::default();
        (0..total).for_each(|n| outgoing.ask(ShardId(1), publish(n)));
        a.post(&mut outgoing);
        assert!(a.is_congested() && a.has_spilled());
        let mut arrived = Vec::new();
        while arrived.len() < total {
            let before = arrived.len();
            b.drain(usize::MAX, |_, mail| {
                let Mail::Request(Request::Publish { topic, .. }) = mail else { panic!("only these were sent") };
                arrived.push(topic.as_str().to_owned());
                ControlFlow::Continue(())
            });
            assert_eq!(arrived.len() - before, 4, "a lane is full of four");
            a.post(&mut outgoing);
            assert!(!a.is_congested());
        }
        assert_eq!(arrived, (0..total).map(|n| format!("t.{n}")).collect::<Vec<_>>());
        assert!(!a.has_spilled());
    }

    #[test]
    fn only_a_parked_shard_is_woken_and_only_once() {
        let (mut boxes, mut control) = Mailbox::mesh(3);
        assert!(boxes[2].park());
        let mut outgoing = Outgoing::default();
        for _ in 0..2 {
            outgoing.ask(ShardId(1), leave(0));
            outgoing.ask(ShardId(2), leave(0));
            let wake = boxes[0].post(&mut outgoing);
            outgoing.ask(ShardId(2), leave(1));
            assert_eq!((wake, boxes[0].post(&mut outgoing)), (ShardSet::one(ShardId(2)), ShardSet::EMPTY));
            boxes[2].drain(usize::MAX, |_, _| ControlFlow::Continue(()));
            boxes[1].drain(usize::MAX, |_, _| ControlFlow::Continue(()));
            assert!(boxes[2].park());
        }
        assert!(control.tell_all(|| Request::Drain));
        assert!(!boxes[1].park(), "mail from the control counts");
    }

    #[test]
    fn the_last_of_as_many_shards_as_there_can_be_is_reached_and_woken() {
        let (mut boxes, _control) = Mailbox::mesh(SHARDS_MAX);
        let (first, last) = (ShardId(0), ShardId((SHARDS_MAX - 1) as u8));
        assert!(boxes[last.index()].park());
        let mut outgoing = Outgoing::default();
        (0..=LANE_LEN_MIN).for_each(|n| outgoing.ask(last, leave(n)));
        assert_eq!(boxes[0].post(&mut outgoing), ShardSet::one(last));
        assert!(boxes[0].has_spilled(), "a lane of so many is as short as it gets");
        check_drained(&mut boxes[last.index()], first, 0..LANE_LEN_MIN);
        boxes[0].post(&mut outgoing);
        check_drained(&mut boxes[last.index()], first, LANE_LEN_MIN..LANE_LEN_MIN + 1);
    }

    #[test]
    fn a_shard_whose_answers_find_no_room_takes_answers_and_no_requests() {
        let (mut boxes, _control) = Mailbox::mesh(2);
        let (first, second) = boxes.split_at_mut(1);
        let (a, b) = (&mut first[0], &mut second[0]);
        let mut outgoing = Outgoing::default();
        let answer = || Answer::Published {
            ticket: 1,
            result: Err(crate::command::Refusal::new(crate::command::ErrorCode::Internal, "")),
        };
        (0..MAILBOX_LEN + SPILL_LEN_MAX).for_each(|_| outgoing.answer(ShardId(1), answer()));
        a.post(&mut outgoing);
        outgoing.ask(ShardId(0), leave(0));
        outgoing.answer(ShardId(0), answer());
        b.post(&mut outgoing);
        let mut kinds = Vec::new();
        a.drain(usize::MAX, |_, mail| {
            kinds.push(matches!(mail, Mail::Answer(_)));
            ControlFlow::Continue(())
        });
        assert_eq!(kinds, [true]);
        assert!(a.park(), "requests that it does not take must not keep it awake");
        b.drain(usize::MAX, |_, _| ControlFlow::Continue(()));
        a.post(&mut outgoing);
        kinds.clear();
        a.drain(usize::MAX, |_, mail| {
            kinds.push(matches!(mail, Mail::Answer(_)));
            ControlFlow::Continue(())
        });
        assert_eq!(kinds, [false]);
    }
}
