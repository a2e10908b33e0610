//! What a shard holds for others, by class, and what is let go when it is more than its share of `memory_len_max`.
//!
//! Histories go first, the largest by halves. Then the connections that hold most, the largest first: a reader that
//! waits for everything is closed as overloaded, one that would rather skip keeps the newest of each topic, and an
//! unfinished message or request takes its connection with it. A piece that several readers wait for counts for each.

use super::Shard;
use super::conn::{Conn, Flag, Session, Slot};
use crate::close::CloseReason;
use crate::command::ConnId;
use crate::limits::MEMORY_INTERVAL_MS;
use crate::metrics::MemoryClass;
use crate::time::MonoTime;

/// What can be let go of one connection.
struct Holding {
    len: usize,
    class: MemoryClass,
    id: ConnId,
}

impl Shard {
    /// Bytes held, by [`MemoryClass`]. Looks at whatever is busy.
    pub(super) fn memory(&self) -> [u64; MemoryClass::ALL.len()] {
        let hub = self.hub.sizes();
        let mut memory = [0; MemoryClass::ALL.len()];
        memory[MemoryClass::LastValues as usize] = hub.kept.last;
        memory[MemoryClass::History as usize] = hub.kept.history;
        memory[MemoryClass::Outboxes as usize] = self.outboxes.len_of_all() as u64;
        let held = self.pendings.iter().map(|(_, pending)| pending.catch_up.len());
        memory[MemoryClass::Lag as usize] =
            self.lags.iter().map(|(_, lag)| lag.len()).chain(held).sum::<usize>() as u64;
        let requests = self.exchanges.iter().map(|(_, session)| session.held_len());
        let messages = self.decoders.iter().map(|(_, decoder)| decoder.held_len());
        let records = self.edges.iter().map(|(_, edge)| edge.held_len());
        memory[MemoryClass::Reassembly as usize] = requests.chain(messages).chain(records).sum::<usize>() as u64;
        memory[MemoryClass::MessageIds as usize] = hub.message_ids_len;
        memory[MemoryClass::Streams as usize] = self.compressor.streams_len() as u64;
        memory
    }

    /// When [`Shard::step_memory`] is to look again; never without a limit.
    pub(super) fn next_memory_look(&self) -> Option<MonoTime> {
        (self.settings.limits.memory_len_max > 0).then_some(self.memory_look)
    }

    /// Looks whether too much is held, and lets the largest go.
    pub(super) fn step_memory(&mut self) {
        let len_max = self.settings.limits.memory_len_max.div_ceil(self.settings.shards as u64);
        if len_max == 0 || self.now < self.memory_look {
            return;
        }
        self.memory_look = self.now.plus_millis(MEMORY_INTERVAL_MS);
        let memory = self.memory();
        let bounded = [MemoryClass::History, MemoryClass::Outboxes, MemoryClass::Lag, MemoryClass::Reassembly];
        let held: u64 = bounded.iter().map(|&class| memory[class as usize]).sum();
        let Some(excess) = held.checked_sub(len_max).filter(|excess| *excess > 0) else { return };
        let history = memory[MemoryClass::History as usize];
        self.metrics.shed[MemoryClass::History as usize] += self.hub.shed_history(excess);
        let freed = history - self.hub.sizes().kept.history;
        if freed < excess {
            self.shed_connections(excess - freed);
        }
    }

    fn shed_connections(&mut self, excess: u64) {
        let (mut holdings, mut ending_len) = (Vec::new(), 0);
        for index in 0..self.conns.end() {
            let Some(id) = self.conns.id_at(index) else { continue };
            let conn = &self.conns[index];
            // What is about to end needs no second end.
            if conn.is(Flag::CLOSING) || conn.session == Session::Gone {
                ending_len += self.outboxes.get(conn.outbox).map_or(0, |outbox| outbox.len());
                continue;
            }
            let lens = [MemoryClass::Outboxes, MemoryClass::Lag, MemoryClass::Reassembly];
            let lens = lens.map(|class| (self.len_of(conn, class), class));
            holdings.extend(lens.into_iter().filter(|(len, _)| *len > 0).map(|(len, class)| Holding {
                len,
                class,
                id,
            }));
        }
        holdings.sort_unstable_by_key(|holding| (std::cmp::Reverse(holding.len), holding.id));
        let mut excess = (excess as usize).saturating_sub(ending_len);
        // What is on its way to readers that skip goes last: it is bounded by what one turn brings.
        for skips in [false, true] {
            for &Holding { len, class, id } in &holdings {
                let is_last_resort = class == MemoryClass::Outboxes && self.conns[id.index].is(Flag::HAS_POLICIES);
                if excess > 0 && is_last_resort == skips && self.shed(id, class) {
                    self.metrics.shed[class as usize] += 1;
                    excess = excess.saturating_sub(len);
                }
            }
        }
    }

    fn len_of(&self, conn: &Conn, class: MemoryClass) -> usize {
        match class {
            MemoryClass::Outboxes => self.outboxes.get(conn.outbox).map_or(0, |outbox| outbox.len()),
            MemoryClass::Lag => {
                let lag = conn.lag.index().map_or(0, |slot| self.lags[slot].len());
                lag + conn.pending.index().map_or(0, |slot| self.pendings[slot].catch_up.len())
            }
            MemoryClass::Reassembly => {
                let message = conn.decoder.index().map_or(0, |slot| self.decoders[slot].held_len());
                let records = conn.edge.index().map_or(0, |slot| self.edges[slot].held_len());
                message + records + conn.exchange.index().map_or(0, |slot| self.exchanges[slot].held_len())
            }
            _ => 0,
        }
    }

    /// Lets go what a connection holds; `false` if there is nothing to let go any more.
    fn shed(&mut self, id: ConnId, class: MemoryClass) -> bool {
        let Some(conn) = self.conns.get(id).filter(|conn| !conn.is(Flag::CLOSING)) else { return false };
        if class == MemoryClass::Lag
            && let Some(slot) = conn.lag.index()
        {
            let skipped = self.lags[slot].keep_newest();
            self.metrics.skipped += skipped;
            return skipped > 0;
        }
        if conn.session == Session::Http {
            self.terminate(id, CloseReason::Overloaded, true);
        } else {
            if let Some(outbox) = self.outboxes.get_mut(conn.outbox) {
                outbox.drop_queued();
            }
            self.fail(id, CloseReason::Overloaded, "overloaded");
            // It is not listened to any more: what it began to say has no end.
            if let Some(slot) = std::mem::replace(&mut self.conns[id.index].decoder, Slot::NONE).index() {
                self.decoders.remove(slot).release(&mut self.pool);
            }
        }
        true
    }
}
