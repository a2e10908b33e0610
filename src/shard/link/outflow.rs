//! The output of a link: its outbox goes through its edge to the driver, once a turn, and the results of sends are
//! handled here. Pausing and resuming reading is here as well, because input produces output.

use super::conn::{Carrier, Conn, Flag, Timer, tick};
use super::ending::Parting;
use crate::buf::Segment;
use crate::close::CloseReason;
use crate::command::ConnId;
use crate::driver::{NetError, Op};
use crate::limits::{BANDWIDTH_SLICES, REPLY_BACKLOG_LEN_MAX};
use crate::shard::Shard;

impl Shard {
    /// Notes that a connection may have something to send, or to finish, at the end of the turn.
    pub(in crate::shard) fn mark_dirty(&mut self, id: ConnId) {
        if let Some(conn) = self.links.conns.get_mut(id)
            && !conn.link.is(Flag::DIRTY)
        {
            conn.link.set(Flag::DIRTY, true);
            self.links.dirty.push(id);
        }
    }

    pub(in crate::shard) fn flush_outboxes(&mut self) {
        let mut dirty = std::mem::take(&mut self.links.dirty);
        for id in dirty.drain(..) {
            let Some(conn) = self.links.conns.get_mut(id) else { continue };
            conn.link.set(Flag::DIRTY, false);
            if conn.link.carrier == Carrier::Gone {
                continue;
            }
            if !conn.session.lag.is_none() {
                self.catch_up_lag(id.into());
            }
            self.flush_outbox(id);
        }
        self.links.dirty = dirty;
    }

    fn flush_outbox(&mut self, id: ConnId) {
        if !self.links.conns[id.index].link.edge.is_none() && self.flush_sealed(id) {
            return;
        }
        let bandwidth = self.bandwidth(id.into());
        let conn = &mut self.links.conns[id.index];
        let Some(outbox) = self.links.outboxes.get_mut(conn.link.outbox).filter(|outbox| outbox.len() > 0) else {
            // A connection with limited bandwidth keeps its outbox until its last send has had its time at that bandwidth.
            match self.links.outboxes.get(conn.link.outbox).map(|outbox| outbox.free_at) {
                Some(free_at) if bandwidth > 0 && free_at > self.now => self.sessions.alarms.set(id.index, free_at),
                _ => self.links.outboxes.release(&mut conn.link.outbox),
            }
            return self.settle(id);
        };
        if conn.goes_silently()
            && bandwidth == 0
            && let Some(segment) = outbox.take_only()
        {
            self.links.outboxes.release(&mut conn.link.outbox);
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
                return self.sessions.alarms.set(id.index, outbox.free_at);
            }
            len_max = slice_len(bandwidth);
        }
        if !conn.link.edge.is_none() {
            return self.encrypt(id, len_max);
        }
        // A vector is taken only if it gets segments: vectors are reused.
        let vector = self.links.outboxes.vector();
        let next = self.links.outboxes.get_mut(conn.link.outbox).and_then(|outbox| outbox.next_send(vector, len_max));
        debug_assert!(next.is_some(), "what waits can be sent");
        self.ops.extend(next.map(|segments| Op::Send { conn: id, segments }));
    }

    /// Sends without a completion; joins the last such send if the bytes are the same.
    fn send_silently(&mut self, segment: Segment, id: ConnId) {
        match self.ops.last_mut() {
            Some(Op::SendMany { segment: last, conns }) if last.is_same(&segment) => conns.push(id),
            _ => self.ops.push(Op::SendMany { segment, conns: vec![id] }),
        }
    }

    /// Tells the shard whether other shards are behind. When they no longer are, paused connections are read from
    /// again.
    pub fn handle_congestion(&mut self, is_congested: bool) {
        self.links.is_congested = is_congested;
        if !is_congested {
            for id in std::mem::take(&mut self.links.congested) {
                self.unpause(id, Flag::PAUSED_CONGESTION);
            }
        }
    }

    pub(in crate::shard) fn on_sent(&mut self, id: ConnId, result: Result<u32, NetError>, mut rest: Vec<Segment>) {
        if self.links.conns.get(id).is_none_or(|conn| conn.link.carrier == Carrier::Gone) {
            return;
        }
        let bandwidth = self.bandwidth(id.into());
        let conn = &mut self.links.conns[id.index];
        let mut sent_len = result.unwrap_or(0) as usize;
        if conn.link.carrier == Carrier::Stream && sent_len > 0 {
            // A stream's client sends nothing itself: progress of a send shows that it lives.
            conn.link.active_tick = tick(self.now);
        }
        if !conn.link.edge.is_none() {
            self.metrics.sent_len += sent_len as u64;
            match self.on_sealed_sent(id, sent_len, &mut rest) {
                Some(plain_len) => sent_len = plain_len,
                None if result.is_ok() => return,
                None => {}
            }
        } else {
            let outbox = self.links.outboxes.ensure(&mut conn.link.outbox);
            if outbox.is_in_flight() {
                self.metrics.sent_len += sent_len as u64;
                outbox.sent(sent_len, &mut rest);
            } else {
                // These bytes of a fan-out were counted as sent.
                self.metrics.sent_len -= rest.iter().map(|segment| segment.len() as u64).sum::<u64>();
                outbox.adopt_rest(sent_len, &mut rest);
            }
        }
        let outbox = self.links.outboxes.get_mut(self.links.conns[id.index].link.outbox);
        let has_backlog = outbox.as_ref().is_some_and(|outbox| outbox.len() > REPLY_BACKLOG_LEN_MAX / 2);
        if let Some(outbox) = outbox
            && bandwidth > 0
            && sent_len > 0
        {
            outbox.free_at = self.now.plus_millis(duration_ms(sent_len, bandwidth));
        }
        self.links.outboxes.recycle(rest);
        let link = &self.links.conns[id.index].link;
        if sent_len > 0 && link.timer == Timer::Answer && link.parser.is_none() {
            // The time for an answer starts again with each progress.
            self.set_timer(id, Timer::Answer);
        }
        if result.is_err() {
            return self.terminate(id, CloseReason::Reset, Parting::Abort);
        }
        if !has_backlog && self.links.conns[id.index].link.is(Flag::PAUSED_BACKLOG) {
            self.unpause(id, Flag::PAUSED_BACKLOG);
            self.requests.answered.push(id);
        }
        self.catch_up(id.into());
        self.mark_dirty(id);
    }

    /// Adds a reason for not reading from a connection.
    pub(in crate::shard) fn pause(&mut self, id: ConnId, flag: Flag) {
        let Some(conn) = self.links.conns.get_mut(id).filter(|conn| conn.link.carrier != Carrier::Gone) else { return };
        if !conn.link.is(Flag::PAUSED) {
            self.ops.push(Op::PauseReceive { conn: id });
        }
        conn.link.set(flag, true);
    }

    /// Removes a reason; reads again if it was the last one.
    pub(in crate::shard) fn unpause(&mut self, id: ConnId, flag: Flag) {
        let Some(conn) = self.links.conns.get_mut(id).filter(|conn| conn.link.carrier != Carrier::Gone) else { return };
        let was_paused = conn.link.is(Flag::PAUSED);
        conn.link.set(flag, false);
        if was_paused && !conn.link.is(Flag::PAUSED) {
            self.ops.push(Op::ResumeReceive { conn: id });
        }
    }
}

impl Conn {
    /// Whether nothing waits for the completion of its next send: no further messages, no end, no paused reading.
    fn goes_silently(&self) -> bool {
        self.link.carrier == Carrier::WebSocket
            && self.link.edge.is_none() & self.session.pending.is_none() & self.session.lag.is_none()
            && !self.link.is(Flag::HOLDS_ON)
    }
}

/// The part of a second's bytes that one send may have.
pub(in crate::shard) fn slice_len(bandwidth: u32) -> usize {
    (bandwidth / BANDWIDTH_SLICES).max(1) as usize
}

/// The time that a send of `len` bytes takes at a bandwidth.
pub(in crate::shard) fn duration_ms(len: usize, bandwidth: u32) -> u64 {
    (len as u64 * 1_000).div_ceil(u64::from(bandwidth.max(1)))
}
