//! WebSocket frames at either end, with and without compression.
//!
//! Oracles: a decoder that takes all at once and is written from the RFC alone; any split gives the same items and the
//! same error; what was read is encoded, decoded and read the same; what is held is bounded by what arrived and by the
//! limit.

use fanwire::buf::BlockPool;
use fanwire::command::MessageKind;
use fanwire::limits::deflated_len_max;
use fanwire::wire::ws::decode::Role;
use fanwire::wire::ws::{Decoder, Item, Opcode, Payload, WsError, encode_client_frame, encode_header};

use super::input::{Input, for_len, pieces};

/// An item with its payload as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Message { kind: MessageKind, is_deflated: bool, payload: Vec<u8> },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, Vec<u8>),
}

/// The agreement of the two ends.
#[derive(Clone, Copy)]
struct Terms {
    role: Role,
    deflate: bool,
    len_max: usize,
}

type Outcome = (Vec<Said>, Option<WsError>);

pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.byte();
    let terms = Terms {
        role: if choice & 1 == 0 { Role::Server } else { Role::Client },
        deflate: choice & 2 != 0,
        len_max: [1 << 20, 300, 125, 70_000][usize::from(choice >> 2) % 4],
    };
    let items_max = 1 + usize::from(choice >> 4);
    let lens = input.lens();
    let filler = usize::from(input.byte()) * 512;
    let mut stream = input.rest().to_vec();
    stream.resize(stream.len() + filler, b'x');
    let lens = for_len(lens, stream.len());

    let whole = decode(terms, pieces(&stream, &[usize::MAX]), usize::MAX);
    assert_eq!(whole, reference(terms, &stream), "the RFC says something else");
    assert_eq!(decode(terms, pieces(&stream, &lens), items_max), whole, "by {lens:?}, {items_max} at a time");
    assert_eq!(decode(terms, pieces(&stream, &[usize::MAX]), items_max), whole, "{items_max} at a time");
    if stream.len() < 1024 {
        assert_eq!(decode(terms, pieces(&stream, &[1]), usize::MAX), whole, "byte by byte");
    }
    let fragment_len = lens[0].clamp(1, 1 << 20);
    let again = encode(terms, &whole.0, fragment_len);
    assert_eq!(decode(terms, pieces(&again, &[usize::MAX]), usize::MAX), (whole.0.clone(), None), "encoded anew");
    assert_eq!(decode(terms, pieces(&again, &lens), items_max), (whole.0, None), "encoded anew, by {lens:?}");
}

/// The items of a stream in these pieces, taken out so many at a time.
fn decode<'a>(terms: Terms, pieces: impl Iterator<Item = &'a [u8]>, items_max: usize) -> Outcome {
    let mut decoder = Decoder::new(terms.role).with_deflate(terms.deflate);
    let mut pool = BlockPool::default();
    let (mut said, mut error, mut arrived) = (Vec::new(), None, 0);
    let held_max = deflated_len_max(terms.len_max) + 125;
    for piece in pieces {
        let mut bytes = piece.to_vec();
        let mut rest = &mut bytes[..];
        arrived += rest.len();
        while !rest.is_empty() {
            let mut items = Vec::new();
            let outcome = decoder.decode_some(rest, terms.len_max, items_max, &mut pool, &mut items);
            said.extend(items.iter().map(|item| Said::of(item, rest)));
            assert!(items.len() <= items_max, "{} items", items.len());
            items.into_iter().for_each(|item| item.into_payload().recycle(&mut pool));
            // A vector doubles.
            assert!(decoder.held_len() <= 2 * held_max.min(arrived) + 64, "{} of {arrived}", decoder.held_len());
            let taken = match outcome {
                Ok(taken) => taken,
                Err(first) => {
                    assert_eq!(error.replace(first), None, "it fails once");
                    rest.len()
                }
            };
            assert!(taken > 0, "it goes on");
            rest = &mut rest[taken..];
        }
    }
    decoder.release(&mut pool);
    assert_eq!(pool.in_use(), 0, "every block came back");
    (said, error)
}

impl Said {
    fn of(item: &Item, bytes: &[u8]) -> Self {
        let slice = |payload: &Payload| payload.as_slice(bytes).to_vec();
        match item {
            Item::Message { kind, is_deflated, payload } => {
                Self::Message { kind: *kind, is_deflated: *is_deflated, payload: slice(payload) }
            }
            Item::Ping(payload) => Self::Ping(slice(payload)),
            Item::Pong(payload) => Self::Pong(slice(payload)),
            Item::Close { code, reason } => Self::Close(*code, slice(reason)),
        }
    }
}

/// All at once, with everything in vectors. [RFC 6455 5] [RFC 7692 6]
fn reference(terms: Terms, stream: &[u8]) -> Outcome {
    let mut said = Vec::new();
    let error = reference_frames(terms, stream, &mut said).err();
    (said, error)
}

fn reference_frames(terms: Terms, stream: &[u8], said: &mut Vec<Said>) -> Result<(), WsError> {
    let mut rest = stream;
    // Whether it is text, whether it is compressed, and what has come of it.
    let mut message: Option<(bool, bool, Vec<u8>)> = None;
    while let Some((&first, behind)) = rest.split_first() {
        let (fin, rsv, opcode) = (first & 0x80 != 0, first >> 4 & 7, first & 0xf);
        let is_control = opcode >= 8;
        match (rsv, opcode) {
            (0, _) => {}
            (4, _) if terms.deflate => {}
            _ => return Err(WsError::ReservedBits),
        }
        match opcode {
            3..=7 | 11..=15 => return Err(WsError::ReservedOpcode),
            8..=10 if !fin => return Err(WsError::FragmentedControl),
            0 if message.is_none() => return Err(WsError::UnexpectedContinuation),
            1 | 2 if message.is_some() => return Err(WsError::InterleavedMessage),
            0 | 8..=10 if rsv != 0 => return Err(WsError::ReservedBits),
            _ => {}
        }
        let Some((&second, behind)) = behind.split_first() else { return Ok(()) };
        match (second & 0x80 != 0, terms.role) {
            (false, Role::Server) => return Err(WsError::Unmasked),
            (true, Role::Client) => return Err(WsError::Masked),
            _ => {}
        }
        let short = second & 0x7f;
        if is_control && short > 125 {
            return Err(WsError::ControlTooLong);
        }
        if opcode == 8 && short == 1 {
            return Err(WsError::TruncatedClose);
        }
        let extended = [0, 2, 8][usize::from(short.saturating_sub(125))];
        if short == 127 && behind.first().is_some_and(|&high| high > 0x7f) {
            return Err(WsError::BadLength);
        }
        let Some((extended, behind)) = behind.split_at_checked(extended) else { return Ok(()) };
        let len = extended.iter().fold(0u64, |len, &byte| len << 8 | u64::from(byte));
        let len = if short < 126 { u64::from(short) } else { len };
        if short == 126 && len < 126 || short == 127 && len < 65_536 {
            return Err(WsError::BadLength);
        }
        match opcode {
            1 | 2 => message = Some((opcode == 1, rsv == 4, Vec::new())),
            _ => {}
        }
        if let Some((_, is_deflated, before)) = message.as_ref().filter(|_| !is_control) {
            let len_max = if *is_deflated { deflated_len_max(terms.len_max) } else { terms.len_max };
            if before.len() as u64 + len > len_max as u64 {
                return Err(WsError::MessageTooBig);
            }
        }
        let mask_len = if terms.role == Role::Server { 4 } else { 0 };
        let Some((mask, behind)) = behind.split_at_checked(mask_len) else { return Ok(()) };
        let present = behind.len().min(usize::try_from(len).unwrap_or(usize::MAX));
        let is_whole = present as u64 == len;
        let mut payload = behind[..present].to_vec();
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        if is_control {
            if is_whole && reference_control(opcode, payload, said)? {
                return Ok(());
            }
        } else if let Some((is_text, is_deflated, mut before)) = message.take() {
            before.extend(payload);
            let is_last = is_whole && fin;
            match std::str::from_utf8(&before) {
                Err(error) if is_text && !is_deflated && (is_last || error.error_len().is_some()) => {
                    return Err(WsError::InvalidUtf8);
                }
                _ => {}
            }
            if is_last {
                let kind = if is_text { MessageKind::Text } else { MessageKind::Binary };
                said.push(Said::Message { kind, is_deflated, payload: before });
            } else {
                message = Some((is_text, is_deflated, before));
            }
        }
        rest = &behind[present..];
    }
    Ok(())
}

/// Whether it is a close frame, behind which nothing is heard. [RFC 6455 5.5] [RFC 6455 7.4]
fn reference_control(opcode: u8, payload: Vec<u8>, said: &mut Vec<Said>) -> Result<bool, WsError> {
    match (opcode, &payload[..]) {
        (9, _) => said.push(Said::Ping(payload)),
        (10, _) => said.push(Said::Pong(payload)),
        (_, []) => said.push(Said::Close(None, payload)),
        (_, [high, low, reason @ ..]) => {
            let code = u16::from(*high) * 256 + u16::from(*low);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(WsError::BadCloseCode);
            }
            if std::str::from_utf8(reason).is_err() {
                return Err(WsError::InvalidUtf8);
            }
            said.push(Said::Close(Some(code), reason.to_vec()));
        }
        (_, [_]) => return Err(WsError::TruncatedClose),
    }
    Ok(opcode == 8)
}

/// Frames that say it again, the messages in fragments.
fn encode(terms: Terms, said: &[Said], fragment_len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for said in said {
        match said {
            Said::Message { kind, is_deflated, payload } => {
                let mut opcode = if *kind == MessageKind::Text { Opcode::Text } else { Opcode::Binary };
                let first = out.len();
                let mut rest = &payload[..];
                loop {
                    let (fragment, behind) = rest.split_at(fragment_len.max(payload.len() / 16).min(rest.len()));
                    frame(terms.role, &mut out, opcode, behind.is_empty(), fragment);
                    (opcode, rest) = (Opcode::Continuation, behind);
                    if rest.is_empty() {
                        break;
                    }
                }
                out[first] |= if *is_deflated { 0x40 } else { 0 };
            }
            Said::Ping(payload) => frame(terms.role, &mut out, Opcode::Ping, true, payload),
            Said::Pong(payload) => frame(terms.role, &mut out, Opcode::Pong, true, payload),
            Said::Close(code, reason) => {
                let code = code.map(u16::to_be_bytes);
                let payload = [code.as_ref().map_or(&[][..], |code| &code[..]), reason].concat();
                frame(terms.role, &mut out, Opcode::Close, true, &payload);
            }
        }
    }
    out
}

fn frame(role: Role, out: &mut Vec<u8>, opcode: Opcode, fin: bool, payload: &[u8]) {
    match role {
        Role::Server => encode_client_frame(out, opcode, fin, [0x37, 0xfa, 0x21, 0x3d], payload),
        Role::Client => {
            encode_header(out, opcode, fin, payload.len());
            out.extend_from_slice(payload);
        }
    }
}
