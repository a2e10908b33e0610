//! Unmasking in place. [RFC 6455 5.3]
//!
//! One scalar twin that every machine has and every other is tested against, and one file per instruction set. Which
//! one serves is picked at the first long payload and never again. This room must never know frames. Tests: here, over
//! all short lengths, key offsets and alignments; they also run under Miri.

use std::sync::OnceLock;

pub mod scalar;

#[cfg(target_arch = "aarch64")]
pub mod aarch64;
#[cfg(target_arch = "x86_64")]
pub mod x86_64;

/// Unmasks `bytes` (or masks them, which is the same), the first of which is payload byte `offset` of its frame.
pub type Unmask = fn(bytes: &mut [u8], masking_key: [u8; 4], offset: usize);

/// Unmasks `bytes` in place, or masks them, which is the same. The first of them is payload byte `offset` of its
/// frame, so that a frame may be unmasked in pieces.
pub fn unmask(bytes: &mut [u8], masking_key: [u8; 4], offset: usize) {
    if bytes.len() < VECTOR_LEN_MIN {
        scalar::unmask(bytes, masking_key, offset)
    } else {
        picked()(bytes, masking_key, offset)
    }
}

/// The fastest implementation that this machine can run.
#[must_use]
pub fn picked() -> Unmask {
    static PICKED: OnceLock<Unmask> = OnceLock::new();
    *PICKED.get_or_init(|| available().last().map_or(scalar::unmask as Unmask, |&(_, unmask)| unmask))
}

/// Every implementation that this machine can run, by name, the fastest last.
#[must_use]
pub fn available() -> Vec<(&'static str, Unmask)> {
    let scalar: (&'static str, Unmask) = ("scalar", scalar::unmask);
    #[cfg(target_arch = "x86_64")]
    let vector = x86_64::avx2().map(|unmask| ("avx2", unmask));
    #[cfg(target_arch = "aarch64")]
    let vector = aarch64::neon().map(|unmask| ("neon", unmask));
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let vector = None;
    [Some(scalar), vector].into_iter().flatten().collect()
}

/// Shorter payloads are done before the indirect call would have paid for itself: at 512 bytes the scalar twin, which
/// the compiler turns into SSE2, is still the faster one, at 4,096 the slower by more than a half (`benches/wire.rs`).
const VECTOR_LEN_MIN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// [RFC 6455 5.3], word for word: `j = i MOD 4`, `transformed-octet-i = original-octet-i XOR masking-key-octet-j`.
    fn by_the_book(bytes: &mut [u8], masking_key: [u8; 4], offset: usize) {
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte ^= masking_key[(offset + i) % 4];
        }
    }

    fn check(name: &str, unmask: Unmask, start: usize, len: usize, offset: usize) {
        let masking_key = [0x37, 0xfa, 0x21, 0x3d];
        let original: Vec<u8> = (0..start + len + 40).map(|i| (i * 7 + 3) as u8).collect();
        let mut expected = original.clone();
        by_the_book(&mut expected[start..start + len], masking_key, offset);
        let mut bytes = original.clone();
        unmask(&mut bytes[start..start + len], masking_key, offset);
        assert_eq!(bytes, expected, "{name}: {len} bytes from {start}, offset {offset}");
    }

    #[test]
    fn every_implementation_does_what_the_rfc_says_at_every_length_offset_and_alignment() {
        let (lens, starts) = if cfg!(miri) { (0..=140, 0..3) } else { (0..=200, 0..32) };
        for (name, unmask) in available().into_iter().chain([("unmask", unmask as Unmask)]) {
            for len in lens.clone() {
                for offset in (0..8).chain([usize::MAX]) {
                    for start in starts.clone() {
                        check(name, unmask, start, len, offset.min(usize::MAX - len));
                    }
                }
            }
        }
    }

    #[test]
    fn long_payloads_agree_with_the_rfc() {
        for (name, unmask) in available().into_iter().chain([("unmask", unmask as Unmask)]) {
            for len in [1023, 1024, 4096 + 31, if cfg!(miri) { 2000 } else { 65_536 + 5 }] {
                check(name, unmask, 1, len, 3);
            }
        }
    }

    #[test]
    fn the_example_of_the_rfc_unmasks_to_hello() {
        let mut bytes = *b"\x7f\x9f\x4d\x51\x58";
        unmask(&mut bytes, [0x37, 0xfa, 0x21, 0x3d], 0);
        assert_eq!(&bytes, b"Hello");
    }

    #[test]
    fn unmasking_twice_gives_the_bytes_back() {
        let original: Vec<u8> = (0..255).collect();
        let mut bytes = original.clone();
        unmask(&mut bytes, [1, 2, 3, 4], 1);
        assert_ne!(bytes, original);
        unmask(&mut bytes, [1, 2, 3, 4], 1);
        assert_eq!(bytes, original);
    }
}
