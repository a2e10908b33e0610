//! The floor over `io_uring`: multishot accept into direct descriptors, an idle connection in a multishot poll, sends
//! as entries of which 256 share one kernel call.
//!
//! An idle connection waits in a poll rather than in an armed receive because that costs the kernel 256 bytes and not
//! 856. `ring.rs` is the only file with unsafe code.

mod ring;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::TcpListener;
use std::rc::Rc;

use self::ring::{Completion, Ring, SLOT_LEN, Slot};
use super::mode::{Mode, REST_LEN_MAX};
use super::peers::{Peers, Said, Verdict};

/// One thread's loop. A connection is one byte of [`States`] and what [`Peers`] keeps.
pub(super) struct Uring {
    ring: Ring,
    peers: Peers,
    said: Said,
    states: States,
    /// Frames for those whose last send is still in flight.
    rests: HashMap<u32, VecDeque<Rc<[u8]>>>,
    /// Connections that receive as soon as a slot is free.
    starved: VecDeque<u32>,
    /// Accepting ended for want of a direct descriptor; it is armed again when one is free.
    accept_is_over: bool,
}

impl Uring {
    pub(super) fn new(listener: TcpListener, mode: Mode) -> io::Result<Self> {
        let ring = Ring::new(listener, conns_max())?;
        Ok(Self {
            ring,
            peers: Peers::new(mode),
            said: Said::default(),
            states: States::default(),
            rests: HashMap::new(),
            starved: VecDeque::new(),
            accept_is_over: false,
        })
    }

    /// Runs until the process ends, or the ring fails.
    pub(super) fn run(mut self, announce: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        announce()?;
        loop {
            self.ring.wait()?;
            while let Some(completion) = self.ring.pop() {
                self.handle(completion)?;
            }
            if self.peers.mode() == Mode::Batch && !self.said.ends.is_empty() {
                self.send_to_all(Rc::from(self.said.frames.as_slice()))?;
                self.said.clear_frames();
            }
        }
    }

    fn handle(&mut self, completion: Completion) -> io::Result<()> {
        match completion {
            Completion::Accepted { conn, is_over } => self.accepted(conn, is_over),
            Completion::Readable { conn, is_over } => self.readable(conn, is_over),
            Completion::Received { conn, slot, len } => self.received(conn, slot, len),
            Completion::Sent { conn, is_whole } => self.sent(conn, is_whole),
            Completion::Closed { conn } => {
                self.states.end(conn);
                if std::mem::take(&mut self.accept_is_over) { self.ring.accept() } else { Ok(()) }
            }
        }
    }

    fn accepted(&mut self, conn: Option<u32>, is_over: bool) -> io::Result<()> {
        if let Some(conn) = conn {
            self.peers.insert(conn);
            self.states.start(conn);
            self.states.set_flag(conn, POLLING);
            self.ring.poll(conn)?;
        }
        match (is_over, conn) {
            (false, _) => Ok(()),
            (true, None) if self.states.live > 0 => {
                self.accept_is_over = true;
                Ok(())
            }
            (true, _) => self.ring.accept(),
        }
    }

    fn readable(&mut self, conn: u32, is_over: bool) -> io::Result<()> {
        let state = self.states.of(conn);
        if is_over {
            self.states.drop_flag(conn, POLLING);
        }
        if state & CLOSING != 0 {
            return self.close_if_quiet(conn);
        }
        if is_over {
            // The kernel may end a multishot poll whenever it likes.
            self.states.set_flag(conn, POLLING);
            self.ring.poll(conn)?;
        }
        self.receive(conn)
    }

    fn receive(&mut self, conn: u32) -> io::Result<()> {
        if self.states.of(conn) & RECEIVING != 0 {
            self.states.set_flag(conn, AGAIN);
        } else {
            self.states.set_flag(conn, RECEIVING);
            if !self.ring.receive(conn)? {
                self.starved.push_back(conn);
            }
        }
        Ok(())
    }

    fn received(&mut self, conn: u32, slot: Slot, len: Result<Option<usize>, ()>) -> io::Result<()> {
        let state = self.states.of(conn);
        self.states.drop_flag(conn, RECEIVING | AGAIN);
        let verdict = match len {
            _ if state & CLOSING != 0 => Verdict::Close,
            Ok(None) => Verdict::Keep,
            Ok(Some(0)) | Err(()) => Verdict::Close,
            Ok(Some(len)) => self.peers.receive(conn, self.ring.received(&slot, len), &mut self.said),
        };
        self.ring.release(slot);
        while let Some(next) = self.starved.pop_front() {
            if !self.ring.receive(next)? {
                self.starved.push_front(next);
                break;
            }
        }
        if !self.said.answer.is_empty() {
            self.send(conn, &Rc::from(self.said.answer.as_slice()))?;
            self.said.answer.clear();
        }
        if self.peers.mode() == Mode::Fanout && !self.said.ends.is_empty() {
            let frames: Vec<Rc<[u8]>> = self.said.each_frame().map(Rc::from).collect();
            self.said.clear_frames();
            for frame in frames {
                self.send_to_all(frame)?;
            }
        }
        match verdict {
            Verdict::Close => self.close(conn),
            // Without an edge in between there is more only where the slot was filled.
            Verdict::Keep if state & AGAIN != 0 || len == Ok(Some(SLOT_LEN)) => self.receive(conn),
            Verdict::Keep => Ok(()),
        }
    }

    fn send_to_all(&mut self, frame: Rc<[u8]>) -> io::Result<()> {
        // From the end, since one who is closed on the way gives its place to the last.
        for place in (0..self.peers.readers().len()).rev() {
            let conn = self.peers.readers()[place];
            self.send(conn, &frame)?;
        }
        // Sends that completed inside the submit are seen before the next frame, so that it need not wait for them.
        self.ring.submit()?;
        self.take_sent()
    }

    /// Handles the sends among the completions, and leaves the rest for the loop.
    fn take_sent(&mut self) -> io::Result<()> {
        while let Some((conn, is_whole)) = self.ring.pop_sent() {
            self.sent(conn, is_whole)?;
        }
        Ok(())
    }

    fn send(&mut self, conn: u32, bytes: &Rc<[u8]>) -> io::Result<()> {
        let state = self.states.of(conn);
        if state & (CLOSING | SENDING) == 0 {
            self.states.set_flag(conn, SENDING);
            return self.ring.send(conn, Rc::clone(bytes));
        }
        if state & CLOSING == 0 {
            let rests = self.rests.entry(conn).or_default();
            rests.push_back(Rc::clone(bytes));
            let waiting: usize =
                if rests.len().is_multiple_of(64) { rests.iter().map(|rest| rest.len()).sum() } else { 0 };
            if waiting > REST_LEN_MAX {
                return self.close(conn);
            }
        }
        Ok(())
    }

    fn sent(&mut self, conn: u32, is_whole: bool) -> io::Result<()> {
        self.states.drop_flag(conn, SENDING);
        let closes = self.states.of(conn) & CLOSING != 0;
        if is_whole && !self.rests.is_empty() {
            if let Some(next) = self.rests.get_mut(&conn).and_then(VecDeque::pop_front) {
                self.states.set_flag(conn, SENDING);
                return self.ring.send(conn, next);
            }
            self.rests.remove(&conn);
        }
        match (closes, is_whole) {
            (true, _) => self.close_if_quiet(conn),
            (false, true) => Ok(()),
            (false, false) => self.close(conn),
        }
    }

    /// Begins to close: what is in flight has to complete before the index can be used again.
    fn close(&mut self, conn: u32) -> io::Result<()> {
        let state = self.states.of(conn);
        if state & CLOSING != 0 {
            return self.close_if_quiet(conn);
        }
        self.peers.remove(conn);
        self.rests.remove(&conn);
        self.states.set_flag(conn, CLOSING);
        if state & SENDING != 0 {
            // An answer that the kernel can take at once gets out; one to a peer that does not read is cut off.
            self.ring.cancel_send(conn)?;
        }
        if state & POLLING != 0 { self.ring.end_poll(conn) } else { self.close_if_quiet(conn) }
    }

    fn close_if_quiet(&mut self, conn: u32) -> io::Result<()> {
        if self.states.of(conn) & (POLLING | RECEIVING | SENDING | CLOSED) == 0 {
            self.states.set_flag(conn, CLOSED);
            return self.ring.close(conn);
        }
        Ok(())
    }
}

/// The operations in flight for each connection.
#[derive(Debug, Default)]
struct States {
    flags: Vec<u8>,
    live: usize,
}

impl States {
    fn start(&mut self, conn: u32) {
        let at = conn as usize;
        if at >= self.flags.len() {
            self.flags.resize(at + 1, 0);
        }
        self.flags[at] = 0;
        self.live += 1;
    }

    fn end(&mut self, conn: u32) {
        self.flags[conn as usize] = 0;
        self.live -= 1;
    }

    fn of(&self, conn: u32) -> u8 {
        self.flags[conn as usize]
    }

    fn set_flag(&mut self, conn: u32, flag: u8) {
        self.flags[conn as usize] |= flag;
    }

    fn drop_flag(&mut self, conn: u32, flag: u8) {
        self.flags[conn as usize] &= !flag;
    }
}

/// A multishot poll is armed.
const POLLING: u8 = 1;
/// A receive is in flight, or waits for a slot.
const RECEIVING: u8 = 2;
/// There was news while a receive was in flight.
const AGAIN: u8 = 4;
/// A send is in flight.
const SENDING: u8 = 8;
/// It is to be closed as soon as nothing is in flight.
const CLOSING: u8 = 16;
/// Its close is in flight.
const CLOSED: u8 = 32;

/// Direct descriptors of one ring: the kernel allows as many as a process may have open files.
fn conns_max() -> u32 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let row = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
    let soft = row.split_whitespace().next().and_then(|word| word.parse().ok());
    soft.unwrap_or(CONNS_FALLBACK).min(CONNS_MAX)
}

/// Where the limit cannot be read.
const CONNS_FALLBACK: u32 = 1024;
/// The kernel's own bound for a ring's file table.
const CONNS_MAX: u32 = 1 << 20;
