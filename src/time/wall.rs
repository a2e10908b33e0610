//! The wall clock as a value.

use super::MonoTime;

/// The wall clock, as it was read last, and advanced with the monotonic clock between two reads. Only for output that
/// people read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallTime {
    seen: Option<(MonoTime, u64)>,
}

impl WallTime {
    /// Whether it is time to read the clock again: somebody may have set it.
    #[must_use]
    pub fn is_old(&self, now: MonoTime) -> bool {
        self.seen.is_none_or(|(at, _)| now >= at.plus_millis(WALL_LOOK_MS))
    }

    /// Notes what it says now, in milliseconds since 1970.
    pub fn note(&mut self, now: MonoTime, wall_millis: u64) {
        self.seen = Some((now, wall_millis));
    }

    /// Whole seconds since 1970; 0 before the first look.
    #[must_use]
    pub fn unix_s(&self, now: MonoTime) -> u64 {
        self.seen.map_or(0, |(at, wall_millis)| (wall_millis + now.since(at).as_millis() as u64) / 1_000)
    }
}

/// How long one read of the wall clock is used, in milliseconds.
const WALL_LOOK_MS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_goes_on_between_two_looks_and_follows_each() {
        let at = |millis| MonoTime::ZERO.plus_millis(millis);
        let mut wall = WallTime::default();
        assert!(wall.is_old(at(0)) && wall.unix_s(at(5)) == 0);
        wall.note(at(500), 10_900);
        assert_eq!([400, 500, 599, 600, 1_600].map(|millis| wall.unix_s(at(millis))), [10, 10, 10, 11, 12]);
        assert!(!wall.is_old(at(1_499)) && wall.is_old(at(1_500)));
        wall.note(at(1_500), 5_000);
        assert_eq!(wall.unix_s(at(1_500)), 5, "it may be set back");
    }
}
