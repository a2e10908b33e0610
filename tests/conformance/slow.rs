//! Peers that take their time: the gateway was told to wait 300 ms for anything, and how long it really takes is not
//! looked at.

use crate::common::{Frame, Socket};
use crate::{Case, case};

pub fn cases() -> Vec<Case> {
    let ended = |name: &str, octets: &'static [u8]| {
        case("10.4", format!("a peer that {name} is disconnected"), move |gateway| {
            let mut socket = gateway.connect();
            socket.write(octets);
            if socket.has_more() {
                socket.expect_http_status(408);
            }
            socket.expect_end();
        })
    };
    vec![
        ended("says nothing", b""),
        ended("says one octet", b"G"),
        ended("stops inside the request line", b"GET /ec"),
        ended("stops inside a field", b"GET /echo HTTP/1.1\r\nHost: loc"),
        ended("stops before the last line end", b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r"),
        ended("sends empty lines only", b"\r\n"),
        ended("stops before a body", b"POST /publish/judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"),
        ended(
            "stops inside a body",
            b"POST /publish/judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhell",
        ),
        ended(
            "stops inside a chunk",
            b"POST /publish/judge HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        ),
        ended(
            "stops inside the trailers",
            b"POST /publish/judge HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
        ),
        case("10.4", "a peer that has no further request is disconnected", |gateway| {
            let mut socket = gateway.connect();
            socket.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect_http_status(200);
            socket.expect_end();
        }),
        case("7.1.1", "a peer that does not answer a close frame is left", |gateway| {
            let mut socket = gateway.websocket("/echo");
            assert_eq!(socket.send(Frame::text("bad").unmasked()).expect_close_frame(), Some(1002));
            socket.expect_end();
        }),
        case("7.1.1", "a peer that answers a close frame and does not end its stream is left", |gateway| {
            let mut socket = gateway.websocket("/echo");
            socket.send(Frame::close(1000, "")).expect_close(1000);
        }),
        case("10.4", "a peer that drips octets without an end is disconnected", |gateway| {
            let mut socket = gateway.connect();
            socket.write("GET /echo HTTP/1.1\r\nX: ").drip(b'x');
        }),
        case("10.4", "a peer that drips a body without an end is disconnected", |gateway| {
            let mut socket = gateway.connect();
            socket
                .write("POST /publish/judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
                .drip(b'x');
        }),
        case("10.4", "a hundred slow peers do not keep a quick one waiting", |gateway| {
            let mut slow: Vec<Socket> = (0..100).map(|_| gateway.connect()).collect();
            for socket in &mut slow {
                socket.write("GET /echo HTTP/1.1\r\n");
            }
            gateway.websocket("/echo").send(Frame::text("quick")).expect_text("quick");
            for socket in &mut slow {
                if socket.has_more() {
                    socket.expect_http_status(408);
                }
                socket.expect_end();
            }
        }),
        case("10.4", "a connection past its handshake outlives the time for one", |gateway| {
            let mut open = gateway.websocket("/echo");
            let mut slow = gateway.connect();
            slow.has_more();
            open.send(Frame::text("still here")).expect_text("still here");
        }),
    ]
}
