//! Time as a value: [`MonoTime`] is what the driver's clock says, [`WallTime`] what people's clocks say, [`Wheel`] keeps one
//! deadline a key.
//!
//! Nothing here reads a clock. Tests: beside the code.

mod wall;
mod wheel;

pub use wall::WallTime;
pub use wheel::{TICK_MS, Wheel};

use std::time::Duration;

/// Monotonic nanoseconds since some time before the process started, so that a restored publication that is older than
/// the process has a time too. Only `driver/` creates one from a clock; elsewhere it is data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoTime(u64);

impl MonoTime {
    /// The earliest time.
    pub const ZERO: Self = Self(0);

    /// The time `nanos` nanoseconds after the first.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the first.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the first.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// This time and `millis` milliseconds; saturates.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1_000_000)))
    }

    /// This time less `millis` milliseconds; saturates.
    #[must_use]
    pub const fn minus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_sub(millis.saturating_mul(1_000_000)))
    }

    /// How much later this is than `earlier`; zero if it is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
