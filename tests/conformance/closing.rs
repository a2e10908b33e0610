//! The closing handshake: codes, reasons, and what comes behind a close frame. Autobahn 7.

use crate::common::{Frame, Opcode, Socket};
use crate::{Case, case, echo};

/// Codes that an endpoint may send: the RFC's own, those registered since, libraries' and private ones.
const VALID: &[u16] = &[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];

/// Codes that no endpoint may send: below and between the ranges, and those that stand for the absence of a frame.
const INVALID: &[u16] = &[0, 1, 125, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 32_768, 65_535];

pub fn cases() -> Vec<Case> {
    let mut cases = [handshake(), payloads(), what_follows()].into_iter().flatten().collect::<Vec<_>>();
    cases.extend(VALID.iter().map(|&code| {
        echo("7.4, Autobahn 7.7", format!("the close code {code} is echoed"), move |socket| {
            socket.send(Frame::close(code, "")).expect_close(code);
        })
    }));
    cases.extend(INVALID.iter().map(|&code| {
        echo("7.4, Autobahn 7.9", format!("the close code {code} is a protocol error"), move |socket| {
            socket.send(Frame::close(code, "")).expect_close(1002);
        })
    }));
    cases
}

fn handshake() -> Vec<Case> {
    vec![
        echo("7.1.1, Autobahn 7.3.3", "the server answers a close frame and ends the stream first", |socket| {
            socket.send(Frame::close(1000, ""));
            assert_eq!(socket.expect_close_frame(), Some(1000));
            socket.expect_orderly_end();
        }),
        echo("5.5.1, Autobahn 7.3.1", "a close frame without a code is answered", |socket| {
            socket.send(Frame::new(Opcode::CLOSE, ""));
            let code = socket.expect_close_frame();
            assert!(matches!(code, None | Some(1000)), "no code or 1000, got {code:?}");
            socket.expect_orderly_end();
        }),
        echo("5.5.1", "a close frame octet by octet is answered", |socket| {
            socket.write_in_pieces(Frame::close(1001, "going away").encode(), 1);
            assert_eq!(socket.expect_close_frame(), Some(1001));
            socket.expect_orderly_end();
        }),
        echo("5.5.1, Autobahn 7.1.1", "what was said before the close frame is answered first", |socket| {
            socket.send_all(&[Frame::text("last"), Frame::binary("words"), Frame::close(1000, "")]);
            socket.expect_text("last").expect_binary("words").expect_close(1000);
        }),
        echo("Autobahn 7.1.6", "a long message before the close frame comes back whole", |socket| {
            let text = "*".repeat(256 * 1024);
            socket.send_all(&[Frame::text(&text), Frame::close(1000, ""), Frame::ping("unheard")]);
            socket.expect_text(&text).expect_close(1000);
        }),
        case("7.1.1", "each endpoint closes by the same rules", |gateway| {
            for target in ["/echo", "/ws", "/raw/judge.closing"] {
                gateway.websocket(target).send(Frame::close(3333, "reason")).expect_close(3333);
                gateway.websocket(target).send(Frame::text("unmasked").unmasked()).expect_close(1002);
                gateway.websocket(target).send(Frame::text(b"\xff")).expect_close(1007);
            }
        }),
    ]
}

fn payloads() -> Vec<Case> {
    vec![
        echo("5.5.1, Autobahn 7.3.2", "a close frame of one octet is a protocol error", |socket| {
            socket.send(Frame::new(Opcode::CLOSE, "a")).expect_close(1002);
        }),
        echo("5.5.1, Autobahn 7.3.4", "a reason is taken", |socket| {
            socket.send(Frame::close(1000, "Hello, world!")).expect_close(1000);
        }),
        echo("5.5.1, Autobahn 7.3.5", "a reason of 123 octets is taken", |socket| {
            socket.send(Frame::close(1000, "*".repeat(123))).expect_close(1000);
        }),
        echo("5.5.1, Autobahn 7.3.6", "a reason of 124 octets is a protocol error", |socket| {
            socket.send(Frame::close(1000, "*".repeat(124))).expect_close(1002);
        }),
        echo("5.5.1", "a reason in many scripts is taken", |socket| {
            socket.send(Frame::close(1000, "κόσμε 🦀")).expect_close(1000);
        }),
        echo("8.1, Autobahn 7.5", "a reason that is not UTF-8 is told as such", |socket| {
            socket.send(Frame::close(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80")).expect_close(1007);
        }),
        echo("8.1", "a reason cut inside a sequence is told as such", |socket| {
            socket.send(Frame::close(1000, b"\xe2\x82")).expect_close(1007);
        }),
    ]
}

fn what_follows() -> Vec<Case> {
    let followed = |name: &str, frame: fn() -> Frame| {
        echo("5.5.1, Autobahn 7.1", format!("{name} behind a close frame is not heard"), move |socket| {
            socket.send_all(&[Frame::close(1000, ""), frame()]);
            assert_eq!(socket.expect_close_frame(), Some(1000));
            socket.expect_end();
        })
    };
    vec![
        followed("a second close frame", || Frame::close(1001, "")),
        followed("a ping", || Frame::ping("unheard")),
        followed("a text", || Frame::text("unheard")),
        followed("a continuation", || Frame::continuation("unheard")),
        followed("a protocol error", || Frame::text("unheard").unmasked()),
        followed("a megabyte", || Frame::binary(vec![0; 1024 * 1024])),
        echo("7.1.7", "a failed connection hears nothing more", |socket| {
            let bad = Frame::text("bad").with_rsv(7);
            socket.send_all(&[bad, Frame::text("unheard"), Frame::close(1000, "")]).expect_close(1002);
        }),
        echo("7.1.4", "the end of the peer's stream without a close frame ends ours", |socket| {
            socket.send(Frame::text("hello")).expect_text("hello").finish();
            expect_silent_end(socket);
        }),
        case("7.1.4", "what a peer published before it ended its stream is delivered", |gateway| {
            let mut reader = gateway.websocket("/ws");
            reader.send(Frame::text(r#"{"op":"sub","topics":["judge.left.*"]}"#)).read_message();
            for number in 0..50 {
                let mut writer = gateway.websocket(&format!("/raw/judge.left.{number}?echo=0&last=0"));
                writer.send_all(&[Frame::text("1"), Frame::text("2")]);
            }
            let mut heard: Vec<_> = (0..100).map(|_| reader.read_message()).collect();
            heard.sort();
            heard.dedup();
            assert_eq!(heard.len(), 100, "each of them once");
        }),
        echo("7.1.4", "the end of the peer's stream inside a frame ends ours", |socket| {
            socket.write(&Frame::text("half a frame").encode()[..7]).finish();
            expect_silent_end(socket);
        }),
    ]
}

/// The stream ends; a farewell to a peer that half-closed may stand before it.
fn expect_silent_end(socket: &mut Socket) {
    if socket.has_more() {
        socket.expect_close_frame();
        socket.expect_end();
    }
}
