//! The worker's ends of its two pipes.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use mio::Waker;

use crate::protocol::{Command, Event};

/// Reads commands on a thread of its own and wakes the loop for each. The end of the pipe is a [`Command::Quit`]:
/// without a parent there is nothing to do.
pub(super) fn receive(input: impl BufRead + Send + 'static, waker: Arc<Waker>) -> Receiver<Command> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let commands = input.lines().map_while(|line| serde_json::from_str(&line.ok()?).ok());
        for command in commands.chain([Command::Quit]) {
            if sender.send(command).is_err() || waker.wake().is_err() {
                break;
            }
        }
    });
    receiver
}

/// Tells the parent. One that is gone ends the worker through the other pipe, so that an error here means nothing.
pub(super) fn tell(event: &Event) {
    let mut line = serde_json::to_vec(event).expect("an event is data");
    line.push(b'\n');
    let mut out = io::stdout().lock();
    let _ = out.write_all(&line).and_then(|()| out.flush());
}
