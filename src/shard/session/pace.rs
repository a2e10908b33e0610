//! Readers that are behind, or that asked for less than every message: which messages they skip, and which come next.

use std::sync::Arc;

use super::encoding::EncodingId;
use super::lag::{self, Full, LaneKey, Terms};
use super::rest::{self, Rest};
use super::session::Mark;
use super::subscription::TargetId;
use crate::buf::Segment;
use crate::command::{Mode, Origin, Outbound, Policy, Publication, SessionId, SessionIndex, Target, TopicName};
use crate::dialect::DialectState;
use crate::hub::{TopicId, TopicSettings};
use crate::limits::{LAG_DRAIN_LEN, LAG_TOPIC_COST};
use crate::shard::Shard;
use crate::shard::link::outflow::slice_len;
use crate::shard::slot::Slot;
use crate::time::MonoTime;

impl Shard {
    /// Notes the options of a subscription. A subscription without options, under rules without options, needs no note.
    pub(in crate::shard) fn note_policy(&mut self, id: SessionId, target: &Target, policy: Policy) {
        let rules = &self.settings.live.rules;
        let is_plain = policy.max_rate.is_none() && policy.max_age_ms.is_none();
        let is_plain = is_plain && (policy.mode == Some(Mode::Queue) || policy.mode.is_none());
        let Some(key) = self.find_subscription(id, target) else { return };
        let followed = self.sessions.subscriptions.target(&self.links.conns, key);
        if is_plain && !rules.has_policies() {
            rest::change(&mut self.sessions.rests, &mut self.links.conns[id.index].rest, |rest| {
                rest.policies.remove(&followed);
            });
            return;
        }
        let is_paced = policy.max_rate.is_some()
            || match target {
                Target::Topic(topic) => rules.has_rates() && rules.find(topic.as_str()).max_rate.is_some(),
                Target::Pattern(_) => rules.has_rates(),
            };
        let session = &mut self.links.conns[id.index];
        rest::ensure(&mut self.sessions.rests, &mut session.rest).policies.insert(followed, policy);
        session.set(Mark::HAS_POLICIES, true);
        if is_paced {
            session.set(Mark::PACED, true);
        }
    }

    /// The policy for a reader's messages of a topic: that of its subscription by name, otherwise that of a pattern,
    /// together with the topic's rule.
    pub(in crate::shard) fn terms(&mut self, index: SessionIndex, topic: TopicId) -> Terms {
        let by_name = TargetId::topic(topic);
        let rest = rest::get(&self.sessions.rests, self.links.conns[index].rest);
        let asked_by = |target| rest.and_then(|rest| rest.policies.get(&target)).map(|policy| (target, *policy));
        let asked = if self.sessions.subscriptions.find(&self.links.conns, index, by_name).is_some() {
            asked_by(by_name)
        } else {
            let patterns = self.hub.matching(topic).iter().map(|&pattern| TargetId::pattern(pattern));
            patterns.filter_map(asked_by).next()
        };
        // Without a policy of its own a subscription has no entry, unless a rule has one; rules may have changed
        // since.
        let (target, policy) = asked.unwrap_or((by_name, Policy::default()));
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

    /// The same for a topic that this shard may not know any more, because it had only readers by pattern.
    fn terms_by_name(&mut self, index: SessionIndex, publication: &Publication) -> Terms {
        let topic = self.hub.ensure(&publication.topic);
        let terms = self.terms(index, topic);
        self.hub.release(topic);
        terms
    }

    /// The rule of a topic. The last topic is remembered, since one run asks for all its readers.
    fn rule(&mut self, topic: TopicId) -> TopicSettings {
        let name = self.hub.text(topic);
        match &self.sessions.last_rule {
            Some((last, settings)) if last.as_str() == name => *settings,
            _ => self.rule_of(&self.hub.name(topic)),
        }
    }

    /// The rule of a topic by its name.
    pub(in crate::shard) fn rule_of(&mut self, topic: &TopicName) -> TopicSettings {
        match &self.sessions.last_rule {
            Some((last, settings)) if last == topic => *settings,
            _ => {
                let settings = self.settings.live.rules.find(topic.as_str());
                self.sessions.last_rule = Some((topic.clone(), settings));
                settings
            }
        }
    }

    /// Keeps references for a reader, as many as its policy allows.
    pub(in crate::shard) fn fall_behind(
        &mut self,
        index: SessionIndex,
        terms: &Terms,
        publications: &[Arc<Publication>],
    ) -> Result<(), Full> {
        let Some(id) = self.links.conns.session_at(index) else { return Ok(()) };
        let me = Origin { shard: self.settings.shard, session: id };
        let session = &mut self.links.conns[index];
        let hides_own = session.is(Mark::NO_ECHO);
        let lag = lag::ensure(&mut self.sessions.lags, &mut session.lag);
        self.turn.grown += publications.len() * LAG_TOPIC_COST;
        for publication in publications.iter().filter(|publication| !publication.is_hidden_from(me, hides_own)) {
            self.metrics.skipped += lag.push(publication, terms, self.settings.live.limits.outbox_len_max as usize)?;
        }
        self.mark_news(id);
        Ok(())
    }

    /// Whether publications of a topic must wait behind others of the topic, or for their time.
    pub(in crate::shard) fn must_wait(
        &self,
        index: SessionIndex,
        terms: &Terms,
        publication: &Publication,
        is_behind: bool,
    ) -> bool {
        let lag = self.links.conns[index].lag.index().map(|slot| &self.sessions.lags[slot]);
        is_behind && terms.skips()
            || terms.rate.is_some()
            || lag.is_some_and(|lag| lag.newest(&publication.topic).is_some())
    }

    /// Too much is held for a slow reader. If its policy allows skipping, it skips from now on. Returns `false` if
    /// the policy does not, or if its subscriptions are still under way.
    pub(in crate::shard) fn stop_holding(&mut self, index: SessionIndex) -> bool {
        let Some(id) = self.links.conns.session_at(index) else { return false };
        let Some(mut held) = self.take_catch_up(id) else { return false };
        while let Some((publication, _)) = held.pop(false) {
            let terms = self.terms_by_name(index, &publication);
            if !terms.skips() || self.fall_behind(index, &terms, &[publication]).is_err() {
                return false;
            }
        }
        true
    }

    /// Whether a reader gets a publication together with others of its topic that it is behind with, or later because
    /// of its rate. A rate holds for new publications only: the messages on joining come at once.
    pub(in crate::shard) fn comes_by_lag(
        &mut self,
        id: SessionId,
        publication: &Arc<Publication>,
        is_held: bool,
    ) -> bool {
        let session = &self.links.conns[id.index];
        let newest = session.lag.index().and_then(|slot| self.sessions.lags[slot].newest(&publication.topic));
        if newest.is_none() && !(is_held && session.is(Mark::PACED)) {
            return false;
        }
        let terms = self.terms_by_name(id.index, publication);
        if newest.is_none() && terms.rate.is_none() {
            return false;
        }
        if newest.is_none_or(|newest| newest < publication.position.offset) {
            // Above the bound of a reader that waits for every message, the others come from the history.
            let _ = self.fall_behind(id.index, &terms, std::slice::from_ref(publication));
        }
        true
    }

    /// The reader has taken its last portion: chooses its next messages.
    pub(in crate::shard) fn catch_up_lag(&mut self, id: SessionId) {
        let now = self.now;
        let drain_len = match self.bandwidth(id) {
            0 => LAG_DRAIN_LEN,
            bandwidth => slice_len(bandwidth),
        };
        let until = if self.is_draining() { MonoTime::from_nanos(u64::MAX) } else { now };
        let (session, outbox_slot) = self.links.conns.parts_mut(id.index);
        let (encoding, is_paced, Some(slot)) = (session.encoding, session.is(Mark::PACED), session.lag.index()) else {
            return;
        };
        if self.links.outboxes.get(*outbox_slot).is_some_and(|outbox| !outbox.has_room(now)) {
            return;
        }
        let outbox = self.links.outboxes.ensure(outbox_slot);
        while outbox.len() < drain_len
            && let Some(item) = self.sessions.lags[slot].pop(now, until)
        {
            self.metrics.skipped += item.expired;
            self.metrics.deliveries += u64::from(item.publication.is_some());
            let mut rest = rest::get_mut(&mut self.sessions.rests, session.rest);
            if is_paced && !session.is(Mark::PREFIXED) {
                // Readers with the same rate get the same messages at the same time.
                let publication = item.publication.as_ref().map_or(std::ptr::null(), Arc::as_ptr);
                let key = (publication as usize, encoding, item.skipped);
                let mut encode = || {
                    let mut bytes = Vec::new();
                    encode(&item, encoding, None, &mut self.delivery.message, &mut bytes);
                    Segment::from(bytes)
                };
                let segment = match item.publication {
                    Some(_) => self.delivery.runs.alone.entry(key).or_insert_with(encode).clone(),
                    None => encode(),
                };
                outbox.append(segment);
            } else {
                outbox.reply(|out| encode(&item, encoding, rest.take(), &mut self.delivery.message, out));
            }
        }
        let lag = &self.sessions.lags[slot];
        if lag.is_empty() {
            self.sessions.lags.remove(slot);
            session.lag = Slot::NONE;
        } else if let Some(due) = lag.next_due()
            && due > now
        {
            self.sessions.alarms.set(id.index.bits(), due);
        }
    }

    /// The bandwidth of a reader, in bytes a second; 0 for no limit.
    pub(in crate::shard) fn bandwidth(&self, id: SessionId) -> u32 {
        let session = &self.links.conns[id.index];
        if !session.is(Mark::PACED) || !self.links.conns.is_reader(id.index) {
            return 0;
        }
        let bounds = [
            self.settings.live.limits.reader_bandwidth_max,
            rest::get(&self.sessions.rests, session.rest).map_or(0, |rest| rest.bandwidth),
        ];
        bounds.into_iter().filter(|bound| *bound > 0).min().unwrap_or(0)
    }

    /// Sets a reader's bandwidth, from its own wish and the configuration.
    pub(in crate::shard) fn note_bandwidth(&mut self, id: SessionId, asked: Option<u32>) {
        if let Some(asked) = asked {
            let slot = &mut self.links.conns[id.index].rest;
            rest::ensure(&mut self.sessions.rests, slot).bandwidth = asked;
        }
        if asked.is_some() || self.settings.live.limits.reader_bandwidth_max > 0 {
            self.links.conns[id.index].set(Mark::PACED, true);
        }
    }

    /// Resumes the readers that are due.
    pub(in crate::shard) fn sound_alarms(&mut self) {
        while let Some(index) = self.sessions.alarms.pop(self.now) {
            if let Some(id) = self.links.conns.session_at(SessionIndex::from_bits(index)) {
                self.mark_news(id);
            }
        }
    }
}

fn encode(item: &lag::Item, encoding: EncodingId, rest: Option<&mut Rest>, message: &mut Vec<u8>, out: &mut Vec<u8>) {
    if item.skipped > 0 {
        // The raw feed has no form for a gap: there it is silent.
        let gap = Outbound::Gap { topic: item.topic.as_str(), skipped: item.skipped, offset: item.offset };
        let state = rest.as_ref().map_or(&DialectState::None, |rest| &rest.state);
        encoding.row().say(state, &gap, message, out);
    }
    if let Some(publication) = &item.publication {
        encoding.row().push_alone(rest, publication, message, out);
    }
}
