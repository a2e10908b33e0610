//! Readers over HTTP, as the auditor sees them: what they follow is said once, and where they are comes with what they
//! hear.

use serde_json::Value;

use crate::auditor::{Asked, Auditor};
use crate::carried::{FORGETTING, PASSING};
use crate::peers::{Heard, Part, Peer};
use crate::stream::Event;

/// Publications that a topic without a history keeps while it is polled.
pub(super) const POLL_KEPT: u64 = fanwire::limits::POLL_KEPT_MAX as u64;

impl Auditor {
    /// Notes what a reader follows from its first request on.
    pub fn enter_follower(&mut self, peer: &Peer) {
        match &peer.part {
            Part::Follow { topics, since, .. } => {
                let mut offsets = since.iter().flat_map(|since| offsets(since));
                let asked = topics.iter().map(|topic| {
                    let since = if topic.contains('*') { None } else { offsets.next() };
                    Asked::Subscribe((*topic).to_owned(), since, false)
                });
                let asked: Vec<Asked> = asked.collect();
                for asked in asked {
                    self.ask(peer, asked);
                }
            }
            Part::Poll { topics, .. } => {
                let notes = self.notes.entry(peer.id).or_default();
                notes.targets.extend(topics.iter().map(|topic| (*topic).to_owned()));
            }
            _ => {}
        }
    }

    pub fn hear_follower(&mut self, peer: &mut Peer, heard: Heard) {
        match heard {
            Heard::Text(text) => self.hear_follower_json(peer, &text),
            Heard::Event(Event { id: Some(id), data, .. }) if data.is_empty() => {
                let Part::Follow { topics, .. } = &peer.part else { panic!("only who follows hears events") };
                let names = topics.iter().copied().filter(|topic| !topic.contains('*'));
                for (name, offset) in names.zip(offsets(&id)) {
                    self.hear_position(peer.id, name, offset);
                }
                peer.position = Some(id);
            }
            Heard::Event(event) if event.event.starts_with('.') => {
                if event.id.is_some() {
                    peer.position = event.id;
                }
                self.hear_follower_json(peer, &event.data);
            }
            Heard::Event(event) => {
                let Part::Follow { topics, .. } = &peer.part else { panic!("only who follows hears events") };
                let names: Vec<&str> = topics.iter().copied().filter(|topic| !topic.contains('*')).collect();
                let id = event.id.clone().unwrap_or_default();
                let offsets: Vec<u64> = offsets(&id).collect();
                assert_eq!(offsets.len(), names.len(), "{id} is a position of each of {names:?}");
                let topic = event.topic.as_deref().unwrap_or(&event.event);
                let Some(at) = names.iter().position(|name| *name == topic) else {
                    // By pattern: it has no position.
                    return;
                };
                let carried = event.topic.is_some().then_some(event.event.as_str());
                self.hear_push(peer.id, topic, (offsets[at] - 1, offsets[at]), &event.data, carried);
                self.learn(topic, offsets[at], event.data);
                let notes = &self.notes[&peer.id];
                for (name, offset) in names.iter().zip(offsets).filter(|(name, _)| **name != topic) {
                    let heard = notes.heard.get(*name).copied();
                    // The last values of the pattern are still to come.
                    let again = notes.may_begin.contains_key(*name);
                    let is_right = |heard: u64| heard == offset || again && offset < heard;
                    assert!(heard.is_none_or(is_right), "{name}: {heard:?} was heard, {id} is said");
                }
                peer.position = Some(id);
            }
            heard => panic!("{:?} hears {heard:?}", peer.id),
        }
    }

    fn hear_follower_json(&mut self, peer: &mut Peer, text: &str) {
        let message: Value = serde_json::from_str(text).expect("the dialect is JSON");
        if message["op"] == "ok" {
            while let Some((_, asked)) = self.notes.entry(peer.id).or_default().asked.pop_front() {
                let forgotten = match &asked {
                    Asked::Subscribe(topic, ..) if topic == FORGETTING => self.notes[&peer.id].forgotten_before,
                    _ => 0,
                };
                self.hear_ok(peer.id, asked, &message, forgotten);
            }
            if matches!(peer.part, Part::Follow { is_events: true, .. }) {
                // Events that come by a pattern have no position that could be held against others.
                self.notes.entry(peer.id).or_default().targets.retain(|target| !target.contains('*'));
            }
        } else if message["op"] != "gap" || self.notes[&peer.id].targets.iter().any(|target| matches(target, &message))
        {
            self.hear_json(peer.id, text);
        }
        if message["op"] == "bye" {
            peer.close = Some((Some(1001), format!("retry_ms={}", message["retry_ms"])));
        }
        let Part::Follow { topics, is_events: false, .. } = &peer.part else { return };
        let notes = &self.notes[&peer.id];
        let position = |topic: &&str| Some(format!("{}-{}", notes.epochs.get(*topic)?, notes.heard.get(*topic)?));
        let names = topics.iter().filter(|topic| !topic.contains('*'));
        let positions: Option<Vec<String>> = names.map(position).collect();
        peer.position = positions.map(|positions| positions.join(","));
    }

    /// Polls on from the last answer, if it has come.
    pub fn poll(&mut self, peer: &mut Peer) {
        let Part::Poll { topics, since } = peer.part.clone() else { panic!("only who polls asks") };
        if !self.notes.entry(peer.id).or_default().asked.is_empty() {
            return;
        }
        let since = peer.position.clone().or(since);
        // One that comes back has heard what is before its position.
        let heard = &mut self.notes.entry(peer.id).or_default().heard;
        for (topic, offset) in topics.iter().zip(since.iter().flat_map(|since| offsets(since))) {
            heard.entry((*topic).to_owned()).or_insert(offset);
        }
        let topics: String = topics.iter().map(|topic| format!("topic={topic}&")).collect();
        let query = since.as_ref().map(|since| format!("since={since}")).unwrap_or_default();
        peer.say_bytes(format!("GET /poll?{topics}{query} HTTP/1.1\r\nHost: sim\r\n\r\n").as_bytes());
        self.ask(peer, Asked::Poll(since));
    }

    pub fn hear_poll(&mut self, peer: &mut Peer, status: u16, body: &str) {
        let Part::Poll { topics, .. } = &peer.part else { panic!("only who polls hears answers") };
        let notes = self.notes.entry(peer.id).or_default();
        if status == 503 {
            notes.has_left = true;
            return;
        }
        let Some((_, Asked::Poll(since))) = notes.asked.pop_front() else { panic!("nobody asked for {body}") };
        assert!(status == 200 || status == 204, "{status} {body}");
        let now = peer.position.clone().expect("each answer says where the reader is");
        let answer: Value = if status == 204 { Value::Null } else { serde_json::from_str(body).expect("JSON") };
        assert!(status == 204 || answer["since"] == now.as_str(), "{body}");
        let before: Vec<Option<u64>> = match &since {
            Some(since) => offsets(since).map(Some).collect(),
            None => vec![None; topics.len()],
        };
        for ((topic, before), now) in topics.clone().into_iter().zip(before).zip(offsets(&now)) {
            let messages = answer["messages"].as_array().into_iter().flatten().filter(|message| message["t"] == topic);
            let said: Vec<(u64, String)> =
                messages.map(|message| (message["o"].as_u64().expect("an offset"), message["d"].to_string())).collect();
            let is_kept = before.is_some() && (status == 204 || answer["recovered"][topic] == true);
            if is_kept {
                let expected = before.expect("it said where it was") + 1..=now;
                assert_eq!(said.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            } else if topic == PASSING {
                // Without a history, what passes by is kept nowhere.
            } else if let Some(before) = before {
                let kept = if topic.starts_with('u') { POLL_KEPT } else { self.history_of_polls };
                assert!(self.is_bounded || now - before > kept, "{topic} is kept from {before} on: {body}");
            }
            let is_up_to = |(offset, _): &(u64, String)| *offset == now || topic == PASSING && *offset < now;
            assert!(said.last().is_none_or(is_up_to), "{topic} is said up to {now}: {body}");
            self.polled += said.len() as u64;
            for (offset, payload) in said {
                self.learn(topic, offset, payload);
            }
            let notes = self.notes.entry(peer.id).or_default();
            if now > 0 {
                notes.heard.insert(topic.to_owned(), now);
            }
        }
    }
}

/// Whether a gap is one of what a target brings.
fn matches(target: &str, gap: &Value) -> bool {
    crate::auditor::matches(target, gap["t"].as_str().expect("a gap names its topic"))
}

/// The offsets of an id.
fn offsets(id: &str) -> impl Iterator<Item = u64> {
    let positions = id.split(',').filter(|position| !position.is_empty());
    positions.map(|position| position.split_once('-').expect("a position").1.parse().expect("an offset"))
}
