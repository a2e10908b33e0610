//! What publications carry beside their payload, and how topics lose what they keep: publications that are not the last
//! value, that name an event, that their publisher does not get; last values that are forgotten, and topics that end.
//!
//! Holes are judged here. A reader that heard offset 4 and then one whose `prev` is 6 was not told of 5 and 6. That is
//! right if it excepted itself from them, or if what it heard was a last value that is older than where its topic stood.
//! Which of the two, and whether it is so, is known at the end, when the log is.
//!
//! Each fault was planted once, and found within so many seeds: a passing message that becomes the last value, 2; a message
//! with `"echo":false` that comes to its sender, 1; a last value that stays after it was forgotten, 46; a topic that comes
//! back after its end with the epoch of its life before, 9.

use std::collections::{BTreeMap, BTreeSet};

use fanwire::driver::sim::PeerId;
use serde_json::Value;

use crate::auditor::{Asked, Auditor, Begin, matches};
use crate::peers::Peer;

/// The topic to which passing messages are published.
pub const PASSING: &str = "t.1";
/// The topic whose last value is forgotten.
pub const FORGETTING: &str = "t.2";
/// The topic that ends, again and again. It is followed by its name only, and its lives are told apart in the log.
pub const ENDING: &str = "e.0";

/// What is known of everything that was said beside its offset.
#[derive(Debug, Default)]
pub struct Carried {
    /// Payloads that are not the last value.
    passing: BTreeSet<String>,
    /// Events by payload.
    events: BTreeMap<String, String>,
    /// By topic: up to which offset its last value was forgotten.
    forgotten: BTreeMap<String, u64>,
    pub counts: Counts,
}

/// What happened, so that a suite in which nothing of it does fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub passing: u64,
    pub excepted: u64,
    pub events: u64,
    pub forgotten: u64,
    pub ended: u64,
    pub holes: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.passing += other.passing;
        self.excepted += other.excepted;
        self.events += other.events;
        self.forgotten += other.forgotten;
        self.ended += other.ended;
        self.holes += other.holes;
    }

    pub fn assert_that_enough_happened(&self) {
        assert!(self.passing > 100 && self.excepted > 100 && self.events > 100, "{self:?}");
        assert!(self.forgotten > 20 && self.ended > 20 && self.holes > 20, "{self:?}");
    }
}

/// Offsets that a reader was not told of.
#[derive(Debug)]
pub(super) struct Hole {
    topic: String,
    /// From this one on, up to the other.
    first: u64,
    last: u64,
    /// It stands behind a last value.
    is_behind_last: bool,
}

impl Auditor {
    /// What one publication carries, as fields of a line; `"echo":false` only where there is a session that publishes.
    pub(super) fn carry(
        &mut self,
        peer: PeerId,
        topic: &str,
        payload: &str,
        has_session: bool,
        rng: &mut fastrand::Rng,
    ) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        if topic == PASSING && rng.u8(0..3) == 0 {
            self.carried.passing.insert(payload.to_owned());
            self.carried.counts.passing += 1;
            fields.push(("last", "false".to_owned()));
        }
        if rng.u8(0..5) == 0 {
            let event = format!("event {}", rng.u8(..));
            self.carried.events.insert(payload.to_owned(), event.clone());
            self.carried.counts.events += 1;
            fields.push(("event", format!("\"{event}\"")));
        }
        if has_session && rng.u8(0..5) == 0 {
            self.notes.entry(peer).or_default().excepted.insert(payload.to_owned());
            self.carried.counts.excepted += 1;
            fields.push(("echo", "false".to_owned()));
        }
        fields
    }

    /// Has a last value forgotten, or a topic ended.
    pub(super) fn delete(&mut self, peer: &mut Peer, rng: &mut fastrand::Rng) {
        let (path, asked) = if rng.bool() {
            (format!("{FORGETTING}/last"), Asked::Forget(FORGETTING.to_owned()))
        } else {
            (ENDING.to_owned(), Asked::End)
        };
        self.ask(peer, asked);
        peer.say_bytes(format!("DELETE /topics/{path} HTTP/1.1\r\nHost: sim\r\n\r\n").as_bytes());
    }

    /// The answer to that; a topic that is not there has nothing to lose.
    pub(super) fn hear_deleted(&mut self, asked: &Asked, status: u16, body: &str) {
        assert!(status == 200 || status == 404, "{status} {body}");
        if status == 404 {
            return;
        }
        let answer: Value = serde_json::from_str(body).expect("an answer is JSON");
        let offset = answer["offset"].as_u64().expect("an offset");
        match asked {
            Asked::Forget(topic) => {
                let forgotten = self.carried.forgotten.entry(topic.clone()).or_default();
                *forgotten = offset.max(*forgotten);
                self.carried.counts.forgotten += 1;
            }
            _ => self.carried.counts.ended += 1,
        }
    }

    /// Up to which offset a topic's last value is forgotten for who subscribes from now on.
    pub(super) fn forgotten(&self, topic: &str) -> u64 {
        self.carried.forgotten.get(topic).copied().unwrap_or_default()
    }

    /// Whether a topic may have no last value, or one that is older than where it stands.
    pub(super) fn may_lack_last(&self, topic: &str) -> bool {
        topic == PASSING || topic == FORGETTING || topic.starts_with(ENDING)
    }

    /// Whether every passing message is known to stand at an offset or before it, in the log of their topic.
    pub(super) fn has_passed_up_to(&self, offset: u64, places: &BTreeMap<&String, u64>) -> bool {
        self.carried.passing.iter().all(|payload| places.get(payload).is_some_and(|place| *place <= offset))
    }

    pub(super) fn is_passing(&self, payload: &str) -> bool {
        self.carried.passing.contains(payload)
    }

    /// A push: its offset, the one before it, its payload, and the event that it names.
    pub(super) fn hear_push(
        &mut self,
        peer: PeerId,
        topic: &str,
        (prev, offset): (u64, u64),
        payload: &str,
        event: Option<&str>,
    ) {
        let is_flood = topic.starts_with("big.");
        assert!(
            is_flood || self.carried.events.get(payload).map(String::as_str) == event,
            "{topic}: {payload} {event:?}"
        );
        let is_passing = self.is_passing(payload);
        let notes = self.notes.entry(peer).or_default();
        // Fault: a publication with `"echo":false` comes to its sender.
        assert!(
            !notes.excepted.contains(payload),
            "{peer:?} {topic}: it hears {payload}, from which it excepted itself"
        );
        let leaving = notes.asked.iter().any(|(_, asked)| matches!(asked, Asked::Unsubscribe(t) if matches(t, topic)));
        let is_followed = leaving || notes.targets.iter().any(|target| matches(target, topic));
        if topic == ENDING && !is_followed {
            // By a pattern, which does not tell its lives apart.
            return;
        }
        assert!(is_followed, "{peer:?} hears {topic} but follows {:?}", notes.targets);
        let hole = |first, last, is_behind_last| Hole { topic: topic.to_owned(), first, last, is_behind_last };
        let last = notes.heard.insert(topic.to_owned(), offset);
        let is_behind_last = notes.behind_last.remove(topic);
        match (notes.may_begin.remove(topic), last) {
            (Some(Begin::At { joined, forgotten }), None) if offset <= joined => {
                // Faults: a passing message becomes the last value; one that was forgotten comes back.
                assert!(!is_passing, "{peer:?} {topic}: {payload} passed by and is the last value");
                assert!(
                    offset > forgotten,
                    "{peer:?} {topic}: {offset} was forgotten up to {forgotten} before it came"
                );
                if offset < joined {
                    notes.holes.push(hole(offset + 1, joined, true));
                    notes.heard.insert(topic.to_owned(), joined);
                }
            }
            (Some(Begin::At { joined, .. }), None) => {
                if prev != joined {
                    assert!(prev > joined, "{peer:?} {topic}: joined at {joined}, heard {offset} behind {prev}");
                    notes.holes.push(hole(joined + 1, prev, false));
                }
            }
            (Some(begin), Some(last)) if prev >= last => {
                if prev > last {
                    notes.holes.push(hole(last + 1, prev, is_behind_last));
                }
                // The last value of the new subscription is still to come again.
                notes.may_begin.insert(topic.to_owned(), begin);
            }
            (Some(_), Some(last)) => {
                // It comes again. What was heard behind it does not come once more.
                if topic == PASSING {
                    notes.heard.insert(topic.to_owned(), last);
                }
                notes.behind_last.insert(topic.to_owned());
            }
            (Some(Begin::Anywhere), None) => {
                notes.behind_last.insert(topic.to_owned());
            }
            (None, last) => {
                let last = last.expect("a topic is heard after it was joined");
                assert!(prev >= last, "{peer:?} {topic}: behind {last} comes {offset} again, with {prev} before it");
                if prev > last {
                    notes.holes.push(hole(last + 1, prev, is_behind_last));
                }
            }
        }
    }

    /// A reader is told where it is behind a last value that is older.
    pub(super) fn hear_position(&mut self, peer: PeerId, topic: &str, offset: u64) {
        let notes = self.notes.entry(peer).or_default();
        if let Some(heard) = notes.heard.get_mut(topic).filter(|heard| **heard < offset) {
            let (first, last) = (*heard + 1, offset);
            notes.holes.push(Hole { topic: topic.to_owned(), first, last, is_behind_last: true });
            *heard = offset;
        }
    }

    /// What a reader was not told of is what it is not to get.
    pub(super) fn audit_holes(&mut self) {
        let nothing = BTreeMap::new();
        for (peer, notes) in &self.notes {
            for hole in &notes.holes {
                let log = self.log.get(&hole.topic).unwrap_or(&nothing);
                // An answer that was lost leaves a place in the log that nobody but the publisher could tell.
                let is_untold = || notes.excepted.iter().any(|payload| !log.values().any(|said| said == payload));
                for offset in hole.first..=hole.last {
                    let is_right = match log.get(&offset) {
                        Some(said) if notes.excepted.contains(said) => true,
                        Some(said) => hole.is_behind_last && self.carried.passing.contains(said),
                        None => hole.is_behind_last || is_untold(),
                    };
                    assert!(is_right, "{peer:?} {}: a gap or a double: {offset}, {hole:?}", hole.topic);
                }
            }
            self.carried.counts.holes += notes.holes.len() as u64;
        }
    }
}

/// The name in the log of one life of a topic.
pub(super) fn life(topic: &str, epoch: Option<&str>) -> String {
    match epoch {
        Some(epoch) if topic == ENDING => format!("{topic}@{epoch}"),
        _ => topic.to_owned(),
    }
}
