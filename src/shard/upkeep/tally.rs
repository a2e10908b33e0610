//! Sums over the pools of a shard, for scrapes of the metrics: in steps that take no turn long.
//!
//! With few busy places one step is enough, and the sums are those of one moment. With many, all scrapes that arrive
//! meanwhile get the same answer.

use std::ops::Range;

use slab::Slab;

use super::memory::places;
use crate::command::ShardId;
use crate::limits::{PRICE_VISIT, SURVEY_PLACES_MAX};
use crate::mailbox::Answer;
use crate::metrics::ShardMetrics;
use crate::shard::Shard;
use crate::shard::link::edge::Edge;
use crate::shard::request::waiting::HttpSession;
use crate::shard::session::lag::Lag;

/// Bytes held in pools.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::shard) struct Busy {
    /// In outboxes, without what keeps them.
    pub outboxes_len: u64,
    /// The same with that.
    pub outboxes_cost: u64,
    pub lags: u64,
    /// For subscriptions under way.
    pub pendings: u64,
    /// Of unfinished messages and requests.
    pub unfinished: u64,
}

/// The current sums, and the shards that wait for them.
#[derive(Debug, Default)]
pub(in crate::shard) struct Tally {
    next: usize,
    busy: Busy,
    asked: Vec<(ShardId, u32)>,
}

impl Tally {
    /// Whether a shard waits for the sums.
    pub fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }
}

impl Shard {
    /// The metrics of this shard, with gauges filled in. Visits all busy places.
    #[must_use]
    pub fn measure(&self) -> ShardMetrics {
        self.metrics_with(&self.busy())
    }

    /// The sums over all places.
    pub(in crate::shard) fn busy(&self) -> Busy {
        let mut busy = Busy::default();
        self.add_busy(0..self.tally_places(), &mut busy);
        busy
    }

    /// Notes that a shard asks for the metrics of this one.
    pub(in crate::shard) fn on_metrics_asked(&mut self, from: ShardId, ticket: u32) {
        self.upkeep.tally.asked.push((from, ticket));
    }

    /// Visits the next places if a shard asked, and answers after the last.
    pub(in crate::shard) fn step_tally(&mut self) {
        if !self.upkeep.tally.is_asked() {
            return;
        }
        let (mut tally, places) = (std::mem::take(&mut self.upkeep.tally), self.tally_places());
        let end = places.min(tally.next + SURVEY_PLACES_MAX as usize);
        self.turn.budget.begin_item();
        self.turn.budget.charge(end.saturating_sub(tally.next) as u64 * PRICE_VISIT);
        self.add_busy(tally.next..end, &mut tally.busy);
        tally.next = end;
        if end < places {
            self.upkeep.tally = tally;
            return;
        }
        let metrics = self.metrics_with(&tally.busy);
        for (from, ticket) in tally.asked {
            self.answer(from, Answer::Metrics { ticket, metrics: Box::new(metrics.clone()) });
        }
    }

    /// The places of the largest pool.
    fn tally_places(&self) -> usize {
        let links = self.links.outboxes.places().max(places(&self.links.decoders)).max(places(&self.links.edges));
        let sessions = places(&self.sessions.lags).max(places(&self.sessions.pendings));
        links.max(sessions).max(places(&self.requests.exchanges)).max(self.links.conns.detached.places())
    }

    fn add_busy(&self, range: Range<usize>, busy: &mut Busy) {
        for outbox in range.clone().filter_map(|place| self.links.outboxes.at(place)) {
            busy.outboxes_len += outbox.len() as u64;
            busy.outboxes_cost += outbox.cost() as u64;
        }
        busy.lags += sum(&self.sessions.lags, &range, Lag::len);
        busy.pendings += sum(&self.sessions.pendings, &range, |pending| pending.catch_up.len());
        busy.unfinished += sum(&self.requests.exchanges, &range, HttpSession::held_len)
            + sum(&self.links.decoders, &range, |unfinished| unfinished.decoder.held_len())
            + sum(&self.links.edges, &range, Edge::held_len)
            + self.links.conns.detached.unheard_len(range) as u64;
    }
}

fn sum<T>(pool: &Slab<T>, range: &Range<usize>, len: impl Fn(&T) -> usize) -> u64 {
    let range = range.start..range.end.min(places(pool));
    range.filter_map(|place| pool.get(place)).map(|entry| len(entry) as u64).sum()
}
