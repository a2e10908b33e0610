//! The shutdown: no new connections, a farewell to the existing ones, and a bounded end.

use crate::close::CloseReason;
use crate::command::{ConnId, Outbound, Peer, ShardId, ShardSet};
use crate::driver::Op;
use crate::limits::{DRAIN_PER_TURN_MAX, RECONNECTS_PER_SECOND, RETRY_MS_MIN};
use crate::mailbox::Request;
use crate::shard::Shard;
use crate::shard::link::conn::{Carrier, Timer};
use crate::shard::link::ending::Parting;
use crate::time::MonoTime;

#[derive(Debug)]
pub(in crate::shard) struct Drain {
    /// The number of peers that have not yet sent everything for our readers: first the engine, if there is one, then the
    /// shards, since the engine's publications arrive through them. No client is told to leave before, so that an
    /// acknowledged publication reaches its readers.
    fences: usize,
    /// The index of the next connection to tell.
    cursor: u32,
    next_step: MonoTime,
    deadline: MonoTime,
    /// The spread of the retry delays, in milliseconds.
    spread_ms: u64,
    /// The shards without connections.
    drained: ShardSet,
}

impl Drain {
    pub fn next_step(&self) -> MonoTime {
        self.next_step
    }
}

impl Shard {
    /// Starts the shutdown: closes the listeners, and tells some connections each turn to leave.
    pub fn begin_drain(&mut self) {
        if self.upkeep.drain.is_some() {
            return;
        }
        let connections = u64::from(self.settings.admission.connections());
        self.upkeep.drain = Some(Drain {
            fences: if self.settings.has_engine { 1 } else { self.settings.shards },
            cursor: 0,
            next_step: self.now,
            deadline: self.now.plus_millis(self.settings.live.limits.drain_timeout_ms),
            spread_ms: RETRY_MS_MIN.max(connections * 1_000 / RECONNECTS_PER_SECOND),
            drained: ShardSet::EMPTY,
        });
        self.ops.push(Op::StopAccepting);
        if self.settings.has_engine {
            self.ask(Peer::Engine, Request::Fence);
        } else {
            self.ask_all(|| Request::Fence);
        }
    }

    pub(in crate::shard) fn note_fenced(&mut self, from: Peer) {
        let Some(drain) = &mut self.upkeep.drain else { return };
        if from == Peer::Engine {
            drain.fences = self.settings.shards;
            self.ask_all(|| Request::Fence);
        } else {
            drain.fences -= 1;
            // Mail that came before the last of them is still a run: it goes to its readers at the end of this turn.
            drain.next_step = self.now.plus_millis(DRAIN_STEP_MS);
        }
    }

    /// Whether the shutdown is done, here and in every other shard.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let all = ShardSet::all(self.settings.shards);
        self.upkeep.drain.as_ref().is_some_and(|drain| drain.drained == all)
    }

    /// Whether the shutdown has begun.
    pub(in crate::shard) fn is_draining(&self) -> bool {
        self.upkeep.drain.is_some()
    }

    pub(in crate::shard) fn note_drained(&mut self, shard: ShardId) {
        if let Some(drain) = &mut self.upkeep.drain {
            drain.drained.insert(shard);
        }
    }

    pub(in crate::shard) fn step_drain(&mut self) {
        let me = self.settings.shard;
        let end = self.links.conns.end();
        let Some(drain) = &mut self.upkeep.drain else { return };
        if self.now < drain.next_step {
            return;
        }
        drain.next_step = self.now.plus_millis(DRAIN_STEP_MS);
        let is_late = self.now >= drain.deadline;
        if drain.fences > 0 && !is_late {
            return;
        }
        let from = if is_late { 0 } else { drain.cursor };
        let to = if is_late { end } else { end.min(from.saturating_add(DRAIN_PER_TURN_MAX as u32)) };
        drain.cursor = to;
        let (spread_ms, was_drained) = (drain.spread_ms, drain.drained.has(me));
        for index in from..to {
            let Some(id) = self.links.conns.id_at(index) else { continue };
            if is_late {
                self.terminate(id, CloseReason::Shutdown, Parting::Abort);
            } else {
                self.say_goodbye(id, spread_ms);
            }
        }
        let is_told =
            self.drain_detached(DRAIN_PER_TURN_MAX, |shard| RETRY_MS_MIN + shard.upkeep.rng.u64(0..=spread_ms));
        let is_empty = is_told && to == end && self.links.conns.len() == 0;
        if is_empty || is_late {
            self.remove_all_detached();
        }
        if !was_drained && (is_empty || is_late) {
            self.ask_all(|| Request::Drained);
            if self.settings.has_engine {
                self.ask(Peer::Engine, Request::Drained);
            }
        }
        if is_late && let Some(drain) = &mut self.upkeep.drain {
            drain.drained = ShardSet::all(self.settings.shards);
        }
    }

    fn say_goodbye(&mut self, id: ConnId, spread_ms: u64) {
        match self.links.conns[id.index].link.carrier {
            Carrier::Gone => {}
            Carrier::Http1
                if self.links.conns[id.index].link.parser.is_none()
                    && self.links.conns[id.index].link.outbox.is_none() =>
            {
                self.terminate(id, CloseReason::Shutdown, Parting::InOrder);
            }
            Carrier::Http1 => self.end_request(id),
            Carrier::WebSocket | Carrier::Stream => {
                let retry_ms = RETRY_MS_MIN + self.upkeep.rng.u64(0..=spread_ms);
                self.say(id.into(), &Outbound::Bye { retry_ms });
                self.close(id, CloseReason::Shutdown, &format!("retry_ms={retry_ms}"));
            }
        }
    }

    /// Ends a request that may take long: answers a poll, refuses an incomplete head, and limits an incomplete body
    /// to the time of a closing handshake.
    fn end_request(&mut self, id: ConnId) {
        if self.answer_poll(id) {
            return;
        }
        match self.links.conns[id.index].link.timer {
            Timer::Head => {
                self.links.conns[id.index].link.end = Some(CloseReason::Shutdown);
                self.refuse_past_limit(id);
            }
            Timer::Body => self.set_timer(id, Timer::Body),
            _ => {}
        }
    }
}

/// The time between two portions of farewells, in milliseconds.
const DRAIN_STEP_MS: u64 = 1;
