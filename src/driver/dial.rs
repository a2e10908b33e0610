//! The blocking side of the kernel, for the command line: dialling, pacing, the wall clock. (To be replaced.)

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A connected, blocking stream.
#[derive(Debug)]
pub struct Stream(TcpStream);

impl Stream {
    /// How long a read may block, in milliseconds; past it the read fails with `WouldBlock` or `TimedOut`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_read_timeout_ms(&self, timeout_ms: u64) -> io::Result<()> {
        self.0.set_read_timeout(Some(Duration::from_millis(timeout_ms.max(1))))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Connects to `host:port`, trying each of its addresses.
///
/// # Errors
/// The error of the last address.
pub fn dial(authority: &str, timeout_ms: u64) -> io::Result<Stream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for addr in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&addr, Duration::from_millis(timeout_ms)) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(Stream(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A clock that starts at zero and can wait.
#[derive(Debug)]
pub struct Pacer(Instant);

impl Pacer {
    /// Starts now.
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        self.elapsed_nanos() / 1_000_000
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn elapsed_nanos(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Waits until `at_ms` milliseconds after the start; returns at once if that is past.
    pub fn sleep_until_ms(&self, at_ms: u64) {
        std::thread::sleep(Duration::from_millis(at_ms.saturating_sub(self.elapsed_ms())));
    }
}

/// Milliseconds since 1970-01-01.
#[must_use]
pub fn wall_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}
