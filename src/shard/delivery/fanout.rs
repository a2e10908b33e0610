//! Sends one turn's publications to their readers, and the outboxes to the sockets.
//!
//! The publications of one topic in one turn are a run: encoded once per encoding, contiguous, and shared by all its
//! readers. A reader that has nothing waiting and gets nothing else this turn gets its range in one `SendMany` with all
//! others like it, with no allocation, no reference count and no copy of its own. Every other reader gets references in
//! its outbox and one send at the end of the turn.

use std::collections::HashSet;
use std::sync::Arc;

use super::compression::{Form, Forms};
use super::encodings::Encodings;
use super::run::Run;
use crate::close::CloseReason;
use crate::command::{ConnId, Origin, Publication, SessionId, SessionIndex, TopicName};
use crate::driver::Op;
use crate::hub::TopicId;
use crate::limits::{
    CATCH_UP_ENTRY_COST, DELIVERED_PER_UNIT, HELD_LEN_MAX, PRICE_EIGHT_BYTES, PRICE_PREFIX, PRICE_SEND, PRICE_VISIT,
    PUBLICATION_COST, RUN_LEN_MAX,
};
use crate::shard::Shard;
use crate::shard::link::conn::{Conn, Flag};
use crate::shard::link::outbox::Outbox;
use crate::shard::session::encoding::EncodingId;
use crate::shard::session::rest;
use crate::shard::session::session::Mark;
use crate::shard::session::subscriptions::direct;

impl Shard {
    /// Takes in a publication for this shard's readers.
    pub(in crate::shard) fn deliver(&mut self, publication: Arc<Publication>) {
        let topic = self.hub.ensure(&publication.topic);
        let len = publication.said_len();
        let open = *self.hub.run_mut(topic);
        if open.is_none() && self.hub.has_patterns() {
            // Matched here and not with the run, so that the turn ends when it has cost too much.
            self.hub.matching(topic);
            let visits = self.hub.take_visits() as u64;
            self.turn.budget.charge_delivery(visits * PRICE_VISIT);
        }
        self.charge_delivery(topic, len, open.is_none() && !self.delivery.runs.runs.is_empty());
        self.delivery.runs.len += len;
        self.turn.grown += len + PUBLICATION_COST;
        if let Some(open) = open {
            let run = &mut self.delivery.runs.runs[open as usize];
            if run.len + len <= RUN_LEN_MAX {
                run.len += len;
                return run.publications.push(publication);
            }
            run.is_part = true;
        }
        let mut publications = self.delivery.runs.spare.pop().unwrap_or_default();
        publications.push(publication);
        *self.hub.run_mut(topic) = Some(self.delivery.runs.runs.len() as u32);
        self.delivery.runs.runs.push(Run { topic, publications, len, is_part: open.is_some() });
    }

    /// Charges the delivery of a publication to the readers of its topic. A run that goes out in one send with others
    /// costs its bytes, and so does the first run of a turn: delivering to all readers is the task of a gateway.
    fn charge_delivery(&mut self, topic: TopicId, len: usize, is_further_run: bool) {
        let readers = self.hub.readers(topic).len() as u64;
        let sends = if is_further_run { readers * PRICE_SEND } else { 0 };
        self.turn.budget.charge_delivery(sends + readers * len as u64 / DELIVERED_PER_UNIT);
    }

    /// Notes that a reader has everything of a topic up to an offset: this turn's run up to there is not for it.
    pub(in crate::shard) fn note_joined(&mut self, index: SessionIndex, topic: &TopicName, offset: u64) {
        if self.delivery.runs.runs.is_empty() {
            return;
        }
        let Some(topic) = self.hub.find(topic.as_str()) else { return };
        if self.hub.run_mut(topic).is_some() {
            let up_to = self.delivery.runs.joined.entry((index, topic)).or_default();
            *up_to = offset.max(*up_to);
            self.links.conns[index].set(Mark::JOINED_NOW, true);
        }
    }

    /// Whether a reader of the topic gets the publication with this turn's run.
    pub(in crate::shard) fn comes_by_run(&mut self, index: SessionIndex, publication: &Publication) -> bool {
        if self.delivery.runs.runs.is_empty() {
            return false;
        }
        let Some(topic) = self.hub.find(publication.topic.as_str()) else { return false };
        let has = |run: &Run| run.topic == topic && run.publications.iter().any(|p| p.position == publication.position);
        self.hub.run_mut(topic).is_some()
            && self.delivery.runs.joined.get(&(index, topic)).is_none_or(|&up_to| up_to < publication.position.offset)
            && self.delivery.runs.runs.iter().any(has)
    }

    /// Sends what the turn has gathered: runs to their readers, then each outbox that something was added to.
    pub fn flush(&mut self) {
        self.shake_hands();
        self.step_tally();
        self.resume_answered();
        let mut runs = std::mem::take(&mut self.delivery.runs.runs);
        let mut too_slow = Vec::new();
        let encodings = self.encode_short_runs(&runs);
        for (run, encodings) in runs.iter().zip(encodings) {
            *self.hub.run_mut(run.topic) = None;
            self.flush_run(run, runs.len() == 1, encodings, &mut too_slow);
        }
        for ((index, _), _) in self.delivery.runs.joined.drain() {
            self.links.conns[index].set(Mark::JOINED_NOW, false);
        }
        for mut run in runs.drain(..) {
            self.hub.release(run.topic);
            run.publications.clear();
            if self.delivery.runs.spare.len() < SPARE_MAX {
                self.delivery.runs.spare.push(run.publications);
            }
        }
        self.delivery.runs.runs = runs;
        self.delivery.runs.len = 0;
        let visits = self.hub.take_visits() as u64;
        self.turn.budget.charge_delivery(visits * PRICE_VISIT);
        self.attach_noted();
        self.find_last_values();
        for id in too_slow {
            self.end_session(id, CloseReason::SlowReader, "too slow");
        }
        self.forget_shared_value();
        self.answer_polls();
        self.flush_detached();
        self.flush_outboxes();
        self.delivery.runs.alone.clear();
        self.hub.end_turn();
    }

    /// Gives a run to its readers. `is_alone` if the turn has no other.
    fn flush_run(&mut self, run: &Run, is_alone: bool, mut encodings: Encodings, too_slow: &mut Vec<SessionId>) {
        let mut batches = Batches::default();
        let mut forms = Forms::new(run.topic, run.publications.len());
        let mut others = std::mem::take(&mut self.delivery.runs.others);
        let is_alone = is_alone && !self.hub.is_read_by_pattern(run.topic);
        let readers = self.hub.readers(run.topic);
        // One of its readers may not get all of it.
        let is_apart = run.is_part || run.publications.iter().any(|publication| publication.has_exception());
        let mut alike = Alike::default();
        for portion in readers.chunks(PORTION_LEN) {
            for &key in portion {
                let index = direct(key).or_else(|| self.sessions.subscriptions.session(key).conn());
                let Some(index) = index else {
                    others.push(self.sessions.subscriptions.session(key));
                    continue;
                };
                let conn = &mut self.links.conns[index];
                if is_apart || !conn.takes_direct(is_alone) {
                    others.push(SessionIndex::own(index));
                    continue;
                }
                let (encoding, id) = (conn.session.encoding, conn.id(index));
                if conn.session.agreed.is_none() {
                    alike.add(encoding, id, &mut batches);
                } else {
                    let find = || self.settings.live.compression_of(self.hub.name(run.topic).as_str());
                    batches.of(encoding, forms.of(&mut conn.session, 0, &self.delivery.compressor, find)).push(id);
                }
            }
            alike.cut(&mut batches, readers.len());
        }
        self.add_pattern_readers(run.topic, &mut others);
        for index in others.drain(..) {
            if !self.enqueue(run, &mut encodings, &mut forms, index) {
                too_slow.extend(self.links.conns.session_at(index));
            }
        }
        self.delivery.runs.others = others;
        for (encoding, form, conns) in batches.0 {
            let encoded =
                encodings.encode(encoding, form, run, &mut self.delivery.message, &mut self.delivery.compressor);
            let segment = encoded.segment.clone();
            self.metrics.deliveries += (conns.len() * run.publications.len()) as u64;
            self.metrics.sent_len += (conns.len() * segment.len()) as u64;
            self.metrics.compression_saved_len += conns.len() as u64 * encoded.saved_from(0);
            self.ops.push(Op::SendMany { segment, conns });
        }
        // A stream without a reader begins anew with its next reader.
        self.delivery.compressor.keep_streams(run.topic, |encoding| encodings.has_stream(encoding));
    }

    /// Adds the readers of every matching pattern, and leaves each connection in the list once.
    fn add_pattern_readers(&mut self, topic: TopicId, others: &mut Vec<SessionIndex>) {
        let patterns = self.hub.matching(topic).to_vec();
        if patterns.is_empty() {
            return;
        }
        let lists = patterns.iter().flat_map(|&pattern| self.hub.pattern_readers(pattern));
        let before = others.len();
        others.extend(lists.map(|&key| self.sessions.subscriptions.session(key)));
        // A reader may stand in many of them.
        self.turn.budget.charge_delivery((others.len() - before) as u64 * PRICE_VISIT);
        let runs = &mut self.delivery.runs;
        runs.stamp = runs.stamp.wrapping_add(1);
        if runs.stamp == 0 {
            runs.stamps.fill(0);
            runs.stamp = 1;
        }
        runs.stamps.resize(runs.stamps.len().max(self.links.conns.end() as usize), 0);
        let mut detached = HashSet::new();
        others.retain(|&index| match index.conn() {
            Some(index) => std::mem::replace(&mut runs.stamps[index as usize], runs.stamp) != runs.stamp,
            None => detached.insert(index),
        });
    }

    /// Gives a run to a reader that cannot take it straight from the walk; `false` if its outbox is past its bound.
    fn enqueue(&mut self, run: &Run, encodings: &mut Encodings, forms: &mut Forms, index: SessionIndex) -> bool {
        let len_max = self.settings.live.limits.outbox_len_max as usize;
        let Some(id) = self.links.conns.session_at(index).filter(|_| self.links.conns.is_reader(index)) else {
            return true;
        };
        let is_request = self.is_request(id);
        let (session, outbox_slot) = self.links.conns.parts_mut(index);
        let joined =
            if session.is(Mark::JOINED_NOW) { self.delivery.runs.joined.get(&(index, run.topic)) } else { None };
        let news = joined.map_or(0, |&up_to| run.publications.partition_point(|p| p.position.offset <= up_to));
        if let Some(pending) = session.pending.index().and_then(|slot| self.sessions.pendings.get_mut(slot)) {
            session.leave_stream(run.topic);
            // A reader that may skip is not disconnected because another shard takes long to answer.
            let len_max = if session.is(Mark::HAS_POLICIES) { len_max.max(HELD_LEN_MAX) } else { len_max };
            let fits = pending.catch_up.hold(&run.publications[news..], len_max);
            self.turn.grown += (run.publications.len() - news) * CATCH_UP_ENTRY_COST;
            if is_request && pending.operations.is_empty() {
                // A poll: it is answered at the end of this turn, which bounds the publications that it holds.
                self.requests.polls_ready.extend(id.conn());
                return true;
            }
            return fits || self.stop_holding(index);
        }
        let is_behind = self.links.outboxes.get(*outbox_slot).is_some_and(Outbox::is_behind) || !session.lag.is_none();
        if session.is(Mark::HAS_POLICIES) && (is_behind || session.is(Mark::PACED)) {
            let terms = self.terms(index, run.topic);
            if self.must_wait(index, &terms, &run.publications[0], is_behind) {
                self.links.conns[index].leave_stream(run.topic);
                return self.fall_behind(index, &terms, &run.publications[news..]).is_ok();
            }
        }
        let (session, outbox_slot) = self.links.conns.parts_mut(index);
        let me = Origin { shard: self.settings.shard, session: id };
        let hides_own = session.is(Mark::NO_ECHO);
        let form = if run.publications[news..].iter().any(|publication| publication.is_hidden_from(me, hides_own)) {
            session.leave_stream(run.topic);
            Form::Plain
        } else {
            let find = || self.settings.live.compression_of(self.hub.name(run.topic).as_str());
            forms.of(session, news, &self.delivery.compressor, find)
        };
        let encoded =
            encodings.encode(session.encoding, form, run, &mut self.delivery.message, &mut self.delivery.compressor);
        self.metrics.compression_saved_len += encoded.saved_from(news);
        let outbox = self.links.outboxes.ensure(outbox_slot);
        let has_prefix = session.is(Mark::PREFIXED);
        let mut start = news.checked_sub(1).map_or(0, |last| encoded.ends[last]);
        for (publication, &end) in run.publications.iter().zip(&encoded.ends).skip(news) {
            let range = start as usize..end as usize;
            start = end;
            if publication.is_hidden_from(me, hides_own) {
                continue;
            }
            if has_prefix {
                let rest = rest::get_mut(&mut self.sessions.rests, session.rest);
                let message = &mut self.delivery.message;
                outbox.reply(|out| {
                    let before = out.len();
                    session.encoding.row().prefix(rest, publication, range.len(), message, out);
                    let own_len = (out.len() - before) as u64;
                    self.turn.budget.charge_delivery(PRICE_PREFIX + own_len / 8 * PRICE_EIGHT_BYTES);
                });
            }
            if outbox.push(encoded.segment.slice(range), len_max).is_err() {
                return false;
            }
            self.metrics.deliveries += 1;
        }
        self.mark_news(id);
        true
    }
}

impl Conn {
    /// Whether a run can go straight from the walk to the socket: nothing else comes to it in this turn, since it has
    /// the one subscription or the run `is_alone`; nothing waits; nothing makes its bytes differ from the others'.
    fn takes_direct(&self, is_alone: bool) -> bool {
        // Without a branch for each: nearly every reader is one.
        let (link, session) = (&self.link, &self.session);
        let is_only = session.more.is_none() | is_alone;
        let waits = !link.outbox.is_none() | !session.lag.is_none() | link.is(Flag::NOT_DIRECT);
        is_only & !waits & link.edge.is_none() & !session.is(Mark::NOT_DIRECT)
    }
}

/// Readers of a run that take it straight, by the bytes that they get.
#[derive(Debug, Default)]
struct Batches(Vec<(EncodingId, Form, Vec<ConnId>)>);

impl Batches {
    fn of(&mut self, encoding: EncodingId, form: Form) -> &mut Vec<ConnId> {
        let place = self.0.iter().position(|batch| (batch.0, batch.1) == (encoding, form)).unwrap_or_else(|| {
            self.0.push((encoding, form, Vec::new()));
            self.0.len() - 1
        });
        &mut self.0[place].2
    }
}

/// Readers of a portion that get a run as it is and in one encoding, as nearly all do: an array on the stack, with a
/// length that stays in a register.
struct Alike {
    encoding: EncodingId,
    conns: [ConnId; PORTION_LEN],
    len: usize,
}

impl Default for Alike {
    fn default() -> Self {
        Self { encoding: EncodingId::RAW, conns: [ConnId { index: 0, generation: 0 }; PORTION_LEN], len: 0 }
    }
}

impl Alike {
    #[inline]
    fn add(&mut self, encoding: EncodingId, conn: ConnId, batches: &mut Batches) {
        if encoding != self.encoding {
            self.cut(batches, 0);
            self.encoding = encoding;
        }
        self.conns[self.len] = conn;
        self.len += 1;
    }

    /// Moves them to their batch, which has room for `room` from its first on: memory that nobody touches costs nothing,
    /// and nothing is moved twice.
    fn cut(&mut self, batches: &mut Batches, room: usize) {
        if self.len == 0 {
            return;
        }
        let conns = batches.of(self.encoding, Form::Plain);
        if conns.capacity() == 0 {
            conns.reserve_exact(room.max(self.len));
        }
        conns.extend_from_slice(&self.conns[..std::mem::take(&mut self.len)]);
    }
}

/// Readers taken together in the walk over a topic's.
const PORTION_LEN: usize = 64;
/// Lists of publications kept for reuse.
const SPARE_MAX: usize = 1024;
