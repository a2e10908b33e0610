//! Receiving: one buffer for all connections, a list of those that may have bytes, a budget for each.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Read};

use super::super::Completion;
use super::net_error;
use super::sockets::{Flags, Slot, Sockets};
use crate::command::ConnId;
use crate::limits::{RECEIVE_BUFFER_LEN, RECEIVE_PER_WAIT_MAX};

/// The receive buffer of one shard.
#[derive(Debug)]
pub(super) struct Receiver {
    buffer: Box<[u8]>,
    /// The connections of this wait; between waits those that had no turn in the last one.
    turn: VecDeque<ConnId>,
}

impl Receiver {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; RECEIVE_BUFFER_LEN].into_boxed_slice(), turn: VecDeque::new() }
    }

    /// Whether there are connections that had no turn.
    pub(super) fn has_left(&self) -> bool {
        !self.turn.is_empty()
    }

    /// Reads once around all connections that are listed as ready, until the shard is `full`. Those that used up their
    /// budget are listed again.
    pub(super) fn receive(&mut self, sockets: &mut Sockets, full: &Cell<bool>, sink: &mut impl FnMut(Completion<'_>)) {
        sockets.take_ready(&mut self.turn);
        for _ in 0..self.turn.len() {
            if full.get() {
                return;
            }
            let Some(conn) = self.turn.pop_front() else { return };
            let Some(slot) = sockets.find(conn) else { continue };
            slot.flags.clear(Flags::LISTED);
            if slot.flags.has(Flags::PAUSED) {
                report_reset_while_paused(slot, conn, sink);
            } else if !slot.flags.has(Flags::RECEIVE_CLOSED) {
                receive_from(slot, conn, &mut self.buffer, full, sink);
                sockets.list_if_ready(conn);
            }
        }
    }
}

/// Reads until the kernel has nothing more, the stream ends, the budget is used up or the shard is `full`; `READY` stays
/// set in the last two cases only.
fn receive_from(
    slot: &mut Slot,
    conn: ConnId,
    buffer: &mut [u8],
    full: &Cell<bool>,
    sink: &mut impl FnMut(Completion<'_>),
) {
    let Slot { stream: Some(stream), flags, failure, .. } = slot else { return };
    let mut budget = RECEIVE_PER_WAIT_MAX;
    while budget > 0 && !full.get() {
        let want = buffer.len().min(budget);
        match stream.read(&mut buffer[..want]) {
            // After a send took the socket's error away, the kernel calls this an orderly end.
            Ok(0) => return close_receive(slot, conn, sink),
            Ok(count) => {
                sink(Completion::Received { conn, bytes: &mut buffer[..count] });
                budget -= count;
                // A short read means drained: bytes and ends that come later raise an edge of their own. An end
                // that is already there raised its edge before.
                if count < want && !flags.has(Flags::ENDING) {
                    flags.clear(Flags::READY);
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if failure.is_some() {
                    return close_receive(slot, conn, sink);
                }
                flags.clear(Flags::READY);
                return;
            }
            Err(error) => {
                failure.get_or_insert(net_error(&error));
                return close_receive(slot, conn, sink);
            }
        }
    }
}

/// While receiving is paused only a failure is reported; other events stay in the socket's flags.
fn report_reset_while_paused(slot: &mut Slot, conn: ConnId, sink: &mut impl FnMut(Completion<'_>)) {
    let Slot { stream: Some(stream), flags, failure, .. } = slot else { return };
    if !flags.has(Flags::FAILED) || flags.has(Flags::RECEIVE_CLOSED) {
        return;
    }
    if failure.is_none() {
        *failure = stream.take_error().unwrap_or_else(Some).as_ref().map(net_error);
    }
    if failure.is_some() {
        close_receive(slot, conn, sink);
    } else {
        flags.clear(Flags::FAILED);
    }
}

fn close_receive(slot: &mut Slot, conn: ConnId, sink: &mut impl FnMut(Completion<'_>)) {
    slot.flags.set(Flags::RECEIVE_CLOSED);
    slot.flags.clear(Flags::READY);
    sink(Completion::ReceiveClosed { conn, cause: slot.failure });
}
