//! Readers that are behind, or that asked for less than all: what they skip, and what they get next.

use std::sync::Arc;

use super::lag::{self, Full, LaneKey, Terms};
use super::subscription::TargetId;
use crate::buf::Segment;
use crate::command::{ConnId, Mode, Origin, Outbound, Policy, Publication, Target, TopicName};
use crate::hub::{TopicId, TopicSettings};
use crate::limits::{BANDWIDTH_SLICES, LAG_DRAIN_LEN};
use crate::shard::Shard;
use crate::shard::delivery::encoded::Encoding;
use crate::shard::link::conn::{Flag, Slot};
use crate::time::MonoTime;

impl Shard {
    /// Notes what a subscription asked for; one that leaves everything to rules that say nothing needs no note.
    pub(in crate::shard) fn note_policy(&mut self, id: ConnId, target: &Target, policy: Policy) {
        let rules = &self.settings.rules;
        let is_plain = policy.max_rate.is_none() && policy.max_age_ms.is_none();
        let is_plain = is_plain && (policy.mode == Some(Mode::Queue) || policy.mode.is_none());
        let Some(key) = self.find_subscription(id, target) else { return };
        let followed = self.subscriptions.target(&self.conns, key);
        if is_plain && !rules.has_policies() {
            self.policies.remove(&(id.index, followed));
            return;
        }
        let is_paced = policy.max_rate.is_some()
            || match target {
                Target::Topic(topic) => rules.has_rates() && rules.find(topic.as_str()).max_rate.is_some(),
                Target::Pattern(_) => rules.has_rates(),
            };
        self.policies.insert((id.index, followed), policy);
        let conn = &mut self.conns[id.index];
        conn.set(Flag::HAS_POLICIES, true);
        if is_paced {
            conn.set(Flag::PACED, true);
        }
    }

    /// What holds for what a reader gets of a topic: what its subscription by name asked for, else that by pattern, and
    /// the topic's rule.
    pub(in crate::shard) fn terms(&mut self, index: u32, topic: TopicId) -> Terms {
        let by_name = TargetId::topic(topic);
        let asked = if self.subscriptions.find(&self.conns, index, by_name).is_some() {
            self.policies.get(&(index, by_name)).map(|policy| (by_name, *policy))
        } else {
            let patterns = self.hub.matching(topic).iter().map(|&pattern| TargetId::pattern(pattern));
            let asked = |target| self.policies.get(&(index, target)).map(|policy| (target, *policy));
            patterns.filter_map(asked).next()
        };
        let Some((target, policy)) = asked else { return Terms::default() };
        let rule = self.rule(topic);
        let subscription = policy.max_rate.map(|rate| (LaneKey::Subscription(target), rate));
        let own = rule.max_rate.map(|rate| (LaneKey::Topic(self.hub.name(topic)), rate));
        let (rate, outer) = match (subscription, own) {
            (Some((key, asked)), Some((_, allowed))) if target == by_name => (Some((key, asked.min(allowed))), None),
            (subscription, Some(own)) => (Some(own), subscription),
            (subscription, None) => (subscription, None),
        };
        let ages = [policy.max_age_ms.unwrap_or(0), rule.max_age_ms];
        let max_age_ms = ages.into_iter().filter(|age| *age > 0).min().unwrap_or(0);
        let mode = match policy.mode.unwrap_or(rule.mode) {
            _ if rate.is_some() => Mode::Latest,
            Mode::Queue if max_age_ms > 0 => Mode::DropOldest,
            mode => mode,
        };
        Terms { mode, rate, outer, max_age_ms }
    }

    /// The same for a topic that this shard may not know any more, since only readers of patterns had it.
    fn terms_by_name(&mut self, index: u32, publication: &Publication) -> Terms {
        let topic = self.hub.ensure(&publication.topic);
        let terms = self.terms(index, topic);
        self.hub.release(topic);
        terms
    }

    /// What the configuration says of a topic: the last one that was asked for is remembered, since one run asks for all
    /// its readers.
    fn rule(&mut self, topic: TopicId) -> TopicSettings {
        let name = self.hub.text(topic);
        match &self.last_rule {
            Some((last, settings)) if last.as_str() == name => *settings,
            _ => self.rule_of(&self.hub.name(topic)),
        }
    }

    /// The same by its name.
    pub(in crate::shard) fn rule_of(&mut self, topic: &TopicName) -> TopicSettings {
        match &self.last_rule {
            Some((last, settings)) if last == topic => *settings,
            _ => {
                let settings = self.settings.rules.find(topic.as_str());
                self.last_rule = Some((topic.clone(), settings));
                settings
            }
        }
    }

    /// Keeps references for a reader, as many as its terms ask for.
    pub(in crate::shard) fn fall_behind(
        &mut self,
        index: u32,
        terms: &Terms,
        publications: &[Arc<Publication>],
    ) -> Result<(), Full> {
        let conn = &mut self.conns[index];
        let me = Origin { shard: self.settings.shard, conn: conn.id(index) };
        let hides_own = conn.is(Flag::NO_ECHO);
        let lag = lag::ensure(&mut self.lags, &mut conn.lag);
        for publication in publications.iter().filter(|publication| !hides_own || publication.origin != Some(me)) {
            self.metrics.skipped += lag.push(publication, terms, self.settings.limits.outbox_len_max as usize)?;
        }
        let id = conn.id(index);
        self.mark_dirty(id);
        Ok(())
    }

    /// Whether publications of a topic must wait behind others of it, or for their time.
    pub(in crate::shard) fn must_wait(
        &self,
        index: u32,
        terms: &Terms,
        publication: &Publication,
        is_behind: bool,
    ) -> bool {
        let lag = self.conns[index].lag.index().map(|slot| &self.lags[slot]);
        is_behind && terms.skips()
            || terms.rate.is_some()
            || lag.is_some_and(|lag| lag.newest(&publication.topic).is_some())
    }

    /// Too much is held for a reader that is slow to take what it missed. If it would rather skip, it does; `false` if
    /// it would not, or if its subscriptions are still under way.
    pub(in crate::shard) fn stop_holding(&mut self, index: u32) -> bool {
        let id = self.conns[index].id(index);
        let Some(mut held) = self.take_catch_up(id) else { return false };
        while let Some((publication, _)) = held.pop(false) {
            let terms = self.terms_by_name(index, &publication);
            if !terms.skips() || self.fall_behind(index, &terms, &[publication]).is_err() {
                return false;
            }
        }
        true
    }

    /// Whether a reader gets a publication with others of its topic that it is behind with, or when its rate allows. A
    /// rate is for what is said from now on: what a reader gets on joining comes at once.
    pub(in crate::shard) fn comes_by_lag(&mut self, id: ConnId, publication: &Arc<Publication>, is_held: bool) -> bool {
        let conn = &self.conns[id.index];
        let newest = conn.lag.index().and_then(|slot| self.lags[slot].newest(&publication.topic));
        if newest.is_none() && !(is_held && conn.is(Flag::PACED)) {
            return false;
        }
        let terms = self.terms_by_name(id.index, publication);
        if newest.is_none() && terms.rate.is_none() {
            return false;
        }
        if newest.is_none_or(|newest| newest < publication.position.offset) {
            // Past the bound of a reader that waits for everything, the rest comes by history.
            let _ = self.fall_behind(id.index, &terms, std::slice::from_ref(publication));
        }
        true
    }

    /// The reader has taken what it was sent: chooses what it gets next of what it is behind with.
    pub(in crate::shard) fn catch_up_lag(&mut self, id: ConnId) {
        let now = self.now;
        let drain_len = match self.bandwidth(id) {
            0 => LAG_DRAIN_LEN,
            bandwidth => slice_len(bandwidth),
        };
        let until = if self.is_draining() { MonoTime::from_nanos(u64::MAX) } else { now };
        let conn = &mut self.conns[id.index];
        let (encoding, is_paced, Some(slot)) = (conn.encoding, conn.is(Flag::PACED), conn.lag.index()) else { return };
        if self.outboxes.get(conn.outbox).is_some_and(|outbox| !outbox.has_room(now)) {
            return;
        }
        let outbox = self.outboxes.ensure(&mut conn.outbox);
        while outbox.len() < drain_len
            && let Some(item) = self.lags[slot].pop(now, until)
        {
            self.metrics.skipped += item.expired;
            self.metrics.deliveries += u64::from(item.publication.is_some());
            // A reader of several topics has ids of its own.
            let mut own_id = Vec::new();
            if let Some(publication) = &item.publication {
                self.vectors.advance(id.index, publication, &mut own_id);
            }
            if is_paced && own_id.is_empty() {
                // Readers of one rate get the same at the same time.
                let publication = item.publication.as_ref().map_or(std::ptr::null(), Arc::as_ptr);
                let key = (publication as usize, encoding, item.skipped);
                let mut encode = || {
                    let mut bytes = Vec::new();
                    encode(&item, encoding, &[], &mut self.message, &mut bytes);
                    Segment::from(bytes)
                };
                let segment = match item.publication {
                    Some(_) => self.runs.alone.entry(key).or_insert_with(encode).clone(),
                    None => encode(),
                };
                outbox.append(segment);
            } else {
                outbox.reply(|out| encode(&item, encoding, &own_id, &mut self.message, out));
            }
        }
        let lag = &self.lags[slot];
        if lag.is_empty() {
            self.lags.remove(slot);
            conn.lag = Slot::NONE;
        } else if let Some(due) = lag.next_due()
            && due > now
        {
            self.alarms.set(id.index, due);
        }
    }

    /// Bytes a second that a reader may be sent; 0 for no limit.
    pub(in crate::shard) fn bandwidth(&self, id: ConnId) -> u32 {
        let conn = &self.conns[id.index];
        if !conn.is(Flag::PACED) || !conn.is_reader() {
            return 0;
        }
        let bounds = [self.settings.limits.reader_bandwidth_max, self.bandwidths.get(&id.index).copied().unwrap_or(0)];
        bounds.into_iter().filter(|bound| *bound > 0).min().unwrap_or(0)
    }

    /// Limits a reader's bandwidth, as it asked and as the configuration says.
    pub(in crate::shard) fn note_bandwidth(&mut self, id: ConnId, asked: Option<u32>) {
        if let Some(asked) = asked {
            self.bandwidths.insert(id.index, asked);
        }
        if asked.is_some() || self.settings.limits.reader_bandwidth_max > 0 {
            self.conns[id.index].set(Flag::PACED, true);
        }
    }

    /// What was paced goes on.
    pub(in crate::shard) fn sound_alarms(&mut self) {
        while let Some(index) = self.alarms.pop(self.now) {
            if let Some(id) = self.conns.id_at(index) {
                self.mark_dirty(id);
            }
        }
    }
}

/// The share of a second that one send may have.
pub(in crate::shard) fn slice_len(bandwidth: u32) -> usize {
    (bandwidth / BANDWIDTH_SLICES).max(1) as usize
}

/// How long a send of so many bytes takes.
pub(in crate::shard) fn duration_ms(len: usize, bandwidth: u32) -> u64 {
    (len as u64 * 1_000).div_ceil(u64::from(bandwidth.max(1)))
}

fn encode(item: &lag::Item, encoding: Encoding, own_id: &[u8], message: &mut Vec<u8>, out: &mut Vec<u8>) {
    if item.skipped > 0 {
        // The raw feed has no room for it: there a gap is silent.
        let gap = Outbound::Gap { topic: item.topic.as_str(), skipped: item.skipped, offset: item.offset };
        encoding.say(&gap, message, out);
    }
    if let Some(publication) = &item.publication {
        out.extend_from_slice(own_id);
        encoding.push(publication, message, out);
    }
}
