//! Gives memory that is free back to the kernel.
//!
//! `unsafe`, because it is a function of the C library. It takes a number, has nothing to say of memory in use, and may be
//! called from any thread at any time; there is no other way to it. Elsewhere than with glibc it does nothing.

#![allow(unsafe_code)]

/// Gives what the allocator keeps for reuse back to the kernel, of all threads. Takes milliseconds where that is much.
pub fn release_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called from any thread, and takes nothing that is in use. [malloc_trim(3)]
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays() {
        let kept: Vec<Box<[u8]>> = (0..1_000).map(|n| vec![n as u8; 4_096].into_boxed_slice()).collect();
        drop(vec![0_u8; 1 << 20]);
        release_memory();
        assert!(kept.iter().enumerate().all(|(n, block)| block.iter().all(|octet| *octet == n as u8)));
    }
}
