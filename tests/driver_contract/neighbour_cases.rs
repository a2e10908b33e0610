//! The cases about drivers of one process that accept for each other, where each has descriptors of its own.
//!
//! The drivers run on one thread, in the order that a case says. Each has a port of its own here, so that a case knows at
//! which listener a client waits.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::time::Duration;

use fanwire::command::ConnId;
use fanwire::driver::{Completion, Driver, NetError, Op, Uring, UringSetup, listen};
use socket2::SockRef;

/// One driver, and what it holds.
struct Member {
    driver: Option<Uring>,
    addr: SocketAddr,
    /// Every connection that it accepted and that has not ended: what was received.
    conns: BTreeMap<u32, Vec<u8>>,
    /// How receiving ended, of those where it did.
    causes: Vec<Option<NetError>>,
    next_index: u32,
}

/// The drivers of one process.
struct Row {
    members: Vec<Member>,
    clients: Vec<TcpStream>,
}

impl Row {
    /// So many drivers that each hold `share` before another has to hold more.
    fn open(count: usize, share: u32) -> Self {
        let silence_max = Duration::from_secs(600);
        let listeners: Vec<_> = (0..count)
            .map(|_| listen((Ipv4Addr::LOCALHOST, 0).into(), 1, silence_max).expect("loopback has a free port"))
            .collect();
        let addrs: Vec<_> = listeners.iter().map(|own| own[0].local_addr().expect("it is bound")).collect();
        let setups: Vec<_> = (0..count).map(|_| UringSetup::new(CAPACITY).expect("this kernel has io_uring")).collect();
        let intakes = UringSetup::intakes(&setups, listeners, share);
        let drivers = setups.into_iter().zip(intakes).zip(addrs);
        let members = drivers.map(|((setup, intake), addr)| Member {
            driver: Some(setup.into_driver(intake).expect("the ring is new")),
            addr,
            conns: BTreeMap::new(),
            causes: Vec::new(),
            next_index: 0,
        });
        Self { members: members.collect(), clients: Vec::new() }
    }

    /// A client that waits at the listener of a driver.
    fn connect(&mut self, at: usize) {
        let client = TcpStream::connect(self.members[at].addr).expect("the backlog takes it");
        client.set_read_timeout(Some(Duration::from_millis(PATIENCE_MS))).expect("the timeout is not zero");
        self.clients.push(client);
    }

    fn submit(&mut self, at: usize, op: Op) {
        let driver = self.members[at].driver.as_mut().expect("it runs");
        driver.submit(&mut vec![op]).expect("no connection ends the driver");
    }

    /// One look of a driver at what is there, which adopts all that is accepted.
    fn look(&mut self, at: usize) {
        let Member { driver: Some(driver), conns, causes, next_index, .. } = &mut self.members[at] else { return };
        let mut ops = Vec::new();
        let until = driver.now().plus_millis(1);
        let wait = driver.wait(Some(until), |_, completion| {
            match completion {
                Completion::Accepted { socket, peer, listener } => {
                    assert!(listener == 0 && peer.ip().is_loopback(), "as at a listener of its own");
                    conns.insert(*next_index, Vec::new());
                    ops.push(Op::Adopt { conn: conn(*next_index), socket });
                    *next_index += 1;
                }
                Completion::Received { conn, bytes } => {
                    conns.get_mut(&conn.index).expect("it was adopted").extend_from_slice(bytes);
                }
                Completion::ReceiveClosed { conn, cause } => {
                    causes.push(cause);
                    ops.push(Op::Close { conn, abort: false });
                }
                Completion::Closed { conn } => drop(conns.remove(&conn.index)),
                Completion::Woken => {}
                completion => panic!("{completion:?}"),
            }
            ControlFlow::Continue(())
        });
        wait.expect("no connection ends the driver");
        driver.submit(&mut ops).expect("no connection ends the driver");
    }

    /// How many connections each holds.
    fn held(&self) -> Vec<usize> {
        self.members.iter().map(|member| member.conns.len()).collect()
    }

    /// Lets all drivers run until `is_done`, and once more, so that none is amid of something.
    fn run_until(&mut self, is_done: impl Fn(&Self) -> bool) {
        for _ in 0..PATIENCE_LOOKS {
            let was_done = is_done(self);
            (0..self.members.len()).for_each(|at| self.look(at));
            if was_done {
                return;
            }
        }
        panic!("waited in vain, they hold {:?}", self.held());
    }

    fn expect_held(&mut self, expected: &[usize]) {
        println!("waits for {expected:?}");
        self.run_until(|row| row.held() == expected);
    }

    /// Lets all drivers run until nothing more is expected, and holds that nothing changes.
    fn expect_quiet(&mut self) {
        let before = self.held();
        for _ in 0..QUIET_LOOKS {
            (0..self.members.len()).for_each(|at| self.look(at));
        }
        assert_eq!(self.held(), before);
    }

    /// Fills a driver through its own listener.
    fn fill(&mut self, at: usize, count: usize) {
        for held in self.members[at].conns.len()..count {
            self.connect(at);
            (0..PATIENCE_LOOKS).find(|_| {
                self.look(at);
                self.members[at].conns.len() > held
            });
        }
    }
}

#[test]
fn a_driver_that_holds_its_share_leaves_the_others_to_one_that_does_not() {
    let mut row = Row::open(2, 3);
    (0..6).for_each(|_| row.connect(0));
    row.expect_held(&[3, 3]);
    for client in &mut row.clients {
        client.write_all(b"hello").expect("it is connected");
    }
    let is_heard = |row: &Row| row.members.iter().flat_map(|member| member.conns.values()).all(|all| all == b"hello");
    row.run_until(is_heard);
    // Nobody has room: the driver accepts it itself, so that the shard can say why it is refused.
    row.connect(0);
    row.expect_held(&[4, 3]);
    row.connect(1);
    row.expect_held(&[4, 4]);
    row.expect_quiet();
}

#[test]
fn drivers_with_room_take_turns() {
    let mut row = Row::open(4, 3);
    row.fill(1, 3);
    for held in [[0, 3, 1, 0], [0, 3, 1, 1], [1, 3, 1, 1], [1, 3, 2, 1]] {
        row.connect(1);
        row.expect_held(&held);
    }
}

#[test]
fn a_crowd_at_one_listener_fills_every_driver_before_any_holds_more_than_its_share() {
    let mut row = Row::open(3, 100);
    (0..300).for_each(|_| row.connect(2));
    row.expect_held(&[100, 100, 100]);
    row.expect_quiet();
}

#[test]
fn a_driver_that_fills_meanwhile_gives_the_rest_back() {
    let mut row = Row::open(2, 2);
    row.fill(0, 2);
    row.fill(1, 1);
    (0..2).for_each(|_| row.connect(0));
    row.look(0);
    row.connect(1);
    row.expect_held(&[4, 2]);
    row.expect_quiet();

    // The same with a place for one of two.
    let mut row = Row::open(2, 2);
    row.fill(0, 2);
    row.fill(1, 1);
    (0..2).for_each(|_| row.connect(0));
    row.expect_held(&[3, 2]);
}

#[test]
fn a_driver_that_gets_room_itself_takes_back_what_it_left() {
    let mut row = Row::open(2, 2);
    row.fill(0, 2);
    row.connect(0);
    row.look(0);
    assert_eq!(row.held(), [2, 0], "it was left to the other");
    row.submit(0, Op::Close { conn: conn(0), abort: false });
    // The close, and what it makes room for: the other has not looked yet.
    (0..QUIET_LOOKS).find(|_| {
        row.look(0);
        row.members[0].next_index == 3
    });
    row.expect_held(&[2, 0]);
    row.expect_quiet();
}

#[test]
fn a_connection_that_is_left_to_a_driver_that_ends_or_stops_is_accepted_all_the_same() {
    for ends in [true, false] {
        let mut row = Row::open(2, 2);
        row.fill(0, 2);
        row.connect(0);
        row.look(0);
        assert_eq!(row.held(), [2, 0], "it was left to the other");
        if ends {
            row.members[1].driver = None
        } else {
            row.submit(1, Op::StopAccepting)
        }
        row.expect_held(&[3, 0]);
        // From now on nobody is asked.
        row.connect(0);
        row.expect_held(&[4, 0]);
        row.expect_quiet();
    }
}

#[test]
fn a_connection_that_was_left_at_a_listener_goes_with_it() {
    let mut row = Row::open(2, 2);
    row.fill(0, 2);
    row.connect(0);
    row.look(0);
    row.submit(0, Op::StopAccepting);
    row.expect_quiet();
    assert_eq!(row.held(), [2, 0]);
    let end = row.clients.last_mut().expect("it connected").read(&mut [0]);
    assert_eq!(end.expect_err("nobody accepted it").kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_client_that_resets_while_it_is_left_to_another_harms_nobody() {
    let mut row = Row::open(2, 2);
    row.fill(0, 2);
    row.connect(0);
    row.look(0);
    let client = row.clients.pop().expect("it connected");
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("TCP has the option");
    drop(client);
    row.connect(0);
    row.expect_held(&[2, 1]);
    row.expect_quiet();
    assert!(row.members[1].causes.iter().all(|cause| *cause == Some(NetError::Reset)), "if it is told of, then so");
}

fn conn(index: u32) -> ConnId {
    ConnId { index, generation: 1 }
}

/// Connections that each driver has room for, beyond its share.
const CAPACITY: u32 = 256;
/// How long a client waits, in milliseconds.
const PATIENCE_MS: u64 = 20_000;
/// Looks of all drivers after which something that has to come is missed.
const PATIENCE_LOOKS: usize = 4_000;
/// Looks after which nothing more is expected; they are longer than a driver waits for another.
const QUIET_LOOKS: usize = 250;
