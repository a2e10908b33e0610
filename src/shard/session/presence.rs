//! Readers that want to know how many others read a topic with them.
//!
//! The home of a topic tells each shard with such readers the count, at most once an interval; the shard encodes it
//! once and hands it to them. So the cost is one number an interval, however many come and go, and not one message for
//! each of them to each other.

use std::collections::HashMap;

use super::encoding::EncodingId;
use crate::buf::Segment;
use crate::command::{Outbound, Presence, SessionId, SessionIndex, Target, TopicName};
use crate::dialect::DialectState;
use crate::hub::TopicId;
use crate::limits::PRESENCE_INTERVAL_MS;
use crate::mailbox::{Answer, Request};
use crate::shard::Shard;
use crate::shard::link::outbox::Outbox;
use crate::time::MonoTime;

/// This shard's readers of presence counts.
#[derive(Debug, Default)]
pub(in crate::shard) struct PresenceReaders {
    topics: HashMap<TopicId, Watched>,
    /// By session and topic. A reader follows the topic by name, so that the topic stays while it is here.
    places: HashMap<(SessionIndex, TopicId), Place>,
    /// Sessions that were behind when a count changed; they are looked at again.
    late: Vec<(SessionIndex, TopicId)>,
    retry: MonoTime,
}

#[derive(Debug, Default)]
struct Watched {
    readers: Vec<SessionIndex>,
    /// The last count from the home; `None` before the first.
    presence: Option<Presence>,
}

#[derive(Debug)]
struct Place {
    place: u32,
    is_late: bool,
}

impl PresenceReaders {
    pub fn len(&self) -> usize {
        self.places.len() + self.topics.len()
    }

    fn note_late(&mut self, now: MonoTime, index: SessionIndex, topic_id: TopicId) {
        let Some(place) = self.places.get_mut(&(index, topic_id)).filter(|place| !place.is_late) else { return };
        place.is_late = true;
        if self.late.is_empty() {
            self.retry = now.plus_millis(PRESENCE_INTERVAL_MS);
        }
        self.late.push((index, topic_id));
    }

    pub fn next_look(&self) -> Option<MonoTime> {
        (!self.late.is_empty()).then_some(self.retry)
    }
}

impl Shard {
    /// A subscription to a topic is made: from now on its reader gets the counts.
    pub(in crate::shard) fn join_presence(&mut self, id: SessionId, topic: &TopicName) {
        let is_followed = self.find_subscription(id, &Target::Topic(topic.clone())).is_some();
        let Some(topic_id) = self.hub.find(topic.as_str()).filter(|_| is_followed) else { return };
        let watched = self.sessions.presence.topics.entry(topic_id).or_default();
        let place = watched.readers.len() as u32;
        let known = watched.presence;
        if self.sessions.presence.places.contains_key(&(id.index, topic_id)) {
            return;
        }
        watched.readers.push(id.index);
        self.sessions.presence.places.insert((id.index, topic_id), Place { place, is_late: false });
        if place == 0 {
            let home = self.hub.home_of(topic.as_str());
            self.ask(home, Request::Watch { topic: topic.clone() });
        } else if let Some(presence) = known {
            self.say_presence(topic_id, presence, &[id.index]);
        }
    }

    /// A subscription to a topic ends; the topic's home does not know yet.
    pub(in crate::shard) fn leave_presence(&mut self, index: SessionIndex, topic_id: TopicId) {
        let Some(Place { place, .. }) = self.sessions.presence.places.remove(&(index, topic_id)) else { return };
        let Some(watched) = self.sessions.presence.topics.get_mut(&topic_id) else { return };
        watched.readers.swap_remove(place as usize);
        if let Some(&moved) = watched.readers.get(place as usize)
            && let Some(entry) = self.sessions.presence.places.get_mut(&(moved, topic_id))
        {
            entry.place = place;
        }
        if watched.readers.is_empty() {
            self.sessions.presence.topics.remove(&topic_id);
            let topic = self.hub.name(topic_id);
            let home = self.hub.home_of(topic.as_str());
            self.ask(home, Request::Unwatch { topic });
        }
    }

    /// The home of a topic says how many read it.
    pub(in crate::shard) fn on_presence(&mut self, topic: &TopicName, presence: Presence) {
        let Some(topic_id) = self.hub.find(topic.as_str()) else { return };
        let Some(watched) = self.sessions.presence.topics.get_mut(&topic_id) else { return };
        watched.presence = Some(presence);
        let readers = std::mem::take(&mut watched.readers);
        self.say_presence(topic_id, presence, &readers);
        if let Some(watched) = self.sessions.presence.topics.get_mut(&topic_id) {
            watched.readers = readers;
        }
    }

    /// Looks for changed counts of topics at home here, and for sessions that were behind.
    pub(in crate::shard) fn step_presence(&mut self) {
        for change in self.hub.presence_changes(self.now) {
            for shard in change.shards.iter() {
                let (topic, presence) = (change.topic.clone(), change.presence);
                self.answer(shard, Answer::Presence { topic, presence });
            }
        }
        if self.sessions.presence.next_look().is_some_and(|retry| retry <= self.now) {
            for (index, topic_id) in std::mem::take(&mut self.sessions.presence.late) {
                let Some(place) = self.sessions.presence.places.get_mut(&(index, topic_id)) else { continue };
                let presence = self.sessions.presence.topics.get(&topic_id).and_then(|watched| watched.presence);
                if std::mem::take(&mut place.is_late)
                    && let Some(presence) = presence
                {
                    self.say_presence(topic_id, presence, &[index]);
                }
            }
        }
    }

    /// Tells readers a count, encoded once. A reader that is behind gets the count of a later time.
    fn say_presence(&mut self, topic_id: TopicId, presence: Presence, readers: &[SessionIndex]) {
        let len_max = self.settings.live.limits.outbox_len_max as usize;
        let topic = self.hub.name(topic_id);
        let outbound = Outbound::Presence { topic: topic.as_str(), presence };
        let mut encoded: Vec<(EncodingId, Segment)> = Vec::new();
        for &index in readers {
            let link = self.links.conns.link_of(index);
            let Some(id) = self.links.conns.session_at(index) else { continue };
            if link.is_some_and(|link| !link.is_open_websocket()) {
                continue;
            }
            let (session, outbox_slot) = self.links.conns.parts_mut(index);
            if self.links.outboxes.get(*outbox_slot).is_some_and(Outbox::is_behind) {
                self.sessions.presence.note_late(self.now, index, topic_id);
                continue;
            }
            let encoding = session.encoding;
            let segment = match encoded.iter().find(|(other, _)| *other == encoding) {
                Some((_, segment)) => segment.clone(),
                None => {
                    let mut bytes = Vec::new();
                    encoding.row().say(&DialectState::None, &outbound, &mut self.delivery.message, &mut bytes);
                    let segment = Segment::from(bytes);
                    encoded.push((encoding, segment.clone()));
                    segment
                }
            };
            // It is not behind, so that only a queue full of short pieces could refuse it.
            if self.links.outboxes.ensure(outbox_slot).push(segment, len_max).is_ok() {
                self.mark_news(id);
            } else {
                self.sessions.presence.note_late(self.now, index, topic_id);
            }
        }
    }
}
