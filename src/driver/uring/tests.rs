//! The kernel's behaviour that the driver relies on, one test for each point.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use socket2::SockRef;

use super::Uring;
use super::ring::{AcceptDone, Event, Ring, RingSetup};
use crate::buf::Segment;
use crate::command::ConnId;
use crate::driver::{Completion, Driver, Op, listen, listen_unix};
use crate::limits::{NOTSENT_LOWAT, RING_BUFFER_LEN, RING_BUFFERS};

const SILENCE_MAX: Duration = Duration::from_secs(40);

/// A ring, its listener, and the peers' ends.
struct Bench {
    ring: Ring,
    listener: TcpListener,
}

impl Bench {
    fn new(files_max: u32) -> Self {
        Self::with_lengths(files_max, 256, 1024)
    }

    fn with_lengths(files_max: u32, entries: u32, completions: u32) -> Self {
        let setup = RingSetup::with_lengths(files_max, entries, completions).expect("this kernel has io_uring");
        let listener =
            listen((Ipv4Addr::LOCALHOST, 0).into(), 1, SILENCE_MAX).expect("loopback has a free port").remove(0);
        Self { ring: setup.enable().expect("the ring is new"), listener: listener.into_std() }
    }

    fn accept(&mut self) -> Result<(u32, SocketAddr), i32> {
        self.ring.accept(&self.listener).expect("there is memory");
        self.ring.flush().expect("there is memory");
        let AcceptDone { outcome } = self.ring.take_accepts(Vec::new()).pop().expect("an accept ends at once");
        outcome
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.listener.local_addr().expect("it is bound")).expect("the backlog takes it")
    }

    /// A peer and its direct descriptor.
    fn pair(&mut self) -> (TcpStream, u32) {
        let peer = self.connect();
        let (file, addr) = self.accept().expect("a connection waits");
        assert_eq!(addr, peer.local_addr().expect("it is bound"));
        (peer, file)
    }

    fn flush(&mut self) -> Vec<Event> {
        self.ring.flush().expect("there is memory");
        self.ring.take_events(Vec::new())
    }

    /// The events of one wait, of which there is one at least.
    fn wait(&mut self) -> Vec<Event> {
        assert!(self.ring.wait(Some(PATIENCE)).expect("there is memory"));
        let events = self.ring.take_events(Vec::new());
        assert!(!events.is_empty(), "waited in vain");
        events
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

fn conn(index: u32) -> ConnId {
    ConnId { index, generation: 3 }
}

#[test]
fn of_a_send_to_many_only_who_does_not_take_all_completes() {
    let mut bench = Bench::new(8);
    let pairs: Vec<_> = (0..3).map(|_| bench.pair()).collect();
    let files: Vec<u32> = pairs.iter().map(|(_, file)| *file).collect();
    let everyone = || files.iter().map(|&file| (conn(file), file));
    bench.ring.send_to_each(&Segment::copy_of(b"hello"), everyone()).expect("there is memory");
    assert!(bench.flush().is_empty(), "all was taken, and it ended before the call did");
    for (mut peer, _) in pairs.iter().map(|(peer, file)| (peer, file)) {
        let mut bytes = [0; 5];
        peer.read_exact(&mut bytes).expect("it was sent");
        assert_eq!(&bytes, b"hello");
    }

    // More than there is room for: a short send says how short, although its success is skipped.
    let bulk = Segment::from(vec![7; 16 * 1024 * 1024]);
    bench.ring.send_to_each(&bulk, std::iter::once((conn(0), files[0]))).expect("there is memory");
    let events = bench.flush();
    let [Event::Sent { conn: whose, outcome: Ok(count), segments, is_one_of_many: true }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*whose, conn(0));
    assert!(*count > 0 && (*count as usize) < bulk.len());
    assert_eq!(segments[0].len(), bulk.len());
    // And without any room, which a peer that does not read comes to, it fails, at once.
    loop {
        bench.ring.send_to_each(&bulk, std::iter::once((conn(0), files[0]))).expect("there is memory");
        match &bench.flush()[..] {
            [Event::Sent { outcome: Ok(count), .. }] if (*count as usize) < bulk.len() => {}
            [Event::Sent { outcome: Err(libc::EAGAIN), .. }] => break,
            events => panic!("{events:?}"),
        }
    }
}

#[test]
fn sends_of_one_batch_keep_their_order_and_share_their_bytes() {
    let mut bench = Bench::new(8);
    let (mut peer, file) = bench.pair();
    let block = Segment::copy_of(b"one two three four ");
    bench.ring.send_to_each(&block.slice(0..4), std::iter::once((conn(0), file))).expect("there is memory");
    let parts = vec![block.slice(4..8), block.slice(8..14)];
    bench.ring.send(conn(0), file, parts).expect("there is memory");
    bench.ring.send(conn(0), file, vec![block.slice(14..19)]).expect("there is memory");
    drop(block);
    let counts = bench.flush().into_iter().map(|event| match event {
        Event::Sent { outcome, is_one_of_many: false, .. } => outcome,
        event => panic!("{event:?}"),
    });
    let counts: Vec<_> = counts.collect();
    assert_eq!(counts, [Ok(10), Ok(5)]);
    let mut bytes = [0; 19];
    peer.read_exact(&mut bytes).expect("it was sent");
    assert_eq!(&bytes, b"one two three four ");
}

#[test]
fn more_sends_than_one_submission_takes_all_go_out() {
    let mut bench = Bench::new(8);
    let (mut peer, file) = bench.pair();
    let everyone = std::iter::repeat_n((conn(0), file), 1000);
    bench.ring.send_to_each(&Segment::copy_of(b"x"), everyone).expect("there is memory");
    assert!(bench.flush().is_empty());
    let mut bytes = [0; 1000];
    peer.read_exact(&mut bytes).expect("it was sent");
    assert_eq!(bytes, [b'x'; 1000]);
}

#[test]
fn a_cancelled_poll_ends_as_cancelled_and_others_stay() {
    let mut bench = Bench::new(8);
    let (_quiet, cancelled) = bench.pair();
    let (mut peer, kept) = bench.pair();
    bench.ring.poll(conn(0), cancelled).expect("there is memory");
    bench.ring.poll(conn(1), kept).expect("there is memory");
    bench.ring.cancel_poll(conn(0)).expect("there is memory");
    // Of an earlier life of the place: there is none, and nobody hears of it.
    bench.ring.cancel_poll(ConnId { index: 1, generation: 2 }).expect("there is memory");
    let events = bench.wait();
    let [Event::Polled { conn: whose, outcome: Err(libc::ECANCELED), is_over: true }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*whose, conn(0));
    // The other tells of each arrival, also where the one before was not read.
    for _ in 0..2 {
        peer.write_all(b"x").expect("there is room");
        let events = bench.wait();
        let [Event::Polled { conn: whose, outcome: Ok(_), is_over: false }] = &events[..] else { panic!("{events:?}") };
        assert_eq!(*whose, conn(1));
    }
}

#[test]
fn a_descriptor_that_is_given_back_closes_with_its_last_entry() {
    let mut bench = Bench::new(8);
    let (mut peer, file) = bench.pair();
    peer.set_nonblocking(true).expect("a socket can be made non-blocking");
    bench.ring.poll(conn(0), file).expect("there is memory");
    bench.ring.close(Some(conn(0)), file).expect("there is memory");
    assert!(matches!(bench.flush()[..], [Event::Released { conn: Some(_) }]));
    let error = peer.read(&mut [0]).expect_err("the poll keeps it open");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    bench.ring.cancel_poll(conn(0)).expect("there is memory");
    bench.wait();
    assert_eq!(peer.read(&mut [0]).expect("it is closed in order"), 0);
}

#[test]
fn an_armed_receive_without_buffers_is_over_and_nothing_is_lost() {
    let mut bench = Bench::new(8);
    let (mut peer, file) = bench.pair();
    let bytes: Vec<u8> = (0..RING_BUFFERS * RING_BUFFER_LEN + 1000).map(|at| (at / 251) as u8).collect();
    bench.ring.arm(conn(0), file).expect("there is memory");
    let to_write = bytes.clone();
    let writer = std::thread::spawn(move || peer.write_all(&to_write).map(|()| peer));
    let (mut received, mut pieces, mut is_dry) = (Vec::new(), Vec::new(), false);
    while !is_dry {
        for event in bench.wait() {
            let Event::Received { outcome, piece, is_over, .. } = event else { panic!("{event:?}") };
            if let Some(mut piece) = piece {
                assert_eq!(outcome, Ok(piece.len() as u32));
                received.extend_from_slice(bench.ring.bytes(&mut piece));
                pieces.push(piece);
            }
            if is_over {
                assert_eq!(outcome, Err(libc::ENOBUFS));
                is_dry = true;
            }
        }
    }
    assert_eq!(received.len(), RING_BUFFERS * RING_BUFFER_LEN, "every buffer was filled to its end");
    // A read fails the same way, until a buffer comes back.
    bench.ring.read(0, file, 1000).expect("there is memory");
    bench.flush();
    assert_eq!(bench.ring.take_reads(Vec::new())[0].outcome, Err(libc::ENOBUFS));
    pieces.into_iter().for_each(|piece| bench.ring.give_back(piece));
    let _peer = writer.join().expect("the writer does not panic").expect("it is connected");
    while received.len() < bytes.len() {
        bench.ring.read(0, file, 1000).expect("there is memory");
        bench.flush();
        for read in bench.ring.take_reads(Vec::new()) {
            if let Some(mut piece) = read.piece {
                received.extend_from_slice(bench.ring.bytes(&mut piece));
                bench.ring.give_back(piece);
            }
        }
    }
    assert!(received == bytes, "every byte came, in order");
}

#[test]
fn a_read_says_whether_there_is_more_and_does_not_wait() {
    let mut bench = Bench::new(8);
    let (mut peer, file) = bench.pair();
    let read = |bench: &mut Bench| {
        bench.ring.read(5, file, 4).expect("there is memory");
        bench.flush();
        let read = bench.ring.take_reads(Vec::new()).pop().expect("a read ends at once");
        assert_eq!(read.place, 5);
        if let Some(piece) = read.piece {
            bench.ring.give_back(piece);
        }
        (read.outcome, read.has_more)
    };
    assert_eq!(read(&mut bench), (Err(libc::EAGAIN), false));
    peer.write_all(b"12345678").expect("there is room");
    assert_eq!(read(&mut bench), (Ok(4), true));
    assert_eq!(read(&mut bench), (Ok(4), false));
    // More reads than there are bytes in all buffers: none of them uses any up for nothing.
    for _ in 0..2 * RING_BUFFERS * RING_BUFFER_LEN / 4 {
        peer.write_all(b"1234").expect("there is room");
        assert_eq!(read(&mut bench).0, Ok(4));
        assert_eq!(read(&mut bench).0, Err(libc::EAGAIN));
    }
    drop(peer);
    assert_eq!(read(&mut bench).0, Ok(0));
    assert_eq!(read(&mut bench).0, Ok(0));
}

#[test]
fn a_full_table_of_descriptors_drops_who_is_accepted() {
    // That is why accepts are counted, and why there is no multishot accept.
    let mut bench = Bench::new(2);
    let (_first, first) = bench.pair();
    let (_second, _) = bench.pair();
    let mut third = bench.connect();
    assert_eq!(bench.accept(), Err(libc::ENFILE));
    let end = third.read(&mut [0]);
    assert!(matches!(end, Ok(0)) || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert_eq!(bench.accept(), Err(libc::EAGAIN), "nobody is left to accept");
    bench.ring.close(None, first).expect("there is memory");
    bench.flush();
    let (_fourth, fourth) = bench.pair();
    assert_eq!(fourth, first, "a place is free as soon as it is given back");
}

#[test]
fn a_ring_accepts_at_the_listener_of_another_which_is_told_of_the_next_all_the_same() {
    let (mut full, mut roomy) = (Bench::new(1), Bench::new(8));
    let _held = full.pair();
    full.ring.listen(0, &full.listener).expect("there is memory");
    for _ in 0..2 {
        let _clients = [full.connect(), full.connect()];
        let is_told = |event: &Event| matches!(event, Event::Listened { listener: 0, outcome: Ok(_), is_over: false });
        assert!(full.wait().iter().all(is_told));
        for outcome in [true, true, false] {
            roomy.ring.accept(&full.listener).expect("there is memory");
            roomy.ring.flush().expect("there is memory");
            let AcceptDone { outcome: accepted } = roomy.ring.take_accepts(Vec::new()).pop().expect("it ends at once");
            assert_eq!(accepted.is_ok(), outcome, "{accepted:?}");
        }
        assert_eq!(full.accept(), Err(libc::EAGAIN), "nobody is left, and no place of its own is taken");
    }
}

#[test]
fn completions_past_the_queue_come_with_the_same_call() {
    let (entries, completions) = (16, 16);
    let mut bench = Bench::with_lengths(64, entries, completions);
    let mut pairs: Vec<_> = (0..40).map(|_| bench.pair()).collect();
    for (_, file) in &pairs {
        bench.ring.poll(conn(*file), *file).expect("there is memory");
    }
    assert!(bench.flush().is_empty());
    for (peer, _) in &mut pairs {
        peer.write_all(b"x").expect("there is room");
    }
    // These complete first, and leave no room for what the polls have to say.
    let files: Vec<u32> = pairs.iter().map(|(_, file)| *file).collect();
    for file in files.iter().take(entries as usize) {
        bench.ring.send(conn(*file), *file, vec![Segment::copy_of(b"y")]).expect("there is memory");
    }
    let (mut told, mut sent, mut most) = (BTreeSet::new(), 0, 0);
    while told.len() < files.len() {
        let events = bench.wait();
        most = most.max(events.len());
        for event in events {
            match event {
                Event::Polled { conn, outcome: Ok(_), .. } => {
                    assert!(told.insert(conn.index), "nobody is told of twice")
                }
                Event::Sent { conn, outcome: Ok(1), .. } => {
                    assert_eq!(conn.index, files[sent], "a send is known by its place in the batch");
                    sent += 1;
                }
                event => panic!("{event:?}"),
            }
        }
    }
    assert_eq!(sent, entries as usize);
    assert!(most > completions as usize, "the case is about completions without room, not {most}");
}

#[test]
fn accepted_descriptors_inherit_their_options_and_others_are_set() {
    let mut bench = Bench::new(8);
    let (_peer, accepted) = bench.pair();
    let there = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let addr = there.local_addr().expect("it is bound");
    bench.ring.open(conn(0), addr).expect("there is memory");
    let events = bench.flush();
    let [Event::Opened { outcome: Ok(opened), .. }] = events[..] else { panic!("{events:?}") };
    bench.ring.connect(conn(0), opened, addr).expect("there is memory");
    let events = bench.wait();
    assert!(matches!(events[..], [Event::Connected { outcome: Ok(_), .. }]), "{events:?}");
    for file in [accepted, opened] {
        let descriptor = bench.ring.install(file);
        let socket = SockRef::from(&descriptor);
        assert!(socket.tcp_nodelay().expect("TCP has the option"));
        assert_eq!(socket.tcp_notsent_lowat().expect("TCP has the option"), NOTSENT_LOWAT);
        let inherited = (file == accepted).then_some(SILENCE_MAX);
        assert_eq!(socket.tcp_user_timeout().expect("TCP has the option"), inherited);
    }
}

#[test]
fn a_ring_that_goes_with_everything_armed_leaves_its_memory_alone() {
    let mut bench = Bench::new(8);
    let (mut peer, file) = bench.pair();
    bench.ring.arm(conn(0), file).expect("there is memory");
    bench.ring.listen(0, &bench.listener).expect("there is memory");
    bench.flush();
    drop(bench);
    // The socket went with the ring: nothing more arrives anywhere.
    peer.set_read_timeout(Some(PATIENCE)).expect("the timeout is not zero");
    // Its end may interrupt the call, which this repeats.
    match peer.read_to_end(&mut Vec::new()) {
        Ok(len) => assert_eq!(len, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

/// A driver with one connection, and what it received.
struct Shop {
    driver: Uring,
    peer: TcpStream,
    received: Vec<u8>,
}

impl Shop {
    fn open() -> Self {
        let listeners = listen((Ipv4Addr::LOCALHOST, 0).into(), 1, SILENCE_MAX).expect("loopback has a free port");
        let addr = listeners[0].local_addr().expect("it is bound");
        let mut driver = Uring::new(listeners, 8).expect("this kernel has io_uring");
        let peer = TcpStream::connect(addr).expect("the backlog takes it");
        let mut accepted = None;
        driver
            .wait(None, |_, completion| match completion {
                Completion::Accepted { socket, .. } => {
                    accepted = Some(socket);
                    ControlFlow::Continue(())
                }
                completion => panic!("{completion:?}"),
            })
            .expect("there is memory");
        let mut shop = Self { driver, peer, received: Vec::new() };
        shop.submit(vec![Op::Adopt { conn: conn(0), socket: accepted.expect("it came alone") }]);
        shop
    }

    fn submit(&mut self, mut ops: Vec<Op>) {
        self.driver.submit(&mut ops).expect("there is memory");
    }

    /// One wait of at most `millis`.
    fn wait(&mut self, millis: u64) {
        let until = self.driver.now().plus_millis(millis);
        let received = &mut self.received;
        let wait = self.driver.wait(Some(until), |_, completion| match completion {
            Completion::Received { bytes, .. } => {
                received.extend_from_slice(bytes);
                ControlFlow::Continue(())
            }
            completion => panic!("{completion:?}"),
        });
        wait.expect("there is memory");
    }

    /// Lets the peer speak until a receive is armed.
    fn arm(&mut self) {
        while self.driver.armed() == 0 {
            assert!(self.received.len() < 1000, "it is busy");
            self.peer.write_all(b"x").expect("there is room");
            self.wait(20_000);
        }
        self.received.clear();
    }
}

#[test]
fn a_socket_file_is_accepted_from_and_read_to_its_end() {
    let path = std::env::temp_dir().join(format!("fanwire-uring-{}", std::process::id()));
    let (listeners, _file) = listen_unix(&path, 1).expect("the folder is ours");
    let mut driver = Uring::new(listeners, 8).expect("this kernel has io_uring");
    let mut peer = UnixStream::connect(&path).expect("the backlog takes it");
    let bytes: Vec<u8> = (0..150_000_u32).map(|at| (at / 251) as u8).collect();
    let to_write = bytes.clone();
    let writer = std::thread::spawn(move || peer.write_all(&to_write));
    let (mut received, mut ops, mut is_ended) = (Vec::new(), Vec::new(), false);
    while !is_ended {
        let until = driver.now().plus_millis(20_000);
        let wait = driver.wait(Some(until), |now, completion| {
            assert!(now < until, "waited in vain");
            match completion {
                Completion::Accepted { socket, peer, listener } => {
                    assert_eq!((peer.to_string().as_str(), listener), ("0.0.0.0:0", 0));
                    ops.push(Op::Adopt { conn: conn(0), socket });
                }
                Completion::Received { bytes, .. } => received.extend_from_slice(bytes),
                Completion::ReceiveClosed { cause, .. } => {
                    assert_eq!(cause, None);
                    is_ended = true;
                }
                completion => panic!("{completion:?}"),
            }
            ControlFlow::Continue(())
        });
        wait.expect("there is memory");
        driver.submit(&mut ops).expect("there is memory");
    }
    writer.join().expect("the writer does not panic").expect("it is connected");
    assert!(received == bytes, "every byte came, in order");
}

#[test]
fn a_busy_connection_is_armed_until_it_is_silent_for_a_period() {
    let mut shop = Shop::open();
    shop.arm();
    shop.peer.write_all(b"armed").expect("there is room");
    while shop.received.len() < 5 {
        shop.wait(20_000);
    }
    assert_eq!(shop.received, b"armed");
    let silent_from = shop.driver.now();
    while shop.driver.armed() > 0 {
        assert!(shop.driver.now() < silent_from.plus_millis(20_000), "it is silent");
        shop.wait(100);
    }
    shop.peer.write_all(b" and polled").expect("there is room");
    while shop.received.len() < 16 {
        shop.wait(20_000);
    }
    assert_eq!(shop.received, b"armed and polled");
}

#[test]
fn what_an_armed_receive_brings_before_a_pause_is_kept_until_it_is_over() {
    let mut shop = Shop::open();
    shop.arm();
    // The armed receive is still in the queue, which these fill: the flush in their midst starts it, and the pause
    // behind it finds the bytes here.
    shop.peer.write_all(b"kept ").expect("there is room");
    let sends = Op::SendMany { segment: Segment::copy_of(b"y"), conns: vec![conn(0); 300] };
    shop.submit(vec![sends, Op::PauseReceive { conn: conn(0) }]);
    shop.wait(10);
    assert_eq!(shop.driver.holdings(), [1, 0, 1]);
    shop.peer.write_all(b"and more").expect("there is room");
    shop.wait(10);
    assert_eq!(shop.received, b"");
    shop.submit(vec![Op::ResumeReceive { conn: conn(0) }]);
    while shop.received.len() < 13 {
        shop.wait(20_000);
    }
    assert_eq!(shop.received, b"kept and more");
    assert_eq!(shop.driver.holdings(), [1, 0, 0]);
}
