//! The publications that a connection gets behind the answers to its subscriptions: those that it missed, last values,
//! and those that arrive meanwhile. In the order of the topics' names and each topic's offsets, each publication once,
//! whichever of the several ways to one connection it came by.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::command::{Pattern, Publication, TopicName};
use crate::limits::CATCH_UP_ENTRY_COST;

#[derive(Debug, Default)]
pub(in crate::shard) struct CatchUp {
    /// Publications from the answers of shards.
    kept: BTreeMap<(TopicName, u64), Kept>,
    /// Bytes of those.
    kept_len: usize,
    /// Publications that arrived meanwhile.
    held: Publications,
    /// Bytes of that.
    held_len: usize,
}

/// A publication that a shard answered.
#[derive(Debug)]
struct Kept {
    publication: Arc<Publication>,
    /// The pattern that it is a last value for, if it came for nothing else.
    pattern: Option<Pattern>,
}

/// By topic and offset.
type Publications = BTreeMap<(TopicName, u64), Arc<Publication>>;

impl CatchUp {
    /// Keeps the publications of a shard's answer for a topic, or for a pattern.
    pub fn keep(&mut self, publications: Vec<Arc<Publication>>, pattern: Option<&Pattern>) {
        for publication in publications {
            let key = key(&publication);
            if let Some(kept) = self.kept.get_mut(&key) {
                kept.pattern.take_if(|of| Some(&*of) != pattern);
                continue;
            }
            if self.held.contains_key(&key) {
                continue;
            }
            // Behind what was said meanwhile in its topic it waits like that.
            if self.held.range((key.0.clone(), 0)..key.clone()).next().is_some() {
                self.hold_one(key, &publication);
            } else {
                self.kept_len += cost(&publication);
                self.kept.insert(key, Kept { publication, pattern: pattern.cloned() });
            }
        }
    }

    /// Keeps a publication that arrived meanwhile; `false` if more than `len_max` of them wait.
    pub fn hold(&mut self, publications: &[Arc<Publication>], len_max: usize) -> bool {
        for publication in publications {
            let key = key(publication);
            if self.kept.contains_key(&key) {
                continue;
            }
            // An answer of the same turn may be there already: it comes behind.
            let behind = (key.0.clone(), key.1 + 1)..=(key.0.clone(), u64::MAX);
            let behind: Vec<_> = self.kept.range(behind).map(|(key, _)| key.clone()).collect();
            for key in behind {
                if let Some(Kept { publication, .. }) = self.kept.remove(&key) {
                    self.kept_len -= cost(&publication);
                    self.hold_one(key, &publication);
                }
            }
            self.hold_one(key, publication);
        }
        self.held_len <= len_max
    }

    fn hold_one(&mut self, key: (TopicName, u64), publication: &Arc<Publication>) {
        self.held.entry(key).or_insert_with(|| {
            self.held_len += cost(publication);
            Arc::clone(publication)
        });
    }

    /// The next publication that [`CatchUp::pop`] takes.
    pub fn peek(&self, waits_for_more: bool) -> Option<&Publication> {
        let kept = self.kept.first_key_value().map(|(key, kept)| (key, &*kept.publication));
        let held = self.held.first_key_value().filter(|_| !waits_for_more).map(|(key, held)| (key, &**held));
        match (kept, held) {
            (Some(kept), Some(held)) => Some(if kept.0 < held.0 { kept.1 } else { held.1 }),
            (one, other) => one.or(other).map(|(_, publication)| publication),
        }
    }

    /// The next publication, and whether it was said meanwhile. While more answers are to come, nothing of that: one of
    /// them may bring what was said before it.
    pub fn pop(&mut self, waits_for_more: bool) -> Option<(Arc<Publication>, bool)> {
        let is_kept_first = match (self.kept.first_key_value(), self.held.first_key_value()) {
            (Some((kept, _)), Some((held, _))) => waits_for_more || kept < held,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_kept_first {
            let (_, Kept { publication, .. }) = self.kept.pop_first()?;
            self.kept_len -= cost(&publication);
            return Some((publication, false));
        }
        if waits_for_more {
            return None;
        }
        let (_, publication) = self.held.pop_first()?;
        self.held_len -= cost(&publication);
        Some((publication, true))
    }

    /// Publications that shards answered and that wait.
    pub fn kept_count(&self) -> usize {
        self.kept.len()
    }

    /// Bytes of all that waits.
    pub fn len(&self) -> usize {
        self.kept_len + self.held_len
    }

    /// Its part of them: what is kept by several counts in equal parts for each. An estimate from some of it.
    pub fn own_len(&self) -> usize {
        let count = self.kept.len() + self.held.len();
        let kept = self.kept.values().map(|kept| &kept.publication);
        let (mut all, mut own) = (0, 0);
        for publication in kept.chain(self.held.values()).step_by(count.div_ceil(SAMPLED).max(1)) {
            all += cost(publication);
            own += CATCH_UP_ENTRY_COST + publication.cost() / Arc::strong_count(publication);
        }
        (self.len() as u128 * own as u128 / all.max(1) as u128) as usize
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.held.is_empty()
    }

    /// The offset of the first publication of a topic.
    pub fn first_offset(&self, topic: &TopicName) -> Option<u64> {
        let range = (topic.clone(), 0)..=(topic.clone(), u64::MAX);
        let kept = self.kept.range(range.clone()).next().map(|((_, offset), _)| *offset);
        let held = self.held.range(range).next().map(|((_, offset), _)| *offset);
        [kept, held].into_iter().flatten().min()
    }

    /// Forgets the publications of a topic.
    pub fn forget_topic(&mut self, topic: &TopicName) {
        self.kept_len -= take_topic(&mut self.kept, topic).iter().map(|gone| cost(&gone.publication)).sum::<usize>();
        self.held_len -= take_topic(&mut self.held, topic).iter().map(|gone| cost(gone)).sum::<usize>();
    }

    /// Forgets the last values that came for a pattern and for nothing else.
    pub fn forget_pattern(&mut self, pattern: &Pattern) {
        self.retain_kept(|_, kept| kept.pattern.as_ref() != Some(pattern));
    }

    /// Forgets the publications of every topic for which `is_wanted` is false.
    pub fn retain(&mut self, is_wanted: impl Fn(&TopicName) -> bool) {
        self.retain_kept(|topic, _| is_wanted(topic));
        self.held.retain(|(topic, _), publication| {
            let stays = is_wanted(topic);
            self.held_len -= if stays { 0 } else { cost(publication) };
            stays
        });
    }

    fn retain_kept(&mut self, is_wanted: impl Fn(&TopicName, &Kept) -> bool) {
        self.kept.retain(|(topic, _), kept| {
            let stays = is_wanted(topic, kept);
            self.kept_len -= if stays { 0 } else { cost(&kept.publication) };
            stays
        });
    }
}

/// Takes out the publications of a topic.
fn take_topic<T>(publications: &mut BTreeMap<(TopicName, u64), T>, topic: &TopicName) -> Vec<T> {
    let range = (topic.clone(), 0)..=(topic.clone(), u64::MAX);
    let keys: Vec<_> = publications.range(range).map(|(key, _)| key.clone()).collect();
    keys.iter().filter_map(|key| publications.remove(key)).collect()
}

fn key(publication: &Publication) -> (TopicName, u64) {
    (publication.topic.clone(), publication.position.offset)
}

fn cost(publication: &Publication) -> usize {
    publication.cost() + CATCH_UP_ENTRY_COST
}

/// Publications that are looked at to estimate how many of them others keep as well.
const SAMPLED: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Epoch, PayloadKind, Position, Target};
    use crate::limits::PUBLICATION_COST;
    use crate::time::MonoTime;

    /// The memory of one of these publications.
    const ENTRY: usize = PUBLICATION_COST + CATCH_UP_ENTRY_COST + 36;

    fn said(topic: &str, offset: u64) -> Arc<Publication> {
        Arc::new(Publication {
            topic: TopicName::parse(topic).expect("a valid name"),
            position: Position { epoch: Epoch(1), offset },
            prev: offset.saturating_sub(1),
            kind: PayloadKind::Text,
            payload: Box::from([b'x'; 36]),
            key: None,
            origin: None,
            time: MonoTime::ZERO,
            extras: None,
        })
    }

    fn rest(catch_up: &mut CatchUp) -> Vec<(String, u64)> {
        let next = || catch_up.pop(false).map(|(next, _)| (next.topic.as_str().to_owned(), next.position.offset));
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_pattern_that_is_left_takes_what_came_for_it_alone_along() {
        let pattern = |text| match Target::parse(text).expect("a valid pattern") {
            Target::Pattern(pattern) => pattern,
            Target::Topic(_) => panic!("it has a wildcard"),
        };
        let (left, other) = (pattern("*.1"), pattern("t.>"));
        let mut catch_up = CatchUp::default();
        catch_up.keep(vec![said("t.1", 2), said("u.1", 1), said("v.1", 5)], Some(&left));
        catch_up.keep(vec![said("t.1", 2)], Some(&other));
        catch_up.keep(vec![said("v.1", 5)], None);
        catch_up.forget_pattern(&left);
        assert_eq!(rest(&mut catch_up), [("t.1".to_owned(), 2), ("v.1".to_owned(), 5)]);
    }

    #[test]
    fn each_publication_comes_once_and_in_the_order_of_its_topic() {
        let mut catch_up = CatchUp::default();
        assert!(catch_up.hold(&[said("b", 7), said("b", 8)], 100 * ENTRY));
        catch_up.keep(vec![said("a", 3), said("b", 7)], None);
        assert!(catch_up.hold(&[said("a", 3), said("a", 4), said("b", 9)], 100 * ENTRY));
        let expected = [("a", 3), ("a", 4), ("b", 7), ("b", 8), ("b", 9)];
        assert_eq!(rest(&mut catch_up), expected.map(|(topic, offset)| (topic.to_owned(), offset)));
        assert_eq!((catch_up.held_len, catch_up.kept_len), (0, 0));
    }

    #[test]
    fn only_what_was_said_meanwhile_and_still_waits_counts_for_the_bound() {
        let mut catch_up = CatchUp::default();
        catch_up.keep((0..100).map(|offset| said("a", offset)).collect(), None);
        for offset in 100..300 {
            assert!(catch_up.hold(&[said("a", offset)], 101 * ENTRY), "{offset}: as much is read as is said");
            catch_up.pop(false);
        }
        assert!(catch_up.hold(&[said("a", 300)], 101 * ENTRY), "a hundred wait and one is said");
        assert!(!catch_up.hold(&[said("a", 301)], 101 * ENTRY), "one too many");
        catch_up.retain(|_| false);
        assert_eq!((catch_up.held_len, catch_up.kept_len), (0, 0));
    }

    #[test]
    fn what_is_not_followed_any_more_is_forgotten() {
        let mut catch_up = CatchUp::default();
        catch_up.keep(vec![said("a", 1), said("a.b", 1), said("b", 1), said("b", 2), said("c", 1)], None);
        catch_up.forget_topic(&said("a", 0).topic);
        catch_up.retain(|topic| topic.as_str() != "b");
        assert_eq!(rest(&mut catch_up), [("a.b".to_owned(), 1), ("c".to_owned(), 1)]);
    }

    #[test]
    fn while_answers_are_to_come_only_they_are_given_out() {
        let mut catch_up = CatchUp::default();
        assert!(catch_up.hold(&[said("a", 4), said("a", 5), said("c", 2)], 100 * ENTRY));
        catch_up.keep(vec![said("a", 6), said("b", 1), said("c", 1), said("d", 3)], None);
        catch_up.keep(vec![said("a", 6), said("b", 1)], None);
        assert!(catch_up.hold(&[said("d", 2), said("d", 3)], 100 * ENTRY), "of the same turn");
        let mut next = || catch_up.pop(true).map(|(next, is_held)| (next.position.offset, is_held));
        assert_eq!((next(), next(), next()), (Some((1, false)), Some((1, false)), None));
        assert_eq!(catch_up.kept_count(), 0);
        let expected = [("a", 4), ("a", 5), ("a", 6), ("c", 2), ("d", 2), ("d", 3)];
        assert_eq!(rest(&mut catch_up), expected.map(|(topic, offset)| (topic.to_owned(), offset)));
        assert_eq!((catch_up.held_len, catch_up.kept_len), (0, 0));
    }
}
