//! Raw readers, as the auditor sees them: they hear payloads without a name or a number, so that what others learned of the
//! topic says where each stands.

use std::collections::BTreeMap;

use fanwire::driver::sim::PeerId;

use crate::auditor::{Auditor, Notes};
use crate::carried::{FORGETTING, PASSING};
use crate::peers::{Part, Peer};

impl Auditor {
    /// Fault: `echo=0` is ignored in one of the ways by which a reader gets its messages.
    pub fn hear_raw(&mut self, peer: PeerId, echo: bool, payload: String) {
        let notes = self.notes.entry(peer).or_default();
        assert!(echo || !notes.own.contains(&payload), "{peer:?} has echo=0 and hears its own {payload}");
        notes.payloads.push(payload);
    }

    /// What one that waits for everything and hears itself has heard has no gap, so that one message with a known offset
    /// tells the offsets of all. Where that is not so, what it tells contradicts what others have learned.
    pub fn learn_from_raw_readers(&mut self, peers: &[Peer]) {
        let mut readers: Vec<(PeerId, &str)> = Vec::new();
        for peer in peers {
            match &peer.part {
                Part::Raw { topic, echo: true, mode: "queue", pace } if !pace.skips() => readers.push((peer.id, topic)),
                _ => {}
            }
        }
        loop {
            let before = readers.len();
            readers.retain(|(peer, topic)| {
                let payloads = self.notes[peer].payloads.clone();
                let places = self.log.get(*topic).map(places).unwrap_or_default();
                // The first may be a last value that is older than where the topic stood.
                let first = payloads.first().and_then(|payload| places.get(payload).copied());
                let is_next = first.is_some_and(|first| self.has_passed_up_to(first, &places));
                let skipped = usize::from(*topic == PASSING && !is_next);
                let behind = payloads.iter().enumerate().skip(skipped);
                let known = behind.clone().find_map(|(at, payload)| Some((at, *places.get(payload)?)));
                let Some((at, offset)) = known else { return true };
                let first =
                    offset.checked_sub((at - skipped) as u64).expect("as many were said before it as were heard");
                let behind: Vec<_> = behind.map(|(_, payload)| payload.clone()).collect();
                (first..).zip(behind).for_each(|(offset, payload)| self.learn(topic, offset, payload));
                false
            });
            if readers.len() == before {
                return;
            }
        }
    }

    /// A raw reader heard exactly the log from some offset on, its own messages aside if it asked for that; `false` if too
    /// little is known.
    pub(super) fn audit_raw(&self, notes: &Notes, topic: &str, echo: bool) -> bool {
        let heard = &notes.payloads;
        let nothing = BTreeMap::new();
        let log = self.log.get(topic).unwrap_or(&nothing);
        let Some(first) = heard.first() else {
            let is_kept = echo && !self.is_bounded && !log.is_empty() && !self.may_lack_last(topic);
            assert!(!is_kept, "{topic}: a raw reader heard not even what was said last before it came");
            return self.may_lack_last(topic) || log.values().all(|payload| notes.own.contains(payload));
        };
        let Some(&begin) = places(log).get(first) else { return false };
        let is_forgotten = topic == FORGETTING && begin <= notes.forgotten_before;
        assert!(!is_forgotten, "{topic}: {first} was forgotten before the reader came");
        let newest = *log.keys().next_back().expect("a log has entries");
        if (begin..=newest).any(|offset| !log.contains_key(&offset)) {
            return false;
        }
        let hears = |payload: &&String| echo || !notes.own.contains(*payload);
        // The first may be a last value: what passed by behind it, before the reader came, it does not hear.
        let is_missed = |payload: &&String| self.is_passing(payload) && Some(*payload) != heard.get(1);
        let missed = log.range(begin + 1..).map(|(_, payload)| payload).take_while(is_missed).count() as u64;
        let rest = log.range(begin + 1 + missed..).map(|(_, payload)| payload);
        let expected: Vec<&String> = std::iter::once(first).chain(rest).filter(hears).collect();
        // Messages from raw peers to raw peers alone are not in the log; there may be more of them at the end.
        let known = &heard[..heard.len().min(expected.len())];
        assert_eq!(known.iter().collect::<Vec<_>>(), expected, "{topic}: a raw reader missed or repeated something");
        true
    }

    /// A raw reader that would rather skip heard what it heard in order, and the newest at last.
    pub(super) fn audit_skipping(&self, notes: &Notes, topic: &str) -> u64 {
        let Some(log) = self.log.get(topic) else { return 0 };
        let places = places(log);
        let offsets: Vec<u64> = notes.payloads.iter().filter_map(|heard| places.get(heard).copied()).collect();
        assert!(offsets.is_sorted_by(|a, b| a < b), "{topic}: {offsets:?}");
        let lasting = log.iter().rev().find(|(_, said)| !self.is_passing(said));
        let newest = lasting
            .filter(|_| topic != FORGETTING)
            .filter(|(_, said)| !notes.own.contains(*said))
            .map(|(offset, _)| *offset);
        // Messages from raw peers to raw peers alone are not in the log, and may be newer.
        let ends_unknown = notes.payloads.last().is_some_and(|heard| !places.contains_key(heard));
        assert!(
            newest.is_none() || ends_unknown || offsets.last().copied() >= newest,
            "{topic}: the newest is missing"
        );
        1
    }
}

/// Where each payload of a log stands.
fn places(log: &BTreeMap<u64, String>) -> BTreeMap<&String, u64> {
    log.iter().map(|(offset, payload)| (payload, *offset)).collect()
}
