//! The latest publications of one topic: a ring bounded by count, age and bytes, without a gap.

use std::collections::VecDeque;
use std::sync::Arc;

use super::rules::TopicSettings;
use crate::command::{HistoryQuery, Position, Publication};
use crate::limits::{HISTORY_ANSWER_LEN_MAX, HISTORY_ANSWER_MAX, REFERENCE_COST};
use crate::time::MonoTime;

/// The ring: a chain, each names the one before it. The last is the topic's newest, or the ring is empty.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: VecDeque<Arc<Publication>>,
    len: u64,
}

impl History {
    /// Adds the newest publication and drops those for which the settings have no room.
    pub fn push(&mut self, publication: &Arc<Publication>, settings: &TopicSettings) {
        if settings.history == 0 {
            return;
        }
        self.len += cost(publication);
        self.entries.push_back(Arc::clone(publication));
        self.fit(settings);
        self.expire(publication.time, settings);
    }

    /// Drops what the settings have no room for.
    pub fn fit(&mut self, settings: &TopicSettings) {
        while self.entries.len() > settings.history as usize || self.len > settings.history_len_max {
            self.drop_oldest();
        }
    }

    /// Drops publications that have grown too old.
    pub fn expire(&mut self, now: MonoTime, settings: &TopicSettings) {
        let is_old = |publication: &Arc<Publication>| {
            settings.history_ttl_ms > 0 && publication.time.plus_millis(settings.history_ttl_ms) <= now
        };
        while self.entries.front().is_some_and(is_old) {
            self.drop_oldest();
        }
    }

    /// Drops the older half, or the one there is.
    pub fn drop_half(&mut self) {
        for _ in 0..self.entries.len().div_ceil(2) {
            self.drop_oldest();
        }
        self.entries.shrink_to(2 * self.entries.len());
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.entries.pop_front() {
            self.len -= cost(&oldest);
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    /// The publications behind `offset`, if all of them are there: the first of them, up to `len_max` bytes as they are
    /// said. `newest` is the offset of the topic.
    pub fn since(&self, offset: u64, newest: u64, len_max: usize) -> Option<Vec<Arc<Publication>>> {
        if offset >= newest {
            return (offset == newest).then(Vec::new);
        }
        let skip = self.entries.partition_point(|publication| publication.position.offset <= offset);
        let first = self.entries.get(skip)?;
        // Offsets may have holes. Nothing is missing if the `prev` of the first publication is the reader's offset, or
        // an earlier one.
        let mut len = 0;
        let fits = |publication: &&Arc<Publication>| {
            let is_first = len == 0;
            len += publication.said_len() + PUSH_LEN;
            is_first || len <= len_max
        };
        (first.prev <= offset).then(|| self.entries.range(skip..).take_while(fits).cloned().collect())
    }

    /// Whether it holds a publication of the topic, by its offset: it holds all from the first on.
    pub fn has(&self, offset: u64) -> bool {
        self.entries.front().is_some_and(|first| first.position.offset <= offset)
    }

    /// The part that was asked for, within the bounds of one answer. A position of another life of the topic, or one
    /// that is too old, asks for all that is kept.
    pub fn read(&self, query: HistoryQuery, position: Position) -> Vec<Arc<Publication>> {
        let since = query.since.filter(|since| since.epoch == position.epoch).map_or(0, |since| since.offset);
        let newer = |publication: &&Arc<Publication>| publication.position.offset > since;
        let limit = HISTORY_ANSWER_MAX.min(query.limit as usize);
        let mut len = 0;
        let fits = |publication: &&Arc<Publication>| {
            let is_first = len == 0;
            len += publication.said_len() + 1;
            is_first || len <= HISTORY_ANSWER_LEN_MAX
        };
        let entries = self.entries.iter().filter(newer);
        if query.newest_first {
            entries.rev().take(limit).take_while(fits).cloned().collect()
        } else {
            entries.take(limit).take_while(fits).cloned().collect()
        }
    }

    /// What it has in front of an offset, the newest first.
    pub fn before(&self, offset: u64) -> impl Iterator<Item = &Arc<Publication>> {
        let end = self.entries.partition_point(|publication| publication.position.offset < offset);
        self.entries.range(..end).rev()
    }

    /// How many publications it has.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// When the oldest was published.
    pub fn oldest(&self) -> Option<MonoTime> {
        self.entries.front().map(|oldest| oldest.time)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes kept.
    pub fn len(&self) -> u64 {
        self.len
    }
}

/// The approximate bytes around a payload in a message.
const PUSH_LEN: usize = 32;

/// Bytes that an entry takes.
#[inline]
pub(super) fn cost(publication: &Publication) -> u64 {
    (publication.cost() + REFERENCE_COST) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Epoch, PayloadKind, TopicName};
    use crate::limits::PUBLICATION_COST;

    /// The memory of one with ten bytes.
    const ENTRY: u64 = (PUBLICATION_COST + REFERENCE_COST + 10) as u64;

    fn publication(offset: u64, time_ms: u64) -> Arc<Publication> {
        Arc::new(Publication {
            topic: TopicName::parse("a").expect("a valid name"),
            position: Position { epoch: Epoch(1), offset },
            prev: offset.saturating_sub(1),
            kind: PayloadKind::Text,
            payload: [b'x'; 10].into(),
            key: None,
            origin: None,
            time: MonoTime::ZERO.plus_millis(time_ms),
            extras: None,
        })
    }

    fn offsets(publications: &[Arc<Publication>]) -> Vec<u64> {
        publications.iter().map(|publication| publication.position.offset).collect()
    }

    #[test]
    fn the_ring_holds_its_three_bounds() {
        let by_count = TopicSettings { history: 3, ..TopicSettings::default() };
        let by_age = TopicSettings { history: 100, history_ttl_ms: 25, ..TopicSettings::default() };
        let by_bytes = TopicSettings { history: 100, history_len_max: 4 * ENTRY + 5, ..TopicSettings::default() };
        for (settings, kept) in [(by_count, 7), (by_age, 7), (by_bytes, 6), (TopicSettings::default(), 10)] {
            let mut history = History::default();
            for offset in 1..=9 {
                history.push(&publication(offset, offset * 10), &settings);
            }
            let expected: Vec<u64> = (kept..=9).collect();
            let position = Position { epoch: Epoch(1), offset: 9 };
            assert_eq!(offsets(&history.read(HistoryQuery::ALL, position)), expected, "{settings:?}");
            assert_eq!(history.len(), expected.len() as u64 * ENTRY);
        }
    }

    #[test]
    fn what_follows_an_offset_is_whole_or_nothing() {
        let settings = TopicSettings { history: 3, ..TopicSettings::default() };
        let mut history = History::default();
        assert_eq!(history.since(0, 0, usize::MAX), Some(vec![]));
        (1..=9).for_each(|offset| history.push(&publication(offset, 0), &settings));
        assert_eq!(history.since(9, 9, usize::MAX).map(|missed| offsets(&missed)), Some(vec![]));
        assert_eq!(history.since(6, 9, usize::MAX).map(|missed| offsets(&missed)), Some(vec![7, 8, 9]));
        assert_eq!(history.since(5, 9, usize::MAX), None);
        assert_eq!(history.since(10, 9, usize::MAX), None);
    }

    #[test]
    fn a_part_is_read_from_either_end() {
        let settings = TopicSettings { history: 5, ..TopicSettings::default() };
        let mut history = History::default();
        (1..=9).for_each(|offset| history.push(&publication(offset, 0), &settings));
        let read = |since: Option<(u64, u64)>, limit, newest_first| {
            let since = since.map(|(epoch, offset)| Position { epoch: Epoch(epoch), offset });
            let position = Position { epoch: Epoch(1), offset: 9 };
            offsets(&history.read(HistoryQuery { since, limit, newest_first }, position))
        };
        assert_eq!(read(None, 2, false), [5, 6]);
        assert_eq!(read(None, 2, true), [9, 8]);
        assert_eq!(read(Some((1, 7)), 10, false), [8, 9]);
        assert_eq!(read(Some((1, 7)), 1, true), [9]);
        assert_eq!(read(Some((2, 7)), 10, false), [5, 6, 7, 8, 9], "another epoch");
        assert_eq!(read(None, 0, false), [0; 0]);
    }

    #[test]
    fn what_was_missed_is_a_chain_and_not_a_count() {
        let mut history = History::default();
        let settings = TopicSettings { history: 3, ..TopicSettings::default() };
        for (prev, offset) in [(0, 10), (10, 20), (20, 35), (35, 36)] {
            let said = Publication { prev, ..Publication::clone(&publication(offset, offset)) };
            history.push(&Arc::new(said), &settings);
        }
        let since = |offset| history.since(offset, 36, usize::MAX).map(|missed| offsets(&missed));
        assert_eq!(since(36), Some(vec![]));
        assert_eq!(since(35), Some(vec![36]));
        assert_eq!(since(20), Some(vec![35, 36]));
        assert_eq!(since(10), Some(vec![20, 35, 36]), "the first that is kept names it");
        assert_eq!(since(12), Some(vec![20, 35, 36]), "nothing was said between");
        assert_eq!((since(9), since(37)), (None, None));
    }
}
