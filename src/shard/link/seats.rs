//! The number of connections of a shard: admitted ones, and a few past a limit, which get a refusal or may ask for
//! health and publish.

use std::collections::VecDeque;

use super::conn::{Carrier, Flag, tick, tick_time};
use super::ending::Parting;
use crate::close::CloseReason;
use crate::command::ConnId;
use crate::limits::{REFUSAL_KEPT_MS, REFUSALS_MAX};
use crate::shard::Shard;

/// The bounds of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seats {
    /// Connections that its driver has room for, without those past the limit; the limit of the process holds as
    /// well.
    pub connections: u32,
    /// Connections past a limit, `1..=REFUSALS_MAX`.
    pub refusals: u32,
}

impl Default for Seats {
    fn default() -> Self {
        Self { connections: u32::MAX, refusals: REFUSALS_MAX }
    }
}

/// Connections past a limit, oldest first; some may be gone.
pub(in crate::shard) type Refused = VecDeque<ConnId>;

impl Shard {
    /// Whether the driver has room for one more admitted connection.
    pub(super) fn has_seat(&self) -> bool {
        (self.links.conns.len() as u32).saturating_sub(self.links.refusals) < self.settings.seats.connections
    }

    /// Finds a seat for a connection past a limit. If there is none, the oldest such connection is closed, if it has
    /// its answer or was silent for long. So a client that does not read or send cannot keep others from their
    /// answers.
    pub(super) fn has_refusal_seat(&mut self) -> bool {
        if self.links.refusals < self.settings.seats.refusals {
            return true;
        }
        while let Some(&oldest) = self.links.refused.front() {
            let conn = self.links.conns.get(oldest).filter(|conn| conn.link.carrier != Carrier::Gone);
            let since = conn.map(|conn| self.now.since(tick_time(conn.link.active_tick)).as_millis() as u64);
            let is_done = conn.is_some_and(|conn| conn.link.is(Flag::FINISHED));
            match since {
                None => {
                    self.links.refused.pop_front();
                }
                Some(since) if is_done || since >= REFUSAL_KEPT_MS => {
                    self.links.refused.pop_front();
                    self.terminate(oldest, CloseReason::Overloaded, Parting::InOrder);
                    return true;
                }
                Some(_) => return false,
            }
        }
        false
    }

    /// Notes that a connection has a seat past the limit.
    pub(super) fn take_refusal_seat(&mut self, id: ConnId) {
        self.links.refusals += 1;
        // Closed connections leave the list here, so that its length stays near the number of seats.
        if self.links.refused.len() > 2 * self.settings.seats.refusals as usize {
            let conns = &self.links.conns;
            self.links.refused.retain(|id| conns.get(*id).is_some_and(|conn| conn.link.carrier != Carrier::Gone));
        }
        self.links.refused.push_back(id);
        debug_assert!(tick(self.now) >= self.links.conns[id.index].link.active_tick, "it came just now");
    }
}
