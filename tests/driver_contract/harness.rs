//! Support for a driver's tests: peers, and a way to let time pass.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::process::Command;
use std::time::Duration;

use fanwire::driver::sim::{Faults, Holdings, PeerEnd, PeerId, SimDriver, SimNet};
use fanwire::driver::{Completion, Driver, Epoll, Listener, Op, Uring, UringWaker, listen};
use fanwire::time::MonoTime;
use socket2::{Domain, SockRef, Socket, Type};

/// One driver and its peers, which are named by number in the order in which they came.
pub trait Harness: Sized {
    type Driver: Driver;

    /// Bytes that no connection takes at once while its peer does not read.
    const BULK_LEN: usize;
    /// Bytes that a peer streams to the driver: many times what fits into the buffers between them.
    const STREAM_LEN: usize;
    /// Whether a peer can get so far ahead that the budget of one wait is what bounds it.
    const EXCEEDS_BUDGET: bool;
    /// Whether a completion may come later than with the next wait.
    const IS_LATE: bool;

    fn open(seed: u64) -> Self;
    fn driver(&mut self) -> &mut Self::Driver;

    /// Opens a connection to the driver's listener.
    fn connect(&mut self) -> usize;
    /// Writes what the kernel takes at once, and says how much that was.
    fn write(&mut self, peer: usize, bytes: &[u8]) -> usize;
    /// Reads what is there.
    fn read(&mut self, peer: usize) -> Vec<u8>;
    /// How the connection ended, once `read` came to that.
    fn end(&mut self, peer: usize) -> Option<PeerEnd>;
    /// Ends the peer's side.
    fn half_close(&mut self, peer: usize);
    /// Resets the connection.
    fn reset(&mut self, peer: usize);

    /// An address that `Connect` reaches.
    fn reachable(&mut self) -> SocketAddr;
    /// The next peer that was reached there.
    fn reached(&mut self) -> Option<usize>;
    /// Addresses where a `Connect` fails: in the course of it, and at once.
    fn unreachable(&mut self) -> [SocketAddr; 2];

    /// Runs `case` where running out of descriptors harms nobody else.
    fn isolate(case: &str) -> Isolation;
    /// Takes every descriptor that is left.
    fn exhaust_descriptors(&mut self);
    /// Gives them back.
    fn restore_descriptors(&mut self);

    /// A wait until `time` had nothing to hand out.
    fn pass_until(&mut self, time: MonoTime);
    /// Asserts that the driver holds nothing more.
    fn audit(&mut self);
}

/// Where a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    Here,
    /// It ran in a process of its own, successfully.
    Elsewhere,
}

/// A driver of the real kernel.
pub trait RealDriver: Driver + Sized {
    /// Its name among the modules of the test.
    const NAME: &'static str;
    /// Whether it takes its descriptors from the process's own.
    const USES_OPEN_FILES: bool;

    fn open(listeners: Vec<Listener>, connections_capacity: u32) -> Self;
    /// Bounds its own descriptors, where it has any.
    fn set_files_max(&mut self, files_max: u32);
    fn is_empty(&self) -> bool;
}

impl RealDriver for Epoll {
    const NAME: &'static str = "epoll";
    const USES_OPEN_FILES: bool = true;

    fn open(listeners: Vec<Listener>, connections_capacity: u32) -> Self {
        Self::new(listeners, connections_capacity).expect("there are descriptors for a driver")
    }

    fn set_files_max(&mut self, _files_max: u32) {}

    fn is_empty(&self) -> bool {
        self.connections() == 0
    }
}

impl RealDriver for Uring {
    const NAME: &'static str = "uring";
    const USES_OPEN_FILES: bool = false;

    fn open(listeners: Vec<Listener>, connections_capacity: u32) -> Self {
        Self::new(listeners, connections_capacity).expect("this kernel has io_uring")
    }

    fn set_files_max(&mut self, files_max: u32) {
        Uring::set_files_max(self, files_max);
    }

    fn is_empty(&self) -> bool {
        self.holdings() == [0; 3]
    }
}

/// The driver over io_uring that arms a receive for whoever was readable once.
pub struct EagerUring(Uring);

impl Driver for EagerUring {
    type Waker = UringWaker;

    fn waker(&self) -> UringWaker {
        self.0.waker()
    }

    fn now(&self) -> MonoTime {
        self.0.now()
    }

    fn wall_millis(&self) -> u64 {
        self.0.wall_millis()
    }

    fn submit(&mut self, ops: &mut Vec<Op>) -> std::io::Result<()> {
        self.0.submit(ops)
    }

    fn wait(
        &mut self,
        until: Option<MonoTime>,
        sink: impl FnMut(MonoTime, Completion<'_>) -> ControlFlow<()>,
    ) -> std::io::Result<()> {
        self.0.wait(until, sink)
    }
}

impl RealDriver for EagerUring {
    const NAME: &'static str = "uring_eager";
    const USES_OPEN_FILES: bool = false;

    fn open(listeners: Vec<Listener>, connections_capacity: u32) -> Self {
        let mut driver = Uring::open(listeners, connections_capacity);
        driver.set_arm_after(1);
        Self(driver)
    }

    fn set_files_max(&mut self, files_max: u32) {
        self.0.set_files_max(files_max);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The real kernel, over loopback.
pub struct RealHarness<D> {
    driver: D,
    addr: SocketAddr,
    peers: Vec<Peer>,
    reachable: Option<TcpListener>,
    refusing: Option<Socket>,
    hoard: Vec<File>,
}

/// Long enough that no case comes to it.
const SILENCE_MAX: Duration = Duration::from_secs(600);

struct Peer {
    stream: Option<TcpStream>,
    end: Option<PeerEnd>,
}

impl<D> RealHarness<D> {
    fn add(&mut self, stream: TcpStream) -> usize {
        stream.set_nonblocking(true).expect("a socket can be made non-blocking");
        stream.set_nodelay(true).expect("TCP has the option");
        self.peers.push(Peer { stream: Some(stream), end: None });
        self.peers.len() - 1
    }
}

impl<D: RealDriver> Harness for RealHarness<D> {
    type Driver = D;

    // The largest size of the socket buffers, both ends together, with room to spare.
    const BULK_LEN: usize = 8 * 1024 * 1024;
    const STREAM_LEN: usize = 8 * 1024 * 1024;
    const EXCEEDS_BUDGET: bool = true;
    const IS_LATE: bool = false;

    fn open(_seed: u64) -> Self {
        let listeners = listen((Ipv4Addr::LOCALHOST, 0).into(), 1, SILENCE_MAX).expect("loopback has a free port");
        let addr = listeners[0].local_addr().expect("it is bound");
        let driver = D::open(listeners, CAPACITY);
        Self { driver, addr, peers: Vec::new(), reachable: None, refusing: None, hoard: Vec::new() }
    }

    fn driver(&mut self) -> &mut D {
        &mut self.driver
    }

    fn connect(&mut self) -> usize {
        // The backlog completes it: nobody has to accept.
        let stream = TcpStream::connect(self.addr).expect("the backlog takes it");
        self.add(stream)
    }

    fn write(&mut self, peer: usize, bytes: &[u8]) -> usize {
        let Peer { stream: Some(stream), .. } = &mut self.peers[peer] else { return 0 };
        stream.write(bytes).unwrap_or(0)
    }

    fn read(&mut self, peer: usize) -> Vec<u8> {
        let Peer { stream: Some(stream), end } = &mut self.peers[peer] else { return Vec::new() };
        let mut all = Vec::new();
        let mut buffer = [0; 16 * 1024];
        while end.is_none() {
            match stream.read(&mut buffer) {
                Ok(0) => *end = Some(PeerEnd::Finished),
                Ok(count) => all.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                    *end = Some(PeerEnd::Reset);
                }
            }
        }
        all
    }

    fn end(&mut self, peer: usize) -> Option<PeerEnd> {
        self.peers[peer].end
    }

    fn half_close(&mut self, peer: usize) {
        let stream = self.peers[peer].stream.as_ref().expect("the peer is there");
        stream.shutdown(Shutdown::Write).expect("it is connected");
    }

    fn reset(&mut self, peer: usize) {
        let stream = self.peers[peer].stream.take().expect("the peer is there");
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("TCP has the option");
    }

    fn reachable(&mut self) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        self.reachable.insert(listener).local_addr().expect("it is bound")
    }

    fn reached(&mut self) -> Option<usize> {
        let (stream, _) = self.reachable.as_ref()?.accept().ok()?;
        Some(self.add(stream))
    }

    fn unreachable(&mut self) -> [SocketAddr; 2] {
        // Bound, so that nobody else gets the port, but without a listener; and a broadcast, which TCP cannot do.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are descriptors");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("loopback has a free port");
        let addr = socket.local_addr().expect("it is bound").as_socket().expect("it has an IP address");
        self.refusing = Some(socket);
        [addr, (Ipv4Addr::BROADCAST, 9).into()]
    }

    fn isolate(case: &str) -> Isolation {
        const IS_CHILD: &str = "FANWIRE_CONTRACT_CHILD";
        if !D::USES_OPEN_FILES || std::env::var_os(IS_CHILD).is_some() {
            return Isolation::Here;
        }
        // Other tests of this process need descriptors too, so the case runs in a process with a limit of its own.
        let output = Command::new("sh")
            .args(["-c", r#"ulimit -n 256 && exec "$0" "$@""#])
            .arg(std::env::current_exe().expect("a test knows its binary"))
            .args(["--exact", "--nocapture", &format!("{}::{case}", D::NAME)])
            .env(IS_CHILD, "1")
            .output()
            .expect("there is a shell");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
        Isolation::Elsewhere
    }

    fn exhaust_descriptors(&mut self) {
        if !D::USES_OPEN_FILES {
            return self.driver.set_files_max(0);
        }
        while let Ok(file) = File::open("/dev/null") {
            self.hoard.push(file);
        }
    }

    fn restore_descriptors(&mut self) {
        self.driver.set_files_max(CAPACITY);
        self.hoard.clear();
    }

    fn pass_until(&mut self, _time: MonoTime) {}

    fn audit(&mut self) {
        assert!(self.driver.is_empty(), "every connection was closed");
    }
}

/// Connections that a driver has room for.
const CAPACITY: u32 = 1024;

/// The simulated kernel, on a good day or on a bad one: then everything is divided and delayed, but nothing is lost.
pub struct SimHarness<const FAULTY: bool> {
    net: SimNet,
    driver: SimDriver,
    peers: Vec<PeerId>,
    next_port: u16,
    reachable: VecDeque<SocketAddr>,
}

impl<const FAULTY: bool> SimHarness<FAULTY> {
    fn next_addr(&mut self) -> SocketAddr {
        self.next_port += 1;
        (Ipv4Addr::LOCALHOST, self.next_port).into()
    }
}

impl<const FAULTY: bool> Harness for SimHarness<FAULTY> {
    type Driver = SimDriver;

    const BULK_LEN: usize = if FAULTY { 64 * 1024 } else { 1024 * 1024 };
    const STREAM_LEN: usize = if FAULTY { 128 * 1024 } else { 8 * 1024 * 1024 };
    const EXCEEDS_BUDGET: bool = !FAULTY;
    const IS_LATE: bool = FAULTY;

    fn open(seed: u64) -> Self {
        let mut faults = Faults::NONE;
        if FAULTY {
            faults = Faults::draw(seed).without_loss();
            faults.inbound_len_max = faults.inbound_len_max.min(16 * 1024);
            faults.outbound_len_max = faults.outbound_len_max.min(16 * 1024);
            println!("{faults:?}");
        }
        let net = SimNet::new(seed, 1, faults);
        let driver = net.driver(0);
        Self { net, driver, peers: Vec::new(), next_port: 1, reachable: VecDeque::new() }
    }

    fn driver(&mut self) -> &mut SimDriver {
        &mut self.driver
    }

    fn connect(&mut self) -> usize {
        self.peers.push(self.net.connect(Some(0)));
        self.peers.len() - 1
    }

    fn write(&mut self, peer: usize, bytes: &[u8]) -> usize {
        self.net.write(self.peers[peer], bytes)
    }

    fn read(&mut self, peer: usize) -> Vec<u8> {
        self.net.read(self.peers[peer])
    }

    fn end(&mut self, peer: usize) -> Option<PeerEnd> {
        self.net.end(self.peers[peer])
    }

    fn half_close(&mut self, peer: usize) {
        self.net.half_close(self.peers[peer]);
    }

    fn reset(&mut self, peer: usize) {
        self.net.reset(self.peers[peer]);
    }

    fn reachable(&mut self) -> SocketAddr {
        let addr = self.next_addr();
        assert_eq!(self.net.accept_at(addr), None);
        self.reachable.push_back(addr);
        addr
    }

    fn reached(&mut self) -> Option<usize> {
        let peer = self.reachable.iter().find_map(|addr| self.net.accept_at(*addr))?;
        self.peers.push(peer);
        Some(self.peers.len() - 1)
    }

    fn unreachable(&mut self) -> [SocketAddr; 2] {
        [self.next_addr(), self.next_addr()]
    }

    fn isolate(_case: &str) -> Isolation {
        Isolation::Here
    }

    fn exhaust_descriptors(&mut self) {
        self.net.set_sockets_max(Some(self.net.holdings().connections));
    }

    fn restore_descriptors(&mut self) {
        self.net.set_sockets_max(None);
    }

    fn pass_until(&mut self, time: MonoTime) {
        self.net.advance_to(time);
    }

    fn audit(&mut self) {
        assert_eq!(self.net.holdings(), Holdings::default(), "nothing is left in the driver");
        assert!(!self.net.has_work(0), "no completion is owed");
    }
}
