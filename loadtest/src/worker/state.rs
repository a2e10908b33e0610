//! The state of a worker.

use std::io::{self, BufRead};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use fanwire::buf::BlockPool;
use fanwire::wire::ws::Inbox;
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token, Waker};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use slab::Slab;

use super::commands;
use super::conn::Conn;
use super::dialler::Dialler;
use super::outlet::{Outlet, outlets};
use super::round::RoundState;
use crate::clock::MonotonicClock;
use crate::plan::WorkerPlan;
use crate::protocol::{Command, Failures};
use crate::stamp::Stamper;
use crate::wire::deflate::Inflater;
use crate::wire::tls;

/// One worker: its connections, and what it was told.
pub(super) struct Worker {
    pub(super) plan: WorkerPlan,
    pub(super) clock: MonotonicClock,
    pub(super) poll: Poll,
    pub(super) timer: TimerFd,
    pub(super) timer_at_ns: u64,
    pub(super) commands: Receiver<Command>,
    pub(super) conns: Slab<Conn>,
    pub(super) dialler: Dialler,
    pub(super) outlets: Vec<Outlet>,
    pub(super) round: Option<RoundState>,
    pub(super) stamper: Stamper,
    pub(super) random: fastrand::Rng,
    /// The one buffer that everything is received into.
    pub(super) buffer: Vec<u8>,
    /// Bytes on their way to a socket.
    pub(super) scratch: Vec<u8>,
    /// For TLS, which connections then have.
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    /// Encrypted bytes on their way to a socket.
    pub(super) ciphertext: Vec<u8>,
    /// Decrypted bytes from a socket.
    pub(super) plain: Vec<u8>,
    /// Of connections whose messages stand for themselves.
    pub(super) inflater: Inflater,
    /// A message that came compressed.
    pub(super) inflated: Vec<u8>,
    pub(super) pool: BlockPool,
    pub(super) inbox: Inbox,
    /// Since the last that was told.
    pub(super) failures: Failures,
    pub(super) failed: u64,
    /// Readers that are open.
    pub(super) open: u32,
    /// When to tell how many of the stalled readers were closed.
    pub(super) resumed_at_ns: Option<u64>,
    pub(super) stalled_closed: u32,
    pub(super) told_at_ns: u64,
    pub(super) has_quit: bool,
}

impl Worker {
    /// Connected to nothing yet; commands come from `input`.
    pub(super) fn new(plan: WorkerPlan, input: impl BufRead + Send + 'static) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        poll.registry().register(&mut SourceFd(&timer.as_fd().as_raw_fd()), TIMER, Interest::READABLE)?;
        let capacity = plan.readers.len() + plan.publishers.len();
        Ok(Self {
            clock: MonotonicClock,
            timer,
            timer_at_ns: 0,
            commands: commands::receive(input, waker),
            conns: Slab::with_capacity(capacity.min(CAPACITY_MAX)),
            dialler: Dialler::new(&plan),
            outlets: outlets(&plan),
            round: None,
            stamper: Stamper::new(plan.run),
            random: fastrand::Rng::with_seed(plan.seed ^ u64::from(plan.index)),
            buffer: vec![0; RECEIVE_BUFFER_LEN],
            scratch: Vec::new(),
            tls: plan.trust.as_ref().map(tls::config).transpose().map_err(io::Error::other)?,
            ciphertext: Vec::new(),
            plain: Vec::new(),
            inflater: Inflater::default(),
            inflated: Vec::new(),
            pool: BlockPool::default(),
            inbox: Inbox::default(),
            failures: Failures::default(),
            failed: 0,
            open: 0,
            resumed_at_ns: None,
            stalled_closed: 0,
            told_at_ns: 0,
            has_quit: false,
            plan,
            poll,
        })
    }
}

pub(super) const WAKER: Token = Token(usize::MAX - 1);
pub(super) const TIMER: Token = Token(usize::MAX - 2);

pub(super) const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Bytes of the one buffer that a worker receives into.
const RECEIVE_BUFFER_LEN: usize = 256 * 1024;

/// Connections that memory is set aside for from the start; past it the arena grows.
const CAPACITY_MAX: usize = 64 * 1024;
