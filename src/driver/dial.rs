//! The blocking client side, for the command line: a stream to a gateway, and a pace to keep.
//!
//! Nothing of the gateway itself runs on this.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

/// A connected stream whose calls block, each at most for its timeout. One that runs out fails with
/// [`io::ErrorKind::TimedOut`] and leaves the stream usable.
#[derive(Debug)]
pub struct Stream(TcpStream);

/// Connects to `authority`, a `host:port` with a name or an address (`[::1]:8080` for IPv6). Each address of a name
/// is tried until one answers, all of them within `timeout_ms`, which reads and writes start with as well. Looking
/// up a name takes as long as the system's resolver wants.
///
/// # Errors
/// The last address's error; [`io::ErrorKind::TimedOut`] if the time ran out, [`io::ErrorKind::NotFound`] for a name
/// without an address.
pub fn dial(authority: &str, timeout_ms: u64) -> io::Result<Stream> {
    let pacer = Pacer::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for addr in authority.to_socket_addrs()? {
        // One millisecond at least, for a timeout of zero is an error of its own.
        let left_ms = timeout_ms.saturating_sub(pacer.elapsed_ms()).max(1);
        match TcpStream::connect_timeout(&addr, Duration::from_millis(left_ms)) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                let stream = Stream(stream);
                stream.set_read_timeout_ms(Some(timeout_ms))?;
                stream.set_write_timeout_ms(Some(timeout_ms))?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
        if pacer.elapsed_ms() >= timeout_ms {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    Err(failure)
}

impl Stream {
    /// How long a read may block, in milliseconds; `None` for ever, 0 counts as 1.
    ///
    /// # Errors
    /// The error of the kernel.
    pub fn set_read_timeout_ms(&self, timeout_ms: Option<u64>) -> io::Result<()> {
        self.0.set_read_timeout(timeout_ms.map(at_least_one))
    }

    /// How long a write may block, in milliseconds; `None` for ever, 0 counts as 1.
    ///
    /// # Errors
    /// The error of the kernel.
    pub fn set_write_timeout_ms(&self, timeout_ms: Option<u64>) -> io::Result<()> {
        self.0.set_write_timeout(timeout_ms.map(at_least_one))
    }

    /// Another handle of the same stream, so that one thread may read and another write. Timeouts are shared.
    ///
    /// # Errors
    /// The error of the kernel.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Ends our side; the peer's can still be read.
    ///
    /// # Errors
    /// The error of the kernel.
    pub fn finish(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    /// The other end.
    ///
    /// # Errors
    /// The error of the kernel.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(timed_out)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The kernel reports a timeout of a blocking socket as "would block".
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

fn at_least_one(timeout_ms: u64) -> Duration {
    Duration::from_millis(timeout_ms.max(1))
}

/// A stopwatch that can also be slept by, for whatever is played at the pace of its own timestamps.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    start: Instant,
}

impl Pacer {
    /// Starts at 0.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default that reads a clock would hide that it does")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn elapsed_nanos(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Blocks the thread until `at_ms` milliseconds after the start; not at all if that has passed.
    pub fn sleep_until_ms(&self, at_ms: u64) {
        let left = Duration::from_millis(at_ms).saturating_sub(self.start.elapsed());
        if !left.is_zero() {
            thread::sleep(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const TIMEOUT_MS: u64 = 10_000;

    #[test]
    fn a_dialled_stream_carries_bytes_both_ways_and_ends_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let addr = listener.local_addr().expect("it is bound");
        let mut stream = dial(&addr.to_string(), TIMEOUT_MS).expect("the backlog takes it");
        let (mut peer, _) = listener.accept().expect("a connection waits");
        assert_eq!(stream.peer_addr().expect("it is connected"), addr);
        assert!(stream.0.nodelay().expect("TCP has the option"));

        stream.write_all(b"question").expect("there is room");
        stream.finish().expect("it is connected");
        let mut question = Vec::new();
        peer.read_to_end(&mut question).expect("the end comes in order");
        assert_eq!(question, b"question");
        peer.write_all(b"answer").expect("there is room");
        drop(peer);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the end comes in order");
        assert_eq!(answer, b"answer");
    }

    #[test]
    fn a_read_that_runs_out_of_time_says_so_and_can_be_repeated() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let addr = listener.local_addr().expect("it is bound");
        let mut stream = dial(&addr.to_string(), TIMEOUT_MS).expect("the backlog takes it");
        let (mut peer, _) = listener.accept().expect("a connection waits");
        stream.set_read_timeout_ms(Some(0)).expect("it is connected");
        let error = stream.read(&mut [0]).expect_err("nothing was sent");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        stream.set_read_timeout_ms(Some(TIMEOUT_MS)).expect("it is connected");
        peer.write_all(b"x").expect("there is room");
        assert_eq!(stream.read(&mut [0]).expect("a byte comes"), 1);
    }

    #[test]
    fn a_port_where_nobody_listens_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let addr = listener.local_addr().expect("it is bound");
        drop(listener);
        let error = dial(&addr.to_string(), TIMEOUT_MS).expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_pacer_never_wakes_early() {
        let pacer = Pacer::new();
        pacer.sleep_until_ms(3);
        assert!(pacer.elapsed_ms() >= 3);
        assert!(pacer.elapsed_nanos() >= 3_000_000);
        pacer.sleep_until_ms(0);
    }
}
