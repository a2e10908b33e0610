//! Topics, patterns, their readers, offsets and last values.
//!
//! A topic has one home shard, which numbers its publications and knows which shards have readers. Every shard has
//! one [`Hub`] that plays both parts: home for its share of the topics, and list of the shard's own readers.
//!
//! The hub sees no bytes of any protocol and no connection: a reader is a [`SubscriberKey`], and only the shard knows
//! its meaning. Results (a swapped key, a publication, a set of shards) are returned; nothing is called upwards. Tests:
//! beside the code, and `tests/simulator/` across shards.

mod history;
mod home;
mod images;
mod message_ids;
mod patterns;
mod presence;
mod readers;
mod rules;
mod topic;
mod topic_table;

use home::change::Changing;
pub use home::{Kept, Outcome, Published, epoch_seed};
pub use images::{ImagePlace, home_of};
pub use patterns::PatternId;
pub use presence::PresenceChange;
pub use readers::{Readers, SubscriberKey};
pub use rules::{TopicRule, TopicRules, TopicSettings};
pub use topic_table::TopicId;

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use crate::command::{ErrorCode, Pattern, Publication, Refusal, ShardId, TopicName};
use crate::limits::{PATTERN_PAGE_MAX, PATTERN_TOKENS_MAX, PATTERN_VISITS_MAX, SEARCHED_TOPIC_VISITS};
use crate::time::MonoTime;
use home::Lives;
use message_ids::MessageIds;
use patterns::PatternTable;
use presence::Watches;
use topic::{State, Voice};
use topic_table::TopicTable;

/// The settings of a hub; of them the rules and bounds may change.
#[derive(Clone, Debug)]
pub struct HubSettings {
    /// Which shard this is.
    pub shard: ShardId,
    /// How many there are.
    pub shards: usize,
    /// The key of every hash of a topic name; the same in all shards of a process, secret to everyone else.
    pub hash_key: (u64, u64),
    /// The seed of epochs, beside the topic's name: the same in all shards, another at each start of the process.
    pub epoch_seed: u64,
    /// Topics that have their home here, at most.
    pub topics_max: usize,
    /// Patterns, at most.
    pub patterns_max: usize,
    /// Payload bytes of the last values kept here, at most.
    pub retained_len_max: u64,
    /// How long message ids are remembered, in milliseconds.
    pub message_id_ttl_ms: u64,
    /// The `[[topics]]` rules.
    pub rules: Arc<TopicRules>,
}

/// The topics of one shard.
#[derive(Debug)]
pub struct Hub {
    settings: HubSettings,
    topics: TopicTable,
    patterns: PatternTable,
    /// Nodes of patterns that were looked at since that was last asked.
    visits: Cell<usize>,
    message_ids: MessageIds,
    watches: Watches,
    lives: Lives,
    homes: usize,
    /// The seed of epochs: that of the settings, or that of the last run if it ended in order.
    epoch_seed: u64,
    /// Payload bytes of last values and histories.
    kept: Kept,
    /// Histories and last values let go because of `retained_len_max`.
    sheds: (u64, u64),
    /// The next topic whose history may be cut, by slab place.
    sweep_at: usize,
    /// Topics by when something of them is too old.
    due: BinaryHeap<Reverse<(MonoTime, u32)>>,
    /// Not before are they looked at.
    sweep_next: MonoTime,
    /// How far a change of rules or bounds has come.
    changing: Option<Changing>,
    /// Topics that may go when the turn ends.
    released: Vec<TopicId>,
}

impl Hub {
    /// An empty hub.
    #[must_use]
    pub fn new(settings: HubSettings) -> Self {
        Self {
            topics: TopicTable::new(settings.hash_key),
            patterns: PatternTable::default(),
            message_ids: MessageIds::new(settings.hash_key, settings.message_id_ttl_ms),
            visits: Cell::default(),
            watches: Watches::default(),
            lives: Lives::default(),
            homes: 0,
            epoch_seed: settings.epoch_seed,
            kept: Kept::default(),
            sheds: (0, 0),
            sweep_at: 0,
            due: BinaryHeap::new(),
            sweep_next: MonoTime::ZERO,
            changing: None,
            released: Vec::new(),
            settings,
        }
    }

    /// The home shard of a topic.
    #[must_use]
    pub fn home_of(&self, topic: &str) -> ShardId {
        home::spread(self.topics.hash(topic), self.settings.shards)
    }

    /// The topic of this name, if this shard knows it.
    #[must_use]
    pub fn find(&self, topic: &str) -> Option<TopicId> {
        self.topics.find(topic)
    }

    /// The topic of this name, made if this shard does not know it. Call [`Hub::release`] when it is not needed
    /// any more.
    pub fn ensure(&mut self, topic: &TopicName) -> TopicId {
        self.topics.ensure(topic)
    }

    /// Notes that a topic may not be needed any more. It stays until [`Hub::end_turn`], so that no id that is in use in
    /// a turn dies in it, whatever releases it.
    pub fn release(&mut self, id: TopicId) {
        if self.topics.is_unused(id) && self.released.last() != Some(&id) {
            self.released.push(id);
        }
    }

    /// Forgets the released topics that have neither readers nor anything to remember. Nobody holds an id across this
    /// call but that of a topic that is read or has a run.
    pub fn end_turn(&mut self) {
        if self.released.is_empty() {
            return;
        }
        let mut released = std::mem::take(&mut self.released);
        for id in released.drain(..) {
            if self.topics.contains(id) && self.topics.is_unused(id) {
                self.homes -= usize::from(self.topics.home(id).is_some());
                self.topics.remove(id);
            }
        }
        released.shrink_to(RELEASED_KEPT);
        self.released = released;
    }

    /// The name of a topic.
    #[must_use]
    pub fn text(&self, id: TopicId) -> &str {
        self.topics.name(id)
    }

    /// The same, to keep. Costs an allocation if the topic has no publication, or its home elsewhere.
    #[must_use]
    pub fn name(&self, id: TopicId) -> TopicName {
        self.topics.owned_name(id)
    }

    /// Adds a reader of this shard to a topic; returns its place in the list. O(1).
    pub fn attach(&mut self, id: TopicId, key: SubscriberKey) -> u32 {
        self.topics.attach(id, key)
    }

    /// Takes the reader at `place` from a topic; returns the reader that stands there now, if another took its
    /// place. O(1).
    pub fn detach(&mut self, id: TopicId, place: u32) -> Option<SubscriberKey> {
        self.topics.detach(id, place)
    }

    /// This shard's readers of a topic, patterns aside.
    #[must_use]
    pub fn readers(&self, id: TopicId) -> &[SubscriberKey] {
        self.topics.readers(id)
    }

    /// Changes how many of this shard's subscribers hold the topic, attached or still joining; returns the new count.
    pub fn hold(&mut self, id: TopicId, change: i32) -> u32 {
        self.topics.hold(id, change)
    }

    /// Nodes of patterns that were looked at since this was last asked, searches aside.
    pub fn take_visits(&mut self) -> usize {
        self.visits.take()
    }

    /// The number of this turn's run of a topic, for the code that collects runs.
    pub fn run_mut(&mut self, id: TopicId) -> &mut Option<u32> {
        &mut self.voice_mut(id).run
    }

    /// Every pattern that matches the topic and has readers somewhere.
    pub fn matching(&mut self, id: TopicId) -> &[PatternId] {
        self.voice_mut(id);
        self.topics.match_patterns(id, &self.patterns, self.visits.get_mut())
    }

    fn voice_mut(&mut self, id: TopicId) -> &mut Voice {
        if matches!(self.topics.state(id), State::Private { .. }) {
            self.settled_home(id);
        }
        self.topics.voice_mut(id)
    }

    /// Whether a pattern that this shard has readers of covers the topic.
    pub fn is_read_by_pattern(&mut self, id: TopicId) -> bool {
        self.voice_mut(id);
        let matching = self.topics.match_patterns(id, &self.patterns, self.visits.get_mut());
        matching.iter().any(|&pattern| !self.patterns.readers(pattern).is_empty())
    }

    /// Every pattern that matches a topic which this shard may not know.
    #[must_use]
    pub fn matching_name(&self, topic: &str) -> Box<[PatternId]> {
        let mut visits = self.visits.get();
        let matching = self.patterns.matching(topic, &mut visits);
        self.visits.set(visits);
        matching
    }

    /// The pattern as this shard knows it, made if it does not.
    ///
    /// # Errors
    /// `overloaded` past the limit of patterns, or if a topic could take too long to match with this one.
    pub fn ensure_pattern(&mut self, pattern: &Pattern) -> Result<PatternId, Refusal> {
        if let Some(id) = self.patterns.find(pattern) {
            return Ok(id);
        }
        let is_full = self.patterns.len() >= self.settings.patterns_max
            || self.patterns.tokens() + pattern.token_count() > PATTERN_TOKENS_MAX
            || self.patterns.is_too_heavy(pattern, PATTERN_VISITS_MAX);
        if is_full {
            return Err(Refusal::new(ErrorCode::Overloaded, "the gateway is at its limit of patterns"));
        }
        Ok(self.patterns.ensure(pattern))
    }

    /// Whether there is room for a pattern of an owner that would have so many tokens of patterns with it: as many as are
    /// free, and of the visits that a topic may take the second half only while its tokens are no more than what is free.
    #[must_use]
    pub fn has_room_for(&self, pattern: &Pattern, owned: usize) -> bool {
        let visits_free = self.patterns.weight_free() as usize;
        owned <= PATTERN_TOKENS_MAX.saturating_sub(self.patterns.tokens())
            && (owned <= visits_free || !self.patterns.is_too_heavy(pattern, PATTERN_VISITS_MAX / 2))
    }

    /// Adds a reader of this shard to a pattern; returns its place in the list. O(1).
    pub fn attach_pattern(&mut self, id: PatternId, key: SubscriberKey) -> u32 {
        self.patterns.attach(id, key)
    }

    /// Takes the reader at `place` from a pattern; returns the reader that stands there now. O(1).
    pub fn detach_pattern(&mut self, id: PatternId, place: u32) -> Option<SubscriberKey> {
        self.patterns.detach(id, place)
    }

    /// Changes how many of this shard's subscribers hold the pattern, attached or still joining; returns the new count.
    pub fn hold_pattern(&mut self, id: PatternId, change: i32) -> u32 {
        self.patterns.hold(id, change)
    }

    /// This shard's readers of a pattern.
    #[must_use]
    pub fn pattern_readers(&self, id: PatternId) -> &[SubscriberKey] {
        self.patterns.readers(id)
    }

    /// The pattern of an id.
    #[must_use]
    pub fn pattern(&self, id: PatternId) -> &Pattern {
        self.patterns.pattern(id)
    }

    /// Whether any shard has a reader of a pattern.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        self.patterns.len() > 0
    }

    /// The id of a pattern, if this shard knows it.
    #[must_use]
    pub fn find_pattern(&self, pattern: &Pattern) -> Option<PatternId> {
        self.patterns.find(pattern)
    }

    /// Notes how many readers a shard has of a pattern; a pattern without a reader is forgotten.
    pub fn set_pattern_interest(&mut self, pattern: &Pattern, shard: ShardId, readers: u32) {
        self.patterns.set_interest(pattern, shard, readers);
    }

    /// For each of `patterns` the last values of the topics that have their home here and match it, from a place in the
    /// table on: at most [`PATTERN_PAGE_MAX`], found in one pass for all of them that ends after `visits_max` visits. A
    /// pattern that nobody reads any more has none. Returns the visits, too.
    pub fn last_values<'a>(
        &mut self,
        patterns: impl Iterator<Item = &'a Pattern>,
        place: u32,
        visits_max: u64,
    ) -> (Vec<LastValues>, u64) {
        let mut pages = Vec::new();
        let mut wanted: BTreeMap<PatternId, Vec<usize>> = BTreeMap::new();
        for pattern in patterns {
            if let Some(id) = self.patterns.find(pattern) {
                wanted.entry(id).or_default().push(pages.len());
            }
            pages.push(LastValues::default());
        }
        let (mut place, mut visits) = (place as usize, 0);
        let end = self.topics.places();
        while place < end && !wanted.is_empty() && visits < visits_max {
            let id = TopicId(place as u32);
            place += 1;
            visits += 1;
            let Some(home) = self.topics.home_mut(id) else { continue };
            let mut nodes = 0;
            let Some((last, matching)) = home.match_last(&self.patterns, &mut nodes) else { continue };
            visits += SEARCHED_TOPIC_VISITS + nodes as u64 + matching.len() as u64;
            let mut has_full = false;
            for index in matching.iter().filter_map(|id| wanted.get(id)).flatten() {
                visits += 1;
                pages[*index].publications.push(Arc::clone(last));
                has_full |= pages[*index].publications.len() >= PATTERN_PAGE_MAX;
            }
            if has_full {
                for index in
                    wanted.values().flatten().filter(|index| pages[**index].is_full()).copied().collect::<Vec<_>>()
                {
                    pages[index].next = Some(place as u32);
                }
                wanted.retain(|_, indices| {
                    indices.retain(|index| !pages[*index].is_full());
                    !indices.is_empty()
                });
            }
        }
        if place < end {
            wanted.values().flatten().for_each(|index| pages[*index].next = Some(place as u32));
        }
        (pages, visits)
    }

    /// Topics that this shard knows, patterns that any shard reads, and payload bytes of last values: for the metrics.
    #[must_use]
    pub fn sizes(&self) -> HubSizes {
        HubSizes {
            topics: self.homes,
            patterns: self.patterns.len(),
            retained_len: self.kept.total(),
            kept: self.kept,
            entries: self.topics.len(),
            shed_histories: self.sheds.0,
            shed_last_values: self.sheds.1,
            message_ids: self.message_ids.sizes().0,
            message_ids_len: self.message_ids.sizes().1,
        }
    }
}

/// Some of the last values that a new reader of a pattern gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastValues {
    /// Of topics that have their home here.
    pub publications: Vec<Arc<Publication>>,
    /// Where to go on, if there may be more.
    pub next: Option<u32>,
}

impl LastValues {
    fn is_full(&self) -> bool {
        self.publications.len() >= PATTERN_PAGE_MAX
    }
}

/// The numbers of a hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubSizes {
    /// Topics that have their home here.
    pub topics: usize,
    pub patterns: usize,
    /// Payload bytes of last values and histories.
    pub retained_len: u64,
    /// The same by class.
    pub kept: Kept,
    /// Topics in the table, home or not.
    pub entries: usize,
    /// How often the bytes kept were past `retained_len_max` and a history was halved.
    pub shed_histories: u64,
    /// How often nothing could be kept of a topic for that.
    pub shed_last_values: u64,
    /// Message ids remembered.
    pub message_ids: usize,
    /// Their bytes, with those of their index.
    pub message_ids_len: u64,
}

/// Places that the list of released topics keeps between turns.
const RELEASED_KEPT: usize = 1024;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::command::{Message, ShardSet, Target};
    use crate::limits::{PUBLICATION_COST, REFERENCE_COST};

    pub fn topic(name: &str) -> TopicName {
        TopicName::parse(name).expect("a valid name")
    }

    pub fn hub(shards: usize, topics_max: usize, retained_len_max: u64) -> Hub {
        Hub::new(HubSettings {
            shard: ShardId(0),
            shards,
            hash_key: (1, 2),
            epoch_seed: 3,
            topics_max,
            patterns_max: 100,
            retained_len_max,
            message_id_ttl_ms: 1_000,
            rules: Arc::default(),
        })
    }

    /// Bytes that a text takes that is kept.
    pub fn cost_of(text: &str) -> u64 {
        (PUBLICATION_COST + REFERENCE_COST + text.len()) as u64
    }

    pub fn say(hub: &mut Hub, name: &str, text: &str) -> Published {
        let message = Message::text(text.as_bytes());
        match hub.publish(MonoTime::ZERO, &topic(name), message).expect("there is room") {
            Outcome::Said(published) => published,
            Outcome::Repeated(position) => panic!("{position} has no message id"),
        }
    }

    #[test]
    fn a_topic_matches_patterns_that_come_after_it_and_forgets_those_that_go() {
        let mut hub = hub(1, 100, 1_000);
        say(&mut hub, "px.AAPL", "1");
        let Ok(Target::Pattern(pattern)) = Target::parse("px.*") else { panic!("a pattern") };
        hub.set_pattern_interest(&pattern, ShardId(2), 7);
        let Published { publication: last, shards } = say(&mut hub, "px.AAPL", "2");
        assert_eq!(shards, ShardSet::one(ShardId(2)));
        assert_eq!(hub.state("px.AAPL").expect("the topic is there").presence.readers, 7);
        let page = LastValues { publications: vec![last.clone()], next: None };
        assert_eq!(hub.last_values([&pattern, &pattern].into_iter(), 0, u64::MAX).0, [page.clone(), page]);
        hub.set_pattern_interest(&pattern, ShardId(2), 0);
        assert_eq!(say(&mut hub, "px.AAPL", "3").shards, ShardSet::EMPTY);
    }

    #[test]
    fn patterns_are_bounded_by_their_tokens_too() {
        let mut hub = hub(1, 100, 1_000);
        hub.settings.patterns_max = usize::MAX;
        let pattern = |n: usize| match Target::parse(&format!("{n}.{}>", "a.".repeat(122))) {
            Ok(Target::Pattern(pattern)) => pattern,
            _ => panic!("a pattern"),
        };
        let count = PATTERN_TOKENS_MAX / 124;
        for n in 0..count {
            hub.ensure_pattern(&pattern(n)).expect("there is room");
        }
        assert_eq!(hub.ensure_pattern(&pattern(count)).map_err(|refusal| refusal.code), Err(ErrorCode::Overloaded));
        hub.ensure_pattern(&pattern(0)).expect("a pattern that is there costs nothing more");
        for n in 0..count {
            hub.set_pattern_interest(&pattern(n), ShardId(0), 0);
        }
        assert_eq!((hub.patterns.tokens(), hub.patterns.len()), (0, 0));
    }

    #[test]
    fn a_search_among_many_topics_stops_after_its_visits_and_goes_on_from_there() {
        const TOPICS: usize = 3_000;
        let mut hub = hub(1, TOPICS, 1 << 30);
        for n in 0..TOPICS {
            say(&mut hub, &format!("px.{n}"), "1");
        }
        let Ok(Target::Pattern(pattern)) = Target::parse("px.*") else { panic!("a pattern") };
        hub.set_pattern_interest(&pattern, ShardId(0), 1);
        let (mut found, mut next, mut steps) = (0, Some(0), 0);
        while let Some(place) = next {
            let (pages, visits) = hub.last_values([&pattern].into_iter(), place, 1_000);
            assert!(visits <= 1_020, "{visits} visits");
            (found, next, steps) = (found + pages[0].publications.len(), pages[0].next, steps + 1);
        }
        assert!(found == TOPICS && steps > 3_000 / 100, "{found} found in {steps} steps");
    }

    #[test]
    fn a_topic_that_was_only_read_is_forgotten_with_its_last_reader() {
        let mut hub = hub(1, 100, 1_000);
        hub.join(MonoTime::ZERO, &topic("a"), ShardId(0), None, true).expect("there is room");
        let id = hub.ensure(&topic("a"));
        hub.hold(id, 1);
        let place = hub.attach(id, SubscriberKey(9));
        assert_eq!(hub.readers(id), [SubscriberKey(9)]);
        hub.detach(id, place);
        hub.hold(id, -1);
        hub.leave(MonoTime::ZERO, "a", ShardId(0), true);
        hub.end_turn();
        assert_eq!(hub.sizes(), HubSizes::default());
    }

    #[test]
    fn an_id_lives_to_the_end_of_its_turn_and_longer_with_a_run() {
        let mut hub = hub(1, 100, 1_000);
        let [a, b] = ["a", "b"].map(|name| hub.ensure(&topic(name)));
        *hub.run_mut(b) = Some(0);
        for id in [a, b, a, b] {
            hub.release(id);
        }
        assert_eq!([a, b].map(|id| hub.text(id).to_owned()), ["a", "b"]);
        assert_eq!(hub.ensure(&topic("a")), a);
        hub.end_turn();
        assert_eq!((hub.find("a"), hub.find("b"), hub.sizes().entries), (None, Some(b), 1));
        *hub.run_mut(b) = None;
        hub.release(b);
        hub.end_turn();
        assert_eq!(hub.sizes().entries, 0);
    }

    #[test]
    fn homes_are_spread_over_all_shards() {
        let hub = hub(4, 100, 1_000);
        let mut counts = [0; 4];
        for n in 0..4_000 {
            counts[hub.home_of(&format!("topic.{n}")).index()] += 1;
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }
}
