//! Dropping last values, and ending topics: on request, or by themselves after a time without publications and
//! readers.

use super::{Home, Kept};
use crate::command::{Position, ShardSet, Target, TopicLine, TopicName};
use crate::hub::Hub;
use crate::hub::topic::State;
use crate::hub::topic_table::TopicId;
use crate::limits::TOPICS_SCANNED_MAX;
use crate::time::MonoTime;

/// The number of ended topics, for each part of the hash of names. A topic that comes back after its end has
/// positions unlike those before. The few quiet topics in the same part get new positions too, since they have no
/// count of their own.
#[derive(Debug, Default)]
pub(in crate::hub) struct Lives {
    /// Empty until the first topic ends.
    by_part: Vec<u32>,
    ended: u64,
}

impl Lives {
    /// The number of the life of a topic that does not exist.
    pub fn of(&self, hash: u32) -> u64 {
        // Never equal to the numbers that a restart derives from an offset.
        self.by_part.get(hash as usize % PARTS).map_or(0, |life| u64::from(*life) << 32)
    }

    /// The number of ended topics.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    fn end(&mut self, hash: u32) {
        self.by_part.resize(PARTS, 0);
        let life = &mut self.by_part[hash as usize % PARTS];
        *life = life.wrapping_add(1);
        self.ended += 1;
    }
}

impl Home {
    /// Whether the topic had no publication for as long as its rule allows, and has no reader.
    fn is_over(&self, now: MonoTime) -> bool {
        self.end_due().is_some_and(|due| due <= now)
    }

    /// The time at which the topic ends by itself, without further publications and readers.
    pub(super) fn end_due(&self) -> Option<MonoTime> {
        let is_alone = self.settings.topic_ttl_s > 0 && self.offset > 0 && self.is_alone();
        // Counted in whole seconds: it ends up to a second late.
        let since_s = u64::from(self.quiet_since_s) + u64::from(self.settings.topic_ttl_s) + 1;
        is_alone.then(|| MonoTime::ZERO.plus_millis(since_s * 1_000))
    }

    /// Notes a publication, or the leave of the last reader.
    pub(in crate::hub) fn note_quiet(&mut self, now: MonoTime) {
        self.quiet_since_s = (now.as_millis() / 1_000) as u32;
    }

    /// Drops everything that is kept of it but its position, and returns the bytes of that.
    fn clear(&mut self) -> Kept {
        self.previous = Box::default();
        self.polled_until = None;
        self.drop_kept()
    }

    fn is_alone(&self) -> bool {
        self.readers == 0 && self.interest == ShardSet::EMPTY
    }
}

impl Hub {
    /// Ends a topic that has its home here: drops its last value and history at once, and the topic itself when it
    /// has no reader. Returns its position and its number of readers; `None` for a topic without readers and
    /// publications.
    pub fn end(&mut self, topic: &str) -> Option<(Position, u32)> {
        let id = self.find(topic)?;
        let (position, presence) = (self.position(id)?, self.presence(id)?);
        if let Some(home) = self.topics.home_mut(id) {
            self.kept.change(home.clear(), Kept::default());
            home.ends = true;
        }
        self.end_if_alone(id);
        Some((position, presence.readers))
    }

    /// Ends a topic by itself, if its time has come.
    pub(super) fn end_if_over(&mut self, now: MonoTime, id: TopicId) {
        if let Some(home) = self.topics.home_mut(id).filter(|home| home.is_over(now)) {
            home.ends = true;
            self.end_if_alone(id);
        }
    }

    /// Ends a topic that is marked to end, if it has no reader.
    pub(super) fn end_if_alone(&mut self, id: TopicId) {
        let Some(home) = self.topics.home_mut(id).filter(|home| home.ends && home.is_alone()) else { return };
        self.kept.change(home.clear(), Kept::default());
        if home.offset > 0 {
            let hash = self.topics.hash(self.topics.name(id));
            self.lives.end(hash);
            // It exists to the end of the turn: publications until then belong to its next life.
            let next = self.quiet_position(self.topics.name(id));
            if let Some(home) = self.topics.home_mut(id) {
                (home.epoch, home.offset) = (next.epoch, next.offset);
            }
        }
        self.release(id);
    }

    /// Drops the last value of a topic that has its home here, and returns the topic's position; `None` for a topic
    /// without readers and publications. The history stays.
    pub fn forget_last(&mut self, topic: &str) -> Option<Position> {
        let id = self.find(topic)?;
        self.set_last(id, None);
        self.position(id)
    }

    /// Lists topics that have their home here, from a place in the table on: at most `limit` that match, out of at
    /// most [`TOPICS_SCANNED_MAX`]. Returns them, the number of topics looked at, and the place to continue, if there
    /// are more.
    pub fn list(&mut self, wanted: Option<&Target>, place: u32, limit: usize) -> (Vec<TopicLine>, usize, Option<u32>) {
        let (mut lines, mut at) = (Vec::new(), place as usize);
        let end = self.topics.places().min(at.saturating_add(TOPICS_SCANNED_MAX));
        while at < end && lines.len() < limit {
            let id = TopicId(at as u32);
            at += 1;
            let is_home = |hub: &Self| matches!(hub.topics.state(id), State::Private { .. } | State::Home(_));
            if !self.topics.contains(id) || !is_home(self) {
                continue;
            }
            let name = self.topics.name(id);
            if wanted.is_some_and(|wanted| !wanted.matches(name)) {
                continue;
            }
            let topic = TopicName::parse(name).ok();
            if let (Some(topic), Some(position), Some(presence)) = (topic, self.position(id), self.presence(id)) {
                lines.push(TopicLine { topic, position, readers: presence.readers });
            }
        }
        let next = (at < self.topics.places()).then_some(at as u32);
        (lines, at - place as usize, next)
    }
}

/// The number of parts; each takes four bytes once a topic has ended.
const PARTS: usize = 16_384;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::command::{HistoryQuery, Message, ShardId, Terms};
    use crate::hub::home::Outcome;
    use crate::hub::rules::{TopicRule, TopicRules, TopicSettings};
    use crate::hub::tests::{hub, say, topic};

    fn at(ms: u64) -> MonoTime {
        MonoTime::ZERO.plus_millis(ms)
    }

    #[test]
    fn a_topic_that_ends_leaves_nothing_and_comes_back_as_another() {
        let mut hub = hub(1, 100, 1_000);
        let first = say(&mut hub, "a", "x").publication.position;
        assert_eq!(hub.end("a"), Some((first, 0)));
        hub.end_turn();
        let sizes = hub.sizes();
        assert_eq!((sizes.topics, sizes.entries, sizes.retained_len), (0, 0, 0));
        assert_eq!(hub.end("a"), None);
        let again = say(&mut hub, "a", "y").publication.position;
        assert_eq!(again.offset, 1);
        assert_ne!(again.epoch, first.epoch);
        let answer = hub.join(MonoTime::ZERO, &topic("a"), ShardId(0), Some(first), true).expect("there is room");
        assert_eq!(answer.recovered, Some(false), "the position is one of the topic's life before");
    }

    /// Fault: it is there to the end of the turn, and takes what is said until then with the epoch of the life before.
    #[test]
    fn a_topic_that_comes_back_in_the_turn_of_its_end_is_another_too() {
        let mut hub = hub(1, 100, 1_000);
        let first = say(&mut hub, "a", "x").publication.position;
        hub.end("a");
        let again = say(&mut hub, "a", "y").publication.position;
        assert_eq!(again.offset, 1);
        assert_ne!(again.epoch, first.epoch);
        hub.end_turn();
        assert_eq!(say(&mut hub, "a", "z").publication.position, Position { offset: 2, ..again });
    }

    #[test]
    fn a_topic_with_readers_forgets_and_ends_with_the_last_of_them() {
        let mut hub = hub(1, 100, 1_000);
        let a = topic("a");
        let position = say(&mut hub, "a", "x").publication.position;
        hub.join(MonoTime::ZERO, &a, ShardId(0), None, true).expect("there is room");
        assert_eq!(hub.end("a"), Some((position, 1)));
        assert_eq!(hub.state("a").expect("it is read").last, None);
        hub.leave(MonoTime::ZERO, "a", ShardId(0), true);
        hub.end_turn();
        assert_eq!(hub.sizes().entries, 0);
    }

    #[test]
    fn a_topic_in_which_something_is_said_after_its_end_goes_on() {
        let mut hub = hub(1, 100, 1_000);
        say(&mut hub, "a", "x");
        hub.join(MonoTime::ZERO, &topic("a"), ShardId(0), None, true).expect("there is room");
        hub.end("a");
        assert_eq!(say(&mut hub, "a", "y").publication.prev, 1, "its readers see no break");
        hub.leave(MonoTime::ZERO, "a", ShardId(0), true);
        hub.end_turn();
        assert!(hub.state("a").expect("it is there").last.is_some());
    }

    #[test]
    fn the_message_ids_of_a_topic_that_ended_are_not_those_of_its_next_life() {
        let mut hub = hub(1, 100, 1_000);
        let with_id = || {
            let terms = Terms { message_id: Some("once".into()), ..Terms::default() };
            Message { terms: Some(Box::new(terms)), ..Message::text(b"x") }
        };
        let publish = |hub: &mut Hub| hub.publish(MonoTime::ZERO, &topic("a"), with_id()).expect("there is room");
        assert!(matches!(publish(&mut hub), Outcome::Said(_)));
        assert!(matches!(publish(&mut hub), Outcome::Repeated(_)));
        hub.end("a");
        hub.end_turn();
        assert!(matches!(publish(&mut hub), Outcome::Said(_)));
        assert!(matches!(publish(&mut hub), Outcome::Repeated(_)));
    }

    #[test]
    fn a_topic_ends_by_itself_when_nothing_is_said_and_nobody_is_there() {
        let mut hub = hub(1, 100, 1_000);
        let settings = TopicSettings { topic_ttl_s: 10, history: 5, ..TopicSettings::default() };
        let pattern = Target::parse(">").expect("a pattern");
        hub.settings.rules = Arc::new(TopicRules::new(vec![TopicRule { pattern, settings }]));
        let (quiet, read) = (topic("quiet"), topic("read"));
        for name in [&quiet, &read] {
            hub.publish(at(0), name, Message::text(b"x")).expect("there is room");
        }
        hub.join(at(1_000), &read, ShardId(0), None, true).expect("there is room");
        hub.publish(at(5_000), &quiet, Message::text(b"y")).expect("there is room");
        let sweep_to = |hub: &mut Hub, ms| {
            while let Some(next) = hub.next_sweep().filter(|next| *next <= at(ms)) {
                hub.sweep(next);
                hub.end_turn();
            }
        };
        sweep_to(&mut hub, 14_900);
        assert!(hub.history(at(14_900), "quiet", HistoryQuery::ALL).is_some());
        sweep_to(&mut hub, 16_100);
        assert!(hub.state("quiet").is_none());
        assert!(hub.state("read").is_some(), "somebody is there");
        hub.leave(at(20_000), "read", ShardId(0), true);
        sweep_to(&mut hub, 29_900);
        assert!(hub.state("read").is_some());
        sweep_to(&mut hub, 31_100);
        assert_eq!((hub.sizes().entries, hub.sizes().retained_len, hub.next_sweep()), (0, 0, None));
    }

    #[test]
    fn a_list_goes_through_all_topics_in_portions() {
        let mut hub = hub(1, 10_000, 1 << 20);
        for n in 0..3_000 {
            say(&mut hub, &format!("{}.{n}", if n % 3 == 0 { "a" } else { "b" }), "x");
        }
        hub.join(MonoTime::ZERO, &topic("a.private"), ShardId(0), None, true).expect("there is room");
        let wanted = Target::parse("a.*").expect("a pattern");
        let (mut all, mut place) = (Vec::new(), Some(0));
        while let Some(from) = place {
            let (lines, scanned, next) = hub.list(Some(&wanted), from, 100);
            assert!(lines.len() <= 100 && scanned <= TOPICS_SCANNED_MAX);
            all.extend(lines.into_iter().map(|line| line.topic));
            place = next;
        }
        assert_eq!(all.len(), 1_001);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1_001);
    }
}
