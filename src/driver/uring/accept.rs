//! Accepting: a poll at each listener, and batches of accepts that do not wait, each with its own address. A multishot
//! accept would tell no addresses, have no bound for one wait, and drop a connection that finds the table of
//! descriptors full.

use std::io;
use std::net::TcpListener;

use super::super::{Completion, Socket};
use super::ring::{AcceptDone, Outcome, Ring};
use crate::driver::epoll::is_of_one_connection;
use crate::driver::listen::Listener;
use crate::limits::{ACCEPT_BACKOFF_MS, ACCEPTS_PER_BATCH_MAX};
use crate::time::MonoTime;

/// The listeners of one shard, and the count of direct descriptors.
#[derive(Debug)]
pub(super) struct Acceptor {
    sources: Vec<Source>,
    /// Descriptors in use, and how many there may be.
    files: u32,
    files_max: u32,
    accepts_per_wait: usize,
    /// A listener is not watched, or could not be.
    is_deaf: bool,
    is_short: bool,
    /// While descriptors or memory are short, the time until which nothing is accepted.
    rests_until: Option<MonoTime>,
    /// Kept for its memory.
    done: Vec<AcceptDone>,
}

#[derive(Debug)]
struct Source {
    listener: TcpListener,
    /// There may be more connections: the kernel says so once, so this stays until there are none.
    is_ready: bool,
    /// A poll is armed.
    is_watched: bool,
}

impl Acceptor {
    pub(super) fn new(listeners: Vec<Listener>, files_max: u32, accepts_per_wait: usize) -> Self {
        let source = |listener: Listener| Source { listener: listener.into_std(), is_ready: false, is_watched: false };
        let sources = listeners.into_iter().map(source).collect();
        let (is_deaf, is_short, rests_until, done) = (false, false, None, Vec::new());
        Self { sources, files: 0, files_max, accepts_per_wait, is_deaf, is_short, rests_until, done }
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

    /// Whether the next wait can accept without asking the kernel first.
    pub(super) fn has_ready(&self) -> bool {
        self.rests_until.is_none() && self.sources.iter().any(|source| source.is_ready)
    }

    /// Until when accepting rests.
    pub(super) fn rests_until(&self) -> Option<MonoTime> {
        self.rests_until
    }

    /// Accepts from every listener that has something, up to `accepts_per_wait` each.
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
        for index in 0..self.sources.len() {
            let (mut batch_len, mut left) = (2, self.accepts_per_wait);
            while left > 0 && self.sources[index].is_ready && self.rests_until.is_none() {
                batch_len = batch_len.min(left);
                left -= batch_len;
                self.accept_batch(ring, index, batch_len, now, sink)?;
                // A single connection costs one call and one extra entry; a storm is taken by the batch.
                batch_len = (batch_len * 4).min(ACCEPTS_PER_BATCH_MAX);
            }
        }
        Ok(())
    }

    fn accept_batch(
        &mut self,
        ring: &mut Ring,
        index: usize,
        len: usize,
        now: MonoTime,
        sink: &mut impl FnMut(Completion<'_>),
    ) -> io::Result<()> {
        // The kernel drops a connection that finds the table full, so none is accepted without a free place.
        let room = (self.files_max.saturating_sub(self.files) as usize).min(len);
        let source = &mut self.sources[index];
        for _ in 0..room {
            ring.accept(&source.listener)?;
        }
        ring.flush()?;
        let mut is_short = room == 0;
        let mut done = ring.take_accepts(std::mem::take(&mut self.done));
        for AcceptDone { outcome } in done.drain(..) {
            match outcome {
                Ok((file, peer)) => {
                    self.files += 1;
                    let listener = u8::try_from(index).expect("the configuration has fewer listeners");
                    sink(Completion::Accepted { socket: Socket(file), peer, listener });
                }
                Err(libc::EAGAIN) => source.is_ready = false,
                Err(errno) if is_of_one_connection(&io::Error::from_raw_os_error(errno)) => {}
                // No descriptors or no memory; for any error, trying again at once would spin.
                Err(_) => is_short = true,
            }
        }
        self.done = done;
        if is_short {
            self.rest(now);
        }
        Ok(())
    }

    fn rest(&mut self, now: MonoTime) {
        self.rests_until = Some(now.plus_millis(ACCEPT_BACKOFF_MS));
    }

    /// Whether every descriptor is in use.
    pub(super) fn is_full(&self) -> bool {
        self.files >= self.files_max
    }

    /// Counts a descriptor that was opened in another way.
    pub(super) fn count_in(&mut self) {
        self.files += 1;
    }

    /// Counts a descriptor out that is free again.
    pub(super) fn count_out(&mut self) {
        self.files -= 1;
    }

    /// Closes the listeners.
    pub(super) fn stop(&mut self, ring: &mut Ring) -> io::Result<()> {
        for (index, _) in (0..).zip(&self.sources) {
            ring.cancel_listen(index)?;
        }
        // The entries name descriptors that are about to be others.
        ring.flush()?;
        self.sources.clear();
        self.rests_until = None;
        Ok(())
    }

    /// See [`super::Uring::set_files_max`].
    pub(super) fn set_files_max(&mut self, files_max: u32) {
        self.files_max = files_max;
    }
}
