//! The home of a topic: its numbers, its last value, and the shards that have readers.

use std::sync::Arc;

use super::Hub;
use super::rules::TopicSettings;
use super::topic_table::TopicId;
use crate::command::{
    Epoch, ErrorCode, JoinAnswer, Origin, PayloadKind, Position, Publication, Refusal, ShardId, TopicName, TopicState,
};

/// What only the home shard knows of a topic.
#[derive(Debug)]
pub(super) struct Home {
    epoch: Epoch,
    offset: u64,
    pub last: Option<Arc<Publication>>,
    /// One bit a shard that has readers by name.
    interest: u64,
    /// Readers by name in all shards.
    readers: u32,
    /// What the configuration says of the topic.
    settings: TopicSettings,
}

impl Home {
    pub fn is_unused(&self) -> bool {
        self.readers == 0 && self.interest == 0 && self.offset == 0
    }

    fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.offset }
    }
}

/// A publication that has its number, and where it must go.
#[derive(Debug)]
pub struct Published {
    /// The publication.
    pub publication: Arc<Publication>,
    /// One bit a shard with readers, this one included.
    pub shards: u64,
}

impl Hub {
    /// Numbers a publication, keeps it as the last value, and says which shards must get it. This shard is the home.
    ///
    /// # Errors
    /// `overloaded` for a new topic past the limit of topics.
    pub fn publish(
        &mut self,
        topic: &TopicName,
        kind: PayloadKind,
        payload: Box<[u8]>,
        key: Option<Box<str>>,
        origin: Option<Origin>,
    ) -> Result<Published, Refusal> {
        let id = self.ensure_home(topic)?;
        let mut shards = 0;
        for index in 0..self.matching(id).len() {
            let pattern = self.matching(id)[index];
            shards |= self.patterns.interest(pattern);
        }
        let payload_len = payload.len() as u64;
        let entry = &mut self.topics[id];
        let home = entry.home.as_mut().expect("ensure_home made it");
        home.offset += 1;
        shards |= home.interest;
        let publication =
            Arc::new(Publication { topic: entry.name.clone(), position: home.position(), kind, payload, key, origin });
        let freed = home.last.take().map_or(0, |last| last.payload.len() as u64);
        self.retained_len -= freed;
        if home.settings.last && self.retained_len + payload_len <= self.settings.retained_len_max {
            self.retained_len += payload_len;
            home.last = Some(Arc::clone(&publication));
        }
        Ok(Published { publication, shards })
    }

    /// Counts a reader of shard `from` and says where the topic stands. This shard is the home.
    ///
    /// # Errors
    /// `overloaded` for a new topic past the limit of topics.
    pub fn join(
        &mut self,
        topic: &TopicName,
        from: ShardId,
        since: Option<Position>,
        wants_last: bool,
    ) -> Result<JoinAnswer, Refusal> {
        let id = self.ensure_home(topic)?;
        let home = self.topics[id].home.as_mut().expect("ensure_home made it");
        home.readers += 1;
        home.interest |= 1 << from.0;
        let position = home.position();
        let missed = since.map(|since| missed(since, position));
        let publications = match (missed, &home.last) {
            (Some(Some(0)), _) | (_, None) => Vec::new(),
            (Some(Some(1)), Some(last)) => vec![Arc::clone(last)],
            (_, Some(last)) => Vec::from_iter(wants_last.then(|| Arc::clone(last))),
        };
        let is_whole = |missed: Option<u64>| missed.is_some_and(|missed| missed == publications.len() as u64);
        Ok(JoinAnswer { position, recovered: missed.map(is_whole), publications })
    }

    /// A reader of shard `from` left; `is_last` if the shard has no other. This shard is the home.
    pub fn leave(&mut self, topic: &str, from: ShardId, is_last: bool) {
        let Some(id) = self.find(topic) else { return };
        if let Some(home) = self.topics[id].home.as_mut() {
            home.readers = home.readers.saturating_sub(1);
            if is_last {
                home.interest &= !(1 << from.0);
            }
        }
        self.release(id);
    }

    /// What there is to say of a topic that has its home here; `None` if nobody reads or published it.
    pub fn state(&mut self, topic: &str) -> Option<TopicState> {
        let id = self.find(topic)?;
        self.topics[id].home.as_ref()?;
        let mut readers = 0_u32;
        for index in 0..self.matching(id).len() {
            let pattern = self.matching(id)[index];
            readers = readers.saturating_add(self.patterns.reader_count(pattern));
        }
        let home = self.topics[id].home.as_ref()?;
        Some(TopicState {
            position: home.position(),
            readers: readers.saturating_add(home.readers),
            last: home.last.clone(),
        })
    }

    fn ensure_home(&mut self, topic: &TopicName) -> Result<TopicId, Refusal> {
        debug_assert_eq!(self.home_of(topic.as_str()), self.settings.shard, "a topic is asked for at its home");
        if let Some(id) = self.find(topic.as_str())
            && self.topics[id].home.is_some()
        {
            return Ok(id);
        }
        if self.homes >= self.settings.topics_max {
            return Err(Refusal::new(ErrorCode::Overloaded, "the gateway is at its limit of topics"));
        }
        self.homes += 1;
        self.epochs_given += 1;
        let epoch = Epoch(epoch(self.settings.epoch_seed, self.settings.shard, self.epochs_given));
        let settings = self.settings.rules.find(topic.as_str());
        let id = self.ensure(topic);
        self.topics[id].home = Some(Box::new(Home { epoch, offset: 0, last: None, interest: 0, readers: 0, settings }));
        Ok(id)
    }
}

/// How many publications lie between; `None` if `since` belongs to another life of the topic or lies ahead.
fn missed(since: Position, now: Position) -> Option<u64> {
    if since.epoch != now.epoch { None } else { now.offset.checked_sub(since.offset) }
}

/// A new epoch each time, different in each shard and at each start; 32 bits, so that positions stay short.
fn epoch(seed: u64, shard: ShardId, given: u64) -> u64 {
    let mut mixed = seed.wrapping_add((given << 8 | u64::from(shard.0)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::super::tests::{hub, say, topic};
    use super::*;

    #[test]
    fn offsets_count_from_one_and_the_last_value_is_kept() {
        let mut hub = hub(1, 100, 1_000);
        assert_eq!(say(&mut hub, "a", "one").publication.position.offset, 1);
        assert_eq!(say(&mut hub, "a", "two").publication.position.offset, 2);
        let state = hub.state("a").expect("the topic is there");
        assert_eq!(state.position.offset, 2);
        assert_eq!(&*state.last.expect("the last value is kept").payload, b"two");
        assert_eq!(hub.state("b"), None);
    }

    #[test]
    fn a_publication_goes_to_the_shards_with_readers_and_to_no_other() {
        let mut hub = hub(1, 100, 1_000);
        assert_eq!(say(&mut hub, "a", "x").shards, 0);
        hub.join(&topic("a"), ShardId(3), None, true).expect("there is room");
        hub.join(&topic("a"), ShardId(3), None, true).expect("there is room");
        hub.join(&topic("a"), ShardId(5), None, true).expect("there is room");
        assert_eq!(say(&mut hub, "a", "x").shards, 1 << 3 | 1 << 5);
        hub.leave("a", ShardId(3), false);
        assert_eq!(say(&mut hub, "a", "x").shards, 1 << 3 | 1 << 5);
        hub.leave("a", ShardId(3), true);
        assert_eq!(say(&mut hub, "a", "x").shards, 1 << 5);
        assert_eq!(hub.state("a").expect("the topic is there").readers, 1);
    }

    #[test]
    fn a_reader_is_told_whether_it_missed_something() {
        let mut hub = hub(1, 100, 1_000);
        say(&mut hub, "a", "one");
        let position = say(&mut hub, "a", "two").publication.position;
        let mut join = |since: Option<Position>, last| {
            let answer = hub.join(&topic("a"), ShardId(0), since, last).expect("there is room");
            (answer.recovered, answer.publications.iter().map(|p| p.position.offset).collect::<Vec<_>>())
        };
        let at = |offset| Some(Position { epoch: position.epoch, offset });
        assert_eq!(join(None, true), (None, vec![2]));
        assert_eq!(join(None, false), (None, vec![]));
        assert_eq!(join(at(2), true), (Some(true), vec![]), "nothing was missed");
        assert_eq!(join(at(1), false), (Some(true), vec![2]), "one was missed and is still there");
        assert_eq!(join(at(0), true), (Some(false), vec![2]), "two were missed, one is left");
        assert_eq!(join(at(3), true), (Some(false), vec![2]), "the future is another epoch's");
        let foreign = Some(Position { epoch: Epoch(position.epoch.0 + 1), offset: 2 });
        assert_eq!(join(foreign, true), (Some(false), vec![2]));
    }

    #[test]
    fn past_the_limit_of_topics_a_new_one_is_refused_and_an_old_one_goes_on() {
        let mut hub = hub(1, 2, 1_000);
        say(&mut hub, "a", "x");
        hub.join(&topic("b"), ShardId(0), None, true).expect("there is room");
        let refused = hub.publish(&topic("c"), PayloadKind::Text, Box::default(), None, None);
        assert_eq!(refused.map(|_| ()).map_err(|refusal| refusal.code), Err(ErrorCode::Overloaded));
        say(&mut hub, "a", "x");
        hub.leave("b", ShardId(0), true);
        say(&mut hub, "c", "x");
        assert_eq!(hub.sizes().topics, 2);
    }

    #[test]
    fn past_the_limit_of_bytes_a_value_is_delivered_and_not_kept() {
        let mut hub = hub(1, 100, 10);
        say(&mut hub, "a", "12345678");
        say(&mut hub, "b", "123");
        assert_eq!(hub.state("b").expect("the topic is there").last, None);
        assert_eq!(hub.sizes().retained_len, 8);
        say(&mut hub, "a", "1");
        say(&mut hub, "b", "123");
        assert_eq!(hub.sizes().retained_len, 4);
    }
}
