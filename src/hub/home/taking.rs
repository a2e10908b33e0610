//! Publications that another source has numbered: the home keeps their order and their chain, and gives no numbers.

use std::sync::Arc;

use super::{Home, Outcome, Published};
use crate::command::{NotTaken, Position, Publication};
use crate::hub::Hub;
use crate::time::MonoTime;

impl Home {
    /// Whether a publication is the next one. Where nothing was said and nobody reads, a chain may begin anywhere; a reader
    /// was told that the topic is at its beginning.
    fn is_followed_by(&self, publication: &Publication) -> bool {
        if self.offset > 0 {
            publication.position.epoch == self.epoch && publication.prev == self.offset
        } else {
            publication.prev == 0 || self.readers == 0
        }
    }

    /// Moves on to a publication that follows.
    fn move_to(&mut self, publication: &Publication) {
        if self.epoch != publication.position.epoch {
            // A reader that came before the first publication missed nothing, if it was the first.
            let before = (publication.prev == 0).then_some(self.position());
            self.begin_at(publication.position, before.into_iter().collect());
        }
        self.offset = publication.position.offset;
    }
}

impl Hub {
    /// Takes a publication with its own number, keeps it, and says which shards must get it. This shard is the home. The
    /// publication's time is no later than `now`. One that is not newer than what the topic holds is a repeat.
    ///
    /// # Errors
    /// If it does not follow what the topic holds, or if there is no room for the topic. Then nothing has changed.
    pub fn take(&mut self, now: MonoTime, mut publication: Arc<Publication>) -> Result<Outcome, NotTaken> {
        let id = self.ensure_home(&publication.topic).map_err(NotTaken::Refused)?;
        let mut shards = self.pattern_interest(id);
        let home = self.topics.home_mut(id).expect("ensure_home made it");
        let (held, Position { epoch, offset }) = (home.position(), publication.position);
        if epoch == held.epoch && offset <= held.offset {
            return Ok(Outcome::Repeated(publication.position));
        }
        if !home.is_followed_by(&publication) {
            self.release(id);
            return Err(NotTaken::Break { held });
        }
        home.move_to(&publication);
        home.note_quiet(now);
        home.ends = false;
        shards |= home.interest;
        if let Some(publication) = Arc::get_mut(&mut publication) {
            publication.topic = home.name.clone();
        }
        self.keep(id, &publication);
        Ok(Outcome::Said(Published { publication, shards }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Epoch, HistoryQuery, PayloadKind, ShardId, ShardSet, Target};
    use crate::hub::rules::{TopicRule, TopicRules, TopicSettings};
    use crate::hub::tests::{hub, topic};

    fn numbered(epoch: u64, prev: u64, offset: u64) -> Arc<Publication> {
        Arc::new(Publication {
            topic: topic("a"),
            position: Position { epoch: Epoch(epoch), offset },
            prev,
            kind: PayloadKind::Text,
            payload: offset.to_string().into_bytes().into(),
            key: None,
            origin: None,
            time: MonoTime::ZERO,
            extras: None,
        })
    }

    fn with_history(topics_max: usize) -> Hub {
        let mut hub = hub(2, topics_max, 1 << 20);
        let settings = TopicSettings { history: 3, ..TopicSettings::default() };
        let pattern = Target::parse(">").expect("a pattern");
        hub.settings.rules = Arc::new(TopicRules::new(vec![TopicRule { pattern, settings }]));
        assert_eq!(hub.home_of("a"), ShardId(0));
        hub
    }

    fn take(hub: &mut Hub, epoch: u64, prev: u64, offset: u64) -> Result<Option<ShardSet>, NotTaken> {
        match hub.take(MonoTime::ZERO, numbered(epoch, prev, offset))? {
            Outcome::Said(published) => Ok(Some(published.shards)),
            Outcome::Repeated(position) => {
                assert_eq!(position.offset, offset);
                Ok(None)
            }
        }
    }

    fn at(epoch: u64, offset: u64) -> Position {
        Position { epoch: Epoch(epoch), offset }
    }

    fn broken(epoch: u64, offset: u64) -> Result<Option<ShardSet>, NotTaken> {
        Err(NotTaken::Break { held: at(epoch, offset) })
    }

    #[test]
    fn a_chain_is_taken_in_its_order_and_a_repeat_is_dropped() {
        let mut hub = with_history(10);
        hub.join(MonoTime::ZERO, &topic("a"), ShardId(1), None, true).expect("there is room");
        let readers = Ok(Some(ShardSet::one(ShardId(1))));
        assert_eq!(take(&mut hub, 7, 0, 3), readers);
        assert_eq!(take(&mut hub, 7, 3, 10), readers);
        for (prev, offset) in [(3, 10), (0, 3), (3, 7)] {
            assert_eq!(take(&mut hub, 7, prev, offset), Ok(None));
        }
        assert_eq!(take(&mut hub, 7, 10, 11), readers);
        let kept = hub.history(MonoTime::ZERO, "a", HistoryQuery::ALL).expect("it is there");
        let chain: Vec<_> = kept.publications.iter().map(|it| (it.prev, it.position.offset)).collect();
        assert_eq!((kept.position, chain), (at(7, 11), vec![(0, 3), (3, 10), (10, 11)]));
    }

    #[test]
    fn a_break_is_told_with_what_the_topic_holds_and_changes_nothing() {
        let mut hub = with_history(10);
        assert!(take(&mut hub, 7, 0, 3).is_ok());
        // Something is missing, another epoch, an earlier branch.
        for (epoch, prev, offset) in [(7, 8, 9), (8, 3, 9), (8, 0, 1), (7, 2, 9), (7, 0, 9)] {
            assert_eq!(take(&mut hub, epoch, prev, offset), broken(7, 3));
        }
        let state = hub.state("a").expect("it is there");
        assert_eq!((state.position, state.last.map(|last| last.position)), (at(7, 3), Some(at(7, 3))));
        assert!(take(&mut hub, 7, 3, 8).is_ok() && take(&mut hub, 7, 8, 9).is_ok(), "what was missing, and the rest");
    }

    #[test]
    fn a_chain_begins_anywhere_where_nobody_reads_and_at_its_beginning_for_a_reader() {
        let mut hub = with_history(10);
        assert!(take(&mut hub, 7, 40, 41).is_ok());
        let missed = |hub: &mut Hub, since| {
            let answer = hub.join(MonoTime::ZERO, &topic("a"), ShardId(0), Some(since), true).expect("there is room");
            (answer.recovered, answer.publications.len())
        };
        assert_eq!(missed(&mut hub, at(7, 40)), (Some(true), 1));
        assert_eq!(missed(&mut hub, at(7, 39)), (Some(false), 1));
        let mut hub = with_history(10);
        let joined = hub.join(MonoTime::ZERO, &topic("a"), ShardId(0), None, true).expect("there is room").position;
        assert_eq!(take(&mut hub, 7, 40, 41), broken(joined.epoch.0, 0));
        assert!(take(&mut hub, 7, 0, 5).is_ok());
        assert_eq!(missed(&mut hub, joined), (Some(true), 1), "it was told the beginning, and missed nothing");
    }

    #[test]
    fn a_break_of_a_topic_that_is_not_there_leaves_no_topic() {
        let mut hub = with_history(1);
        assert!(take(&mut hub, 7, 0, 1).is_ok());
        let other = |prev, offset| {
            Arc::new(Publication { topic: topic("c"), ..Publication::clone(&numbered(7, prev, offset)) })
        };
        assert_eq!(hub.home_of("c"), ShardId(0));
        assert!(matches!(hub.take(MonoTime::ZERO, other(0, 1)), Err(NotTaken::Refused(_))), "there is room for one");
        hub.end("a");
        hub.end_turn();
        assert_eq!((hub.sizes().topics, hub.sizes().entries), (0, 0));
        assert!(hub.take(MonoTime::ZERO, other(0, 1)).is_ok());
    }
}
