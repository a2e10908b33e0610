//! The buffers that receives are served from: a ring of them, shared with the kernel, each filled piece by piece.
//!
//! Why unsafe: the kernel writes into this memory, and what it has written is lent out as slices. What it relies on: the
//! kernel writes to a buffer only between our handing it over (`provide`) and the completion that ends it, always behind
//! the bytes of its earlier completions, and only inside a call of `io_uring_enter` on this thread, since the ring defers
//! its work. So the bytes of a [`Piece`] belong to whoever holds it: a piece exists once, and its buffer is handed over
//! again only when the kernel has ended it and every piece of it came back. What would break it: a piece made from
//! anything but a completion of this buffer group, or memory that is freed before the ring. The contract suite holds the
//! driver above it to the same bytes as epoll, its safe twin.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::limits::{RING_BUFFER_LEN, RING_BUFFERS};

/// Bytes that the kernel has written for us. Goes back by [`BufferRing::give_back`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    buffer: u16,
    start: u32,
    len: u32,
}

impl Piece {
    /// Bytes in it.
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it reaches the end of its buffer, so that there may have been no room for more.
    pub(super) fn ends_buffer(&self) -> bool {
        self.start + self.len == RING_BUFFER_LEN as u32
    }
}

/// The buffers, and the ring in which the kernel finds them.
#[derive(Debug)]
pub(super) struct BufferRing {
    memory: NonNull<u8>,
    /// Entries ever put into the ring.
    tail: u16,
    buffers: [Buffer; RING_BUFFERS],
}

/// How far one buffer is.
#[derive(Clone, Copy, Debug, Default)]
struct Buffer {
    /// Bytes that the kernel has filled.
    filled: u32,
    /// Pieces of it that did not come back.
    lent: u32,
    /// The kernel is done with it.
    is_ended: bool,
}

// SAFETY: the memory belongs to this value alone; nothing in it is tied to a thread until a ring uses it, and that is
// enabled only on the thread that both then stay on.
unsafe impl Send for BufferRing {}

impl BufferRing {
    /// Allocates the buffers and registers them as group [`GROUP`].
    ///
    /// # Errors
    /// The error of the kernel: it knows buffers that are filled piece by piece since Linux 6.12.
    pub(super) fn register(submitter: &Submitter<'_>) -> io::Result<Self> {
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc_zeroed(LAYOUT) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(LAYOUT) };
        let mut ring = Self { memory, tail: 0, buffers: [Buffer::default(); RING_BUFFERS] };
        // SAFETY: the entries stand at the start of the memory, which is aligned to a page and freed only by `Drop`;
        // the owner drops the io_uring before this.
        unsafe {
            submitter.register_buf_ring_with_flags(memory.as_ptr() as u64, RING_BUFFERS as u16, GROUP, INCREMENTAL)?;
        }
        for buffer in 0..RING_BUFFERS as u16 {
            ring.provide(buffer);
        }
        Ok(ring)
    }

    /// The bytes that a completion tells of: the next `len` of `buffer`, which the kernel goes on filling if `has_more`.
    ///
    /// # Panics
    /// If the kernel names a buffer or bytes that it was not given.
    pub(super) fn take(&mut self, buffer: u16, len: u32, has_more: bool) -> Piece {
        let state = &mut self.buffers[usize::from(buffer)];
        let start = state.filled;
        state.filled += len;
        assert!(state.filled <= RING_BUFFER_LEN as u32 && !state.is_ended, "the kernel fills what it was given");
        state.lent += 1;
        state.is_ended = !has_more;
        Piece { buffer, start, len }
    }

    /// The bytes of a piece.
    pub(super) fn bytes(&mut self, piece: &mut Piece) -> &mut [u8] {
        let start = BUFFERS_START + usize::from(piece.buffer) * RING_BUFFER_LEN + piece.start as usize;
        // SAFETY: `take` checked that the bytes lie inside the buffer, and the kernel has written them and is past them.
        // No other piece covers them, and this one is borrowed for as long as the slice is.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr().add(start), piece.len as usize) }
    }

    /// Takes a piece back; the kernel gets its buffer again if that was the last.
    pub(super) fn give_back(&mut self, piece: Piece) {
        let state = &mut self.buffers[usize::from(piece.buffer)];
        state.lent -= 1;
        if state.is_ended && state.lent == 0 {
            self.provide(piece.buffer);
        }
    }

    /// Hands all of a buffer to the kernel.
    fn provide(&mut self, buffer: u16) {
        self.buffers[usize::from(buffer)] = Buffer::default();
        let base = self.memory.cast::<BufRingEntry>().as_ptr();
        let place = usize::from(self.tail) % RING_BUFFERS;
        // SAFETY: the place is one of the entries, which the kernel reads only up to the tail. The tail itself lies in a
        // part of the first entry that the setters leave alone.
        unsafe {
            let entry = &mut *base.add(place);
            let start = BUFFERS_START + usize::from(buffer) * RING_BUFFER_LEN;
            entry.set_addr(self.memory.as_ptr().add(start) as u64);
            entry.set_len(RING_BUFFER_LEN as u32);
            entry.set_bid(buffer);
            self.tail = self.tail.wrapping_add(1);
            let tail = AtomicU16::from_ptr(BufRingEntry::tail(base).cast_mut());
            tail.store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; no piece can be used without this value.
        unsafe { dealloc(self.memory.as_ptr(), LAYOUT) }
    }
}

/// The buffer group of every receive.
pub(super) const GROUP: u16 = 0;
/// `IOU_PBUF_RING_INC`.
const INCREMENTAL: u16 = 2;
const PAGE_LEN: usize = 4096;
/// Behind the entries.
const BUFFERS_START: usize = (RING_BUFFERS * size_of::<BufRingEntry>()).next_multiple_of(PAGE_LEN);
const LAYOUT: Layout = match Layout::from_size_align(BUFFERS_START + RING_BUFFERS * RING_BUFFER_LEN, PAGE_LEN) {
    Ok(layout) => layout,
    Err(_) => panic!("a page is a power of two"),
};

const _: () = assert!(RING_BUFFERS.is_power_of_two() && RING_BUFFERS <= 1 << 15);
