//! One driver, its peers, and an auditor that holds every completion to the promises.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;

use fanwire::buf::Segment;
use fanwire::command::ConnId;
use fanwire::driver::sim::PeerEnd;
use fanwire::driver::{Completion, Driver, NetError, Op, Socket};
use fanwire::limits::RECEIVE_PER_WAIT_MAX;
use fanwire::time::MonoTime;

use crate::harness::Harness;

/// Everything that a case works with.
pub struct World<H: Harness> {
    pub harness: H,
    /// The random numbers of the case.
    pub seed: u64,
    pub audit: Audit,
    /// Everything that each peer has read.
    pub read: BTreeMap<usize, Vec<u8>>,
    next_index: u32,
}

/// The completions of the driver, checked as they came.
#[derive(Default)]
pub struct Audit {
    /// Every connection that there ever was.
    pub conns: BTreeMap<ConnId, Conn>,
    /// Accepted and not yet adopted or refused.
    pub sockets: VecDeque<Socket>,
    /// `Woken` completions.
    pub woken: usize,
    /// Completions of the last wait.
    pub told: usize,
    /// After so many `Received` in one wait the shard has enough, if there is such a bound.
    pub enough: Option<usize>,
    /// Connections of the `Received`s of the last wait.
    pub heard: Vec<ConnId>,
}

/// The known state of one connection.
#[derive(Default)]
pub struct Conn {
    /// Everything that was received.
    pub received: Vec<u8>,
    /// Bytes received in the last wait.
    pub received_in_wait: usize,
    /// The cause in `ReceiveClosed`.
    pub receive_closed: Option<Option<NetError>>,
    /// The result in `Connected`.
    pub connected: Option<Result<(), NetError>>,
    /// The `Sent`s that no case has looked at, oldest first.
    pub sent: VecDeque<(Result<u32, NetError>, Vec<Segment>)>,
    /// `Closed` came.
    pub is_closed: bool,
    is_closing: bool,
    is_paused: bool,
    in_flight: Option<InFlight>,
}

/// The bytes that a connection has to send.
struct InFlight {
    segments: Vec<Segment>,
    /// By `SendMany`: a connection without a `Sent` in the next wait took all of it.
    is_one_of_many: bool,
}

impl<H: Harness> World<H> {
    pub fn open(seed: u64) -> Self {
        Self { harness: H::open(seed), seed, audit: Audit::default(), read: BTreeMap::new(), next_index: 0 }
    }

    pub fn now(&mut self) -> MonoTime {
        self.harness.driver().now()
    }

    /// Hands one operation to the driver.
    pub fn submit(&mut self, op: Op) {
        self.audit.note(&op);
        let mut ops = vec![op];
        self.harness.driver().submit(&mut ops).expect("no connection ends the shard");
        assert!(ops.is_empty(), "submit leaves nothing behind");
    }

    /// One wait of at most a few milliseconds; whatever comes is audited and kept.
    pub fn step(&mut self) {
        let until = self.now().plus_millis(STEP_MS);
        self.wait(until);
    }

    /// One wait for what is there already.
    pub fn look(&mut self) {
        let now = self.now();
        self.wait(now);
    }

    /// One wait, until `until`.
    pub fn wait(&mut self, until: MonoTime) {
        let Self { harness, audit, .. } = self;
        audit.begin();
        let driver = harness.driver();
        let before = driver.now();
        driver
            .wait(Some(until), |now, completion| {
                assert!(now >= before, "time does not run backwards");
                audit.take(completion)
            })
            .expect("no connection ends the shard");
        audit.end();
        if audit.told == 0 {
            harness.pass_until(until);
        }
    }

    /// Waits until `is_done`, a bounded time.
    pub fn run_until(&mut self, what: &str, mut is_done: impl FnMut(&mut Self) -> bool) {
        let deadline = self.now().plus_millis(PATIENCE_MS);
        for _ in 0..STEPS_MAX {
            if is_done(self) {
                return;
            }
            assert!(self.now() < deadline, "waited in vain until {what}");
            self.step();
        }
        panic!("waited {STEPS_MAX} times until {what}");
    }

    /// Waits often enough that whatever is to come has come.
    pub fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < if H::IS_LATE { QUIET_STEPS_IF_LATE } else { QUIET_STEPS } {
            self.step();
            quiet = if self.audit.told == 0 { quiet + 1 } else { 0 };
        }
    }

    /// An id that was never used.
    pub fn fresh_id(&mut self) -> ConnId {
        self.next_index += 1;
        ConnId { index: self.next_index - 1, generation: 0 }
    }

    /// The next socket that the driver accepts.
    pub fn accept(&mut self) -> Socket {
        self.run_until("a connection is accepted", |world| !world.audit.sockets.is_empty());
        self.audit.sockets.pop_front().expect("it was accepted")
    }

    /// A peer and the connection that it has.
    pub fn pair(&mut self) -> (usize, ConnId) {
        let peer = self.harness.connect();
        let socket = self.accept();
        let conn = self.fresh_id();
        self.submit(Op::Adopt { conn, socket });
        (peer, conn)
    }

    pub fn conn(&mut self, conn: ConnId) -> &mut Conn {
        self.audit.conns.get_mut(&conn).expect("the connection was there")
    }

    /// The peer writes all of `bytes`, while the driver goes on.
    pub fn write_all(&mut self, peer: usize, bytes: &[u8]) {
        let mut written = 0;
        self.run_until("the peer's bytes are taken", |world| {
            written += world.harness.write(peer, &bytes[written..]);
            written == bytes.len()
        });
    }

    /// The peer writes `bytes`, for which there is room, and the driver does not notice yet.
    pub fn write_all_at_once(&mut self, peer: usize, bytes: &[u8]) {
        assert_eq!(self.harness.write(peer, bytes), bytes.len(), "there is room for a few bytes");
    }

    /// The peer writes as much of `bytes` as there is room for, and says how much that was.
    pub fn write_all_that_fits(&mut self, peer: usize, bytes: &[u8]) -> usize {
        let mut written = 0;
        loop {
            let count = self.harness.write(peer, &bytes[written..]);
            written += count;
            if count == 0 {
                return written;
            }
            self.settle();
        }
    }

    /// What `is_done` looks for comes with one wait, which does not last until its deadline; where completions may
    /// be late, with some wait.
    pub fn expect_within_one_wait(&mut self, what: &str, mut is_done: impl FnMut(&mut Self) -> bool) {
        if H::IS_LATE {
            return self.run_until(what, is_done);
        }
        let until = self.now().plus_millis(PATIENCE_MS);
        self.wait(until);
        assert!(is_done(self), "the next wait brings {what}");
        assert!(self.now() < until, "the next wait does not wait for the kernel");
    }

    /// The peer reads what is there. Returns how much it has read so far.
    pub fn read(&mut self, peer: usize) -> usize {
        let read = self.read.entry(peer).or_default();
        read.extend(self.harness.read(peer));
        read.len()
    }

    /// The peer reads until it has `bytes`, and no more.
    pub fn expect_read(&mut self, peer: usize, bytes: &[u8]) {
        self.run_until("the peer has read enough", |world| world.read(peer) >= bytes.len());
        // Without the bytes, which are too many to print.
        assert!(self.read[&peer] == bytes, "the peer reads what was sent, in order");
    }

    /// The peer reads until the connection ends for it.
    pub fn expect_end(&mut self, peer: usize, end: PeerEnd) {
        self.run_until("the connection ends for the peer", |world| {
            world.read(peer);
            world.harness.end(peer).is_some()
        });
        assert_eq!(self.harness.end(peer), Some(end));
    }

    /// Goes on with a send until all of it is sent, as a shard does: what a `Sent` gives back is sent again. The
    /// peer reads meanwhile.
    pub fn drive_send(&mut self, peer: usize, conn: ConnId) {
        self.run_until("everything is sent", |world| {
            world.read(peer);
            if let Some((result, rest)) = world.conn(conn).sent.pop_front() {
                result.expect("the connection is well");
                if !rest.is_empty() {
                    world.submit(Op::Send { conn, segments: rest });
                }
            }
            !world.conn(conn).is_sending() && world.conn(conn).sent.is_empty()
        });
    }

    /// Sends [`World::bulk`] until the kernel takes nothing more, which leaves the rest of it held.
    pub fn fill(&mut self, conn: ConnId) {
        let mut segments = vec![Segment::from(Self::bulk())];
        loop {
            self.submit(Op::Send { conn, segments });
            self.settle();
            let Some((result, rest)) = self.conn(conn).sent.pop_front() else { return };
            result.expect("the connection is well");
            assert!(!rest.is_empty(), "a peer that does not read takes less than this");
            segments = rest;
        }
    }

    /// More bytes than any connection takes while its peer does not read.
    pub fn bulk() -> Vec<u8> {
        pattern(H::BULK_LEN)
    }

    /// Closes and refuses what is left, and asserts that nothing is left of it.
    pub fn finish(&mut self) {
        let open: Vec<_> = self
            .audit
            .conns
            .iter()
            .filter(|(_, conn)| !conn.is_closing && !conn.is_closed)
            .map(|(id, _)| *id)
            .collect();
        for conn in open {
            self.submit(Op::Close { conn, abort: true });
        }
        while let Some(socket) = self.audit.sockets.pop_front() {
            self.submit(Op::Refuse { socket, words: b"" });
        }
        self.run_until("every connection is closed", |world| world.audit.conns.values().all(|conn| conn.is_closed));
        self.settle();
        self.harness.audit();
    }
}

impl Conn {
    /// Whether a send is in flight.
    pub fn is_sending(&self) -> bool {
        self.in_flight.is_some()
    }
}

impl Audit {
    /// Keeps in mind what an operation asks for, and which answers it allows.
    fn note(&mut self, op: &Op) {
        match op {
            Op::Adopt { conn, .. } | Op::Connect { conn, .. } => {
                self.conns.insert(*conn, Conn::default());
            }
            Op::Send { conn, segments } => {
                self.note_send(*conn, InFlight { segments: segments.clone(), is_one_of_many: false });
            }
            Op::SendMany { segment, conns } => {
                for conn in conns {
                    self.note_send(*conn, InFlight { segments: vec![segment.clone()], is_one_of_many: true });
                }
            }
            Op::PauseReceive { conn } => self.change(*conn, |conn| conn.is_paused = true),
            Op::ResumeReceive { conn } => self.change(*conn, |conn| conn.is_paused = false),
            Op::Close { conn, .. } => self.change(*conn, |conn| conn.is_closing = true),
            Op::Refuse { .. } | Op::Finish { .. } | Op::StopAccepting => {}
        }
    }

    fn note_send(&mut self, conn: ConnId, in_flight: InFlight) {
        self.change(conn, |conn| {
            assert!(conn.in_flight.is_none(), "the case keeps to one send in flight");
            conn.in_flight = Some(in_flight);
        });
    }

    /// Changes a connection that the driver holds; an operation for any other is ignored.
    fn change(&mut self, conn: ConnId, change: impl FnOnce(&mut Conn)) {
        if let Some(conn) = self.conns.get_mut(&conn).filter(|conn| !conn.is_closed && !conn.is_closing) {
            change(conn);
        }
    }

    fn begin(&mut self) {
        self.told = 0;
        self.heard.clear();
        for conn in self.conns.values_mut() {
            conn.received_in_wait = 0;
        }
    }

    fn end(&mut self) {
        for conn in self.conns.values_mut() {
            // It was tried once; who stays silent took all of it.
            conn.in_flight.take_if(|in_flight| in_flight.is_one_of_many);
        }
    }

    /// A connection that may still be told something.
    fn live(&mut self, id: ConnId) -> &mut Conn {
        let conn = self.conns.get_mut(&id).expect("a completion names a connection that was asked for");
        assert!(!conn.is_closed, "silence after Closed");
        assert!(!conn.is_closing, "after Close comes nothing but Closed");
        conn
    }

    fn take(&mut self, completion: Completion<'_>) -> ControlFlow<()> {
        self.told += 1;
        match completion {
            Completion::Accepted { socket, peer, listener } => {
                assert_eq!(listener, 0, "there is one listener");
                assert!(peer.ip().is_loopback(), "the peer is on loopback");
                self.sockets.push_back(socket);
            }
            Completion::Connected { conn, result } => {
                let conn = self.live(conn);
                assert_eq!(conn.connected, None, "a Connect ends once");
                conn.connected = Some(result);
                conn.is_closed = result.is_err();
            }
            Completion::Received { conn, bytes } => {
                assert!(!self.has_enough(), "no bytes after the shard had enough");
                self.heard.push(conn);
                let conn = self.live(conn);
                assert!(!bytes.is_empty(), "received bytes are never empty");
                assert!(!conn.is_paused, "no bytes while receiving is paused");
                assert_eq!(conn.receive_closed, None, "no bytes behind the end");
                conn.received.extend_from_slice(bytes);
                conn.received_in_wait += bytes.len();
                assert!(conn.received_in_wait <= RECEIVE_PER_WAIT_MAX, "a wait has a budget for each connection");
                // As unmasking does, and so that nobody relies on what was there.
                bytes.fill(0xee);
            }
            Completion::ReceiveClosed { conn, cause } => {
                let conn = self.live(conn);
                assert!(!conn.is_paused || cause.is_some(), "no orderly end while receiving is paused");
                assert_eq!(conn.receive_closed, None, "receiving ends once");
                conn.receive_closed = Some(cause);
            }
            Completion::Sent { conn, result, rest } => self.take_sent(conn, result, rest),
            Completion::Closed { conn } => {
                let conn = self.conns.get_mut(&conn).expect("a completion names a connection that was asked for");
                assert!(conn.is_closing && !conn.is_closed, "a Closed for each Close");
                conn.is_closed = true;
            }
            Completion::Woken => self.woken += 1,
        }
        if self.has_enough() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn has_enough(&self) -> bool {
        self.enough.is_some_and(|enough| self.heard.len() >= enough)
    }

    fn take_sent(&mut self, conn: ConnId, result: Result<u32, NetError>, rest: Vec<Segment>) {
        let conn = self.live(conn);
        let in_flight = conn.in_flight.take().expect("a Sent for each send that is in flight");
        let (len, left) = (len_of(&in_flight.segments), len_of(&rest));
        if let Ok(count) = result {
            assert!(count > 0 || in_flight.is_one_of_many, "a Sent reports progress");
            assert!(left > 0 || !in_flight.is_one_of_many, "who took all of it stays silent");
            assert_eq!(count as usize + left, len, "a Sent gives back what was not taken");
        }
        assert!(is_tail(&rest, &in_flight.segments), "a Sent gives back the end of what was sent, and no copy of it");
        conn.sent.push_back((result, rest));
    }
}

/// Bytes in which a part that is missing, doubled or out of place shows.
pub fn pattern(len: usize) -> Vec<u8> {
    let block: Vec<u8> = (0..PATTERN_PERIOD).map(|at| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        bytes.extend_from_slice(&block[..block.len().min(len - bytes.len())]);
    }
    bytes
}

fn len_of(segments: &[Segment]) -> usize {
    segments.iter().map(|segment| segment.len()).sum()
}

/// Whether `rest` is the last part of `segments`: the very same bytes, none of its segments empty.
fn is_tail(rest: &[Segment], segments: &[Segment]) -> bool {
    let Some(behind) = segments.len().checked_sub(rest.len()) else { return false };
    let mut pairs = rest.iter().zip(&segments[behind..]);
    let starts_inside = pairs.next().is_none_or(|(part, whole)| {
        !part.is_empty() && part.len() <= whole.len() && part.as_ptr() == whole[whole.len() - part.len()..].as_ptr()
    });
    starts_inside && pairs.all(|(part, whole)| part.as_ptr() == whole.as_ptr() && part.len() == whole.len())
}

/// A prime, so that no buffer's length is a multiple of it.
const PATTERN_PERIOD: u32 = 65_521;
/// How long one wait may take, in milliseconds.
const STEP_MS: u64 = 5;
/// Empty waits after which nothing more is expected.
const QUIET_STEPS: usize = 3;
/// The same where a completion that is due is late again and again, by chance.
const QUIET_STEPS_IF_LATE: usize = 64;
/// How long a condition may take to come about, in milliseconds: long, because it bounds failing runs only.
const PATIENCE_MS: u64 = 20_000;
/// Waits that a condition may take to come about.
const STEPS_MAX: usize = 400_000;
