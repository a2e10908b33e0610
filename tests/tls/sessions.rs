//! Handshakes of every kind, and what is said over them.

use std::io::Read;
use std::sync::Arc;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};

use crate::common::authority::Authority;
use crate::common::{Frame, Socket, Wire};
use crate::{World, assert_echo};

/// ring makes no RSA keys; this one is for tests and nothing else.
const RSA_KEY: &str = include_str!("rsa_key_for_tests.pem");

#[test]
fn messages_of_every_size_come_back_with_every_kind_of_key_and_version() {
    let keys = [
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"),
        KeyPair::generate_for(&PKCS_ED25519).expect("a key"),
        KeyPair::from_pem_and_sign_algo(RSA_KEY, &PKCS_RSA_SHA256).expect("a key"),
    ];
    for key in keys {
        let authority = Authority::new();
        let issued = authority.issue_for(&["localhost"], key, (-1, 30));
        let world = World::with(authority, &issued, &[]);
        for version in [&TLS12, &TLS13] {
            let mut socket = world.connect_as(&world.authority.client(version, None), "localhost");
            socket.open("/echo");
            for len in [0, 1, 125, 126, 16_383, 16_384, 16_385, 65_536, 700_001] {
                let message: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
                socket.send(Frame::binary(&message)).expect_binary(&message);
            }
        }
    }
}

#[test]
fn a_farewell_ends_with_close_notify_and_so_does_a_last_response() {
    let world = World::new(&[]);
    for version in [&TLS12, &TLS13] {
        let config = world.authority.client(version, None);
        let mut socket = world.connect_as(&config, "localhost");
        socket.open("/echo");
        socket.send(Frame::close(1000, "done"));
        assert_eq!(socket.read_frame().opcode, crate::common::Opcode::CLOSE);
        // Without close_notify rustls calls the end of the stream an error.
        assert_eq!(socket.wire().read(&mut [0]).expect("an end that is no truncation"), 0);

        let mut socket = world.connect_as(&config, "localhost");
        socket.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        socket.expect_http_status(200);
        assert_eq!(socket.wire().read(&mut [0]).expect("an end that is no truncation"), 0);
    }
}

#[test]
fn a_client_that_has_said_close_notify_still_gets_its_answer() {
    let world = World::new(&[]);
    let mut socket = world.connect();
    socket.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").finish();
    socket.expect_http_status(200);
    socket.expect_orderly_end();
}

#[test]
fn a_second_connection_resumes_the_session_of_the_first() {
    for version in [&TLS12, &TLS13] {
        // Any shard takes the ticket of any other.
        let world = World::new(&["--shards", "4"]);
        let config = world.authority.client(version, None);
        let kinds: Vec<_> = (0..8).map(|_| kind_of_handshake(&world, &config)).collect();
        assert_eq!(kinds[0], HandshakeKind::Full, "{version:?}");
        assert!(kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{version:?}: {kinds:?}");
        assert_eq!(world.metric("fanwire_tls_handshakes_full_total"), 1);
        assert_eq!(world.metric("fanwire_tls_handshakes_resumed_total"), 7);
    }
}

fn kind_of_handshake(world: &World, config: &Arc<ClientConfig>) -> HandshakeKind {
    let mut socket = world.connect_as(config, "localhost");
    socket.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect_http_status(200);
    // To the end, so that tickets behind the answer are taken too.
    socket.expect_orderly_end();
    match socket.wire() {
        Wire::Tls(stream) => stream.conn.handshake_kind().expect("a handshake was made"),
        Wire::Plain(_) => panic!("it speaks TLS"),
    }
}

#[test]
fn readers_under_tls_and_without_hear_the_same_in_the_same_order() {
    let world = World::new(&["--shards", "2", "--outbox-len-max", "64MiB"]);
    let plain = |target: &str| {
        let mut socket = Socket::connect(world.plain_address());
        socket.open(target);
        socket
    };
    let mut readers: Vec<Socket> = (0..20).map(|_| world.websocket("/raw/many?last=0")).collect();
    readers.extend((0..20).map(|_| plain("/raw/many?last=0")));
    // A client with an answer to this has joined.
    for reader in &mut readers {
        reader.send(Frame::ping("there?")).expect_pong("there?");
    }
    let mut publisher = world.websocket("/raw/many?last=0&echo=0");
    let message = |number: usize| format!("{number} {}", "x".repeat(number * 997 % 70_000));
    for number in 0..100 {
        publisher.send(Frame::text(message(number)));
    }
    for reader in &mut readers {
        for number in 0..100 {
            reader.expect_text(message(number));
        }
    }
}

#[test]
fn a_reader_that_wakes_up_late_is_told_what_the_others_were() {
    let world = World::new(&["--outbox-len-max", "64MiB"]);
    let mut sleeper = world.websocket("/raw/late?last=0");
    sleeper.send(Frame::ping("")).expect_pong("");
    let mut publisher = world.connect();
    let body = "y".repeat(500_000);
    for number in 0..40 {
        let request =
            format!("POST /publish/late HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len() + 2);
        publisher.write(format!("{request}{number:02}{body}")).expect_http_status(200);
    }
    for number in 0..40 {
        sleeper.expect_text(format!("{number:02}{body}"));
    }
    assert_echo(&mut world.websocket("/echo"), "still there");
}

#[test]
fn a_message_as_long_as_the_outbox_does_not_make_who_reads_a_slow_reader() {
    let world = World::new(&["--shards", "2"]);
    let mut reader = world.websocket("/raw/long?last=0");
    reader.send(Frame::ping("")).expect_pong("");
    let mut writer = world.websocket("/raw/long?last=0&echo=0");
    let long = vec![7; 1024 * 1024];
    for _ in 0..5 {
        writer.send_all(&[Frame::text("before"), Frame::binary(&long), Frame::text("behind")]);
        reader.expect_text("before").expect_binary(&long).expect_text("behind");
    }
}

#[test]
fn a_shutdown_says_farewell_under_tls_too() {
    let mut world = World::new(&[]);
    let mut socket = world.websocket("/ws");
    world.gateway.terminate();
    let bye = socket.read_message().1;
    assert!(bye.starts_with(b"{\"op\":\"bye\""), "{}", String::from_utf8_lossy(&bye));
    socket.expect_close(1001);
    assert!(world.gateway.wait().success());
}
