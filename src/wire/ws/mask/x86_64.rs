//! AVX2: 32 bytes an instruction, 128 a turn of the loop.
//!
//! Why unsafe: the compiler may not use AVX2 unless it is told so, and a function that is told so must only run where
//! the processor has it. What it relies on: [`avx2`] is the only way to get at the function and looks at the processor
//! first; loads and stores go to whole `[u8; 32]` that a slice handed out, so never past it, and need no alignment.
//! What would break it: making `unmask` public, or reading ahead of a chunk. The safe twin is `scalar`; the tests of
//! the room compare the two at every length, offset and alignment, under Miri too.
#![allow(unsafe_code)]

use std::arch::x86_64::{__m256i, _mm256_loadu_si256, _mm256_set1_epi32, _mm256_storeu_si256, _mm256_xor_si256};

use super::{Unmask, scalar};

/// The implementation, if this processor has AVX2.
#[must_use]
pub fn avx2() -> Option<Unmask> {
    is_x86_feature_detected!("avx2").then_some(unmask)
}

/// Only for [`avx2`] to hand out.
fn unmask(bytes: &mut [u8], masking_key: [u8; 4], offset: usize) {
    // SAFETY: `avx2` hands this function out only after it has found AVX2 on this processor.
    unsafe { unmask_avx2(bytes, masking_key, offset) }
}

#[target_feature(enable = "avx2")]
fn unmask_avx2(bytes: &mut [u8], mut masking_key: [u8; 4], offset: usize) {
    masking_key.rotate_left(offset % 4);
    let key = _mm256_set1_epi32(i32::from_ne_bytes(masking_key));
    let (blocks, rest) = bytes.as_chunks_mut::<128>();
    for block in blocks {
        let (lanes, _) = block.as_chunks_mut::<32>();
        for lane in lanes {
            xor_lane(lane, key);
        }
    }
    let (lanes, tail) = rest.as_chunks_mut::<32>();
    for lane in lanes {
        xor_lane(lane, key);
    }
    // All before the tail was a multiple of four bytes, so the key stands as it stood.
    scalar::unmask(tail, masking_key, 0);
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor_lane(lane: &mut [u8; 32], key: __m256i) {
    let place = lane.as_mut_ptr().cast::<__m256i>();
    // SAFETY: `place` is the start of 32 bytes that are borrowed mutably here; both instructions take any alignment.
    unsafe { _mm256_storeu_si256(place, _mm256_xor_si256(_mm256_loadu_si256(place), key)) }
}
