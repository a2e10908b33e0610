//! The output that waits for one peer: references to shared segments, control frames ahead of them, and the bytes of
//! this turn's replies. It exists only while output waits.

use std::collections::VecDeque;

use slab::Slab;

use crate::buf::Segment;
use crate::limits::{CONTROL_QUEUE_LEN_MAX, OUTBOX_COST, OUTBOX_SEGMENTS_MAX, SEGMENT_COST, SEGMENTS_PER_SEND_MAX};
use crate::shard::slot::Slot;
use crate::time::MonoTime;

#[derive(Debug, Default)]
pub(in crate::shard) struct Outbox {
    queue: VecDeque<Segment>,
    /// Bytes of `queue`, `tail` and what is in flight.
    len: usize,
    /// Replies of this turn, not yet a segment.
    tail: Vec<u8>,
    /// Pongs, pings and the close frame: they wait behind at most the one segment that is being sent.
    control: Vec<u8>,
    /// Bytes that the driver has; 0 if no send is in flight.
    in_flight_len: usize,
    /// Bytes that the reader did not take when they were offered.
    backlog_len: usize,
    /// Whether the first of `queue` is the rest of a segment whose beginning is sent.
    is_split: bool,
    /// How many of the first of `queue` no control frame passes: HTTP responses and the opening handshake.
    guarded: usize,
    guarded_in_flight: bool,
    /// Whether the last segment in flight is the beginning of one whose rest is the first of `queue`.
    is_cut: bool,
    /// No send begins before, where the reader's bandwidth is limited.
    pub free_at: MonoTime,
}

/// The reader's outbox is at its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Full;

impl Outbox {
    /// Adds a shared segment. A reader that took all it was offered before takes all that one turn brings.
    pub fn push(&mut self, segment: Segment, len_max: usize) -> Result<(), Full> {
        let is_past = self.backlog_len > 0 && self.len + segment.len() > len_max;
        if is_past || self.queue.len() >= OUTBOX_SEGMENTS_MAX {
            return Err(Full);
        }
        self.seal_tail();
        self.len += segment.len();
        match self.queue.back_mut() {
            Some(last) => {
                if let Err(segment) = last.extend_with(segment) {
                    self.queue.push_back(segment);
                }
            }
            None => self.queue.push_back(segment),
        }
        Ok(())
    }

    /// Adds a segment without a check: the caller has checked the room.
    pub fn append(&mut self, segment: Segment) {
        if segment.is_empty() {
            return;
        }
        self.seal_tail();
        self.len += segment.len();
        self.queue.push_back(segment);
    }

    /// Notes that what waits could not be offered yet: from now on the bound holds.
    pub fn hold_back(&mut self) {
        self.backlog_len = self.len;
    }

    /// Appends a reply, in order with the segments. Replies are bounded: a peer that does not read them is not read
    /// from.
    pub fn reply(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.tail.len();
        write(&mut self.tail);
        self.len += self.tail.len() - before;
    }

    /// Appends a control frame, ahead of all that waits. Past the bound, what waits there is replaced: the newest pong
    /// answers for the ones before it. [RFC 6455 5.5.3]
    pub fn control(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.control.len() > CONTROL_QUEUE_LEN_MAX {
            self.len -= self.control.len();
            self.control.clear();
        }
        let before = self.control.len();
        write(&mut self.control);
        self.len += self.control.len() - before;
    }

    /// Lets no control frame pass what is queued or in flight now.
    pub fn guard(&mut self) {
        self.seal_tail();
        self.guarded = self.queue.len();
        self.guarded_in_flight = self.in_flight_len > 0;
    }

    /// Drops what waits and was not begun, control frames included.
    pub fn drop_queued(&mut self) {
        let keep = self.guarded.max(usize::from(self.is_split || self.is_cut));
        let dropped: usize = self.queue.drain(keep..).map(|segment| segment.len()).sum();
        self.len -= dropped + self.tail.len() + self.control.len();
        self.tail.clear();
        self.control.clear();
    }

    /// The next send, unless one is in flight or nothing waits: of what waits in order at most `len_max` bytes.
    /// `segments` is empty and may have capacity.
    pub fn next_send(&mut self, mut segments: Vec<Segment>, len_max: usize) -> Option<Vec<Segment>> {
        if self.in_flight_len > 0 {
            return None;
        }
        self.seal_tail();
        let is_limited = len_max < usize::MAX;
        // The rest of a long segment is cut like any other.
        let is_split = std::mem::take(&mut self.is_split);
        let first = self.guarded.max(usize::from(is_split && !is_limited)).min(SEGMENTS_PER_SEND_MAX - 1);
        segments.extend(self.queue.drain(..first));
        self.guarded_in_flight = self.guarded > 0;
        self.guarded -= self.guarded.min(first);
        let is_within = is_split && first == 0;
        if self.guarded == 0 && !self.control.is_empty() && !is_within {
            segments.push(Segment::from(std::mem::take(&mut self.control)));
        }
        let room = SEGMENTS_PER_SEND_MAX - segments.len();
        if !is_limited {
            segments.extend(self.queue.drain(..room.min(self.queue.len())));
        } else {
            self.cut(&mut segments, len_max, is_within);
        }
        self.in_flight_len = segments.iter().map(|segment| segment.len()).sum();
        self.backlog_len = self.len;
        (self.in_flight_len > 0).then_some(segments)
    }

    /// Takes what waits if that is one segment and nothing is in flight or was left before; nothing is left here then.
    pub fn take_only(&mut self) -> Option<Segment> {
        if self.in_flight_len > 0 || self.backlog_len > 0 {
            return None;
        }
        self.seal_tail();
        if !self.control.is_empty() && self.queue.is_empty() {
            self.queue.push_back(Segment::from(std::mem::take(&mut self.control)));
        }
        let only = if self.queue.len() == 1 && self.control.is_empty() { self.queue.pop_front() } else { None };
        if only.is_some() {
            self.len = 0;
            self.guarded = 0;
        }
        only
    }

    /// Takes what comes next up to so many bytes, at least one, and cuts the last segment where it is too long. Where the
    /// first is the rest of one that was begun, control frames go behind it.
    fn cut(&mut self, segments: &mut Vec<Segment>, len_max: usize, mut is_within: bool) {
        let mut left = len_max.saturating_sub(segments.iter().map(|segment| segment.len()).sum());
        if segments.is_empty() {
            left = left.max(1);
        }
        while left > 0
            && segments.len() < SEGMENTS_PER_SEND_MAX
            && let Some(mut next) = self.queue.pop_front()
        {
            if next.len() > left {
                segments.push(next.slice(0..left));
                next.advance(left);
                self.queue.push_front(next);
                self.is_cut = true;
                return;
            }
            left -= next.len();
            segments.push(next);
            if std::mem::take(&mut is_within) && self.guarded == 0 && !self.control.is_empty() {
                left = left.saturating_sub(self.control.len());
                segments.push(Segment::from(std::mem::take(&mut self.control)));
            }
        }
    }

    /// Takes back what a send did not send.
    pub fn sent(&mut self, sent_len: usize, rest: &mut Vec<Segment>) {
        debug_assert_eq!(
            self.in_flight_len,
            sent_len + rest.iter().map(|segment| segment.len()).sum::<usize>(),
            "the driver gives back what it did not send"
        );
        self.len -= sent_len;
        self.in_flight_len = 0;
        self.backlog_len = self.len;
        self.is_split = sent_len > 0 && !rest.is_empty();
        if std::mem::take(&mut self.is_cut) {
            match (rest.pop(), self.queue.pop_front()) {
                (Some(mut last), Some(next)) => {
                    let is_whole = last.extend_with(next).is_ok();
                    debug_assert!(is_whole, "what was cut follows in the same block");
                    rest.push(last);
                }
                (last, next) => {
                    self.is_split |= last.is_none() && next.is_some();
                    rest.extend(last);
                    next.into_iter().for_each(|next| self.queue.push_front(next));
                }
            }
        }
        if self.guarded_in_flight {
            self.guarded += rest.len();
        }
        for segment in rest.drain(..).rev() {
            self.queue.push_front(segment);
        }
    }

    /// About so much of what is in flight is out; some of it stays until [`Outbox::sent_all`]. Returns how much it was.
    pub fn sent_some(&mut self, sent_len: usize) -> usize {
        let sent_len = sent_len.min(self.in_flight_len.saturating_sub(1));
        self.len -= sent_len;
        self.in_flight_len -= sent_len;
        self.backlog_len = self.len;
        sent_len
    }

    /// All that was in flight is out; returns its bytes. It was a portion: what is left was not offered yet, and makes
    /// the reader one that is behind only past `len_max`.
    pub fn sent_all(&mut self, len_max: usize) -> usize {
        let sent_len = self.in_flight_len;
        self.sent(sent_len, &mut Vec::new());
        if self.len <= len_max {
            self.backlog_len = 0;
        }
        sent_len
    }

    /// Notes what the driver could not send of a segment that never waited here, or no longer. No control frame passes
    /// it: it may be an opening handshake.
    pub fn adopt_rest(&mut self, sent_len: usize, rest: &mut Vec<Segment>) {
        self.guarded += rest.len();
        let rest_len: usize = rest.iter().map(|segment| segment.len()).sum();
        self.len += rest_len;
        self.backlog_len += rest_len;
        self.is_split = sent_len > 0 && !rest.is_empty();
        for segment in rest.drain(..).rev() {
            self.queue.push_front(segment);
        }
    }

    /// Whether the next send begins now, so that it should take something from what the reader is behind with.
    pub fn has_room(&self, now: MonoTime) -> bool {
        self.in_flight_len == 0 && self.free_at <= now
    }

    /// Whether the reader did not take all it was offered.
    pub fn is_behind(&self) -> bool {
        self.backlog_len > 0
    }

    pub fn is_in_flight(&self) -> bool {
        self.in_flight_len > 0
    }

    /// Bytes that wait or are in flight.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The same with what keeps them.
    pub fn cost(&self) -> usize {
        OUTBOX_COST + self.len + self.queue.len() * SEGMENT_COST
    }

    /// Its part of that: a block that several wait for counts in equal parts for each. What the driver has counts like what
    /// waits. An estimate from some of the segments.
    pub fn own_cost(&self) -> usize {
        let (mut all, mut own) = (0, 0);
        for segment in self.queue.iter().step_by(self.queue.len().div_ceil(SAMPLED).max(1)) {
            all += segment.len();
            own += segment.own_len();
        }
        let rest = self.len - self.tail.len() - self.control.len();
        let rest = if all == 0 { rest } else { (rest as u128 * own as u128 / all as u128) as usize };
        OUTBOX_COST + self.queue.len() * SEGMENT_COST + self.tail.capacity() + self.control.capacity() + rest
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            let mut tail = std::mem::take(&mut self.tail);
            if tail.capacity() - tail.len() > SPARE_LEN_MAX {
                tail.shrink_to_fit();
            }
            self.queue.push_back(Segment::from(tail));
        }
    }

    /// Empty again, with some of its capacity.
    fn reset(&mut self) {
        self.queue.clear();
        self.queue.shrink_to(QUEUE_KEPT);
        self.tail = Vec::new();
        self.control = Vec::new();
        self.len = 0;
        self.in_flight_len = 0;
        self.backlog_len = 0;
        self.is_split = false;
        self.guarded = 0;
        self.guarded_in_flight = false;
        self.is_cut = false;
        self.free_at = MonoTime::ZERO;
    }
}

/// The outboxes of a shard's busy connections.
#[derive(Debug, Default)]
pub(in crate::shard) struct Outboxes {
    outboxes: Slab<Outbox>,
    spare: Vec<Outbox>,
    /// Emptied vectors that came back from the driver.
    vectors: Vec<Vec<Segment>>,
}

impl Outboxes {
    /// The outbox of a slot, made if there is none.
    pub fn ensure(&mut self, slot: &mut Slot) -> &mut Outbox {
        let index = slot.index().unwrap_or_else(|| {
            let index = self.outboxes.insert(self.spare.pop().unwrap_or_default());
            *slot = Slot::new(index);
            index
        });
        &mut self.outboxes[index]
    }

    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Outbox> {
        self.outboxes.get_mut(slot.index()?)
    }

    pub fn get(&self, slot: Slot) -> Option<&Outbox> {
        self.outboxes.get(slot.index()?)
    }

    /// Frees an outbox with its content.
    pub fn release(&mut self, slot: &mut Slot) {
        if let Some(index) = std::mem::replace(slot, Slot::NONE).index() {
            let mut outbox = self.outboxes.remove(index);
            if self.spare.len() < SPARE_MAX {
                outbox.reset();
                self.spare.push(outbox);
            }
        }
    }

    /// Gives what is kept for reuse back to the allocator.
    pub fn release_spare(&mut self) {
        (self.spare, self.vectors) = (Vec::new(), Vec::new());
        self.outboxes.shrink_to_fit();
    }

    /// A vector for a send.
    pub fn vector(&mut self) -> Vec<Segment> {
        self.vectors.pop().unwrap_or_default()
    }

    /// Keeps an emptied vector.
    pub fn recycle(&mut self, vector: Vec<Segment>) {
        debug_assert!(vector.is_empty(), "only an emptied vector comes back");
        if self.vectors.len() < SPARE_MAX && vector.capacity() > 0 {
            self.vectors.push(vector);
        }
    }

    /// Outboxes in use.
    pub fn in_use(&self) -> usize {
        self.outboxes.len()
    }

    /// The outbox at a place.
    pub fn at(&self, place: usize) -> Option<&Outbox> {
        self.outboxes.get(place)
    }

    /// How many places that looks at: the pool keeps those that were needed once.
    pub fn places(&self) -> usize {
        if self.outboxes.is_empty() { 0 } else { self.outboxes.capacity() }
    }
}

/// Outboxes and vectors kept for reuse: as many as one turn of a busy shard takes.
const SPARE_MAX: usize = 4096;
/// Segments that are looked at to estimate how many of them others wait for as well.
const SAMPLED: usize = 256;
/// Bytes that the block of a reply may have room for in vain.
const SPARE_LEN_MAX: usize = 16 * 1024;
/// Places that a spare outbox keeps in its queue.
const QUEUE_KEPT: usize = 8;

#[cfg(test)]
mod tests;
