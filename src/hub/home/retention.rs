//! The messages that a home keeps of a topic, for how long, and which go first when there is no room.

use std::cmp::Reverse;
use std::sync::Arc;

use super::Home;
use crate::command::Publication;
use crate::hub::Hub;
use crate::hub::history::{History, cost};
use crate::hub::rules::TopicSettings;
use crate::hub::topic_table::TopicId;
use crate::limits::{
    HISTORIES_HALVED_MAX, POLL_KEPT_LEN_MAX, POLL_KEPT_MAX, POLL_KEPT_MS, SHED_SAMPLE, SWEEP_AGAIN_MS,
    SWEEP_INTERVAL_MS, SWEEP_PER_TURN,
};
use crate::time::MonoTime;

impl Home {
    /// The retention of the topic: as configured, or a small one if none is configured and the topic is polled.
    pub(super) fn keeps(&self) -> TopicSettings {
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
    pub(super) fn expire(&mut self, now: MonoTime) {
        self.polled_until = self.polled_until.filter(|until| now < *until);
        let kept = self.keeps();
        if kept.history == 0 {
            self.history = History::default();
        }
        self.history.expire(now, &kept);
    }

    /// When something of it is too old next.
    pub(super) fn next_due(&self) -> Option<MonoTime> {
        let ttl_ms = self.keeps().history_ttl_ms;
        let oldest = self.history.oldest().filter(|_| ttl_ms > 0).map(|time| time.plus_millis(ttl_ms));
        [oldest, self.polled_until, self.end_due()].into_iter().flatten().min()
    }

    /// Bytes kept. What stands in the history and is the last value counts as the last value.
    pub fn kept(&self) -> Kept {
        let last = self.last.as_ref().map_or(0, |last| cost(last));
        let shared = self.last.as_ref().filter(|last| self.history.has(last.position.offset)).map_or(0, |_| last);
        Kept { last, history: self.history.len() - shared }
    }

    /// Drops all of that, and returns its bytes.
    pub(super) fn drop_kept(&mut self) -> Kept {
        let kept = self.kept();
        self.history = History::default();
        self.last = None;
        kept
    }
}

/// Bytes kept, each once.
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

impl Hub {
    /// Keeps a publication as the last value and in the history, as far as the bytes kept have room.
    #[inline]
    pub(in crate::hub) fn keep(&mut self, id: TopicId, publication: &Arc<Publication>) {
        let home = self.topics.home_mut(id).expect("only a home keeps");
        let kept = home.keeps();
        let is_last = home.settings.last && publication.keeps_last();
        let due = home.end_due();
        if kept.history == 0 && home.history.is_empty() && is_last {
            // As most do. What is not kept any more goes before the new one comes, so that it may take its place.
            let before = home.last.take().map_or(0, |last| cost(&last));
            home.last = Some(Arc::clone(publication));
            self.kept.last = self.kept.last - before + cost(publication);
        } else {
            let before = home.kept();
            let last = home.last.take().filter(|_| !publication.keeps_last());
            home.history.push(publication, &kept);
            home.last = if is_last { Some(Arc::clone(publication)) } else { last };
            self.kept.change(before, home.kept());
        }
        if kept.history > 0 && kept.history_ttl_ms > 0 {
            self.line_up(id, publication.time.plus_millis(kept.history_ttl_ms));
        }
        if let Some(due) = due {
            self.line_up(id, due);
        }
        self.make_room(id);
    }

    /// Keeps this as the last value, if the configuration says so, and the history as it is.
    pub(in crate::hub) fn set_last(&mut self, id: TopicId, last: Option<Arc<Publication>>) {
        if let Some(home) = self.topics.home_mut(id) {
            let before = home.kept();
            home.last = last.filter(|_| home.settings.last);
            self.kept.change(before, home.kept());
            self.make_room(id);
        }
    }

    /// Sheds histories until the bytes kept have room; what is kept of the newest topic goes if there are none.
    fn make_room(&mut self, newest: TopicId) {
        // So many only where the bound was lowered; then the next publication goes on.
        for _ in 0..HISTORIES_HALVED_MAX {
            if self.kept.total() <= self.settings.retained_len_max {
                break;
            }
            if !self.shed(newest) {
                self.forget(newest);
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

    /// Forgets the oldest message ids before their time, some at a time, until they take no more than `len`.
    pub fn shed_message_ids(&mut self, len: u64) {
        self.message_ids.shed(len);
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
            self.kept.change(home.drop_kept(), Kept::default());
            self.sheds.1 += 1;
        }
    }

    /// Looks at a topic at a time, if it is not looked at before.
    pub(super) fn line_up(&mut self, id: TopicId, at: MonoTime) {
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
            // A topic that was queued again, or another topic in its place, is in the queue with another time.
            if let Some(home) = self.topics.home_mut(id).filter(|home| home.due == at) {
                home.due = MonoTime::ZERO;
                self.expire(now, id);
                self.end_if_over(now, id);
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

    /// Notes that a topic that has its home here is polled: it and its publications are kept for a while.
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

    pub(in crate::hub) fn expire(&mut self, now: MonoTime, id: TopicId) {
        if let Some(home) = self.topics.home_mut(id) {
            let before = home.kept();
            home.expire(now);
            self.kept.change(before, home.kept());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Message;
    use crate::hub::rules::{TopicRule, TopicRules};
    use crate::hub::tests::{cost_of, hub, say, topic};

    #[test]
    fn past_the_limit_of_bytes_a_value_is_delivered_and_not_kept() {
        let mut hub = hub(1, 100, 2 * cost_of("12345"));
        say(&mut hub, "a", "12345678");
        say(&mut hub, "b", "123");
        assert_eq!(hub.state("b").expect("the topic is there").last, None);
        assert_eq!(hub.sizes().retained_len, cost_of("12345678"));
        say(&mut hub, "a", "1");
        say(&mut hub, "b", "123");
        assert_eq!(hub.sizes().retained_len, cost_of("1") + cost_of("123"));
    }

    #[test]
    fn the_limit_of_bytes_holds_for_topics_with_a_history_of_one() {
        let len_max = 1_000 + 10 * cost_of("");
        let mut hub = hub(1, 1_000, len_max);
        let settings = TopicSettings { history: 10, ..TopicSettings::default() };
        let pattern = crate::command::Target::parse(">").expect("a pattern");
        hub.settings.rules = Arc::new(TopicRules::new(vec![TopicRule { pattern, settings }]));
        for round in 0..3 {
            for n in 0..100 {
                say(&mut hub, &format!("t.{n}"), &"x".repeat(90 + round));
                assert!(hub.sizes().retained_len <= len_max, "{} bytes are kept", hub.sizes().retained_len);
            }
        }
        say(&mut hub, "big", &"x".repeat(len_max as usize));
        assert!(hub.sizes().retained_len <= len_max);
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
        let held = |hub: &Hub| (hub.sizes().kept.history / cost_of("x")) as usize;
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
            looks.push((next.as_millis(), hub.sizes().kept.history / cost_of("x")));
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
        let each = cost_of(&"x".repeat(100));
        let before = hub.sizes().kept;
        assert_eq!((before.last, before.history), (20 * each, (99 + 19 * 2) * each));
        assert_eq!(hub.shed_history(40 * each), 1);
        let kept = |hub: &mut Hub, topic: &str| hub.state(topic).expect("the topic is there").history_len / each;
        assert_eq!((kept(&mut hub, "t.7"), kept(&mut hub, "t.8")), (49, 2));
        hub.shed_history(u64::MAX);
        let after = hub.sizes().kept;
        assert_eq!((after.last, after.history), (20 * each, 0), "last values stay");
        assert_eq!(hub.shed_history(1), 0);
    }
}
