//! Output of the commands: results to standard output, everything else to standard error.

use std::io::{self, ErrorKind, Write};
use std::process;
use std::thread;

use super::End;
use crate::driver::wait_for_hang_up;

/// Writes to standard output and flushes. A reader that went away ends the command quietly.
pub(super) fn write(bytes: &[u8]) -> Result<(), End> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(closed)
}

/// Writes one line to standard output and flushes.
pub(super) fn line(text: &str) -> Result<(), End> {
    write(format!("{text}\n").as_bytes())
}

/// From now on the program ends as soon as standard output has lost its reader, and not only with the next line.
pub(super) fn end_with_the_reader() {
    thread::spawn(|| {
        if wait_for_hang_up(&io::stdout()).is_ok() {
            process::exit(0);
        }
    });
}

/// One line for a person on standard error. If it has no reader either, nothing is left to do.
pub(super) fn complain(message: &str) {
    let _ = writeln!(io::stderr().lock(), "fanwire: {message}");
}

fn closed(error: io::Error) -> End {
    match error.kind() {
        ErrorKind::BrokenPipe => End::OutputClosed,
        _ => End::Failed(format!("cannot write to standard output: {error}")),
    }
}

/// Complains about single messages, but not about thousands of them.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    count: u64,
}

/// The number of refusals that are printed one by one.
const TOLD_MAX: u64 = 10;

impl Refusals {
    /// Tells one, or only counts it.
    pub(super) fn tell(&mut self, what: &str, why: &str) {
        self.count += 1;
        match self.count {
            ..=TOLD_MAX => complain(&format!("{what}: {why}")),
            n if n == TOLD_MAX + 1 => complain("more were refused; only their number is told, at the end"),
            _ => {}
        }
    }

    /// Fails if there was one.
    pub(super) fn finish(&self, of: u64) -> Result<(), End> {
        match self.count {
            0 => Ok(()),
            count => Err(End::Failed(format!("{count} of {of} messages were refused"))),
        }
    }
}
