//! When connections with a rate or a bandwidth cap may get more. Beside the one deadline of a connection, and only
//! while something waits for the time to pass.

use std::collections::{BTreeSet, HashMap};

use crate::time::MonoTime;

#[derive(Debug, Default)]
pub(in crate::shard) struct Alarms {
    due: BTreeSet<(MonoTime, u32)>,
    /// By connection: its entry in `due`.
    set: HashMap<u32, MonoTime>,
}

impl Alarms {
    /// Looks at a connection no later than at a time.
    pub fn set(&mut self, index: u32, at: MonoTime) {
        let before = self.set.get(&index).copied();
        if before.is_none_or(|before| at < before) {
            self.clear(index);
            self.set.insert(index, at);
            self.due.insert((at, index));
        }
    }

    pub fn clear(&mut self, index: u32) {
        if let Some(at) = self.set.remove(&index) {
            self.due.remove(&(at, index));
        }
    }

    /// Takes one connection that is due.
    pub fn pop(&mut self, now: MonoTime) -> Option<u32> {
        let (_, index) = *self.due.first().filter(|(at, _)| *at <= now)?;
        self.clear(index);
        Some(index)
    }

    pub fn next(&self) -> Option<MonoTime> {
        self.due.first().map(|(at, _)| *at)
    }

    pub fn len(&self) -> usize {
        self.set.len()
    }
}
