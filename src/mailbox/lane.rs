//! One lane: its sending end with what found no room, and the four ends between two threads.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use rtrb::{Consumer, Producer, RingBuffer};

use super::{Answer, Request};
use crate::limits::LANE_COST_MAX;

/// One thread's ends of the lanes between it and another.
#[derive(Debug)]
pub(super) struct Lanes {
    pub requests: Lane<Request>,
    pub answers: Lane<Answer>,
    pub requests_in: Consumer<Request>,
    pub answers_in: Consumer<Answer>,
}

/// The sending end of a lane, with the mail that found no room in it.
#[derive(Debug)]
pub(super) struct Lane<T> {
    ring: Producer<T>,
    /// The size of each mail that was in the ring at the last look, and the sum.
    costs: VecDeque<usize>,
    cost: usize,
    pub spill: VecDeque<(T, usize)>,
    pub spilled_cost: usize,
}

impl Lanes {
    /// Both ends of lanes for `len` mails each.
    pub fn pair(len: usize) -> (Self, Self) {
        let (requests_ab, requests_from_a) = RingBuffer::new(len);
        let (requests_ba, requests_from_b) = RingBuffer::new(len);
        let (answers_ab, answers_from_a) = RingBuffer::new(len);
        let (answers_ba, answers_from_b) = RingBuffer::new(len);
        let end = |requests, answers, requests_in, answers_in| Self {
            requests: Lane::new(requests),
            answers: Lane::new(answers),
            requests_in,
            answers_in,
        };
        (
            end(requests_ab, answers_ab, requests_from_b, answers_from_b),
            end(requests_ba, answers_ba, requests_from_a, answers_from_a),
        )
    }

    /// Mails that found no room.
    pub fn spilled(&self) -> usize {
        self.requests.spill.len() + self.answers.spill.len()
    }

    /// The cost of mail that was sent and is not taken.
    pub fn cost(&self) -> usize {
        self.requests.cost_of_all() + self.answers.cost_of_all()
    }
}

impl<T> Lane<T> {
    fn new(ring: Producer<T>) -> Self {
        Self { ring, costs: VecDeque::new(), cost: 0, spill: VecDeque::new(), spilled_cost: 0 }
    }

    pub fn add(&mut self, mail: T, cost: usize) {
        self.spilled_cost += cost;
        self.spill.push_back((mail, cost));
    }

    /// Of what is in the ring and of what found no room there.
    fn cost_of_all(&self) -> usize {
        self.cost + self.spilled_cost
    }

    /// Moves what fits from the spill to the ring, by mails and by bytes; says whether anything did.
    pub fn flush(&mut self) -> bool {
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
pub(super) fn pop_some<T>(
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

/// Places for mails that found no room which a lane keeps.
const SPILL_KEPT: usize = 256;
