//! Ten thousand idle connections: what each costs without a topic, with a shared one and with one of its own, and a
//! broadcast that reaches all of them in order.
//!
//! `FANWIRE_IDLE_CONNECTIONS` is how many; the memory is printed, not asserted.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Frame, Gateway, HANG, Socket};

const MESSAGES: usize = 20;

#[test]
fn a_broadcast_reaches_ten_thousand_idle_readers_complete_and_in_order() {
    let connections = connections(10_000);
    let gateway = Gateway::start(&[]);
    publish(&gateway, 0);

    let few = connections / 5;
    let mut readers: Vec<TcpStream> = (0..few).map(|_| join(&gateway)).collect();
    let memory_of_few = memory_len(gateway.pid());
    readers.extend((few..connections).map(|_| join(&gateway)));
    let memory_of_all = memory_len(gateway.pid());
    let slope = (memory_of_all as f64 - memory_of_few as f64) / (connections - few) as f64;
    println!("{connections} connections: {slope:.0} bytes of the gateway's own memory each ({few} to {connections})");

    for message in 1..=MESSAGES {
        publish(&gateway, message);
    }
    let expected: Vec<u8> = (1..=MESSAGES).flat_map(frame).collect();
    for (index, reader) in readers.iter_mut().enumerate() {
        let mut heard = vec![0; expected.len()];
        reader.read_exact(&mut heard).unwrap_or_else(|error| panic!("reader {index}: {error}"));
        assert!(heard == expected, "reader {index} hears something else");
    }
    let mut bystander = gateway.connect();
    bystander.write("GET /topics/idle HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let response = bystander.read_response(true);
    assert!(response.text().contains(&format!("\"offset\":{},\"readers\":{connections},", MESSAGES + 1)));
}

#[test]
fn a_private_topic_costs_little_and_its_reader_alone_hears_it_over_either_driver() {
    let each = connections(2_000);
    for driver in ["epoll", "uring"] {
        let mut plain = 0.0;
        for (kind, what) in KINDS.iter().enumerate() {
            let gateway = Gateway::start(&["--driver", driver, "--ping-interval", "10m"]);
            if each >= TELLING {
                warm_up(&gateway);
            }
            let mut streams = Vec::new();
            let mut open = |range: std::ops::Range<usize>| {
                streams.extend(range.clone().map(|n| upgrade(&gateway, kind, n)));
                expect_gauge(&gateway, "fanwire_subscriptions", if kind == 0 { 0 } else { range.end });
                memory_len(gateway.pid()) as f64
            };
            let few = each / 5;
            let (of_few, of_all) = (open(0..few), open(few..each));
            let slope = (of_all - of_few) / (each - few) as f64;
            plain = if kind == 0 { slope } else { plain };
            let more = slope - plain;
            println!(
                "{driver}, {what}: {slope:.0} bytes of the gateway's own memory each, {more:.0} more than without"
            );
            if kind == 2 {
                expect_gauge(&gateway, "fanwire_topics", each);
                expect_one_hears(&gateway, &mut streams, each / 2);
            }
        }
    }
}

/// Lets topics come and go until every lane of mail between the shards has been used whole: it is touched once.
fn warm_up(gateway: &Gateway) {
    for socket in 0..8 {
        let mut reader = gateway.websocket("/ws");
        for round in 0..8 {
            let names: Vec<String> = (0..1_000).map(|n| format!("\"warm.{socket}.{round}.{n}\"")).collect();
            for op in ["sub", "unsub"] {
                reader.send(Frame::text(format!(r#"{{"op":"{op}","topics":[{}]}}"#, names.join(","))));
                let (_, answer) = reader.read_message();
                assert!(answer.starts_with(br#"{"op":"ok""#), "{}", String::from_utf8_lossy(&answer));
            }
        }
    }
    expect_gauge(gateway, "fanwire_topics", 0);
}

/// Publishes to the private topic of one reader.
fn expect_one_hears(gateway: &Gateway, streams: &mut [TcpStream], n: usize) {
    let mut publisher = gateway.connect();
    let target = private(n);
    publisher.write(format!("POST /publish/{target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n0007"));
    publisher.expect_http_status(200);
    let mut heard = vec![0; frame(7).len()];
    streams[n].read_exact(&mut heard).expect("it is said");
    assert_eq!(heard, frame(7));
    for other in streams {
        other.set_nonblocking(true).expect("it can be set");
        let read = other.read(&mut heard).map_err(|error| error.kind());
        assert_eq!(read, Err(std::io::ErrorKind::WouldBlock), "nobody else hears it");
    }
}

/// Connections from which on a slope says something; below, what an allocator has at hand is more than what they cost.
const TELLING: usize = 10_000;

const KINDS: [&str; 3] = ["no topic", "a shared topic", "a topic of its own"];

/// A name of 16 characters.
fn private(n: usize) -> String {
    format!("user.{n:011}")
}

/// Opens a connection of a kind, up to the answer to its handshake.
fn upgrade(gateway: &Gateway, kind: usize, n: usize) -> TcpStream {
    let target = match kind {
        0 => "/ws".to_owned(),
        1 => "/raw/shared".to_owned(),
        _ => format!("/raw/{}", private(n)),
    };
    let mut stream = TcpStream::connect(gateway.address()).expect("the gateway accepts");
    stream.set_read_timeout(Some(HANG * 6)).expect("a timeout can be set");
    stream.write_all(Socket::handshake(&target).as_bytes()).expect("the gateway reads");
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the gateway answers");
        heard.push(byte[0]);
    }
    assert!(heard.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&heard));
    stream
}

/// Waits until the shards' gauges of a name add up to `expected`.
fn expect_gauge(gateway: &Gateway, name: &str, expected: usize) {
    let asked_from = std::time::Instant::now();
    loop {
        let mut socket = gateway.connect();
        socket.write("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let response = socket.read_response(true);
        let lines = response.text().lines().filter(|line| line.starts_with(&format!("{name}{{")));
        let sum: usize = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum();
        if sum == expected {
            return;
        }
        assert!(asked_from.elapsed() < HANG * 6, "{name} is {sum}, not {expected}");
    }
}

/// How many are wanted, `usual` if nobody says, as far as there are descriptors for them.
fn connections(usual: usize) -> usize {
    let descriptors_max = fanwire::driver::raise_descriptors_max() as usize;
    let wanted = std::env::var("FANWIRE_IDLE_CONNECTIONS").map_or(usual, |text| text.parse().expect("a number"));
    let connections = if descriptors_max < wanted + 100 { descriptors_max - 100 } else { wanted };
    assert!(connections >= 900, "{descriptors_max} descriptors are too few to show anything");
    connections
}

/// Opens a reader and waits until it has joined: the last value says so.
fn join(gateway: &Gateway) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address()).expect("the gateway accepts");
    stream.set_read_timeout(Some(HANG * 6)).expect("a timeout can be set");
    stream.write_all(Socket::handshake("/raw/idle").as_bytes()).expect("the gateway reads");
    let mut heard = Vec::new();
    let expected = frame(0);
    while !heard.ends_with(&expected) {
        let mut bytes = [0; 512];
        let len = stream.read(&mut bytes).expect("the gateway answers");
        assert!(len > 0, "the gateway hung up: {}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&bytes[..len]);
    }
    stream
}

fn publish(gateway: &Gateway, message: usize) {
    let mut socket = gateway.connect();
    let body = format!("{message:04}");
    socket.write(format!("POST /publish/idle HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n{body}"));
    socket.expect_http_status(200);
}

/// A server's text frame of one message.
fn frame(message: usize) -> Vec<u8> {
    [&[0x81, 4][..], format!("{message:04}").as_bytes()].concat()
}

/// The process's own share of memory, in bytes.
fn memory_len(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the gateway runs");
    let kib = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("the kernel tells the PSS");
    kib.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}
