//! The user data of an entry: what it is, and whose.

use super::sockets::INDEX_MAX;
use crate::command::ConnId;

/// The mark of an entry about a connection.
pub(super) fn mark(kind: u64, conn: ConnId) -> u64 {
    kind << 60 | u64::from(conn.generation) << 28 | u64::from(conn.index)
}

/// The same with a number, below [`INDEX_MAX`], where no connection is concerned.
pub(super) fn mark_number(kind: u64, number: u32) -> u64 {
    mark(kind, ConnId { index: number, generation: 0 })
}

/// The kind and the connection of a mark; a number is its index.
pub(super) fn unmark(user_data: u64) -> (u64, ConnId) {
    let conn = ConnId { index: user_data as u32 & (INDEX_MAX - 1), generation: (user_data >> 28) as u32 };
    (user_data >> 60, conn)
}

/// Of entries whose end concerns nobody.
pub(super) const IGNORED: u64 = 0;
/// Of entries that end in the call that takes them: the number is their place in the batch.
pub(super) const PENDING: u64 = 1;
pub(super) const POLL: u64 = 2;
pub(super) const RECEIVE: u64 = 3;
pub(super) const ROOM: u64 = 4;
pub(super) const CLOSE: u64 = 5;
pub(super) const REFUSE: u64 = 6;
pub(super) const FINISH: u64 = 7;
pub(super) const OPEN: u64 = 8;
pub(super) const CONNECT: u64 = 9;
pub(super) const LISTEN: u64 = 10;
pub(super) const WAKE: u64 = 11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_names_one_kind_and_one_connection() {
        for kind in [IGNORED, PENDING, WAKE] {
            for (index, generation) in [(0, 0), (7, 9), (INDEX_MAX - 1, u32::MAX), (0, u32::MAX), (INDEX_MAX - 1, 0)] {
                let conn = ConnId { index, generation };
                assert_eq!(unmark(mark(kind, conn)), (kind, conn));
            }
        }
    }
}
