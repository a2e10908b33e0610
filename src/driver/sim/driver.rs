//! One shard's view of the simulated network.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::{Completion, Driver, Op, Wake};
use super::net::{Happened, Net};
use crate::time::MonoTime;

/// What the wall clock says when the virtual one begins: 2023-11-14 22:13:20, in milliseconds since 1970.
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
    fn wait(&mut self, until: Option<MonoTime>, mut sink: impl FnMut(MonoTime, Completion<'_>)) -> io::Result<()> {
        // The borrow ends before the first call of `sink`, so that a test may look at the net from within.
        let (now, turn) = {
            let mut net = self.net.borrow_mut();
            (net.now, net.turn(self.shard, until))
        };
        for happened in turn {
            match happened {
                Happened::Accepted { socket, peer, listener } => {
                    sink(now, Completion::Accepted { socket, peer, listener });
                }
                Happened::Connected { conn, result } => sink(now, Completion::Connected { conn, result }),
                Happened::Received { conn, mut bytes } => sink(now, Completion::Received { conn, bytes: &mut bytes }),
                Happened::ReceiveClosed { conn, cause } => sink(now, Completion::ReceiveClosed { conn, cause }),
                Happened::Sent { conn, result, rest } => sink(now, Completion::Sent { conn, result, rest }),
                Happened::Closed { conn } => sink(now, Completion::Closed { conn }),
                Happened::Woken => sink(now, Completion::Woken),
            }
        }
        Ok(())
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
