//! One turn's publications to their readers, and what is queued to the sockets.
//!
//! What one topic says in one turn is a run: encoded once per encoding, contiguous, and shared by all its readers. A
//! reader that has nothing waiting and gets nothing else this turn gets its range in one `SendMany` with all others like
//! it, with no allocation, no reference count and no copy of its own. Every other reader gets references in its outbox and
//! one send at the end of the turn.

use std::collections::HashMap;
use std::sync::Arc;

use super::compression::{Form, Forms};
use super::encoded::{ENCODINGS, Encoding, Encodings};
use crate::buf::Segment;
use crate::close::CloseReason;
use crate::command::{ConnId, Origin, Publication, TopicName};
use crate::driver::Op;
use crate::hub::TopicId;
use crate::limits::{DELIVERED_PER_UNIT, HELD_LEN_MAX, PRICE_SEND, RUN_LEN_MAX, TURN_LEN_MAX};
use crate::shard::Shard;
use crate::shard::link::conn::{Conn, Flag, Session};
use crate::shard::link::outbox::Outbox;
use crate::shard::session::pace::slice_len;
use crate::shard::session::subscriptions::direct;

/// What is to be said this turn.
#[derive(Debug, Default)]
pub(in crate::shard) struct Runs {
    runs: Vec<Run>,
    /// Payload bytes of all runs.
    len: usize,
    /// Readers that joined in this turn a topic that has a run: the offset up to which they have everything.
    joined: HashMap<(u32, TopicId), u64>,
    /// Emptied lists of publications.
    spare: Vec<Vec<Arc<Publication>>>,
    /// Readers of the run that get it through their outboxes, by arena place.
    others: Vec<u32>,
    /// By arena place: the last run that listed the connection, where more than one list can name it.
    stamps: Vec<u32>,
    stamp: u32,
    /// What this turn was encoded for readers with a rate: by publication, encoding and what was skipped before it.
    pub alone: HashMap<(usize, Encoding, u64), Segment>,
}

/// What one topic says in one turn, or a part of it.
#[derive(Debug)]
pub(in crate::shard) struct Run {
    pub topic: TopicId,
    pub publications: Vec<Arc<Publication>>,
    /// Payload bytes.
    pub len: usize,
    /// The topic says more than one run this turn, so that its readers get them in order through their outboxes.
    is_part: bool,
}

impl Shard {
    /// Takes in a publication for this shard's readers.
    pub(in crate::shard) fn deliver(&mut self, publication: Arc<Publication>) {
        let topic = self.hub.ensure(&publication.topic);
        let len = publication.payload.len();
        let open = *self.hub.run_mut(topic);
        self.charge_delivery(topic, len, open.is_none() && !self.runs.runs.is_empty());
        self.runs.len += len;
        if let Some(open) = open {
            let run = &mut self.runs.runs[open as usize];
            if run.len + len <= RUN_LEN_MAX {
                run.len += len;
                return run.publications.push(publication);
            }
            run.is_part = true;
        }
        let mut publications = self.runs.spare.pop().unwrap_or_default();
        publications.push(publication);
        *self.hub.run_mut(topic) = Some(self.runs.runs.len() as u32);
        self.runs.runs.push(Run { topic, publications, len, is_part: open.is_some() });
    }

    /// Charges what a publication will cost the readers of its topic. What goes to them in one send with others costs its
    /// bytes, and the first run of a turn nothing else: a message to everybody is what a gateway is for.
    fn charge_delivery(&mut self, topic: TopicId, len: usize, is_further_run: bool) {
        let readers = self.hub.readers(topic).len() as u64;
        let sends = if is_further_run { readers * PRICE_SEND } else { 0 };
        self.budget.charge_delivery(sends + readers * len as u64 / DELIVERED_PER_UNIT);
    }

    /// Notes that a reader has everything of a topic up to an offset: what this turn's run has of that is not for it.
    pub(in crate::shard) fn note_joined(&mut self, index: u32, topic: &TopicName, offset: u64) {
        if self.runs.runs.is_empty() {
            return;
        }
        let Some(topic) = self.hub.find(topic.as_str()) else { return };
        if self.hub.run_mut(topic).is_some() {
            let up_to = self.runs.joined.entry((index, topic)).or_default();
            *up_to = offset.max(*up_to);
            self.conns[index].set(Flag::JOINED_NOW, true);
        }
    }

    /// Whether a reader of the topic gets the publication with this turn's run.
    pub(in crate::shard) fn comes_by_run(&mut self, index: u32, publication: &Publication) -> bool {
        if self.runs.runs.is_empty() {
            return false;
        }
        let Some(topic) = self.hub.find(publication.topic.as_str()) else { return false };
        let has = |run: &Run| run.topic == topic && run.publications.iter().any(|p| p.position == publication.position);
        self.hub.run_mut(topic).is_some()
            && self.runs.joined.get(&(index, topic)).is_none_or(|&up_to| up_to < publication.position.offset)
            && self.runs.runs.iter().any(has)
    }

    /// Whether this part of the turn has taken in enough.
    pub(in crate::shard) fn is_turn_full(&mut self) -> bool {
        self.runs.len >= TURN_LEN_MAX || self.budget.is_spent()
    }

    /// Sends what the turn has gathered: runs to their readers, then each outbox that something was added to.
    pub fn flush(&mut self) {
        self.shake_hands();
        self.resume_answered();
        let mut runs = std::mem::take(&mut self.runs.runs);
        let mut too_slow = Vec::new();
        let encodings = self.encode_short_runs(&runs);
        for (run, encodings) in runs.iter().zip(encodings) {
            *self.hub.run_mut(run.topic) = None;
            self.flush_run(run, runs.len() == 1, encodings, &mut too_slow);
        }
        for ((index, _), _) in self.runs.joined.drain() {
            self.conns[index].set(Flag::JOINED_NOW, false);
        }
        for mut run in runs.drain(..) {
            self.hub.release(run.topic);
            run.publications.clear();
            if self.runs.spare.len() < SPARE_MAX {
                self.runs.spare.push(run.publications);
            }
        }
        self.runs.runs = runs;
        self.runs.len = 0;
        self.attach_noted();
        self.take_snapshots();
        for id in too_slow {
            self.close(id, CloseReason::SlowReader, "too slow");
        }
        self.answer_polls();
        self.flush_outboxes();
        self.runs.alone.clear();
        self.hub.end_turn();
    }

    /// Gives a run to its readers. `is_alone` if the turn has no other.
    fn flush_run(&mut self, run: &Run, is_alone: bool, mut encodings: Encodings, too_slow: &mut Vec<ConnId>) {
        let mut batches = Batches::default();
        let mut forms = Forms::new(run.topic, run.publications.len());
        let mut others = std::mem::take(&mut self.runs.others);
        let is_alone = is_alone && !self.hub.is_read_by_pattern(run.topic);
        let readers = self.hub.readers(run.topic);
        let mut alike = Alike::default();
        for portion in readers.chunks(PORTION_LEN) {
            for &key in portion {
                let index = direct(key).unwrap_or_else(|| self.subscriptions.conn(key));
                let conn = &mut self.conns[index];
                if run.is_part || !conn.takes_direct(is_alone) {
                    others.push(index);
                    continue;
                }
                let (encoding, id) = (conn.encoding, conn.id(index));
                if conn.agreed.is_none() {
                    alike.add(encoding, id, &mut batches);
                } else {
                    let find = || self.settings.compression.of(&self.settings.rules, self.hub.name(run.topic).as_str());
                    batches.add(encoding, forms.of(conn, 0, &self.compressor, find), id);
                }
            }
            alike.cut(&mut batches, readers.len());
        }
        self.add_pattern_readers(run.topic, &mut others);
        for index in others.drain(..) {
            if !self.enqueue(run, &mut encodings, &mut forms, index) {
                too_slow.push(self.conns[index].id(index));
            }
        }
        self.runs.others = others;
        for (encoding, form, conns) in batches.into_iter() {
            let encoded = encodings.encode(encoding, form, run, &mut self.message, &mut self.compressor);
            let segment = encoded.segment.clone();
            self.metrics.deliveries += (conns.len() * run.publications.len()) as u64;
            self.metrics.sent_len += (conns.len() * segment.len()) as u64;
            self.metrics.compression_saved_len += conns.len() as u64 * encoded.saved_from(0);
            self.ops.push(Op::SendMany { segment, conns });
        }
        // A stream that nobody is in begins anew with its next reader.
        for encoding in ENCODINGS.into_iter().filter(|&encoding| !encodings.has_stream(encoding)) {
            self.compressor.forget_stream(run.topic, encoding);
        }
    }

    /// Adds the readers of every matching pattern, and leaves each connection in the list once.
    fn add_pattern_readers(&mut self, topic: TopicId, others: &mut Vec<u32>) {
        let patterns = self.hub.matching(topic).to_vec();
        if patterns.is_empty() {
            return;
        }
        let lists = patterns.iter().flat_map(|&pattern| self.hub.pattern_readers(pattern));
        others.extend(lists.map(|&key| self.subscriptions.conn(key)));
        let runs = &mut self.runs;
        runs.stamp = runs.stamp.wrapping_add(1);
        if runs.stamp == 0 {
            runs.stamps.fill(0);
            runs.stamp = 1;
        }
        runs.stamps.resize(runs.stamps.len().max(self.conns.end() as usize), 0);
        others.retain(|&index| std::mem::replace(&mut runs.stamps[index as usize], runs.stamp) != runs.stamp);
    }

    /// Gives a run to a reader that cannot take it straight from the walk; `false` if its outbox is past its bound.
    fn enqueue(&mut self, run: &Run, encodings: &mut Encodings, forms: &mut Forms, index: u32) -> bool {
        let len_max = self.settings.limits.outbox_len_max as usize;
        let conn = &mut self.conns[index];
        if !conn.is_reader() {
            return true;
        }
        let joined = if conn.is(Flag::JOINED_NOW) { self.runs.joined.get(&(index, run.topic)) } else { None };
        let news = joined.map_or(0, |&up_to| run.publications.partition_point(|p| p.position.offset <= up_to));
        if let Some(pending) = conn.pending.index().and_then(|slot| self.pendings.get_mut(slot)) {
            conn.leave_stream(run.topic);
            // Who would rather skip is not disconnected for the time that another shard takes to answer.
            let len_max = if conn.is(Flag::HAS_POLICIES) { len_max.max(HELD_LEN_MAX) } else { len_max };
            let fits = pending.catch_up.hold(&run.publications[news..], len_max);
            if conn.session == Session::Http && pending.operations.is_empty() {
                // A poll: it is answered at the end of this turn, which bounds what it holds.
                self.polls_ready.push(conn.id(index));
                return true;
            }
            return fits || self.stop_holding(index);
        }
        let is_behind = self.outboxes.get(conn.outbox).is_some_and(Outbox::is_behind) || !conn.lag.is_none();
        if conn.is(Flag::HAS_POLICIES) && (is_behind || conn.is(Flag::PACED)) {
            let terms = self.terms(index, run.topic);
            if self.must_wait(index, &terms, &run.publications[0], is_behind) {
                self.conns[index].leave_stream(run.topic);
                return self.fall_behind(index, &terms, &run.publications[news..]).is_ok();
            }
        }
        let conn = &mut self.conns[index];
        let me = Origin { shard: self.settings.shard, conn: conn.id(index) };
        let hides_own = conn.is(Flag::NO_ECHO);
        let form = if hides_own && run.publications[news..].iter().any(|publication| publication.origin == Some(me)) {
            conn.leave_stream(run.topic);
            Form::Plain
        } else {
            let find = || self.settings.compression.of(&self.settings.rules, self.hub.name(run.topic).as_str());
            forms.of(conn, news, &self.compressor, find)
        };
        let encoded = encodings.encode(conn.encoding, form, run, &mut self.message, &mut self.compressor);
        self.metrics.compression_saved_len += encoded.saved_from(news);
        let outbox = self.outboxes.ensure(&mut conn.outbox);
        let mut start = news.checked_sub(1).map_or(0, |last| encoded.ends[last]);
        for (publication, &end) in run.publications.iter().zip(&encoded.ends).skip(news) {
            let range = start as usize..end as usize;
            start = end;
            if hides_own && publication.origin == Some(me) {
                continue;
            }
            if conn.encoding == Encoding::BareEvents {
                outbox.reply(|out| self.vectors.advance(index, publication, out));
            }
            if outbox.push(encoded.segment.slice(range), len_max).is_err() {
                return false;
            }
            self.metrics.deliveries += 1;
        }
        let id = conn.id(index);
        self.mark_dirty(id);
        true
    }

    /// Notes that a connection has something to send, or may have nothing left to send, at the end of the turn.
    pub(in crate::shard) fn mark_dirty(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id)
            && !conn.is(Flag::DIRTY)
        {
            conn.set(Flag::DIRTY, true);
            self.dirty.push(id);
        }
    }

    fn flush_outboxes(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            let Some(conn) = self.conns.get_mut(id) else { continue };
            conn.set(Flag::DIRTY, false);
            if conn.session == Session::Gone {
                continue;
            }
            if !conn.lag.is_none() {
                self.catch_up_lag(id);
            }
            self.flush_outbox(id);
        }
        self.dirty = dirty;
    }

    fn flush_outbox(&mut self, id: ConnId) {
        if !self.conns[id.index].edge.is_none() && self.flush_sealed(id) {
            return;
        }
        let bandwidth = self.bandwidth(id);
        let conn = &mut self.conns[id.index];
        let Some(outbox) = self.outboxes.get_mut(conn.outbox).filter(|outbox| outbox.len() > 0) else {
            // One whose bandwidth is limited keeps its outbox for as long as what it was sent takes.
            match self.outboxes.get(conn.outbox).map(|outbox| outbox.free_at) {
                Some(free_at) if bandwidth > 0 && free_at > self.now => self.alarms.set(id.index, free_at),
                _ => self.outboxes.release(&mut conn.outbox),
            }
            return self.settle(id);
        };
        if conn.goes_silently()
            && bandwidth == 0
            && let Some(segment) = outbox.take_only()
        {
            self.outboxes.release(&mut conn.outbox);
            self.metrics.sent_len += segment.len() as u64;
            return self.send_silently(segment, id);
        }
        if outbox.is_in_flight() {
            return;
        }
        let mut len_max = usize::MAX;
        if bandwidth > 0 {
            if outbox.free_at > self.now {
                outbox.hold_back();
                return self.alarms.set(id.index, outbox.free_at);
            }
            len_max = slice_len(bandwidth);
        }
        if !conn.edge.is_none() {
            return self.encrypt(id, len_max);
        }
        // A vector is taken only where there is something to put into it: one that came back goes round.
        let vector = self.outboxes.vector();
        let next = self.outboxes.get_mut(conn.outbox).and_then(|outbox| outbox.next_send(vector, len_max));
        debug_assert!(next.is_some(), "what waits can be sent");
        self.ops.extend(next.map(|segments| Op::Send { conn: id, segments }));
    }

    /// Sends without being told that it is out; with the last such send where the bytes are the same.
    fn send_silently(&mut self, segment: Segment, id: ConnId) {
        match self.ops.last_mut() {
            Some(Op::SendMany { segment: last, conns }) if last.is_same(&segment) => conns.push(id),
            _ => self.ops.push(Op::SendMany { segment, conns: vec![id] }),
        }
    }

    /// Tells the shard whether other shards have fallen behind; connections that were not read from for it are again.
    pub fn handle_congestion(&mut self, is_congested: bool) {
        self.is_congested = is_congested;
        if !is_congested {
            for id in std::mem::take(&mut self.congested) {
                self.unpause(id, Flag::PAUSED_CONGESTION);
            }
        }
    }
}

impl Conn {
    /// Whether a run can go straight from the walk to the socket: nothing else comes to it in this turn, since it has
    /// the one subscription or the run `is_alone`; nothing waits; nothing makes its bytes differ from the others'.
    fn takes_direct(&self, is_alone: bool) -> bool {
        // Without a branch for each: nearly every reader is one.
        let is_only = self.more.is_none() | (is_alone & (self.encoding != Encoding::BareEvents));
        is_only & self.outbox.is_none() & self.lag.is_none() & self.edge.is_none() & !self.is(Flag::NOT_DIRECT)
    }

    /// Whether nothing waits for its next send to be out: more to catch up with, an end, reading from it again.
    fn goes_silently(&self) -> bool {
        self.session == Session::WebSocket
            && self.edge.is_none() & self.pending.is_none() & self.lag.is_none()
            && !self.is(Flag::HOLDS_ON)
    }
}

/// Readers of a run that take it straight, by the bytes that they get.
#[derive(Debug, Default)]
struct Batches {
    plain: [Vec<ConnId>; ENCODINGS.len()],
    compressed: Vec<(Encoding, Form, Vec<ConnId>)>,
}

impl Batches {
    fn add(&mut self, encoding: Encoding, form: Form, conn: ConnId) {
        if form == Form::Plain {
            return self.plain[encoding as usize].push(conn);
        }
        match self.compressed.iter_mut().find(|batch| (batch.0, batch.1) == (encoding, form)) {
            Some((.., conns)) => conns.push(conn),
            None => self.compressed.push((encoding, form, vec![conn])),
        }
    }

    fn into_iter(self) -> impl Iterator<Item = (Encoding, Form, Vec<ConnId>)> {
        let plain = ENCODINGS.into_iter().zip(self.plain).map(|(encoding, conns)| (encoding, Form::Plain, conns));
        plain.chain(self.compressed).filter(|(.., conns)| !conns.is_empty())
    }
}

/// Readers of a portion that get a run as it is and in one encoding, as nearly all do: an array on the stack, with a
/// length that stays in a register.
struct Alike {
    encoding: Encoding,
    conns: [ConnId; PORTION_LEN],
    len: usize,
}

impl Default for Alike {
    fn default() -> Self {
        Self { encoding: Encoding::Raw, conns: [ConnId { index: 0, generation: 0 }; PORTION_LEN], len: 0 }
    }
}

impl Alike {
    #[inline]
    fn add(&mut self, encoding: Encoding, conn: ConnId, batches: &mut Batches) {
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
        let conns = &mut batches.plain[self.encoding as usize];
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
