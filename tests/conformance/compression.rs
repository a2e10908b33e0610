//! permessage-deflate: negotiation, both directions, hostile messages, shared streams. Autobahn 12 and 13.

use super::fragmentation::fragments;
use crate::common::deflate::deflated;
use crate::common::{Frame, Gateway, Opcode, Socket};
use crate::{Case, case};

/// Offers, and what of them is answered besides `client_no_context_takeover`; `None` where they are left.
const OFFERS: [(&str, Option<&str>); 16] = [
    ("permessage-deflate", Some("; server_no_context_takeover")),
    ("permessage-deflate; client_max_window_bits", Some("; server_no_context_takeover")),
    ("permessage-deflate; client_no_context_takeover", Some("; server_no_context_takeover")),
    ("permessage-deflate; server_no_context_takeover", Some("; server_no_context_takeover")),
    ("permessage-deflate; client_max_window_bits=9", Some("; server_no_context_takeover")),
    ("permessage-deflate; server_max_window_bits=15", Some("; server_no_context_takeover; server_max_window_bits=15")),
    ("permessage-deflate; server_max_window_bits=14", Some("; server_no_context_takeover; server_max_window_bits=12")),
    (
        "permessage-deflate; server_max_window_bits=\"11\"",
        Some("; server_no_context_takeover; server_max_window_bits=9"),
    ),
    ("permessage-deflate; server_max_window_bits=9", Some("; server_no_context_takeover; server_max_window_bits=9")),
    (
        "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10",
        Some("; server_no_context_takeover; server_max_window_bits=9"),
    ),
    ("permessage-deflate; unknown, permessage-deflate", Some("; server_no_context_takeover")),
    ("permessage-deflate; unknown", None),
    ("permessage-deflate; server_max_window_bits=8", None),
    ("permessage-deflate; server_max_window_bits", None),
    ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
    ("x-webkit-deflate-frame", None),
];

pub fn cases() -> Vec<Case> {
    [negotiation(), messages(), broken(), hostile(), readers()].into_iter().flatten().collect()
}

/// Text that is as compressible as what is published in practice.
fn text(len: usize) -> Vec<u8> {
    let line =
        |n: usize| format!("{{\"t\":\"px.{}\",\"o\":{n},\"d\":{{\"price\":{}.25,\"ä\":null}}}}\n", n % 7, n * 31);
    let mut text: String = (0..=len / 30).map(line).collect();
    while text.len() > len {
        text.pop();
    }
    text.into_bytes()
}

/// Octets that cannot be compressed.
fn noise(len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(len as u64);
    (0..len).map(|_| rng.u8(..)).collect()
}

fn on_echo(name: impl Into<String>, act: impl Fn(&mut Socket) + 'static) -> Case {
    case("RFC 7692", name, move |gateway| {
        let mut socket = gateway.connect();
        socket.open_with("/echo", "permessage-deflate; client_max_window_bits");
        act(&mut socket);
    })
}

fn compressed(opcode: Opcode, message: impl AsRef<[u8]>) -> Frame {
    Frame::new(opcode, deflated(message)).with_rsv(4)
}

fn negotiation() -> Vec<Case> {
    let offers = OFFERS.into_iter().map(|(offer, answer)| {
        case("RFC 7692 5.1, 7.1", format!("{offer:?} is answered"), move |gateway| {
            let mut socket = gateway.connect();
            let response = socket.open_with("/echo", offer);
            let answer = answer.map(|rest| format!("permessage-deflate; client_no_context_takeover{rest}"));
            assert_eq!(response.header("sec-websocket-extensions"), answer.as_deref());
            socket.send(Frame::text("plain")).expect_text("plain");
        })
    });
    let broken = ["permessage-deflate;", "permessage-deflate; =", "permessage-deflate; a=\"", "a b"].map(|offer| {
        case("6455 9.1", format!("{offer:?} fails the handshake"), move |gateway| {
            let field = format!("Sec-WebSocket-Extensions: {offer}\r\n\r\n");
            let handshake = Socket::handshake("/echo");
            let handshake = handshake.strip_suffix("\r\n").expect("a head").to_owned() + &field;
            gateway.connect().write(handshake).expect_http_status(400);
        })
    });
    let fields = case("6455 9.1", "offers in several fields are one list", |gateway| {
        let mut socket = gateway.connect();
        let response = socket.open_with("/echo", "x-a; b=c\r\nSec-WebSocket-Extensions: permessage-deflate");
        assert!(response.header("sec-websocket-extensions").is_some(), "{response:?}");
    });
    offers.chain(broken).chain([fields]).collect()
}

/// Autobahn 12 and 13: sizes by parameters by fragments, in both directions.
fn messages() -> Vec<Case> {
    let offers = [
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; server_max_window_bits=9",
        "permessage-deflate; server_max_window_bits=12",
        "permessage-deflate; server_max_window_bits=15",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
        "permessage-deflate; client_max_window_bits=9, permessage-deflate",
    ];
    let sizes = [0, 16, 64, 255, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072];
    let mut cases = Vec::new();
    for offer in offers {
        for fragment_len in [usize::MAX, 256, 1] {
            let name = format!("Autobahn 12, 13: {offer:?}, fragments of {fragment_len}");
            cases.push(case("RFC 7692 7.2", name, move |gateway| {
                let mut socket = gateway.connect();
                socket.open_with("/echo", offer);
                let sizes = sizes.iter().filter(|&&len| fragment_len > 1 || len <= 1024);
                for &len in sizes {
                    let (text, noise) = (text(len), noise(len));
                    for (opcode, message) in [(Opcode::TEXT, text), (Opcode::BINARY, noise)] {
                        let mut frames = fragments(opcode, &deflated(&message), fragment_len);
                        frames[0].rsv = 4;
                        for frames in frames.chunks(64) {
                            socket.send_all(frames);
                        }
                        let before = socket.deflated;
                        let got = socket.read_message();
                        assert!(got == (opcode, message), "{len} octets come back");
                        let comes_deflated = opcode == Opcode::TEXT && len >= 256;
                        assert_eq!(socket.deflated - before, usize::from(comes_deflated), "{len} octets");
                    }
                    // Every sender may leave any message as it is.
                    socket.send(Frame::text("plain")).expect_text("plain");
                }
            }));
        }
    }
    cases.push(on_echo("messages octet by octet, with pings between", |socket| {
        let message = text(1000);
        for piece in fragments(Opcode::TEXT, &deflated(&message), 40).into_iter().enumerate() {
            let (at, mut frame) = piece;
            frame.rsv = if at == 0 { 4 } else { 0 };
            socket.write_in_pieces(frame.encode(), 3);
            if !frame.fin {
                socket.write_in_pieces(Frame::ping("between").encode(), 1).expect_pong("between");
            }
        }
        socket.expect_text(&message);
    }));
    cases.push(on_echo("empty messages, blocks with BFINAL, stored blocks and several blocks", |socket| {
        for (message, said) in [
            (&b"\x00"[..], ""),
            (b"\x02\x00", ""),
            (b"\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello"),
            (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"),
            (b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello"),
            (b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"),
        ] {
            socket.send(Frame::text(message).with_rsv(4)).expect_text(said);
        }
        let fragments = [Frame::text("").with_rsv(4).unfinished(), Frame::continuation(deflated("later"))];
        socket.send_all(&fragments).expect_text("later");
    }));
    cases
}

fn broken() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, frames, code) in [
        ("RSV1 on a ping", vec![Frame::ping("").with_rsv(4)], 1002),
        ("RSV1 on a close frame", vec![Frame::close(1000, "").with_rsv(4)], 1002),
        ("RSV1 on a later fragment", vec![Frame::text("a").unfinished(), Frame::continuation("b").with_rsv(4)], 1002),
        (
            "RSV1 on the second fragment of a compressed message",
            vec![Frame::text(deflated("a")).with_rsv(4).unfinished(), Frame::continuation(deflated("b")).with_rsv(4)],
            1002,
        ),
        ("RSV2", vec![Frame::text("a").with_rsv(2)], 1002),
        ("RSV1 and RSV3", vec![compressed(Opcode::TEXT, "a").with_rsv(5)], 1002),
        ("no DEFLATE data", vec![Frame::text("\u{7}garbage").with_rsv(4)], 1007),
        ("half a message", vec![Frame::text(&deflated(text(2000))[..200]).with_rsv(4)], 1007),
        ("text that is not UTF-8 once it is inflated", vec![compressed(Opcode::TEXT, b"\xff\xfe")], 1007),
        ("text that ends in the middle of a character", vec![compressed(Opcode::TEXT, b"gr\xc3")], 1007),
    ] {
        cases.push(on_echo(name, move |socket| socket.send_all(&frames).expect_close(code)));
    }
    cases.push(case("6455 5.2", "RSV1 without the extension", |gateway| {
        gateway.websocket("/echo").send(compressed(Opcode::TEXT, "a")).expect_close(1002);
    }));
    cases.push(on_echo("octets that are not UTF-8 are binary", |socket| {
        socket.send(compressed(Opcode::BINARY, b"\xff\xfe")).expect_binary(b"\xff\xfe");
    }));
    cases.push(on_echo("an empty message without the byte that stands for it", |socket| {
        socket.send(Frame::text("").with_rsv(4)).expect_text("");
        socket.send_all(&[Frame::text("").with_rsv(4).unfinished(), Frame::continuation("")]).expect_text("");
    }));
    // Tornado and Mojolicious do so, whatever they are asked for.
    for (name, offer, is_taken) in [
        ("a message that leans on the one before", "permessage-deflate; client_max_window_bits", true),
        (
            "a message that leans on the one before of a client that said it would not",
            "permessage-deflate; client_no_context_takeover",
            false,
        ),
    ] {
        cases.push(case("7692 7.1.1.2", name, move |gateway| {
            let mut socket = gateway.connect();
            socket.open_with("/echo", offer);
            let frames = leaning(&[text(2000), text(3000), text(2000)]);
            if is_taken {
                socket.send_all(&frames).expect_text(text(2000)).expect_text(text(3000)).expect_text(text(2000));
            } else {
                socket.send_all(&frames[..2]).expect_text(text(2000)).expect_close(1007);
            }
        }));
    }
    cases
}

/// Messages of a client that keeps its window from one to the next.
fn leaning(messages: &[Vec<u8>]) -> Vec<Frame> {
    let mut compress = flate2::Compress::new(flate2::Compression::default(), false);
    let frame = |message: &Vec<u8>| {
        let mut out = Vec::with_capacity(message.len() + 100);
        compress.compress_vec(message, &mut out, flate2::FlushCompress::Sync).expect("there is room");
        out.truncate(out.len() - 4);
        Frame::text(out).with_rsv(4)
    };
    messages.iter().map(frame).collect()
}

const MIB: usize = 1 << 20;

fn hostile() -> Vec<Case> {
    vec![
        on_echo("1 MiB of anything comes back, compressed or not", |socket| {
            for message in [text(MIB), vec![b'*'; MIB]] {
                socket.send(compressed(Opcode::TEXT, &message)).expect_text(&message);
            }
            let noise = noise(MIB);
            socket.send(compressed(Opcode::BINARY, &noise)).expect_binary(&noise);
        }),
        on_echo("one octet past 1 MiB is too big once it is inflated", |socket| {
            socket.send(compressed(Opcode::BINARY, vec![0; MIB + 1])).expect_close(1009);
        }),
        on_echo("a bomb is given up", |socket| {
            let bomb = deflated(vec![0; 32 * MIB]);
            assert!(bomb.len() < MIB / 20);
            socket.send(Frame::binary(bomb).with_rsv(4)).expect_close(1009);
        }),
        on_echo("a bomb in fragments is given up", |socket| {
            let mut frames = fragments(Opcode::BINARY, &deflated(vec![0; 4 * MIB]), 1000);
            frames[0].rsv = 4;
            socket.send_all(&frames).expect_close(1009);
        }),
        on_echo("many bombs at once, each within its bound, are heard one after the other", |socket| {
            let bomb = compressed(Opcode::BINARY, vec![0; MIB]);
            assert!(bomb.payload.len() < 1100);
            socket.send_all(&vec![bomb; 60]);
            for _ in 0..60 {
                assert_eq!(socket.read_frame().opcode, Opcode::BINARY);
            }
        }),
        on_echo("streams without end in one message", |socket| {
            socket.send(Frame::binary([3, 0].repeat(100_000)).with_rsv(4)).expect_close(1007);
        }),
        case("ours", "anything at all behind an offer", |gateway| {
            let seed = 0x5eed_0015;
            println!("seed {seed}");
            let mut rng = fastrand::Rng::with_seed(seed);
            let whole = deflated(text(300));
            for _ in 0..200 {
                let mut socket = gateway.connect();
                socket.open_with("/echo", "permessage-deflate");
                let mut payload = whole.clone();
                let at = rng.usize(0..payload.len());
                payload[at] ^= 1 << rng.u8(0..8);
                socket.send(Frame::binary(payload).with_rsv(4)).send(Frame::close(1000, ""));
                while socket.read_frame().opcode != Opcode::CLOSE {}
            }
        }),
    ]
}

fn publish(gateway: &Gateway, topic: &str, message: &[u8]) {
    let head =
        format!("POST /publish/{topic} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", message.len());
    gateway.connect().write([head.as_bytes(), message].concat()).expect_http_status(200);
}

/// Readers of one topic with different parameters hear the same.
fn readers() -> Vec<Case> {
    let offers = ["permessage-deflate", "permessage-deflate; server_max_window_bits=9", "x-none"];
    let open = move |gateway: &Gateway, target: &str| -> Vec<Socket> {
        let open = |offer: &&str| {
            let mut socket = gateway.connect();
            socket.open_with(target, offer);
            socket
        };
        offers.iter().map(open).collect()
    };
    vec![
        case("RFC 7692", "readers of /raw get long messages compressed and short ones as they are", move |gateway| {
            publish(gateway, "deflate.raw", b"joined");
            let mut readers = open(gateway, "/raw/deflate.raw");
            for reader in &mut readers {
                reader.expect_text("joined");
            }
            let messages = [text(100), text(256), text(20_000), noise(2000), text(255)];
            for message in &messages {
                publish_binary(gateway, "deflate.raw", message);
            }
            for (at, reader) in readers.iter_mut().enumerate() {
                for message in &messages {
                    reader.expect_binary(message);
                }
                assert_eq!(reader.deflated, if at < 2 { 2 } else { 0 });
            }
        }),
        case("RFC 7692", "readers of /ws get pushes compressed, by name and by pattern", move |gateway| {
            for topics in ["deflate.ws", "deflate.*"] {
                let mut readers = open(gateway, "/ws");
                for reader in &mut readers {
                    let sub = format!("{{\"op\":\"sub\",\"topics\":[\"{topics}\"],\"last\":false}}");
                    reader.send(compressed_if(reader.takes_deflate(), &sub));
                    assert!(reader.read_message().1.starts_with(b"{\"op\":\"ok\""));
                }
                let long = format!("[{}1]", "1234,".repeat(200));
                publish(gateway, "deflate.ws", long.as_bytes());
                publish(gateway, "deflate.ws", b"1");
                for (at, reader) in readers.iter_mut().enumerate() {
                    let (_, push) = reader.read_message();
                    assert!(push.ends_with(format!("\"d\":{long}}}").as_bytes()), "{topics}");
                    assert!(reader.read_message().1.ends_with(b"\"d\":1}"));
                    assert_eq!(reader.deflated, usize::from(at < 2), "{topics}");
                }
            }
        }),
        case("RFC 7692", "a message that comes compressed reaches who takes none", move |gateway| {
            let mut readers = open(gateway, "/raw/deflate.in");
            let message = text(5000);
            readers[0].send(compressed(Opcode::TEXT, &message));
            for reader in &mut readers {
                reader.expect_text(&message);
            }
        }),
    ]
}

fn publish_binary(gateway: &Gateway, topic: &str, message: &[u8]) {
    let head = format!(
        "POST /publish/{topic} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {}\r\n\r\n",
        message.len()
    );
    gateway.connect().write([head.as_bytes(), message].concat()).expect_http_status(200);
}

fn compressed_if(is_agreed: bool, message: &str) -> Frame {
    if is_agreed { compressed(Opcode::TEXT, message) } else { Frame::text(message) }
}

#[test]
fn what_is_switched_off_is_not_agreed_on() {
    let gateway = Gateway::start(&["--compression", "off", "--topics", "zipped compression=message"]);
    for (target, is_agreed) in [("/echo", false), ("/raw/plain", false), ("/raw/zipped", true), ("/ws", true)] {
        let response = gateway.connect().open_with(target, "permessage-deflate");
        assert_eq!(response.header("sec-websocket-extensions").is_some(), is_agreed, "{target}");
    }
    let gateway = Gateway::start(&["--topics", "plain compression=off"]);
    for (target, is_agreed) in [("/echo", true), ("/raw/plain", false), ("/raw/zipped", true), ("/ws", true)] {
        let response = gateway.connect().open_with(target, "permessage-deflate");
        assert_eq!(response.header("sec-websocket-extensions").is_some(), is_agreed, "{target}");
    }
}

/// Ticks as they are published.
fn tick(number: usize) -> Vec<u8> {
    format!("{{\"ticker\":\"AAPL\",\"price\":{}.25,\"volume\":{},\"number\":{number}}}", number * 7 % 200, number * 31)
        .into_bytes()
}

#[test]
fn readers_join_a_shared_stream_at_its_joining_points_and_hear_everything_in_order() {
    let gateway = Gateway::start(&["--compression", "shared", "--compression-join-every", "5"]);
    let mut readers: Vec<(usize, Socket)> = Vec::new();
    publish(&gateway, "shared", &tick(0));
    for number in 1..=40 {
        if number % 3 == 0 {
            let mut socket = gateway.connect();
            // The last ones are served without the stream.
            let offer = match number {
                0..30 => "permessage-deflate; client_max_window_bits",
                30..35 => "permessage-deflate; server_no_context_takeover",
                _ => "permessage-deflate; server_max_window_bits=11",
            };
            let response = socket.open_with("/raw/shared", offer);
            let answer = response.header("sec-websocket-extensions").expect("an answer");
            assert_eq!(answer.contains("server_no_context_takeover"), number >= 30, "{answer}");
            // With the last value it has joined.
            socket.expect_text(tick(number - 1));
            readers.push((number, socket));
        }
        publish(&gateway, "shared", &tick(number));
        for (_, reader) in &mut readers {
            reader.expect_text(tick(number));
        }
    }
    for (begin, reader) in &readers {
        let heard = 41 - begin;
        let (least, most) = if *begin < 30 { (heard.saturating_sub(5), heard) } else { (0, 0) };
        assert!((least..=most).contains(&reader.deflated), "{} of {heard}", reader.deflated);
    }
    let mut metrics = gateway.connect();
    let metrics = metrics.write("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").expect_http_status(200);
    let saved: u64 = metrics
        .text()
        .lines()
        .filter_map(|line| {
            line.strip_prefix("fanwire_compression_saved_bytes_total{")?.split(' ').nth(1)?.parse::<u64>().ok()
        })
        .sum();
    assert!(saved > 1000, "{saved}");
}

#[test]
fn a_reader_in_a_stream_gets_other_topics_as_they_are() {
    let gateway = Gateway::start(&["--compression", "shared", "--shards", "2"]);
    let mut reader = gateway.connect();
    reader.open_with("/ws", "permessage-deflate");
    for topic in ["first", "second", "third.*"] {
        reader.send(Frame::text(format!("{{\"op\":\"sub\",\"topics\":[\"{topic}\"],\"last\":false}}")));
        reader.read_message();
    }
    let long = String::from_utf8(tick(1)).expect("text").repeat(20);
    for number in 1..30 {
        for topic in ["first", "second", "third.a"] {
            let message = format!("[{number},{long:?}]");
            publish(&gateway, topic, message.as_bytes());
            let before = reader.deflated;
            let (_, push) = reader.read_message();
            let push = String::from_utf8(push).expect("text");
            assert!(push.starts_with(&format!("{{\"t\":\"{topic}\",\"o\":{number},")), "{}", &push[..60]);
            assert!(push.ends_with(&format!("\"d\":{message}}}")), "{topic} {number}");
            assert_eq!(reader.deflated - before, usize::from(topic == "first"), "{topic} {number}");
        }
    }
    // Out of it, and in another.
    reader.send(Frame::text("{\"op\":\"unsub\",\"topics\":[\"first\",\"third.*\"]}"));
    reader.read_message();
    publish(&gateway, "second", long.as_bytes());
    let (_, push) = reader.read_message();
    assert!(push.starts_with(b"{\"t\":\"second\""));
}

#[test]
fn the_stream_of_a_connection_is_that_of_its_first_topic_with_one() {
    let gateway = Gateway::start(&["--topics", "shared.> compression=shared", "--shards", "2"]);
    let subscribed = |topics: &[&str]| {
        let mut reader = gateway.connect();
        reader.open_with("/ws", "permessage-deflate");
        for topic in topics {
            reader.send(Frame::text(format!("{{\"op\":\"sub\",\"topics\":[\"{topic}\"],\"last\":false}}")));
            reader.read_message();
        }
        reader
    };
    // The first bytes are put further back: with readers before it and behind it in the lists, and while alone.
    let mut readers = [
        subscribed(&["shared.a", "news.*", "plain", "shared.b"]),
        subscribed(&["news.*", "shared.a", "plain", "shared.b"]),
        subscribed(&["plain", "news.*", "shared.a", "shared.b"]),
        subscribed(&["plain", "news.*", "alone", "shared.a", "shared.b"]),
    ];
    let topics = ["plain", "news.b", "shared.a", "shared.b"];
    for number in 0..30 {
        for topic in topics {
            let message = tick(number);
            publish(&gateway, topic, &message);
            for reader in &mut readers {
                let before = reader.deflated;
                let (_, push) = reader.read_message();
                assert!(push.starts_with(format!("{{\"t\":\"{topic}\",\"o\":{},", number + 1).as_bytes()));
                assert_eq!(reader.deflated - before, usize::from(topic == "shared.a"), "{topic} {number}");
            }
        }
    }
    // Each leaves each of its lists, in another order.
    for (turn, reader) in readers.iter_mut().enumerate() {
        for at in 0..topics.len() {
            let topic = ["plain", "news.*", "shared.a", "shared.b"][(at + turn) % topics.len()];
            reader.send(Frame::text(format!("{{\"op\":\"unsub\",\"topics\":[\"{topic}\"]}}")));
            assert!(reader.read_message().1.starts_with(b"{\"op\":\"ok\""));
        }
    }
    for topic in topics {
        publish(&gateway, topic, b"nobody");
    }
    publish(&gateway, "alone", b"one");
    let (_, push) = readers[3].read_message();
    assert!(push.starts_with(b"{\"t\":\"alone\",\"o\":1,"));
    for reader in &mut readers[..3] {
        reader.send(Frame::ping("nothing")).expect_pong("nothing");
    }
}

#[test]
fn who_does_not_hear_its_own_messages_hears_the_others() {
    let gateway = Gateway::start(&["--compression", "shared", "--compression-join-every", "3"]);
    publish(&gateway, "own", b"joined");
    let open = |target: &str| {
        let mut socket = gateway.connect();
        socket.open_with(target, "permessage-deflate");
        socket.expect_text("joined");
        socket
    };
    let (mut quiet, mut other) = (open("/raw/own?echo=0"), open("/raw/own"));
    for number in 0..60 {
        let message = tick(number);
        if number % 4 == 0 {
            quiet.send(compressed(Opcode::TEXT, &message));
        } else {
            publish(&gateway, "own", &message);
            quiet.expect_text(&message);
        }
        other.expect_text(&message);
    }
    assert!(quiet.deflated > 5 && other.deflated > 55, "{} and {}", quiet.deflated, other.deflated);
}
