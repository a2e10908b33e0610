//! What each connection follows: its first subscription stands in the connection, further ones in a slab, as a list
//! in both directions; an index finds them by target.

use hashbrown::HashTable;
use slab::Slab;
use std::hash::Hasher as _;

use super::subscription::{Place, Subscription, TargetId};
use crate::hub::SubscriberKey;
use crate::shard::link::arena::Conns;
use crate::shard::link::conn::{Conn, Slot};

#[derive(Debug)]
struct Entry {
    conn: u32,
    subscription: Subscription,
    next: Slot,
    prev: Slot,
}

/// The further subscriptions of a shard's connections.
#[derive(Debug, Default)]
pub(in crate::shard) struct Subscriptions {
    entries: Slab<Entry>,
    index: HashTable<u32>,
    count: usize,
}

impl Subscriptions {
    /// Adds a subscription that the connection does not have yet.
    pub fn add(&mut self, conns: &mut Conns, conn: u32, target: TargetId, place: Place) -> SubscriberKey {
        let subscription = Subscription::new(target, place);
        let owner = &mut conns[conn];
        owner.target_count += 1;
        self.count += 1;
        if owner.first.is_none() {
            owner.first = subscription;
            return SubscriberKey(conn);
        }
        let next = owner.more;
        let id = self.entries.insert(Entry { conn, subscription, next, prev: Slot::NONE });
        if let Some(next) = next.index() {
            self.entries[next].prev = Slot::new(id);
        }
        owner.more = Slot::new(id);
        let entries = &self.entries;
        self.index.insert_unique(hash(conn, target), id as u32, |&id| {
            let entry = &entries[id as usize];
            hash(entry.conn, entry.subscription.target)
        });
        SubscriberKey(id as u32 | FURTHER)
    }

    /// The same in the place of the connection's first one, which it has and which becomes a further one: returns what
    /// stands for that one now.
    pub fn add_first(&mut self, conns: &mut Conns, conn: u32, target: TargetId, place: Place) -> SubscriberKey {
        let first = std::mem::replace(&mut conns[conn].first, Subscription::new(target, place));
        // It is counted already, and the new one is not.
        self.add(conns, conn, first.target, first.place())
    }

    /// The connection's subscription to a target.
    pub fn find(&self, conns: &Conns, conn: u32, target: TargetId) -> Option<SubscriberKey> {
        if conns[conn].first.target == target {
            return Some(SubscriberKey(conn));
        }
        let is_it = |&id: &u32| {
            let entry = &self.entries[id as usize];
            entry.conn == conn && entry.subscription.target == target
        };
        self.index.find(hash(conn, target), is_it).map(|id| SubscriberKey(id | FURTHER))
    }

    /// Takes a subscription away; returns where it stood.
    pub fn remove(&mut self, conns: &mut Conns, key: SubscriberKey) -> (TargetId, Place) {
        self.count -= 1;
        let subscription = if key.0 & FURTHER == 0 {
            let owner = &mut conns[key.0];
            owner.target_count -= 1;
            std::mem::replace(&mut owner.first, Subscription::NONE)
        } else {
            let id = key.0 & !FURTHER;
            let entry = self.entries.remove(id as usize);
            if let Ok(found) = self.index.find_entry(hash(entry.conn, entry.subscription.target), |&other| other == id)
            {
                found.remove();
            }
            conns[entry.conn].target_count -= 1;
            match entry.prev.index() {
                Some(prev) => self.entries[prev].next = entry.next,
                None => conns[entry.conn].more = entry.next,
            }
            if let Some(next) = entry.next.index() {
                self.entries[next].prev = entry.prev;
            }
            entry.subscription
        };
        (subscription.target, subscription.place())
    }

    /// Any subscription of the connection, to take them away one by one.
    pub fn any(&self, conn: &Conn, index: u32) -> Option<SubscriberKey> {
        match conn.more.index() {
            Some(id) => Some(SubscriberKey(id as u32 | FURTHER)),
            None => (!conn.first.is_none()).then_some(SubscriberKey(index)),
        }
    }

    /// Notes where a subscription stands now.
    pub fn set_place(&mut self, conns: &mut Conns, key: SubscriberKey, place: Place) {
        let subscription = if key.0 & FURTHER == 0 {
            &mut conns[key.0].first
        } else {
            &mut self.entries[(key.0 & !FURTHER) as usize].subscription
        };
        subscription.set_place(place);
    }

    /// Where a subscription stands.
    pub fn place(&self, conns: &Conns, key: SubscriberKey) -> Place {
        let subscription = if key.0 & FURTHER == 0 {
            conns[key.0].first
        } else {
            self.entries[(key.0 & !FURTHER) as usize].subscription
        };
        subscription.place()
    }

    /// What a subscription follows.
    pub fn target(&self, conns: &Conns, key: SubscriberKey) -> TargetId {
        if key.0 & FURTHER == 0 {
            conns[key.0].first.target
        } else {
            self.entries[(key.0 & !FURTHER) as usize].subscription.target
        }
    }

    /// The connection that a key stands for.
    pub fn conn(&self, key: SubscriberKey) -> u32 {
        if key.0 & FURTHER == 0 { key.0 } else { self.entries[(key.0 & !FURTHER) as usize].conn }
    }

    /// Subscriptions of all connections.
    pub fn len(&self) -> usize {
        self.count
    }
}

/// The connection's place if the key stands for its first subscription, which most connections have alone.
pub(in crate::shard) fn direct(key: SubscriberKey) -> Option<u32> {
    (key.0 & FURTHER == 0).then_some(key.0)
}

/// Both parts are numbers of ours that no peer chooses; the hash needs to spread, not to hide.
fn hash(conn: u32, target: TargetId) -> u64 {
    let mut hasher = siphasher::sip::SipHasher13::new();
    hasher.write_u64(u64::from(conn) << 32 | u64::from(target.to_bits()));
    hasher.finish()
}

const FURTHER: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{PatternId, TopicId};
    use crate::time::MonoTime;
    use std::collections::HashMap;

    #[test]
    fn subscriptions_are_found_by_target_whatever_came_and_went() {
        let seed = 0x5eed_0004;
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut conns = Conns::new(3);
        let ids = [(); 3].map(|()| conns.insert(MonoTime::ZERO).expect("there is room").index);
        let mut subscriptions = Subscriptions::default();
        let mut model: HashMap<(u32, TargetId), Place> = HashMap::new();
        for _ in 0..5_000 {
            let conn = ids[rng.usize(0..3)];
            let target = if rng.bool() {
                TargetId::topic(TopicId(rng.u32(0..20)))
            } else {
                TargetId::pattern(PatternId(rng.u32(0..20)))
            };
            match subscriptions.find(&conns, conn, target) {
                Some(key) => {
                    assert_eq!(subscriptions.conn(key), conn);
                    assert_eq!(model.remove(&(conn, target)), Some(subscriptions.place(&conns, key)));
                    if rng.bool() {
                        let place = Place::Waiting { ticket: rng.u32(0..99) };
                        subscriptions.set_place(&mut conns, key, place);
                        model.insert((conn, target), place);
                    } else {
                        assert_eq!(subscriptions.remove(&mut conns, key).0, target);
                    }
                }
                None => {
                    let place = Place::Attached(rng.u32(0..99));
                    if conns[conn].first.is_none() || rng.bool() {
                        subscriptions.add(&mut conns, conn, target, place);
                    } else {
                        let first = conns[conn].first.target;
                        let moved = subscriptions.add_first(&mut conns, conn, target, place);
                        assert_eq!(subscriptions.target(&conns, moved), first);
                        assert_eq!(direct(subscriptions.find(&conns, conn, target).expect("it is there")), Some(conn));
                    }
                    assert_eq!(model.insert((conn, target), place), None);
                }
            }
            assert_eq!(subscriptions.len(), model.len());
        }
        for conn in ids {
            while let Some(key) = subscriptions.any(&conns[conn], conn) {
                let (target, place) = subscriptions.remove(&mut conns, key);
                assert_eq!(model.remove(&(conn, target)), Some(place));
            }
            assert_eq!(conns[conn].target_count, 0);
        }
        assert!(model.is_empty() && subscriptions.entries.is_empty() && subscriptions.index.is_empty());
    }
}
