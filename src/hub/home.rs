//! The home of a topic: its numbers, its last value, and the shards that have readers. How long things are kept is in
//! `retention`.

pub(super) mod change;
mod ending;
mod retention;
mod taking;

pub(super) use ending::Lives;
pub use retention::Kept;

use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use super::Hub;
use super::history::History;
use super::images::OpenImage;
use super::patterns::{PatternId, PatternTable};
use super::rules::TopicSettings;
use super::topic::{State, Voice};
use super::topic_table::TopicId;
use crate::command::{
    Condition, Epoch, ErrorCode, HistoryAnswer, HistoryQuery, JoinAnswer, LastImage, Message, Position, Publication,
    Refusal, ShardId, ShardSet, Terms, TopicImage, TopicName, TopicState,
};
use crate::time::MonoTime;

/// The part of a topic that only its home shard has.
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
    interest: ShardSet,
    /// Readers by name in all shards.
    readers: u32,
    /// How often one came.
    joins: u64,
    /// The settings of the topic, by its rule.
    settings: TopicSettings,
    /// Until when it is kept for clients that poll it.
    polled_until: Option<MonoTime>,
    /// When it is next looked at for what is too old; zero for never.
    due: MonoTime,
    /// When something was last said in it, or the last reader left; in seconds.
    quiet_since_s: u32,
    /// It is to end as soon as nobody reads it.
    ends: bool,
    /// The positions of the topic when earlier epochs ended without a shutdown: publications up to there are known.
    previous: Box<[Position]>,
}

impl Home {
    /// One of a topic without readers and publications.
    fn new(name: TopicName, epoch: Epoch, settings: TopicSettings) -> Self {
        Self {
            name,
            voice: Voice::default(),
            epoch,
            offset: 0,
            last: None,
            history: History::default(),
            interest: ShardSet::EMPTY,
            readers: 0,
            joins: 0,
            settings,
            polled_until: None,
            due: MonoTime::ZERO,
            quiet_since_s: 0,
            ends: false,
            previous: Box::default(),
        }
    }

    pub fn is_unused(&self) -> bool {
        self.readers == 0 && self.interest.is_empty() && self.offset == 0 && self.polled_until.is_none()
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

    /// Begins the image of the topic for a snapshot; `None` without a publication, since there is nothing to remember.
    pub fn begin_image(&self) -> Option<OpenImage> {
        if self.offset == 0 {
            return None;
        }
        let (topic, position, previous) = (self.name.clone(), self.position(), self.previous.to_vec());
        let publications = Vec::with_capacity(self.history.count());
        let image = TopicImage { topic, position, previous, last: LastImage::None, publications };
        Some(OpenImage { image, last: self.last.clone() })
    }

    /// Adds at most `count` older publications to an image of this topic; `true` if there are no more. Publications that
    /// the history drops meanwhile are missing at the old end.
    pub fn extend_image(&self, open: &mut OpenImage, count: usize) -> bool {
        let image = &mut open.image;
        if image.position.epoch != self.epoch {
            return true;
        }
        let before = image.publications.last().map_or(image.position.offset + 1, |oldest| oldest.position.offset);
        let older = self.history.before(before);
        let had = image.publications.len();
        image.publications.extend(older.take(count).cloned());
        image.publications.len() - had < count
    }

    /// The offset of a position of this epoch, or of an earlier one up to where that is known; `None` for any other.
    fn offset_of(&self, position: Position) -> Option<u64> {
        let is_in = |end: &Position| end.epoch == position.epoch && position.offset <= end.offset;
        (position.epoch == self.epoch || self.previous.iter().any(is_in)).then_some(position.offset)
    }

    /// The publications after a position, if all of it is kept, the first of it up to `len_max` payload bytes.
    fn missed(&self, since: Position, len_max: usize) -> Option<Vec<Arc<Publication>>> {
        let since = self.offset_of(since)?;
        let by_last = || {
            if since == self.offset {
                return Some(Vec::new());
            }
            // The newest, if the one before it is what the reader has.
            let last = self.last.as_ref().filter(|last| last.position.offset == self.offset && last.prev == since)?;
            Some(vec![Arc::clone(last)])
        };
        self.history.since(since, self.offset, len_max).or_else(by_last)
    }
}

/// A publication that has its number, and where it must go.
#[derive(Debug)]
pub struct Published {
    pub publication: Arc<Publication>,
    /// The shards with readers, this one included.
    pub shards: ShardSet,
}

/// The outcome of a publication that was not refused.
#[derive(Debug)]
pub enum Outcome {
    /// It goes out.
    Said(Published),
    /// It was taken before, under this position.
    Repeated(Position),
}

const MOVED: Refusal = Refusal::new(ErrorCode::Moved, "the topic does not stand there");

impl Hub {
    /// The shards with a reader of a pattern that matches.
    #[inline]
    fn pattern_interest(&mut self, id: TopicId) -> ShardSet {
        let matching = self.topics.match_patterns(id, &self.patterns, self.visits.get_mut());
        matching.iter().fold(ShardSet::EMPTY, |shards, &pattern| shards | self.patterns.interest(pattern))
    }

    /// Numbers a publication, keeps it, and says which shards must get it. This shard is the home.
    ///
    /// # Errors
    /// `overloaded` for a new topic past the limit of topics, `Moved` if the publisher's condition does not hold.
    pub fn publish(&mut self, now: MonoTime, topic: &TopicName, message: Message) -> Result<Outcome, Refusal> {
        let Message { kind, payload, key, origin, terms, extras } = message;
        let terms = terms.map(|terms| *terms).unwrap_or_default();
        if let Some(result) = self.check_terms(now, topic, &terms) {
            return result.map(Outcome::Repeated);
        }
        let id = self.ensure_home(topic)?;
        let mut shards = self.pattern_interest(id);
        let home = self.topics.home_mut(id).expect("ensure_home made it");
        let prev = home.offset;
        home.offset += 1;
        home.note_quiet(now);
        home.ends = false;
        shards |= home.interest;
        let (topic, position) = (home.name.clone(), home.position());
        let publication =
            Arc::new(Publication { topic, position, prev, kind, payload, key, origin, time: now, extras });
        self.keep(id, &publication);
        if let Some(message_id) = terms.message_id {
            self.message_ids.insert(now, terms.owner, scope(id, position), message_id, position.offset);
        }
        Ok(Outcome::Said(Published { publication, shards }))
    }

    /// Whether a publication's terms keep it from being published: it was published before, or the topic has another
    /// position.
    fn check_terms(&self, now: MonoTime, topic: &TopicName, terms: &Terms) -> Option<Result<Position, Refusal>> {
        if terms.message_id.is_none() && terms.condition.is_none() {
            return None;
        }
        let id = self.find(topic.as_str());
        let position = id.and_then(|id| self.position(id));
        if let (Some(id), Some(position), Some(message_id)) = (id, position, &terms.message_id)
            && let Some(offset) = self.message_ids.find(now, scope(id, position), message_id)
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

    /// The state of a topic that has its home here; `None` if nobody reads or published it.
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
        self.join_for(now, topic, from, since, wants_last, (usize::MAX, false))
    }

    /// The same for a reader that takes only so many bytes of what it missed, at least one publication, and comes back for
    /// the rest; or, if it `skips`, has lost it all if that is more.
    ///
    /// # Errors
    /// As [`Hub::join`].
    pub fn join_for(
        &mut self,
        now: MonoTime,
        topic: &TopicName,
        from: ShardId,
        since: Option<Position>,
        wants_last: bool,
        (len_max, skips): (usize, bool),
    ) -> Result<JoinAnswer, Refusal> {
        let known = self.find(topic.as_str());
        if known.is_none_or(|id| self.topics.state(id) == State::Silent) {
            let position = self.join_private(topic, known, from)?;
            // Nothing was ever published in it, so that a reader that knows the position missed nothing.
            let recovered = since.map(|since| since == position);
            return Ok(JoinAnswer { position, recovered, publications: Vec::new() });
        }
        let id = self.ensure_home_of(topic, known)?;
        self.expire(now, id);
        let home = self.topics.home_mut(id).expect("ensure_home made it");
        home.readers += 1;
        home.joins += 1;
        home.interest.insert(from);
        let position = home.position();
        let is_whole = |missed: &Vec<Arc<Publication>>| {
            !skips || missed.last().is_none_or(|last| last.position.offset == position.offset)
        };
        let missed = since.map(|since| home.missed(since, len_max).filter(is_whole));
        let last = || Vec::from_iter(home.last.clone().filter(|_| wants_last));
        let recovered = missed.as_ref().map(Option::is_some);
        let publications = missed.flatten().unwrap_or_else(last);
        Ok(JoinAnswer { position, recovered, publications })
    }

    /// What follows a position in a topic that has its home here, up to so many bytes; `None` if not all of it is kept.
    pub fn missed(
        &mut self,
        now: MonoTime,
        topic: &str,
        since: Position,
        len_max: usize,
    ) -> Option<Vec<Arc<Publication>>> {
        let id = self.find(topic)?;
        self.expire(now, id);
        self.topics.home(id)?.missed(since, len_max)
    }

    /// A reader of shard `from` left; `is_last` if the shard has no other. This shard is the home.
    pub fn leave(&mut self, now: MonoTime, topic: &str, from: ShardId, is_last: bool) {
        let Some(id) = self.find(topic) else { return };
        if is_last && matches!(self.topics.state(id), State::Private { reader, .. } if reader == from) {
            self.topics.set_state(id, State::Silent);
            self.homes -= 1;
        } else if let Some(home) = self.settled_home(id) {
            home.readers = home.readers.saturating_sub(1);
            if is_last {
                home.interest.remove(from);
            }
            home.note_quiet(now);
            if let Some(due) = home.end_due() {
                self.line_up(id, due);
            }
            self.end_if_alone(id);
        }
        self.release(id);
    }

    /// The state of a topic that has its home here; `None` if it has neither a reader nor a publication.
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
        self.check_room(false)?;
        self.homes += 1;
        let (id, Position { epoch, .. }) = (self.ensure(topic), self.quiet_position(topic.as_str()));
        let settings = self.settings.rules.find(topic.as_str());
        self.topics.set_home(id, Home::new(topic.clone(), epoch, settings));
        Ok(id)
    }

    /// Notes the first reader of a topic that there is nothing else to; returns where the topic stands.
    fn join_private(&mut self, topic: &TopicName, id: Option<TopicId>, reader: ShardId) -> Result<Position, Refusal> {
        debug_assert_eq!(self.home_of(topic.as_str()), self.settings.shard, "a topic is asked for at its home");
        self.check_room(true)?;
        self.homes += 1;
        let id = id.unwrap_or_else(|| self.ensure(topic));
        self.topics.set_state(id, State::Private { reader });
        Ok(self.quiet_position(topic.as_str()))
    }

    /// Whether there is room for one more topic. Readers leave the last quarter to publishers: a topic that only readers
    /// made keeps nobody from publishing.
    fn check_room(&self, is_read: bool) -> Result<(), Refusal> {
        let max = self.settings.topics_max;
        let max = if is_read { max.saturating_sub(max / 4) } else { max };
        if self.homes >= max {
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
            self.topics.set_home(id, Home { interest: ShardSet::one(reader), readers: 1, joins: 1, ..home });
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
        Position { epoch: self.epoch(topic, self.lives.of(self.topics.hash(topic))), offset: 0 }
    }

    /// An epoch of a topic, different at each start and in each of its lives; 32 bits, so that positions stay short.
    pub(super) fn epoch(&self, topic: &str, life: u64) -> Epoch {
        let mut hasher = SipHasher13::new_with_keys(self.epoch_seed, life);
        hasher.write(topic.as_bytes());
        Epoch(hasher.finish() >> 32)
    }
}

const _: () = assert!(size_of::<Home>() <= 240);

/// The owner of message ids: a topic in one of its lives.
fn scope(id: TopicId, position: Position) -> (TopicId, Epoch) {
    (id, position.epoch)
}

/// The shard of so many that a hash belongs to.
pub(super) fn spread(hash: u32, shards: usize) -> ShardId {
    ShardId(((u64::from(hash) * shards as u64) >> 32) as u8)
}

/// The seed of the epochs of a process, the same in all its shards; the key cannot be worked out from it.
#[must_use]
pub fn epoch_seed(hash_key: (u64, u64)) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(hash_key.0, hash_key.1);
    hasher.write(b"the seed of epochs, which is no topic");
    hasher.finish()
}

#[cfg(test)]
mod tests;
