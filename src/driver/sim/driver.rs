//! One shard's view of the simulated network.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::{Completion, Driver, Op, Wake};
use super::net::{Happened, Net};
use crate::command::ConnId;
use crate::time::MonoTime;

/// The wall clock's time when the virtual clock begins: 2023-11-14 22:13:20, in milliseconds since 1970.
const WALL_START_MS: u64 = 1_700_000_000_000;

/// A [`Driver`] without a kernel, from [`SimNet::driver`](super::SimNet::driver).
#[derive(Debug)]
pub struct SimDriver {
    net: Rc<RefCell<Net>>,
    shard: usize,
}

impl SimDriver {
    pub(super) fn new(net: Rc<RefCell<Net>>, shard: usize) -> Self {
        Self { net, shard }
    }
}

impl Driver for SimDriver {
    type Waker = SimWaker;

    fn waker(&self) -> SimWaker {
        SimWaker(Arc::clone(&self.net.borrow().shards[self.shard].woken))
    }

    fn now(&self) -> MonoTime {
        self.net.borrow().now
    }

    fn wall_millis(&self) -> u64 {
        WALL_START_MS + self.net.borrow().now.as_millis()
    }

    fn submit(&mut self, ops: &mut Vec<Op>) -> io::Result<()> {
        let mut net = self.net.borrow_mut();
        for op in ops.drain(..) {
            net.apply(self.shard, op);
        }
        Ok(())
    }

    /// Hands out what is ready and returns; see the room's documentation for what that does to time: nothing.
    fn wait(
        &mut self,
        until: Option<MonoTime>,
        mut sink: impl FnMut(MonoTime, Completion<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        // No borrow lasts during a call of `sink`, so that a test may look at the net from within.
        let (now, (turn, links)) = {
            let mut net = self.net.borrow_mut();
            (net.now, net.begin_turn(self.shard, until))
        };
        let full = Cell::new(false);
        let mut sink = |happened: Happened| full.set(tell(now, happened, &mut sink).is_break() || full.get());
        turn.into_iter().for_each(&mut sink);
        let mut stopped = Vec::new();
        for (conn, link) in links {
            let is_sent_first = self.net.borrow_mut().rng.bool();
            let resume_send = || self.net.borrow_mut().resume_send(conn, link);
            if is_sent_first {
                resume_send().into_iter().for_each(&mut sink);
            }
            if full.get() {
                self.net.borrow_mut().shards[self.shard].left.push_back(conn);
            } else if self.receive(conn, link, &full, &mut sink) {
                stopped.push(conn);
            }
            if !is_sent_first {
                resume_send().into_iter().for_each(&mut sink);
            }
        }
        let mut accepted = Vec::new();
        {
            let mut net = self.net.borrow_mut();
            net.shards[self.shard].left.extend(stopped);
            net.accept(self.shard, &mut accepted);
        }
        accepted.into_iter().for_each(&mut sink);
        Ok(())
    }
}

impl SimDriver {
    /// One link's turn; `true` if the shard had enough in the middle of it.
    fn receive(&self, conn: ConnId, link: usize, full: &Cell<bool>, sink: &mut impl FnMut(Happened)) -> bool {
        let mut budget = self.net.borrow_mut().receive_budget(link);
        loop {
            if full.get() {
                return true;
            }
            let happened = self.net.borrow_mut().receive(conn, link, &mut budget);
            let Some(happened) = happened else { return false };
            sink(happened);
        }
    }
}

fn tell(
    now: MonoTime,
    happened: Happened,
    sink: &mut impl FnMut(MonoTime, Completion<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    match happened {
        Happened::Accepted { socket, peer, listener } => sink(now, Completion::Accepted { socket, peer, listener }),
        Happened::Connected { conn, result } => sink(now, Completion::Connected { conn, result }),
        Happened::Received { conn, mut bytes } => sink(now, Completion::Received { conn, bytes: &mut bytes }),
        Happened::ReceiveClosed { conn, cause } => sink(now, Completion::ReceiveClosed { conn, cause }),
        Happened::Sent { conn, result, rest } => sink(now, Completion::Sent { conn, result, rest }),
        Happened::Closed { conn } => sink(now, Completion::Closed { conn }),
        Happened::Woken => sink(now, Completion::Woken),
    }
}

/// Wakes a [`SimDriver`]: a flag that [`SimNet::is_woken`](super::SimNet::is_woken) shows to the test's scheduler.
#[derive(Clone, Debug)]
pub struct SimWaker(Arc<AtomicBool>);

impl Wake for SimWaker {
    fn wake(&self) {
        self.0.store(true, Ordering::Release);
    }
}
