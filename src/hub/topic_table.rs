//! Topics by name, in a slab, with a keyed hash so that a client cannot choose names that collide.

use std::hash::Hasher;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use slab::Slab;

use super::home::Home;
use super::patterns::{PatternId, PatternTable};
use super::readers::SubscriberKey;
use super::topic::{Crowd, ShortName, State, Subscribers, Topic, Voice};
use crate::command::TopicName;

/// A topic of one shard, valid while the shard holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicId(pub u32);

#[derive(Debug)]
pub(super) struct TopicTable {
    topics: Slab<Topic>,
    by_name: HashTable<u32>,
    /// Names that are too long for their entries.
    names: Slab<TopicName>,
    crowds: Slab<Crowd>,
    voices: Slab<Voice>,
    homes: Slab<Home>,
    key: (u64, u64),
}

impl TopicTable {
    pub fn new(key: (u64, u64)) -> Self {
        Self {
            topics: Slab::new(),
            by_name: HashTable::new(),
            names: Slab::new(),
            crowds: Slab::new(),
            voices: Slab::new(),
            homes: Slab::new(),
            key,
        }
    }

    /// The keyed hash of a name, the same in every shard.
    pub fn hash(&self, name: &str) -> u32 {
        hash(self.key, name)
    }

    pub fn find(&self, name: &str) -> Option<TopicId> {
        self.find_hashed(self.hash(name), name)
    }

    fn find_hashed(&self, hash: u32, name: &str) -> Option<TopicId> {
        let is_it = |&id: &u32| {
            let topic = &self.topics[id as usize];
            topic.hash == hash && bytes_of(&self.names, topic) == name.as_bytes()
        };
        self.by_name.find(spread(hash), is_it).map(|&id| TopicId(id))
    }

    pub fn ensure(&mut self, name: &TopicName) -> TopicId {
        let hash = self.hash(name.as_str());
        if let Some(id) = self.find_hashed(hash, name.as_str()) {
            return id;
        }
        let short = ShortName::new(name.as_str());
        let short = short.unwrap_or_else(|| ShortName::at(insert(&mut self.names, name.clone())));
        let topic = Topic { name: short, hash, subscribers: Subscribers::None, state: State::Silent };
        let id = insert(&mut self.topics, topic);
        let topics = &self.topics;
        self.by_name.insert_unique(spread(hash), id, |&id| spread(topics[id as usize].hash));
        TopicId(id)
    }

    /// Takes a topic out with all its parts.
    pub fn remove(&mut self, id: TopicId) {
        let topic = self.topics.remove(id.0 as usize);
        if let Ok(entry) = self.by_name.find_entry(spread(topic.hash), |&other| other == id.0) {
            entry.remove();
        }
        if let Err(place) = topic.name.read() {
            self.names.remove(place as usize);
        }
        if let Subscribers::Many(place) = topic.subscribers {
            self.crowds.remove(place as usize);
        }
        match topic.state {
            State::Silent | State::Private { .. } => {}
            State::Voiced(place) => drop(self.voices.remove(place as usize)),
            State::Home(place) => drop(self.homes.remove(place as usize)),
        }
    }

    pub fn contains(&self, id: TopicId) -> bool {
        self.topics.contains(id.0 as usize)
    }

    pub fn get(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(id.0 as usize)
    }

    /// Whether nothing would be lost with a topic.
    pub fn is_unused(&self, id: TopicId) -> bool {
        let has_no_run = || self.voice(id).is_none_or(|voice| voice.run.is_none());
        match self.state(id) {
            State::Private { .. } => false,
            _ => self.held(id) == 0 && has_no_run() && self.home(id).is_none_or(Home::is_unused),
        }
    }

    pub fn name(&self, id: TopicId) -> &str {
        text_of(&self.names, &self.topics[id.0 as usize])
    }

    /// A name to keep: the one that is kept here, if there is one.
    pub fn owned_name(&self, id: TopicId) -> TopicName {
        if let Some(home) = self.home(id) {
            return home.name.clone();
        }
        match self.topics[id.0 as usize].name.read() {
            Err(place) => self.names[place as usize].clone(),
            Ok(_) => TopicName::parse(self.name(id)).expect("a name that was valid"),
        }
    }

    pub fn state(&self, id: TopicId) -> State {
        self.topics[id.0 as usize].state
    }

    /// Changes between the states that need nothing in a slab.
    pub fn set_state(&mut self, id: TopicId, state: State) {
        debug_assert!(!matches!(self.state(id), State::Voiced(_) | State::Home(_)), "nothing is left in a slab");
        self.topics[id.0 as usize].state = state;
    }

    /// Gives a topic its home, with the voice that it had.
    pub fn set_home(&mut self, id: TopicId, mut home: Home) {
        if let State::Voiced(place) = self.state(id) {
            home.voice = self.voices.remove(place as usize);
        }
        self.topics[id.0 as usize].state = State::Home(insert(&mut self.homes, home));
    }

    pub fn home(&self, id: TopicId) -> Option<&Home> {
        match self.topics.get(id.0 as usize)?.state {
            State::Home(place) => Some(&self.homes[place as usize]),
            _ => None,
        }
    }

    pub fn home_mut(&mut self, id: TopicId) -> Option<&mut Home> {
        match self.topics.get(id.0 as usize)?.state {
            State::Home(place) => Some(&mut self.homes[place as usize]),
            _ => None,
        }
    }

    pub fn voice(&self, id: TopicId) -> Option<&Voice> {
        match self.state(id) {
            State::Home(place) => Some(&self.homes[place as usize].voice),
            State::Voiced(place) => Some(&self.voices[place as usize]),
            State::Silent | State::Private { .. } => None,
        }
    }

    /// The voice of a topic, which has one from now on.
    ///
    /// # Panics
    /// If the topic is private: it gets a home first.
    pub fn voice_mut(&mut self, id: TopicId) -> &mut Voice {
        let topic = &mut self.topics[id.0 as usize];
        if topic.state == State::Silent {
            topic.state = State::Voiced(insert(&mut self.voices, Voice::default()));
        }
        match topic.state {
            State::Home(place) => &mut self.homes[place as usize].voice,
            State::Voiced(place) => &mut self.voices[place as usize],
            State::Silent | State::Private { .. } => panic!("nothing is said in a private topic without a home"),
        }
    }

    /// Every pattern that matches a topic, which has a voice from now on.
    pub fn match_patterns(&mut self, id: TopicId, patterns: &PatternTable, visits: &mut usize) -> &[PatternId] {
        self.voice_mut(id);
        let topic = &self.topics[id.0 as usize];
        let voice = match topic.state {
            State::Home(place) => &mut self.homes[place as usize].voice,
            State::Voiced(place) => &mut self.voices[place as usize],
            State::Silent | State::Private { .. } => unreachable!("it has a voice"),
        };
        voice.match_patterns(text_of(&self.names, topic), patterns, visits)
    }

    /// Subscribers that are held.
    pub fn held(&self, id: TopicId) -> u32 {
        match self.topics[id.0 as usize].subscribers {
            Subscribers::None => 0,
            Subscribers::Joining | Subscribers::One(_) => 1,
            Subscribers::Many(place) => self.crowds[place as usize].held,
        }
    }

    /// Changes how many subscribers are held; returns the new count.
    pub fn hold(&mut self, id: TopicId, change: i32) -> u32 {
        let topic = &mut self.topics[id.0 as usize];
        let (next, held) = match (topic.subscribers, change) {
            (Subscribers::None, 1) => (Subscribers::Joining, 1),
            (Subscribers::Joining, -1) => (Subscribers::None, 0),
            _ => return self.hold_many(id, change),
        };
        topic.subscribers = next;
        held
    }

    fn hold_many(&mut self, id: TopicId, change: i32) -> u32 {
        let crowd = self.crowd(id);
        crowd.held = crowd.held.checked_add_signed(change).expect("a subscriber leaves once, after it joined");
        let held = crowd.held;
        self.settle(id);
        held
    }

    pub fn readers(&self, id: TopicId) -> &[SubscriberKey] {
        match &self.topics[id.0 as usize].subscribers {
            Subscribers::None | Subscribers::Joining => &[],
            Subscribers::One(key) => std::slice::from_ref(key),
            Subscribers::Many(place) => self.crowds[*place as usize].readers.as_slice(),
        }
    }

    /// Adds a reader; returns its place.
    pub fn attach(&mut self, id: TopicId, key: SubscriberKey) -> u32 {
        let topic = &mut self.topics[id.0 as usize];
        if topic.subscribers == Subscribers::Joining {
            topic.subscribers = Subscribers::One(key);
            return 0;
        }
        self.crowd(id).readers.add(key)
    }

    /// Takes the reader at `place` out. If the last reader moved there, returns it.
    pub fn detach(&mut self, id: TopicId, place: u32) -> Option<SubscriberKey> {
        let topic = &mut self.topics[id.0 as usize];
        if place == 0 && matches!(topic.subscribers, Subscribers::One(_)) {
            topic.subscribers = Subscribers::Joining;
            return None;
        }
        let moved = self.crowd(id).readers.remove(place);
        self.settle(id);
        moved
    }

    /// The subscribers as a crowd, which they are from now on.
    fn crowd(&mut self, id: TopicId) -> &mut Crowd {
        let topic = &mut self.topics[id.0 as usize];
        let mut crowd = Crowd::default();
        let place = match topic.subscribers {
            Subscribers::Many(place) => return &mut self.crowds[place as usize],
            Subscribers::None => insert(&mut self.crowds, crowd),
            Subscribers::Joining => insert(&mut self.crowds, Crowd { held: 1, ..crowd }),
            Subscribers::One(key) => {
                crowd.readers.add(key);
                insert(&mut self.crowds, Crowd { held: 1, ..crowd })
            }
        };
        topic.subscribers = Subscribers::Many(place);
        &mut self.crowds[place as usize]
    }

    /// Frees a crowd with at most one subscriber left.
    fn settle(&mut self, id: TopicId) {
        let topic = &mut self.topics[id.0 as usize];
        let Subscribers::Many(place) = topic.subscribers else { return };
        let crowd = &self.crowds[place as usize];
        topic.subscribers = match (crowd.held, crowd.readers.as_slice()) {
            (0, []) => Subscribers::None,
            (1, []) => Subscribers::Joining,
            (1, &[key]) => Subscribers::One(key),
            _ => return,
        };
        self.crowds.remove(place as usize);
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

fn bytes_of<'a>(names: &'a Slab<TopicName>, topic: &'a Topic) -> &'a [u8] {
    topic.name.read().unwrap_or_else(|place| names[place as usize].as_str().as_bytes())
}

fn text_of<'a>(names: &'a Slab<TopicName>, topic: &'a Topic) -> &'a str {
    std::str::from_utf8(bytes_of(names, topic)).expect("a name is text")
}

/// Inserts, and lets a large slab grow by an eighth rather than to twice its size.
fn insert<T>(slab: &mut Slab<T>, value: T) -> u32 {
    if slab.len() == slab.capacity() && slab.len() >= GROWS_BY_EIGHTHS_FROM {
        slab.reserve_exact(slab.len() / 8);
    }
    slab.insert(value) as u32
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

/// Entries of a slab below which it grows as a vector does.
const GROWS_BY_EIGHTHS_FROM: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn name(n: u32) -> TopicName {
        // On both sides of what stands in the entry.
        TopicName::parse(&format!("t{}.{n}", "x".repeat(n as usize % 40))).expect("a valid name")
    }

    #[test]
    fn names_are_found_until_they_are_removed() {
        let mut table = TopicTable::new((1, 2));
        let ids: Vec<TopicId> = (0..1_000).map(|n| table.ensure(&name(n))).collect();
        for (n, &id) in ids.iter().enumerate() {
            let name = name(n as u32);
            assert_eq!(table.find(name.as_str()), Some(id));
            assert_eq!(table.ensure(&name), id);
            assert_eq!((table.name(id), table.owned_name(id)), (name.as_str(), name.clone()));
        }
        for &id in ids.iter().step_by(2) {
            table.remove(id);
        }
        for (n, &id) in ids.iter().enumerate() {
            assert_eq!(table.find(name(n as u32).as_str()), (n % 2 == 1).then_some(id));
        }
        assert_eq!(table.len(), 500);
        ids.iter().skip(1).step_by(2).for_each(|&id| table.remove(id));
        assert_eq!((table.len(), table.names.len()), (0, 0));
    }

    #[test]
    fn subscribers_are_what_a_model_says_whatever_the_order() {
        let seed = 0x5eed_0018;
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut table = TopicTable::new((1, 2));
        let ids = [0, 1, 2].map(|n| table.ensure(&name(n)));
        // By topic: how many are held, and the place of each reader.
        let mut model = [(); 3].map(|()| (0_u32, BTreeMap::<u32, u32>::new()));
        for next in 0..20_000 {
            let at = rng.usize(0..3);
            let (id, (held, places)) = (ids[at], &mut model[at]);
            let likes_more = rng.u32(0..100) < if next % 400 < 200 { 55 } else { 35 };
            match rng.bool() {
                true if likes_more => {
                    *held += 1;
                    assert_eq!(table.hold(id, 1), *held);
                }
                true if *held > 0 => {
                    *held -= 1;
                    assert_eq!(table.hold(id, -1), *held);
                }
                false if likes_more => {
                    places.insert(next, table.attach(id, SubscriberKey(next)));
                }
                false if !places.is_empty() => {
                    let leaving = table.readers(id)[rng.usize(0..places.len())];
                    let place = places.remove(&leaving.0).expect("the model knows every reader");
                    if let Some(moved) = table.detach(id, place) {
                        places.insert(moved.0, place);
                    }
                }
                _ => {}
            }
            assert_eq!((table.held(id), table.readers(id).len()), (*held, places.len()));
            let is_few = *held <= 1 && places.len() <= *held as usize;
            assert_eq!(is_few, !matches!(table.topics[id.0 as usize].subscribers, Subscribers::Many(_)));
            assert!(places.iter().all(|(key, &place)| table.readers(id)[place as usize].0 == *key));
        }
        for (&id, (held, places)) in ids.iter().zip(&mut model) {
            while let Some((_, place)) = places.pop_first() {
                if let Some(moved) = table.detach(id, place) {
                    places.insert(moved.0, place);
                }
            }
            table.hold(id, -(*held as i32));
        }
        assert!(table.crowds.is_empty(), "a crowd is given back");
    }
}
