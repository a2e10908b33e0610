//! When a response is made, for `Date`: the monotonic time of the turn, and how the wall clock stood to it.

use crate::command::ConnId;
use crate::shard::Shard;
use crate::time::{MonoTime, WallTime};
use crate::wire::http1::HttpDate;

#[derive(Debug)]
pub(in crate::shard) struct Dates {
    wall: WallTime,
    /// Of the last response, written again when the second has changed.
    last: HttpDate,
}

impl Default for Dates {
    fn default() -> Self {
        Self { wall: WallTime::default(), last: HttpDate::new(0) }
    }
}

impl Dates {
    fn at(&mut self, now: MonoTime) -> HttpDate {
        self.last.set(self.wall.unix_s(now));
        self.last
    }
}

impl Shard {
    /// As [`Shard::reply`], for what tells its date.
    pub(in crate::shard) fn reply_dated(&mut self, id: ConnId, write: impl FnOnce(&str, &mut Vec<u8>)) {
        let date = self.requests.dates.at(self.now);
        self.reply(id, |out| write(date.as_str(), out));
    }

    /// Whether the shard needs the time of the wall clock.
    #[must_use]
    pub fn wants_wall_time(&self, now: MonoTime) -> bool {
        self.requests.dates.wall.is_old(now)
    }

    /// Notes the time of the wall clock, in milliseconds since 1970.
    pub fn note_wall_time(&mut self, now: MonoTime, wall_millis: u64) {
        self.requests.dates.wall.note(now, wall_millis);
    }
}
