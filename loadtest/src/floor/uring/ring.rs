//! An `io_uring` with direct descriptors, as safe calls.
//!
//! Why unsafe: pushing an entry hands the kernel raw pointers, and the compiler cannot see when it is done with them.
//! What it relies on: the bytes behind every pointer belong to this file until the completion of their entry was seen:
//! sent bytes are held by a reference in `sends`, received bytes go to `slots`, whose memory never moves and of which a
//! slot is only lent out between its completion and its next receive. Only multishot accept, multishot poll, receive,
//! send, poll removal, cancellation and close are pushed; only receive and send carry pointers. What would break it: freeing
//! a slot or a send before its completion; so a ring that is dropped with any in flight leaks their memory.
//! The safe twin is `epoll.rs`: both run the same tests.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use slab::Slab;

/// Completions of the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Completion {
    /// A connection came in, and has this index; or none could, and accepting has to be armed again if `is_over`.
    Accepted { conn: Option<u32>, is_over: bool },
    /// There is something to receive, or the peer is gone. No more of these come if `is_over`.
    Readable { conn: u32, is_over: bool },
    /// The slot holds `len` bytes, 0 at the end of the stream; `None` if there was nothing, an error if it failed.
    Received { conn: u32, slot: Slot, len: Result<Option<usize>, ()> },
    /// All was sent, or it failed.
    Sent { conn: u32, is_whole: bool },
    /// The index is free.
    Closed { conn: u32 },
}

/// A place for received bytes that the kernel is done with: it exists between the completion of a receive and
/// [`Ring::release`], and cannot be copied.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

pub(super) struct Ring {
    io: IoUring,
    listener: TcpListener,
    /// One block for all slots.
    slots: Box<[u8]>,
    free_slots: Vec<u32>,
    receives_in_flight: usize,
    /// Bytes in flight: for whom, and the reference that keeps them.
    sends: Slab<(u32, Rc<[u8]>)>,
    completions: VecDeque<Completion>,
    /// Sends that ended; apart, so that a walk over many readers can take them first.
    sent: VecDeque<(u32, bool)>,
}

impl Ring {
    /// A ring for at most `conns_max` connections, accepting from `listener`.
    pub(super) fn new(listener: TcpListener, conns_max: u32) -> io::Result<Self> {
        let io = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .setup_cqsize(COMPLETIONS_LEN)
            .build(ENTRIES_PER_SUBMIT)?;
        io.submitter().register_files_sparse(conns_max)?;
        let mut ring = Self {
            io,
            listener,
            slots: vec![0; SLOTS_COUNT as usize * SLOT_LEN].into_boxed_slice(),
            free_slots: (0..SLOTS_COUNT).collect(),
            receives_in_flight: 0,
            sends: Slab::new(),
            completions: VecDeque::new(),
            sent: VecDeque::new(),
        };
        ring.accept()?;
        Ok(ring)
    }

    /// Arms accepting.
    pub(super) fn accept(&mut self) -> io::Result<()> {
        let fd = types::Fd(self.listener.as_raw_fd());
        let entry = opcode::AcceptMulti::new(fd).allocate_file_index(true).build();
        self.push(entry.user_data(tag(ACCEPT, 0)))
    }

    /// Arms a poll that tells when there is something to receive, again and again.
    pub(super) fn poll(&mut self, conn: u32) -> io::Result<()> {
        let events = (libc::POLLIN | libc::POLLRDHUP) as u32;
        let entry = opcode::PollAdd::new(types::Fixed(conn), events).multi(true).build();
        self.push(entry.user_data(tag(POLL, conn)))
    }

    /// Ends the poll; `Readable` with `is_over` follows, if it was armed.
    pub(super) fn end_poll(&mut self, conn: u32) -> io::Result<()> {
        let entry = opcode::PollRemove::new(tag(POLL, conn)).build();
        self.push(entry.user_data(tag(IGNORED, conn)))
    }

    /// Receives what is there, without waiting for more. `false` if no slot is free.
    pub(super) fn receive(&mut self, conn: u32) -> io::Result<bool> {
        let Some(slot) = self.free_slots.pop() else { return Ok(false) };
        let start = slot as usize * SLOT_LEN;
        let bytes = &mut self.slots[start..start + SLOT_LEN];
        let entry = opcode::Recv::new(types::Fixed(conn), bytes.as_mut_ptr(), SLOT_LEN as u32)
            .flags(libc::MSG_DONTWAIT)
            .build();
        self.receives_in_flight += 1;
        self.push(entry.user_data(tag(RECEIVE + u64::from(slot), conn)))?;
        Ok(true)
    }

    /// The bytes of a slot that was received into.
    pub(super) fn received(&mut self, slot: &Slot, len: usize) -> &mut [u8] {
        let start = slot.0 as usize * SLOT_LEN;
        &mut self.slots[start..start + len.min(SLOT_LEN)]
    }

    /// Gives a slot back after its `Received`.
    pub(super) fn release(&mut self, slot: Slot) {
        self.free_slots.push(slot.0);
    }

    /// Sends all of `bytes`. At most one may be in flight for a connection, since two can overtake one another.
    pub(super) fn send(&mut self, conn: u32, bytes: Rc<[u8]>) -> io::Result<()> {
        let (start, len) = (bytes.as_ptr(), bytes.len() as u32);
        let key = self.sends.insert((conn, bytes));
        let entry =
            opcode::Send::new(types::Fixed(conn), start, len).flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL).build();
        self.push(entry.user_data(tag(SEND, key as u32)))
    }

    /// Cancels the send in flight for a connection, where the kernel could not take it at once; its end follows.
    /// Entries take effect in order, so that a send pushed just before gets its chance.
    pub(super) fn cancel_send(&mut self, conn: u32) -> io::Result<()> {
        let Some((key, _)) = self.sends.iter().find(|(_, (owner, _))| *owner == conn) else { return Ok(()) };
        let entry = opcode::AsyncCancel::new(tag(SEND, key as u32)).build();
        self.push(entry.user_data(tag(IGNORED, conn)))
    }

    /// Closes the connection, for which nothing is in flight; `Closed` follows.
    pub(super) fn close(&mut self, conn: u32) -> io::Result<()> {
        let entry = opcode::Close::new(types::Fixed(conn)).build();
        self.push(entry.user_data(tag(CLOSE, conn)))
    }

    /// Hands what was pushed to the kernel, and takes what it has completed.
    pub(super) fn submit(&mut self) -> io::Result<()> {
        if self.io.submission().is_empty() { Ok(()) } else { self.enter(0) }
    }

    /// The same, and waits until something has completed.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        self.enter(usize::from(self.completions.is_empty() && self.sent.is_empty()))
    }

    /// The completions, sends first and otherwise the oldest first.
    pub(super) fn pop(&mut self) -> Option<Completion> {
        let sent = self.pop_sent().map(|(conn, is_whole)| Completion::Sent { conn, is_whole });
        sent.or_else(|| self.completions.pop_front())
    }

    /// A send that ended: for whom, and whether all was sent.
    pub(super) fn pop_sent(&mut self) -> Option<(u32, bool)> {
        self.sent.pop_front()
    }

    fn enter(&mut self, want: usize) -> io::Result<()> {
        match self.io.submit_and_wait(want) {
            // Interrupted, or completions overflowed: taking what is there helps both.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)) => {}
            outcome => drop(outcome?),
        }
        self.take();
        Ok(())
    }

    fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: every entry is built by a method above. The bytes behind the pointer of a receive are those of a
            // slot that is not free, behind the pointer of a send those of a reference in `sends`; both stay until the
            // completion is seen in `take`. The descriptors are the listener, which the ring owns, and direct ones.
            if unsafe { self.io.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            self.enter(0)?;
        }
    }

    fn take(&mut self) {
        let queue = self.io.completion();
        for entry in queue {
            let is_over = !cqueue::more(entry.flags());
            let (kind, index) = untag(entry.user_data());
            let outcome = usize::try_from(entry.result());
            let completion = match kind {
                ACCEPT => Completion::Accepted { conn: outcome.ok().map(|conn| conn as u32), is_over },
                POLL => Completion::Readable { conn: index, is_over },
                SEND => {
                    let Some((conn, bytes)) = self.sends.try_remove(index as usize) else { continue };
                    self.sent.push_back((conn, outcome == Ok(bytes.len())));
                    continue;
                }
                CLOSE => Completion::Closed { conn: index },
                IGNORED => continue,
                receive => {
                    self.receives_in_flight -= 1;
                    let len = match entry.result() {
                        len @ 0.. => Ok(Some(len as usize)),
                        error if -error == libc::EAGAIN => Ok(None),
                        _ => Err(()),
                    };
                    Completion::Received { conn: index, slot: Slot((receive - RECEIVE) as u32), len }
                }
            };
            self.completions.push_back(completion);
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.receives_in_flight > 0 || !self.sends.is_empty() {
            std::mem::forget(std::mem::take(&mut self.slots));
            std::mem::forget(std::mem::take(&mut self.sends));
        }
    }
}

/// The kind of an entry and its connection: `kind` above 32 bits of `index`.
fn tag(kind: u64, index: u32) -> u64 {
    (kind << 32) | u64::from(index)
}

fn untag(user_data: u64) -> (u64, u32) {
    (user_data >> 32, user_data as u32)
}

const IGNORED: u64 = 0;
const ACCEPT: u64 = 1;
const POLL: u64 = 2;
const SEND: u64 = 3;
const CLOSE: u64 = 4;
/// And above: the slot is added.
const RECEIVE: u64 = 5;

/// Entries that one submit takes: that many sends share one kernel call.
const ENTRIES_PER_SUBMIT: u32 = 256;
const COMPLETIONS_LEN: u32 = 16 * 1024;

/// Receives in flight at once; those who find no slot free wait their turn.
const SLOTS_COUNT: u32 = 64;
/// Bytes of one receive.
pub(super) const SLOT_LEN: usize = 16 * 1024;
