//! A turn's budget over all connections, and what it leaves for the next one.

use std::ops::ControlFlow;

use super::Shard;
use crate::budget::{Budget, Part, TurnCharge};
use crate::limits::{MAIL_PER_PART_COST_MAX, TURN_LEN_MAX, TURN_SLOW_LOG_MS, TURN_SLOW_MS};
use crate::shard::link::conn::{Carrier, Flag};
use crate::time::MonoTime;

/// The turn under way.
#[derive(Debug, Default)]
pub(in crate::shard) struct Turn {
    /// What it has cost so far.
    pub budget: Budget,
    /// Bytes that are held since the last look at the memory, or were for a while.
    pub grown: usize,
    /// Bytes of mail that this part of the turn began with.
    mail_before: usize,
    /// Bytes of mail that other shards have not taken, when the last turn ended.
    pub mail_len: u64,
    /// When its first completion came.
    woken_at: Option<MonoTime>,
    /// When a turn that took long was last told of.
    slow_told: Option<MonoTime>,
    /// What the turn before cost.
    last: TurnCharge,
}

impl Shard {
    /// Gives each turn another budget than [`TURN_BUDGET`](crate::limits::TURN_BUDGET); for tests.
    #[doc(hidden)]
    pub fn set_turn_budget(&mut self, units: u64) {
        self.turn.budget = Budget::new(units);
    }

    /// What the last turn cost; for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn last_charge(&self) -> TurnCharge {
        self.turn.last
    }

    /// Begins a turn.
    pub(super) fn begin_turn(&mut self) {
        self.turn.woken_at = None;
        self.turn.mail_before = 0;
    }

    /// Begins to take in a completion.
    pub(super) fn begin_completion(&mut self) {
        self.turn.woken_at.get_or_insert(self.now);
        self.turn.budget.begin_item();
    }

    /// `Break` when this turn has received enough.
    pub(super) fn receives_more(&mut self) -> ControlFlow<()> {
        let is_enough = self.is_turn_full() || self.links.put_off.is_full() || self.has_grown();
        if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Begins the next part of the turn.
    pub(super) fn begin_part(&mut self, part: Part) {
        self.turn.budget.begin_part(part);
        self.turn.mail_before = self.outgoing.cost();
    }

    /// Whether this part of the turn has taken in enough: what it brings to readers, what it sends to other shards, what
    /// it costs.
    pub(super) fn is_turn_full(&mut self) -> bool {
        self.delivery.runs.len >= TURN_LEN_MAX || self.is_mail_full() || self.turn.budget.is_spent()
    }

    /// Whether this part of the turn has made as much mail as it may.
    pub(in crate::shard) fn is_mail_full(&self) -> bool {
        self.outgoing.cost() >= self.turn.mail_before + MAIL_PER_PART_COST_MAX
    }

    /// When this turn began to cost time: with the first completion, or `now` if there was none.
    pub(super) fn woken_at(&self, now: MonoTime) -> MonoTime {
        self.turn.woken_at.unwrap_or(now)
    }

    /// Ends a turn: its budget is whole again. Notes what the loop knows and the shard does not: how long the turn took,
    /// and how much mail waits: mails, and bytes of what this shard sent.
    pub(super) fn note_turn(&mut self, turn_nanos: u64, mailbox_depth: usize, mail_len: usize) {
        self.turn.mail_len = mail_len as u64;
        self.turn.last = self.turn.budget.begin_turn();
        let TurnCharge { charged, largest_item, was_spent } = self.turn.last;
        self.metrics.turn_charge_max = self.metrics.turn_charge_max.max(charged);
        self.metrics.item_charge_max = self.metrics.item_charge_max.max(largest_item);
        self.metrics.turns_spent += u64::from(was_spent);
        self.metrics.turns.record(turn_nanos);
        self.metrics.turn_longest_us = self.metrics.turn_longest_us.max(turn_nanos / 1_000);
        self.metrics.mailbox_depth = mailbox_depth as u64;
        if turn_nanos > TURN_SLOW_MS * 1_000_000 {
            self.tell_slow_turn(turn_nanos);
        }
    }

    #[cold]
    fn tell_slow_turn(&mut self, turn_nanos: u64) {
        let is_told = self.turn.slow_told.is_some_and(|told| self.now < told.plus_millis(TURN_SLOW_LOG_MS));
        if !is_told {
            self.turn.slow_told = Some(self.now);
            tracing::warn!(shard = self.settings.shard.0, ms = turn_nanos / 1_000_000, "a turn took long");
        }
    }

    /// Lets connections go on with what was put off, a step each in turn, for as long as the turn has something left.
    pub(super) fn resume_put_off(&mut self) {
        while !self.links.is_congested
            && self.links.put_off.has_work()
            && self.turn.budget.begin_item()
            && !self.is_mail_full()
            && let Some(id) = self.links.put_off.next()
        {
            let Some(id) = id.conn() else {
                self.resume_detached(id);
                continue;
            };
            if self.links.conns.get(id).is_none_or(|conn| !conn.link.is(Flag::PAUSED_TURN)) {
                continue;
            }
            // Whatever is put off again pauses it again.
            self.unpause(id, Flag::PAUSED_TURN);
            let mails = self.outgoing.len();
            self.resume_subscribe(id.into());
            let link = &self.links.conns[id.index].link;
            match link.carrier {
                _ if link.is(Flag::PAUSED_TURN) => {}
                Carrier::Http1 => {
                    self.resume_batch(id);
                    self.advance_requests(id);
                }
                Carrier::WebSocket => self.hear_on(id),
                Carrier::Stream | Carrier::Gone => {}
            }
            self.note_mail(id, mails);
            if self.end_is_due(id) {
                self.on_receive_closed(id, None);
            }
        }
    }
}
