//! Proxies before the gateway: PROXY headers, `X-Forwarded-For`, a socket file.

use std::path::Path;
use std::process::Stdio;

use crate::common::authority::Folder;
use crate::common::{Frame, Gateway, Socket, Wire, program};
use crate::{World, assert_echo, connect_tls, metric, wait_for};

const TRUSTED: [&str; 2] = ["--proxy-trusted", "127.0.0.0/8"];
const ONE_EACH: [&str; 2] = ["--connections-per-ip-max", "1"];

/// An opening handshake that a proxy passed on.
fn forwarded(target: &str, list: &str) -> String {
    Socket::handshake(target).replacen("\r\n", &format!("\r\nX-Forwarded-For: {list}\r\n"), 1)
}

fn header(client: &str) -> String {
    format!("PROXY TCP4 {client} 192.0.2.1 4711 443\r\n")
}

fn binary_header(client: [u8; 4]) -> Vec<u8> {
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"[..], &client, &[192, 0, 2, 1, 1, 2, 3, 4]].concat()
}

#[test]
fn clients_behind_a_proxy_are_counted_by_their_own_address() {
    let gateway = Gateway::start(&[&TRUSTED[..], &ONE_EACH].concat());
    let upgrade = |list: &str, status: u16| {
        let mut socket = gateway.connect();
        socket.write(forwarded("/echo", list)).expect_http_status(status);
        socket
    };
    let mut first = upgrade("1.1.1.1, 203.0.113.1", 101);
    let _second = upgrade("203.0.113.2, 127.0.0.9", 101);
    upgrade("203.0.113.1", 429).expect_end();
    upgrade("9.9.9.9, 203.0.113.2", 429).expect_end();
    // The proxy's own requests are counted for nobody.
    for _ in 0..3 {
        gateway.connect().write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect_http_status(200);
    }
    first.expect_close_of_ours();
    let mut again = gateway.connect();
    loop {
        let response = again.write(forwarded("/echo", "203.0.113.1")).expect_http_status_of(&[101, 429]);
        if response.status == 101 {
            break;
        }
        again = gateway.connect();
    }
}

#[test]
fn readers_over_http_behind_a_proxy_are_counted_as_those_over_websocket() {
    let gateway = Gateway::start(&[&TRUSTED[..], &ONE_EACH].concat());
    let ask = |socket: &mut Socket, target: &str, client: &[u8]| {
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: ");
        socket.write([head.as_bytes(), client, b"\r\n\r\n"].concat());
    };
    for (target, client) in [
        ("/sse?topic=a", "203.0.113.1"),
        ("/stream?topic=a", "203.0.113.2"),
        ("/poll?topic=a&timeout=60s", "203.0.113.3"),
        ("/stream?topic=a", "2001:db8::1"),
    ] {
        let mut reader = gateway.connect();
        ask(&mut reader, target, client.as_bytes());
        // It is counted when it is answered; a poll waits, and only others can see that it does.
        match target.starts_with("/poll") {
            true => wait_for(|| {
                metric(gateway.address(), "fanwire_connections{shard=\"0\",transport=\"poll\"}")
                    + metric(gateway.address(), "fanwire_connections{shard=\"1\",transport=\"poll\"}")
                    == 1
            }),
            false => assert_eq!(reader.read_response(false).status, 200),
        }
        for again in ["/sse?topic=a", "/stream?topic=a", "/poll?topic=a&timeout=0s"] {
            // All 64 bits behind a network are one client's.
            let client = client.replace("db8::1", "db8::2");
            let mut other = gateway.connect();
            ask(&mut other, again, client.as_bytes());
            other.expect_http_status(429);
        }
        gateway.connect().write(forwarded("/echo", client)).expect_http_status(429);
    }
    // A connection of the proxy brings one client's poll behind another's.
    let mut shared = gateway.connect();
    for client in ["203.0.113.7", "203.0.113.8", "203.0.113.7", "203.0.113.7"] {
        ask(&mut shared, "/poll?topic=quiet&timeout=0s", client.as_bytes());
        shared.expect_http_status(204);
    }
    let mut other = gateway.connect();
    ask(&mut other, "/poll?topic=quiet&timeout=0s", b"203.0.113.7");
    other.expect_http_status(204);
    // Clients whose last hop cannot be read count as one client. The hops before it are not believed.
    let mut unread = gateway.connect();
    ask(&mut unread, "/stream?topic=a", b"203.0.113.9, \xe9");
    assert_eq!(unread.read_response(false).status, 200);
    for (client, status) in [(&b"\xff"[..], 429), (b"203.0.113.10, unknown", 429), (b"\xe9, 203.0.113.10", 101)] {
        let handshake = forwarded("/echo", "CLIENT").into_bytes();
        let at = handshake.windows(6).position(|six| six == b"CLIENT").expect("the list");
        let octets = [&handshake[..at], client, &handshake[at + 6..]].concat();
        gateway.connect().write(octets).expect_http_status(status);
    }
}

#[test]
fn nobody_believes_a_client_about_itself() {
    let gateway = Gateway::start(&[&["--proxy-trusted", "10.0.0.0/8"][..], &ONE_EACH].concat());
    let mut socket = gateway.connect();
    socket.write(forwarded("/echo", "203.0.113.1")).expect_http_status(101);
    let mut other = gateway.connect();
    other.write(forwarded("/echo", "203.0.113.2")).expect_http_status(429);
    assert_echo(&mut socket, "still there");
}

#[test]
fn a_proxy_header_of_either_version_says_whose_connection_it_is() {
    let arguments = [&TRUSTED[..], &ONE_EACH, &["--proxy-protocol", "v1v2"]].concat();
    let world = World::new(&arguments);
    let mut held = Vec::new();
    for (octets, status) in [
        (header("203.0.113.1").into_bytes(), 101),
        (binary_header([203, 0, 113, 1]), 429),
        (binary_header([203, 0, 113, 2]), 101),
        (header("203.0.113.2").into_bytes(), 429),
        // A proxy that speaks for itself, as in its health checks.
        (b"PROXY UNKNOWN\r\n".to_vec(), 101),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00".to_vec(), 101),
    ] {
        let mut socket = Socket::connect(world.plain_address());
        // In one piece, octet by octet, and with the request right behind.
        match held.len() % 3 {
            0 => socket.write(&octets).write(Socket::handshake("/echo")),
            1 => socket.write_in_pieces(&octets, 1).write(Socket::handshake("/echo")),
            _ => socket.write([&octets, Socket::handshake("/echo").as_bytes()].concat()),
        };
        socket.expect_http_status(status);
        held.push(socket);
    }
}

#[test]
fn under_tls_the_header_comes_first() {
    let world = World::new(&[&TRUSTED[..], &["--proxy-protocol", "v1v2"]].concat());
    for piece_len in [1, 1_000] {
        let stream = std::net::TcpStream::connect(world.tls_address()).expect("the gateway accepts");
        let mut socket = Socket::over(Wire::Plain(stream.try_clone().expect("a handle")));
        socket.write_in_pieces(header("203.0.113.1"), piece_len);
        let mut socket = Socket::over(Wire::tls(stream, &world.client(), "localhost"));
        socket.open("/echo");
        assert_echo(&mut socket, "under both");
    }
}

#[test]
fn a_header_is_wanted_of_proxies_and_of_nobody_else() {
    let world = World::new(&[&TRUSTED[..], &["--proxy-protocol", "v1v2"]].concat());
    let refused = |octets: &[u8]| {
        let mut socket = Socket::connect(world.plain_address());
        socket.write(octets);
        socket.expect_end();
    };
    refused(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    refused(b"PROXY TCP4 nobody 192.0.2.1 4711 443\r\n");
    refused(&[b'P', b'R', b'O', b'X', b'Y', b' '].into_iter().chain([b'x'; 200]).collect::<Vec<u8>>());
    refused(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff");

    let world = World::new(&["--proxy-trusted", "10.0.0.0/8", "--proxy-protocol", "v1v2"]);
    let mut socket = Socket::connect(world.plain_address());
    let response = socket.write(header("203.0.113.1")).expect_http_status(400);
    assert!(response.text().contains("not trusted as a proxy"), "{}", response.text());
    socket.expect_end();
    let mut socket = Socket::connect(world.plain_address());
    let response = socket.write(binary_header([1, 2, 3, 4])).expect_http_status(400);
    assert!(response.text().contains("not trusted as a proxy"), "{}", response.text());
    let mut direct = connect_tls(world.tls_address(), &world.client(), "localhost");
    direct.open("/echo");
    world.wait_for_closes("bad_proxy_header", 2);
}

#[test]
fn a_socket_file_serves_all_shards_and_goes_with_the_gateway() {
    let folder = Folder::new();
    let path = folder.file("fanwire.sock");
    // The file that a killed gateway leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("the folder is ours"));
    let place = format!("unix:{path}");
    let arguments = ["--listen", &place, "--shards", "3", "--proxy-trusted", "unix:", "--connections-per-ip-max", "1"];
    let mut gateway = Gateway::start(&arguments);
    let mut readers: Vec<Socket> = (0..30)
        .map(|client| {
            let mut socket = Socket::over(Wire::unix(Path::new(&path)));
            socket.write(forwarded("/raw/file?last=0", &format!("203.0.113.{client}"))).expect_http_status(101);
            socket.send(Frame::ping("")).expect_pong("");
            socket
        })
        .collect();
    let mut refused = Socket::over(Wire::unix(Path::new(&path)));
    refused.write(forwarded("/raw/file", "203.0.113.7")).expect_http_status(429);
    let body = "z".repeat(900_000);
    let mut publisher = Socket::over(Wire::unix(Path::new(&path)));
    publisher.write(format!(
        "POST /publish/file HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    publisher.expect_http_status(200);
    for reader in &mut readers {
        reader.expect_text(&body);
    }

    let second =
        program().args(["serve", "--listen", &place]).stdout(Stdio::null()).output().expect("the program starts");
    let err = String::from_utf8(second.stderr).expect("text");
    assert_eq!(second.status.code(), Some(2), "{err}");
    assert!(err.starts_with(&format!("fanwire: cannot listen on {path}: ")) && err.lines().count() == 1, "{err}");
    assert!(Path::new(&path).exists(), "who was refused leaves the file alone");

    gateway.terminate();
    drop(readers);
    assert!(gateway.wait().success());
    assert!(!Path::new(&path).exists(), "the file goes with the gateway");
}

impl Socket {
    /// We say farewell, and the gateway answers and ends the stream.
    fn expect_close_of_ours(&mut self) {
        self.send(Frame::close(1000, ""));
        assert_eq!(self.expect_close_frame(), Some(1000));
        self.expect_end();
    }
}
