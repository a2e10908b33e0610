//! Accepting: a poll at each listener, and batches of accepts that do not wait, each with its own address. A multishot
//! accept would tell no addresses, have no bound for one wait, and drop a connection that finds the table of
//! descriptors full.
//!
//! A driver that holds its share leaves what waits to a neighbour with room (`neighbours`), and goes on as if it were
//! alone when there is none.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use super::super::{Completion, Socket};
use super::neighbours::{Neighbours, UringIntake};
use super::ring::{AcceptDone, Outcome, Ring};
use crate::driver::epoll::is_of_one_connection;
use crate::limits::{ACCEPT_BACKOFF_MS, ACCEPTS_PER_BATCH_MAX};
use crate::time::MonoTime;

/// The listeners of one shard, and the count of direct descriptors.
#[derive(Debug)]
pub(super) struct Acceptor {
    sources: Vec<Source>,
    /// Descriptors in use, and how many there may be.
    files: u32,
    files_max: u32,
    /// With so many in use, connections are left to a neighbour that has fewer.
    share: u32,
    accepts_per_wait: usize,
    /// A listener is not watched, or could not be.
    is_deaf: bool,
    is_short: bool,
    /// While descriptors or memory are short, the time until which nothing is accepted.
    rests_until: Option<MonoTime>,
    /// The other drivers, until this one stops accepting.
    neighbours: Option<Neighbours>,
    /// A neighbour has connections that this driver may accept.
    is_asked: bool,
    /// While a neighbour is to accept what waits here, the time at which to look whether it did.
    left_until: Option<MonoTime>,
    /// Kept for its memory.
    done: Vec<AcceptDone>,
}

#[derive(Debug)]
struct Source {
    listener: Arc<TcpListener>,
    /// There may be more connections: the kernel says so once, so this stays until there are none.
    is_ready: bool,
    /// A poll is armed.
    is_watched: bool,
}

/// Why no more was accepted at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// No connection waits there.
    Empty,
    /// As many were accepted as were asked for.
    Enough,
    /// Descriptors or memory are short.
    Short,
}

impl Acceptor {
    pub(super) fn new(intake: UringIntake, files_max: u32, accepts_per_wait: usize) -> Self {
        let UringIntake { listeners, share, neighbours } = intake;
        let source = |listener| Source { listener, is_ready: false, is_watched: false };
        let acceptor = Self {
            sources: listeners.into_iter().map(source).collect(),
            files: 0,
            files_max,
            share,
            accepts_per_wait,
            is_deaf: false,
            is_short: false,
            rests_until: None,
            neighbours: Some(neighbours),
            is_asked: false,
            left_until: None,
            done: Vec::new(),
        };
        acceptor.note_room();
        acceptor
    }

    /// Watches every listener that is not.
    pub(super) fn watch(&mut self, ring: &mut Ring) -> io::Result<()> {
        for (index, source) in (0..).zip(&mut self.sources) {
            if !std::mem::replace(&mut source.is_watched, true) {
                ring.listen(index, &source.listener)?;
            }
        }
        Ok(())
    }

    /// Handles a listener's poll: connections wait there, or the poll could not be armed.
    pub(super) fn handle(&mut self, listener: u32, outcome: Outcome, is_over: bool) {
        let Some(source) = self.sources.get_mut(listener as usize) else { return };
        source.is_ready |= outcome.is_ok();
        source.is_watched = !is_over;
        self.is_deaf |= is_over;
        self.is_short |= outcome.is_err();
    }

    /// Takes note of a wake, which may be a neighbour's.
    pub(super) fn handle_woken(&mut self) {
        self.is_asked |= self.neighbours.as_ref().is_some_and(Neighbours::take_asked);
    }

    /// Whether the next wait can accept without asking the kernel first.
    pub(super) fn has_ready(&self) -> bool {
        self.rests_until.is_none() && (self.is_asked || self.sources.iter().any(|source| source.is_ready))
    }

    /// When to look again although the kernel says nothing.
    pub(super) fn looks_at(&self) -> Option<MonoTime> {
        self.rests_until.or(self.left_until)
    }

    /// Accepts from every listener that has something, up to `accepts_per_wait` each, and from those of neighbours that
    /// have no room.
    pub(super) fn accept(
        &mut self,
        ring: &mut Ring,
        now: MonoTime,
        sink: &mut impl FnMut(Completion<'_>),
    ) -> io::Result<()> {
        if std::mem::take(&mut self.is_short) {
            self.rest(now);
        }
        if self.rests_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        self.rests_until = None;
        if std::mem::take(&mut self.is_deaf) {
            self.watch(ring)?;
        }
        self.take_back(now);
        for index in 0..self.sources.len() {
            if !self.sources[index].is_ready || self.rests_until.is_some() {
                continue;
            }
            let mut room = self.room();
            if room == 0 {
                if self.leave_to_neighbour(now) {
                    break;
                }
                room = self.files_max.saturating_sub(self.files);
            }
            let listener = Arc::clone(&self.sources[index].listener);
            match self.accept_some(ring, (&listener, index), room, sink)? {
                Ended::Empty => self.sources[index].is_ready = false,
                Ended::Enough => {}
                Ended::Short => self.rest(now),
            }
        }
        if self.is_asked && self.rests_until.is_none() { self.help(ring, now, sink) } else { Ok(()) }
    }

    /// Accepts connections at a listener, at most `room` and `accepts_per_wait`.
    fn accept_some(
        &mut self,
        ring: &mut Ring,
        (listener, index): (&TcpListener, usize),
        room: u32,
        sink: &mut impl FnMut(Completion<'_>),
    ) -> io::Result<Ended> {
        // The kernel drops a connection that finds the table full, so none is accepted without a free place.
        if room == 0 {
            return Ok(Ended::Short);
        }
        let listener_number = u8::try_from(index).expect("the configuration has fewer listeners");
        let (mut batch_len, mut left) = (2, self.accepts_per_wait.min(room as usize));
        let mut ended = None;
        while left > 0 && ended.is_none() {
            batch_len = batch_len.min(left);
            left -= batch_len;
            for _ in 0..batch_len {
                ring.accept(listener)?;
            }
            ring.flush()?;
            let mut done = ring.take_accepts(std::mem::take(&mut self.done));
            for AcceptDone { outcome } in done.drain(..) {
                match outcome {
                    Ok((file, peer)) => {
                        self.count_in();
                        sink(Completion::Accepted { socket: Socket(file), peer, listener: listener_number });
                    }
                    Err(libc::EAGAIN) => ended = ended.or(Some(Ended::Empty)),
                    Err(errno) if is_of_one_connection(&io::Error::from_raw_os_error(errno)) => {}
                    // No descriptors or no memory; for any error, trying again at once would spin.
                    Err(_) => ended = Some(Ended::Short),
                }
            }
            self.done = done;
            // A single connection costs one call and one extra entry; a storm is taken by the batch.
            batch_len = (batch_len * 4).min(ACCEPTS_PER_BATCH_MAX);
        }
        Ok(ended.unwrap_or(Ended::Enough))
    }

    /// Leaves what waits at the listeners to a neighbour that has room. `false` if there is none.
    fn leave_to_neighbour(&mut self, now: MonoTime) -> bool {
        let is_left = self.neighbours.as_mut().is_some_and(Neighbours::ask);
        if is_left {
            self.sources.iter_mut().for_each(|source| source.is_ready = false);
            // A neighbour may be busy for long, fill or end before it looks.
            self.left_until = Some(now.plus_millis(ACCEPT_BACKOFF_MS));
        }
        is_left
    }

    /// Looks after connections that were left to a neighbour, if that took long, there is room here now, or the neighbour
    /// gave them back, which it may do after this driver found that it had taken them.
    fn take_back(&mut self, now: MonoTime) {
        let is_due = self.left_until.is_some_and(|until| now >= until || self.room() > 0);
        if !is_due && !self.is_asked {
            return;
        }
        self.left_until = None;
        if self.neighbours.as_ref().is_some_and(Neighbours::take_back) {
            self.sources.iter_mut().for_each(|source| source.is_ready = true);
        }
    }

    /// Accepts what waits at the listeners of a neighbour that has no room, as far as there is room here.
    fn help(&mut self, ring: &mut Ring, now: MonoTime, sink: &mut impl FnMut(Completion<'_>)) -> io::Result<()> {
        let Some(neighbours) = &self.neighbours else { return Ok(()) };
        let Some(at) = neighbours.take_waiting() else {
            self.is_asked = false;
            return Ok(());
        };
        let mut ended = Ended::Empty;
        // At one that is closed no connection waits.
        for (index, listener) in neighbours.listeners(at).into_iter().enumerate() {
            let Some(listener) = listener.upgrade() else { continue };
            match self.accept_some(ring, (&listener, index), self.room(), sink)? {
                Ended::Empty => {}
                other => ended = other,
            }
        }
        let has_room = self.room() > 0;
        let neighbours = self.neighbours.as_ref().expect("accepting does not end it");
        match ended {
            Ended::Empty => {}
            // Other neighbours that asked look again when their time is over.
            _ if !has_room => {
                neighbours.give_back(at);
                self.is_asked = false;
            }
            Ended::Enough => neighbours.put_back(at),
            Ended::Short => {
                neighbours.put_back(at);
                self.rest(now);
            }
        }
        Ok(())
    }

    /// How many more connections are this driver's to accept, whatever its neighbours hold.
    fn room(&self) -> u32 {
        self.share.min(self.files_max).saturating_sub(self.files)
    }

    fn rest(&mut self, now: MonoTime) {
        self.rests_until = Some(now.plus_millis(ACCEPT_BACKOFF_MS));
    }

    /// Whether every descriptor is in use.
    pub(super) fn is_full(&self) -> bool {
        self.files >= self.files_max
    }

    /// Counts a descriptor in that was opened.
    pub(super) fn count_in(&mut self) {
        self.files += 1;
        self.note_room();
    }

    /// Counts a descriptor out that is free again.
    pub(super) fn count_out(&mut self) {
        self.files -= 1;
        self.note_room();
    }

    fn note_room(&self) {
        if let Some(neighbours) = &self.neighbours {
            neighbours.note_room(self.room());
        }
    }

    /// Closes the listeners, and accepts nothing at those of others.
    pub(super) fn stop(&mut self, ring: &mut Ring) -> io::Result<()> {
        self.neighbours = None;
        for (index, _) in (0..).zip(&self.sources) {
            ring.cancel_listen(index)?;
        }
        // The entries name descriptors that are about to be others.
        ring.flush()?;
        self.sources.clear();
        (self.rests_until, self.left_until, self.is_asked) = (None, None, false);
        Ok(())
    }

    /// See [`super::Uring::set_files_max`].
    pub(super) fn set_files_max(&mut self, files_max: u32) {
        self.files_max = files_max;
        self.note_room();
    }
}
