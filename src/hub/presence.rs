//! Counts of a topic's readers, sent at a bounded rate to the shards with a session that asked for them.

use std::collections::{HashMap, VecDeque};

use super::Hub;
use super::patterns::PatternId;
use super::topic::State;
use super::topic_table::TopicId;
use crate::command::{Presence, ShardId, ShardSet, TopicName};
use crate::limits::{PRESENCE_INTERVAL_MS, PRESENCE_STEP_MS, PRESENCE_TOPICS_PER_TURN};
use crate::time::MonoTime;

/// The watched topics with their home here.
#[derive(Debug, Default)]
pub(super) struct Watches {
    by_topic: HashMap<TopicId, Watch>,
    /// Each of them once, by when it is looked at again.
    queue: VecDeque<(MonoTime, TopicId)>,
    /// Not before this, should some be left over from the last turn.
    not_before: MonoTime,
}

#[derive(Debug)]
struct Watch {
    /// The shards that get its counts. Without any the topic is forgotten when its turn in the queue comes.
    shards: ShardSet,
    /// The counts that they were told last.
    told: Presence,
}

/// A count that shards are to be told.
#[derive(Debug)]
pub struct PresenceChange {
    pub topic: TopicName,
    /// Its readers now.
    pub presence: Presence,
    /// The shards that get its counts.
    pub shards: ShardSet,
}

impl Hub {
    /// From now on a shard is told how many read a topic that it reads itself; returns how many do now. This shard is
    /// the home.
    pub fn watch(&mut self, now: MonoTime, topic: &str, from: ShardId) -> Option<Presence> {
        let id = self.find(topic)?;
        let presence = self.presence(id)?;
        let watches = &mut self.watches;
        let watch = watches.by_topic.entry(id).or_insert_with(|| {
            watches.queue.push_back((now.plus_millis(PRESENCE_INTERVAL_MS), id));
            Watch { shards: ShardSet::EMPTY, told: presence }
        });
        if watch.shards.is_empty() {
            watch.told = presence;
        }
        watch.shards.insert(from);
        Some(presence)
    }

    /// A shard stops watching. It says so before its last reader leaves.
    pub fn unwatch(&mut self, topic: &str, from: ShardId) {
        if let Some(id) = self.find(topic)
            && let Some(watch) = self.watches.by_topic.get_mut(&id)
        {
            watch.shards.remove(from);
        }
    }

    /// When [`Hub::presence_changes`] next has something to look at.
    #[must_use]
    pub fn next_presence(&self) -> Option<MonoTime> {
        self.watches.queue.front().map(|&(due, _)| due.max(self.watches.not_before))
    }

    /// Looks at watched topics that are due, as many as a turn may; returns those with a changed count.
    pub fn presence_changes(&mut self, now: MonoTime) -> Vec<PresenceChange> {
        let mut changes = Vec::new();
        if now < self.watches.not_before {
            return changes;
        }
        for _ in 0..PRESENCE_TOPICS_PER_TURN {
            let Some(&(_, id)) = self.watches.queue.front().filter(|(due, _)| *due <= now) else { break };
            self.watches.queue.pop_front();
            let presence = self.presence(id);
            let watch = self.watches.by_topic.get_mut(&id).filter(|watch| !watch.shards.is_empty());
            let (Some(watch), Some(presence)) = (watch, presence) else {
                self.watches.by_topic.remove(&id);
                continue;
            };
            self.watches.queue.push_back((now.plus_millis(PRESENCE_INTERVAL_MS), id));
            if watch.told != presence {
                watch.told = presence;
                changes.push(PresenceChange { topic: self.topics.owned_name(id), presence, shards: watch.shards });
            }
        }
        self.watches.not_before = now.plus_millis(PRESENCE_STEP_MS);
        changes
    }

    /// How many read a topic that is at home here, by name and by pattern.
    pub(super) fn presence(&mut self, id: TopicId) -> Option<Presence> {
        let (by_name, joins) = match self.topics.get(id)?.state {
            State::Private { .. } => (1, 1),
            _ => self.topics.home(id)?.readers(),
        };
        let patterns = match self.topics.home(id) {
            Some(_) => Box::from(self.topics.match_patterns(id, &self.patterns, self.visits.get_mut())),
            None => self.matching_name(self.topics.name(id)),
        };
        let count = |sum: u32, &pattern: &PatternId| sum.saturating_add(self.patterns.reader_count(pattern));
        let readers = patterns.iter().fold(0, count);
        let leaves = joins.saturating_sub(u64::from(by_name));
        Some(Presence { readers: readers.saturating_add(by_name), joins, leaves })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{hub, topic};
    use super::*;

    fn after(ms: u64) -> MonoTime {
        MonoTime::ZERO.plus_millis(ms)
    }

    fn counts(changes: &[PresenceChange]) -> Vec<(u32, u64, ShardSet)> {
        changes.iter().map(|change| (change.presence.readers, change.presence.joins, change.shards)).collect()
    }

    #[test]
    fn a_count_is_told_once_an_interval_and_only_if_it_changed() {
        let mut hub = hub(1, 100, 1_000);
        let name = topic("a");
        let join = |hub: &mut Hub| {
            hub.join(after(0), &name, ShardId(0), None, false).expect("there is room");
        };
        join(&mut hub);
        let told = hub.watch(after(0), "a", ShardId(0)).expect("it is there");
        assert_eq!((told.readers, told.joins, told.leaves), (1, 1, 0));
        (0..1_000).for_each(|_| join(&mut hub));
        assert_eq!(counts(&hub.presence_changes(after(PRESENCE_INTERVAL_MS - 1))), []);
        assert_eq!(hub.next_presence(), Some(after(PRESENCE_INTERVAL_MS)));
        assert_eq!(
            counts(&hub.presence_changes(after(PRESENCE_INTERVAL_MS))),
            [(1_001, 1_001, ShardSet::one(ShardId(0)))]
        );
        assert_eq!(counts(&hub.presence_changes(after(PRESENCE_INTERVAL_MS * 2))), []);
        hub.watch(after(0), "a", ShardId(3));
        hub.leave(MonoTime::ZERO, "a", ShardId(0), false);
        let changes = hub.presence_changes(after(PRESENCE_INTERVAL_MS * 3));
        assert_eq!(counts(&changes), [(1_000, 1_001, [0, 3].map(ShardId).into_iter().collect())]);
        assert_eq!(changes[0].presence.leaves, 1);
    }

    #[test]
    fn who_stops_watching_is_forgotten_whatever_becomes_of_the_topic() {
        let mut hub = hub(1, 100, 1_000);
        for round in 0..3 {
            let name = format!("t.{round}");
            hub.join(after(0), &topic(&name), ShardId(0), None, false).expect("there is room");
            hub.watch(after(0), &name, ShardId(0));
            hub.unwatch(&name, ShardId(0));
            hub.leave(MonoTime::ZERO, &name, ShardId(0), true);
            hub.end_turn();
        }
        assert!(hub.presence_changes(after(10_000)).is_empty());
        assert!(hub.watches.by_topic.is_empty() && hub.watches.queue.is_empty());
        assert_eq!((hub.next_presence(), hub.sizes().topics), (None, 0));
    }

    #[test]
    fn many_topics_are_looked_at_over_several_turns() {
        let mut hub = hub(1, 10_000, 1_000);
        let count = PRESENCE_TOPICS_PER_TURN * 3 + 1;
        for n in 0..count {
            let name = format!("t.{n}");
            hub.join(after(0), &topic(&name), ShardId(0), None, false).expect("there is room");
            hub.watch(after(0), &name, ShardId(0));
            hub.join(after(0), &topic(&name), ShardId(0), None, false).expect("there is room");
        }
        let (mut now, mut told, mut turns) = (after(PRESENCE_INTERVAL_MS), 0, 0);
        while told < count {
            let changes = hub.presence_changes(now);
            assert!(changes.len() <= PRESENCE_TOPICS_PER_TURN && !changes.is_empty());
            assert!(hub.next_presence().is_some_and(|next| next > now), "a deadline advances");
            now = now.plus_millis(PRESENCE_STEP_MS);
            (told, turns) = (told + changes.len(), turns + 1);
        }
        assert_eq!((told, turns), (count, 4));
    }
}
