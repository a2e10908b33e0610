//! Applies live changes that arrive by mail: updates the state derived from them, some connections at a time.

use std::sync::Arc;

use crate::command::{SessionId, SessionIndex};
use crate::limits::{DEADLINE_LATE_MS, LIVE_PLACES_PER_STEP, LIVE_STEP_MS};
use crate::live::Live;
use crate::shard::link::conn::{Carrier, Timer};
use crate::shard::session::session::Mark;
use crate::shard::session::subscription::TargetKind;
use crate::shard::{Shard, hub_settings};
use crate::time::MonoTime;

/// Connections and detached sessions that a change has still to visit.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct Change {
    next: u32,
    next_detached: usize,
    at: MonoTime,
}

impl Change {
    /// The time of the next step.
    pub fn next_step(&self) -> MonoTime {
        self.at
    }
}

impl Shard {
    /// Applies a new live configuration.
    pub(in crate::shard) fn on_live(&mut self, live: Arc<Live>) {
        let earlier = std::mem::replace(&mut self.settings.live, live);
        let (before, after) = (&earlier.limits, &self.settings.live.limits);
        if after.ping_timeout_ms < before.ping_timeout_ms {
            // A peer that was pinged before the change has the earlier time-out.
            let until = self.now.plus_millis(before.ping_timeout_ms + DEADLINE_LATE_MS);
            let earlier = self.links.earlier_ping_timeout.filter(|(_, until)| self.now <= *until);
            let (longest_ms, last) = earlier.unwrap_or((0, MonoTime::ZERO));
            self.links.earlier_ping_timeout = Some((longest_ms.max(before.ping_timeout_ms), last.max(until)));
        }
        self.sessions.last_rule = None;
        self.delivery.compressor.change(self.settings.live.compression);
        self.hub.change(hub_settings(&self.settings));
        self.upkeep.change = Some(Change { next: 0, next_detached: 0, at: self.now });
        self.step_live();
    }

    /// Updates further topics and connections: the time of their pings, and the marks of sessions that rules, rates
    /// or bandwidths may apply to.
    pub(in crate::shard) fn step_live(&mut self) {
        let Some(change) = self.upkeep.change.filter(|change| change.at <= self.now) else { return };
        let end = self.links.conns.end().min(change.next.saturating_add(LIVE_PLACES_PER_STEP));
        for place in change.next..end {
            let Some(id) = self.links.conns.id_at(place) else { continue };
            if self.links.conns[place].link.carrier == Carrier::Gone {
                continue;
            }
            if self.links.conns[place].link.timer == Timer::Ping {
                let deadline = self.deadline(id);
                self.links.wheel.schedule(place, deadline);
            }
            if self.links.conns.is_reader(SessionIndex::own(place)) {
                self.note_live_policies(id.into());
            }
        }
        let detached = self.links.conns.detached.places();
        let end_detached = detached.min(change.next_detached + LIVE_PLACES_PER_STEP as usize);
        for place in change.next_detached..end_detached {
            if let Some(id) = self.links.conns.session_at(SessionIndex::detached(place)) {
                self.note_live_policies(id);
            }
        }
        let is_over = self.hub.step_change(self.now) && end == self.links.conns.end() && end_detached == detached;
        let at = self.now.plus_millis(LIVE_STEP_MS);
        self.upkeep.change = (!is_over).then_some(Change { next: end, next_detached: end_detached, at });
    }

    fn note_live_policies(&mut self, id: SessionId) {
        let live = Arc::clone(&self.settings.live);
        if live.rules.has_policies() {
            self.links.conns[id.index].set(Mark::HAS_POLICIES, true);
        }
        let has_rate = |target: &TargetKind| match *target {
            TargetKind::Topic(topic) => live.rules.find(self.hub.text(topic)).max_rate.is_some(),
            TargetKind::Pattern(_) => true,
        };
        let session = &self.links.conns[id.index];
        let is_paced = live.limits.reader_bandwidth_max > 0
            || live.rules.has_rates()
                && self.sessions.subscriptions.targets(session).any(|target| has_rate(&target.kind()));
        if is_paced {
            self.links.conns[id.index].set(Mark::PACED, true);
        }
    }
}
