//! A fake kernel that accepts everything at once and delivers scripted input, for the cost of a shard by itself.
//!
//! For benches. It keeps the promises that nothing can go wrong with; there is no peer, so bytes sent are counted and
//! dropped.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;

use super::{Completion, Driver, Op, Socket, Wake};
use crate::buf::Segment;
use crate::command::ConnId;
use crate::time::MonoTime;

/// A [`Driver`] without a kernel under it.
#[derive(Debug, Default)]
pub struct Null {
    now: MonoTime,
    arriving: u32,
    adopted: Vec<ConnId>,
    received: VecDeque<(ConnId, Vec<u8>)>,
    sent: Vec<(ConnId, u32, Vec<Segment>)>,
    /// Connections with a send of their own that is not completed yet.
    told: Vec<ConnId>,
    closed: Vec<ConnId>,
    sends: u64,
    sent_len: u64,
}

impl Null {
    /// Lets `count` connections come in with the next wait.
    pub fn arrive(&mut self, count: u32) {
        self.arriving += count;
    }

    /// Connections in the order in which they were adopted, closed ones included.
    #[must_use]
    pub fn adopted(&self) -> &[ConnId] {
        &self.adopted
    }

    /// Lets bytes come in from a connection with the next wait.
    pub fn receive(&mut self, conn: ConnId, bytes: &[u8]) {
        self.received.push_back((conn, bytes.to_vec()));
    }

    /// Connections with a send of their own, and not as one of many, since the last wait.
    pub fn sent_to(&self) -> impl Iterator<Item = ConnId> {
        self.sent.iter().map(|(conn, ..)| *conn).chain(self.told.iter().copied())
    }

    /// Moves the clock.
    pub fn advance_ms(&mut self, millis: u64) {
        self.now = self.now.plus_millis(millis);
    }

    /// Sends so far, each reader of a fan-out counted, and their bytes.
    #[must_use]
    pub fn sent(&self) -> (u64, u64) {
        (self.sends, self.sent_len)
    }
}

/// Nothing waits, so nothing is woken.
#[derive(Clone, Copy, Debug)]
pub struct NullWaker;

impl Wake for NullWaker {
    fn wake(&self) {}
}

impl Driver for Null {
    type Waker = NullWaker;

    fn waker(&self) -> NullWaker {
        NullWaker
    }

    fn now(&self) -> MonoTime {
        self.now
    }

    fn wall_millis(&self) -> u64 {
        self.now.as_millis()
    }

    fn submit(&mut self, ops: &mut Vec<Op>) -> io::Result<()> {
        for op in ops.drain(..) {
            match op {
                Op::Adopt { conn, .. } => self.adopted.push(conn),
                Op::Send { conn, mut segments } => {
                    let len: usize = segments.iter().map(|segment| segment.len()).sum();
                    segments.clear();
                    self.sends += 1;
                    self.sent_len += len as u64;
                    self.sent.push((conn, len as u32, segments));
                }
                Op::SendMany { segment, conns } => {
                    self.sends += conns.len() as u64;
                    self.sent_len += (conns.len() * segment.len()) as u64;
                    if let [conn] = conns[..] {
                        self.told.push(conn);
                    }
                }
                Op::Close { conn, .. } => {
                    self.received.retain(|(other, _)| *other != conn);
                    self.closed.push(conn);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn wait(
        &mut self,
        _: Option<MonoTime>,
        mut sink: impl FnMut(MonoTime, Completion<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let full = Cell::new(false);
        let mut sink = |now, completion: Completion<'_>| full.set(sink(now, completion).is_break() || full.get());
        let peer = (std::net::Ipv4Addr::LOCALHOST, 1).into();
        for _ in 0..std::mem::take(&mut self.arriving) {
            sink(self.now, Completion::Accepted { socket: Socket(0), peer, listener: 0 });
        }
        self.told.clear();
        for (conn, len, rest) in self.sent.drain(..) {
            sink(self.now, Completion::Sent { conn, result: Ok(len), rest });
        }
        for conn in self.closed.drain(..) {
            sink(self.now, Completion::Closed { conn });
        }
        while !full.get()
            && let Some((conn, mut bytes)) = self.received.pop_front()
        {
            sink(self.now, Completion::Received { conn, bytes: &mut bytes });
        }
        Ok(())
    }
}
