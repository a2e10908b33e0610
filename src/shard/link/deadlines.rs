//! The one deadline of each connection. Activity only writes a tick; when the wheel fires, the deadline is computed
//! anew.

use super::conn::{Carrier, Flag, Timer, tick, tick_time};
use super::ending::Parting;
use crate::close::CloseReason;
use crate::command::ConnId;
use crate::limits::{POLL_TIMEOUT_MS, SURVEY_PLACES_MAX, SURVEY_STEP_MS, UNFINISHED_INTERVAL_MS};
use crate::shard::Shard;
use crate::time::{MonoTime, TICK_MS};
use crate::transport::{Framing, websocket};

impl Shard {
    /// Handles every deadline that has passed, and continues the shutdown. Afterwards `poll_timeout() > now`.
    pub fn handle_timeout(&mut self, now: MonoTime) {
        self.now = now;
        let mut due = std::mem::take(&mut self.links.due);
        self.links.wheel.expire(now, &mut due);
        // Most connections are not in the cache. The first pass has no step that depends on the one before, so that
        // the fetches overlap. Many connections are not due: they were active meanwhile.
        due.retain(|&index| self.is_due(index));
        for index in due.drain(..) {
            if let Some(id) = self.links.conns.id_at(index) {
                self.on_due(id);
            }
        }
        self.links.due = due;
        self.sound_alarms();
        self.hub.sweep(now);
        self.step_snapshot();
        self.step_presence();
        self.step_memory();
        self.step_unfinished();
        self.step_detached();
        self.step_live();
        self.step_drain();
    }

    /// The time of the next [`Shard::step_unfinished`]; never while there is no unfinished message.
    pub(in crate::shard) fn next_unfinished_look(&self) -> Option<MonoTime> {
        (!self.links.decoders.is_empty()).then_some(self.links.unfinished_look)
    }

    /// Ends connections whose message is unfinished for longer than a body may take. If the gateway itself paused
    /// reading, the time starts again.
    fn step_unfinished(&mut self) {
        if self.links.decoders.is_empty() || self.now < self.links.unfinished_look {
            return;
        }
        let timeout_ms = self.settings.live.limits.body_timeout_ms;
        let end = self.links.unfinished_next + SURVEY_PLACES_MAX as usize;
        for place in self.links.unfinished_next..end.min(self.links.decoders.capacity()) {
            let Some(unfinished) = self.links.decoders.get_mut(place) else { continue };
            let id = unfinished.conn;
            if self.links.conns.get(id).is_some_and(|conn| conn.link.is(Flag::PAUSED)) {
                unfinished.since = tick(self.now);
            } else if tick_time(unfinished.since).plus_millis(timeout_ms) <= self.now {
                self.fail(id, CloseReason::BodyTimeout, "the message took too long");
            }
        }
        let is_over = end >= self.links.decoders.capacity();
        self.links.unfinished_next = if is_over { 0 } else { end };
        let pause_ms = if is_over { UNFINISHED_INTERVAL_MS } else { SURVEY_STEP_MS };
        self.links.unfinished_look = self.now.plus_millis(pause_ms);
    }

    /// Sets the meaning and the time of the connection's deadline.
    pub(in crate::shard) fn set_timer(&mut self, id: ConnId, timer: Timer) {
        let timeout_ms = self.timeout_ms(timer);
        self.set_timer_in(id, timer, timeout_ms);
    }

    fn timeout_ms(&self, timer: Timer) -> u64 {
        let limits = &self.settings.live.limits;
        match timer {
            // During a shutdown an unfinished request gets no new time.
            Timer::Head | Timer::Body if self.is_draining() => {
                let timeout_ms =
                    if timer == Timer::Head { limits.handshake_timeout_ms } else { limits.body_timeout_ms };
                timeout_ms.min(limits.close_timeout_ms)
            }
            Timer::Head => limits.handshake_timeout_ms,
            Timer::Body | Timer::Answer => limits.body_timeout_ms,
            Timer::Idle => limits.http_idle_timeout_ms,
            Timer::Ping => limits.ping_interval_ms,
            Timer::Pong => limits.ping_timeout_ms,
            Timer::Close => limits.close_timeout_ms,
            Timer::Poll => POLL_TIMEOUT_MS,
        }
    }

    pub(in crate::shard) fn set_timer_in(&mut self, id: ConnId, timer: Timer, timeout_ms: u64) {
        let Some(conn) = self.links.conns.get_mut(id).filter(|conn| conn.link.carrier != Carrier::Gone) else { return };
        conn.link.timer = timer;
        conn.link.deadline_tick = tick(self.now.plus_millis(timeout_ms)) + 1;
        let deadline = self.deadline(id);
        self.links.wheel.schedule(id.index, deadline);
    }

    /// The time that peers had for the pongs that are due now: an earlier configuration may have allowed more.
    fn pong_timeout_ms(&self) -> u64 {
        let timeout_ms = self.settings.live.limits.ping_timeout_ms;
        let earlier = self.links.earlier_ping_timeout.filter(|(_, until)| self.now <= *until);
        earlier.map_or(timeout_ms, |(earlier_ms, _)| timeout_ms.max(earlier_ms))
    }

    pub(in crate::shard) fn deadline(&self, id: ConnId) -> MonoTime {
        let conn = &self.links.conns[id.index];
        if conn.link.timer != Timer::Ping {
            return tick_time(conn.link.deadline_tick);
        }
        let interval_ms = self.settings.live.limits.ping_interval_ms;
        // The spread differs between connections, so that clients that connected together are not pinged together.
        let spread = u64::from(conn.link.generation).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.settings.seed;
        let early_ms = spread % (interval_ms / 10 + 1);
        tick_time(conn.link.active_tick).plus_millis(interval_ms - early_ms)
    }

    /// Whether a connection's deadline has passed; if not, it is scheduled again.
    fn is_due(&mut self, index: u32) -> bool {
        let Some(id) = self.links.conns.id_at(index) else { return false };
        let deadline = self.deadline(id);
        let is_due = deadline <= self.now;
        if !is_due {
            self.links.wheel.schedule(index, deadline);
        }
        is_due
    }

    fn on_due(&mut self, id: ConnId) {
        debug_assert!(self.deadline(id) <= self.now, "what becomes of one connection moves no deadline of another");
        let conn = &self.links.conns[id.index];
        if conn.link.is(Flag::PAUSED_TURN) && !matches!(conn.link.timer, Timer::Close | Timer::Poll) {
            // The connection waits for the gateway. Its unread bytes may be those that the deadline is for.
            return self.set_timer(id, conn.link.timer);
        }
        match conn.link.timer {
            Timer::Ping if conn.link.carrier == Carrier::Stream && conn.link.outbox.is_none() => self.beat(id),
            Timer::Ping => {
                let framing = conn.session.encoding.row().framing;
                if framing == Framing::SockJs {
                    self.reply(id, |out| framing.heartbeat(out));
                } else {
                    self.control(id, websocket::ping);
                }
                self.set_timer(id, Timer::Pong);
            }
            Timer::Pong => {
                // Rounded up, so that a pong in the same tick as its ping counts with any time-out.
                let timeout_ticks = self.pong_timeout_ms().div_ceil(TICK_MS) as u32;
                if conn.link.active_tick >= (conn.link.deadline_tick - 1).saturating_sub(timeout_ticks) {
                    self.set_timer(id, Timer::Ping);
                } else {
                    self.close(id, CloseReason::PingTimeout, "no sign of life after a ping");
                }
            }
            Timer::Head if conn.link.parser.is_none() => {
                self.terminate(id, CloseReason::HandshakeTimeout, Parting::InOrder)
            }
            Timer::Head => self.time_out_request(id, CloseReason::HandshakeTimeout, "the request head took too long"),
            Timer::Body => self.time_out_request(id, CloseReason::BodyTimeout, "the request body took too long"),
            Timer::Poll => {
                self.answer_poll(id);
            }
            Timer::Idle => self.terminate(id, CloseReason::IdleTimeout, Parting::InOrder),
            Timer::Answer => {
                let is_unread = conn.link.is(Flag::CLOSING) || !conn.link.outbox.is_none();
                let reason = if is_unread { CloseReason::CloseTimeout } else { CloseReason::Internal };
                self.terminate(id, reason, Parting::Abort);
            }
            Timer::Close => {
                let is_flushed = conn.link.outbox.is_none() && conn.link.is(Flag::FINISHED);
                let parting = if is_flushed { Parting::InOrder } else { Parting::Abort };
                self.terminate(id, CloseReason::CloseTimeout, parting);
            }
        }
    }
}
