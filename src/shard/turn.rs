//! The budget of a turn over all connections, and the work that is left for the next turn.

use std::ops::ControlFlow;

use super::Shard;
use crate::budget::{Budget, Part, TurnCharge};
use crate::limits::{MAIL_PER_PART_COST_MAX, TURN_LEN_MAX, TURN_SLOW_LOG_MS, TURN_SLOW_MS};
use crate::shard::link::conn::{Carrier, Flag};
use crate::time::MonoTime;

/// The current turn.
#[derive(Debug, Default)]
pub(in crate::shard) struct Turn {
    /// Its budget, with its cost so far.
    pub budget: Budget,
    /// Bytes added since the last memory survey, even if they were freed again.
    pub grown: usize,
    /// Bytes of outgoing mail when the current part of the turn began.
    mail_before: usize,
    /// Bytes of outgoing mail that other shards had not taken when the last turn ended.
    pub mail_len: u64,
    /// The time of its first completion.
    woken_at: Option<MonoTime>,
    /// The time of the last log line about a slow turn.
    slow_told: Option<MonoTime>,
    /// The cost of the turn before.
    last: TurnCharge,
}

impl Shard {
    /// Replaces the budget of each turn, [`TURN_BUDGET`](crate::limits::TURN_BUDGET); for tests.
    #[doc(hidden)]
    pub fn set_turn_budget(&mut self, units: u64) {
        self.turn.budget = Budget::new(units);
    }

    /// The cost of the last turn; for tests.
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

    /// Begins a completion of the kernel.
    pub(super) fn begin_completion(&mut self) {
        self.turn.woken_at.get_or_insert(self.now);
        self.turn.budget.begin_item();
    }

    /// Returns `Break` when this turn has received enough.
    pub(super) fn receives_more(&mut self) -> ControlFlow<()> {
        let is_enough = self.is_turn_full() || self.links.put_off.is_full() || self.has_grown();
        if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Begins the next part of the turn.
    pub(super) fn begin_part(&mut self, part: Part) {
        self.turn.budget.begin_part(part);
        self.turn.mail_before = self.outgoing.cost();
    }

    /// Whether this part of the turn has done enough, by its deliveries to readers, its mail to other shards, or its
    /// cost.
    pub(super) fn is_turn_full(&mut self) -> bool {
        self.delivery.runs.len >= TURN_LEN_MAX || self.is_mail_full() || self.turn.budget.is_spent()
    }

    /// Whether this part of the turn has made as much mail as it may.
    pub(in crate::shard) fn is_mail_full(&self) -> bool {
        self.outgoing.cost() >= self.turn.mail_before + MAIL_PER_PART_COST_MAX
    }

    /// The time at which this turn began to work: its first completion, or `now` if there was none.
    pub(super) fn woken_at(&self, now: MonoTime) -> MonoTime {
        self.turn.woken_at.unwrap_or(now)
    }

    /// Ends a turn and restores its budget. Notes values that only the loop knows: the duration of the turn, the
    /// number of waiting mails, and the bytes of mail that this shard has sent.
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

    /// Resumes put-off work, one step for each connection in turn, as long as the turn has budget left.
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
            // Work that is put off once more pauses the connection again.
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
