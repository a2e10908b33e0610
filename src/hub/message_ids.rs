//! The message ids of the latest publications, so that a repeat is not published twice.

use std::collections::VecDeque;
use std::hash::Hasher;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::topic_table::TopicId;
use crate::command::Epoch;
use crate::limits::{
    MESSAGE_ID_COST, MESSAGE_IDS_COST_MAX, MESSAGE_IDS_FORGOTTEN_PER_TURN, MESSAGE_IDS_MAX, MESSAGE_IDS_SHED_MAX,
};
use crate::time::MonoTime;

/// The ids, the oldest first. A topic that ended and came back is another one: its epoch tells them apart.
#[derive(Debug)]
pub(super) struct MessageIds {
    entries: VecDeque<Entry>,
    /// By topic and id: the number of the entry.
    by_id: HashTable<u64>,
    /// The number of the first entry.
    first: u64,
    /// Bytes of all ids, with what keeps them.
    len: u64,
    key: (u64, u64),
    ttl_ms: u64,
}

/// A topic in one of its lives.
type Scope = (TopicId, Epoch);

#[derive(Debug)]
struct Entry {
    topic: Scope,
    id: Box<str>,
    offset: u64,
    until: MonoTime,
}

impl MessageIds {
    pub fn new(key: (u64, u64), ttl_ms: u64) -> Self {
        Self { entries: VecDeque::new(), by_id: HashTable::new(), first: 0, len: 0, key, ttl_ms }
    }

    /// How long ids are remembered that come from now on.
    pub fn set_ttl(&mut self, ttl_ms: u64) {
        self.ttl_ms = ttl_ms;
    }

    /// The offset of the publication that came with this id.
    pub fn find(&self, now: MonoTime, topic: Scope, id: &str) -> Option<u64> {
        let number = *self.by_id.find(self.hash(topic, id), |&number| self.is_at(number, topic, id))?;
        self.entry(number).filter(|entry| now < entry.until).map(|entry| entry.offset)
    }

    /// Remembers an id that [`MessageIds::find`] has not found. Past a bound the oldest are forgotten.
    pub fn insert(&mut self, now: MonoTime, topic: Scope, id: Box<str>, offset: u64) {
        if self.ttl_ms == 0 {
            return;
        }
        let hash = self.hash(topic, &id);
        // One that has run out may still be there.
        if let Ok(old) = self.by_id.find_entry(hash, |&number| at(&self.entries, self.first, number, topic, &id)) {
            old.remove();
        }
        self.len += cost(&id);
        let number = self.first + self.entries.len() as u64;
        self.entries.push_back(Entry { topic, id, offset, until: now.plus_millis(self.ttl_ms) });
        let (entries, first, key) = (&self.entries, self.first, self.key);
        self.by_id.insert_unique(hash, number, |&number| {
            let entry = &entries[(number - first) as usize];
            hash_of(key, entry.topic, &entry.id)
        });
        self.forget(now);
        while self.entries.len() > MESSAGE_IDS_MAX || self.len > MESSAGE_IDS_COST_MAX {
            self.forget_oldest();
        }
    }

    /// Forgets some of the expired ids.
    pub fn forget(&mut self, now: MonoTime) {
        for _ in 0..MESSAGE_IDS_FORGOTTEN_PER_TURN {
            if self.entries.front().is_none_or(|oldest| now < oldest.until) {
                break;
            }
            self.forget_oldest();
        }
        if self.entries.is_empty() && self.entries.capacity() > 0 {
            self.entries = VecDeque::new();
            self.by_id = HashTable::new();
        }
    }

    /// Forgets the oldest until they take no more than `len`, some at a time.
    pub fn shed(&mut self, len: u64) {
        for _ in 0..MESSAGE_IDS_SHED_MAX {
            if self.len <= len {
                break;
            }
            self.forget_oldest();
        }
        self.entries.shrink_to(2 * self.entries.len());
    }

    /// Ids remembered, and their bytes with what keeps them.
    pub fn sizes(&self) -> (usize, u64) {
        (self.entries.len(), self.len)
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else { return };
        let number = self.first;
        self.first += 1;
        self.len -= cost(&oldest.id);
        let hash = self.hash(oldest.topic, &oldest.id);
        if let Ok(entry) = self.by_id.find_entry(hash, |&other| other == number) {
            entry.remove();
        }
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(number.checked_sub(self.first)? as usize)
    }

    fn is_at(&self, number: u64, topic: Scope, id: &str) -> bool {
        at(&self.entries, self.first, number, topic, id)
    }

    fn hash(&self, topic: Scope, id: &str) -> u64 {
        hash_of(self.key, topic, id)
    }
}

fn at(entries: &VecDeque<Entry>, first: u64, number: u64, topic: Scope, id: &str) -> bool {
    let entry = number.checked_sub(first).and_then(|place| entries.get(place as usize));
    entry.is_some_and(|entry| entry.topic == topic && &*entry.id == id)
}

/// Keyed: a publisher cannot choose ids that collide.
fn hash_of(key: (u64, u64), topic: Scope, id: &str) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
    hasher.write_u32(topic.0.0);
    hasher.write_u64(topic.1.0);
    hasher.write(id.as_bytes());
    hasher.finish()
}

/// Bytes that an id takes.
fn cost(id: &str) -> u64 {
    (id.len() + MESSAGE_ID_COST) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Scope = (TopicId(1), Epoch(1));
    const B: Scope = (TopicId(2), Epoch(1));

    fn after(ms: u64) -> MonoTime {
        MonoTime::ZERO.plus_millis(ms)
    }

    #[test]
    fn an_id_is_found_in_its_topic_until_its_time_is_over() {
        let mut ids = MessageIds::new((1, 2), 100);
        ids.insert(after(0), A, "x".into(), 7);
        ids.insert(after(50), B, "x".into(), 9);
        assert_eq!((ids.find(after(99), A, "x"), ids.find(after(99), B, "x")), (Some(7), Some(9)));
        assert_eq!(ids.find(after(99), A, "y"), None);
        assert_eq!((ids.find(after(100), A, "x"), ids.find(after(100), B, "x")), (None, Some(9)));
        ids.insert(after(100), A, "x".into(), 8);
        assert_eq!(ids.find(after(199), A, "x"), Some(8));
        ids.forget(after(150));
        assert_eq!(ids.find(after(199), A, "x"), Some(8), "what comes to its end is the older one");
        ids.forget(after(200));
        assert_eq!((ids.sizes(), ids.by_id.len()), ((0, 0), 0));
    }

    #[test]
    fn an_id_that_ran_out_and_came_again_is_forgotten_once() {
        let mut ids = MessageIds::new((1, 2), 10);
        for round in 0..50 {
            for n in 0..20 {
                ids.insert(after(round * 10), A, format!("{n}").into(), round);
            }
        }
        assert_eq!((0..20).filter_map(|n| ids.find(after(499), A, &n.to_string())).collect::<Vec<_>>(), [49; 20]);
        while ids.sizes().0 > 0 {
            ids.forget(after(1_000));
        }
        assert_eq!((ids.len, ids.by_id.len()), (0, 0));
    }

    #[test]
    fn past_the_bounds_the_oldest_is_forgotten_first() {
        let mut ids = MessageIds::new((1, 2), 1_000);
        let long = "x".repeat(200);
        let count = MESSAGE_IDS_COST_MAX / 208 + 10;
        for n in 0..count {
            ids.insert(after(0), A, format!("{n:08}{long}").into(), n);
        }
        assert!(ids.len <= MESSAGE_IDS_COST_MAX && ids.entries.len() <= MESSAGE_IDS_MAX);
        assert_eq!(ids.find(after(1), A, &format!("{:08}{long}", 0)), None);
        assert_eq!(ids.find(after(1), A, &format!("{:08}{long}", count - 1)), Some(count - 1));
        assert_eq!(ids.by_id.len(), ids.entries.len());
    }

    #[test]
    fn without_a_window_nothing_is_remembered() {
        let mut ids = MessageIds::new((1, 2), 0);
        ids.insert(after(0), A, "x".into(), 7);
        assert_eq!((ids.find(after(0), A, "x"), ids.sizes()), (None, (0, 0)));
    }
}
