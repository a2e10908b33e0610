//! Messages in fragments, and control frames between them. Autobahn 5 and 10.

use crate::common::{Frame, Opcode};
use crate::{Case, echo};

/// One message in fragments of `len` octets.
pub fn fragments(opcode: Opcode, payload: &[u8], len: usize) -> Vec<Frame> {
    let mut frames: Vec<_> = payload.chunks(len).map(|piece| Frame::continuation(piece).unfinished()).collect();
    if let Some(first) = frames.first_mut() {
        first.opcode = opcode;
    }
    if let Some(last) = frames.last_mut() {
        last.fin = true;
    }
    frames
}

pub fn cases() -> Vec<Case> {
    [whole(), broken(), many()].into_iter().flatten().collect()
}

fn whole() -> Vec<Case> {
    let begun = || Frame::text("one ").unfinished();
    vec![
        echo("5.4, Autobahn 5.3", "two fragments are one message", move |socket| {
            socket.send_all(&[begun(), Frame::continuation("two")]).expect_text("one two");
        }),
        echo("5.4, Autobahn 5.4", "two fragments in two segments are one message", move |socket| {
            socket.send(begun()).send(Frame::continuation("two")).expect_text("one two");
        }),
        echo("5.4, Autobahn 5.5", "two fragments octet by octet are one message", move |socket| {
            let octets = [begun().encode(), Frame::continuation("two").encode()].concat();
            socket.write_in_pieces(octets, 1).expect_text("one two");
        }),
        echo("5.4, Autobahn 5.6", "a ping between fragments is answered at once", move |socket| {
            socket.send(begun()).send(Frame::ping("ping")).expect_pong("ping");
            socket.send(Frame::continuation("two")).expect_text("one two");
        }),
        echo("5.4, Autobahn 5.7", "a ping between fragments in one segment is answered first", move |socket| {
            socket.send_all(&[begun(), Frame::ping("ping"), Frame::continuation("two")]);
            socket.expect_pong("ping").expect_text("one two");
        }),
        echo("5.4, Autobahn 5.8", "a ping between fragments octet by octet is answered first", move |socket| {
            for frame in [begun(), Frame::ping("ping"), Frame::continuation("two")] {
                socket.write_in_pieces(frame.encode(), 1);
            }
            socket.expect_pong("ping").expect_text("one two");
        }),
        echo("5.4, Autobahn 5.19", "pings among five fragments are answered, and the message is whole", |socket| {
            let more = |text: &str| Frame::continuation(text).unfinished();
            socket.send_all(&[Frame::text("fragment1").unfinished(), more("fragment2"), Frame::ping("ping 1")]);
            socket.expect_pong("ping 1");
            socket.send_all(&[more("fragment3"), more("fragment4"), Frame::ping("ping 2")]);
            socket.expect_pong("ping 2");
            socket.send(Frame::continuation("fragment5"));
            socket.expect_text("fragment1fragment2fragment3fragment4fragment5");
        }),
        echo("5.4", "a pong between fragments changes nothing", move |socket| {
            socket.send_all(&[begun(), Frame::pong("pong"), Frame::continuation("two")]).expect_text("one two");
        }),
        echo("5.4", "a binary message in fragments stays binary", |socket| {
            let payload: Vec<u8> = (0..=255).collect();
            socket.send_all(&fragments(Opcode::BINARY, &payload, 3)).expect_binary(&payload);
        }),
        echo("5.4, Autobahn 6.1", "fragments may be empty, each of them", |socket| {
            let empty = || Frame::continuation("").unfinished();
            socket.send_all(&[Frame::text("").unfinished(), empty(), Frame::continuation("")]).expect_text("");
            socket.send_all(&[Frame::text("").unfinished(), empty(), Frame::continuation("last")]).expect_text("last");
            socket.send_all(&[Frame::text("first").unfinished(), empty(), Frame::continuation("")]);
            socket.expect_text("first");
        }),
        echo("5.4", "fragments with keys of their own are unmasked each by its own", |socket| {
            let first = Frame::text("abcde").unfinished().with_masking_key([1, 2, 3, 4]);
            let last = Frame::continuation("fghij").with_masking_key([0xf5, 0xe6, 0xd7, 0xc8]);
            socket.send_all(&[first, last]).expect_text("abcdefghij");
        }),
        echo("5.4", "fragmented messages follow one another", |socket| {
            for number in 0..20 {
                let text = format!("message number {number}");
                socket.send_all(&fragments(Opcode::TEXT, text.as_bytes(), 1 + number)).expect_text(&text);
            }
        }),
    ]
}

fn broken() -> Vec<Case> {
    vec![
        echo("5.4, Autobahn 5.9", "a continuation of nothing is a protocol error", |socket| {
            socket.send_all(&[Frame::continuation("of nothing"), Frame::text("unheard")]).expect_close(1002);
        }),
        echo("5.4, Autobahn 5.12", "an unfinished continuation of nothing is a protocol error", |socket| {
            socket.send(Frame::continuation("of nothing").unfinished()).expect_close(1002);
        }),
        echo("5.4, Autobahn 5.15", "a continuation behind a whole message is a protocol error", |socket| {
            let whole = [Frame::text("one ").unfinished(), Frame::continuation("two")];
            socket.send_all(&whole).send(Frame::continuation("three"));
            socket.expect_text("one two").expect_close(1002);
        }),
        echo("5.4, Autobahn 5.18", "a new text inside a message is a protocol error", |socket| {
            socket.send_all(&[Frame::text("one ").unfinished(), Frame::text("two")]).expect_close(1002);
        }),
        echo("5.4", "a new binary fragment inside a message is a protocol error", |socket| {
            socket.send_all(&[Frame::text("one ").unfinished(), Frame::binary("two").unfinished()]).expect_close(1002);
        }),
        echo("5.4", "a new text behind a ping inside a message is a protocol error", |socket| {
            socket.send_all(&[Frame::binary("one ").unfinished(), Frame::ping("ping"), Frame::text("two")]);
            socket.expect_pong("ping").expect_close(1002);
        }),
        echo("5.5.1", "a close frame between fragments closes, and the message is gone", |socket| {
            socket.send_all(&[Frame::text("one ").unfinished(), Frame::close(1000, "")]).expect_close(1000);
        }),
    ]
}

fn many() -> Vec<Case> {
    let mut cases = vec![
        echo("5.4", "65,537 fragments of one octet are one text", |socket| {
            let text = "x".repeat(65_537);
            socket.send_all(&fragments(Opcode::TEXT, text.as_bytes(), 1)).expect_text(&text);
        }),
        echo("5.4", "65,537 fragments of one octet are one binary message, pings between them too", |socket| {
            let payload: Vec<u8> = (0..65_537_u32).map(|at| at as u8).collect();
            let mut frames = fragments(Opcode::BINARY, &payload, 1);
            frames.insert(30_000, Frame::ping("first"));
            frames.insert(60_000, Frame::ping("second"));
            socket.send_all(&frames).expect_pong("first").expect_pong("second").expect_binary(&payload);
        }),
        echo("5.4", "a hundred thousand empty fragments are legal", |socket| {
            let mut frames = vec![Frame::continuation("").unfinished(); 100_000];
            frames[0] = Frame::text("").unfinished();
            frames.push(Frame::continuation("end"));
            socket.send_all(&frames).expect_text("end");
        }),
    ];
    for len in [64, 1300, 65_535] {
        cases.push(echo("Autobahn 10.1", format!("64 KiB in frames of {len} octets are one message"), move |socket| {
            let text = "*".repeat(65_536);
            socket.send_all(&fragments(Opcode::TEXT, text.as_bytes(), len)).expect_text(&text);
        }));
    }
    cases
}
