//! Patterns and their readers: a trie by token, so that a topic finds its patterns without trying each. The maps are
//! ordered: a client cannot choose tokens that collide.
//!
//! A `*` makes the walk branch, so that 2,048 patterns of `a` and `*` are all on the way of one topic. Each node knows its
//! *weight*, the most nodes that a walk from it can visit whatever the topic is, and a pattern that would make the trie
//! heavier than [`PATTERN_VISITS_MAX`] is refused.

use crate::command::ShardSet;
use std::collections::BTreeMap;

use slab::Slab;

use super::readers::{Readers, SubscriberKey};
use crate::command::{Pattern, ShardId};
use crate::limits::PATTERN_VISITS_MAX;

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

#[derive(Debug)]
struct Node {
    by_token: BTreeMap<Box<str>, Box<Node>>,
    /// The weights of `by_token`, and how many have each.
    weights: BTreeMap<u32, u32>,
    /// The most nodes that a walk from here visits, this one included. A topic takes one way by token, and the `*`.
    weight: u32,
    star: Option<Box<Node>>,
    /// The pattern that ends here.
    here: Option<PatternId>,
    /// The pattern that goes on with `>`.
    rest: Option<PatternId>,
}

impl Default for Node {
    fn default() -> Self {
        Self { by_token: BTreeMap::new(), weights: BTreeMap::new(), weight: 1, star: None, here: None, rest: None }
    }
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

    /// Whether a topic could take more than `visits_max` visits to match because of this pattern.
    pub fn is_too_heavy(&self, pattern: &Pattern, visits_max: u32) -> bool {
        let weight = self.root.weight_with(Some(pattern.as_str()));
        weight > self.root.weight && weight > visits_max
    }

    /// How much heavier the trie may become.
    pub fn weight_free(&self) -> u32 {
        PATTERN_VISITS_MAX.saturating_sub(self.root.weight)
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
        self.root.set(Some(pattern.as_str()), Some(id));
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

    /// Every pattern that matches; costs at most the weight of the trie in visits, as a rule a few.
    /// Adds them to `visits`.
    pub fn matching(&self, topic: &str, visits: &mut usize) -> Box<[PatternId]> {
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
        self.root.set(Some(entry.pattern.as_str()), None);
        self.next_generation();
    }

    fn next_generation(&mut self) {
        // u32::MAX stands for "never matched" in a topic.
        self.generation = (self.generation + 1) % u32::MAX;
    }
}

impl Node {
    /// Notes or forgets the pattern of which `rest` is left, with the nodes on its way.
    fn set(&mut self, rest: Option<&str>, id: Option<PatternId>) {
        let Some(rest) = rest else {
            self.here = id;
            return;
        };
        match split(rest) {
            (">", _) => self.rest = id,
            ("*", rest) => {
                let star = self.star.get_or_insert_default();
                star.set(rest, id);
                self.star.take_if(|star| star.is_empty());
            }
            (token, rest) => {
                let (node, before) = match self.by_token.get_mut(token) {
                    Some(node) => {
                        let before = node.weight;
                        (node, Some(before))
                    }
                    None => (self.by_token.entry(token.into()).or_default(), None),
                };
                node.set(rest, id);
                let after = (!node.is_empty()).then_some(node.weight);
                if after.is_none() {
                    self.by_token.remove(token);
                }
                self.note_weight(before, after);
            }
        }
        self.weight = 1 + self.heaviest() + self.star_weight();
    }

    /// Notes that a node of `by_token` has another weight, is new or is gone.
    fn note_weight(&mut self, before: Option<u32>, after: Option<u32>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            let count = self.weights.get_mut(&before).expect("each node's weight is counted");
            *count -= 1;
            if *count == 0 {
                self.weights.remove(&before);
            }
        }
        if let Some(after) = after {
            *self.weights.entry(after).or_default() += 1;
        }
    }

    /// The weight that this node would have with a pattern of which `rest` is left.
    fn weight_with(&self, rest: Option<&str>) -> u32 {
        let Some(rest) = rest else { return self.weight };
        match split(rest) {
            (">", _) => self.weight,
            ("*", rest) => 1 + self.heaviest() + weight_with(self.star.as_deref(), rest),
            (token, rest) => {
                let by_token = weight_with(self.by_token.get(token).map(|node| &**node), rest);
                1 + self.heaviest().max(by_token) + self.star_weight()
            }
        }
    }

    fn heaviest(&self) -> u32 {
        self.weights.last_key_value().map_or(0, |(weight, _)| *weight)
    }

    fn star_weight(&self) -> u32 {
        self.star.as_ref().map_or(0, |star| star.weight)
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

/// The weight that a node has, or gets, with a pattern of which `rest` is left.
fn weight_with(node: Option<&Node>, rest: Option<&str>) -> u32 {
    match (node, rest) {
        (Some(node), rest) => node.weight_with(rest),
        (None, None) => 1,
        (None, Some(rest)) => Node::default().weight_with(Some(rest)),
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
                    let weight = table.root.weight_with(Some(pattern.as_str()));
                    table.set_interest(&pattern, ShardId(0), 1);
                    assert_eq!(table.root.weight, weight, "as foretold for {pattern:?}");
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
            let mut visits = 0;
            let found = table.matching(&topic, &mut visits);
            assert!(visits <= table.root.weight as usize, "{visits} visits for {topic}");
            let mut found: Vec<&str> = found.iter().map(|id| table.pattern(*id).as_str()).collect();
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
        assert_eq!((table.root.weight, table.root.weights.len()), (1, 0));
    }

    /// All of `{a,*}^count`, each with a tail of its own that the topic of `a` alone matches.
    fn branching(count: u32) -> impl Iterator<Item = Pattern> {
        (0..1_u32 << count).map(move |bits| {
            let head: String = (0..count).map(|at| if bits >> at & 1 == 1 { "*." } else { "a." }).collect();
            pattern(&format!("{head}{}>", "a.".repeat(124 - count as usize)))
        })
    }

    #[test]
    fn a_topic_is_matched_in_a_bounded_number_of_visits_whatever_patterns_clients_choose() {
        let mut table = PatternTable::default();
        let (mut taken, mut refused) = (0, 0);
        for pattern in branching(11) {
            if table.is_too_heavy(&pattern, PATTERN_VISITS_MAX) {
                refused += 1;
            } else {
                table.set_interest(&pattern, ShardId(0), 1);
                taken += 1;
            }
        }
        assert!(taken > 16 && refused > 1_000, "{taken} taken, {refused} refused");
        let mut visits = 0;
        let found = table.matching(&vec!["a"; 127].join("."), &mut visits);
        assert_eq!(found.len(), taken);
        assert!(visits <= PATTERN_VISITS_MAX as usize, "{visits} visits");
        // Patterns that are on the way of other topics have room all the same.
        for n in 0..5_000 {
            for text in [format!("px.{n}.>"), format!("*.{n}"), format!("user.*.{n}.*")] {
                assert!(!table.is_too_heavy(&pattern(&text), PATTERN_VISITS_MAX), "{text}");
                table.set_interest(&pattern(&text), ShardId(0), 1);
            }
        }
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
