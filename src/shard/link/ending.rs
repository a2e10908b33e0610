//! How connections end.
//!
//! ```text
//!            close(), fail(), on_close_frame(), last response
//! open ------------------------------------------------------> CLOSING: what is queued goes out, then
//!   |                                                             peer is done:        Close
//!   |  reset, peer gone, time-out                                 peer may not be:     Finish, wait for its end
//!   +----------------------> Gone (driver told) ---- Closed ----> out of the arena
//! ```
//! A WebSocket that we close in order waits for the peer's close frame before its socket is closed [RFC 6455 7.1.1].
//! After a broken rule the peer's bytes are ignored, but the stream ends in order, so that a reset does not lose the
//! close frame.

use super::conn::{Carrier, Flag, Timer};
use crate::close::{CloseReason, Loudness, Row};
use crate::command::{ConnId, ErrorCode};
use crate::driver::{NetError, Op};
use crate::shard::Shard;
use crate::shard::session::rest;
use crate::shard::slot::Slot;
use crate::transport::http::RequestError;
use crate::transport::{Framing, websocket};

/// The way in which a socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Parting {
    /// The kernel still sends its bytes.
    InOrder,
    /// With a reset: nothing more is sent.
    Abort,
}

impl Shard {
    /// Begins the closing handshake of a WebSocket, or the end of a stream. Queued messages of a slow reader are
    /// dropped.
    pub(in crate::shard) fn close(&mut self, id: ConnId, reason: CloseReason, text: &str) {
        let Some(conn) = self.links.conns.get_mut(id) else { return };
        if !conn.is_reader() {
            return;
        }
        if conn.link.carrier == Carrier::Http1 {
            return self.refuse_request(id, TOO_SLOW);
        }
        if reason == CloseReason::SlowReader
            && let Some(outbox) = self.links.outboxes.get_mut(conn.link.outbox)
        {
            outbox.drop_queued();
        }
        match (conn.link.carrier, conn.session.encoding) {
            // A stream with dropped messages gets no orderly end. The missing end tells the peer that something was
            // lost.
            (Carrier::Stream, _) if reason == CloseReason::SlowReader => {}
            (Carrier::Stream, encoding) => self.reply(id, |out| encoding.row().framing.end(out)),
            (_, encoding) => self.reply(id, |out| {
                encoding.row().framing.farewell(reason, text, out);
                websocket::close(reason, text, out);
            }),
        }
        self.begin_end(id, reason);
    }

    /// Fails the WebSocket: begins the closing handshake, and ignores everything else from the peer. [RFC 6455 7.1.7]
    pub(in crate::shard) fn fail(&mut self, id: ConnId, reason: CloseReason, text: &str) {
        self.close(id, reason, text);
        if let Some(conn) = self.links.conns.get_mut(id) {
            conn.link.set(Flag::DEAF, true);
        }
    }

    /// Answers the peer's close frame, or takes it as the answer to ours.
    pub(in crate::shard) fn on_close_frame(&mut self, id: ConnId, code: Option<u16>) {
        if self.links.conns[id.index].link.is_open_websocket() {
            self.reply(id, |out| websocket::answer_close(code, out));
            self.begin_end(id, CloseReason::Normal);
        }
        let conn = &mut self.links.conns[id.index];
        conn.link.set(Flag::DEAF, true);
        conn.link.set(Flag::PEER_DONE, true);
        self.mark_dirty(id);
    }

    /// Begins the end of a connection: no more messages, and the end comes when everything queued is sent.
    pub(in crate::shard) fn begin_end(&mut self, id: ConnId, reason: CloseReason) {
        let Some(conn) = self.links.conns.get_mut(id) else { return };
        conn.link.end.get_or_insert(reason);
        conn.link.set(Flag::CLOSING, true);
        self.unpause(id, Flag::PAUSED_WHILE_OPEN);
        self.leave_all(id.into());
        self.mark_dirty(id);
        // The client gets time to read its response. The socket then ends in order.
        let is_http = self.links.conns[id.index].link.carrier == Carrier::Http1;
        self.set_timer(id, if is_http { Timer::Answer } else { Timer::Close });
    }

    /// Handles an outbox that has become empty.
    pub(in crate::shard) fn settle(&mut self, id: ConnId) {
        self.resume_carry(id);
        let is_draining = self.is_draining();
        let conn = &mut self.links.conns[id.index];
        if !conn.link.is(Flag::CLOSING) {
            // Its answer was under way when the other connections were told to leave.
            if is_draining && conn.link.carrier == Carrier::Http1 && conn.link.parser.is_none() {
                self.terminate(id, CloseReason::Shutdown, Parting::InOrder);
            } else if conn.link.timer == Timer::Answer
                && conn.link.exchange().is_none()
                && conn.link.carrier == Carrier::Http1
            {
                self.set_timer(id, Timer::Idle);
            }
            return;
        }
        if self.says_tls_goodbye(id) {
            return;
        }
        let conn = &mut self.links.conns[id.index];
        if conn.link.is(Flag::PEER_DONE) {
            self.terminate(id, CloseReason::Normal, Parting::InOrder);
        } else if !conn.link.is(Flag::FINISHED) && (conn.link.carrier != Carrier::WebSocket || conn.link.is(Flag::DEAF))
        {
            conn.link.set(Flag::FINISHED, true);
            conn.link.set(Flag::DEAF, true);
            self.ops.push(Op::Finish { conn: id });
            self.set_timer(id, Timer::Close);
        }
    }

    pub(in crate::shard) fn on_receive_closed(&mut self, id: ConnId, cause: Option<NetError>) {
        let Some(conn) = self.links.conns.get_mut(id) else { return };
        if conn.link.carrier == Carrier::Gone {
            return;
        }
        if cause.is_some() {
            return self.terminate(id, CloseReason::Reset, Parting::Abort);
        }
        if self.puts_off_end(id) {
            return;
        }
        let conn = &mut self.links.conns[id.index];
        conn.link.set(Flag::PEER_DONE, true);
        if conn.link.is(Flag::CLOSING) {
            self.mark_dirty(id);
        } else if conn.link.carrier == Carrier::Http1 {
            // A poll is answered now; requests behind it are handled after it.
            if self.is_carrying(id) {
                self.terminate(id, CloseReason::PeerGone, Parting::InOrder);
            } else if !self.answer_poll(id) {
                self.end_after_answers(id);
            }
        } else {
            // The peer sent no close frame, but it may still read its answers.
            self.begin_end(id, CloseReason::PeerGone);
        }
    }

    /// Ends a connection now: frees everything that it holds, and tells the driver to close it.
    pub(in crate::shard) fn terminate(&mut self, id: ConnId, reason: CloseReason, parting: Parting) {
        if self.links.conns.get(id).is_none_or(|conn| conn.link.carrier == Carrier::Gone) {
            return;
        }
        self.forget_carry(id);
        self.leave_all(id.into());
        self.release_edge(id, parting == Parting::InOrder);
        let conn = &mut self.links.conns[id.index];
        rest::release(&mut self.sessions.rests, &mut conn.session.rest);
        let reason = *conn.link.end.get_or_insert(reason);
        if let Some(slot) = std::mem::replace(&mut conn.link.parser, Slot::NONE).index() {
            match conn.link.carrier {
                Carrier::Http1 => drop(self.requests.exchanges.remove(slot)),
                _ => self.links.decoders.remove(slot).decoder.release(&mut self.links.pool),
            }
        }
        match std::mem::replace(&mut conn.link.carrier, Carrier::Gone) {
            Carrier::Http1 => self.metrics.http_connections -= 1,
            Carrier::Stream if conn.session.encoding.row().framing == Framing::Events => {
                self.metrics.event_connections -= 1
            }
            Carrier::Stream => self.metrics.line_connections -= 1,
            _ => self.metrics.websocket_connections -= 1,
        }
        self.links.outboxes.release(&mut conn.link.outbox);
        self.delivery.compressor.forget_window(id.index);
        self.links.put_off.forget(id.index, &mut self.links.pool);
        self.links.wheel.cancel(id.index);
        self.metrics.count_close(reason);
        let Row { loudness, blame, .. } = reason.row();
        let blame = blame.label();
        let peer = self.links.peers.get(&id.index).map(tracing::field::display);
        match loudness {
            Loudness::Debug => tracing::debug!(conn = id.index, peer, %reason, %blame, "closed"),
            Loudness::Info => tracing::info!(conn = id.index, peer, %reason, %blame, "closed"),
            Loudness::Error => tracing::error!(conn = id.index, peer, %reason, %blame, "closed"),
        }
        self.ops.push(Op::Close { conn: id, abort: parting == Parting::Abort });
    }

    pub(in crate::shard) fn on_closed(&mut self, id: ConnId) {
        if self.links.conns.get(id).is_some() {
            debug_assert_eq!(
                self.links.conns[id.index].link.carrier,
                Carrier::Gone,
                "only what was told to close is closed"
            );
            let conn = self.links.conns.remove(id);
            self.count_out(id.index, conn.link.standing.is_counted());
        }
    }
}

/// The answer to a streaming request that has too many messages waiting. Its subscriptions are still under way, so no
/// further request may follow on the connection.
const TOO_SLOW: RequestError =
    RequestError::new(ErrorCode::Overloaded, "more messages came than may wait while the subscriptions are made");
