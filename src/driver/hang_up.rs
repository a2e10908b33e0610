//! Notices that the output has lost its reader, for the command line.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

/// Blocks until the last reader of a pipe, terminal or socket is gone. Nothing has to be written for that.
///
/// # Errors
/// The error of the kernel; at once where readers cannot go away, as for a file.
pub fn wait_for_hang_up(output: &impl AsFd) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1);
    // Of a pipe's end for writing nothing can be read: what comes is its hang-up, of which the kernel tells unasked.
    poll.registry().register(&mut SourceFd(&output.as_fd().as_raw_fd()), Token(0), Interest::READABLE)?;
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(()) if events.iter().any(|event| event.is_error() || event.is_write_closed()) => return Ok(()),
            Ok(()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_hangs_up_with_its_reader_and_a_file_never_does() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        io::Write::write_all(&mut writer, b"unread").expect("there is room");
        let waits = std::thread::spawn(move || wait_for_hang_up(&writer));
        drop(reader);
        assert!(waits.join().expect("it does not panic").is_ok());
        let file = std::fs::File::open("/proc/self/status").expect("this is Linux");
        assert!(wait_for_hang_up(&file).is_err() || cfg!(not(target_os = "linux")));
    }
}
