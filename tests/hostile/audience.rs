//! The polite ones: readers of one topic and their publisher. Every reader must get every message, in order.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::common::{Frame, Opcode};
use crate::peer::Peer;

/// Polite readers of one gateway.
pub const READERS: usize = 200;
/// Between two messages of the polite publisher.
const PACE: Duration = Duration::from_millis(10);

/// Readers on a thread of their own, and the publisher.
pub struct Audience {
    publisher: TcpStream,
    begun: Instant,
    said: u64,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    /// The least that any reader has.
    heard: Mutex<u64>,
    news: Condvar,
    /// How long each delivery took since the last look.
    latencies: Mutex<Vec<u32>>,
}

impl Audience {
    pub fn new(address: SocketAddr) -> Self {
        let publisher = open(address, "/raw/polite?echo=0&last=0");
        let readers: Vec<_> = (0..READERS).map(|_| Reader::new(open(address, "/raw/polite?last=0"))).collect();
        // The home of the topic knows all of them.
        Peer::get_until(address, "/topics/polite", &format!("\"readers\":{}", READERS + 1));
        let (begun, shared) = (Instant::now(), Arc::<Shared>::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || listen(readers, begun, &of_thread));
        Self { publisher, begun, said: 0, shared, thread: Some(thread) }
    }

    /// Publishes at a steady pace until `is_over`; what it took to reach the readers, 99 of 100 of them, and the longest.
    pub fn speak_until(&mut self, mut is_over: impl FnMut(u64) -> bool) -> Latency {
        self.shared.latencies.lock().expect("no panic").clear();
        let (first, begin) = (self.said, Instant::now());
        while !is_over(self.said - first) {
            let due = begin + PACE * u32::try_from(self.said - first).expect("not so many");
            // Not woken by anything: an open loop has a pace of its own.
            while Instant::now() < due {
                std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
            }
            let message = format!("{} {}", self.said, (due.max(self.begun) - self.begun).as_micros());
            self.publisher.write_all(&Frame::text(message).encode()).expect("the polite publisher is listened to");
            self.said += 1;
        }
        self.expect_everything();
        let mut latencies = std::mem::take(&mut *self.shared.latencies.lock().expect("no panic"));
        assert_eq!(latencies.len() as u64, (self.said - first) * READERS as u64, "each reader gets each message");
        latencies.sort_unstable();
        let at = |part: f64| Duration::from_micros(latencies[((latencies.len() - 1) as f64 * part) as usize].into());
        Latency { p99: at(0.99), max: at(1.0) }
    }

    fn expect_everything(&self) {
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut heard = self.shared.heard.lock().expect("no panic");
        while *heard < self.said {
            let thread = self.thread.as_ref().expect("it runs until the end");
            assert!(!thread.is_finished(), "a polite reader was harmed: see above");
            assert!(Instant::now() < deadline, "every polite reader has everything at last");
            heard = self.shared.news.wait_timeout(heard, Duration::from_millis(100)).expect("no panic").0;
        }
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Latency {
    pub p99: Duration,
    pub max: Duration,
}

fn open(address: SocketAddr, target: &str) -> TcpStream {
    Peer::plain_websocket(address, target).into_stream()
}

struct Reader {
    stream: TcpStream,
    received: VecDeque<u8>,
    next: u64,
}

impl Reader {
    fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).expect("a socket can be made non-blocking");
        Self { stream, received: VecDeque::new(), next: 0 }
    }

    /// Reads what is there; the times at which its messages were due.
    fn read(&mut self, due: &mut Vec<u64>) {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("a polite reader is not sent away"),
                Ok(count) => self.received.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("a polite reader is not cut off: {error}"),
            }
        }
        while self.received.len() >= 2 && self.received.len() >= 2 + usize::from(self.received[1]) {
            let (opcode, len) = (Opcode(self.received[0] & 0xf), usize::from(self.received[1]));
            assert!(len < 126, "polite messages are short");
            let frame: Vec<u8> = self.received.drain(..2 + len).skip(2).collect();
            match opcode {
                Opcode::TEXT => {
                    let text = String::from_utf8(frame).expect("text");
                    let (number, time) = text.split_once(' ').expect("a number and a time");
                    assert_eq!(number.parse(), Ok(self.next), "in order, none lost, none twice");
                    self.next += 1;
                    due.push(time.parse().expect("a time"));
                }
                Opcode::PING => {
                    self.stream.write_all(&Frame::pong(frame).encode()).expect("there is room for a pong");
                }
                _ => panic!("a polite reader gets messages and no {opcode:?}"),
            }
        }
    }
}

fn listen(mut readers: Vec<Reader>, begun: Instant, shared: &Shared) {
    let mut poll = Poll::new().expect("a poll");
    for (at, reader) in readers.iter().enumerate() {
        let fd = reader.stream.as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), Token(at), Interest::READABLE).expect("a registration");
    }
    let (mut events, mut due) = (Events::with_capacity(READERS), Vec::new());
    while !shared.is_over.load(Ordering::Acquire) {
        poll.poll(&mut events, Some(Duration::from_millis(20))).expect("a wait");
        for event in &events {
            readers[event.token().0].read(&mut due);
        }
        let now = begun.elapsed().as_micros() as u64;
        let took = due.drain(..).map(|due| u32::try_from(now.saturating_sub(due)).unwrap_or(u32::MAX));
        shared.latencies.lock().expect("no panic").extend(took);
        let heard = readers.iter().map(|reader| reader.next).min().unwrap_or(0);
        *shared.heard.lock().expect("no panic") = heard;
        shared.news.notify_one();
    }
}
