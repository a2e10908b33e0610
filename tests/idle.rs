//! Ten thousand idle connections on one topic: what each costs, and a broadcast that reaches all of them in order.
//!
//! `FANWIRE_IDLE_CONNECTIONS` is how many; the memory is printed, not asserted.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Gateway, HANG, Socket};

const MESSAGES: usize = 20;

#[test]
fn a_broadcast_reaches_ten_thousand_idle_readers_complete_and_in_order() {
    let descriptors_max = fanwire::driver::raise_descriptors_max() as usize;
    let wanted = std::env::var("FANWIRE_IDLE_CONNECTIONS").map_or(10_000, |text| text.parse().expect("a number"));
    let connections = if descriptors_max < wanted + 100 { descriptors_max - 100 } else { wanted };
    assert!(connections >= 900, "{descriptors_max} descriptors are too few to show anything");
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
    bystander.write("GET /topics/idle HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = bystander.read_response(true);
    assert!(response.text().contains(&format!("\"offset\":{},\"readers\":{connections},", MESSAGES + 1)));
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
    socket.write(format!("POST /publish/idle HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n{body}"));
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
