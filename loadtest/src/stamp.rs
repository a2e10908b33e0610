//! The stamp in a payload: its run, its round, and the intended time of sending.
//!
//! A stamp is letters and digits only, so that it survives JSON, protocol text and any frame around it, and a reader
//! finds it wherever it stands.

use memchr::memmem::Finder;

/// One message's stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Which round of the run.
    pub round: u16,
    /// The number of the message in its topic and round, from 1 on; 0 in echoes.
    pub seq: u32,
    /// When it was meant to be sent, on the clock that all processes share.
    pub intended_ns: u64,
}

impl Stamp {
    /// Of a message to a reader's own topic, with the number `seq` of such messages in its round.
    #[must_use]
    pub const fn own(round: u16, seq: u32, intended_ns: u64) -> Self {
        Self { round, seq: seq | OWN, intended_ns }
    }

    /// The number of a message to a reader's own topic; `None` for any other message.
    #[must_use]
    pub const fn own_seq(self) -> Option<u32> {
        if self.seq & OWN == 0 { None } else { Some(self.seq & !OWN) }
    }
}

/// Tells the numbers of messages to readers' own topics from those of others.
const OWN: u32 = 1 << 31;

/// Bytes of a stamp; no payload is shorter.
pub const STAMP_LEN: usize = PREFIX.len() + 8 + 4 + 8 + 16;

/// Makes and finds the stamps of one run. Those of others, such as the last value of an earlier run, are passed over.
#[derive(Clone, Debug)]
pub struct Stamper {
    run: u32,
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
        Self { run, mark, finder: Finder::new(&mark).into_owned() }
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

    /// Whom a message to an own topic is for, drawn by chance from `readers`: who publishes it and who receives it draw
    /// the same.
    #[must_use]
    pub fn owner_of(&self, round: u16, seq: u32, readers: u32) -> u32 {
        // SplitMix64 [Steele, Lea, Flood 2014].
        let mut mixed = (u64::from(self.run) << 32 | u64::from(seq)) ^ u64::from(round) << 16;
        mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u64::from(mixed as u32) * u64::from(readers)) >> 32) as u32
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
    fn messages_to_own_topics_are_told_apart_and_go_to_everybody_alike() {
        let mut counts = [0; 10];
        let stamper = Stamper::new(9);
        (0..10_000).for_each(|seq| counts[stamper.owner_of(3, seq, 10) as usize] += 1);
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
        assert!((0..100).any(|seq| stamper.owner_of(3, seq, 10) != stamper.owner_of(4, seq, 10)));
        assert_eq!(Stamp::own(3, 7, 5).own_seq(), Some(7));
        assert_eq!(Stamp { round: 3, seq: 7, intended_ns: 5 }.own_seq(), None);
    }

    #[test]
    fn a_payload_has_the_length_that_was_asked_for() {
        assert_eq!(payload(1, 128).len(), 128);
        assert_eq!(payload(1, 1).len(), STAMP_LEN);
        assert!(payload(1, 200).iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'.'));
    }
}
