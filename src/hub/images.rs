//! Topics as they are written to a snapshot, and as they are restored after a restart.

use std::sync::Arc;

use super::home::Home;
use super::topic_table::TopicId;
use super::{Hub, home};
use crate::command::{Epoch, LastImage, Publication, TopicImage};
use crate::limits::{EPOCHS_KEPT, SNAPSHOT_PUBLICATIONS_PER_TURN, SNAPSHOT_TOPICS_PER_TURN};
use crate::time::MonoTime;

impl Hub {
    /// The topics at home here from a place on, as many as a turn may take, and the place to go on from, if there are
    /// more. Each is as it is now; between two portions others may change, come and go. A long history is written down
    /// over several portions and comes with the last of them.
    #[must_use]
    pub fn images(&self, from: ImagePlace) -> (Vec<TopicImage>, Option<ImagePlace>) {
        let (mut images, mut left) = (Vec::new(), SNAPSHOT_PUBLICATIONS_PER_TURN);
        let end = self.topics.places();
        let ImagePlace { mut place, mut open } = from;
        let places_end = end.min(place + SNAPSHOT_TOPICS_PER_TURN);
        while place < places_end && left > 0 {
            let home = self.topics.home(TopicId(place as u32));
            let Some(mut image) = open.take().or_else(|| home.and_then(Home::begin_image)) else {
                place += 1;
                continue;
            };
            let had = image.image.publications.len();
            // Another may have its place since.
            let home = home.filter(|home| home.name == image.image.topic);
            let is_whole = home.is_none_or(|home| home.extend_image(&mut image, left));
            left = left.saturating_sub(image.image.publications.len() - had);
            if is_whole {
                images.push(image.close());
                place += 1;
            } else {
                open = Some(image);
            }
        }
        let next = ImagePlace { place, open };
        (images, (place < end).then_some(next))
    }

    /// The seed of epochs for topics without a publication.
    #[must_use]
    pub fn epoch_seed(&self) -> u64 {
        // After a topic has ended, quiet topics do not keep their epochs over a restart: the counts of lives are not written.
        self.epoch_seed.wrapping_add(self.lives.ended())
    }

    /// Keeps the epochs of a run that ended in order: a topic without a publication keeps its position. Call it before
    /// the first topic is restored. The first topic that finds no room undoes it, since publications of that topic are
    /// lost.
    pub fn keep_epochs(&mut self, epoch_seed: u64) {
        self.epoch_seed = epoch_seed;
    }

    /// Takes back a topic that is at home here, within today's limits and rules; `false` if there is no room for it. If
    /// the last run did not end in order, its publications after the image are not known: the topic gets a new epoch,
    /// and positions up to the image's still resume.
    pub fn restore(&mut self, now: MonoTime, mut image: TopicImage, is_clean: bool) -> bool {
        let Ok(id) = self.ensure_home(&image.topic) else {
            self.epoch_seed = self.settings.epoch_seed;
            return false;
        };
        let mut position = image.position;
        if !is_clean {
            image.previous.push(image.position);
            let is_free = |epoch: &Epoch| image.previous.iter().all(|end| end.epoch != *epoch);
            // Counted from the offset, so that even at the same seed an epoch that is not kept any more does not return.
            let free = (1 + position.offset..).map(|life| self.epoch(image.topic.as_str(), life)).find(is_free);
            position.epoch = free.expect("there are more epochs than are kept");
        }
        let surplus = image.previous.len().saturating_sub(EPOCHS_KEPT);
        image.previous.drain(..surplus);
        let home = self.topics.home_mut(id).expect("ensure_home made it");
        home.begin_at(position, std::mem::take(&mut image.previous));
        home.note_quiet(now);
        let keeps_all = home.keeps_history();
        let renew = |publication: &mut Arc<Publication>| {
            if let Some(publication) = Arc::get_mut(publication) {
                publication.position.epoch = position.epoch;
            }
        };
        image.publications.iter_mut().for_each(renew);
        let last = match image.last {
            LastImage::None => None,
            LastImage::Among(offset) => image.publications.iter().find(|it| it.position.offset == offset).cloned(),
            LastImage::Apart(mut last) => {
                renew(&mut last);
                Some(last)
            }
        };
        // Where nothing else is kept, the newest begins a history that there is today.
        let newest = last.iter().filter(|last| last.position.offset == position.offset);
        let is_alone = image.publications.is_empty();
        for publication in image.publications.iter().filter(|_| keeps_all).chain(newest.filter(|_| is_alone)) {
            self.keep(id, publication);
        }
        self.set_last(id, last);
        self.expire(now, id);
        true
    }
}

/// Where a snapshot goes on.
#[derive(Debug, Default)]
pub struct ImagePlace {
    /// In the table of topics.
    place: usize,
    /// What is written down of the topic that stands there.
    open: Option<OpenImage>,
}

/// The image of a topic whose history is not all in it.
#[derive(Debug)]
pub(super) struct OpenImage {
    /// Without its last value, and with the newest publication first.
    pub image: TopicImage,
    pub last: Option<Arc<Publication>>,
}

impl OpenImage {
    fn close(mut self) -> TopicImage {
        self.image.publications.reverse();
        let first = self.image.publications.first().map(|first| first.position.offset);
        self.image.last = match self.last {
            None => LastImage::None,
            Some(last) if first.is_some_and(|first| first <= last.position.offset) => {
                LastImage::Among(last.position.offset)
            }
            Some(last) => LastImage::Apart(last),
        };
        self.image
    }
}

/// The home shard of a topic, before there is a hub to ask.
#[must_use]
pub fn home_of(hash_key: (u64, u64), shards: usize, topic: &str) -> crate::command::ShardId {
    home::spread(super::topic_table::hash(hash_key, topic), shards)
}

#[cfg(test)]
mod tests {
    use super::super::rules::{TopicRule, TopicRules, TopicSettings};
    use super::super::tests::{cost_of, hub, say, topic};
    use super::*;
    use crate::command::{HistoryQuery, Position, ShardId, Target};

    fn with_history(history: u32, topics_max: usize, retained_len_max: u64) -> Hub {
        let mut hub = hub(1, topics_max, retained_len_max);
        let settings = TopicSettings { history, history_ttl_ms: 10_000, ..TopicSettings::default() };
        let pattern = Target::parse("t.>").expect("a pattern");
        hub.settings.rules = Arc::new(TopicRules::new(vec![TopicRule { pattern, settings }]));
        hub
    }

    fn all(hub: &Hub) -> Vec<TopicImage> {
        let (mut all, mut from) = (Vec::new(), Some(ImagePlace::default()));
        while let Some(place) = from {
            let (images, next) = hub.images(place);
            assert!(images.len() <= SNAPSHOT_TOPICS_PER_TURN);
            all.extend(images);
            from = next;
        }
        all
    }

    /// As it comes from a file: nobody else holds the publications.
    fn read_back(images: &[TopicImage]) -> Vec<TopicImage> {
        let copy_of = |publication: &Arc<Publication>| Arc::new((**publication).clone());
        let copy = |image: &TopicImage| TopicImage {
            publications: image.publications.iter().map(copy_of).collect(),
            last: if let LastImage::Apart(last) = &image.last {
                LastImage::Apart(copy_of(last))
            } else {
                image.last.clone()
            },
            ..image.clone()
        };
        images.iter().map(copy).collect()
    }

    fn recovered(hub: &mut Hub, name: &str, since: Position) -> (Option<bool>, Vec<String>) {
        let answer = hub.join(MonoTime::ZERO, &topic(name), ShardId(0), Some(since), true).expect("there is room");
        let text = |p: &Arc<crate::command::Publication>| String::from_utf8_lossy(&p.payload).into_owned();
        (answer.recovered, answer.publications.iter().map(text).collect())
    }

    #[test]
    fn after_an_orderly_end_everything_is_as_it_was() {
        let mut first = with_history(10, 10_000, 1 << 20);
        for n in 0..2_000 {
            say(&mut first, &format!("t.{}", n % 700), &n.to_string());
        }
        say(&mut first, "plain", "x");
        first.join(MonoTime::ZERO, &topic("t.only-read"), ShardId(0), None, true).expect("there is room");
        let images = all(&first);
        assert_eq!(images.len(), 701);
        let mut second = with_history(10, 10_000, 1 << 20);
        for image in read_back(&images) {
            assert!(second.restore(MonoTime::ZERO, image, true));
        }
        assert_eq!(second.sizes().retained_len, first.sizes().retained_len);
        let mut again = all(&second);
        let by_name = |a: &TopicImage, b: &TopicImage| a.topic.cmp(&b.topic);
        again.sort_by(by_name);
        let mut images = images;
        images.sort_by(by_name);
        assert_eq!(again, images);
        assert_eq!(say(&mut second, "t.0", "next").publication.position.offset, 4);
    }

    #[test]
    fn a_long_history_is_written_down_over_several_turns_without_a_gap() {
        const COUNT: usize = 3 * SNAPSHOT_PUBLICATIONS_PER_TURN + 7;
        let mut hub = with_history(COUNT as u32, 100, 1 << 30);
        for n in 0..COUNT {
            say(&mut hub, "t.long", &n.to_string());
        }
        say(&mut hub, "t.short", "x");
        let (mut found, mut from, mut turns) = (Vec::new(), Some(ImagePlace::default()), 0);
        while let Some(place) = from {
            let had = place.open.as_ref().map_or(0, |open| open.image.publications.len());
            let (images, next) = hub.images(place);
            let has = next.as_ref().and_then(|next| next.open.as_ref());
            let of_whole = images.iter().map(|image| image.publications.len()).sum::<usize>();
            let added = has.map_or(0, |open| open.image.publications.len()) + of_whole - had;
            assert!(added <= SNAPSHOT_PUBLICATIONS_PER_TURN, "{added} in one turn");
            found.extend(images);
            (from, turns) = (next, turns + 1);
            // What is said meanwhile lets the oldest go.
            say(&mut hub, "t.long", "later");
        }
        assert!(turns > 3, "{turns} turns");
        assert_eq!((found[0].position.offset, found[1].topic.as_str()), (COUNT as u64, "t.short"));
        let offsets: Vec<u64> = found[0].publications.iter().map(|it| it.position.offset).collect();
        let first = COUNT as u64 + 1 - offsets.len() as u64;
        assert_eq!(offsets, (first..=COUNT as u64).collect::<Vec<_>>());
        assert!((1..10).contains(&first), "begins with {first}");
        assert_eq!(found[0].last, LastImage::Among(COUNT as u64));
        // A topic that ends meanwhile is as it was.
        let (images, next) = hub.images(ImagePlace::default());
        assert!(images.is_empty());
        hub.end("t.long").expect("it is there");
        let (images, _) = hub.images(next.expect("there is more"));
        assert_eq!(images[0].publications.len(), SNAPSHOT_PUBLICATIONS_PER_TURN);
    }

    #[test]
    fn a_last_value_comes_back_that_is_older_than_what_passed_since() {
        use crate::command::{Extras, Message};
        for history in [0, 10, 1] {
            let mut before = with_history(history, 100, 1 << 20);
            say(&mut before, "t.a", "stays");
            let extras = Extras { is_passing: true, ..Extras::default() }.boxed();
            for text in ["passes", "passes too"] {
                let message = Message { extras: extras.clone(), ..Message::text(text.as_bytes()) };
                before.publish(MonoTime::ZERO, &topic("t.a"), message).expect("there is room");
            }
            let images = all(&before);
            for is_clean in [true, false] {
                let mut after = with_history(history, 100, 1 << 20);
                assert!(after.restore(MonoTime::ZERO, read_back(&images).remove(0), is_clean));
                let state = after.state("t.a").expect("it is there");
                let last = state.last.expect("a last value");
                assert_eq!((&*last.payload, last.position.offset, state.position.offset), (&b"stays"[..], 1, 3));
                assert_eq!(last.position.epoch, state.position.epoch);
                assert_eq!(after.sizes().retained_len, before.sizes().retained_len);
                let kept = after.history(MonoTime::ZERO, "t.a", HistoryQuery::ALL).expect("it is there");
                let kept: Vec<u64> = kept.publications.iter().map(|it| it.position.offset).collect();
                let wanted: &[u64] =
                    [&[1][..], &[1, 2, 3], &[3]][[0, 10, 1].iter().position(|it| *it == history).expect("one")];
                assert_eq!(kept, wanted);
                if is_clean {
                    assert_eq!(all(&after), images);
                }
            }
            before.forget_last("t.a").expect("it is there");
            let mut after = with_history(history, 100, 1 << 20);
            assert!(after.restore(MonoTime::ZERO, read_back(&all(&before)).remove(0), true));
            assert_eq!(after.state("t.a").expect("it is there").last, None, "what is forgotten stays so");
        }
    }

    #[test]
    fn after_a_death_known_positions_resume_and_what_came_later_does_not() {
        let mut before = with_history(10, 100, 1 << 20);
        for n in 1..=3 {
            say(&mut before, "t.a", &n.to_string());
        }
        let images = read_back(&all(&before));
        let old = images[0].position;
        // Said, heard by readers, and in no snapshot.
        say(&mut before, "t.a", "lost");
        let mut after = with_history(10, 100, 1 << 20);
        assert!(after.restore(MonoTime::ZERO, images[0].clone(), false));
        let next = say(&mut after, "t.a", "4").publication.position;
        assert_eq!(next.offset, 4);
        assert_ne!(next.epoch, old.epoch);
        let at = |offset| Position { offset, ..old };
        assert_eq!(recovered(&mut after, "t.a", at(2)), (Some(true), vec!["3".to_owned(), "4".to_owned()]));
        assert_eq!(recovered(&mut after, "t.a", at(3)), (Some(true), vec!["4".to_owned()]));
        assert_eq!(recovered(&mut after, "t.a", at(4)), (Some(false), vec!["4".to_owned()]));
        let history = |since| HistoryQuery { since: Some(since), ..HistoryQuery::ALL };
        let read = after.history(MonoTime::ZERO, "t.a", history(at(3))).expect("it is there");
        assert_eq!(read.publications.len(), 1);
        assert!(read.publications.iter().all(|publication| publication.position.epoch == next.epoch));
    }

    #[test]
    fn several_deaths_in_a_row_keep_the_latest_epochs() {
        let mut hub = with_history(100, 100, 1 << 20);
        say(&mut hub, "t.a", "first");
        let mut ends = Vec::new();
        for n in 0..EPOCHS_KEPT + 2 {
            let images = read_back(&all(&hub));
            ends.push(images[0].position);
            // The same seed, and so the same epochs to choose from.
            hub = with_history(100, 100, 1 << 20);
            assert!(hub.restore(MonoTime::ZERO, images[0].clone(), false));
            say(&mut hub, "t.a", &n.to_string());
        }
        let (old, kept) = ends.split_at(2);
        for (since, expected) in old.iter().map(|p| (p, false)).chain(kept.iter().map(|p| (p, true))) {
            assert_eq!(recovered(&mut hub, "t.a", *since).0, Some(expected), "{since}");
        }
        let mut epochs: Vec<_> = ends.iter().map(|end| end.epoch.0).collect();
        epochs.sort_unstable();
        epochs.dedup();
        assert_eq!(epochs.len(), ends.len(), "no epoch comes twice");
    }

    #[test]
    fn todays_limits_and_rules_hold_for_what_comes_back() {
        let mut before = with_history(10, 100, 1 << 20);
        for n in 0..10 {
            say(&mut before, "t.a", &n.to_string());
            say(&mut before, "t.b", &n.to_string());
        }
        let images = all(&before);
        let mut shorter = with_history(3, 1, 1 << 20);
        let mut back = read_back(&images).into_iter();
        assert!(shorter.restore(MonoTime::ZERO, back.next().expect("two"), true));
        assert!(!shorter.restore(MonoTime::ZERO, back.next().expect("two"), true), "one topic too many");
        assert_eq!(all(&shorter)[0].publications.len(), 3);
        let mut none = with_history(0, 100, 1 << 20);
        assert!(none.restore(MonoTime::ZERO, read_back(&images).remove(0), true));
        assert_eq!(none.state("t.a").expect("it is there").last.expect("a last value").position.offset, 10);
        assert_eq!(none.sizes().retained_len, cost_of("9"));
        let mut small = with_history(10, 100, 4 * cost_of("9"));
        for image in read_back(&images) {
            assert!(small.restore(MonoTime::ZERO, image, true));
            assert!(small.sizes().retained_len <= 4 * cost_of("9"));
        }
        let mut late = with_history(10, 100, 1 << 20);
        assert!(late.restore(MonoTime::ZERO.plus_millis(10_000), read_back(&images).remove(0), true));
        let kept = late.history(MonoTime::ZERO.plus_millis(10_000), "t.a", HistoryQuery::ALL).expect("it is there");
        assert!(kept.publications.is_empty(), "it is too old");
        assert!(late.state("t.a").expect("it is there").last.is_some(), "a last value does not age");
    }
}
