//! Shared by the tests of this room: pieces of a stream, and a seed that is printed.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

/// As many cases as the test wants, from one seed: `FANWIRE_TEST_SEED`, or a fixed one. A test that fails prints it.
pub(super) fn config(cases: u32) -> Config {
    let seed = std::env::var("FANWIRE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(6455);
    println!("FANWIRE_TEST_SEED={seed}");
    Config {
        cases: if cfg!(miri) { 4 } else { cases },
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    }
}

/// Lengths of pieces: often a byte, sometimes many.
pub(super) fn piece_lens() -> impl Strategy<Value = Vec<usize>> {
    let len = prop_oneof![3 => 1..4usize, 2 => 4..40usize, 1 => 40..5000usize];
    prop::collection::vec(len, 1..40)
}

/// `bytes` in pieces of these lengths, over and over until all is used.
pub(super) fn pieces<'a>(bytes: &'a [u8], lens: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = bytes;
    let mut lens = lens.iter().cycle();
    std::iter::from_fn(move || {
        let len = *lens.next()?;
        let (piece, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Changes to a few bytes: where (as a share of the length), and the new byte.
pub(super) fn corruptions() -> impl Strategy<Value = Vec<(f64, u8)>> {
    prop::collection::vec((0.0..1.0f64, any::<u8>()), 0..3)
}

/// Applies them.
pub(super) fn corrupt(bytes: &mut [u8], corruptions: &[(f64, u8)]) {
    let len = bytes.len();
    for &(share, byte) in corruptions {
        if let Some(place) = bytes.get_mut((share * len as f64) as usize) {
            *place = byte;
        }
    }
}
