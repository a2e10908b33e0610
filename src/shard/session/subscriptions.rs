//! The subscriptions of each session. The first is in the session itself, further ones are in a slab, as a doubly
//! linked list; an index finds them by target.

use std::hash::Hasher as _;
use std::iter;

use hashbrown::HashTable;
use slab::Slab;

use super::session::Session;
use super::shares::Shares;
use super::subscription::{Place, Subscription, TargetId};
use crate::command::{Owner, SessionIndex};
use crate::hub::SubscriberKey;
use crate::shard::link::arena::Conns;
use crate::shard::slot::Slot;

#[derive(Debug)]
struct Entry {
    session: SessionIndex,
    subscription: Subscription,
    next: Slot,
    prev: Slot,
}

/// The further subscriptions of a shard's sessions.
#[derive(Debug, Default)]
pub(in crate::shard) struct Subscriptions {
    entries: Slab<Entry>,
    index: HashTable<u32>,
    count: usize,
    by_owner: Shares,
}

impl Subscriptions {
    /// Adds a subscription that the connection does not have yet.
    pub fn add(&mut self, conns: &mut Conns, session: SessionIndex, target: TargetId, place: Place) -> SubscriberKey {
        let subscription = Subscription::new(target, place);
        let owner = &mut conns[session];
        owner.target_count += 1;
        self.count += 1;
        self.by_owner.add(owner.owner, 1);
        if owner.first.is_none() {
            owner.first = subscription;
            return SubscriberKey(session.bits());
        }
        let next = owner.more;
        let id = self.entries.insert(Entry { session, subscription, next, prev: Slot::NONE });
        if let Some(next) = next.index() {
            self.entries[next].prev = Slot::new(id);
        }
        owner.more = Slot::new(id);
        let entries = &self.entries;
        self.index.insert_unique(hash(session, target), id as u32, |&id| {
            let entry = &entries[id as usize];
            hash(entry.session, entry.subscription.target)
        });
        SubscriberKey(id as u32 | FURTHER)
    }

    /// Adds a subscription in the place of the connection's first one, which becomes a further one. Returns the new
    /// key of that one.
    pub fn add_first(
        &mut self,
        conns: &mut Conns,
        session: SessionIndex,
        target: TargetId,
        place: Place,
    ) -> SubscriberKey {
        let first = std::mem::replace(&mut conns[session].first, Subscription::new(target, place));
        // The first subscription is counted already, and the new one is not.
        self.add(conns, session, first.target, first.place())
    }

    /// The connection's subscription to a target.
    pub fn find(&self, conns: &Conns, session: SessionIndex, target: TargetId) -> Option<SubscriberKey> {
        if conns[session].first.target == target {
            return Some(SubscriberKey(session.bits()));
        }
        let is_it = |&id: &u32| {
            let entry = &self.entries[id as usize];
            entry.session == session && entry.subscription.target == target
        };
        self.index.find(hash(session, target), is_it).map(|id| SubscriberKey(id | FURTHER))
    }

    /// Removes a subscription; returns its target and place.
    pub fn remove(&mut self, conns: &mut Conns, key: SubscriberKey) -> (TargetId, Place) {
        self.count -= 1;
        let subscription = if key.0 & FURTHER == 0 {
            let owner = &mut conns[SessionIndex::from_bits(key.0)];
            owner.target_count -= 1;
            self.by_owner.take_back(owner.owner, 1);
            std::mem::replace(&mut owner.first, Subscription::NONE)
        } else {
            let id = key.0 & !FURTHER;
            let entry = self.entries.remove(id as usize);
            if let Ok(found) =
                self.index.find_entry(hash(entry.session, entry.subscription.target), |&other| other == id)
            {
                found.remove();
            }
            let owner = &mut conns[entry.session];
            owner.target_count -= 1;
            self.by_owner.take_back(owner.owner, 1);
            match entry.prev.index() {
                Some(prev) => self.entries[prev].next = entry.next,
                None => conns[entry.session].more = entry.next,
            }
            if let Some(next) = entry.next.index() {
                self.entries[next].prev = entry.prev;
            }
            entry.subscription
        };
        (subscription.target, subscription.place())
    }

    /// Any subscription of the connection, for removing them one by one.
    pub fn any(&self, session: &Session, index: SessionIndex) -> Option<SubscriberKey> {
        match session.more.index() {
            Some(id) => Some(SubscriberKey(id as u32 | FURTHER)),
            None => (!session.first.is_none()).then_some(SubscriberKey(index.bits())),
        }
    }

    /// The targets of a session's subscriptions, made or under way.
    pub fn targets<'a>(&'a self, session: &'a Session) -> impl Iterator<Item = TargetId> + 'a {
        let first = (!session.first.is_none()).then_some(session.first.target);
        let further = iter::successors(session.more.index(), |&id| self.entries[id].next.index());
        first.into_iter().chain(further.map(|id| self.entries[id].subscription.target))
    }

    /// Notes the place of a subscription in its target's list.
    pub fn set_place(&mut self, conns: &mut Conns, key: SubscriberKey, place: Place) {
        let subscription = if key.0 & FURTHER == 0 {
            &mut conns[SessionIndex::from_bits(key.0)].first
        } else {
            &mut self.entries[(key.0 & !FURTHER) as usize].subscription
        };
        subscription.set_place(place);
    }

    /// The place of a subscription in its target's list.
    pub fn place(&self, conns: &Conns, key: SubscriberKey) -> Place {
        let subscription = if key.0 & FURTHER == 0 {
            conns[SessionIndex::from_bits(key.0)].first
        } else {
            self.entries[(key.0 & !FURTHER) as usize].subscription
        };
        subscription.place()
    }

    /// The target of a subscription.
    pub fn target(&self, conns: &Conns, key: SubscriberKey) -> TargetId {
        if key.0 & FURTHER == 0 {
            conns[SessionIndex::from_bits(key.0)].first.target
        } else {
            self.entries[(key.0 & !FURTHER) as usize].subscription.target
        }
    }

    /// The session of a key.
    pub fn session(&self, key: SubscriberKey) -> SessionIndex {
        if key.0 & FURTHER == 0 {
            SessionIndex::from_bits(key.0)
        } else {
            self.entries[(key.0 & !FURTHER) as usize].session
        }
    }

    /// The number of an owner's subscriptions.
    pub fn of_owner(&self, owner: Owner) -> usize {
        self.by_owner.of(owner)
    }

    /// The number of owners with subscriptions.
    pub fn owners(&self) -> usize {
        self.by_owner.len()
    }

    /// The number of all subscriptions.
    pub fn len(&self) -> usize {
        self.count
    }
}

/// The connection's index, if the key is the first subscription of its own session. Most sessions have only that one.
pub(in crate::shard) fn direct(key: SubscriberKey) -> Option<u32> {
    (key.0 & (FURTHER | SessionIndex::DETACHED) == 0).then_some(key.0)
}

/// No peer chooses these numbers: the hash needs to spread, not to hide.
fn hash(session: SessionIndex, target: TargetId) -> u64 {
    let mut hasher = siphasher::sip::SipHasher13::new();
    hasher.write_u64(u64::from(session.bits()) << 32 | u64::from(target.to_bits()));
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
        let ids = [(); 3].map(|()| conns.insert(MonoTime::ZERO).expect("there is room").index).map(SessionIndex::own);
        let mut subscriptions = Subscriptions::default();
        let mut model: HashMap<(SessionIndex, TargetId), Place> = HashMap::new();
        for _ in 0..5_000 {
            let conn = ids[rng.usize(0..3)];
            let target = if rng.bool() {
                TargetId::topic(TopicId(rng.u32(0..20)))
            } else {
                TargetId::pattern(PatternId(rng.u32(0..20)))
            };
            match subscriptions.find(&conns, conn, target) {
                Some(key) => {
                    assert_eq!(subscriptions.session(key), conn);
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
                        assert_eq!(direct(subscriptions.find(&conns, conn, target).expect("it is there")), conn.conn());
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
