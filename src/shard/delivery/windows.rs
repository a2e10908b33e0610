//! The latest compressed messages of peers: some peers refer to them in later messages although they were asked not to
//! (Tornado, Mojolicious). One small pool serves all peers; a peer that needs a window that was dropped is closed with
//! 1007.

use std::collections::{BTreeMap, HashMap};

use crate::command::ConnId;
use crate::limits::{INFLATE_WINDOW_LEN, INFLATE_WINDOWS_LEN_MAX, INFLATE_WINDOWS_MAX};

/// The windows of a shard.
#[derive(Debug, Default)]
pub(super) struct Windows {
    by_place: HashMap<u32, Window>,
    /// Places in the arena by when they were last used.
    by_use: BTreeMap<u64, u32>,
    uses: u64,
    len: usize,
}

#[derive(Debug)]
struct Window {
    generation: u32,
    last_use: u64,
    bytes: Vec<u8>,
}

impl Windows {
    /// The latest messages of a peer; empty if they are not known.
    pub fn of(&self, id: ConnId) -> &[u8] {
        self.by_place.get(&id.index).filter(|window| window.generation == id.generation).map_or(&[], |w| &w.bytes)
    }

    /// Keeps a message of a peer, behind its earlier ones.
    pub fn keep(&mut self, id: ConnId, message: &[u8]) {
        let mut bytes = self.take(id.index).filter(|window| window.generation == id.generation).map(|w| w.bytes);
        let bytes = bytes.get_or_insert_default();
        let message = &message[message.len().saturating_sub(INFLATE_WINDOW_LEN)..];
        let surplus = (bytes.len() + message.len()).saturating_sub(INFLATE_WINDOW_LEN);
        bytes.drain(..surplus);
        bytes.reserve_exact(message.len());
        bytes.extend_from_slice(message);
        let (bytes, last_use) = (std::mem::take(bytes), self.uses);
        self.uses += 1;
        self.len += bytes.len();
        self.by_use.insert(last_use, id.index);
        self.by_place.insert(id.index, Window { generation: id.generation, last_use, bytes });
        while self.len > INFLATE_WINDOWS_LEN_MAX || self.by_place.len() > INFLATE_WINDOWS_MAX {
            let (_, &oldest) = self.by_use.first_key_value().expect("something is too much");
            self.take(oldest);
        }
    }

    /// Forgets the window of a place after its peer has gone.
    pub fn forget(&mut self, place: u32) {
        if !self.by_place.is_empty() {
            self.take(place);
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_place.len()
    }

    /// Their bytes.
    pub fn len_of_all(&self) -> usize {
        self.len
    }

    fn take(&mut self, place: u32) -> Option<Window> {
        let window = self.by_place.remove(&place)?;
        self.by_use.remove(&window.last_use);
        self.len -= window.bytes.len();
        Some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u32) -> ConnId {
        ConnId { index, generation: 1 }
    }

    #[test]
    fn a_window_is_what_was_said_last() {
        let mut windows = Windows::default();
        windows.keep(id(3), b"one");
        windows.keep(id(3), b"two");
        assert_eq!((windows.of(id(3)), windows.of(id(4))), (&b"onetwo"[..], &b""[..]));
        assert_eq!(windows.of(ConnId { index: 3, generation: 2 }), b"", "of an earlier connection");
        windows.keep(id(3), &vec![b'x'; INFLATE_WINDOW_LEN - 2]);
        assert!(windows.of(id(3)).starts_with(b"wox") && windows.len_of_all() == INFLATE_WINDOW_LEN);
        windows.keep(ConnId { index: 3, generation: 2 }, b"new");
        assert_eq!((windows.count(), windows.len_of_all()), (1, 3));
        windows.forget(3);
        assert_eq!((windows.count(), windows.len_of_all(), windows.by_use.len()), (0, 0, 0));
    }

    #[test]
    fn the_pool_is_bounded_and_the_one_that_was_used_last_stays() {
        let mut windows = Windows::default();
        let full = vec![b'x'; INFLATE_WINDOW_LEN];
        let fit = (INFLATE_WINDOWS_LEN_MAX / INFLATE_WINDOW_LEN) as u32;
        for index in 0..=fit {
            windows.keep(id(0), b"again");
            windows.keep(id(index + 1), &full);
        }
        assert!(windows.len_of_all() <= INFLATE_WINDOWS_LEN_MAX);
        assert!(windows.of(id(0)).ends_with(b"again") && windows.of(id(1)).is_empty());
        for index in 0..2 * INFLATE_WINDOWS_MAX as u32 {
            windows.keep(id(index), b"x");
        }
        assert_eq!((windows.count(), windows.by_use.len()), (INFLATE_WINDOWS_MAX, INFLATE_WINDOWS_MAX));
    }
}
