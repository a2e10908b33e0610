//! Text is UTF-8, wherever it is torn. Autobahn 6, after Markus Kuhn's decoder test.

use super::fragmentation::fragments;
use crate::common::{Frame, Opcode};
use crate::{Case, echo};

/// First and last of each length, both sides of the surrogates, noncharacters, and texts.
const VALID: &[&str] = &[
    "",
    "\0",
    "Hello-µ@ßöäüàá-UTF-8!!",
    "κόσμε",
    "\u{7f}",
    "\u{80}",
    "\u{7ff}",
    "\u{800}",
    "\u{fff}",
    "\u{1000}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{feff}byte order mark",
    "\u{10000}",
    "\u{1fffe}\u{1ffff}",
    "\u{3ffff}",
    "\u{40000}",
    "\u{fffff}",
    "\u{10fffe}",
    "\u{10ffff}",
    "日本語 🦀 e\u{301}",
];

/// Input that a decoder must refuse, with the reason.
const INVALID: &[(&str, &[u8])] = &[
    ("a lone continuation octet", b"\x80"),
    ("another lone continuation octet", b"\xbf"),
    ("two continuation octets", b"\x80\xbf"),
    ("every continuation octet", b"\x80\x81\x82\x83\x90\x9f\xa0\xaf\xb0\xbf"),
    ("a start of two behind text", b"text \xc3 text"),
    ("every start of two, each alone", b"\xc2 \xc3 \xd0 \xdf "),
    ("every start of three, each alone", b"\xe0 \xe1 \xed \xef "),
    ("every start of four, each alone", b"\xf0 \xf1 \xf3 \xf4 "),
    ("a sequence of two cut at the end", b"text \xce"),
    ("a sequence of three cut at the end", b"text \xe1\xbd"),
    ("a sequence of four cut at the end", b"text \xf0\x9f\xa6"),
    ("three cut sequences in a row", b"\xc3\xe1\xbd\xf0\x9f\xa6"),
    ("the octet fe", b"text \xfe"),
    ("the octet ff", b"text \xff"),
    ("the octets fe and ff", b"\xfe\xfe\xff\xff"),
    ("the slash in two octets", b"\xc0\xaf"),
    ("the slash in three octets", b"\xe0\x80\xaf"),
    ("the slash in four octets", b"\xf0\x80\x80\xaf"),
    ("the slash in five octets", b"\xf8\x80\x80\x80\xaf"),
    ("the slash in six octets", b"\xfc\x80\x80\x80\x80\xaf"),
    ("the last overlong form of two", b"\xc1\xbf"),
    ("the last overlong form of three", b"\xe0\x9f\xbf"),
    ("the last overlong form of four", b"\xf0\x8f\xbf\xbf"),
    ("zero in two octets", b"\xc0\x80"),
    ("zero in three octets", b"\xe0\x80\x80"),
    ("the first surrogate", b"\xed\xa0\x80"),
    ("the last high surrogate", b"\xed\xaf\xbf"),
    ("the first low surrogate", b"\xed\xb0\x80"),
    ("the last surrogate", b"\xed\xbf\xbf"),
    ("a pair of surrogates", b"\xed\xa0\x80\xed\xb0\x80"),
    ("the first past the last code point", b"\xf4\x90\x80\x80"),
    ("a start past the last code point", b"\xf5\x80\x80\x80"),
    ("a sequence of five", b"\xf8\x88\x80\x80\x80"),
    ("a sequence of six", b"\xfc\x84\x80\x80\x80\x80"),
    ("Autobahn 6.3.1", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64"),
    ("a bad octet behind a long text", &LONG),
];

/// Long enough for the widest path of a validator, with its fault at the end.
static LONG: [u8; 1000] = {
    let mut text = [b'a'; 1000];
    text[999] = 0xff;
    text
};

pub fn cases() -> Vec<Case> {
    let mut cases = in_time();
    for text in VALID {
        cases.push(echo("8.1, Autobahn 6.2", format!("{text:?} is text, whole or torn"), move |socket| {
            socket.send(Frame::text(text)).expect_text(text);
            socket.write_in_pieces(Frame::text(text).encode(), 1).expect_text(text);
            for len in 1..4.min(text.len()) {
                socket.send_all(&fragments(Opcode::TEXT, text.as_bytes(), len)).expect_text(text);
                socket.send_all(&fragments(Opcode::BINARY, text.as_bytes(), len)).expect_binary(text);
            }
        }));
    }
    for &(name, text) in INVALID {
        cases.extend([
            echo("8.1, Autobahn 6.3", format!("{name} is no text"), move |socket| {
                socket.send_all(&[Frame::text("good"), Frame::text(text), Frame::ping("unheard")]);
                socket.expect_text("good").expect_close(1007);
            }),
            echo("8.1, Autobahn 6.3", format!("{name} octet by octet is no text"), move |socket| {
                socket.write_in_pieces(Frame::text(text).encode(), 1).expect_close(1007);
            }),
            echo("8.1, Autobahn 6.3", format!("{name} in fragments of one octet is no text"), move |socket| {
                let mut frames = fragments(Opcode::TEXT, text, 1);
                // With an end of its own, so that the fault is in the middle of the message.
                frames.last_mut().expect("one fragment").fin = false;
                frames.push(Frame::continuation(""));
                socket.send_all(&frames).expect_close(1007);
            }),
            echo("5.6", format!("{name} is a fine binary message"), move |socket| {
                socket.send(Frame::binary(text)).expect_binary(text);
                socket.send_all(&fragments(Opcode::BINARY, text, 1)).expect_binary(text);
            }),
        ]);
    }
    cases
}

/// When the fault is seen, and what it is not confused with.
fn in_time() -> Vec<Case> {
    vec![
        echo("8.1, Autobahn 6.4.1", "a fault in a fragment ends the connection before the message ends", |socket| {
            socket.send(Frame::text("κόσμε").unfinished());
            socket.send(Frame::continuation(b"\xf4\x90\x80\x80").unfinished()).expect_close(1007);
        }),
        echo("8.1, Autobahn 6.4.2", "a fault that a later fragment makes ends it there", |socket| {
            socket.send(Frame::text("κόσμε\u{0}".as_bytes()).unfinished());
            socket.send(Frame::continuation(b"\xf4").unfinished());
            socket.send(Frame::continuation(b"\x90").unfinished()).expect_close(1007);
        }),
        echo("8.1", "a sequence cut by the end of its message is not mended by the next one", |socket| {
            socket.send_all(&[Frame::text(b"\xc3"), Frame::text(b"\xa4")]).expect_close(1007);
        }),
        echo("8.1", "a sequence cut by an empty last fragment is no text", |socket| {
            socket.send_all(&[Frame::text(b"\xe2\x82").unfinished(), Frame::continuation("")]).expect_close(1007);
        }),
        echo("8.1", "a ping with any octets between the halves of a sequence changes nothing", |socket| {
            let halves = (Frame::text(b"\xe2\x82").unfinished(), Frame::continuation(b"\xac"));
            socket.send_all(&[halves.0, Frame::ping(b"\xff\xac"), halves.1]);
            socket.expect_pong(b"\xff\xac").expect_text("€");
        }),
        echo("8.1", "a cut sequence in a message does not taint the next connection's text", |socket| {
            socket
                .send_all(&[Frame::binary(b"\xe2\x82"), Frame::text("€")])
                .expect_binary(b"\xe2\x82")
                .expect_text("€");
        }),
    ]
}
