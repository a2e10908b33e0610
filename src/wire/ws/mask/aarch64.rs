//! NEON: 16 bytes an instruction, 64 a turn of the loop.
//!
//! Why unsafe: as with every instruction set, a function that uses it must only run where the processor has it. What
//! it relies on: [`neon`] is the only way to get at the function and looks at the processor first; loads and stores go
//! to whole `[u8; 16]` that a slice handed out, so never past it, and need no alignment. What would break it: making
//! `unmask` public, or reading ahead of a chunk. The safe twin is `scalar`; the tests of the room compare the two at
//! every length, offset and alignment, under Miri too.
#![allow(unsafe_code)]

use std::arch::aarch64::{uint8x16_t, veorq_u8, vld1q_u8, vst1q_u8};
use std::arch::is_aarch64_feature_detected;

use super::{Unmask, scalar};

/// The implementation, if this processor has NEON.
#[must_use]
pub fn neon() -> Option<Unmask> {
    is_aarch64_feature_detected!("neon").then_some(unmask)
}

/// Only for [`neon`] to hand out.
fn unmask(bytes: &mut [u8], masking_key: [u8; 4], offset: usize) {
    // SAFETY: `neon` hands this function out only after it has found NEON on this processor.
    unsafe { unmask_neon(bytes, masking_key, offset) }
}

#[target_feature(enable = "neon")]
fn unmask_neon(bytes: &mut [u8], mut masking_key: [u8; 4], offset: usize) {
    masking_key.rotate_left(offset % 4);
    let [a, b, c, d] = masking_key;
    let repeated = [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d];
    // SAFETY: `repeated` is 16 bytes long.
    let key = unsafe { vld1q_u8(repeated.as_ptr()) };
    let (blocks, rest) = bytes.as_chunks_mut::<64>();
    for block in blocks {
        let (lanes, _) = block.as_chunks_mut::<16>();
        for lane in lanes {
            xor_lane(lane, key);
        }
    }
    let (lanes, tail) = rest.as_chunks_mut::<16>();
    for lane in lanes {
        xor_lane(lane, key);
    }
    // All before the tail was a multiple of four bytes, so the key stands as it stood.
    scalar::unmask(tail, masking_key, 0);
}

#[inline]
#[target_feature(enable = "neon")]
fn xor_lane(lane: &mut [u8; 16], key: uint8x16_t) {
    let place = lane.as_mut_ptr();
    // SAFETY: `place` is the start of 16 bytes that are borrowed mutably here; both instructions take any alignment.
    unsafe { vst1q_u8(place, veorq_u8(vld1q_u8(place), key)) }
}
