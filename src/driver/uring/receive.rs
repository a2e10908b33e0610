//! Receiving. An idle connection waits in a multishot poll, which costs the kernel a third of an armed receive. What the
//! poll tells of is read in rounds, one entry for each connection. A connection that is readable in many waits of one
//! period is armed instead: a multishot receive brings its bytes without a read, until a period in which nothing came.
//!
//! ```text
//!            readable in ARM_AFTER_WAITS waits of a period
//!   polling ----------------------------------------------> armed
//!           <----------------------------------------------
//!            a silent period, a pause, no buffer, or the end
//! ```

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::io;

use super::super::Completion;
use super::buffer_ring::Piece;
use super::net_error_of;
use super::ring::{Outcome, ReadDone, Ring};
use super::sockets::{Flags, Slot, Sockets};
use crate::command::ConnId;
use crate::driver::NetError;
use crate::limits::{
    ARM_AFTER_WAITS, ARMED_MAX, BUSY_PERIOD_MS, READS_PER_ROUND_MAX, RECEIVE_BUFFER_LEN, RECEIVE_PER_WAIT_MAX,
    RING_BUFFER_LEN, RING_BUFFERS,
};
use crate::time::MonoTime;

/// The receiving side of one shard.
#[derive(Debug)]
pub(super) struct Receiver {
    /// Connections to read from in this wait; between waits those that had no turn in the last one.
    conns: VecDeque<ConnId>,
    /// Empty between waits, like the next kept for its memory.
    turn: Vec<Turn>,
    done: Vec<ReadDone>,
    /// Bytes that arrived for a connection while it was paused or the shard had enough, by index: the bytes of one
    /// kernel call, or of two if an armed receive had to be ended first.
    kept: HashMap<u32, Vec<u8>>,
    /// Those that a multishot receive is armed for; may name some that it ended for.
    armed: Vec<ConnId>,
    /// Those to be armed at the end of this wait.
    busy: Vec<ConnId>,
    /// Bytes that armed receives brought in this wait.
    armed_len: usize,
    period: u64,
    /// Waits of one period in which a connection is readable before it is armed.
    arm_after: u8,
}

/// A connection that is read from in this wait.
#[derive(Debug)]
struct Turn {
    conn: ConnId,
    /// Bytes left of its budget.
    left: usize,
    is_done: bool,
    /// The shard got something of it in this wait.
    is_heard: bool,
}

impl Receiver {
    pub(super) fn new() -> Self {
        Self {
            conns: VecDeque::new(),
            turn: Vec::new(),
            done: Vec::new(),
            kept: HashMap::new(),
            armed: Vec::new(),
            busy: Vec::new(),
            armed_len: 0,
            period: 0,
            arm_after: ARM_AFTER_WAITS,
        }
    }

    /// Begins a wait; whenever a period has passed, gives the armed that were silent in it back to their polls.
    pub(super) fn begin(&mut self, sockets: &mut Sockets, ring: &mut Ring, now: MonoTime) -> io::Result<()> {
        self.armed_len = 0;
        let period = now.as_nanos() / (BUSY_PERIOD_MS * 1_000_000);
        if std::mem::replace(&mut self.period, period) == period || self.armed.is_empty() {
            return Ok(());
        }
        let mut armed = std::mem::take(&mut self.armed);
        let mut failure = Ok(());
        armed.retain(|&conn| {
            let Some(slot) = sockets.find_open(conn).filter(|slot| slot.flags.has(Flags::ARMED)) else { return false };
            let is_heard = slot.flags.take(Flags::HEARD);
            if !is_heard && failure.is_ok() {
                failure = disarm(slot, conn, ring);
            }
            is_heard
        });
        self.armed = armed;
        failure
    }

    /// Whether there are connections that had no turn.
    pub(super) fn has_left(&self) -> bool {
        !self.conns.is_empty()
    }

    /// Whether one more call of the kernel keeps every armed connection inside its budget.
    pub(super) fn has_budget(&self) -> bool {
        self.armed_len == 0 || self.armed_len + RING_BUFFERS * RING_BUFFER_LEN <= RECEIVE_PER_WAIT_MAX
    }

    /// Takes in what a poll says: bytes are only noted.
    pub(super) fn handle_polled(
        &mut self,
        sockets: &mut Sockets,
        ring: &mut Ring,
        (conn, outcome, is_over): (ConnId, Outcome, bool),
    ) -> io::Result<()> {
        let Some(slot) = sockets.find(conn) else { return Ok(()) };
        if is_over {
            slot.flags.clear(Flags::POLLING);
        }
        // An armed receive tells of everything itself.
        if slot.flags.has(Flags::CLOSING) || slot.flags.has(Flags::ARMED) {
            return Ok(());
        }
        match outcome {
            Ok(events) => {
                let has = |event: i16| events & u32::from(event as u16) != 0;
                if has(libc::POLLERR) {
                    slot.flags.set(Flags::FAILED);
                }
                if has(libc::POLLERR | libc::POLLHUP | libc::POLLRDHUP) {
                    slot.flags.set(Flags::ENDING);
                }
                slot.flags.set(Flags::READY);
                if is_over {
                    poll(slot, conn, ring)?;
                }
                sockets.list_if_ready(conn);
                Ok(())
            }
            Err(libc::ECANCELED) => poll(slot, conn, ring),
            // The kernel is out of memory: this connection fails, the shard goes on.
            Err(errno) => {
                sockets.fail(conn, net_error_of(errno));
                Ok(())
            }
        }
    }

    /// Hands out what an armed receive brought; keeps it where others come first.
    pub(super) fn handle_received(
        &mut self,
        sockets: &mut Sockets,
        ring: &mut Ring,
        (conn, outcome, piece, is_over): (ConnId, Outcome, Option<Piece>, bool),
        full: &Cell<bool>,
        sink: &mut impl FnMut(Completion<'_>),
    ) -> io::Result<()> {
        let slot = sockets.find(conn);
        if let Some(mut piece) = piece {
            let is_wanted = slot.as_ref().is_some_and(|slot| !slot.flags.has(Flags::CLOSING));
            self.armed_len += piece.len();
            if is_wanted && piece.len() > 0 {
                let slot = slot.expect("it is wanted");
                slot.flags.set(Flags::HEARD);
                let has_to_wait = full.get() || !self.conns.is_empty();
                if has_to_wait || slot.flags.has(Flags::PAUSED) || slot.flags.has(Flags::HAS_KEPT) {
                    keep(&mut self.kept, slot, conn, ring.bytes(&mut piece));
                    if full.get() {
                        disarm(slot, conn, ring)?;
                    }
                    sockets.list_if_ready(conn);
                } else {
                    sink(Completion::Received { conn, bytes: ring.bytes(&mut piece) });
                }
            }
            ring.give_back(piece);
        }
        if is_over { end_armed(sockets, ring, conn, outcome, sink) } else { Ok(()) }
    }

    /// Reads from all connections that are listed as ready, in rounds, until the shard is `full`. Those that used up
    /// their budget are listed again.
    pub(super) fn receive(
        &mut self,
        sockets: &mut Sockets,
        ring: &mut Ring,
        full: &Cell<bool>,
        sink: &mut impl FnMut(Completion<'_>),
    ) -> io::Result<()> {
        sockets.take_ready(&mut self.conns);
        for _ in 0..self.conns.len() {
            // Connections before one with kept bytes are read from first; kept bytes are delivered at once.
            if self.conns.front().is_some_and(|&conn| has_kept(sockets, conn)) {
                self.read_rounds(sockets, ring, full, sink)?;
            }
            if full.get() {
                break;
            }
            let Some(conn) = self.conns.pop_front() else { break };
            self.begin_turn(sockets, conn, full, sink);
        }
        self.read_rounds(sockets, ring, full, sink)?;
        self.leave(sockets, ring)?;
        for conn in self.busy.drain(..) {
            if let Some(slot) = sockets.find_open(conn) {
                self.armed.push(conn);
                slot.flags.set(Flags::ARMED);
                slot.flags.set(Flags::HEARD);
                ring.cancel_poll(conn)?;
                ring.arm(conn, slot.file)?;
            }
        }
        Ok(())
    }

    fn read_rounds(
        &mut self,
        sockets: &mut Sockets,
        ring: &mut Ring,
        full: &Cell<bool>,
        sink: &mut impl FnMut(Completion<'_>),
    ) -> io::Result<()> {
        while !self.turn.is_empty() && !full.get() {
            self.read_round(sockets, ring, full, sink)?;
        }
        Ok(())
    }

    /// Puts the connections that had no turn back to the front, and those that were stopped in theirs to the end. Nothing
    /// more comes in unasked for any of them.
    fn leave(&mut self, sockets: &mut Sockets, ring: &mut Ring) -> io::Result<()> {
        for Turn { conn, is_heard, .. } in self.turn.drain(..).rev() {
            match sockets.find_open(conn) {
                Some(slot) if !is_heard => {
                    slot.flags.set(Flags::LISTED);
                    self.conns.push_front(conn);
                }
                _ => sockets.list_if_ready(conn),
            }
        }
        for &conn in &self.conns {
            if let Some(slot) = sockets.find_open(conn) {
                disarm(slot, conn, ring)?;
            }
        }
        Ok(())
    }

    fn begin_turn(
        &mut self,
        sockets: &mut Sockets,
        conn: ConnId,
        full: &Cell<bool>,
        sink: &mut impl FnMut(Completion<'_>),
    ) {
        let Some(slot) = sockets.find_open(conn) else { return };
        slot.flags.clear(Flags::LISTED);
        let is_paused = slot.flags.has(Flags::PAUSED);
        if slot.flags.has(Flags::RECEIVE_CLOSED) || (is_paused && !slot.flags.has(Flags::FAILED)) {
            return;
        }
        if is_paused {
            // The kernel reports the kind of the error only to a call, and any such call could take bytes.
            slot.failure.get_or_insert(NetError::Reset);
            self.kept.remove(&conn.index);
            return close_receive(slot, conn, sink);
        }
        // The bytes of armed receives in this wait may have been for this connection.
        let mut left = RECEIVE_PER_WAIT_MAX.saturating_sub(self.armed_len);
        let mut is_heard = false;
        if slot.flags.take(Flags::HAS_KEPT) {
            let mut bytes = self.kept.remove(&conn.index).unwrap_or_default();
            let mut at = 0;
            is_heard = true;
            while at < bytes.len() && left > 0 && !full.get() {
                let end = bytes.len().min(at + left.min(RECEIVE_BUFFER_LEN));
                left -= end - at;
                sink(Completion::Received { conn, bytes: &mut bytes[at..end] });
                at = end;
            }
            if at < bytes.len() {
                keep(&mut self.kept, slot, conn, &bytes[at..]);
                return sockets.list_if_ready(conn);
            }
        }
        if slot.flags.has(Flags::ARMED) {
            slot.flags.clear(Flags::READY);
        } else if left > 0 {
            self.turn.push(Turn { conn, left, is_done: false, is_heard });
        } else {
            sockets.list_if_ready(conn);
        }
    }

    /// One read for each of the first that still have to be read from.
    fn read_round(
        &mut self,
        sockets: &mut Sockets,
        ring: &mut Ring,
        full: &Cell<bool>,
        sink: &mut impl FnMut(Completion<'_>),
    ) -> io::Result<()> {
        for (place, turn) in (0..).zip(self.turn.iter().take(READS_PER_ROUND_MAX)) {
            let slot = sockets.find(turn.conn).expect("nothing closes a connection inside a wait");
            ring.read(place, slot.file, turn.left.min(RING_BUFFER_LEN) as u32)?;
        }
        ring.flush()?;
        let mut done = ring.take_reads(std::mem::take(&mut self.done));
        let mut has_progress = false;
        for read in done.drain(..) {
            has_progress |= read.outcome != Err(libc::ENOBUFS);
            let turn = &mut self.turn[read.place as usize];
            let slot = sockets.find(turn.conn).expect("nothing closes a connection inside a wait");
            let (mut heard, mut unheard) = (0, Vec::new());
            let is_full = full.get();
            let is_drained = handle_read(slot, turn, ring, read, &mut |completion: Completion<'_>| match completion {
                Completion::Received { bytes, .. } if is_full => unheard.extend_from_slice(bytes),
                Completion::Received { conn, bytes } => {
                    heard = bytes.len();
                    sink(Completion::Received { conn, bytes });
                }
                completion => sink(completion),
            });
            turn.is_heard |= heard > 0;
            if !unheard.is_empty() {
                keep(&mut self.kept, slot, turn.conn, &unheard);
                turn.is_done = false;
                continue;
            }
            let may_arm = is_drained && self.armed.len() + self.busy.len() < ARMED_MAX;
            if is_drained && slot.count_wait(self.period as u8) >= self.arm_after && may_arm {
                self.busy.push(turn.conn);
            }
        }
        self.done = done;
        assert!(has_progress, "every buffer was given back before the round");
        self.turn.retain(|turn| {
            if turn.is_done {
                sockets.list_if_ready(turn.conn);
            }
            !turn.is_done
        });
        Ok(())
    }

    /// Those that a receive was armed for, and may not be any more.
    pub(super) fn armed(&self) -> &[ConnId] {
        &self.armed
    }

    /// See [`super::Uring::set_arm_after`].
    pub(super) fn set_arm_after(&mut self, waits: u8) {
        self.arm_after = waits;
    }

    /// Drops what is kept for a connection.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.kept.remove(&conn.index);
    }

    /// Connections for which bytes are kept.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }
}

fn has_kept(sockets: &mut Sockets, conn: ConnId) -> bool {
    sockets.find_open(conn).is_some_and(|slot| slot.flags.has(Flags::HAS_KEPT))
}

/// Keeps bytes of a connection until it has its turn.
fn keep(kept: &mut HashMap<u32, Vec<u8>>, slot: &mut Slot, conn: ConnId, bytes: &[u8]) {
    slot.flags.set(Flags::HAS_KEPT);
    slot.flags.set(Flags::READY);
    kept.entry(conn.index).or_default().extend_from_slice(bytes);
}

/// Takes in one read; `true` if the connection has no more and is well.
fn handle_read(
    slot: &mut Slot,
    turn: &mut Turn,
    ring: &mut Ring,
    read: ReadDone,
    sink: &mut impl FnMut(Completion<'_>),
) -> bool {
    let conn = turn.conn;
    let ReadDone { outcome, piece, has_more, .. } = read;
    let len = piece.as_ref().map_or(0, Piece::len);
    // Kernels before 6.17 say of Unix-domain sockets nothing of what is left, so that only a short read is believed.
    let is_cut = len == turn.left.min(RING_BUFFER_LEN) || piece.as_ref().is_some_and(Piece::ends_buffer);
    if let Some(mut piece) = piece {
        if len > 0 {
            sink(Completion::Received { conn, bytes: ring.bytes(&mut piece) });
        }
        ring.give_back(piece);
    }
    turn.left -= len;
    turn.is_done = turn.left == 0;
    match outcome {
        // After a send took the socket's error away, the kernel calls this an orderly end.
        Ok(0) => {
            turn.is_done = true;
            close_receive(slot, conn, sink);
        }
        // Bytes and ends that come later raise an edge of their own. An end that is already there raised its edge before.
        Ok(_) if has_more || is_cut || slot.flags.has(Flags::ENDING) => {}
        Ok(_) => {
            turn.is_done = true;
            slot.flags.clear(Flags::READY);
            return true;
        }
        Err(libc::EAGAIN) => {
            turn.is_done = true;
            slot.flags.clear(Flags::READY);
            if slot.failure.is_some() {
                close_receive(slot, conn, sink);
            }
        }
        // The next round finds buffers.
        Err(libc::ENOBUFS | libc::EINTR) => {}
        Err(errno) => {
            turn.is_done = true;
            slot.failure.get_or_insert(net_error_of(errno));
            close_receive(slot, conn, sink);
        }
    }
    false
}

/// Gives a connection back to its poll, if its armed receive is over in order.
fn end_armed(
    sockets: &mut Sockets,
    ring: &mut Ring,
    conn: ConnId,
    outcome: Outcome,
    sink: &mut impl FnMut(Completion<'_>),
) -> io::Result<()> {
    let Some(slot) = sockets.find(conn) else { return Ok(()) };
    slot.flags.clear(Flags::ARMED);
    slot.flags.clear(Flags::DISARMING);
    let is_silent = slot.flags.has(Flags::PAUSED) || slot.flags.has(Flags::HAS_KEPT);
    match outcome {
        _ if slot.flags.has(Flags::CLOSING) => return Ok(()),
        Ok(0) if !is_silent => {
            close_receive(slot, conn, sink);
            return Ok(());
        }
        // A read finds the end again.
        Ok(0) => {
            slot.flags.set(Flags::ENDING);
            slot.flags.set(Flags::READY);
        }
        Ok(_) | Err(libc::ECANCELED) => {}
        Err(libc::ENOBUFS | libc::EAGAIN | libc::EINTR) => slot.flags.set(Flags::READY),
        Err(errno) => sockets.fail(conn, net_error_of(errno)),
    }
    sockets.list_if_ready(conn);
    sockets.find(conn).map_or(Ok(()), |slot| poll(slot, conn, ring))
}

/// Lets a connection wait in a poll, unless something else is armed or nothing more will come. If there is something
/// already, the poll says so.
pub(super) fn poll(slot: &mut Slot, conn: ConnId, ring: &mut Ring) -> io::Result<()> {
    let is_needless = [Flags::POLLING, Flags::ARMED, Flags::RECEIVE_CLOSED, Flags::CLOSING];
    if is_needless.into_iter().any(|flag| slot.flags.has(flag)) {
        return Ok(());
    }
    slot.flags.set(Flags::POLLING);
    ring.poll(conn, slot.file)
}

/// Ends an armed receive.
pub(super) fn disarm(slot: &mut Slot, conn: ConnId, ring: &mut Ring) -> io::Result<()> {
    if !slot.flags.has(Flags::ARMED) || slot.flags.has(Flags::DISARMING) {
        return Ok(());
    }
    slot.flags.set(Flags::DISARMING);
    ring.disarm(conn)
}

fn close_receive(slot: &mut Slot, conn: ConnId, sink: &mut impl FnMut(Completion<'_>)) {
    slot.flags.set(Flags::RECEIVE_CLOSED);
    slot.flags.clear(Flags::READY);
    sink(Completion::ReceiveClosed { conn, cause: slot.failure });
}
