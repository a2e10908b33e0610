//! Clocks, in nanoseconds that are the same in every process of this machine.

/// A monotonic clock. Pacing and latency take their time from one of these, so that tests can turn it by hand.
pub trait Clock {
    /// Nanoseconds since a moment that all processes of the machine share.
    fn now(&self) -> u64;
}

/// `CLOCK_MONOTONIC`: a stamp made in one worker can be compared with the clock of another.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now(&self) -> u64 {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("Linux always has this clock");
        // Seconds since the boot and a part of a second: neither is negative.
        u64::try_from(now.tv_sec()).unwrap_or(0) * NANOS_PER_SECOND + u64::try_from(now.tv_nsec()).unwrap_or(0)
    }
}

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Nanoseconds in a millisecond.
pub const NANOS_PER_MILLI: u64 = 1_000_000;

/// Milliseconds since 1970, by the calendar.
#[must_use]
pub fn unix_ms() -> u64 {
    fanwire::driver::wall_millis()
}

/// For tests.
#[cfg(test)]
pub mod by_hand {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::Clock;

    /// A clock that stands still until it is turned. Clones show the same time.
    #[derive(Clone, Debug, Default)]
    pub struct VirtualClock(Rc<Cell<u64>>);

    impl VirtualClock {
        /// Moves the time on.
        pub fn advance(&self, nanos: u64) {
            self.0.set(self.0.get() + nanos);
        }
    }

    impl Clock for VirtualClock {
        fn now(&self) -> u64 {
            self.0.get()
        }
    }
}
