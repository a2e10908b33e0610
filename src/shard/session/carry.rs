//! Operations of requests on detached sessions, at the shard that holds the sessions. The requests may have arrived
//! at any shard: `shard/request/carry.rs` asks and gets the answers.

use super::detached::Detached;
use super::encoding::EncodingId;
use super::rest;
use crate::close::CloseReason;
use crate::command::{
    Carried, Carry, MessageKind, Opening, Outbound, SessionId, SessionKey, ShardId, Subscribe, Target,
};
use crate::limits::{DETACHED_HEARTBEAT_MS, DETACHED_LINGER_MS, DETACHED_MAX, REPLY_BACKLOG_LEN_MAX};
use crate::mailbox::Answer;
use crate::routes::dialect_of;
use crate::shard::Shard;
use crate::shard::link::outbox::Outbox;

impl Shard {
    /// Handles a request's operation on a detached session.
    pub(in crate::shard) fn on_carry(&mut self, from: ShardId, key: SessionKey, carry: Carry, ticket: u32) {
        let found = self.links.conns.detached.find(key);
        let carried = match (carry, found) {
            (Carry::Receive { opening: Some(opening) }, None) => {
                let opened = self.open_detached(key, *opening);
                Some(opened.map_or(Carried::Refused, |()| Carried::Opened))
            }
            (Carry::Gone, None) => return,
            (_, None) => Some(Carried::Unknown),
            (Carry::Receive { .. }, Some(id)) => self.receive_detached(id, from, ticket),
            (Carry::Send(messages), Some(id)) => {
                let is_taken = self.may_send(id, &messages);
                let carried = is_taken.err();
                let is_taken = carried.is_none();
                self.answer(from, Answer::Carried { ticket, carried: carried.unwrap_or(Carried::Taken) });
                if is_taken {
                    self.hear_detached(id, messages);
                }
                return;
            }
            (Carry::Gone, Some(id)) => {
                // The client of that request is gone.
                if self.links.conns.detached.get(id).is_some_and(|detached| detached.receiver == Some((from, ticket))) {
                    self.remove_detached(id, CloseReason::PeerGone);
                }
                return;
            }
        };
        if let Some(carried) = carried {
            self.answer(from, Answer::Carried { ticket, carried });
        }
    }

    fn open_detached(&mut self, key: SessionKey, opening: Opening) -> Option<()> {
        if self.is_draining() || self.links.conns.detached.len() >= DETACHED_MAX {
            return None;
        }
        let service = self.settings.services.get(usize::from(opening.service))?;
        let encoding = EncodingId::of(service.kind.framing(), dialect_of(service.meaning), false);
        let due = self.now.plus_millis(DETACHED_LINGER_MS);
        let id = self.links.conns.detached.insert(key, opening.listener, due);
        self.links.conns[id.index].owner = opening.owner;
        self.speak(id, encoding);
        if let Some(topic) = opening.topic {
            let targets = vec![Target::Topic(topic)];
            let (since, policy) = (Vec::new(), None);
            self.subscribe(
                id,
                Subscribe { id: None, targets, since, last: true, policy, presence: false, headers: None },
            );
        }
        Some(())
    }

    /// Lets a request wait for messages; returns an answer if it need not wait.
    fn receive_detached(&mut self, id: SessionId, from: ShardId, ticket: u32) -> Option<Carried> {
        let detached = self.links.conns.detached.get_mut(id)?;
        let is_empty = self.links.outboxes.get(detached.outbox).is_none_or(|outbox| outbox.len() == 0);
        if let Some((reason, text)) = detached.end.as_ref().filter(|_| is_empty) {
            return Some(Carried::Ended(*reason, text.clone()));
        }
        if detached.receiver.is_some() {
            return Some(Carried::Busy);
        }
        detached.receiver = Some((from, ticket));
        self.links.conns.detached.set_due(id, self.now.plus_millis(DETACHED_HEARTBEAT_MS));
        self.links.conns.detached.news.push(id);
        None
    }

    /// Whether messages can be accepted now.
    fn may_send(&self, id: SessionId, messages: &[Box<str>]) -> Result<(), Carried> {
        let detached = self.links.conns.detached.get(id).filter(|detached| detached.end.is_none());
        let detached = detached.ok_or(Carried::Unknown)?;
        let backlog = self.links.outboxes.get(detached.outbox).map_or(0, Outbox::len);
        let waiting = detached.unheard.iter().chain(messages).map(|message| message.len()).sum::<usize>();
        let is_too_much = backlog > REPLY_BACKLOG_LEN_MAX
            || detached.is_held && waiting > self.settings.live.limits.message_len_max as usize;
        if is_too_much { Err(Carried::Refused) } else { Ok(()) }
    }

    /// Handles messages; those after an unfinished operation wait.
    fn hear_detached(&mut self, id: SessionId, messages: Vec<Box<str>>) {
        let Some(detached) = self.links.conns.detached.get_mut(id) else { return };
        detached.unheard.extend(messages);
        while let Some(detached) = self.links.conns.detached.get_mut(id)
            && !detached.is_held
            && detached.end.is_none()
            && let Some(message) = detached.unheard.pop_front()
        {
            self.on_message(id, MessageKind::Text, message.as_bytes());
        }
    }

    /// Resumes messages that were put off.
    pub(in crate::shard) fn resume_detached(&mut self, id: SessionId) {
        let Some(detached) = self.links.conns.detached.get_mut(id).filter(|detached| detached.end.is_none()) else {
            return;
        };
        detached.is_held = false;
        self.resume_subscribe(id);
        self.hear_detached(id, Vec::new());
    }

    /// Answers the waiting requests that have messages.
    pub(in crate::shard) fn flush_detached(&mut self) {
        if self.links.conns.detached.news.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.links.conns.detached.news) {
            if self.links.conns.session(id).is_some_and(|session| !session.lag.is_none()) {
                self.catch_up_lag(id);
            }
            let Some(detached) = self.links.conns.detached.get_mut(id) else { continue };
            let outbox = self.links.outboxes.get_mut(detached.outbox).filter(|outbox| outbox.len() > 0);
            let carried = match (outbox, &detached.end) {
                (Some(outbox), _) if detached.receiver.is_none() => {
                    outbox.hold_back();
                    continue;
                }
                (Some(outbox), _) => Carried::Told(take_all(outbox)),
                (None, Some((reason, text))) => Carried::Ended(*reason, text.clone()),
                (None, None) => continue,
            };
            self.links.outboxes.release(&mut detached.outbox);
            self.tell_receiver(id, carried);
            self.catch_up(id);
        }
    }

    fn tell_receiver(&mut self, id: SessionId, carried: Carried) {
        let receiver = self.links.conns.detached.get_mut(id).and_then(|detached| detached.receiver.take());
        let Some((shard, ticket)) = receiver else { return };
        self.links.conns.detached.set_due(id, self.now.plus_millis(DETACHED_LINGER_MS));
        self.answer(shard, Answer::Carried { ticket, carried });
    }

    /// Looks at the sessions whose time has come: answers a waiting request that there is nothing, and removes a
    /// session without requests.
    pub(in crate::shard) fn step_detached(&mut self) {
        while let Some(id) = self.links.conns.detached.next_due(self.now) {
            if self.links.conns.detached.get(id).is_some_and(|detached| detached.receiver.is_some()) {
                self.tell_receiver(id, Carried::Silence);
            } else {
                self.remove_detached(id, CloseReason::PeerGone);
            }
        }
    }

    /// Ends a session. Each request gets the reason, as long as the session lingers.
    pub(in crate::shard) fn end_detached(&mut self, id: SessionId, reason: CloseReason, text: &str) {
        if self.links.conns.session(id).is_none() {
            return;
        }
        self.release_detached(id);
        let Detached { outbox, end, .. } = self.links.conns.detached.at_mut(id.index.place());
        if matches!(reason, CloseReason::SlowReader | CloseReason::Overloaded) {
            self.links.outboxes.release(outbox);
        }
        *end = Some((reason, text.into()));
        self.metrics.count_close(reason);
        self.links.conns.detached.news.push(id);
    }

    /// Frees everything that a session has besides its place.
    fn release_detached(&mut self, id: SessionId) {
        self.leave_all(id);
        let detached = self.links.conns.detached.at_mut(id.index.place());
        detached.unheard = Default::default();
        rest::release(&mut self.sessions.rests, &mut detached.session.rest);
    }

    fn remove_detached(&mut self, id: SessionId, reason: CloseReason) {
        self.release_detached(id);
        let mut detached = self.links.conns.detached.remove(id);
        self.links.outboxes.release(&mut detached.outbox);
        if detached.end.is_none() {
            self.metrics.count_close(reason);
        }
    }

    /// Shutdown: ends up to `count` sessions; returns `true` once all have ended.
    pub(in crate::shard) fn drain_detached(
        &mut self,
        count: usize,
        mut retry_ms: impl FnMut(&mut Self) -> u64,
    ) -> bool {
        let some = self.links.conns.detached.some_open(count);
        let is_done = some.is_empty();
        for id in some {
            let retry_ms = retry_ms(self);
            self.say(id, &Outbound::Bye { retry_ms });
            self.end_detached(id, CloseReason::Shutdown, &format!("retry_ms={retry_ms}"));
        }
        is_done
    }

    /// End of the shutdown: removes all sessions.
    pub(in crate::shard) fn remove_all_detached(&mut self) {
        for id in self.links.conns.detached.all() {
            self.remove_detached(id, CloseReason::Shutdown);
        }
    }
}

fn take_all(outbox: &mut Outbox) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(outbox.len());
    while let Some(segments) = outbox.next_send(Vec::new(), usize::MAX) {
        segments.iter().for_each(|segment| bytes.extend_from_slice(segment));
        outbox.sent_all(usize::MAX);
    }
    bytes
}
