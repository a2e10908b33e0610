//! Every mode with every driver, over real sockets, with a client of a few lines.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fanwire::wire::ws::handshake::accept_for;
use fanwire::wire::ws::{Opcode, encode_client_frame, encode_frame};

use super::*;

const DRIVERS: [DriverKind; 2] = [DriverKind::Epoll, DriverKind::Uring];

/// A floor on a thread of its own, which lives as long as the test's process; `None` where the kernel has no
/// interface for the driver.
fn start(mode: Mode, driver: DriverKind) -> Option<SocketAddr> {
    let (tell, told) = mpsc::channel();
    let args = FloorArgs { listen: SocketAddr::from(([127, 0, 0, 1], 0)), mode, driver };
    thread::spawn(move || {
        let outcome = serve(&args, |addr| {
            tell.send(addr).expect("the test waits for it");
            Ok(())
        });
        println!("{driver:?} ended: {outcome:?}");
    });
    let addr = told.recv().ok();
    if driver == DriverKind::Uring && addr.is_none() {
        println!("this kernel has no io_uring for us");
        return None;
    }
    Some(addr.expect("the floor listens"))
}

/// Runs `check` against a floor of this mode over each driver.
fn with_each_driver(mode: Mode, check: impl Fn(SocketAddr)) {
    for driver in DRIVERS {
        if let Some(addr) = start(mode, driver) {
            println!("{driver:?}");
            check(addr);
        }
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the floor listens");
    // Else a second small write waits for the acknowledgement of the first.
    stream.set_nodelay(true).expect("set");
    // Not a means of synchronisation: only so that a failure is a failure and no hang.
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream
}

fn open(addr: SocketAddr) -> TcpStream {
    let mut stream = connect(addr);
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    write!(
        stream,
        "GET /raw/any HTTP/1.1\r\nHost: floor\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .expect("sent");
    let expected = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        str::from_utf8(&accept_for(key)).expect("base64")
    );
    assert_eq!(String::from_utf8(read(&mut stream, expected.len())), Ok(expected));
    stream
}

fn read(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).expect("that many bytes come");
    bytes
}

fn client_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_client_frame(&mut out, opcode, true, [9, 8, 7, 6], payload);
    out
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_frame(&mut out, opcode, payload);
    out
}

/// Reads what `expected` is long, and fails if it is something else.
fn expect(stream: &mut TcpStream, expected: &[u8]) {
    let bytes = read(stream, expected.len());
    assert!(bytes == expected, "{} instead of {}", bytes.escape_ascii(), expected.escape_ascii());
}

fn ping(stream: &mut TcpStream) {
    stream.write_all(&client_frame(Opcode::Ping, b"there?")).expect("sent");
    expect(stream, &frame(Opcode::Pong, b"there?"));
}

fn is_at_end(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(len) => len == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn hold_answers_pings_and_nothing_else() {
    with_each_driver(Mode::Hold, |addr| {
        let mut streams: Vec<_> = (0..300).map(|_| open(addr)).collect();
        for stream in &mut streams {
            stream.write_all(&client_frame(Opcode::Text, b"ignored")).expect("sent");
            ping(stream);
        }
    });
}

#[test]
fn fanout_sends_each_message_to_every_reader_in_order() {
    for mode in [Mode::Fanout, Mode::Batch] {
        with_each_driver(mode, |addr| {
            let mut readers: Vec<_> = (0..300).map(|_| open(addr)).collect();
            let mut publisher = open(addr);
            let mut expected = Vec::new();
            let mut said = Vec::new();
            for number in 0..100_u32 {
                let payload = number.to_be_bytes().repeat(50);
                said.extend(client_frame(Opcode::Binary, &payload));
                expected.extend(frame(Opcode::Binary, &payload));
            }
            publisher.write_all(&said).expect("sent");
            for reader in &mut readers {
                expect(reader, &expected);
            }
            // Nothing came back: the next thing that the publisher gets is the pong.
            ping(&mut publisher);
        });
    }
}

#[test]
fn echo_sends_text_as_text_and_binary_as_binary_whatever_the_size() {
    with_each_driver(Mode::Echo, |addr| {
        let mut stream = open(addr);
        for (opcode, len) in [(Opcode::Text, 0), (Opcode::Text, 5), (Opcode::Binary, 300), (Opcode::Binary, 500_000)] {
            let payload = vec![b'x'; len];
            stream.write_all(&client_frame(opcode, &payload)).expect("sent");
            expect(&mut stream, &frame(opcode, &payload));
        }
    });
}

#[test]
fn a_reader_that_comes_and_goes_disturbs_nobody_and_its_place_is_used_again() {
    with_each_driver(Mode::Fanout, |addr| {
        let mut reader = open(addr);
        let mut publisher = open(addr);
        for round in 0..200_u32 {
            let mut guest = open(addr);
            let payload = round.to_be_bytes();
            publisher.write_all(&client_frame(Opcode::Text, b"text")).expect("sent");
            publisher.write_all(&client_frame(Opcode::Binary, &payload)).expect("sent");
            for stream in [&mut reader, &mut guest] {
                expect(stream, &frame(Opcode::Text, b"text"));
                expect(stream, &frame(Opcode::Binary, &payload));
            }
            if round % 2 == 0 {
                guest.write_all(&client_frame(Opcode::Close, &[0x03, 0xe8])).expect("sent");
                expect(&mut guest, &frame(Opcode::Close, &[0x03, 0xe8]));
                assert!(is_at_end(&mut guest));
            }
        }
    });
}

#[test]
fn a_reader_that_does_not_read_is_cut_off_in_the_end_and_the_others_get_everything() {
    with_each_driver(Mode::Fanout, |addr| {
        let mut reader = open(addr);
        let mut stalled = open(addr);
        let mut publisher = open(addr);
        let message = client_frame(Opcode::Binary, &[5; 60_000]);
        let expected = frame(Opcode::Binary, &[5; 60_000]);
        // 24 MB are more than the kernel takes for one socket, and than the floor keeps.
        for _ in 0..400 {
            publisher.write_all(&message).expect("sent");
            expect(&mut reader, &expected);
        }
        let mut bytes = Vec::new();
        let outcome = stalled.read_to_end(&mut bytes);
        assert!(outcome.is_err() || bytes.len() < 400 * expected.len(), "{} bytes", bytes.len());
        assert!(bytes.chunks(expected.len()).all(|piece| expected.starts_with(piece)), "what came is in order");
    });
}

#[test]
fn what_is_no_opening_handshake_is_answered_and_closed() {
    with_each_driver(Mode::Hold, |addr| {
        let mut stream = connect(addr);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: floor\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered in order");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    });
}

#[test]
fn a_port_in_use_is_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let listen = taken.local_addr().expect("it is bound");
    for driver in DRIVERS {
        let message = run(&FloorArgs { listen, mode: Mode::Hold, driver }).expect_err("somebody listens there");
        assert!(message.starts_with(&listen.to_string()) && message.lines().count() == 1, "{message}");
    }
}
