//! Compressed messages from a server: what is offered, what comes of it, and getting them back. [RFC 7692]
//!
//! The library's decoder knows no extension. So the first bit and the opcode of compressed messages are taken back
//! before it sees them: to it they are binary messages, and what they hold is inflated afterwards. What we send is
//! never compressed, which the extension leaves to every sender.

use std::collections::VecDeque;
use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

/// The agreement of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Each message stands for itself, so that nothing is remembered between two.
    pub server_no_context_takeover: bool,
}

/// The offer: the extension's name, and the parameters that were asked for.
///
/// # Errors
/// For a person to read, if a parameter is none of the extension's.
pub fn offer(parameters: &str) -> Result<String, String> {
    let mut offer = NAME.to_owned();
    for parameter in parameters.split([';', ',']).map(str::trim).filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').map_or((parameter, None), |(name, value)| (name, Some(value)));
        if !is_parameter(name, value, true) {
            return Err(format!("{parameter} is no parameter of permessage-deflate"));
        }
        offer.push_str("; ");
        offer.push_str(parameter);
    }
    Ok(offer)
}

/// Reads the `Sec-WebSocket-Extensions` of an answer; `None` if it is not what was offered.
#[must_use]
pub fn parse_agreed(value: &[u8]) -> Option<Agreed> {
    let mut parts = std::str::from_utf8(value).ok()?.split(';').map(str::trim);
    if parts.next()? != NAME {
        return None;
    }
    let mut agreed = Agreed { server_no_context_takeover: false };
    for part in parts {
        let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
        if !is_parameter(name, value, false) {
            return None;
        }
        agreed.server_no_context_takeover |= name == "server_no_context_takeover";
    }
    Some(agreed)
}

/// The parameters of RFC 7692 7.1. Only an offer may leave the bits of the client's window open.
fn is_parameter(name: &str, value: Option<&str>, is_offer: bool) -> bool {
    let is_bits = |value: &str| value.trim_matches('"').parse().is_ok_and(|bits: u8| (8..=15).contains(&bits));
    match (name, value) {
        ("server_no_context_takeover" | "client_no_context_takeover", None) => true,
        ("client_max_window_bits", None) => is_offer,
        ("server_max_window_bits" | "client_max_window_bits", Some(value)) => is_bits(value),
        _ => false,
    }
}

/// Which messages of one connection are compressed: a walk along the headers of its frames.
#[derive(Debug, Default)]
pub struct Marks {
    /// Bytes of the header so far; 0 between two frames.
    header_len: u8,
    /// Bytes of the header before the length, and of the length itself.
    header_len_whole: u8,
    /// The payload's length, as far as it is known; behind the header what is still to come of it.
    rest: u64,
    is_in_payload: bool,
    /// For each message that has begun and was not taken yet.
    begun: VecDeque<Mark>,
}

/// The kind of a message, before its frames were made to look uncompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// As it stands.
    Plain,
    /// To be inflated, and then text.
    CompressedText,
    /// To be inflated.
    CompressedBinary,
}

impl Marks {
    /// Notes which messages begin in `bytes`, and takes the marks of compression from their frames. What breaks a rule
    /// is left as it is, for the decoder to find.
    pub fn take_off(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while let Some(byte) = bytes.get_mut(at) {
            if self.is_in_payload {
                let skipped = usize::try_from(self.rest).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.rest -= skipped as u64;
                self.is_in_payload = self.rest > 0;
                at += skipped;
                continue;
            }
            at += 1;
            match self.header_len {
                0 => {
                    self.begin(byte);
                    self.header_len_whole = 2;
                }
                1 => {
                    self.rest = match *byte & 0x7f {
                        126 => {
                            self.header_len_whole = 4;
                            0
                        }
                        127 => {
                            self.header_len_whole = 10;
                            0
                        }
                        len => u64::from(len),
                    };
                }
                _ => self.rest = self.rest << 8 | u64::from(*byte),
            }
            self.header_len += 1;
            if self.header_len > 1 && self.header_len == self.header_len_whole {
                self.header_len = 0;
                self.is_in_payload = self.rest > 0;
            }
        }
    }

    /// The first byte of a frame. "RSV1 ... is set on the first frame of a compressed message" [RFC 7692 6]
    fn begin(&mut self, first: &mut u8) {
        let mark = match *first & 0x4f {
            0x41 => Mark::CompressedText,
            0x42 => Mark::CompressedBinary,
            0x01 | 0x02 => Mark::Plain,
            _ => return,
        };
        if mark != Mark::Plain {
            *first = *first & 0xb0 | 0x02;
        }
        // The decoder gives up at the first message that begins inside of another.
        if self.begun.len() < BEGUN_MAX {
            self.begun.push_back(mark);
        }
    }

    /// The next message of the decoder.
    pub fn take_next(&mut self) -> Mark {
        self.begun.pop_front().unwrap_or(Mark::Plain)
    }
}

/// Inflates the messages of one connection, or of all that remember nothing between two messages.
pub struct Inflater(Decompress);

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inflater")
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self(Decompress::new(false))
    }
}

/// Why a message cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadMessage {
    /// It is no DEFLATE data.
    Garbage,
    /// It is longer than it may be.
    TooBig,
}

impl Inflater {
    /// Forgets what was said before.
    pub fn reset(&mut self) {
        self.0.reset(false);
    }

    /// Appends to `out` what a message holds, at most `len_max` bytes.
    ///
    /// # Errors
    /// [`BadMessage`]; the connection is of no more use.
    pub fn inflate(&mut self, message: &[u8], len_max: usize, out: &mut Vec<u8>) -> Result<(), BadMessage> {
        // "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload" [RFC 7692 7.2.2]
        for piece in [message, &[0, 0, 0xff, 0xff]] {
            if self.inflate_piece(piece, len_max, out)? {
                // A last block ends the stream; a sender begins a new one.
                self.reset();
                break;
            }
        }
        Ok(())
    }

    /// Whether it was the last of the stream.
    fn inflate_piece(&mut self, mut piece: &[u8], len_max: usize, out: &mut Vec<u8>) -> Result<bool, BadMessage> {
        loop {
            if out.len() > len_max {
                return Err(BadMessage::TooBig);
            }
            out.reserve(STEP_LEN);
            let (taken_before, given_before) = (self.0.total_in(), out.len());
            let status = self.0.decompress_vec(piece, out, FlushDecompress::Sync).map_err(|_| BadMessage::Garbage)?;
            let taken = usize::try_from(self.0.total_in() - taken_before).unwrap_or(usize::MAX);
            piece = piece.get(taken..).unwrap_or_default();
            match status {
                Status::StreamEnd => return Ok(true),
                // Room is left, so that there is nothing more to give.
                _ if piece.is_empty() && out.len() < out.capacity() => break,
                _ if taken == 0 && out.len() == given_before => return Err(BadMessage::Garbage),
                _ => {}
            }
        }
        if out.len() > len_max { Err(BadMessage::TooBig) } else { Ok(false) }
    }
}

const NAME: &str = "permessage-deflate";

/// Messages that begin in one receive, at most: every two bytes of its buffer may be one.
const BEGUN_MAX: usize = 256 * 1024;

/// Bytes that are made room for at a time.
const STEP_LEN: usize = 4096;

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    fn compressed(compress: &mut Compress, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 64);
        compress.compress_vec(text, &mut out, FlushCompress::Sync).expect("there is room");
        out.truncate(out.len() - 4);
        out
    }

    #[test]
    fn messages_come_back_and_lean_on_those_before() {
        let mut compress = Compress::new(Compression::default(), false);
        let mut inflater = Inflater::default();
        let text = (0..20_000_u32).flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_be_bytes()).collect::<Vec<_>>();
        let messages = [compressed(&mut compress, &text[..9000]), compressed(&mut compress, &text[..9000])];
        assert!(messages[1].len() < messages[0].len() / 10, "the second refers to the first");
        for message in &messages {
            let mut out = Vec::new();
            assert_eq!(inflater.inflate(message, 9000, &mut out), Ok(()));
            assert_eq!(out, text[..9000]);
        }
        inflater.reset();
        assert_eq!(inflater.inflate(&messages[1], 9000, &mut Vec::new()), Err(BadMessage::Garbage));
    }

    #[test]
    fn a_message_that_grows_past_its_bound_is_given_up() {
        let bomb = compressed(&mut Compress::new(Compression::best(), false), &vec![0; 10_000_000]);
        let mut out = Vec::new();
        assert_eq!(Inflater::default().inflate(&bomb, 100_000, &mut out), Err(BadMessage::TooBig));
        assert!(out.len() <= 200_000, "{}", out.len());
        assert_eq!(Inflater::default().inflate(&bomb, 10_000_000, &mut Vec::new()), Ok(()));
    }

    #[test]
    fn no_bytes_at_all_make_inflating_panic_or_go_on_for_ever() {
        let seed = 7;
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..random.usize(0..60)).map(|_| random.u8(..)).collect();
            let mut out = Vec::new();
            let _ = Inflater::default().inflate(&bytes, 10_000, &mut out);
            assert!(out.len() <= 20_000, "seed {seed}: {bytes:?}");
        }
    }

    #[test]
    fn marks_are_taken_off_however_the_bytes_are_split() {
        let frames = [
            &b"\xc1\x01a"[..],
            b"\x82\x02bc",
            b"\x41\x00\x89\x01p\x80\x03def",
            b"\xc2\x7e\x00\x81",
            &[7; 129],
            b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00",
            &[0xc1; 65_536],
            b"\xc1\x00",
        ];
        let all = frames.concat();
        let mut expected = all.clone();
        for at in [0, 7, 17, all.len() - 2] {
            assert_eq!(expected[at] & 0x40, 0x40, "{at}");
            expected[at] = expected[at] & 0xb0 | 2;
        }
        for piece_len in [1, 2, 3, 5, 64, 1000, all.len()] {
            let (mut marks, mut bytes) = (Marks::default(), all.clone());
            bytes.chunks_mut(piece_len).for_each(|piece| marks.take_off(piece));
            assert!(bytes == expected, "pieces of {piece_len}");
            use Mark::{CompressedBinary, CompressedText, Plain};
            assert_eq!(marks.begun, [CompressedText, Plain, CompressedText, CompressedBinary, Plain, CompressedText]);
        }
    }

    #[test]
    fn what_breaks_a_rule_is_left_for_the_decoder() {
        for first in [0xc0, 0xc9, 0xa1, 0x91, 0xe1] {
            let mut bytes = [first, 0];
            Marks::default().take_off(&mut bytes);
            assert!(bytes[0] & 0x70 != 0, "{first:x}");
        }
    }

    #[test]
    fn offers_and_answers_are_those_of_the_rfc() {
        assert_eq!(offer("").as_deref(), Ok("permessage-deflate"));
        assert_eq!(
            offer("server_no_context_takeover;server_max_window_bits=10").as_deref(),
            Ok("permessage-deflate; server_no_context_takeover; server_max_window_bits=10")
        );
        for bad in ["x", "server_max_window_bits", "server_max_window_bits=7", "a\r\nb"] {
            assert!(offer(bad).is_err(), "{bad}");
        }
        let agreed = |takeover: bool| Some(Agreed { server_no_context_takeover: !takeover });
        for (value, expected) in [
            ("permessage-deflate", agreed(true)),
            ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", agreed(false)),
            ("permessage-deflate;server_max_window_bits=\"12\"", agreed(true)),
            ("permessage-deflate; client_max_window_bits", None),
            ("permessage-deflate, permessage-deflate", None),
            ("x-webkit-deflate-frame", None),
            ("", None),
        ] {
            assert_eq!(parse_agreed(value.as_bytes()), expected, "{value}");
        }
    }
}
