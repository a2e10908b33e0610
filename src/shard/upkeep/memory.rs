//! The memory that a shard holds for peers, by class, and the order in which it is freed above the shard's share of
//! `memory_len_max`.
//!
//! Histories go first, the largest by halves. Then the sessions and connections that hold most, the largest first: a
//! reader that waits for every message is closed as overloaded, a reader that may skip keeps the newest message of
//! each topic, and an unfinished message or request ends with its connection. Publishers do not pay for readers, nor
//! readers for publishers: while one side holds less than half of the share, only the other side is freed
//! (docs/decisions/0018). Memory that several readers wait for counts in equal parts for each.
//!
//! A survey runs ten times a second, and at once when much was added: until then nothing more is received.

use std::cmp::Reverse;

use slab::Slab;

use crate::close::CloseReason;
use crate::command::SessionId;
use crate::limits::{
    CLOSING_LEN_MAX, GROWN_LEN_MAX, GROWN_LEN_MIN, HOLDINGS_MAX, MEMORY_INTERVAL_MS, RELEASE_LEN_MIN,
    SHED_PER_STEP_MAX, SURVEY_PLACES_MAX, SURVEY_STEP_MS, TOPIC_COST,
};
use crate::metrics::MemoryClass;
use crate::shard::Shard;
use crate::shard::link::conn::{Carrier, Conn, Flag, Link};
use crate::shard::link::ending::Parting;
use crate::shard::link::outbox::Outbox;
use crate::shard::session::detached::Detached;
use crate::shard::session::lag::Lag;
use crate::shard::session::session::{Mark, Session};
use crate::shard::slot::Slot;
use crate::shard::upkeep::tally::Busy;
use crate::time::MonoTime;

/// A survey of all connections in portions that take no turn long, and then the freeing, likewise.
#[derive(Debug, Default)]
pub(in crate::shard) struct Survey {
    /// The index in the arena to continue from.
    next: u32,
    /// The index among the detached sessions to continue from.
    next_detached: usize,
    /// The memory held.
    held: BySide,
    /// Outboxes of connections that are about to end.
    ending_len: u64,
    /// The memory it would be if nothing was shared.
    unshared_len: u64,
    /// Memory that can be freed. After the survey it is sorted: the last entry goes first.
    holdings: Vec<Holding>,
    /// The excess that is left to free, after the survey.
    excess: Option<BySide>,
}

/// Bytes that wait for peers, and bytes of unfinished input.
#[derive(Clone, Copy, Debug, Default)]
struct BySide {
    /// Outboxes and lags.
    readers: u64,
    /// Unfinished messages and requests.
    senders: u64,
}

impl BySide {
    fn of(&mut self, class: MemoryClass) -> &mut u64 {
        if class == MemoryClass::Reassembly { &mut self.senders } else { &mut self.readers }
    }

    /// Divides an excess between the sides: the side above half of `len_max` gives, and if both are, each gives only
    /// its part above half.
    fn divide(self, excess: u64, len_max: u64) -> Self {
        let half = len_max / 2;
        let readers = excess.min(self.readers.saturating_sub(half));
        let senders = (excess - readers).min(self.senders.saturating_sub(half));
        // Histories and message ids may take a part of the share: then the readers free the rest of the excess.
        Self { readers: excess - senders, senders }
    }
}

/// Memory of one connection that can be freed.
#[derive(Debug)]
struct Holding {
    len: usize,
    class: MemoryClass,
    id: SessionId,
    /// Memory of a reader that may skip, on its way to the socket. It goes last, because one turn's messages bound
    /// it.
    is_last_resort: bool,
}

impl Holding {
    /// The order of freeing: the largest rank goes last.
    fn rank(&self) -> (bool, Reverse<usize>, SessionId) {
        (self.is_last_resort, Reverse(self.len), self.id)
    }
}

impl Survey {
    /// Notes what a session or its connection holds: its part of it, and all of it.
    fn note(&mut self, id: SessionId, session: &Session, class: MemoryClass, (len, unshared_len): (usize, usize)) {
        if len == 0 {
            return;
        }
        *self.held.of(class) += len as u64;
        self.unshared_len += unshared_len as u64;
        let is_last_resort = class == MemoryClass::Outboxes && session.is(Mark::HAS_POLICIES);
        self.add(Holding { len, class, id, is_last_resort });
    }

    fn add(&mut self, holding: Holding) {
        self.holdings.push(holding);
        if self.holdings.len() == 2 * HOLDINGS_MAX {
            self.holdings.select_nth_unstable_by_key(HOLDINGS_MAX, Holding::rank);
            self.holdings.truncate(HOLDINGS_MAX);
        }
    }
}

impl Shard {
    /// Bytes held, by [`MemoryClass`]; `busy` is what the pools hold.
    pub(in crate::shard) fn memory(&self, busy: &Busy) -> [u64; MemoryClass::ALL.len()] {
        let hub = self.hub.sizes();
        let mut memory = [0; MemoryClass::ALL.len()];
        memory[MemoryClass::LastValues as usize] = hub.kept.last;
        memory[MemoryClass::History as usize] = hub.kept.history;
        memory[MemoryClass::Outboxes as usize] = busy.outboxes_cost;
        memory[MemoryClass::Lag as usize] = busy.lags + busy.pendings;
        memory[MemoryClass::Reassembly as usize] = busy.unfinished + self.links.put_off.len() as u64;
        memory[MemoryClass::MessageIds as usize] = hub.message_ids_len;
        memory[MemoryClass::Streams as usize] = self.delivery.compressor.streams_len() as u64;
        memory[MemoryClass::Windows as usize] = self.delivery.compressor.windows_len() as u64;
        memory[MemoryClass::Mail as usize] = self.turn.mail_len;
        memory[MemoryClass::Topics as usize] = (hub.topics * TOPIC_COST) as u64;
        memory
    }

    /// The time of the next [`Shard::step_memory`]; never without a limit, nor while nothing is added.
    pub(in crate::shard) fn next_memory_look(&self) -> Option<MonoTime> {
        let is_calm = self.upkeep.is_calm && self.turn.grown == 0;
        (self.settings.live.limits.memory_len_max > 0 && !is_calm).then_some(self.upkeep.memory_look)
    }

    /// Whether so much was added since the last survey that nothing more is received before the next.
    pub(in crate::shard) fn has_grown(&self) -> bool {
        self.turn.grown >= self.upkeep.grown_len_max
    }

    /// Checks whether too much is held, and frees the largest holdings. With much busy state one survey takes many
    /// steps.
    pub(in crate::shard) fn step_memory(&mut self) {
        let len_max = self.settings.live.limits.memory_len_max.div_ceil(self.settings.shards as u64);
        if len_max == 0 || self.now < self.upkeep.memory_look && !self.has_grown() {
            return;
        }
        self.upkeep.grown_len_max = (len_max / 4).clamp(GROWN_LEN_MIN, GROWN_LEN_MAX) as usize;
        let mut survey = match self.upkeep.survey.take() {
            Some(survey) => survey,
            None if self.busy_places() <= SURVEY_PLACES_MAX as usize => {
                let busy_len = self.busy_len();
                if self.excess(busy_len, len_max) == 0 {
                    return self.end_look(busy_len);
                }
                Survey::default()
            }
            None => Survey::default(),
        };
        if survey.excess.is_none() {
            self.walk(&mut survey);
            if survey.next == self.links.conns.end() && self.walk_detached(&mut survey) {
                survey.excess = Some(self.excess_of(&survey, len_max));
                survey.holdings.sort_unstable_by_key(|holding| Reverse(holding.rank()));
            }
        }
        if survey.excess.is_some() && self.shed_largest(&mut survey) {
            self.end_look(survey.held.readers + survey.held.senders);
        } else {
            self.upkeep.memory_look = self.now.plus_millis(SURVEY_STEP_MS);
            self.upkeep.survey = Some(survey);
        }
    }

    /// Ends a look that found so much in outboxes, lags, unfinished messages and requests.
    fn end_look(&mut self, busy_len: u64) {
        let grown = std::mem::take(&mut self.turn.grown);
        let hub = self.hub.sizes();
        let matters = self.note_release(hub.kept.history + hub.message_ids_len + busy_len, grown);
        // Held memory can shrink without new input.
        self.upkeep.is_calm = grown == 0 && !matters && busy_len < RELEASE_LEN_MIN as u64;
        self.upkeep.memory_look = self.now.plus_millis(MEMORY_INTERVAL_MS);
    }

    /// Places that [`Shard::busy_len`] visits: a pool keeps all places that it ever needed.
    fn busy_places(&self) -> usize {
        let messages = places(&self.requests.exchanges) + places(&self.links.decoders) + places(&self.links.edges);
        self.links.outboxes.places() + places(&self.sessions.lags) + places(&self.sessions.pendings) + messages
    }

    /// Bytes of outboxes, lags, unfinished messages and requests, as if nothing was shared.
    fn busy_len(&self) -> u64 {
        let memory = self.memory(&self.busy());
        let classes = [MemoryClass::Outboxes, MemoryClass::Lag, MemoryClass::Reassembly];
        classes.iter().map(|&class| memory[class as usize]).sum()
    }

    /// The excess with `busy_len` besides histories and message ids, after these were reduced as far as possible.
    fn excess(&mut self, busy_len: u64, len_max: u64) -> u64 {
        let hub = self.hub.sizes();
        let excess = (hub.kept.history + hub.message_ids_len + busy_len).saturating_sub(len_max);
        if excess == 0 {
            return 0;
        }
        self.metrics.shed[MemoryClass::History as usize] += self.hub.shed_history(excess);
        let excess = excess.saturating_sub(hub.kept.history - self.hub.sizes().kept.history);
        if excess > 0 {
            self.hub.shed_message_ids((len_max / 4).max(hub.message_ids_len.saturating_sub(excess)));
        }
        excess.saturating_sub(hub.message_ids_len - self.hub.sizes().message_ids_len)
    }

    /// The excess to free after a survey of all connections.
    fn excess_of(&mut self, survey: &Survey, len_max: u64) -> BySide {
        let held = survey.held;
        let excess = self.excess(held.readers + held.senders, len_max).saturating_sub(survey.ending_len);
        let mut excess = held.divide(excess, len_max);
        // Shared memory is freed only with its last reader: a few more readers are closed, so that the freeing ends.
        if excess.readers > 0 && survey.unshared_len > 2 * (held.readers + held.senders) {
            excess.readers += len_max / SHARED_MARGIN;
        }
        excess
    }

    /// Visits the next connections.
    fn walk(&mut self, survey: &mut Survey) {
        let end = self.links.conns.end().min(survey.next.saturating_add(SURVEY_PLACES_MAX));
        for index in survey.next..end {
            let Some(id) = self.links.conns.id_at(index) else { continue };
            let conn = &self.links.conns[index];
            // A connection that is about to end needs no second end.
            if conn.link.is(Flag::CLOSING) || conn.link.carrier == Carrier::Gone {
                let len = self.len_of(index, conn, MemoryClass::Outboxes).0 as u64;
                survey.ending_len += len;
                survey.held.readers += len;
                continue;
            }
            for class in [MemoryClass::Outboxes, MemoryClass::Lag, MemoryClass::Reassembly] {
                survey.note(id.into(), &conn.session, class, self.len_of(index, conn, class));
            }
        }
        survey.next = end;
    }

    /// Visits the next detached sessions; `true` after the last one.
    fn walk_detached(&self, survey: &mut Survey) -> bool {
        let places = self.links.conns.detached.places();
        let end = places.min(survey.next_detached.saturating_add(SURVEY_PLACES_MAX as usize));
        for place in survey.next_detached..end {
            let Some(id) = self.links.conns.detached.open_at(place) else { continue };
            let Detached { session, outbox, unheard, .. } = self.links.conns.detached.at(place);
            let unheard = unheard.iter().map(|message| message.len()).sum();
            survey.note(id, session, MemoryClass::Outboxes, self.outbox_len_of(*outbox));
            survey.note(id, session, MemoryClass::Lag, self.lag_len_of(session));
            survey.note(id, session, MemoryClass::Reassembly, (unheard, unheard));
        }
        survey.next_detached = end;
        end == places
    }

    /// Bytes of an outbox: its part of them, and all of them.
    fn outbox_len_of(&self, outbox: Slot) -> (usize, usize) {
        self.links.outboxes.get(outbox).map_or((0, 0), |outbox| (outbox.own_cost(), outbox.cost()))
    }

    /// Bytes of a session's lag and of messages held for it: its part of them, and all of them.
    fn lag_len_of(&self, session: &Session) -> (usize, usize) {
        let lag = session.lag.index().map(|slot| &self.sessions.lags[slot]);
        let held = session.pending.index().map(|slot| &self.sessions.pendings[slot].catch_up);
        let own = lag.map_or(0, Lag::own_len) + held.map_or(0, |held| held.own_len());
        (own, lag.map_or(0, Lag::len) + held.map_or(0, |held| held.len()))
    }

    /// Frees the largest holdings; `true` if that is enough, or if nothing is left.
    fn shed_largest(&mut self, survey: &mut Survey) -> bool {
        let mut excess = survey.excess.unwrap_or_default();
        let mut count = 0;
        while count < SHED_PER_STEP_MAX && excess.readers + excess.senders > 0 {
            let Some(holding) = survey.holdings.pop() else { return true };
            if *excess.of(holding.class) > 0 && self.shed(holding.id, holding.class) {
                self.metrics.shed[holding.class as usize] += 1;
                let excess = excess.of(holding.class);
                *excess = excess.saturating_sub(holding.len as u64);
                count += 1;
            }
        }
        survey.excess = Some(excess);
        excess.readers + excess.senders == 0 || survey.holdings.is_empty()
    }

    /// Bytes that a connection holds: its part of them, and all of them.
    fn len_of(&self, index: u32, conn: &Conn, class: MemoryClass) -> (usize, usize) {
        match class {
            MemoryClass::Outboxes => self.outbox_len_of(conn.link.outbox),
            MemoryClass::Lag => self.lag_len_of(&conn.session),
            MemoryClass::Reassembly => {
                let parsed = conn.link.parser.index().map_or(0, |slot| match conn.link.carrier {
                    Carrier::Http1 => self.requests.exchanges[slot].held_len(),
                    _ => self.links.decoders[slot].decoder.held_len(),
                });
                let records = conn.link.edge.index().map_or(0, |slot| self.links.edges[slot].held_len());
                let len = parsed + records + self.links.put_off.len_of(index);
                (len, len)
            }
            _ => (0, 0),
        }
    }

    /// Frees a holding of a session or its connection; `false` if there is nothing to free any more.
    fn shed(&mut self, id: SessionId, class: MemoryClass) -> bool {
        let is_closing = |link: &Link| link.is(Flag::CLOSING);
        let Some(session) = self.links.conns.session(id) else { return false };
        if self.links.conns.link_of(id.index).is_some_and(is_closing) {
            return false;
        }
        if class == MemoryClass::Lag
            && let Some(slot) = session.lag.index()
        {
            let skipped = self.sessions.lags[slot].keep_newest();
            self.metrics.skipped += skipped;
            // If nothing is left to skip, the messages are freed with their reader.
            if skipped > 0 {
                return true;
            }
        }
        let Some(id) = id.conn() else {
            self.end_detached(id, CloseReason::Overloaded, CloseReason::Overloaded.row().label);
            return true;
        };
        let conn = &self.links.conns[id.index];
        if conn.link.carrier == Carrier::Http1 {
            self.terminate(id, CloseReason::Overloaded, Parting::Abort);
        } else {
            let is_stream = conn.link.carrier == Carrier::Stream;
            let outbox = self.links.outboxes.get_mut(conn.link.outbox);
            outbox.into_iter().for_each(Outbox::drop_queued);
            let rest_len = self.links.outboxes.get(conn.link.outbox).map_or(0, Outbox::own_cost);
            if rest_len > CLOSING_LEN_MAX {
                // An answer that was begun would stay until the peer has read it.
                self.terminate(id, CloseReason::Overloaded, Parting::Abort);
                return true;
            }
            if is_stream {
                // A stream with dropped messages gets no orderly end. The missing end tells the peer that something
                // was lost.
                self.begin_end(id, CloseReason::Overloaded);
            } else {
                self.fail(id, CloseReason::Overloaded, CloseReason::Overloaded.row().label);
            }
            // Its input is ignored from now on: an unfinished message never ends.
            if let Some(slot) = std::mem::replace(&mut self.links.conns[id.index].link.parser, Slot::NONE).index() {
                self.links.decoders.remove(slot).decoder.release(&mut self.links.pool);
            }
            self.links.put_off.forget(id.index, &mut self.links.pool);
        }
        true
    }
}

/// The places of a pool, which keeps those that were needed once.
pub(super) fn places<T>(pool: &Slab<T>) -> usize {
    if pool.is_empty() { 0 } else { pool.capacity() }
}

/// The part of its share that a shard frees beyond the excess, if that is shared by many: an eighth.
const SHARED_MARGIN: u64 = 8;
