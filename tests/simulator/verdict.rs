//! The auditor's verdict: what must hold of all that was heard, once everything has had the time to arrive.

use std::collections::{BTreeSet, HashMap};

use fanwire::driver::sim::SimNet;
use serde_json::Value;

use crate::auditor::{Auditor, Begin, Notes, matches};
use crate::carried::{FORGETTING, life};
use crate::peers::{Pace, Part, Peer};

impl Auditor {
    /// Every publication has had the time to arrive: each reader that is still there has all of them.
    pub fn audit_all(&mut self, peers: &mut [Peer], net: &SimNet, is_faultless: bool) {
        self.learn_from_raw_readers(peers);
        self.audit_holes();
        for (topic, log) in &self.log {
            let mut said = BTreeSet::new();
            let mut numbers: HashMap<String, u64> = HashMap::new();
            for payload in log.values() {
                assert!(said.insert(payload), "{topic}: {payload} was numbered twice");
                let Ok(Value::Array(parts)) = serde_json::from_str(payload) else { continue };
                let number = parts[1].as_u64().expect("a number");
                let before = numbers.insert(parts[0].to_string(), number);
                assert!(before.is_none_or(|before| before < number), "{topic}: a publisher's order is lost");
            }
        }
        for peer in peers.iter() {
            let notes = &self.notes[&peer.id];
            if let Some((code, reason)) = &peer.close {
                let waits = matches!(peer.part, Part::Raw { mode: "queue", .. } | Part::Json { mode: "queue", .. });
                // Past the memory that a shard may hold, the connection that holds most is closed.
                let waits = waits || matches!(peer.part, Part::Json { mode: "mixed", .. }) || self.is_bounded;
                let permitted = notes.has_left || *code == Some(1013) && waits && (peer.was_slow || !is_faultless);
                assert!(permitted, "{:?} was closed with {code:?} {reason}", peer.id);
            }
            let is_ended_slow = matches!(peer.part, Part::Follow { mode: "queue", .. }) && peer.was_slow;
            if is_faultless && !notes.has_left && peer.close.is_none() && !is_ended_slow {
                assert_eq!(peer.end, None, "{:?} {:?} lost its connection for no reason", peer.id, peer.part);
            }
            if !peer.is_open(net) || notes.has_left {
                continue;
            }
            assert!(
                peer.part == Part::Hostile || matches!(peer.part, Part::Poll { .. }) || notes.asked.is_empty(),
                "{:?} got no answer to {:?}",
                peer.id,
                notes.asked
            );
            self.complete_readers += match &peer.part {
                Part::Follow { .. } => self.audit_json(notes, Pace::default()),
                // One that waits has all there is.
                Part::Poll { .. } if !notes.asked.is_empty() => self.audit_json(notes, Pace::default()),
                Part::Json { pace, .. } => self.audit_json(notes, *pace),
                Part::Raw { pace: Pace { max_age_ms: 1.., .. }, .. } => 0,
                Part::Raw { topic, echo, mode: "queue", pace } if peer.is_upgraded && !pace.skips() => {
                    let is_known = self.audit_raw(notes, topic, *echo);
                    self.raw_readers += 1;
                    self.raw_unknown += u64::from(!is_known);
                    u64::from(is_known)
                }
                Part::Raw { topic, .. } if peer.is_upgraded => self.audit_skipping(notes, topic),
                _ => 0,
            };
        }
    }

    fn audit_json(&self, notes: &Notes, pace: Pace) -> u64 {
        for (topic, log) in &self.log {
            // Of those that it is to get.
            let newest = log.iter().rev().find(|(_, said)| !notes.excepted.contains(*said)).map(|(offset, _)| *offset);
            let name = topic.split('@').next().unwrap_or_default();
            // Another life of the topic.
            let is_other =
                name != topic && notes.epochs.get(name).is_none_or(|epoch| *topic != life(name, Some(epoch)));
            if !is_other && notes.targets.iter().any(|target| matches(target, name)) {
                let heard = notes.heard.get(name).copied();
                // It may have had nothing to get yet, or only an older last value.
                let stands = match notes.may_begin.get(name) {
                    Some(&Begin::At { joined, .. }) => heard.max(Some(joined)),
                    _ => heard,
                };
                let mut behind = log.range(heard.map_or(0, |heard| heard + 1)..).map(|(_, said)| said);
                // What it excepted itself from it does not get as the last value, nor the one before in its place.
                let hides_last = log.values().next_back().is_some_and(|said| notes.excepted.contains(said));
                let has_all = (self.may_lack_last(name) || hides_last)
                    && (stands >= newest
                        || (name == FORGETTING || hides_last) && heard.is_none()
                        || behind.all(|said| self.is_passing(said) || notes.excepted.contains(said)));
                let is_told = heard.is_some() && notes.told.get(topic).copied() == heard;
                assert!(!is_told || pace.max_age_ms > 0, "only what is too old is told instead of sent");
                // The message may be a newer one, from raw peers to raw peers alone.
                let arrived =
                    heard >= newest && heard.is_some() == newest.is_some() || has_all || is_told && heard >= newest;
                assert!(arrived, "{topic}: the newest did not arrive: {newest:?}, {:?}", notes.heard.get(topic));
            }
        }
        u64::from(!notes.targets.is_empty())
    }

    /// The shutdown was said to a peer that was still there.
    pub fn audit_goodbye(&mut self, peer: &Peer) {
        let (code, reason) = peer.close.clone().unwrap_or_else(|| panic!("{:?} was left without a word", peer.id));
        if code == Some(1001) {
            assert!(reason.starts_with("retry_ms="), "{reason}");
        }
    }
}
