//! DEFLATE: any bytes as a compressed message, and any bytes through our compressor and back.
//!
//! Oracles: no byte and no capacity past the bound; the exact bound is enough and one byte less is not; nothing is left
//! of one message for the next; what our compressor writes is read again, by us and by a reader with the agreed window.

use fanwire::limits::deflated_len_max;
use fanwire::wire::deflate::{Deflater, InflateError, Inflater};
use flate2::{Decompress, FlushDecompress, Status};

use super::input::Input;

pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.byte();
    let history = input.counted();
    if choice.is_multiple_of(2) {
        let len_max = [0, 1, 255, 256, 257, 4096, 40_000, 1 << 17][usize::from(choice >> 1) % 8];
        check_inflate(history, input.rest(), len_max);
    } else {
        let (bits, level) = (9 + (choice >> 1) % 7, 1 + input.byte() % 9);
        check_round_trip(bits, level, history, &mut input);
    }
}

fn inflate(inflater: &mut Inflater, history: &[u8], message: &[u8], len_max: usize) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::new();
    let outcome = inflater.inflate(history, message, len_max, &mut out);
    assert!(out.len() <= len_max && out.capacity() <= len_max, "{} of {} for {len_max}", out.len(), out.capacity());
    outcome.map(|()| out)
}

fn check_inflate(history: &[u8], message: &[u8], len_max: usize) {
    let mut inflater = Inflater::default();
    let outcome = inflate(&mut inflater, history, message, len_max);
    // Some other message leaves nothing behind, whether it is whole or not.
    let _ = inflate(&mut inflater, message, history, len_max);
    assert_eq!(inflate(&mut inflater, history, message, len_max), outcome, "something was left");
    match &outcome {
        Ok(out) => {
            assert_eq!(
                inflate(&mut inflater, history, message, out.len()).as_ref(),
                Ok(out),
                "its own length is enough"
            );
            if let Some(less) = out.len().checked_sub(1) {
                let outcome = inflate(&mut inflater, history, message, less);
                assert_eq!(outcome, Err(InflateError::TooBig), "{less} of {}", out.len());
            }
            assert_eq!(naive(history, message, len_max).as_ref(), Some(out));
        }
        Err(InflateError::TooBig) => {
            let more = inflate(&mut inflater, history, message, 2 * len_max + 1);
            assert!(more.is_err() || more.is_ok_and(|out| out.len() > len_max));
        }
        Err(InflateError::Garbage) => {}
    }
    // Onto a vector that holds something already, the bound counts that too.
    let mut out = b"before".to_vec();
    if len_max >= out.len() {
        let appended = inflater.inflate(history, message, len_max, &mut out);
        assert!(out.starts_with(b"before") && out.len() <= len_max);
        if let (Ok(()), Ok(whole)) = (appended, &outcome) {
            assert_eq!(&out[6..], whole);
        }
    }
}

/// Byte by byte, with room for all: what the message says, where it is whole.
fn naive(history: &[u8], message: &[u8], len_max: usize) -> Option<Vec<u8>> {
    if message.is_empty() {
        return Some(Vec::new());
    }
    let mut stream = Decompress::new(false);
    if !history.is_empty() {
        stream.set_dictionary(history).ok()?;
    }
    let (mut out, mut room) = (Vec::new(), vec![0; len_max + 1]);
    for &byte in message.iter().chain(&[0, 0, 0xff, 0xff]) {
        let before = stream.total_out();
        let status = stream.decompress(&[byte], &mut room, FlushDecompress::Sync).ok()?;
        out.extend_from_slice(&room[..(stream.total_out() - before) as usize]);
        if status == Status::StreamEnd {
            stream.reset(false);
        }
    }
    Some(out)
}

fn check_round_trip(bits: u8, level: u8, history: &[u8], input: &mut Input<'_>) {
    let (mut deflater, mut inflater) = (Deflater::new(bits, level), Inflater::default());
    let mut reader = Decompress::new_with_window_bits(false, bits);
    if !history.is_empty() {
        reader.set_dictionary(history).expect("a stream that has not begun takes a dictionary");
    }
    deflater.begin(history);
    let mut said = history.to_vec();
    for _ in 0..8 {
        let repeats = 1 + usize::from(input.byte());
        let message = input.counted().repeat(repeats);
        let mut small = b"before".to_vec();
        deflater.deflate(&message, &mut small);
        let small = small.strip_prefix(b"before").expect("it is appended");
        assert!(small.len() <= deflated_len_max(message.len()), "{} became {}", message.len(), small.len());
        let window = &said[said.len().saturating_sub(1 << 15)..];
        assert_eq!(inflate(&mut inflater, window, small, message.len()).as_ref(), Ok(&message));
        let mut theirs = vec![0; message.len() + 1];
        let before = reader.total_out();
        let with_tail = [small, &[0, 0, 0xff, 0xff]].concat();
        reader.decompress(&with_tail, &mut theirs, FlushDecompress::Sync).expect("within the agreed window");
        theirs.truncate((reader.total_out() - before) as usize);
        assert_eq!(theirs, message);
        said.extend_from_slice(&message);
        if input.is_empty() {
            break;
        }
    }
}
