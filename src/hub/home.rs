//! The home of a topic: its numbers, its last value, and the shards that have readers.

use std::cmp::Reverse;
use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use super::Hub;
use super::history::History;
use super::patterns::{PatternId, PatternTable};
use super::rules::TopicSettings;
use super::topic::{State, Voice};
use super::topic_table::TopicId;
use crate::command::{
    Condition, Epoch, ErrorCode, HistoryAnswer, HistoryQuery, JoinAnswer, Message, Position, Publication, Refusal,
    ShardId, Terms, TopicImage, TopicName, TopicState,
};
use crate::limits::{
    HISTORIES_HALVED_MAX, POLL_KEPT_LEN_MAX, POLL_KEPT_MAX, POLL_KEPT_MS, SHED_SAMPLE, SWEEP_AGAIN_MS,
    SWEEP_INTERVAL_MS, SWEEP_PER_TURN,
};
use crate::time::MonoTime;

/// What only the home shard knows of a topic.
#[derive(Debug)]
pub(super) struct Home {
    /// The topic's name, which all its publications share.
    pub name: TopicName,
    pub voice: Voice,
    epoch: Epoch,
    offset: u64,
    pub last: Option<Arc<Publication>>,
    history: History,
    /// One bit a shard that has readers by name.
    interest: crate::command::ShardBits,
    /// Readers by name in all shards.
    readers: u32,
    /// How often one came.
    joins: u64,
    /// What the configuration says of the topic.
    settings: TopicSettings,
    /// Until when it is kept for those who poll it.
    polled_until: Option<MonoTime>,
    /// When it is next looked at for what is too old; zero for never.
    due: MonoTime,
    /// Where the topic stood when earlier epochs ended without a shutdown: what was said up to there is known.
    previous: Box<[Position]>,
}

impl Home {
    /// One of a topic that nobody reads and nothing was said in.
    fn new(name: TopicName, epoch: Epoch, settings: TopicSettings) -> Self {
        Self {
            name,
            voice: Voice::default(),
            epoch,
            offset: 0,
            last: None,
            history: History::default(),
            interest: 0,
            readers: 0,
            joins: 0,
            settings,
            polled_until: None,
            due: MonoTime::ZERO,
            previous: Box::default(),
        }
    }

    pub fn is_unused(&self) -> bool {
        self.readers == 0 && self.interest == 0 && self.offset == 0 && self.polled_until.is_none()
    }

    /// What is kept of the topic: what the configuration says, and something if it says nothing and the topic is polled.
    fn keeps(&self) -> TopicSettings {
        match self.polled_until {
            Some(_) if self.settings.history == 0 => TopicSettings {
                history: POLL_KEPT_MAX,
                history_ttl_ms: POLL_KEPT_MS,
                history_len_max: POLL_KEPT_LEN_MAX,
                ..self.settings
            },
            _ => self.settings,
        }
    }

    /// Forgets what is too old, and that the topic was polled if that is long ago.
    fn expire(&mut self, now: MonoTime) {
        self.polled_until = self.polled_until.filter(|until| now < *until);
        let kept = self.keeps();
        if kept.history == 0 {
            self.history = History::default();
        }
        self.history.expire(now, &kept);
    }

    /// When something of it is too old next.
    fn next_due(&self) -> Option<MonoTime> {
        let ttl_ms = self.keeps().history_ttl_ms;
        let oldest = self.history.oldest().filter(|_| ttl_ms > 0).map(|time| time.plus_millis(ttl_ms));
        [oldest, self.polled_until].into_iter().flatten().min()
    }

    fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.offset }
    }

    /// Begins where the last run of the process, or an epoch before this one, ended.
    pub fn begin_at(&mut self, position: Position, previous: Vec<Position>) {
        (self.epoch, self.offset) = (position.epoch, position.offset);
        self.previous = previous.into();
    }

    /// Readers by name, and how often one came.
    pub fn readers(&self) -> (u32, u64) {
        (self.readers, self.joins)
    }

    pub fn keeps_history(&self) -> bool {
        self.settings.history > 0
    }

    /// The last value, if there is one, with every pattern that matches the topic.
    pub fn match_last(
        &mut self,
        patterns: &PatternTable,
        visits: &mut usize,
    ) -> Option<(&Arc<Publication>, &[PatternId])> {
        let last = self.last.as_ref()?;
        Some((last, self.voice.match_patterns(self.name.as_str(), patterns, visits)))
    }

    /// What is kept, to be written down.
    pub fn image(&self) -> TopicImage {
        let mut publications = self.history.to_vec();
        if publications.is_empty() {
            publications.extend(self.last.clone());
        }
        let (topic, position, previous) = (self.name.clone(), self.position(), self.previous.to_vec());
        TopicImage { topic, position, previous, has_last: self.last.is_some(), publications }
    }

    /// The offset of a position of this epoch, or of an earlier one up to where that is known; `None` for any other.
    fn offset_of(&self, position: Position) -> Option<u64> {
        let is_in = |end: &Position| end.epoch == position.epoch && position.offset <= end.offset;
        (position.epoch == self.epoch || self.previous.iter().any(is_in)).then_some(position.offset)
    }

    /// What was said since a position, if all of it is kept.
    fn missed(&self, since: Position) -> Option<Vec<Arc<Publication>>> {
        let since = self.offset_of(since)?;
        let by_last = || {
            let missed = self.offset.checked_sub(since)?;
            let last = self.last.iter().filter(|_| missed == 1);
            let publications: Vec<_> = last.cloned().collect();
            (publications.len() as u64 == missed).then_some(publications)
        };
        self.history.since(since, self.offset).or_else(by_last)
    }

    /// Payload bytes kept. What stands in the history and is the last value counts as the last value.
    pub fn kept(&self) -> Kept {
        let last = self.last.as_ref().map_or(0, |last| last.payload.len() as u64);
        Kept { last, history: self.history.len().saturating_sub(last) }
    }
}

/// Payload bytes kept, each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Last values.
    pub last: u64,
    /// Histories, without the last values in them.
    pub history: u64,
}

impl Kept {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        self.last + self.history
    }

    pub(super) fn change(&mut self, before: Self, after: Self) {
        self.last = self.last - before.last + after.last;
        self.history = self.history - before.history + after.history;
    }
}

/// A publication that has its number, and where it must go.
#[derive(Debug)]
pub struct Published {
    /// The publication.
    pub publication: Arc<Publication>,
    /// One bit a shard with readers, this one included.
    pub shards: crate::command::ShardBits,
}

/// What became of a publication that was not refused.
#[derive(Debug)]
pub enum Outcome {
    /// It goes out.
    Said(Published),
    /// It was taken before, under this position.
    Repeated(Position),
}

const MOVED: Refusal = Refusal::new(ErrorCode::Moved, "the topic does not stand there");

impl Hub {
    /// Numbers a publication, keeps it, and says which shards must get it. This shard is the home.
    ///
    /// # Errors
    /// `overloaded` for a new topic past the limit of topics, `Moved` if the publisher's condition does not hold.
    pub fn publish(&mut self, now: MonoTime, topic: &TopicName, message: Message) -> Result<Outcome, Refusal> {
        let Message { kind, payload, key, origin, terms } = message;
        let terms = terms.map(|terms| *terms).unwrap_or_default();
        if let Some(result) = self.check_terms(now, topic, &terms) {
            return result.map(Outcome::Repeated);
        }
        let id = self.ensure_home(topic)?;
        let matching = self.topics.match_patterns(id, &self.patterns, &mut self.visits);
        let mut shards = matching.iter().fold(0, |shards, &pattern| shards | self.patterns.interest(pattern));
        let home = self.topics.home_mut(id).expect("ensure_home made it");
        home.offset += 1;
        shards |= home.interest;
        let (topic, position) = (home.name.clone(), home.position());
        let publication = Arc::new(Publication { topic, position, kind, payload, key, origin, time: now });
        self.keep(id, &publication);
        if let Some(message_id) = terms.message_id {
            self.message_ids.insert(now, id, message_id, position.offset);
        }
        Ok(Outcome::Said(Published { publication, shards }))
    }

    /// Whether a publication's terms keep it from being said: it was said before, or the topic stands elsewhere.
    fn check_terms(&self, now: MonoTime, topic: &TopicName, terms: &Terms) -> Option<Result<Position, Refusal>> {
        if terms.message_id.is_none() && terms.condition.is_none() {
            return None;
        }
        let id = self.find(topic.as_str());
        let position = id.and_then(|id| self.position(id));
        if let (Some(id), Some(position), Some(message_id)) = (id, position, &terms.message_id)
            && let Some(offset) = self.message_ids.find(now, id, message_id)
        {
            return Some(Ok(Position { offset, ..position }));
        }
        let holds = match terms.condition {
            None => true,
            Some(Condition::At(wanted)) => position.unwrap_or_else(|| self.quiet_position(topic.as_str())) == wanted,
            Some(Condition::Nothing) => position.is_none_or(|position| position.offset == 0),
        };
        (!holds).then_some(Err(Refusal { position, ..MOVED }))
    }

    /// Keeps a publication as the last value and in the history, as far as the bytes kept have room.
    pub(super) fn keep(&mut self, id: TopicId, publication: &Arc<Publication>) {
        let home = self.topics.home_mut(id).expect("only a home keeps");
        let before = home.kept();
        home.last = None;
        let kept = home.keeps();
        home.history.push(publication, &kept);
        home.last = home.settings.last.then(|| Arc::clone(publication));
        let after = home.kept();
        self.kept.change(before, after);
        if kept.history > 0 && kept.history_ttl_ms > 0 {
            self.line_up(id, publication.time.plus_millis(kept.history_ttl_ms));
        }
        while self.kept.total() > self.settings.retained_len_max {
            if !self.shed(id) {
                self.forget(id);
                break;
            }
        }
    }

    /// Frees half of the history that is the largest among some, beside the last values; `false` if that is nothing.
    fn shed(&mut self, newest: TopicId) -> bool {
        let has_shed = self.shed_sample(Some(newest));
        self.sheds.0 += u64::from(has_shed);
        has_shed
    }

    /// Frees histories, the largest among some by its older half again and again, until so many bytes are free or none
    /// is found; returns how many were halved.
    pub fn shed_history(&mut self, len: u64) -> u64 {
        let (end, mut halved, mut found_nothing) = (self.kept.history.saturating_sub(len), 0, 0);
        // Samples go round the table: none is left where a whole round finds nothing.
        let samples = self.topics.places().div_ceil(SHED_SAMPLE);
        while self.kept.history > end && halved < HISTORIES_HALVED_MAX && found_nothing < samples {
            let has_shed = self.shed_sample(None);
            halved += u64::from(has_shed);
            found_nothing = if has_shed { 0 } else { found_nothing + 1 };
        }
        halved
    }

    fn shed_sample(&mut self, newest: Option<TopicId>) -> bool {
        let sample = self.topics.sample(self.sweep_at, SHED_SAMPLE);
        let past_len = |id: &TopicId| self.topics.home(*id).map_or(0, |home| home.kept().history);
        let largest = sample.chain(newest).max_by_key(past_len).filter(|id| past_len(id) > 0);
        self.sweep_at = self.sweep_at.wrapping_add(SHED_SAMPLE);
        let Some(home) = largest.and_then(|id| self.topics.home_mut(id)) else { return false };
        let before = home.kept();
        home.history.drop_half();
        let after = home.kept();
        self.kept.change(before, after);
        after.total() < before.total()
    }

    /// Keeps nothing of a topic, so that its value is delivered and the bytes kept are what they were before it.
    fn forget(&mut self, id: TopicId) {
        if let Some(home) = self.topics.home_mut(id) {
            self.kept.change(home.kept(), Kept::default());
            home.history = History::default();
            home.last = None;
            self.sheds.1 += 1;
        }
    }

    /// Looks at a topic at a time, if it is not looked at before.
    fn line_up(&mut self, id: TopicId, at: MonoTime) {
        if let Some(home) = self.topics.home_mut(id)
            && (home.due == MonoTime::ZERO || at < home.due)
        {
            home.due = at;
            self.due.push(Reverse((at, id.0)));
        }
    }

    /// Forgets what has grown too old in the topics that are due, a few in a turn, because they lie in no cache. A topic
    /// that has more is looked at again, but not at once, so that a busy one costs no look for each of its messages.
    pub fn sweep(&mut self, now: MonoTime) {
        if now < self.sweep_next {
            return;
        }
        for look in 1..=SWEEP_PER_TURN {
            let Some(&Reverse((at, place))) = self.due.peek().filter(|Reverse((at, _))| *at <= now) else { break };
            self.due.pop();
            let id = TopicId(place);
            // What was lined up anew, or is another topic by now, stands there under another time.
            if let Some(home) = self.topics.home_mut(id).filter(|home| home.due == at) {
                home.due = MonoTime::ZERO;
                self.expire(now, id);
                let next = self.topics.home(id).and_then(Home::next_due);
                next.into_iter().for_each(|next| self.line_up(id, next.max(now.plus_millis(SWEEP_AGAIN_MS))));
                self.release(id);
            }
            if look == SWEEP_PER_TURN {
                self.sweep_next = now.plus_millis(SWEEP_INTERVAL_MS);
            }
        }
        if self.due.is_empty() {
            self.due.shrink_to(0);
        }
    }

    /// When [`Hub::sweep`] has something to do.
    #[must_use]
    pub fn next_sweep(&self) -> Option<MonoTime> {
        self.due.peek().map(|Reverse((at, _))| (*at).max(self.sweep_next))
    }

    /// Notes that a topic that has its home here is polled: it is kept for a while, and what is said in it.
    pub fn note_poll(&mut self, now: MonoTime, topic: &str) {
        let until = now.plus_millis(POLL_KEPT_MS);
        if let Some(id) = self.find(topic)
            && let Some(home) = self.settled_home(id)
        {
            home.polled_until = Some(until);
            self.line_up(id, until);
        }
        self.message_ids.forget(now);
    }

    pub(super) fn expire(&mut self, now: MonoTime, id: TopicId) {
        if let Some(home) = self.topics.home_mut(id) {
            let before = home.kept();
            home.expire(now);
            self.kept.change(before, home.kept());
        }
    }

    /// What is kept of a topic that has its home here; `None` if nobody reads or published it.
    pub fn history(&mut self, now: MonoTime, topic: &str, query: HistoryQuery) -> Option<HistoryAnswer> {
        let id = self.find(topic)?;
        self.expire(now, id);
        let position = self.position(id)?;
        let Some(home) = self.topics.home(id) else {
            return Some(HistoryAnswer { position, publications: Vec::new() });
        };
        // A position of an earlier epoch is as good as one of this.
        let since = query.since.and_then(|since| home.offset_of(since));
        let query = HistoryQuery { since: since.map(|offset| Position { offset, ..position }), ..query };
        let publications = if home.settings.history > 0 {
            home.history.read(query, position)
        } else {
            // A topic without a history has its last value.
            let since = since.unwrap_or(0);
            let last = home.last.iter().filter(|last| last.position.offset > since);
            last.take(query.limit as usize).cloned().collect()
        };
        Some(HistoryAnswer { position, publications })
    }

    /// Counts a reader of shard `from` and says where the topic stands. This shard is the home.
    ///
    /// # Errors
    /// `overloaded` for a new topic past the limit of topics.
    pub fn join(
        &mut self,
        now: MonoTime,
        topic: &TopicName,
        from: ShardId,
        since: Option<Position>,
        wants_last: bool,
    ) -> Result<JoinAnswer, Refusal> {
        let known = self.find(topic.as_str());
        if known.is_none_or(|id| self.topics.state(id) == State::Silent) {
            let position = self.join_private(topic, known, from)?;
            // Nothing was ever said in it, so that nothing was missed by who knows the position.
            let recovered = since.map(|since| since == position);
            return Ok(JoinAnswer { position, recovered, publications: Vec::new() });
        }
        let id = self.ensure_home_of(topic, known)?;
        self.expire(now, id);
        let home = self.topics.home_mut(id).expect("ensure_home made it");
        home.readers += 1;
        home.joins += 1;
        home.interest |= 1 << from.0;
        let position = home.position();
        let missed = since.map(|since| home.missed(since));
        let last = || Vec::from_iter(home.last.clone().filter(|_| wants_last));
        let recovered = missed.as_ref().map(Option::is_some);
        let publications = missed.flatten().unwrap_or_else(last);
        Ok(JoinAnswer { position, recovered, publications })
    }

    /// A reader of shard `from` left; `is_last` if the shard has no other. This shard is the home.
    pub fn leave(&mut self, topic: &str, from: ShardId, is_last: bool) {
        let Some(id) = self.find(topic) else { return };
        if is_last && matches!(self.topics.state(id), State::Private { reader, .. } if reader == from) {
            self.topics.set_state(id, State::Silent);
            self.homes -= 1;
        } else if let Some(home) = self.settled_home(id) {
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
        let (presence, position) = (self.presence(id)?, self.position(id)?);
        let home = self.topics.home(id);
        let Kept { last: last_len, history: history_len } = home.map(Home::kept).unwrap_or_default();
        let last = home.and_then(|home| home.last.clone());
        Some(TopicState { position, presence, last, last_len, history_len })
    }

    pub(super) fn ensure_home(&mut self, topic: &TopicName) -> Result<TopicId, Refusal> {
        self.ensure_home_of(topic, self.find(topic.as_str()))
    }

    fn ensure_home_of(&mut self, topic: &TopicName, known: Option<TopicId>) -> Result<TopicId, Refusal> {
        debug_assert_eq!(self.home_of(topic.as_str()), self.settings.shard, "a topic is asked for at its home");
        if let Some(id) = known.filter(|&id| self.settled_home(id).is_some()) {
            return Ok(id);
        }
        self.check_room()?;
        self.homes += 1;
        let (id, Position { epoch, .. }) = (self.ensure(topic), self.quiet_position(topic.as_str()));
        let settings = self.settings.rules.find(topic.as_str());
        self.topics.set_home(id, Home::new(topic.clone(), epoch, settings));
        Ok(id)
    }

    /// Notes the first reader of a topic that there is nothing else to; returns where the topic stands.
    fn join_private(&mut self, topic: &TopicName, id: Option<TopicId>, reader: ShardId) -> Result<Position, Refusal> {
        debug_assert_eq!(self.home_of(topic.as_str()), self.settings.shard, "a topic is asked for at its home");
        self.check_room()?;
        self.homes += 1;
        let id = id.unwrap_or_else(|| self.ensure(topic));
        self.topics.set_state(id, State::Private { reader });
        Ok(self.quiet_position(topic.as_str()))
    }

    fn check_room(&self) -> Result<(), Refusal> {
        if self.homes >= self.settings.topics_max {
            return Err(Refusal::new(ErrorCode::Overloaded, "the gateway is at its limit of topics"));
        }
        Ok(())
    }

    /// The home of a topic, if it has its home here; a private one has it in a place of its own from now on.
    pub(super) fn settled_home(&mut self, id: TopicId) -> Option<&mut Home> {
        if let State::Private { reader } = self.topics.state(id) {
            let name = self.topics.owned_name(id);
            let settings = self.settings.rules.find(name.as_str());
            let Position { epoch, .. } = self.quiet_position(name.as_str());
            let home = Home::new(name, epoch, settings);
            self.topics.set_home(id, Home { interest: 1 << reader.0, readers: 1, joins: 1, ..home });
        }
        self.topics.home_mut(id)
    }

    /// Where a topic stands that has its home here.
    fn position(&self, id: TopicId) -> Option<Position> {
        match self.topics.state(id) {
            State::Private { .. } => Some(self.quiet_position(self.topics.name(id))),
            _ => self.topics.home(id).map(Home::position),
        }
    }

    /// Where a topic stands in which nothing was said. Its epoch follows from its name, so that nothing is kept for it
    /// and a reader may leave and come back to it.
    fn quiet_position(&self, topic: &str) -> Position {
        Position { epoch: self.epoch(topic, 0), offset: 0 }
    }

    /// An epoch of a topic, different at each start and in each of its lives; 32 bits, so that positions stay short.
    pub(super) fn epoch(&self, topic: &str, life: u64) -> Epoch {
        let mut hasher = SipHasher13::new_with_keys(self.epoch_seed, life);
        hasher.write(topic.as_bytes());
        Epoch(hasher.finish() >> 32)
    }

    /// Keeps the history of a topic and no last value.
    pub(super) fn forget_last(&mut self, id: TopicId) {
        if let Some(home) = self.topics.home_mut(id) {
            let before = home.kept();
            home.last = None;
            self.kept.change(before, home.kept());
        }
    }
}

const _: () = assert!(size_of::<Home>() <= 224);

/// The shard of so many that a hash belongs to.
pub(super) fn spread(hash: u32, shards: usize) -> ShardId {
    ShardId(((u64::from(hash) * shards as u64) >> 32) as u8)
}

/// What the epochs of a process follow from, the same in all its shards; the key cannot be worked out from it.
#[must_use]
pub fn epoch_seed(hash_key: (u64, u64)) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(hash_key.0, hash_key.1);
    hasher.write(b"the seed of epochs, which is no topic");
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::rules::{TopicRule, TopicRules};
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
        hub.join(MonoTime::ZERO, &topic("a"), ShardId(3), None, true).expect("there is room");
        hub.join(MonoTime::ZERO, &topic("a"), ShardId(3), None, true).expect("there is room");
        hub.join(MonoTime::ZERO, &topic("a"), ShardId(127), None, true).expect("there is room");
        assert_eq!(say(&mut hub, "a", "x").shards, 1 << 3 | 1 << 127);
        hub.leave("a", ShardId(3), false);
        assert_eq!(say(&mut hub, "a", "x").shards, 1 << 3 | 1 << 127);
        hub.leave("a", ShardId(3), true);
        assert_eq!(say(&mut hub, "a", "x").shards, 1 << 127);
        assert_eq!(hub.state("a").expect("the topic is there").presence.readers, 1);
    }

    #[test]
    fn a_topic_that_one_reads_and_nobody_spoke_in_is_like_any_other() {
        let now = MonoTime::ZERO;
        let mut hub = hub(1, 100, 1_000);
        let a = topic("a");
        let answer = hub.join(now, &a, ShardId(3), None, true).expect("there is room");
        let since = answer.position;
        assert_eq!((since.offset, answer.recovered, answer.publications.len()), (0, None, 0));
        assert_eq!(hub.sizes().topics, 1);
        let state = hub.state("a").expect("it is read");
        assert_eq!((state.position, state.last), (since, None));
        assert_eq!((state.presence.readers, state.presence.joins, state.presence.leaves), (1, 1, 0));
        let history = hub.history(now, "a", HistoryQuery::ALL).expect("it is read");
        assert_eq!((history.position, history.publications.len()), (since, 0));
        let at = |position| Message {
            terms: Some(Box::new(Terms { condition: Some(Condition::At(position)), ..Terms::default() })),
            ..Message::text(b"x")
        };
        let elsewhere = Position { offset: 1, ..since };
        let refused = hub.publish(now, &a, at(elsewhere)).map(|_| ()).map_err(|refusal| refusal.position);
        assert_eq!(refused, Err(Some(since)));
        let Ok(Outcome::Said(said)) = hub.publish(now, &a, at(since)) else { panic!("it stands there") };
        assert_eq!((said.publication.position, said.shards), (elsewhere, 1 << 3));
        let again = hub.join(now, &a, ShardId(4), Some(since), true).expect("there is room");
        assert_eq!((again.recovered, again.publications.len()), (Some(true), 1));
        assert_eq!(hub.state("a").expect("it is read").presence.readers, 2);
    }

    #[test]
    fn the_one_reader_of_a_topic_may_leave_while_another_of_its_shard_joins() {
        let mut hub = hub(1, 100, 1_000);
        let join =
            |hub: &mut Hub| hub.join(MonoTime::ZERO, &topic("a"), ShardId(3), None, true).expect("there is room");
        let first = join(&mut hub).position;
        hub.leave("a", ShardId(3), false);
        assert_eq!(hub.state("a").expect("its shard holds it").presence.readers, 0);
        assert_eq!(join(&mut hub).position, first);
        hub.leave("a", ShardId(3), true);
        hub.end_turn();
        assert_eq!((hub.sizes().topics, hub.sizes().entries), (0, 0));
        assert_eq!(join(&mut hub).position, first, "nothing was said meanwhile");
        hub.leave("a", ShardId(3), true);
        hub.end_turn();
        assert_eq!((hub.sizes().topics, hub.sizes().entries), (0, 0));
    }

    #[test]
    fn a_reader_is_told_whether_it_missed_something() {
        let mut hub = hub(1, 100, 1_000);
        say(&mut hub, "a", "one");
        let position = say(&mut hub, "a", "two").publication.position;
        let mut join = |since: Option<Position>, last| {
            let answer = hub.join(MonoTime::ZERO, &topic("a"), ShardId(0), since, last).expect("there is room");
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
    fn a_topic_that_nothing_was_said_in_stands_where_it_stood_whoever_comes_and_goes() {
        let now = MonoTime::ZERO;
        let mut hub = hub(1, 100, 1_000);
        let a = topic("a");
        let visit = |hub: &mut Hub, since| {
            let answer = hub.join(now, &a, ShardId(0), since, true).expect("there is room");
            hub.leave("a", ShardId(0), true);
            hub.end_turn();
            assert_eq!(hub.sizes().entries, usize::from(answer.position.offset > 0));
            answer
        };
        let first = visit(&mut hub, None).position;
        let again = visit(&mut hub, Some(first));
        assert_eq!((again.position, again.recovered), (first, Some(true)));
        let at = |condition| Message {
            terms: Some(Box::new(Terms { condition: Some(condition), ..Terms::default() })),
            ..Message::text(b"x")
        };
        let elsewhere = Position { epoch: Epoch(first.epoch.0 ^ 1), offset: 0 };
        assert!(hub.publish(now, &topic("a"), at(Condition::At(elsewhere))).is_err());
        assert!(hub.publish(now, &topic("a"), at(Condition::At(first))).is_ok(), "it stands there, read or not");
        let missed = visit(&mut hub, Some(first));
        assert_eq!((missed.recovered, missed.publications.len()), (Some(true), 1));
        assert_ne!(hub.epoch("a", 0), hub.epoch("b", 0));
        assert_ne!(hub.epoch("a", 0), hub.epoch("a", 1));
    }

    #[test]
    fn past_the_limit_of_topics_a_new_one_is_refused_and_an_old_one_goes_on() {
        let mut hub = hub(1, 2, 1_000);
        say(&mut hub, "a", "x");
        hub.join(MonoTime::ZERO, &topic("b"), ShardId(0), None, true).expect("there is room");
        let refused = hub.publish(MonoTime::ZERO, &topic("c"), Message::text(b""));
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

    #[test]
    fn the_limit_of_bytes_holds_for_topics_with_a_history_of_one() {
        let mut hub = hub(1, 1_000, 1_000);
        let settings = TopicSettings { history: 10, ..TopicSettings::default() };
        let pattern = crate::command::Target::parse(">").expect("a pattern");
        hub.settings.rules = Arc::new(TopicRules::new(vec![TopicRule { pattern, settings }]));
        for round in 0..3 {
            for n in 0..100 {
                say(&mut hub, &format!("t.{n}"), &"x".repeat(90 + round));
                assert!(hub.sizes().retained_len <= 1_000, "{} bytes are kept", hub.sizes().retained_len);
            }
        }
        say(&mut hub, "big", &"x".repeat(2_000));
        assert!(hub.sizes().retained_len <= 1_000);
        let summed: u64 = (0..hub.topics.places())
            .filter_map(|place| hub.topics.home(TopicId(place as u32)))
            .map(|home| home.kept().total())
            .sum();
        assert_eq!(hub.sizes().retained_len, summed);
    }

    #[test]
    fn what_is_too_old_goes_by_and_by_and_a_look_is_not_followed_by_another_at_once() {
        let mut hub = hub(1, 1_000, 1 << 30);
        let settings = TopicSettings { history: 10, history_ttl_ms: 1_000, ..TopicSettings::default() };
        let pattern = crate::command::Target::parse(">").expect("a pattern");
        hub.settings.rules = Arc::new(TopicRules::new(vec![TopicRule { pattern, settings }]));
        let topics = 4 * SWEEP_PER_TURN;
        for n in 0..2 * topics {
            say(&mut hub, &format!("t.{}", n % topics), "x");
        }
        let held = |hub: &Hub| hub.sizes().kept.history as usize;
        assert_eq!(held(&hub), topics, "the older of two, the newer is the last value");
        let mut now = MonoTime::ZERO.plus_millis(5_000);
        for looks in 1..=4 {
            hub.sweep(now);
            hub.sweep(now);
            assert_eq!(held(&hub), topics - looks * SWEEP_PER_TURN);
            now = now.plus_millis(SWEEP_INTERVAL_MS);
        }
        assert_eq!((hub.next_sweep(), hub.due.capacity()), (None, 0), "nothing is left to wait for");
    }

    #[test]
    fn a_topic_is_due_when_its_oldest_is_too_old_and_a_busy_one_not_for_each_of_its_messages() {
        let mut hub = hub(1, 1_000, 1 << 30);
        let settings = TopicSettings { history: 1_000, history_ttl_ms: 2_000, ..TopicSettings::default() };
        let pattern = crate::command::Target::parse(">").expect("a pattern");
        hub.settings.rules = Arc::new(TopicRules::new(vec![TopicRule { pattern, settings }]));
        let at = |ms| MonoTime::ZERO.plus_millis(ms);
        for n in 0..100 {
            hub.publish(at(n * 10), &topic("a"), Message::text(b"x")).expect("there is room");
        }
        let mut looks = Vec::new();
        while let Some(next) = hub.next_sweep() {
            hub.sweep(next);
            looks.push((next.as_millis(), hub.sizes().kept.history));
        }
        assert_eq!(looks, [(2_000, 98), (3_000, 0)]);
    }

    #[test]
    fn histories_are_halved_the_largest_first_until_enough_is_free() {
        let mut hub = hub(1, 1_000, 1 << 30);
        let settings = TopicSettings { history: 1_000, ..TopicSettings::default() };
        let pattern = crate::command::Target::parse(">").expect("a pattern");
        hub.settings.rules = Arc::new(TopicRules::new(vec![TopicRule { pattern, settings }]));
        for n in 0..20 {
            let count = if n == 7 { 100 } else { 3 };
            (0..count).for_each(|_| drop(say(&mut hub, &format!("t.{n}"), &"x".repeat(100))));
        }
        let before = hub.sizes().kept;
        assert_eq!((before.last, before.history), (2_000, 9_900 + 19 * 200));
        assert_eq!(hub.shed_history(4_000), 1);
        let kept = |hub: &mut Hub, topic: &str| hub.state(topic).expect("the topic is there").history_len;
        assert_eq!((kept(&mut hub, "t.7"), kept(&mut hub, "t.8")), (4_900, 200));
        hub.shed_history(u64::MAX);
        let after = hub.sizes().kept;
        assert_eq!((after.last, after.history), (2_000, 0), "last values stay");
        assert_eq!(hub.shed_history(1), 0);
    }
}
