//! Pings, pongs and the bounds of control frames. Autobahn 2.

use crate::common::{Frame, Length, Opcode};
use crate::{Case, echo};

const CONTROL: [(&str, Opcode); 3] = [("ping", Opcode::PING), ("pong", Opcode::PONG), ("close", Opcode::CLOSE)];

pub fn cases() -> Vec<Case> {
    let mut cases = pings();
    for (name, opcode) in CONTROL {
        // A close frame's payload begins with a code.
        let payload = move |len: usize| [&1000_u16.to_be_bytes()[..], &vec![b'x'; len - 2]].concat();
        cases.extend([
            echo("5.5", format!("a {name} frame of 126 octets is a protocol error"), move |socket| {
                socket.send(Frame::new(opcode, payload(126))).expect_close(1002);
            }),
            echo("5.5", format!("a {name} frame of 70,000 octets is a protocol error"), move |socket| {
                socket.send(Frame::new(opcode, payload(70_000))).expect_close(1002);
            }),
            echo("5.5", format!("a {name} frame is refused by its length alone"), move |socket| {
                let frame = Frame::new(opcode, "").with_length(Length::Declared(0x7fff_ffff_ffff_ffff));
                socket.write(frame.encode_header()).expect_close(1002);
            }),
            echo("5.5", format!("a fragmented {name} frame is a protocol error"), move |socket| {
                socket.send(Frame::new(opcode, payload(5)).unfinished()).expect_close(1002);
            }),
            echo("5.5", format!("a fragmented {name} frame inside a message is a protocol error"), move |socket| {
                let frames = [Frame::text("begun").unfinished(), Frame::new(opcode, payload(5)).unfinished()];
                socket.send_all(&frames).expect_close(1002);
            }),
        ]);
    }
    cases
}

fn pings() -> Vec<Case> {
    vec![
        echo("5.5.2, Autobahn 2.1", "an empty ping is answered", |socket| {
            socket.send(Frame::ping("")).expect_pong("");
        }),
        echo("5.5.3, Autobahn 2.2", "a pong carries the ping's text", |socket| {
            socket.send(Frame::ping("Hello, world!")).expect_pong("Hello, world!");
        }),
        echo("5.5.3, Autobahn 2.3", "a pong carries what is no text", |socket| {
            let payload = [0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff];
            socket.send(Frame::ping(payload)).expect_pong(payload);
        }),
        echo("5.5, Autobahn 2.4", "a ping of 125 octets is answered whole", |socket| {
            socket.send(Frame::ping([0xfe; 125])).expect_pong([0xfe; 125]);
        }),
        echo("5.5, Autobahn 2.6", "a ping that comes octet by octet is answered", |socket| {
            socket.write_in_pieces(Frame::ping([0xfe; 125]).encode(), 1).expect_pong([0xfe; 125]);
        }),
        echo("5.5.3, Autobahn 2.7", "a pong that nobody asked for is taken without an answer", |socket| {
            socket.send_all(&[Frame::pong(""), Frame::text("next")]).expect_text("next");
        }),
        echo(
            "5.5.3, Autobahn 2.8",
            "a pong with a payload that nobody asked for is taken without an answer",
            |socket| {
                socket.send_all(&[Frame::pong("unsolicited"), Frame::text("next")]).expect_text("next");
            },
        ),
        echo("5.5.3, Autobahn 2.9", "a ping behind an unsolicited pong is answered", |socket| {
            socket.send_all(&[Frame::pong("unsolicited"), Frame::ping("ping")]).expect_pong("ping");
        }),
        echo("5.5.3, Autobahn 2.10", "ten pings in one segment are answered in order", |socket| {
            let pings: Vec<_> = (0..10).map(|number| Frame::ping(format!("payload-{number}"))).collect();
            socket.send_all(&pings);
            for number in 0..10 {
                socket.expect_pong(format!("payload-{number}"));
            }
        }),
        echo("5.5.3, Autobahn 2.11", "ten pings octet by octet are answered in order", |socket| {
            for number in 0..10 {
                socket.write_in_pieces(Frame::ping(format!("payload-{number}")).encode(), 1);
            }
            for number in 0..10 {
                socket.expect_pong(format!("payload-{number}"));
            }
        }),
        echo("5.5.2", "among messages in one segment, each ping is answered and each message comes back", |socket| {
            socket.send_all(&[Frame::text("a"), Frame::ping("b"), Frame::binary("c"), Frame::ping("d")]);
            // A pong may go before the messages that came before its ping: it never waits behind a full outbox.
            let heard: Vec<_> = (0..4).map(|_| socket.read_frame()).collect();
            let of = |is_pong: bool| {
                let frames = heard.iter().filter(move |frame| (frame.opcode == Opcode::PONG) == is_pong);
                frames.map(|frame| (frame.opcode, frame.payload.clone())).collect::<Vec<_>>()
            };
            assert_eq!(of(true), [(Opcode::PONG, b"b".to_vec()), (Opcode::PONG, b"d".to_vec())]);
            assert_eq!(of(false), [(Opcode::TEXT, b"a".to_vec()), (Opcode::BINARY, b"c".to_vec())]);
        }),
    ]
}
