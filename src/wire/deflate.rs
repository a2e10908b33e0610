//! DEFLATE for `permessage-deflate`: each message by itself, without the four bytes at the end of a flush. [RFC 7692
//! 7.2]

use std::fmt;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::limits::DEFLATE_STREAMS_PER_MESSAGE_MAX;

/// Deflates messages. It remembers nothing: the history that a message may refer to is passed in with it.
pub struct Deflater(Compress);

impl Deflater {
    /// With a window of `window_bits`, `9..=15`, and a level, `1..=9`. Memory: some 300 KiB.
    #[must_use]
    pub fn new(window_bits: u8, level: u8) -> Self {
        Self(Compress::new_with_window_bits(Compression::new(u32::from(level)), false, window_bits))
    }

    /// Begins anew: the next message may refer to `history`, the bytes that the reader inflated last, and to nothing
    /// else.
    pub fn begin(&mut self, history: &[u8]) {
        self.0.reset();
        if !history.is_empty() {
            // It is refused only in the middle of a stream.
            let set = self.0.set_dictionary(history);
            debug_assert!(set.is_ok(), "a stream that was just begun takes a dictionary");
        }
    }

    /// Appends a message, which may refer to those since [`Deflater::begin`].
    pub fn deflate(&mut self, message: &[u8], out: &mut Vec<u8>) {
        if message.is_empty() {
            // A second flush with nothing to flush gives nothing. An empty block is always right: [RFC 7692 7.2.3.6]
            out.push(0);
            return;
        }
        let start = out.len();
        let before = self.0.total_in();
        out.reserve(message.len() / 2 + ROOM_LEN);
        loop {
            let taken = (self.0.total_in() - before) as usize;
            let status = self.0.compress_vec(&message[taken..], out, FlushCompress::Sync);
            debug_assert!(!matches!(status, Err(_) | Ok(Status::StreamEnd)), "the stream goes on");
            // Room is left: everything was taken and flushed.
            if out.len() < out.capacity() {
                break;
            }
            out.reserve(message.len() / 2 + ROOM_LEN);
        }
        // "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end." [RFC 7692 7.2.1]
        debug_assert!(out[start..].ends_with(&TAIL[..4]), "a flush ends with an empty block");
        out.truncate(out.len() - 4);
    }
}

/// Inflates messages of any connection: nothing of one message is kept for the next. The history that a message may
/// refer to is passed in with it.
pub struct Inflater(Decompress);

/// Why a message cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateError {
    /// It is no DEFLATE data, or not whole.
    Garbage,
    /// It is longer than it may be.
    TooBig,
}

impl Default for Inflater {
    fn default() -> Self {
        Self(Decompress::new(false))
    }
}

impl Inflater {
    /// Appends the inflated message to `out`, which grows to at most `len_max` bytes. The message may refer to
    /// `history`, the earlier compressed messages of its peer as far as they are kept. A message without bytes is an
    /// empty message: some encoders leave out the byte that stands for it.
    ///
    /// # Errors
    /// [`InflateError`]; `out` then holds a part of it.
    pub fn inflate(
        &mut self,
        history: &[u8],
        message: &[u8],
        len_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), InflateError> {
        if message.is_empty() {
            return Ok(());
        }
        self.0.reset(false);
        if !history.is_empty() {
            // It is refused only where a header says which one belongs to the data.
            let set = self.0.set_dictionary(history);
            debug_assert!(set.is_ok(), "data without a header takes any dictionary");
        }
        let (mut rest, mut streams) = (message, 1);
        while let Some(left) = self.inflate_piece(rest, len_max, out)? {
            // A block with BFINAL ends a stream; the message may go on with another. [RFC 7692 7.2.3.4]
            streams += 1;
            if streams > DEFLATE_STREAMS_PER_MESSAGE_MAX {
                return Err(InflateError::Garbage);
            }
            self.0.reset(false);
            rest = left;
            if rest.is_empty() {
                return Ok(());
            }
        }
        // "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end" [RFC 7692 7.2.2]. The last block behind them ends
        // the stream exactly if the message ended between two blocks.
        match self.inflate_piece(&TAIL, len_max, out)? {
            Some([]) => Ok(()),
            _ => Err(InflateError::Garbage),
        }
    }

    /// Inflates all of `piece`; `Some` with the bytes behind it if the stream ended.
    fn inflate_piece<'a>(
        &mut self,
        mut piece: &'a [u8],
        len_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, InflateError> {
        loop {
            let start = out.len();
            let room = (4 * piece.len()).clamp(ROOM_LEN, STEP_LEN).min(len_max - start);
            let (taken_before, given_before) = (self.0.total_in(), self.0.total_out());
            let mut one_more = [0];
            let status = if room > 0 {
                grow(out, room, len_max);
                self.0.decompress(piece, &mut out[start..], FlushDecompress::Sync)
            } else {
                self.0.decompress(piece, &mut one_more, FlushDecompress::Sync)
            };
            let taken = (self.0.total_in() - taken_before) as usize;
            let given = (self.0.total_out() - given_before) as usize;
            out.truncate(start + given);
            piece = &piece[taken..];
            if room == 0 && given > 0 {
                return Err(InflateError::TooBig);
            }
            match status {
                Err(_) => return Err(InflateError::Garbage),
                Ok(Status::StreamEnd) => return Ok(Some(piece)),
                // Room is left, so that there is nothing more to give.
                Ok(_) if piece.is_empty() && given < room.max(1) => return Ok(None),
                Ok(_) if taken == 0 && given == 0 => return Err(InflateError::Garbage),
                Ok(_) => {}
            }
        }
    }
}

/// Makes `out` longer by `room`; its capacity doubles, but not past `len_max`.
fn grow(out: &mut Vec<u8>, room: usize, len_max: usize) {
    let len = out.len() + room;
    if out.capacity() < len {
        let capacity = (2 * out.capacity()).max(len).min(len_max);
        out.reserve_exact(capacity - out.len());
    }
    out.resize(len, 0);
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deflater")
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inflater")
    }
}

/// The end of a flush, which is not sent, and an empty last block.
const TAIL: [u8; 6] = [0, 0, 0xff, 0xff, 0x03, 0];
/// Bytes that there is room for at first.
const ROOM_LEN: usize = 256;
/// Bytes made room for at a time.
const STEP_LEN: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn deflated(message: &[u8]) -> Vec<u8> {
        let (mut deflater, mut out) = (Deflater::new(15, 6), Vec::new());
        deflater.begin(&[]);
        deflater.deflate(message, &mut out);
        out
    }

    fn inflated(message: &[u8], len_max: usize) -> Result<Vec<u8>, InflateError> {
        let mut out = Vec::new();
        let outcome = Inflater::default().inflate(&[], message, len_max, &mut out);
        assert!(out.capacity() <= len_max, "{} for {len_max}", out.capacity());
        outcome.map(|()| out)
    }

    #[test]
    fn the_examples_of_the_rfc_are_understood() {
        for (message, hello) in [
            // One block; no compression; BFINAL; two blocks. [RFC 7692 7.2.3]
            (&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], "Hello"),
            (b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello"),
            (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"),
            (b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"),
            // Without the byte that [RFC 7692 7.2.3.4] puts behind BFINAL.
            (b"\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello"),
            (b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "HelloHello"),
            // Empty. [RFC 7692 7.2.3.6]
            (b"\x00", ""),
            (b"\x02\x00", ""),
            // Without the byte that stands for it.
            (b"", ""),
        ] {
            assert_eq!(inflated(message, 100).as_deref(), Ok(hello.as_bytes()), "{message:x?}");
        }
    }

    #[test]
    fn whatever_is_deflated_comes_back() {
        let seed = 0x5eed_0013;
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut inflater = Inflater::default();
        for _ in 0..300 {
            let bits = rng.u8(9..=15);
            let mut deflater = Deflater::new(bits, rng.u8(1..=9));
            let alphabet = rng.u8(1..=255);
            let len = if rng.u8(0..20) == 0 { 200_000 } else { rng.usize(0..3_000) };
            let message: Vec<u8> = (0..len).map(|_| rng.u8(0..alphabet)).collect();
            let (mut small, mut out) = (Vec::new(), Vec::new());
            deflater.begin(&[]);
            deflater.deflate(&message, &mut small);
            assert_eq!(inflater.inflate(&[], &small, len, &mut out), Ok(()), "{len} bytes of {alphabet} in {bits}");
            assert!(out == message);
            assert!(small.len() <= crate::limits::deflated_len_max(len), "{len} became {}", small.len());
        }
    }

    #[test]
    fn an_empty_message_is_one_byte_wherever_it_stands() {
        for bits in 9..=15 {
            let (mut deflater, mut reader) = (Deflater::new(bits, 6), Decompress::new_with_window_bits(false, bits));
            deflater.begin(&[]);
            for message in ["", "", "hello", "", "", "hello hello", ""] {
                let mut out = b"before".to_vec();
                deflater.deflate(message.as_bytes(), &mut out);
                let small = out.strip_prefix(b"before").expect("it is appended");
                assert!(!message.is_empty() || small == [0], "{small:x?}");
                let (mut got, before) = (vec![0; 100], reader.total_out());
                let read = reader.decompress(&[small, &TAIL[..4]].concat(), &mut got, FlushDecompress::Sync);
                assert!(read.is_ok());
                got.truncate((reader.total_out() - before) as usize);
                assert_eq!(got, message.as_bytes());
            }
        }
    }

    #[test]
    fn messages_lean_on_the_history_and_on_each_other_within_the_window() {
        for bits in 9..=15 {
            let mut deflater = Deflater::new(bits, 6);
            // A reader whose window is no larger than was agreed.
            let mut reader = Decompress::new_with_window_bits(false, bits);
            let (mut history, mut alone, mut leaning) = (Vec::new(), 0, 0);
            for number in 0..200 {
                let message = format!("{{\"ticker\":\"T{}\",\"price\":{},\"size\":100}}", number % 7, number * 37);
                let mut out = Vec::new();
                deflater.begin(&history);
                deflater.deflate(message.as_bytes(), &mut out);
                leaning += out.len();
                alone += deflated(message.as_bytes()).len();
                let mut got = vec![0; message.len() + 1];
                let before = reader.total_out();
                out.extend_from_slice(&TAIL[..4]);
                reader.decompress(&out, &mut got, FlushDecompress::Sync).expect("it leans on what was said");
                got.truncate((reader.total_out() - before) as usize);
                assert_eq!(String::from_utf8(got).as_deref(), Ok(message.as_str()), "{bits} bits");
                history.extend_from_slice(message.as_bytes());
                history.drain(..history.len().saturating_sub(1 << bits));
            }
            assert!(leaning * 2 < alone, "{leaning} of {alone}");
        }
    }

    #[test]
    fn a_bomb_costs_its_bound_and_nothing_more() {
        let zeros = deflated(&vec![0; 8 << 20]);
        assert!(zeros.len() < 10_000);
        for len_max in [0, 1, 255, 256, 257, 1000, 1 << 20] {
            assert_eq!(inflated(&zeros, len_max), Err(InflateError::TooBig), "{len_max}");
        }
        for len in [0, 1, 255, 256, 257, 4096, 100_000] {
            let message = deflated(&vec![7; len]);
            assert_eq!(inflated(&message, len), Ok(vec![7; len]));
            if len > 0 {
                assert_eq!(inflated(&message, len - 1), Err(InflateError::TooBig), "{len}");
            }
        }
        let blocks = [3, 0].repeat(DEFLATE_STREAMS_PER_MESSAGE_MAX + 1);
        assert_eq!(inflated(&blocks, 100), Err(InflateError::Garbage), "streams without end");
        assert_eq!(inflated(&[3, 0].repeat(DEFLATE_STREAMS_PER_MESSAGE_MAX - 1), 100), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_whole_message_is_garbage() {
        let whole = deflated("a message of some length, of some length, of some length".as_bytes());
        assert!(inflated(&whole, 1000).is_ok());
        for len in 1..whole.len() - 1 {
            assert_eq!(inflated(&whole[..len], 1000), Err(InflateError::Garbage), "the first {len}");
        }
        for message in [&b"\xff"[..], b"\x07", b"\x62\x60\x60\x00\x01\x00"] {
            assert!(inflated(message, 1000).is_err(), "{message:x?}");
        }
        // A distance to before the message.
        let (mut leaning, mut deflater) = (Vec::new(), Deflater::new(15, 6));
        deflater.begin(b"somebody else's message");
        deflater.deflate(b"somebody else's message", &mut leaning);
        let mut inflater = Inflater::default();
        assert_eq!(inflater.inflate(&[], &deflated(b"somebody else's message"), 100, &mut Vec::new()), Ok(()));
        assert_eq!(inflater.inflate(&[], &leaning, 100, &mut Vec::new()), Err(InflateError::Garbage));
    }

    #[test]
    fn a_message_may_lean_on_what_its_peer_said_before() {
        let (mut deflater, mut inflater) = (Deflater::new(15, 6), Inflater::default());
        deflater.begin(&[]);
        let (mut history, mut leaning) = (Vec::new(), 0);
        for number in 0..100 {
            let message = format!("{{\"ticker\":\"T{}\",\"price\":{},\"size\":100}}", number % 7, number * 37);
            let (mut small, mut out) = (Vec::new(), Vec::new());
            deflater.deflate(message.as_bytes(), &mut small);
            assert_eq!(inflater.inflate(&history, &small, 100, &mut out), Ok(()), "{number}");
            assert_eq!(out, message.as_bytes());
            // One that stands for itself takes no harm by a history.
            out.clear();
            assert_eq!(inflater.inflate(&history, &deflated(message.as_bytes()), 100, &mut out), Ok(()));
            assert_eq!(out, message.as_bytes());
            leaning += usize::from(inflated(&small, 100).is_err());
            history.extend_from_slice(message.as_bytes());
        }
        assert!(leaning > 90, "{leaning} of 100 lean on those before");
    }

    #[test]
    fn no_bytes_make_inflating_panic_or_pass_its_bound() {
        let seed = 0x5eed_0014;
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let whole = deflated(&b"compressible ".repeat(30));
        for _ in 0..20_000 {
            let bytes: Vec<u8> = if rng.bool() {
                (0..rng.usize(0..60)).map(|_| rng.u8(..)).collect()
            } else {
                let mut bytes = whole.clone();
                let at = rng.usize(0..bytes.len());
                bytes[at] ^= 1 << rng.u8(0..8);
                bytes
            };
            let _ = inflated(&bytes, 300);
        }
    }
}
