//! Frames: lengths, masking, reserved bits, opcodes. Autobahn 1, 3 and 4.

use crate::common::{Frame, Length, Opcode};
use crate::{Case, echo};

pub fn cases() -> Vec<Case> {
    [lengths(), masking(), reserved_bits(), opcodes()].into_iter().flatten().collect()
}

fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    for len in [0, 1, 125, 126, 127, 128, 65_535, 65_536] {
        // Octet by octet where it is short, else in pieces that fit no boundary.
        let piece_len = if len < 1000 { 1 } else { 997 };
        cases.extend([
            echo("Autobahn 1.1", format!("a text of {len} octets comes back"), move |socket| {
                let text = "*".repeat(len);
                socket.send(Frame::text(&text)).expect_text(&text);
                socket.write_in_pieces(Frame::text(&text).encode(), piece_len).expect_text(&text);
            }),
            echo("Autobahn 1.2", format!("a binary message of {len} octets comes back"), move |socket| {
                let payload: Vec<u8> = (0..len).map(|at| (at * 7 + at / 256) as u8).collect();
                socket.send(Frame::binary(&payload)).expect_binary(&payload);
                socket.write_in_pieces(Frame::binary(&payload).encode(), piece_len).expect_binary(&payload);
            }),
        ]);
    }
    for (len, form) in [(0, Length::In16), (125, Length::In16), (0, Length::In64), (126, Length::In64)]
        .into_iter()
        .chain([(65_535, Length::In64)])
    {
        cases.push(echo("5.2", format!("a length of {len} written {form:?} is a protocol error"), move |socket| {
            socket.send(Frame::binary(vec![0; len]).with_length(form)).expect_close(1002);
        }));
    }
    cases.extend([
        echo("5.2", "a 64-bit length with its first bit set is a protocol error", |socket| {
            socket.send(Frame::binary("").with_length(Length::Declared(1 << 63))).expect_close(1002);
        }),
        echo("5.2", "a ping with its length in 64 bits is a protocol error", |socket| {
            socket.send(Frame::ping("").with_length(Length::In64)).expect_close(1002);
        }),
        echo("5.2", "a thousand messages in one segment come back in order", |socket| {
            let frames: Vec<_> = (0..1000).map(|number| Frame::text(format!("{number}"))).collect();
            socket.send_all(&frames);
            for number in 0..1000 {
                socket.expect_text(number.to_string());
            }
        }),
        echo("5.6", "text comes back as text and binary as binary", |socket| {
            socket.send_all(&[Frame::text("a"), Frame::binary("a"), Frame::text("a")]);
            socket.expect_text("a").expect_binary("a").expect_text("a");
        }),
    ]);
    cases
}

fn masking() -> Vec<Case> {
    let frames = [
        ("text", Frame::text("hello")),
        ("empty text", Frame::text("")),
        ("binary", Frame::binary(vec![7; 70_000])),
        ("ping", Frame::ping("hello")),
        ("pong", Frame::pong("")),
        ("close", Frame::close(1000, "")),
    ];
    let mut cases: Vec<_> = frames
        .into_iter()
        .map(|(name, frame)| {
            echo("5.1", format!("an unmasked {name} frame is a protocol error"), move |socket| {
                socket.send(frame.clone().unmasked()).expect_close(1002);
            })
        })
        .collect();
    cases.extend([
        echo("5.1", "an unmasked frame behind a good one is a protocol error, and the good one is served", |socket| {
            socket.send_all(&[Frame::text("good"), Frame::text("bad").unmasked(), Frame::ping("unheard")]);
            socket.expect_text("good").expect_close(1002);
        }),
        echo("5.1", "an unmasked continuation is a protocol error", |socket| {
            socket.send_all(&[Frame::text("a").unfinished(), Frame::continuation("b").unmasked()]).expect_close(1002);
        }),
        echo("5.3", "any masking key will do, zero too, and a new one for each frame", |socket| {
            for key in [[0; 4], [0xff; 4], [0, 0, 0, 1], [0x80, 0, 0, 0], *b"abcd"] {
                let payload: Vec<u8> = (0..=255).collect();
                socket.send(Frame::binary(&payload).with_masking_key(key)).expect_binary(&payload);
            }
        }),
        echo("5.3", "a payload of any length and start is unmasked whole", |socket| {
            for len in 0..200 {
                let text: String = ('a'..='z').cycle().take(len).collect();
                socket.send_all(&[Frame::text(&text), Frame::text("x")]).expect_text(&text).expect_text("x");
            }
        }),
        echo("5.3", "a payload is unmasked right wherever it is torn", |socket| {
            let octets = Frame::text("The quick brown fox jumps over the lazy dog.").encode();
            for at in 1..octets.len() {
                socket.write(&octets[..at]).write(&octets[at..]);
                socket.expect_text("The quick brown fox jumps over the lazy dog.");
            }
        }),
    ]);
    cases
}

fn reserved_bits() -> Vec<Case> {
    let mut cases = Vec::new();
    for rsv in 1..8 {
        cases.push(echo("5.2, Autobahn 3", format!("reserved bits {rsv:03b} in a text are refused"), move |socket| {
            let frames = [Frame::text("good"), Frame::text("bad").with_rsv(rsv), Frame::ping("unheard")];
            socket.send_all(&frames).expect_text("good").expect_close(1002);
        }));
        cases.push(echo("5.2, Autobahn 3", format!("reserved bits {rsv:03b} one octet at a time"), move |socket| {
            socket.write_in_pieces(Frame::binary("bad").with_rsv(rsv).encode(), 1).expect_close(1002);
        }));
    }
    for (name, opcode) in [("continuation", 0x0), ("ping", 0x9), ("pong", 0xA), ("close", 0x8)] {
        cases.push(echo("5.2, Autobahn 3", format!("a reserved bit in a {name} frame is refused"), move |socket| {
            if opcode == 0 {
                socket.send(Frame::text("begun").unfinished());
            }
            socket.send(Frame::new(Opcode(opcode), "").with_rsv(4)).expect_close(1002);
        }));
    }
    cases
}

fn opcodes() -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        cases.push(echo("5.2, Autobahn 4", format!("the reserved opcode {opcode:#x} is refused"), move |socket| {
            let frames = [Frame::text("good"), Frame::new(Opcode(opcode), ""), Frame::ping("unheard")];
            socket.send_all(&frames).expect_text("good").expect_close(1002);
        }));
        cases.push(echo("5.2, Autobahn 4", format!("{opcode:#x} with a payload, torn, is refused"), move |socket| {
            socket.write_in_pieces(Frame::new(Opcode(opcode), "payload").encode(), 1).expect_close(1002);
        }));
    }
    cases
}
