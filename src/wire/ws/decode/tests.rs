//! The decoder against the RFC's examples, a table of broken rules, and every way to split a stream.

use super::*;
use crate::wire::splits::{config, corrupt, corruptions, piece_lens, pieces};
use crate::wire::ws::encode::{encode_client_frame, encode_header};
use proptest::prelude::*;

/// An item with its payload as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Deflated(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl Heard {
    fn of(item: &Item, bytes: &[u8]) -> Self {
        let text =
            |payload: &Payload| String::from_utf8(payload.as_slice(bytes).to_vec()).expect("checked to be UTF-8");
        match item {
            Item::Message { is_deflated: true, kind, payload } => {
                Self::Deflated(*kind, payload.as_slice(bytes).to_vec())
            }
            Item::Message { kind: MessageKind::Text, payload, .. } => Self::Text(text(payload)),
            Item::Message { payload, .. } => Self::Binary(payload.as_slice(bytes).to_vec()),
            Item::Ping(payload) => Self::Ping(payload.as_slice(bytes).to_vec()),
            Item::Pong(payload) => Self::Pong(payload.as_slice(bytes).to_vec()),
            Item::Close { code, reason } => Self::Close(*code, text(reason)),
        }
    }
}

/// A decoder with what its connection would have around it.
struct Peer {
    decoder: Decoder,
    pool: BlockPool,
    inbox: Inbox,
    len_max: usize,
    heard: Vec<Heard>,
}

impl Peer {
    fn new(role: Role, len_max: usize) -> Self {
        let (pool, inbox) = (BlockPool::default(), Inbox::default());
        Self { decoder: Decoder::new(role), pool, inbox, len_max, heard: Vec::new() }
    }

    fn receive(&mut self, piece: &[u8]) -> Result<(), WsError> {
        let (mut bytes, mut at) = (piece.to_vec(), 0);
        // A few items at a time, as a shard does that has only so much time.
        while at < bytes.len() {
            let (rest, items_max) = (&mut bytes[at..], 1 + piece.len() % 3);
            let items = &mut self.inbox.items;
            let outcome = self.decoder.decode_some(rest, self.len_max, items_max, &mut self.pool, items);
            assert!(items.len() <= items_max);
            self.heard.extend(items.iter().map(|item| Heard::of(item, rest)));
            self.inbox.clear(&mut self.pool);
            at += outcome?;
        }
        Ok(())
    }

    /// Ends the connection: every block must be back.
    fn end(mut self) -> Vec<Heard> {
        self.decoder.release(&mut self.pool);
        assert_eq!(self.pool.in_use(), 0, "every block came back");
        self.heard
    }
}

/// The items of a stream, and its error, after which everything is ignored.
fn decode<'a>(role: Role, len_max: usize, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Heard>, Option<WsError>) {
    let (mut peer, mut error) = (Peer::new(role, len_max), None);
    for piece in pieces {
        match (peer.receive(piece), error) {
            (Err(first), None) => error = Some(first),
            (Err(second), Some(_)) => panic!("failed again: {second}"),
            (Ok(()), _) => {}
        }
    }
    (peer.end(), error)
}

/// A masked frame whose first byte is as given.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_client_frame(&mut out, Opcode::Binary, true, [0x37, 0xfa, 0x21, 0x3d], payload);
    out[0] = first;
    out
}

fn check(role: Role, bytes: &[u8], heard: &[Heard], error: Option<WsError>) {
    for lens in [&[bytes.len().max(1)][..], &[1], &[2], &[3], &[7], &[1, 5]] {
        let outcome = decode(role, 70_000, pieces(bytes, lens));
        assert_eq!(outcome, (heard.to_vec(), error), "{:x?} by {lens:?}", &bytes[..bytes.len().min(40)]);
    }
}

fn text(text: &str) -> Heard {
    Heard::Text(text.to_owned())
}

#[test]
fn the_examples_of_the_rfc_are_understood() {
    check(Role::Client, b"\x81\x05Hello", &[text("Hello")], None);
    check(Role::Server, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", &[text("Hello")], None);
    check(Role::Client, b"\x01\x03Hel\x80\x02lo", &[text("Hello")], None);
    check(Role::Client, b"\x89\x05Hello", &[Heard::Ping(b"Hello".into())], None);
    check(Role::Server, b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", &[Heard::Pong(b"Hello".into())], None);
    for (start, len) in [(&b"\x82\x7e\x01\x00"[..], 256), (b"\x82\x7f\0\0\0\0\0\x01\0\0", 65_536)] {
        let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
        check(Role::Client, &[start, &payload].concat(), &[Heard::Binary(payload)], None);
    }
}

#[test]
fn whole_frames_are_handed_out_in_place_and_nothing_is_kept() {
    let mut bytes = [frame(0x81, b"one"), frame(0x89, b"two"), frame(0x82, b""), frame(0x88, b"\x03\xe8bye")].concat();
    let (mut decoder, mut pool, mut inbox) = (Decoder::default(), BlockPool::default(), Inbox::default());
    let (before_close, _) = bytes.split_at_mut(9 + 9 + 6);
    decoder.decode(before_close, 100, &mut pool, &mut inbox).unwrap();
    assert!(decoder.is_idle());
    decoder.decode(&mut bytes[24..], 100, &mut pool, &mut inbox).unwrap();
    assert!(!decoder.is_idle(), "it remembers that it has ended");
    assert_eq!(
        inbox.items,
        [
            Item::Message { kind: MessageKind::Text, is_deflated: false, payload: Payload::InPlace(6..9) },
            Item::Ping(Payload::InPlace(15..18)),
            Item::Message { kind: MessageKind::Binary, is_deflated: false, payload: Payload::InPlace(24..24) },
            Item::Close { code: Some(1000), reason: Payload::InPlace(8..11) },
        ]
    );
    assert_eq!(pool.in_use(), 0);
    assert_eq!(&bytes[6..9], b"one");
}

#[test]
fn a_broken_rule_fails_the_connection_at_the_byte_that_breaks_it() {
    use Role::{Client, Server};
    use WsError::*;
    let long_header = |role: Role, second: u8, length: &[u8]| -> Vec<u8> {
        let mask = if role == Server { 0x80 } else { 0 };
        [&[0x82, second | mask], length].concat()
    };
    let cases: Vec<(Role, Vec<u8>, usize, WsError)> = vec![
        (Server, vec![0xc1], 1, ReservedBits),
        (Server, vec![0xa1], 1, ReservedBits),
        (Server, vec![0x91], 1, ReservedBits),
        (Server, vec![0xf9], 1, ReservedBits),
        (Server, vec![0x83], 1, ReservedOpcode),
        (Server, vec![0x87], 1, ReservedOpcode),
        (Server, vec![0x8b], 1, ReservedOpcode),
        (Server, vec![0x0f], 1, ReservedOpcode),
        (Server, vec![0x81, 0x05], 2, Unmasked),
        (Server, vec![0x89, 0x00], 2, Unmasked),
        (Client, vec![0x81, 0x85], 2, Masked),
        (Client, vec![0x88, 0x80], 2, Masked),
        (Server, vec![0x09], 1, FragmentedControl),
        (Server, vec![0x08], 1, FragmentedControl),
        (Server, vec![0x0a], 1, FragmentedControl),
        (Server, vec![0x89, 0xfe], 2, ControlTooLong),
        (Server, vec![0x8a, 0xff], 2, ControlTooLong),
        (Client, vec![0x88, 0x7e], 2, ControlTooLong),
        (Server, vec![0x88, 0x81], 2, TruncatedClose),
        (Server, long_header(Server, 126, &[0, 0]), 4, BadLength),
        (Server, long_header(Server, 126, &[0, 125]), 4, BadLength),
        (Client, long_header(Client, 127, &[0, 0, 0, 0, 0, 0, 0, 1]), 10, BadLength),
        (Client, long_header(Client, 127, &[0, 0, 0, 0, 0, 0, 0xff, 0xff]), 10, BadLength),
        (Client, long_header(Client, 127, &[0x80, 0, 0, 0, 0, 0, 0, 0]), 3, BadLength),
        (Server, long_header(Server, 127, &[0xff; 8]), 3, BadLength),
        (Server, long_header(Server, 127, &[0, 0, 0, 0, 0, 1, 0x11, 0x71]), 10, MessageTooBig),
        (Server, long_header(Server, 127, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), 10, MessageTooBig),
        (Server, vec![0x80], 1, UnexpectedContinuation),
        (Server, vec![0x00], 1, UnexpectedContinuation),
        (Server, [frame(0x82, b"x"), vec![0x80]].concat(), 8, UnexpectedContinuation),
        (Server, [frame(0x02, b"x"), vec![0x82]].concat(), 8, InterleavedMessage),
        (Server, [frame(0x01, b""), vec![0x01]].concat(), 7, InterleavedMessage),
        (Server, frame(0x88, &[0x03, 0xec]), 8, BadCloseCode),
        (Server, frame(0x88, &[0x03, 0xe8, 0xff]), 9, InvalidUtf8),
        (Server, frame(0x88, &[0x03, 0xe8, 0xc3]), 9, InvalidUtf8),
        (Server, frame(0x81, b"\xc3"), 7, InvalidUtf8),
        (Server, frame(0x81, b"\xff and much that is not waited for"), 7, InvalidUtf8),
        (Server, frame(0x81, b"\xed\xa0\x80"), 8, InvalidUtf8),
        (Server, frame(0x81, b"\xc0\x80"), 7, InvalidUtf8),
        (Server, [frame(0x01, b"\xf4"), frame(0x80, b"\x90\x80\x80")].concat(), 14, InvalidUtf8),
        (Server, [frame(0x01, b"\xe2\x82"), frame(0x80, b"")].concat(), 14, InvalidUtf8),
        (Server, [frame(0x01, b"\xe2\x82"), frame(0x00, b""), frame(0x80, b"x")].concat(), 21, InvalidUtf8),
    ];
    for (role, bytes, at, error) in cases {
        let mut peer = Peer::new(role, 70_000);
        for (index, byte) in bytes.iter().enumerate() {
            let expected = if index + 1 == at { Err(error) } else { Ok(()) };
            assert_eq!(peer.receive(&[*byte]), expected, "byte {} of {bytes:x?}", index + 1);
        }
        peer.end();
        let (_, whole) = decode(role, 70_000, std::iter::once(&bytes[..]));
        assert_eq!(whole, Some(error), "{bytes:x?}");
    }
}

#[test]
fn what_came_before_a_broken_rule_is_heard_and_nothing_after_it() {
    let bytes = [frame(0x81, b"before"), frame(0x83, b""), frame(0x81, b"after")].concat();
    check(Role::Server, &bytes, &[text("before")], Some(WsError::ReservedOpcode));
}

#[test]
fn compressed_messages_are_told_apart_where_they_were_agreed_on() {
    let agreed = |bytes: &[u8], len_max: usize, lens: &[usize]| {
        let mut peer = Peer::new(Role::Server, len_max);
        peer.decoder = Decoder::new(Role::Server).with_deflate(true);
        let outcomes: Vec<_> = pieces(bytes, lens).map(|piece| peer.receive(piece)).collect();
        (peer.end(), outcomes.into_iter().find_map(Result::err))
    };
    let deflated = |kind, payload: &[u8]| Heard::Deflated(kind, payload.to_vec());
    let bytes = [
        frame(0xc1, b"\xff\xfe"),
        frame(0x81, b"plain"),
        frame(0x42, b"in "),
        frame(0x89, b"ping"),
        frame(0x00, b"three "),
        frame(0x80, b"\xff"),
        frame(0x01, b"pl"),
        frame(0x80, b"ain"),
        frame(0xc1, b""),
    ];
    let bytes = bytes.concat();
    let heard = [
        deflated(MessageKind::Text, b"\xff\xfe"),
        text("plain"),
        Heard::Ping(b"ping".into()),
        deflated(MessageKind::Binary, b"in three \xff"),
        text("plain"),
        deflated(MessageKind::Text, b""),
    ];
    for lens in [&[1][..], &[2], &[3, 7], &[bytes.len()]] {
        assert_eq!(agreed(&bytes, 100, lens), (heard.to_vec(), None), "{lens:?}");
    }
    let again = [frame(0xc1, b"one"), frame(0x81, b"\xff")].concat();
    assert_eq!(agreed(&again, 100, &[4]), (vec![deflated(MessageKind::Text, b"one")], Some(WsError::InvalidUtf8)));
    for broken in [
        frame(0xc9, b""),
        frame(0xca, b""),
        frame(0xc8, b""),
        frame(0xa1, b""),
        frame(0x91, b""),
        frame(0xe1, b""),
        [frame(0x41, b"a"), frame(0xc0, b"b")].concat(),
        [frame(0x01, b"a"), frame(0xc0, b"b")].concat(),
    ] {
        assert_eq!(agreed(&broken, 100, &[broken.len()]), (vec![], Some(WsError::ReservedBits)), "{broken:x?}");
        assert_eq!(agreed(&broken, 100, &[1]), (vec![], Some(WsError::ReservedBits)), "{broken:x?}");
    }
    check(Role::Server, &frame(0xc1, b""), &[], Some(WsError::ReservedBits));
    // Random bytes grow a little; a message that is not compressed has its own bound.
    let len = deflated_len_max(100);
    for (frames, error) in [
        (frame(0xc2, &vec![0; len]), None),
        (frame(0xc2, &vec![0; len + 1]), Some(WsError::MessageTooBig)),
        ([frame(0x42, &[0; 100]), frame(0x80, &vec![0; len - 100])].concat(), None),
        ([frame(0x42, &[0; 100]), frame(0x80, &vec![0; len - 99])].concat(), Some(WsError::MessageTooBig)),
        ([frame(0xc2, b""), frame(0x82, &[0; 101])].concat(), Some(WsError::MessageTooBig)),
    ] {
        assert_eq!(agreed(&frames, 100, &[frames.len()]).1, error);
        assert_eq!(agreed(&frames, 100, &[5]).1, error);
    }
}

#[test]
fn after_a_close_frame_everything_is_ignored() {
    let close = frame(0x88, b"\x03\xe9going");
    let bytes = [frame(0x01, b"unfinished"), close, frame(0x80, b" message"), vec![0xff; 20]].concat();
    check(Role::Server, &bytes, &[Heard::Close(Some(1001), "going".into())], None);
}

#[test]
fn close_frames_say_a_code_and_a_reason_or_neither() {
    check(Role::Server, &frame(0x88, b""), &[Heard::Close(None, String::new())], None);
    let longest = [&b"\x0b\xb8"[..], "€".repeat(41).as_bytes()].concat();
    check(Role::Server, &frame(0x88, &longest), &[Heard::Close(Some(3000), "€".repeat(41))], None);
    for code in [1000u16, 1003, 1007, 1014, 3000, 4999] {
        let bytes = frame(0x88, &code.to_be_bytes());
        check(Role::Server, &bytes, &[Heard::Close(Some(code), String::new())], None);
    }
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        check(Role::Server, &frame(0x88, &code.to_be_bytes()), &[], Some(WsError::BadCloseCode));
    }
}

#[test]
fn control_frames_stand_between_fragments_whole_or_not() {
    let longest = [b'p'; 125];
    let bytes = [
        frame(0x01, "gr\u{f6}".as_bytes()[..3].as_ref()),
        frame(0x89, &longest),
        frame(0x00, b""),
        frame(0x8a, b""),
        frame(0x80, b"\xb6\xc3\x9fe"),
        frame(0x89, b"last"),
    ]
    .concat();
    let heard = [Heard::Ping(longest.into()), Heard::Pong(vec![]), text("größe"), Heard::Ping(b"last".into())];
    check(Role::Server, &bytes, &heard, None);

    // A control frame in two pieces stands behind the message in its block, and leaves it as it was.
    let mut peer = Peer::new(Role::Server, 100);
    let ping = frame(0x89, b"in two");
    peer.receive(&[frame(0x02, b"mes"), ping[..9].to_vec()].concat()).unwrap();
    assert_eq!(peer.decoder.block.as_deref(), Some(&b"mesin "[..]));
    peer.receive(&[&ping[9..], &frame(0x80, b"sage")].concat()).unwrap();
    assert_eq!(peer.end(), [Heard::Ping(b"in two".into()), Heard::Binary(b"message".into())]);
}

#[test]
fn a_message_at_the_bound_is_taken_and_one_past_it_refused_when_announced() {
    for fragments in [&[10][..], &[4, 6], &[10, 0], &[0, 0, 10], &[1; 10]] {
        for (extra, error) in [(0, None), (1, Some(WsError::MessageTooBig))] {
            let mut bytes = Vec::new();
            for (index, len) in fragments.iter().enumerate() {
                let is_last = index + 1 == fragments.len();
                let len = len + if is_last { extra } else { 0 };
                let fin = if is_last { 0x80 } else { 0 };
                bytes.extend(frame(fin | if index == 0 { 0x02 } else { 0x00 }, &vec![b'x'; len]));
                if !is_last {
                    bytes.extend(frame(0x89, &[b'y'; 125]));
                }
            }
            for lens in [&[1][..], &[5], &[bytes.len()]] {
                let (heard, outcome) = decode(Role::Server, 10, pieces(&bytes, lens));
                assert_eq!(outcome, error, "{fragments:?} and {extra}");
                assert_eq!(heard.contains(&Heard::Binary(vec![b'x'; 10])), error.is_none());
            }
        }
    }
    let mut peer = Peer::new(Role::Server, 10);
    peer.receive(&frame(0x02, b"12345")).unwrap();
    assert_eq!(peer.receive(&[0x80, 0x80 | 6]), Err(WsError::MessageTooBig), "the header is enough");
    assert_eq!(peer.pool.in_use(), 0, "a failed connection keeps no block");
    peer.end();
}

#[test]
fn each_message_has_the_whole_bound_for_itself() {
    let bytes = [frame(0x02, b"12345"), frame(0x80, b"67890"), frame(0x82, &[b'x'; 10])].concat();
    let expected = [Heard::Binary(b"1234567890".into()), Heard::Binary(vec![b'x'; 10])];
    assert_eq!(decode(Role::Server, 10, pieces(&bytes, &[3])), (expected.to_vec(), None));
}

#[test]
fn what_is_announced_is_not_reserved() {
    let mut peer = Peer::new(Role::Server, 1 << 30);
    peer.receive(&[&[0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4][..], &[0; 100]].concat()).unwrap();
    let block = peer.decoder.block.as_ref().expect("a partial message");
    assert_eq!(block.len(), 100);
    assert!(block.capacity() < 1000, "{}", block.capacity());
    assert!(!peer.decoder.is_idle());
    assert_eq!(peer.end(), []);
}

#[test]
fn sixty_five_thousand_one_byte_fragments_cost_their_bytes() {
    let count = if cfg!(miri) { 300 } else { 65_537 };
    let mut peer = Peer::new(Role::Server, count);
    for index in 0..count {
        let first = if index == 0 { 0x01 } else { 0x00 } | if index + 1 == count { 0x80 } else { 0 };
        peer.receive(&frame(first, b"x")).unwrap();
        assert!(peer.pool.in_use() <= 1);
        assert!(peer.decoder.block.as_ref().is_none_or(|block| block.capacity() <= 2 * (index + 8)));
    }
    assert!(peer.decoder.is_idle());
    assert_eq!(peer.end(), [text(&"x".repeat(count))]);
}

#[test]
fn empty_fragments_cost_nothing() {
    let mut peer = Peer::new(Role::Server, 10);
    let count = if cfg!(miri) { 30 } else { 30_000 };
    peer.receive(&[frame(0x01, b""), frame(0x00, b"").repeat(count)].concat()).unwrap();
    assert_eq!((peer.pool.in_use(), peer.decoder.is_idle()), (0, false));
    peer.receive(&frame(0x80, b"end")).unwrap();
    assert_eq!(peer.end(), [text("end")]);
}

#[test]
fn a_released_decoder_gives_its_block_back_in_any_state() {
    let stream = [frame(0x01, b"part"), frame(0x89, b"ping"), frame(0x00, b"more"), frame(0x88, b"\x03\xe8")].concat();
    for cut in 0..=stream.len() {
        for lens in [[1], [cut.max(1)]] {
            let (_, error) = decode(Role::Server, 100, pieces(&stream[..cut], &lens));
            assert_eq!(error, None);
        }
    }
}

/// A message in fragments, or a control frame.
fn said() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let bytes = || {
        prop_oneof![4 => 0..40usize, 1 => 120..130usize, 1 => 250..300usize]
            .prop_flat_map(|len| prop::collection::vec(any::<u8>(), len))
    };
    let fragments = |first: u8| {
        move |(payload, cuts): (Vec<u8>, Vec<prop::sample::Index>)| {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
            cuts.extend([0, payload.len()]);
            cuts.sort_unstable();
            let last = cuts.len() - 2;
            let fragment = |(index, cut): (usize, &[usize])| {
                let opcode = if index == 0 { first } else { 0 };
                (opcode | if index == last { 0x80 } else { 0 }, payload[cut[0]..cut[1]].to_vec())
            };
            cuts.windows(2).enumerate().map(fragment).collect::<Vec<_>>()
        }
    };
    let cuts = || prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    prop_oneof![
        3 => ("\\PC{0,100}".prop_map(String::into_bytes), cuts()).prop_map(fragments(0x01)),
        2 => (bytes(), cuts()).prop_map(fragments(0x02)),
        1 => (prop::sample::select(vec![0x89, 0x8a]), prop::collection::vec(any::<u8>(), 0..=125))
            .prop_map(|frame| vec![frame]),
    ]
}

/// The frames of some messages, with control frames among the fragments, and what they say.
fn stream(said: &[Vec<(u8, Vec<u8>)>], pings: &[bool], role: Role) -> (Vec<u8>, Vec<Heard>) {
    let (mut bytes, mut heard) = (Vec::new(), Vec::new());
    let mut put = |first: u8, payload: &[u8]| {
        let start = bytes.len();
        let opcode = Opcode::from_bits(first).expect("a known opcode");
        if role == Role::Server {
            encode_client_frame(&mut bytes, opcode, first & 0x80 != 0, [9, 8, 7, start as u8], payload);
        } else {
            encode_header(&mut bytes, opcode, first & 0x80 != 0, payload.len());
            bytes.extend_from_slice(payload);
        }
    };
    let mut pings = pings.iter().copied().cycle();
    for frames in said {
        let mut whole = Vec::new();
        for (first, payload) in frames {
            put(*first, payload);
            whole.extend_from_slice(payload);
            if first & 0x80 == 0 && pings.next() == Some(true) {
                put(0x89, b"between");
                heard.push(Heard::Ping(b"between".into()));
            }
        }
        heard.push(match frames[0].0 & 0x0f {
            0x1 => Heard::Text(String::from_utf8(whole).expect("text was made from text")),
            0x2 => Heard::Binary(whole),
            0x9 => Heard::Ping(whole),
            _ => Heard::Pong(whole),
        });
    }
    (bytes, heard)
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn what_is_said_is_heard_however_it_is_split(
        said in prop::collection::vec(said(), 1..6), pings in prop::collection::vec(any::<bool>(), 1..5),
        lens in piece_lens(), is_server: bool,
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        let (bytes, heard) = stream(&said, &pings, role);
        prop_assert_eq!(decode(role, 400, std::iter::once(&bytes[..])), (heard.clone(), None));
        prop_assert_eq!(decode(role, 400, pieces(&bytes, &lens)), (heard.clone(), None));
        prop_assert_eq!(decode(role, 400, pieces(&bytes, &[1])), (heard, None));
    }

    #[test]
    fn a_corrupted_stream_is_heard_the_same_however_it_is_split(
        said in prop::collection::vec(said(), 1..4), pings in prop::collection::vec(any::<bool>(), 1..5),
        corruptions in corruptions(), lens in piece_lens(), len_max in 0..300usize, is_server: bool,
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        let (mut bytes, _) = stream(&said, &pings, role);
        corrupt(&mut bytes, &corruptions);
        let whole = decode(role, len_max, std::iter::once(&bytes[..]));
        prop_assert_eq!(decode(role, len_max, pieces(&bytes, &lens)), whole.clone());
        prop_assert_eq!(decode(role, len_max, pieces(&bytes, &[1])), whole);
    }

    #[test]
    fn random_bytes_are_heard_the_same_however_they_are_split(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..0x90u8, 0..3u8], 0..80), lens in piece_lens(),
        is_server: bool,
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        let whole = decode(role, 30, std::iter::once(&bytes[..]));
        prop_assert_eq!(decode(role, 30, pieces(&bytes, &lens)), whole);
    }
}
