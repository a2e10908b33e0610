//! The driver over io_uring: opt-in, for kernels from Linux 6.12 on.
//!
//! A socket is a direct descriptor, known to one ring only and not counted among the process's open files. It waits in a
//! multishot poll; busy ones are armed with a multishot receive (`receive`). A turn's sends go to the kernel as one batch
//! of entries on shared segments, with the call that then waits (`send`); of a send to many, only those who did not take
//! all of it complete. Accepts go by the batch as well (`accept`), those at the listeners of a full ring too (`neighbours`).
//! What the kernel says of a socket is kept in 16 bytes a connection (`sockets`). Every entry that waits in the kernel is
//! marked with the generation of its connection, and `Closed` comes when the last of them has ended.
//!
//! This room must never know what the bytes mean, nor what a connection is for. `ring` and `buffer_ring` are its unsafe
//! files, and say why. Tests: `tests/driver_contract.rs`; `tests.rs` for what is relied on of the kernel.

mod accept;
mod buffer_ring;
mod mark;
mod neighbours;
mod probe;
mod receive;
mod ring;
mod send;
mod sockets;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use self::accept::Acceptor;
pub use self::neighbours::UringIntake;
use self::receive::Receiver;
use self::ring::{Event, Outcome, Ring, RingSetup};
use self::send::Sender;
use self::sockets::{Flags, NO_FILE, Slot, Sockets};
use super::clock::{Clock, wall_millis};
use super::descriptors::raise_descriptors_max;
use super::epoll::net_error;
use super::listen::Listener;
use super::{Completion, Driver, NetError, Op, Wake};
use crate::command::ConnId;
use crate::driver::allocator::release_memory;
use crate::limits::{ACCEPT_PER_WAIT_MAX, EVENTS_PER_WAIT_MAX, RING_FILES_MAX, SUBMIT_RETRY_MS};
use crate::time::MonoTime;

/// A [`Driver`] over io_uring.
pub struct Uring {
    ring: Ring,
    waker: UringWaker,
    clock: Clock,
    sockets: Sockets,
    acceptor: Acceptor,
    receiver: Receiver,
    sender: Sender,
    /// Completions that `submit` caused without the kernel; the next wait returns them.
    queued: Vec<Queued>,
    /// Where those connect to whose socket is being opened.
    targets: Vec<(ConnId, SocketAddr)>,
    /// Kept for its memory.
    events: Vec<Event>,
}

/// The kernel objects of a [`Uring`], opened where a failure can still be told and another driver chosen, and sent
/// to the thread that will run it.
pub struct UringSetup {
    ring: RingSetup,
    waker: UringWaker,
    files_max: u32,
    connections_capacity: u32,
    accepts_per_wait: usize,
}

impl UringSetup {
    /// For a driver that holds up to `connections_capacity` connections, whose indexes are below that; fewer if the
    /// process may not have as many descriptors, which also bounds those of a ring.
    ///
    /// # Errors
    /// The kernel's error for a new ring, or the feature that it lacks.
    pub fn new(connections_capacity: u32) -> io::Result<Self> {
        let descriptors_max = u32::try_from(raise_descriptors_max()).unwrap_or(u32::MAX);
        let files_max = connections_capacity.min(descriptors_max).min(RING_FILES_MAX);
        let waker = UringWaker(Arc::new(ring::eventfd()?));
        let ring = RingSetup::new(files_max).map_err(probe::explain)?;
        Ok(Self { ring, waker, files_max, connections_capacity, accepts_per_wait: ACCEPT_PER_WAIT_MAX })
    }

    /// Bounds the connections accepted in one wait at one listener; the others stay with the kernel until the next.
    pub fn set_accepts_per_wait(&mut self, count: usize) {
        self.accepts_per_wait = count;
    }

    /// A handle that wakes the driver.
    #[must_use]
    pub fn waker(&self) -> UringWaker {
        self.waker.clone()
    }

    /// What the drivers of one process accept from: each from its own `listeners`, and where one holds `share`
    /// connections, another that holds fewer accepts what comes to it.
    ///
    /// # Panics
    /// If there are not as many `listeners` as `setups`.
    #[must_use]
    pub fn intakes(setups: &[Self], listeners: Vec<Vec<Listener>>, share: u32) -> Vec<UringIntake> {
        assert_eq!(setups.len(), listeners.len(), "each driver has its listeners");
        UringIntake::mesh(setups.iter().map(Self::waker).zip(listeners), share)
    }

    /// The driver, on the thread that runs it.
    ///
    /// # Errors
    /// The kernel's error when the thread takes the ring.
    pub fn into_driver(self, intake: UringIntake) -> io::Result<Uring> {
        let mut driver = Uring {
            ring: self.ring.enable()?,
            waker: self.waker,
            clock: Clock::new(),
            sockets: Sockets::new(self.connections_capacity),
            acceptor: Acceptor::new(intake, self.files_max, self.accepts_per_wait),
            receiver: Receiver::new(),
            sender: Sender::default(),
            queued: Vec::new(),
            targets: Vec::new(),
            events: Vec::new(),
        };
        driver.ring.watch(&driver.waker.0)?;
        driver.acceptor.watch(&mut driver.ring)?;
        Ok(driver)
    }
}

impl Uring {
    /// Sets a driver up on the thread that runs it, alone in its process.
    ///
    /// # Errors
    /// As for [`UringSetup::new`] and [`UringSetup::into_driver`].
    pub fn new(listeners: Vec<Listener>, connections_capacity: u32) -> io::Result<Self> {
        let setup = UringSetup::new(connections_capacity)?;
        let intake = UringSetup::intakes(std::slice::from_ref(&setup), vec![listeners], u32::MAX).remove(0);
        setup.into_driver(intake)
    }

    /// The numbers that the driver holds: connections, held sends, and connections with kept bytes.
    #[must_use]
    pub fn holdings(&self) -> [usize; 3] {
        [self.sockets.len() as usize, self.sender.len(), self.receiver.len()]
    }

    /// Connections that a receive is armed for.
    #[must_use]
    pub fn armed(&mut self) -> usize {
        let Self { sockets, receiver, .. } = self;
        let mut is_armed = |conn| sockets.find(conn).is_some_and(|slot| slot.flags.has(Flags::ARMED));
        receiver.armed().iter().filter(|&&conn| is_armed(conn)).count()
    }

    /// Bounds the direct descriptors from now on; those in use stay. For tests, which cannot use up a whole table.
    pub fn set_files_max(&mut self, files_max: u32) {
        self.acceptor.set_files_max(files_max);
    }

    /// Arms a receive for each connection that is readable in so many waits of a period. For tests of that path alone.
    pub fn set_arm_after(&mut self, waits: u8) {
        self.receiver.set_arm_after(waits);
    }

    fn apply(&mut self, op: Op) -> io::Result<()> {
        let Self { ring, sockets, sender, .. } = self;
        match op {
            Op::Adopt { conn, socket } => receive::poll(sockets.insert(conn, socket.0), conn, ring),
            Op::Refuse { socket, words } => ring.refuse(socket.0, words),
            Op::Connect { conn, peer } => self.connect(conn, peer),
            Op::Send { conn, segments } => sender.send(sockets, ring, conn, segments),
            Op::SendMany { segment, conns } => send::send_many(sockets, ring, &segment, &conns),
            Op::PauseReceive { conn } => {
                let Some(slot) = sockets.find_open(conn) else { return Ok(()) };
                slot.flags.set(Flags::PAUSED);
                receive::disarm(slot, conn, ring)
            }
            Op::ResumeReceive { conn } => {
                if let Some(slot) = sockets.find_open(conn) {
                    slot.flags.clear(Flags::PAUSED);
                    sockets.list_if_ready(conn);
                }
                Ok(())
            }
            Op::Finish { conn } => {
                let Some(slot) = sockets.find_open(conn) else { return Ok(()) };
                slot.flags.set(Flags::FINISHING);
                ring.finish(conn, slot.file)
            }
            Op::Close { conn, abort } => self.close(conn, abort),
            Op::StopAccepting => self.acceptor.stop(ring),
        }
    }

    fn connect(&mut self, conn: ConnId, peer: SocketAddr) -> io::Result<()> {
        if self.acceptor.is_full() {
            self.queued.push(Queued::Connected { conn, result: Err(NetError::Other) });
            return Ok(());
        }
        self.sockets.insert(conn, NO_FILE).flags.set(Flags::CONNECTING);
        self.targets.push((conn, peer));
        self.ring.open(conn, peer)
    }

    /// Cancels what waits in the kernel and gives the descriptor back. The socket is closed when both have happened.
    fn close(&mut self, conn: ConnId, abort: bool) -> io::Result<()> {
        let Self { ring, sockets, .. } = self;
        let Some(slot) = sockets.find_open(conn) else {
            // A `Connect` that failed at once is not in the table, but its id is in use until the shard hears of it.
            let failed =
                |queued: &&mut Queued| matches!(queued, Queued::Connected { conn: other, .. } if *other == conn);
            if let Some(queued) = self.queued.iter_mut().find(failed) {
                *queued = Queued::Closed { conn };
            }
            return Ok(());
        };
        slot.flags.set(Flags::CLOSING);
        self.sender.forget(conn);
        self.receiver.forget(conn);
        if slot.flags.has(Flags::POLLING) {
            ring.cancel_poll(conn)?;
        }
        if slot.flags.has(Flags::AWAITS_ROOM) {
            ring.cancel_room(conn)?;
        }
        receive::disarm(slot, conn, ring)?;
        if slot.file == NO_FILE {
            // It is closed as soon as it is opened.
            return Ok(());
        }
        if slot.flags.has(Flags::CONNECTING) {
            ring.cancel_connect(conn)?;
        }
        if abort {
            ring.reset_on_close(slot.file)?;
        }
        release(slot, conn, ring)
    }

    fn timeout(&self, until: Option<MonoTime>) -> Option<Duration> {
        let has_own = !self.queued.is_empty() || self.ring.has_events();
        let has_bytes = self.sockets.has_ready() || self.receiver.has_left();
        if has_own || has_bytes || self.acceptor.has_ready() {
            return Some(Duration::ZERO);
        }
        let first = match (until, self.acceptor.looks_at()) {
            (Some(until), Some(looks_at)) => until.min(looks_at),
            (until, looks_at) => until.or(looks_at)?,
        };
        Some(self.clock.until(first))
    }

    /// Takes in all events; how many there were.
    fn handle_events(&mut self, full: &Cell<bool>, sink: &mut impl FnMut(Completion<'_>)) -> io::Result<usize> {
        let mut count = 0;
        while self.ring.has_events() {
            let mut events = self.ring.take_events(std::mem::take(&mut self.events));
            count += events.len();
            for event in events.drain(..) {
                self.handle(event, full, sink)?;
            }
            self.events = events;
        }
        Ok(count)
    }

    fn handle(&mut self, event: Event, full: &Cell<bool>, sink: &mut impl FnMut(Completion<'_>)) -> io::Result<()> {
        let Self { ring, sockets, sender, receiver, acceptor, .. } = self;
        let conn = match event {
            Event::Polled { conn, outcome, is_over } => {
                receiver.handle_polled(sockets, ring, (conn, outcome, is_over))?;
                conn
            }
            Event::Received { conn, outcome, piece, is_over } => {
                receiver.handle_received(sockets, ring, (conn, outcome, piece, is_over), full, sink)?;
                conn
            }
            Event::Room { conn, outcome } => {
                clear(sockets, conn, Flags::AWAITS_ROOM);
                sender.resume(sockets, ring, (conn, outcome), sink)?;
                conn
            }
            Event::Sent { conn, outcome, segments, is_one_of_many } => {
                return sender.handle_sent(sockets, ring, (conn, outcome, segments, is_one_of_many), sink);
            }
            Event::Finished { conn } => {
                // It fails only on a connection that is already gone, of which the receiving side tells.
                let Some(slot) = sockets.find(conn) else { return Ok(()) };
                slot.flags.clear(Flags::FINISHING);
                if slot.flags.has(Flags::CLOSING) {
                    release(slot, conn, ring)?;
                }
                conn
            }
            Event::Opened { conn, outcome } => {
                self.opened(conn, outcome, sink)?;
                conn
            }
            Event::Connected { conn, outcome } => {
                self.connected(conn, outcome, sink)?;
                conn
            }
            Event::Released { conn } => {
                acceptor.count_out();
                let Some(conn) = conn else { return Ok(()) };
                clear(sockets, conn, Flags::RELEASING);
                conn
            }
            Event::Listened { listener, outcome, is_over } => {
                acceptor.handle(listener, outcome, is_over);
                return Ok(());
            }
            Event::Woken { outcome, is_over } => {
                acceptor.handle_woken();
                sink(Completion::Woken);
                if outcome.is_err() {
                    // No memory for the poll: without it the shard could not be woken, so it tries until there is.
                    std::thread::sleep(Duration::from_millis(SUBMIT_RETRY_MS));
                }
                return if is_over { ring.watch(&self.waker.0) } else { Ok(()) };
            }
        };
        let slot = self.sockets.find(conn);
        if slot.is_some_and(|slot| slot.flags.has(Flags::CLOSING) && !slot.flags.has_in_flight()) {
            self.sockets.remove(conn);
            sink(Completion::Closed { conn });
        }
        Ok(())
    }

    /// Goes on with a `Connect` whose socket is there.
    fn opened(&mut self, conn: ConnId, outcome: Outcome, sink: &mut impl FnMut(Completion<'_>)) -> io::Result<()> {
        let place = self.targets.iter().position(|(other, _)| *other == conn);
        let (_, peer) = self.targets.swap_remove(place.expect("a target for each socket that is opened"));
        let slot = self.sockets.find(conn).expect("its Closed has not come");
        let is_closing = slot.flags.has(Flags::CLOSING);
        match outcome {
            Ok(file) => {
                self.acceptor.count_in();
                slot.file = file;
                if !is_closing {
                    return self.ring.connect(conn, file, peer);
                }
                slot.flags.clear(Flags::CONNECTING);
                slot.flags.set(Flags::RELEASING);
                self.ring.close(Some(conn), file)
            }
            Err(_) if is_closing => {
                slot.flags.clear(Flags::CONNECTING);
                Ok(())
            }
            Err(errno) => {
                self.sockets.remove(conn);
                sink(Completion::Connected { conn, result: Err(net_error_of(errno)) });
                Ok(())
            }
        }
    }

    /// Looks how a `Connect` went.
    fn connected(&mut self, conn: ConnId, outcome: Outcome, sink: &mut impl FnMut(Completion<'_>)) -> io::Result<()> {
        let Some(slot) = self.sockets.find(conn) else { return Ok(()) };
        slot.flags.clear(Flags::CONNECTING);
        match outcome {
            _ if slot.flags.has(Flags::CLOSING) => Ok(()),
            Ok(_) => {
                sink(Completion::Connected { conn, result: Ok(()) });
                receive::poll(slot, conn, &mut self.ring)
            }
            Err(errno) => {
                let file = slot.file;
                self.sockets.remove(conn);
                sink(Completion::Connected { conn, result: Err(net_error_of(errno)) });
                self.ring.close(None, file)
            }
        }
    }

    /// One look at the kernel: waits as long as `until` and what is at hand allow. `false` if it was interrupted.
    fn look(
        &mut self,
        until: Option<MonoTime>,
        sink: &mut impl FnMut(MonoTime, Completion<'_>) -> ControlFlow<()>,
    ) -> io::Result<bool> {
        let is_whole = self.ring.wait(self.timeout(until))?;
        let now = self.clock.now();
        let full = Cell::new(false);
        let mut sink = |completion: Completion<'_>| full.set(sink(now, completion).is_break() || full.get());
        for queued in self.queued.drain(..) {
            match queued {
                Queued::Connected { conn, result } => sink(Completion::Connected { conn, result }),
                Queued::Closed { conn } => sink(Completion::Closed { conn }),
            }
        }
        self.receiver.begin(&mut self.sockets, &mut self.ring, now)?;
        let mut count = self.handle_events(&full, &mut sink)?;
        // One call does only part of the work that the kernel has deferred. A shard that has enough must still learn which
        // connections come next.
        while count < EVENTS_PER_WAIT_MAX && self.ring.has_deferred() && self.receiver.has_budget() {
            self.ring.wait(Some(Duration::ZERO))?;
            count += self.handle_events(&full, &mut sink)?.max(1);
        }
        // A send that was tried again may take a socket's error with it, which the reads then have to know.
        self.ring.flush()?;
        self.handle_events(&full, &mut sink)?;
        self.receiver.receive(&mut self.sockets, &mut self.ring, &full, &mut sink)?;
        self.acceptor.accept(&mut self.ring, now, &mut sink)?;
        Ok(is_whole)
    }
}

impl Driver for Uring {
    type Waker = UringWaker;

    fn waker(&self) -> UringWaker {
        self.waker.clone()
    }

    fn now(&self) -> MonoTime {
        self.clock.now()
    }

    fn release_memory(&mut self) {
        release_memory();
    }

    fn wall_millis(&self) -> u64 {
        wall_millis()
    }

    fn submit(&mut self, ops: &mut Vec<Op>) -> io::Result<()> {
        // Entries that fit in the queue go to the kernel with the call that waits.
        ops.drain(..).try_for_each(|op| self.apply(op))
    }

    fn wait(
        &mut self,
        until: Option<MonoTime>,
        mut sink: impl FnMut(MonoTime, Completion<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        loop {
            let mut is_told = false;
            let is_whole = self.look(until, &mut |now, completion| {
                is_told = true;
                sink(now, completion)
            })?;
            // After a signal the wait ends early, so that whoever waits for it can look. What concerns the driver alone
            // does not end it.
            if is_told || !is_whole || until.is_some_and(|until| self.clock.now() >= until) {
                return Ok(());
            }
        }
    }
}

/// Wakes a [`Uring`] driver, through an eventfd.
#[derive(Clone, Debug)]
pub struct UringWaker(Arc<File>);

impl Wake for UringWaker {
    fn wake(&self) {
        // It fails only when the counter is full: after 2^64 wakes without a wait.
        let _ = (&*self.0).write(&1_u64.to_ne_bytes());
    }
}

/// A completion that `submit` brought about.
#[derive(Debug)]
enum Queued {
    Connected { conn: ConnId, result: Result<(), NetError> },
    Closed { conn: ConnId },
}

/// Gives the descriptor of a connection back. A shutdown runs on a worker thread, which looks the descriptor up only
/// then: given back before, it would end the stream of whoever has it by now.
fn release(slot: &mut Slot, conn: ConnId, ring: &mut Ring) -> io::Result<()> {
    if slot.flags.has(Flags::FINISHING) {
        return Ok(());
    }
    slot.flags.set(Flags::RELEASING);
    ring.close(Some(conn), slot.file)
}

fn clear(sockets: &mut Sockets, conn: ConnId, flag: Flags) {
    if let Some(slot) = sockets.find(conn) {
        slot.flags.clear(flag);
    }
}

/// An errno as the rest of the program sees it.
fn net_error_of(errno: i32) -> NetError {
    net_error(&io::Error::from_raw_os_error(errno))
}
