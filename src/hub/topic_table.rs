//! Topics by name, in a slab, with a keyed hash so that nobody can choose names that collide.

use std::hash::Hasher;
use std::ops::{Index, IndexMut};

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use slab::Slab;

use super::home::Home;
use super::patterns::{PatternId, PatternTable};
use super::readers::Readers;
use crate::command::TopicName;

/// A topic of one shard, valid while the shard holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicId(pub u32);

/// What one shard knows of a topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub name: TopicName,
    /// The upper half of the name's hash, so that a growing table need not read the names again.
    hash: u32,
    /// Subscribers of this shard, attached or still joining.
    pub held: u32,
    /// Subscribers of this shard that get what is said from now on.
    pub readers: Readers,
    /// This turn's run, for whoever collects runs.
    pub run: Option<u32>,
    /// The state of the pattern table for which `matched` holds.
    pub matched_at: u32,
    pub matched: Box<[PatternId]>,
    /// Present if this shard is the topic's home and somebody asked for it.
    pub home: Option<Box<Home>>,
}

impl Topic {
    /// Brings `matched` up to date.
    pub fn match_patterns(&mut self, patterns: &PatternTable, visits: &mut usize) {
        *visits += 1;
        if self.matched_at != patterns.generation() {
            self.matched_at = patterns.generation();
            self.matched = patterns.matching_counted(self.name.as_str(), visits);
        }
    }

    pub fn is_unused(&self) -> bool {
        self.held == 0 && self.run.is_none() && self.home.as_ref().is_none_or(|home| home.is_unused())
    }
}

#[derive(Debug)]
pub(super) struct TopicTable {
    topics: Slab<Topic>,
    by_name: HashTable<u32>,
    key: (u64, u64),
}

impl TopicTable {
    pub fn new(key: (u64, u64)) -> Self {
        Self { topics: Slab::new(), by_name: HashTable::new(), key }
    }

    /// The keyed hash of a name, the same in every shard.
    pub fn hash(&self, name: &str) -> u32 {
        hash(self.key, name)
    }

    pub fn find(&self, name: &str) -> Option<TopicId> {
        self.find_hashed(self.hash(name), name)
    }

    fn find_hashed(&self, hash: u32, name: &str) -> Option<TopicId> {
        let is_it = |&id: &u32| self.topics[id as usize].name.as_str() == name;
        self.by_name.find(spread(hash), is_it).map(|&id| TopicId(id))
    }

    pub fn ensure(&mut self, name: &TopicName) -> TopicId {
        let hash = self.hash(name.as_str());
        if let Some(id) = self.find_hashed(hash, name.as_str()) {
            return id;
        }
        let id = self.topics.insert(Topic {
            name: name.clone(),
            hash,
            held: 0,
            readers: Readers::Empty,
            run: None,
            matched_at: u32::MAX,
            matched: Box::default(),
            home: None,
        }) as u32;
        let topics = &self.topics;
        self.by_name.insert_unique(spread(hash), id, |&id| spread(topics[id as usize].hash));
        TopicId(id)
    }

    pub fn remove(&mut self, id: TopicId) -> Topic {
        let topic = self.topics.remove(id.0 as usize);
        if let Ok(entry) = self.by_name.find_entry(spread(topic.hash), |&other| other == id.0) {
            entry.remove();
        }
        topic
    }

    pub fn get(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(id.0 as usize)
    }

    pub fn get_mut(&mut self, id: TopicId) -> Option<&mut Topic> {
        self.topics.get_mut(id.0 as usize)
    }

    /// Some topics from a place on, round the table.
    pub fn sample(&self, from: usize, count: usize) -> impl Iterator<Item = TopicId> {
        let places = self.topics.capacity().max(1);
        let at = (0..count.min(places)).map(move |step| from.wrapping_add(step) % places);
        at.filter(|&place| self.topics.contains(place)).map(|place| TopicId(place as u32))
    }

    /// Places, taken or not.
    pub fn places(&self) -> usize {
        self.topics.capacity()
    }

    pub fn len(&self) -> usize {
        self.topics.len()
    }
}

impl Index<TopicId> for TopicTable {
    type Output = Topic;

    fn index(&self, id: TopicId) -> &Topic {
        &self.topics[id.0 as usize]
    }
}

impl IndexMut<TopicId> for TopicTable {
    fn index_mut(&mut self, id: TopicId) -> &mut Topic {
        &mut self.topics[id.0 as usize]
    }
}

/// The keyed hash of a name.
pub(super) fn hash(key: (u64, u64), name: &str) -> u32 {
    let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
    hasher.write(name.as_bytes());
    (hasher.finish() >> 32) as u32
}

/// The table takes its tag from the top bits and its bucket from the low ones; both must vary.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_until_they_are_removed() {
        let mut table = TopicTable::new((1, 2));
        let name = |n: u32| TopicName::parse(&format!("t.{n}")).expect("a valid name");
        let ids: Vec<TopicId> = (0..1_000).map(|n| table.ensure(&name(n))).collect();
        for (n, &id) in ids.iter().enumerate() {
            assert_eq!(table.find(&format!("t.{n}")), Some(id));
            assert_eq!(table.ensure(&name(n as u32)), id);
        }
        for &id in ids.iter().step_by(2) {
            table.remove(id);
        }
        for (n, &id) in ids.iter().enumerate() {
            assert_eq!(table.find(&format!("t.{n}")), (n % 2 == 1).then_some(id));
        }
        assert_eq!(table.len(), 500);
    }
}
