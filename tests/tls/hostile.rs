//! Clients that do not use TLS, or break its rules. No other client may notice.

use std::io::Read;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::version::TLS12;
use rustls::{ClientConfig, RootCertStore};

use crate::common::{Frame, Socket};
use crate::{World, assert_echo};

#[test]
fn http_on_a_tls_port_is_told_so() {
    let world = World::new(&[]);
    for request in ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST /publish/a HTTP/1.1\r\nHost: localhost\r\n\r\n"]
    {
        let mut socket = Socket::connect(world.tls_address());
        let response = socket.write(request).expect_http_status(400);
        assert!(response.text().contains("this port speaks TLS: use https:// or wss://"), "{}", response.text());
        socket.expect_end();
    }
    world.wait_for_closes("wrong_scheme", 2);
}

#[test]
fn tls_on_a_plain_port_is_an_alert() {
    let world = World::new(&[]);
    for hello in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\x16"] {
        let mut socket = Socket::connect(world.plain_address());
        socket.write(hello);
        let mut heard = Vec::new();
        let _ = socket.wire().read_to_end(&mut heard);
        // A record of one fatal alert, handshake_failure.
        assert_eq!(heard, [0x15, 3, 3, 0, 2, 2, 40]);
    }
    world.wait_for_closes("wrong_scheme", 2);
}

#[test]
fn a_client_with_no_suite_or_kind_of_certificate_in_common_hears_handshake_failure() {
    // The certificate has a key of ECDSA.
    let world = World::new(&[]);
    let mut unknown_suites = hello_of(&world);
    let suites = 5 + 4 + 2 + 32 + 1 + usize::from(unknown_suites[5 + 4 + 2 + 32]);
    let len = usize::from(u16::from_be_bytes([unknown_suites[suites], unknown_suites[suites + 1]]));
    unknown_suites[suites + 2..suites + 2 + len].fill(0xfa);
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()).starts_with("TLS_ECDHE_RSA"));
    assert!(!provider.cipher_suites.is_empty());
    let config = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&TLS12]);
    let config = config.expect("suites of this version").with_root_certificates(RootCertStore::empty());
    let rsa_only = first_flight(Arc::new(config.with_no_client_auth()));
    for hello in [unknown_suites, rsa_only] {
        let mut socket = Socket::connect(world.tls_address());
        socket.write(&hello);
        let mut heard = Vec::new();
        let _ = socket.wire().read_to_end(&mut heard);
        assert_eq!(heard, [0x15, 3, 3, 0, 2, 2, 40]);
    }
    world.wait_for_closes("tls_failed", 2);
}

#[test]
fn what_is_neither_ends_the_connection_and_no_other() {
    let world = World::new(&["--handshake-timeout", "500ms"]);
    let mut bystander = world.websocket("/echo");
    let hello = hello_of(&world);
    let mut broken = hello.clone();
    broken[9] ^= 0xff;
    let endless = [&[0x16, 3, 1, 0x40, 0][..], &vec![7; 20_000]].concat();
    let many = b"\x16\x03\x01\x00\x01\x01".repeat(100);
    for (name, octets) in [
        ("nothing", vec![]),
        ("zeros", vec![0; 100]),
        ("a small letter", b"get / HTTP/1.1\r\n\r\n".to_vec()),
        ("a PROXY header", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n".to_vec()),
        ("half a hello", hello[..hello.len() / 2].to_vec()),
        ("a broken hello", broken),
        ("a hello and garbage", [&hello[..], &[0x17, 3, 3, 0, 4, 1, 2, 3, 4]].concat()),
        ("two hellos", [&hello[..], &hello[..]].concat()),
        ("a record that is too long", endless),
        ("a hello in many records, of nothing", many),
        ("an alert", vec![0x15, 3, 3, 0, 2, 2, 40]),
        ("data without a handshake", vec![0x17, 3, 3, 0, 2, 2, 40]),
    ] {
        let mut socket = Socket::connect(world.tls_address());
        socket.write(&octets);
        // It hangs up, at the latest when the handshake took too long.
        let mut heard = Vec::new();
        let _ = socket.wire().read_to_end(&mut heard);
        assert!(heard.first().is_none_or(|first| [0x14, 0x15, 0x16].contains(first)), "{name}: {heard:?}");
        assert_echo(&mut bystander, name);
    }
    assert!(world.metric("fanwire_tls_failed_total") >= 6);
    world.wait_for_closes("bad_proxy_header", 1);
}

#[test]
fn a_record_that_was_tampered_with_ends_the_session_behind_what_came_before() {
    let world = World::new(&[]);
    let mut socket = world.websocket("/echo");
    assert_echo(&mut socket, "good");
    let mut reader = world.websocket("/raw/t?last=0");
    reader.send(Frame::ping("")).expect_pong("");
    let mut publisher = world.websocket("/raw/t?last=0");
    publisher.send(Frame::text("heard"));
    let forged = [0x17, 3, 3, 0, 20].into_iter().chain([9; 20]).collect::<Vec<u8>>();
    std::io::Write::write_all(&mut publisher.wire().socket(), &forged).expect("the gateway reads");
    reader.expect_text("heard");
    let mut rest = Vec::new();
    assert!(publisher.wire().read_to_end(&mut rest).is_err(), "a fatal alert");
    assert_echo(&mut socket, "still there");
    world.wait_for_closes("tls_failed", 1);
}

/// The first record of a client, as it goes over the wire.
fn hello_of(world: &World) -> Vec<u8> {
    first_flight(world.client())
}

fn first_flight(config: Arc<ClientConfig>) -> Vec<u8> {
    let name = "localhost".try_into().expect("a name");
    let mut client = rustls::ClientConnection::new(config, name).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("a vector takes all");
    hello
}
