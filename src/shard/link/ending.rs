//! How connections end.
//!
//! ```text
//!            close(), fail(), on_close_frame(), last response
//! open ------------------------------------------------------> CLOSING: what is queued goes out, then
//!   |                                                             peer is done:        Close
//!   |  reset, peer gone, time-out                                 peer may not be:     Finish, wait for its end
//!   +----------------------> Gone (driver told) ---- Closed ----> out of the arena
//! ```
//! A WebSocket that we close in order waits for the peer's close frame before its socket is closed [RFC 6455 7.1.1]; one
//! that broke a rule is not listened to any more, but its stream is ended in order, so that the close frame is not lost
//! to a reset.

use super::conn::{Flag, Session, Slot, Timer, tick};
use crate::buf::Segment;
use crate::close::{CloseReason, Loudness};
use crate::command::ConnId;
use crate::driver::{NetError, Op};
use crate::limits::REPLY_BACKLOG_LEN_MAX;
use crate::shard::Shard;
use crate::shard::request::follow::TOO_SLOW;
use crate::shard::session::pace::duration_ms;
use crate::transport::websocket;

impl Shard {
    /// Begins the closing handshake of a WebSocket, or the end of a stream. What is queued for a reader that is too slow
    /// is dropped.
    pub(in crate::shard) fn close(&mut self, id: ConnId, reason: CloseReason, text: &str) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if !conn.is_reader() {
            return;
        }
        if conn.session == Session::Http {
            return self.refuse_request(id, TOO_SLOW);
        }
        if reason == CloseReason::SlowReader
            && let Some(outbox) = self.outboxes.get_mut(conn.outbox)
        {
            outbox.drop_queued();
        }
        match (conn.session, conn.encoding) {
            // What was dropped leaves it without an end, which tells the peer that something is missing.
            (Session::Stream, _) if reason == CloseReason::SlowReader => {}
            (Session::Stream, encoding) => self.reply(id, |_, out| encoding.end(out)),
            _ => self.reply(id, |_, out| websocket::close(reason, text, out)),
        }
        self.begin_end(id, reason);
    }

    /// Fails the WebSocket: the closing handshake, and nothing more that the peer sends is looked at. [RFC 6455 7.1.7]
    pub(in crate::shard) fn fail(&mut self, id: ConnId, reason: CloseReason, text: &str) {
        self.close(id, reason, text);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.set(Flag::DEAF, true);
        }
    }

    /// Answers the peer's close frame, or takes it as the answer to ours.
    pub(in crate::shard) fn on_close_frame(&mut self, id: ConnId, code: Option<u16>) {
        if self.conns[id.index].is_open_websocket() {
            self.reply(id, |_, out| websocket::answer_close(code, out));
            self.begin_end(id, CloseReason::Normal);
        }
        let conn = &mut self.conns[id.index];
        conn.set(Flag::DEAF, true);
        conn.set(Flag::PEER_DONE, true);
        self.mark_dirty(id);
    }

    /// From now on nothing more is said to the connection; it ends when what is queued is out.
    pub(in crate::shard) fn begin_end(&mut self, id: ConnId, reason: CloseReason) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.end.get_or_insert(reason);
        conn.set(Flag::CLOSING, true);
        self.unpause(id, Flag::PAUSED_WHILE_OPEN);
        self.leave_all(id);
        self.mark_dirty(id);
        // Whoever asked for a response gets the time to read it; the socket is ended in order behind it.
        let is_http = self.conns[id.index].session == Session::Http;
        self.set_timer(id, if is_http { Timer::Answer } else { Timer::Close });
    }

    /// The outbox of a connection has run empty.
    pub(in crate::shard) fn settle(&mut self, id: ConnId) {
        let is_draining = self.is_draining();
        let conn = &mut self.conns[id.index];
        if !conn.is(Flag::CLOSING) {
            // It had an answer under way when the others were told to leave.
            if is_draining && conn.session == Session::Http && conn.exchange.is_none() {
                self.terminate(id, CloseReason::Shutdown, false);
            } else if conn.session == Session::Http && conn.timer == Timer::Answer && conn.exchange.is_none() {
                self.set_timer(id, Timer::Idle);
            }
            return;
        }
        if self.says_tls_goodbye(id) {
            return;
        }
        let conn = &mut self.conns[id.index];
        if conn.is(Flag::PEER_DONE) {
            self.terminate(id, CloseReason::Normal, false);
        } else if !conn.is(Flag::FINISHED) && (conn.session != Session::WebSocket || conn.is(Flag::DEAF)) {
            conn.set(Flag::FINISHED, true);
            conn.set(Flag::DEAF, true);
            self.ops.push(Op::Finish { conn: id });
            self.set_timer(id, Timer::Close);
        }
    }

    pub(in crate::shard) fn on_receive_closed(&mut self, id: ConnId, cause: Option<NetError>) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.session == Session::Gone {
            return;
        }
        if cause.is_some() {
            return self.terminate(id, CloseReason::Reset, true);
        }
        if self.puts_off_end(id) {
            return;
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.set(Flag::PEER_DONE, true);
        if conn.is(Flag::CLOSING) {
            self.mark_dirty(id);
        } else if conn.session == Session::Http {
            // A poll is answered now; what was asked behind it comes after.
            if !self.answer_poll(id) {
                self.end_after_answers(id);
            }
        } else {
            // Without a close frame, but it may still read what it was answered.
            self.begin_end(id, CloseReason::PeerGone);
        }
    }

    pub(in crate::shard) fn on_sent(&mut self, id: ConnId, result: Result<u32, NetError>, mut rest: Vec<Segment>) {
        if self.conns.get(id).is_none_or(|conn| conn.session == Session::Gone) {
            return;
        }
        let bandwidth = self.bandwidth(id);
        let conn = &mut self.conns[id.index];
        let mut sent_len = result.unwrap_or(0) as usize;
        if conn.session == Session::Stream && sent_len > 0 {
            // It says nothing itself: that it takes something is its sign of life.
            conn.active_tick = tick(self.now);
        }
        if !conn.edge.is_none() {
            self.metrics.sent_len += sent_len as u64;
            match self.on_sealed_sent(id, sent_len, &mut rest) {
                Some(plain_len) => sent_len = plain_len,
                None if result.is_ok() => return,
                None => {}
            }
        } else {
            let outbox = self.outboxes.ensure(&mut conn.outbox);
            if outbox.is_in_flight() {
                self.metrics.sent_len += sent_len as u64;
                outbox.sent(sent_len, &mut rest);
            } else {
                // Of a fan-out that was counted as sent.
                self.metrics.sent_len -= rest.iter().map(|segment| segment.len() as u64).sum::<u64>();
                outbox.adopt_rest(sent_len, &mut rest);
                sent_len = 0;
            }
        }
        let outbox = self.outboxes.get_mut(self.conns[id.index].outbox);
        let has_backlog = outbox.as_ref().is_some_and(|outbox| outbox.len() > REPLY_BACKLOG_LEN_MAX / 2);
        if let Some(outbox) = outbox
            && bandwidth > 0
            && sent_len > 0
        {
            outbox.free_at = self.now.plus_millis(duration_ms(sent_len, bandwidth));
        }
        self.outboxes.recycle(rest);
        if sent_len > 0 && self.conns[id.index].timer == Timer::Answer && self.conns[id.index].exchange.is_none() {
            // An answer has its time for as long as some of it is taken.
            self.set_timer(id, Timer::Answer);
        }
        if result.is_err() {
            return self.terminate(id, CloseReason::Reset, true);
        }
        if !has_backlog && self.conns[id.index].is(Flag::PAUSED_BACKLOG) {
            self.unpause(id, Flag::PAUSED_BACKLOG);
            self.answered.push(id);
        }
        self.catch_up(id);
        self.mark_dirty(id);
    }

    /// Ends a connection now: everything it holds is given back, and the driver is told to close it.
    pub(in crate::shard) fn terminate(&mut self, id: ConnId, reason: CloseReason, abort: bool) {
        if self.conns.get(id).is_none_or(|conn| conn.session == Session::Gone) {
            return;
        }
        self.leave_all(id);
        self.release_edge(id, !abort);
        let conn = &mut self.conns[id.index];
        let reason = *conn.end.get_or_insert(reason);
        match std::mem::replace(&mut conn.session, Session::Gone) {
            Session::Http => self.metrics.http_connections -= 1,
            Session::Stream if conn.encoding.is_events() => self.metrics.event_connections -= 1,
            Session::Stream => self.metrics.line_connections -= 1,
            _ => self.metrics.websocket_connections -= 1,
        }
        self.outboxes.release(&mut conn.outbox);
        if let Some(slot) = std::mem::replace(&mut conn.decoder, Slot::NONE).index() {
            self.decoders.remove(slot).decoder.release(&mut self.pool);
        }
        if let Some(slot) = std::mem::replace(&mut conn.exchange, Slot::NONE).index() {
            self.exchanges.remove(slot);
        }
        self.compressor.forget_window(id.index);
        self.put_off.forget(id.index, &mut self.pool);
        self.wheel.cancel(id.index);
        self.metrics.count_close(reason);
        let peer = self.peers.get(&id.index).map(tracing::field::display);
        match reason.row().loudness {
            Loudness::Debug => tracing::debug!(conn = id.index, peer, %reason, "closed"),
            Loudness::Info => tracing::info!(conn = id.index, peer, %reason, "closed"),
            Loudness::Error => tracing::error!(conn = id.index, peer, %reason, "closed"),
        }
        self.ops.push(Op::Close { conn: id, abort });
    }

    pub(in crate::shard) fn on_closed(&mut self, id: ConnId) {
        if self.conns.get(id).is_some() {
            debug_assert_eq!(self.conns[id.index].session, Session::Gone, "only what was told to close is closed");
            let conn = self.conns.remove(id);
            self.count_out(id.index, conn.is(Flag::ADMITTED));
        }
    }

    /// Stops reading from a connection for one more reason.
    pub(in crate::shard) fn pause(&mut self, id: ConnId, flag: Flag) {
        let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.session != Session::Gone) else { return };
        if !conn.is(Flag::PAUSED) {
            self.ops.push(Op::PauseReceive { conn: id });
        }
        conn.set(flag, true);
    }

    /// Reads again, if there is no other reason not to.
    pub(in crate::shard) fn unpause(&mut self, id: ConnId, flag: Flag) {
        let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.session != Session::Gone) else { return };
        let was_paused = conn.is(Flag::PAUSED);
        conn.set(flag, false);
        if was_paused && !conn.is(Flag::PAUSED) {
            self.ops.push(Op::ResumeReceive { conn: id });
        }
    }
}
