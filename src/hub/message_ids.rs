//! The message ids of the latest publications, so that a repeat is not published twice.
//!
//! Where there is no room, the owner that has most forgets its oldest: an owner is a publisher's address, and none makes
//! another forget more than it has itself.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::hash::Hasher;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::topic_table::TopicId;
use crate::command::{Epoch, Owner};
use crate::limits::{
    MESSAGE_ID_COST, MESSAGE_IDS_COST_MAX, MESSAGE_IDS_FORGOTTEN_PER_TURN, MESSAGE_IDS_MAX, MESSAGE_IDS_SHED_MAX,
};
use crate::time::MonoTime;

/// The ids. A topic that ended and came back is another one: its epoch tells them apart.
#[derive(Debug)]
pub(super) struct MessageIds {
    by_owner: HashMap<Owner, Owned>,
    /// By topic and id.
    by_id: HashTable<Hashed>,
    /// Each owner once, by when its oldest id runs out; one whose ids went early stands there too soon.
    due: BinaryHeap<Reverse<(MonoTime, Owner)>>,
    /// Each owner once, by the bytes of its ids.
    by_len: BTreeSet<(u64, Owner)>,
    count: usize,
    /// Bytes of all ids, with what keeps them.
    len: u64,
    key: (u64, u64),
    ttl_ms: u64,
    /// The bound of `len`.
    len_max: u64,
}

/// The ids of an owner, the oldest first.
#[derive(Debug, Default)]
struct Owned {
    entries: VecDeque<Entry>,
    /// The number of the first entry.
    first: u64,
    len: u64,
    /// Whether it stands in `due`.
    is_due: bool,
}

/// An entry: its owner, and its number there. Its hash stands beside it in the table, in bytes that the place leaves free:
/// a table that grows, or puts itself in order, reads no id.
type Place = (Owner, u64);

/// A place in the table, with the hash of the entry.
#[derive(Clone, Copy, Debug)]
struct Hashed {
    owner: Owner,
    hash: u32,
    number: u64,
}
const _: () = assert!(size_of::<Hashed>() == 16);

impl Hashed {
    fn place(self) -> Place {
        (self.owner, self.number)
    }
}

/// A topic in one of its lives.
type Scope = (TopicId, Epoch);

#[derive(Debug)]
struct Entry {
    topic: TopicId,
    hash: u32,
    epoch: Epoch,
    id: Box<str>,
    offset: u64,
    until: MonoTime,
}

const _: () = assert!(size_of::<Entry>() == 48);

impl Entry {
    fn is(&self, topic: Scope, id: &str) -> bool {
        (self.topic, self.epoch) == topic && &*self.id == id
    }
}

impl MessageIds {
    pub fn new(key: (u64, u64), ttl_ms: u64) -> Self {
        let (by_owner, by_id, due, by_len) = (HashMap::new(), HashTable::new(), BinaryHeap::new(), BTreeSet::new());
        Self { by_owner, by_id, due, by_len, count: 0, len: 0, key, ttl_ms, len_max: MESSAGE_IDS_COST_MAX }
    }

    /// How long ids are remembered that come from now on.
    pub fn set_ttl(&mut self, ttl_ms: u64) {
        self.ttl_ms = ttl_ms;
    }

    /// The offset of the publication that came with this id.
    pub fn find(&self, now: MonoTime, topic: Scope, id: &str) -> Option<u64> {
        let is_it = |it: &Hashed| self.entry(it.place()).is_some_and(|entry| entry.is(topic, id));
        let found = *self.by_id.find(spread(hash_of(self.key, topic, id)), is_it)?;
        self.entry(found.place()).filter(|entry| now < entry.until).map(|entry| entry.offset)
    }

    /// Remembers an id that [`MessageIds::find`] has not found. Past the bounds the heaviest owner's oldest are forgotten.
    pub fn insert(&mut self, now: MonoTime, owner: Owner, topic: Scope, id: Box<str>, offset: u64) {
        if self.ttl_ms == 0 {
            return;
        }
        self.forget(now);
        let hash = hash_of(self.key, topic, &id);
        // One that has run out may still be there.
        let by_owner = &self.by_owner;
        let is_it = |it: &Hashed| entry_at(by_owner, it.place()).is_some_and(|old| old.is(topic, &id));
        if let Ok(old) = self.by_id.find_entry(spread(hash), is_it) {
            old.remove();
        }
        let cost = cost(&id);
        while (self.count >= MESSAGE_IDS_MAX || self.len + cost > self.len_max)
            && let Some((_, heaviest)) = self.by_len.last()
        {
            self.forget_oldest_of(*heaviest);
        }
        let owned = self.by_owner.entry(owner).or_default();
        let until = now.plus_millis(self.ttl_ms);
        if !std::mem::replace(&mut owned.is_due, true) {
            self.due.push(Reverse((until, owner)));
        }
        let number = owned.first + owned.entries.len() as u64;
        owned.entries.push_back(Entry { topic: topic.0, hash, epoch: topic.1, id, offset, until });
        self.by_len.remove(&(owned.len, owner));
        owned.len += cost;
        self.by_len.insert((owned.len, owner));
        self.len += cost;
        self.count += 1;
        self.by_id.insert_unique(spread(hash), Hashed { owner, hash, number }, |it| spread(it.hash));
    }

    /// Forgets some of the expired ids.
    pub fn forget(&mut self, now: MonoTime) {
        for _ in 0..MESSAGE_IDS_FORGOTTEN_PER_TURN {
            if self.due.peek().is_none_or(|Reverse((until, _))| now < *until) {
                break;
            }
            self.forget_oldest();
        }
        if self.count == 0 && self.by_id.capacity() > 0 {
            (self.by_owner, self.by_id, self.due) = (HashMap::new(), HashTable::new(), BinaryHeap::new());
        }
    }

    /// Forgets the oldest of the heaviest owners until they take no more than `len`, some at a time.
    pub fn shed(&mut self, len: u64) {
        for _ in 0..MESSAGE_IDS_SHED_MAX {
            let Some((_, heaviest)) = self.by_len.last().copied().filter(|_| self.len > len) else { break };
            self.forget_oldest_of(heaviest);
        }
    }

    /// Ids remembered, and their bytes with what keeps them.
    pub fn sizes(&self) -> (usize, u64) {
        (self.count, self.len)
    }

    /// Forgets the id that runs out next, or notes that it went early.
    fn forget_oldest(&mut self) {
        let Some(Reverse((until, owner))) = self.due.pop() else { return };
        let oldest = |ids: &Self| ids.by_owner.get(&owner).and_then(|owned| owned.entries.front()).map(|e| e.until);
        if oldest(self) == Some(until) {
            self.forget_oldest_of(owner);
        }
        match oldest(self) {
            Some(next) => self.due.push(Reverse((next, owner))),
            None => {
                self.by_owner.remove(&owner);
            }
        }
    }

    /// Forgets an owner's oldest id.
    fn forget_oldest_of(&mut self, owner: Owner) {
        let Some(owned) = self.by_owner.get_mut(&owner) else { return };
        let Some(oldest) = owned.entries.pop_front() else { return };
        let place = (owner, owned.first);
        owned.first += 1;
        // To half of that: each shrinking moves entries.
        if owned.entries.capacity() > 4 * owned.entries.len() + ENTRIES_KEPT {
            owned.entries.shrink_to(2 * owned.entries.len());
        }
        let cost = cost(&oldest.id);
        self.by_len.remove(&(owned.len, owner));
        owned.len -= cost;
        if owned.len > 0 {
            self.by_len.insert((owned.len, owner));
        }
        self.len -= cost;
        self.count -= 1;
        if let Ok(entry) = self.by_id.find_entry(spread(oldest.hash), |it| it.place() == place) {
            entry.remove();
        }
    }

    fn entry(&self, place: Place) -> Option<&Entry> {
        entry_at(&self.by_owner, place)
    }
}

fn entry_at(by_owner: &HashMap<Owner, Owned>, (owner, number): Place) -> Option<&Entry> {
    let owned = by_owner.get(&owner)?;
    owned.entries.get(number.checked_sub(owned.first)? as usize)
}

/// Keyed: a publisher cannot choose ids that collide.
fn hash_of(key: (u64, u64), topic: Scope, id: &str) -> u32 {
    let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
    hasher.write_u32(topic.0.0);
    hasher.write_u64(topic.1.0);
    hasher.write(id.as_bytes());
    hasher.finish() as u32
}

/// The table looks at the lowest and the highest bits.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Bytes that an id takes.
fn cost(id: &str) -> u64 {
    (id.len() + MESSAGE_ID_COST) as u64
}

/// Places for entries that an owner keeps beside four times those that it has.
const ENTRIES_KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const LEN_MAX: u64 = 1 << 20;
    const O: Owner = Owner(1);
    const A: Scope = (TopicId(1), Epoch(1));
    const B: Scope = (TopicId(2), Epoch(1));

    fn after(ms: u64) -> MonoTime {
        MonoTime::ZERO.plus_millis(ms)
    }

    #[test]
    fn an_id_is_found_in_its_topic_until_its_time_is_over() {
        let mut ids = MessageIds::new((1, 2), 100);
        ids.insert(after(0), O, A, "x".into(), 7);
        ids.insert(after(50), O, B, "x".into(), 9);
        assert_eq!((ids.find(after(99), A, "x"), ids.find(after(99), B, "x")), (Some(7), Some(9)));
        assert_eq!(ids.find(after(99), A, "y"), None);
        assert_eq!((ids.find(after(100), A, "x"), ids.find(after(100), B, "x")), (None, Some(9)));
        ids.insert(after(100), O, A, "x".into(), 8);
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
                ids.insert(after(round * 10), O, A, format!("{n}").into(), round);
            }
        }
        assert_eq!((0..20).filter_map(|n| ids.find(after(499), A, &n.to_string())).collect::<Vec<_>>(), [49; 20]);
        while ids.sizes().0 > 0 {
            ids.forget(after(1_000));
        }
        assert_eq!((ids.len, ids.by_id.len()), (0, 0));
    }

    #[test]
    fn an_owner_whose_ids_run_out_moves_them_seldom() {
        let mut ids = MessageIds::new((1, 2), 100);
        for n in 0..10_000_u64 {
            ids.insert(after(0), O, A, n.to_string().into(), n);
        }
        let (mut capacity, mut moves) = (ids.by_owner[&O].entries.capacity(), 0);
        while ids.count > 0 {
            ids.forget_oldest_of(O);
            moves += u32::from(std::mem::replace(&mut capacity, ids.by_owner[&O].entries.capacity()) != capacity);
        }
        assert!(moves < 20 && capacity <= 2 * ENTRIES_KEPT, "{moves} {capacity}");
    }

    #[test]
    fn past_the_bounds_the_oldest_is_forgotten_first() {
        let mut ids = MessageIds { len_max: LEN_MAX, ..MessageIds::new((1, 2), 1_000) };
        let long = "x".repeat(200);
        let count = LEN_MAX / 208 + 10;
        for n in 0..count {
            ids.insert(after(0), O, A, format!("{n:08}{long}").into(), n);
        }
        assert!(ids.len <= LEN_MAX && ids.count <= MESSAGE_IDS_MAX);
        assert_eq!(ids.find(after(1), A, &format!("{:08}{long}", 0)), None);
        assert_eq!(ids.find(after(1), A, &format!("{:08}{long}", count - 1)), Some(count - 1));
        assert_eq!((ids.by_id.len(), ids.due.len()), (ids.count, 1));
    }

    #[test]
    fn an_owner_that_has_many_forgets_its_own_and_no_other_owners() {
        let mut ids = MessageIds { len_max: LEN_MAX, ..MessageIds::new((1, 2), 1_000) };
        let long = "x".repeat(200);
        let polite = Owner(2);
        ids.insert(after(0), polite, A, "kept".into(), 1);
        let all = LEN_MAX / 208 * 2;
        for n in 0..all {
            ids.insert(after(1), O, A, format!("{n:08}{long}").into(), n);
            if n % 100 == 0 {
                ids.insert(after(1), polite, B, format!("{n}").into(), n);
            }
        }
        assert_eq!(ids.find(after(2), A, "kept"), Some(1));
        assert!((0..all).step_by(100).all(|n| ids.find(after(2), B, &n.to_string()) == Some(n)));
        // Many owners share what there is.
        for n in 0..all / 20 {
            for owner in 10..40 {
                ids.insert(after(3), Owner(owner), B, format!("{owner}-{n:08}{long}").into(), n);
            }
        }
        assert!(ids.len <= LEN_MAX && ids.due.len() <= 33, "{} {}", ids.len, ids.due.len());
        assert_eq!(ids.find(after(4), A, "kept"), Some(1));
        let heavy: Vec<_> =
            ids.by_owner.iter().filter(|(owner, _)| **owner != polite).map(|(_, owned)| owned.len).collect();
        let (least, most) = (heavy.iter().min().expect("some"), heavy.iter().max().expect("some"));
        assert!(most - least < 1_000, "equal parts: {least} to {most}");
        while ids.sizes().0 > 0 {
            ids.forget(after(2_000));
        }
        assert_eq!((ids.len, ids.by_id.len(), ids.due.len()), (0, 0, 0));
    }

    #[test]
    fn without_a_window_nothing_is_remembered() {
        let mut ids = MessageIds::new((1, 2), 0);
        ids.insert(after(0), O, A, "x".into(), 7);
        assert_eq!((ids.find(after(0), A, "x"), ids.sizes()), (None, (0, 0)));
    }
}
