//! Patterns and their readers: a trie by token, so that a topic finds its patterns without trying each. The maps are
//! ordered: a client cannot choose tokens that collide.

use crate::command::ShardSet;
use std::collections::BTreeMap;

use slab::Slab;

use super::readers::{Readers, SubscriberKey};
use crate::command::{Pattern, ShardId};

/// A pattern of one shard, valid while it has a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PatternId(pub u32);

/// Every shard knows every pattern with a reader, because a topic of any home may match it.
#[derive(Debug, Default)]
pub(super) struct PatternTable {
    patterns: Slab<Entry>,
    by_text: BTreeMap<Pattern, u32>,
    root: Node,
    generation: u32,
    tokens: usize,
}

#[derive(Debug)]
struct Entry {
    pattern: Pattern,
    /// Readers of this shard.
    readers: Readers,
    /// Subscribers of this shard, attached or still joining.
    held: u32,
    /// Readers by shard, this one included.
    counts: Vec<(ShardId, u32)>,
}

#[derive(Debug, Default)]
struct Node {
    by_token: BTreeMap<Box<str>, Node>,
    star: Option<Box<Node>>,
    /// The pattern that ends here.
    here: Option<PatternId>,
    /// The pattern that goes on with `>`.
    rest: Option<PatternId>,
}

impl PatternTable {
    /// Changes whenever the set of patterns does; topics must then be matched again.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Tokens of all patterns together: the trie has no more nodes.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    pub fn find(&self, pattern: &Pattern) -> Option<PatternId> {
        self.by_text.get(pattern).map(|&id| PatternId(id))
    }

    pub fn ensure(&mut self, pattern: &Pattern) -> PatternId {
        if let Some(id) = self.find(pattern) {
            return id;
        }
        let entry = Entry { pattern: pattern.clone(), readers: Readers::Empty, held: 0, counts: Vec::new() };
        let id = PatternId(self.patterns.insert(entry) as u32);
        self.by_text.insert(pattern.clone(), id.0);
        self.tokens += pattern.token_count();
        *self.root.place(pattern) = Some(id);
        self.next_generation();
        id
    }

    pub fn attach(&mut self, id: PatternId, key: SubscriberKey) -> u32 {
        self.patterns[id.0 as usize].readers.add(key)
    }

    pub fn detach(&mut self, id: PatternId, place: u32) -> Option<SubscriberKey> {
        self.patterns[id.0 as usize].readers.remove(place)
    }

    pub fn hold(&mut self, id: PatternId, change: i32) -> u32 {
        let held = &mut self.patterns[id.0 as usize].held;
        *held = held.checked_add_signed(change).expect("a subscriber leaves once, after it joined");
        *held
    }

    pub fn readers(&self, id: PatternId) -> &[SubscriberKey] {
        self.patterns[id.0 as usize].readers.as_slice()
    }

    pub fn pattern(&self, id: PatternId) -> &Pattern {
        &self.patterns[id.0 as usize].pattern
    }

    pub fn set_interest(&mut self, pattern: &Pattern, shard: ShardId, readers: u32) {
        if readers == 0 && self.find(pattern).is_none() {
            return;
        }
        let id = self.ensure(pattern);
        let entry = &mut self.patterns[id.0 as usize];
        entry.counts.retain(|(other, _)| *other != shard);
        if readers > 0 {
            entry.counts.push((shard, readers));
        }
        if entry.counts.is_empty() && entry.held == 0 {
            self.remove(id);
        }
    }

    /// The shards with readers of the pattern.
    pub fn interest(&self, id: PatternId) -> ShardSet {
        self.patterns[id.0 as usize].counts.iter().map(|(shard, _)| *shard).collect()
    }

    /// Readers of the pattern in all shards.
    pub fn reader_count(&self, id: PatternId) -> u32 {
        self.patterns[id.0 as usize].counts.iter().fold(0, |sum: u32, (_, readers)| sum.saturating_add(*readers))
    }

    /// Every pattern that matches; costs at most a visit of each node of the trie, as a rule a few.
    pub fn matching(&self, topic: &str) -> Box<[PatternId]> {
        self.matching_counted(topic, &mut 0)
    }

    /// As [`PatternTable::matching`], and adds the nodes visited to `visits`.
    pub fn matching_counted(&self, topic: &str, visits: &mut usize) -> Box<[PatternId]> {
        let mut found = Vec::new();
        if !self.patterns.is_empty() {
            self.root.collect(Some(topic), &mut found, visits);
        }
        found.into_boxed_slice()
    }

    fn remove(&mut self, id: PatternId) {
        let entry = self.patterns.remove(id.0 as usize);
        self.by_text.remove(&entry.pattern);
        self.tokens -= entry.pattern.token_count();
        self.root.clear(Some(entry.pattern.as_str()));
        self.next_generation();
    }

    fn next_generation(&mut self) {
        // u32::MAX stands for "never matched" in a topic.
        self.generation = (self.generation + 1) % u32::MAX;
    }
}

impl Node {
    /// Where the pattern is noted, with the way there made.
    fn place(&mut self, pattern: &Pattern) -> &mut Option<PatternId> {
        let mut node = self;
        for token in pattern.as_str().split('.') {
            node = match token {
                ">" => return &mut node.rest,
                "*" => node.star.get_or_insert_default(),
                token => node.by_token.entry(token.into()).or_default(),
            };
        }
        &mut node.here
    }

    /// Removes the pattern and every node that has become empty. `rest` is what is left of the pattern.
    fn clear(&mut self, rest: Option<&str>) {
        let Some(rest) = rest else {
            self.here = None;
            return;
        };
        match split(rest) {
            (">", _) => self.rest = None,
            ("*", rest) => {
                if let Some(star) = &mut self.star {
                    star.clear(rest);
                    if star.is_empty() {
                        self.star = None;
                    }
                }
            }
            (token, rest) => {
                if let Some(node) = self.by_token.get_mut(token) {
                    node.clear(rest);
                    if node.is_empty() {
                        self.by_token.remove(token);
                    }
                }
            }
        }
    }

    /// A topic has at most 128 tokens, which bounds the depth.
    fn collect(&self, rest: Option<&str>, found: &mut Vec<PatternId>, visits: &mut usize) {
        *visits += 1;
        let Some(rest) = rest else {
            found.extend(self.here);
            return;
        };
        found.extend(self.rest);
        let (token, rest) = split(rest);
        if let Some(node) = self.by_token.get(token) {
            node.collect(rest, found, visits);
        }
        if let Some(star) = &self.star {
            star.collect(rest, found, visits);
        }
    }

    fn is_empty(&self) -> bool {
        self.by_token.is_empty() && self.star.is_none() && self.here.is_none() && self.rest.is_none()
    }
}

fn split(rest: &str) -> (&str, Option<&str>) {
    match rest.split_once('.') {
        Some((token, rest)) => (token, Some(rest)),
        None => (rest, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Target;

    fn pattern(text: &str) -> Pattern {
        match Target::parse(text) {
            Ok(Target::Pattern(pattern)) => pattern,
            _ => panic!("{text} is a pattern"),
        }
    }

    #[test]
    fn the_trie_finds_what_a_match_by_hand_finds() {
        let seed = 0x5eed_0003;
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut table = PatternTable::default();
        let mut model: Vec<Pattern> = Vec::new();
        let tokens = ["a", "b", "*"];
        for _ in 0..2_000 {
            let mut text: Vec<&str> = (0..rng.usize(1..4)).map(|_| tokens[rng.usize(0..3)]).collect();
            if rng.bool() {
                text.push(">");
            }
            if let Ok(Target::Pattern(pattern)) = Target::parse(&text.join(".")) {
                if rng.bool() {
                    table.set_interest(&pattern, ShardId(0), 1);
                    if !model.contains(&pattern) {
                        model.push(pattern);
                    }
                } else {
                    table.set_interest(&pattern, ShardId(0), 0);
                    model.retain(|other| *other != pattern);
                }
            }
            let topic: Vec<&str> = (0..rng.usize(1..5)).map(|_| tokens[rng.usize(0..2)]).collect();
            let topic = topic.join(".");
            let mut found: Vec<&str> = table.matching(&topic).iter().map(|id| table.pattern(*id).as_str()).collect();
            let mut expected: Vec<&str> =
                model.iter().filter(|pattern| pattern.matches(&topic)).map(Pattern::as_str).collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{topic}");
        }
        for pattern in model {
            table.set_interest(&pattern, ShardId(0), 0);
        }
        assert!(table.root.is_empty() && table.len() == 0, "an unused trie ends empty");
    }

    #[test]
    fn interest_is_counted_by_shard() {
        let mut table = PatternTable::default();
        table.set_interest(&pattern("px.*"), ShardId(1), 2);
        table.set_interest(&pattern("px.*"), ShardId(4), 3);
        let id = table.find(&pattern("px.*")).expect("somebody reads it");
        assert_eq!(table.interest(id).iter().collect::<Vec<_>>(), [ShardId(1), ShardId(4)]);
        assert_eq!(table.reader_count(id), 5);
        table.set_interest(&pattern("px.*"), ShardId(1), 0);
        assert_eq!(table.interest(id), ShardSet::one(ShardId(4)));
    }
}
