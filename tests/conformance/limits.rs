//! Large messages, and the bound of one. Autobahn 9.

use super::fragmentation::fragments;
use crate::common::{Frame, Length, Opcode};
use crate::{Case, case, echo};

/// The default of `message_len_max`.
const MESSAGE_LEN_MAX: usize = 1024 * 1024;

pub fn cases() -> Vec<Case> {
    [within(), past()].into_iter().flatten().collect()
}

fn within() -> Vec<Case> {
    let mut cases = Vec::new();
    for kib in [64, 256, 512, 1024] {
        cases.push(echo("Autobahn 9.1, 9.2", format!("{kib} KiB come back as text and as binary"), move |socket| {
            let text = "*".repeat(kib * 1024);
            socket.send(Frame::text(&text)).expect_text(&text);
            let payload: Vec<u8> = (0..kib * 1024).map(|at| (at ^ at >> 8) as u8).collect();
            socket.send(Frame::binary(&payload)).expect_binary(&payload);
        }));
    }
    for len in [64, 256, 1024, 4096, 16_384, 65_536, 262_144] {
        cases.push(echo(
            "Autobahn 9.3, 9.4",
            format!("1 MiB in fragments of {len} octets comes back"),
            move |socket| {
                let payload: Vec<u8> = (0..MESSAGE_LEN_MAX).map(|at| (at % 251) as u8).collect();
                socket.send_all(&fragments(Opcode::BINARY, &payload, len)).expect_binary(&payload);
            },
        ));
    }
    for len in [64, 1024, 4093] {
        cases.push(echo(
            "Autobahn 9.5, 9.6",
            format!("128 KiB in segments of {len} octets come back"),
            move |socket| {
                let text = "ä".repeat(64 * 1024);
                socket.write_in_pieces(Frame::text(&text).encode(), len).expect_text(&text);
            },
        ));
    }
    cases.extend([
        echo("Autobahn 9.7, 9.8", "a thousand round trips of a few octets each", |socket| {
            for number in 0..1000 {
                let text = format!("{number:>16}");
                socket.send(Frame::text(&text)).expect_text(&text);
            }
        }),
        echo("5.4", "a ping inside a message of the full length is answered before its end", |socket| {
            let payload = vec![7; MESSAGE_LEN_MAX];
            let mut frames = fragments(Opcode::BINARY, &payload, MESSAGE_LEN_MAX / 2);
            frames.insert(1, Frame::ping("ping"));
            socket.send_all(&frames).expect_pong("ping").expect_binary(&payload);
        }),
        case("10.4", "a message of the full length reaches the readers of its topic", |gateway| {
            let text = "*".repeat(MESSAGE_LEN_MAX);
            let mut reader = gateway.websocket("/raw/judge.limits?last=0");
            gateway.websocket("/raw/judge.limits?echo=0&last=0").send(Frame::text(&text));
            reader.expect_text(&text);
        }),
    ]);
    cases
}

fn past() -> Vec<Case> {
    let mut cases = Vec::new();
    for target in ["/echo", "/raw/judge.limits.past?last=0", "/ws"] {
        let path = target.split('?').next().unwrap_or(target);
        cases.extend([
            case("7.4.1", format!("one octet too many on {path} is too big"), move |gateway| {
                gateway.websocket(target).send(Frame::text("*".repeat(MESSAGE_LEN_MAX + 1))).expect_close(1009);
            }),
            case("7.4.1", format!("one octet too many in the last fragment on {path} is too big"), move |gateway| {
                let frames = fragments(Opcode::TEXT, &[b'*'; MESSAGE_LEN_MAX + 1], MESSAGE_LEN_MAX / 4);
                gateway.websocket(target).send_all(&frames).expect_close(1009);
            }),
        ]);
    }
    for len in [MESSAGE_LEN_MAX as u64 + 1, 1 << 32, i64::MAX as u64] {
        cases.push(echo("10.4", format!("a frame of {len} octets is too big by its header alone"), move |socket| {
            socket.write(Frame::binary("").with_length(Length::Declared(len)).encode_header()).expect_close(1009);
        }));
    }
    cases.extend([
        echo("10.4", "fragments are too big by the last one's header alone", |socket| {
            socket.send(Frame::binary(vec![0; MESSAGE_LEN_MAX]).unfinished());
            let last = Frame::continuation("").with_length(Length::Declared(i64::MAX as u64));
            socket.write(last.encode_header()).expect_close(1009);
        }),
        echo("10.4", "one octet behind an unfinished message of the full length is too big", |socket| {
            socket.send(Frame::binary(vec![0; MESSAGE_LEN_MAX]).unfinished());
            socket.send(Frame::continuation("x").unfinished()).expect_close(1009);
        }),
        echo("10.4", "what was said before a message that is too big is answered", |socket| {
            let big = Frame::binary("").with_length(Length::Declared(1 << 40));
            socket.write([Frame::text("good").encode(), big.encode_header()].concat());
            socket.expect_text("good").expect_close(1009);
        }),
    ]);
    cases
}
