//! Readers that are behind: what they skip, and what they get next.

use std::sync::Arc;

use super::Shard;
use super::conn::{Flag, Slot};
use super::lag;
use super::subscription::TargetId;
use crate::command::{ConnId, Mode, Origin, Outbound, Publication};
use crate::hub::TopicId;
use crate::limits::LAG_DRAIN_LEN;

impl Shard {
    /// What a reader that is behind gets of a topic: what its subscription by name asked for, else that by pattern.
    pub(super) fn mode(&mut self, index: u32, topic: TopicId) -> Mode {
        let by_name = TargetId::topic(topic);
        let asked = if self.subscriptions.find(&self.conns, index, by_name).is_some() {
            self.modes.get(&(index, by_name)).copied()
        } else {
            let patterns = self.hub.matching(topic).iter();
            patterns.filter_map(|&pattern| self.modes.get(&(index, TargetId::pattern(pattern))).copied()).next()
        };
        match asked {
            Some(Some(mode)) => mode,
            Some(None) => self.settings.rules.find(self.hub.name(topic).as_str()).mode,
            None => Mode::Queue,
        }
    }

    /// Keeps references for a reader that is behind, as many as its mode asks for.
    pub(super) fn fall_behind(&mut self, index: u32, mode: Mode, publications: &[Arc<Publication>]) {
        let conn = &mut self.conns[index];
        let me = Origin { shard: self.settings.shard, conn: conn.id(index) };
        let hides_own = conn.is(Flag::NO_ECHO);
        let lag = lag::ensure(&mut self.lags, &mut conn.lag);
        for publication in publications.iter().filter(|publication| !hides_own || publication.origin != Some(me)) {
            self.metrics.skipped += lag.push(publication, mode, self.settings.limits.outbox_len_max as usize);
        }
        let id = conn.id(index);
        self.mark_dirty(id);
    }

    /// Too much is held for a reader that is slow to take what it missed. If it would rather skip, it does; `false` if
    /// it would not, or if its subscriptions are still under way.
    pub(super) fn stop_holding(&mut self, index: u32) -> bool {
        let id = self.conns[index].id(index);
        let Some(mut held) = self.take_catch_up(id) else { return false };
        while let Some(publication) = held.pop() {
            let Some(topic) = self.hub.find(publication.topic.as_str()) else { continue };
            match self.mode(index, topic) {
                Mode::Queue => return false,
                mode => self.fall_behind(index, mode, &[publication]),
            }
        }
        true
    }

    /// Whether a reader gets a publication behind others of its topic that it is behind with.
    pub(super) fn comes_by_lag(&mut self, id: ConnId, publication: &Arc<Publication>) -> bool {
        let lag = self.conns[id.index].lag.index().map(|slot| &self.lags[slot]);
        let Some(newest) = lag.and_then(|lag| lag.newest(&publication.topic)) else { return false };
        if newest < publication.position.offset
            && let Some(topic) = self.hub.find(publication.topic.as_str())
        {
            let mode = self.mode(id.index, topic);
            self.fall_behind(id.index, mode, std::slice::from_ref(publication));
        }
        true
    }

    /// The reader has taken what it was sent: chooses what it gets next of what it is behind with.
    pub(super) fn catch_up_lag(&mut self, id: ConnId) {
        let conn = &mut self.conns[id.index];
        let (encoding, Some(slot)) = (conn.encoding, conn.lag.index()) else { return };
        let outbox = self.outboxes.ensure(&mut conn.outbox);
        while outbox.len() < LAG_DRAIN_LEN
            && let Some(item) = self.lags[slot].pop()
        {
            let gap = Outbound::Gap {
                topic: item.publication.topic.as_str(),
                skipped: item.skipped,
                offset: item.publication.position.offset,
            };
            self.metrics.deliveries += 1;
            outbox.reply(|out| {
                if item.skipped > 0 {
                    // The raw feed has no room for it: there a gap is silent.
                    encoding.say(&gap, &mut self.message, out);
                }
                self.vectors.advance(id.index, &item.publication, out);
                encoding.push(&item.publication, &mut self.message, out);
            });
        }
        if self.lags[slot].is_empty() {
            self.lags.remove(slot);
            conn.lag = Slot::NONE;
        }
    }
}
