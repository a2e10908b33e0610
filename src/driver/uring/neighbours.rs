//! What the drivers of one process know of each other: how many connections each would accept, and whether connections
//! wait at its listeners for which it has no room.
//!
//! The kernel spreads connections over the listeners without a look at the rings behind them. A driver that holds its
//! share asks another to accept at its listeners, so that a connection waits with the kernel until the driver that keeps
//! it accepts it; no socket goes from ring to ring. Nothing here is touched but when a connection comes or goes, and
//! when a driver is woken (docs/decisions/0024).

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use super::UringWaker;
use crate::driver::Wake;
use crate::driver::listen::Listener;

/// Where a driver accepts connections: its listeners, and its view of the other drivers.
#[derive(Debug)]
pub struct UringIntake {
    pub(super) listeners: Vec<Arc<TcpListener>>,
    /// Connections that it holds before it leaves more to others.
    pub(super) share: u32,
    pub(super) neighbours: Neighbours,
}

/// One driver's view of all of them. Dropping it tells the others that this one accepts nothing more.
#[derive(Debug)]
pub(super) struct Neighbours {
    all: Arc<[Neighbour]>,
    own: usize,
    /// The first to be asked the next time, so that each has its turn.
    next: usize,
}

/// What the others may know of one driver.
#[derive(Debug)]
struct Neighbour {
    /// Connections that it would accept now.
    room: AtomicU32,
    /// Connections wait at its listeners, and another is to accept them.
    has_waiting: AtomicBool,
    /// It is asked to look where connections wait, at its own listeners too.
    is_asked: AtomicBool,
    /// Gone when it stops accepting.
    listeners: Vec<Weak<TcpListener>>,
    waker: UringWaker,
}

impl UringIntake {
    /// For drivers with these wakers and listeners, each with room for `share` connections.
    pub(super) fn mesh(drivers: impl Iterator<Item = (UringWaker, Vec<Listener>)>, share: u32) -> Vec<Self> {
        let into_std = |listener: Listener| Arc::new(listener.into_std());
        let drivers =
            drivers.map(|(waker, listeners)| (waker, listeners.into_iter().map(into_std).collect::<Vec<_>>()));
        let (wakers, listeners): (Vec<_>, Vec<_>) = drivers.unzip();
        let neighbour = |(waker, listeners): (UringWaker, &Vec<Arc<TcpListener>>)| Neighbour {
            room: AtomicU32::new(share),
            has_waiting: AtomicBool::new(false),
            is_asked: AtomicBool::new(false),
            listeners: listeners.iter().map(Arc::downgrade).collect(),
            waker,
        };
        let all: Arc<[Neighbour]> = wakers.into_iter().zip(&listeners).map(neighbour).collect();
        let intake = |(own, listeners)| {
            let neighbours = Neighbours { all: Arc::clone(&all), own, next: own + 1 };
            Self { listeners, share, neighbours }
        };
        listeners.into_iter().enumerate().map(intake).collect()
    }
}

impl Neighbours {
    /// Says how many connections this driver would accept now.
    pub(super) fn note_room(&self, room: u32) {
        self.all[self.own].room.store(room, Ordering::Relaxed);
    }

    /// Asks another driver that has room to accept what waits at the listeners of this one. `false` if none has any.
    pub(super) fn ask(&mut self) -> bool {
        let count = self.all.len();
        let has_room = |at: &usize| *at != self.own && self.all[*at].room.load(Ordering::Relaxed) > 0;
        let Some(at) = (self.next..count).chain(0..self.next.min(count)).find(has_room) else { return false };
        self.next = at + 1;
        self.all[self.own].has_waiting.store(true, Ordering::Release);
        self.all[at].call();
        true
    }

    /// Whether another driver asked this one to look, since the last call.
    pub(super) fn take_asked(&self) -> bool {
        let is_asked = &self.all[self.own].is_asked;
        is_asked.load(Ordering::Relaxed) && is_asked.swap(false, Ordering::Acquire)
    }

    /// Whether connections wait at the listeners of this driver that no other took to accept; they are its own again.
    pub(super) fn take_back(&self) -> bool {
        self.all[self.own].has_waiting.swap(false, Ordering::Acquire)
    }

    /// Takes it upon this driver to accept what waits at the listeners of another: which one.
    pub(super) fn take_waiting(&self) -> Option<usize> {
        let waits = |neighbour: &Neighbour| {
            neighbour.has_waiting.load(Ordering::Relaxed) && neighbour.has_waiting.swap(false, Ordering::Acquire)
        };
        (0..self.all.len()).find(|at| *at != self.own && waits(&self.all[*at]))
    }

    /// Some still wait at the listeners of `at`, and this driver goes on with them later.
    pub(super) fn put_back(&self, at: usize) {
        self.all[at].has_waiting.store(true, Ordering::Release);
    }

    /// Some still wait at the listeners of `at`, and this driver has no more room: the other decides again.
    pub(super) fn give_back(&self, at: usize) {
        self.put_back(at);
        self.all[at].call();
    }

    /// The listeners of `at`, by number.
    pub(super) fn listeners(&self, at: usize) -> Vec<Weak<TcpListener>> {
        self.all[at].listeners.clone()
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.note_room(0);
    }
}

impl Neighbour {
    fn call(&self) {
        self.is_asked.store(true, Ordering::Release);
        self.waker.wake();
    }
}
