//! Peers that are gone between any two octets, in order or with a reset.

use crate::common::{Frame, Gateway, Socket};
use crate::{Case, case};

/// How a peer leaves.
type Leave = fn(Socket);

const WAYS: [(&str, Leave); 3] = [
    ("closes", |socket| drop(socket)),
    ("resets", Socket::abort),
    ("half-closes and waits", |mut socket| {
        socket.finish();
        while socket.has_more() {
            socket.forget();
        }
    }),
];

pub fn cases() -> Vec<Case> {
    let echo = [Frame::text("one ").unfinished(), Frame::ping("ping"), Frame::continuation("two")];
    let raw = [Frame::text("published"), Frame::close(1000, "")];
    let json = [Frame::text(r#"{"op":"sub","topics":["judge.vanishing","judge.vanishing.*"],"id":1}"#)];
    let chunked = "POST /publish/judge.vanishing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n";
    let conversations = [
        ("an echo", conversation("/echo", &echo)),
        ("a raw feed", conversation("/raw/judge.vanishing", &raw)),
        ("a subscription", conversation("/ws", &json)),
        ("a chunked publication", chunked.as_bytes().to_vec()),
    ];
    let mut cases = Vec::new();
    for (what, octets) in conversations {
        for (how, leave) in WAYS {
            let octets = octets.clone();
            cases.push(case("7.1.4", format!("a peer {how} after any number of octets of {what}"), move |gateway| {
                leave_everywhere(gateway, &octets, leave);
            }));
        }
    }
    cases.extend([
        case("7.1.4", "readers that vanish without reading do not keep their topic from the others", |gateway| {
            let mut stays = gateway.websocket("/raw/judge.gone?last=0");
            for _ in 0..20 {
                gateway.websocket("/raw/judge.gone?last=0").abort();
            }
            stays.send(Frame::text("still here")).expect_text("still here");
        }),
        case("7.1.4", "peers that vanish with a megabyte on its way to them are forgotten", |gateway| {
            for _ in 0..10 {
                let mut socket = gateway.websocket("/echo");
                socket.send(Frame::binary(vec![7; 1024 * 1024]));
                socket.abort();
            }
        }),
    ]);
    cases
}

fn conversation(target: &str, frames: &[Frame]) -> Vec<u8> {
    [Socket::handshake(target).into_bytes(), frames.iter().flat_map(Frame::encode).collect()].concat()
}

/// One peer for each number of octets, all of them there at the same time.
fn leave_everywhere(gateway: &Gateway, octets: &[u8], leave: Leave) {
    for ends in (0..=octets.len()).collect::<Vec<_>>().chunks(64) {
        let talking = ends.iter().map(|&end| {
            let mut socket = gateway.connect();
            socket.write(&octets[..end]);
            socket
        });
        talking.collect::<Vec<_>>().into_iter().for_each(leave);
    }
}
