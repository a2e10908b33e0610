//! What a payload carries: which run and round it belongs to, and when it was meant to be sent.
//!
//! A stamp is letters and digits only, so that it survives JSON, protocol text and any frame around it, and a reader
//! finds it wherever it stands.

use memchr::memmem::Finder;

/// One message's stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Which round of the run.
    pub round: u16,
    /// The number of its batch in a closed window; of no meaning elsewhere.
    pub seq: u32,
    /// When it was meant to be sent, on the clock that all processes share.
    pub intended_ns: u64,
}

/// Bytes of a stamp; no payload is shorter.
pub const STAMP_LEN: usize = PREFIX.len() + 8 + 4 + 8 + 16;

/// Makes and finds the stamps of one run. Those of others, such as the last value of an earlier run, are passed over.
#[derive(Clone, Debug)]
pub struct Stamper {
    mark: [u8; MARK_LEN],
    finder: Finder<'static>,
}

impl Stamper {
    /// For the run with this number.
    #[must_use]
    pub fn new(run: u32) -> Self {
        let mut mark = [0; MARK_LEN];
        mark[..PREFIX.len()].copy_from_slice(PREFIX);
        put_hex(&mut mark[PREFIX.len()..], u64::from(run));
        Self { mark, finder: Finder::new(&mark).into_owned() }
    }

    /// Appends a payload of `payload_len` bytes, or of a stamp alone if that is longer.
    pub fn encode(&self, stamp: Stamp, payload_len: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.mark);
        out.resize(start + STAMP_LEN, b'0');
        let (round, rest) = out[start + MARK_LEN..].split_at_mut(4);
        let (seq, intended) = rest.split_at_mut(8);
        put_hex(round, u64::from(stamp.round));
        put_hex(seq, u64::from(stamp.seq));
        put_hex(intended, stamp.intended_ns);
        out.resize(start + payload_len.max(STAMP_LEN), b'.');
    }

    /// The stamps in a message, in order. A server may put several payloads into one.
    pub fn find<'a>(&'a self, message: &'a [u8]) -> impl Iterator<Item = Stamp> + 'a {
        self.finder.find_iter(message).filter_map(|at| {
            let rest = message.get(at + MARK_LEN..at + STAMP_LEN)?;
            Some(Stamp {
                round: hex(&rest[..4])? as u16,
                seq: hex(&rest[4..12])? as u32,
                intended_ns: hex(&rest[12..28])?,
            })
        })
    }
}

const PREFIX: &[u8] = b"fwl";
const MARK_LEN: usize = PREFIX.len() + 8;

/// Fills `out` with the last digits of `value`.
fn put_hex(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

/// At most 16 digits.
fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, &digit| Some(value << 4 | u64::from(char::from(digit).to_digit(16)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { round: 0xfffe, seq: 7, intended_ns: u64::MAX - 1 };

    fn payload(run: u32, len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        Stamper::new(run).encode(STAMP, len, &mut out);
        out
    }

    #[test]
    fn a_stamp_is_found_wherever_it_stands() {
        let stamper = Stamper::new(9);
        for around in [("", ""), ("{\"t\":\"a\",\"d\":\"", "\"}"), ("fwlfwl0000", "fwl")] {
            let message = [around.0.as_bytes(), &payload(9, 128), around.1.as_bytes()].concat();
            assert_eq!(stamper.find(&message).collect::<Vec<_>>(), [STAMP], "{around:?}");
        }
    }

    #[test]
    fn several_payloads_in_one_message_are_several_stamps() {
        let message = [payload(9, 0), payload(9, 128), payload(9, 50)].concat();
        assert_eq!(Stamper::new(9).find(&message).count(), 3);
    }

    #[test]
    fn stamps_of_another_run_and_broken_ones_are_passed_over() {
        let stamper = Stamper::new(9);
        let whole = payload(9, 0);
        assert_eq!(whole.len(), STAMP_LEN);
        assert_eq!(stamper.find(&payload(8, 128)).next(), None);
        for len in 0..STAMP_LEN {
            assert_eq!(stamper.find(&whole[..len]).next(), None, "{len}");
        }
        for at in MARK_LEN..STAMP_LEN {
            let mut broken = whole.clone();
            broken[at] = b'x';
            assert_eq!(stamper.find(&broken).next(), None, "{at}");
        }
    }

    #[test]
    fn a_payload_has_the_length_that_was_asked_for() {
        assert_eq!(payload(1, 128).len(), 128);
        assert_eq!(payload(1, 1).len(), STAMP_LEN);
        assert!(payload(1, 200).iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'.'));
    }
}
