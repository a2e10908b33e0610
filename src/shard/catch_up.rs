//! What a connection is to get behind the answers to its subscriptions: what it missed, last values, and what is said
//! meanwhile. In the order of the topics' names and each topic's offsets, each publication once, whichever of the
//! several ways to one connection it came by.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::command::{Publication, TopicName};

#[derive(Debug, Default)]
pub(super) struct CatchUp {
    publications: BTreeMap<(TopicName, u64), Kept>,
    /// What counts of what was said meanwhile.
    held_len: usize,
}

#[derive(Debug)]
struct Kept {
    publication: Arc<Publication>,
    /// It was said meanwhile, so that it counts as what waits for a reader.
    is_held: bool,
}

impl CatchUp {
    /// Keeps what a shard answered.
    pub fn keep(&mut self, publications: Vec<Arc<Publication>>) {
        for publication in publications {
            self.insert(publication, false);
        }
    }

    /// Keeps what was said meanwhile; `false` if more of that waits than `len_max`.
    pub fn hold(&mut self, publications: &[Arc<Publication>], len_max: usize) -> bool {
        for publication in publications {
            self.insert(Arc::clone(publication), true);
        }
        self.held_len <= len_max
    }

    fn insert(&mut self, publication: Arc<Publication>, is_held: bool) {
        let key = (publication.topic.clone(), publication.position.offset);
        let len = if is_held { held_len(&publication) } else { 0 };
        self.publications.entry(key).or_insert_with(|| {
            self.held_len += len;
            Kept { publication, is_held }
        });
    }

    /// The next publication, and whether it was said meanwhile.
    pub fn pop(&mut self) -> Option<(Arc<Publication>, bool)> {
        let (_, kept) = self.publications.pop_first()?;
        self.held_len -= kept.held_len();
        Some((kept.publication, kept.is_held))
    }

    /// Forgets what was said in a topic.
    pub fn forget_topic(&mut self, topic: &TopicName) {
        let offsets = self.publications.range((topic.clone(), 0)..=(topic.clone(), u64::MAX)).map(|(key, _)| key.1);
        for offset in offsets.collect::<Vec<_>>() {
            if let Some(kept) = self.publications.remove(&(topic.clone(), offset)) {
                self.held_len -= kept.held_len();
            }
        }
    }

    /// Forgets what was said in every topic that `is_wanted` does not want.
    pub fn retain(&mut self, is_wanted: impl Fn(&TopicName) -> bool) {
        self.publications.retain(|(topic, _), kept| {
            let stays = is_wanted(topic);
            self.held_len -= if stays { 0 } else { kept.held_len() };
            stays
        });
    }
}

impl Kept {
    fn held_len(&self) -> usize {
        if self.is_held { held_len(&self.publication) } else { 0 }
    }
}

fn held_len(publication: &Publication) -> usize {
    publication.payload.len() + HELD_COST
}

/// What a held publication counts beside its payload, so that empty ones are bounded too.
const HELD_COST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Epoch, PayloadKind, Position};
    use crate::time::MonoTime;

    fn said(topic: &str, offset: u64) -> Arc<Publication> {
        Arc::new(Publication {
            topic: TopicName::parse(topic).expect("a valid name"),
            position: Position { epoch: Epoch(1), offset },
            kind: PayloadKind::Text,
            payload: Box::from([b'x'; 36]),
            key: None,
            origin: None,
            time: MonoTime::ZERO,
        })
    }

    fn rest(catch_up: &mut CatchUp) -> Vec<(String, u64)> {
        let next = || catch_up.pop().map(|(next, _)| (next.topic.as_str().to_owned(), next.position.offset));
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn each_publication_comes_once_and_in_the_order_of_its_topic() {
        let mut catch_up = CatchUp::default();
        assert!(catch_up.hold(&[said("b", 7), said("b", 8)], 1_000));
        catch_up.keep(vec![said("a", 3), said("b", 7)]);
        assert!(catch_up.hold(&[said("a", 3), said("a", 4), said("b", 9)], 1_000));
        let expected = [("a", 3), ("a", 4), ("b", 7), ("b", 8), ("b", 9)];
        assert_eq!(rest(&mut catch_up), expected.map(|(topic, offset)| (topic.to_owned(), offset)));
        assert_eq!(catch_up.held_len, 0);
    }

    #[test]
    fn only_what_was_said_meanwhile_and_still_waits_counts_for_the_bound() {
        let mut catch_up = CatchUp::default();
        catch_up.keep((0..100).map(|offset| said("a", offset)).collect());
        for offset in 100..300 {
            assert!(catch_up.hold(&[said("a", offset)], 10_100), "{offset}: as much is read as is said");
            catch_up.pop();
        }
        assert!(catch_up.hold(&[said("a", 300)], 10_100), "a hundred wait and one is said");
        assert!(!catch_up.hold(&[said("a", 301)], 10_100), "one too many");
        catch_up.retain(|_| false);
        assert_eq!(catch_up.held_len, 0);
    }

    #[test]
    fn what_is_not_followed_any_more_is_forgotten() {
        let mut catch_up = CatchUp::default();
        catch_up.keep(vec![said("a", 1), said("a.b", 1), said("b", 1), said("b", 2), said("c", 1)]);
        catch_up.forget_topic(&said("a", 0).topic);
        catch_up.retain(|topic| topic.as_str() != "b");
        assert_eq!(rest(&mut catch_up), [("a.b".to_owned(), 1), ("c".to_owned(), 1)]);
    }
}
