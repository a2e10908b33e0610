//! The options of a subscription: the treatment of a reader that is behind, and its rates.

use std::str::FromStr;

use crate::limits::{MAX_AGE_MS_BOUND, MAX_RATE_BOUND};
use crate::time::MonoTime;

/// The treatment of a reader that cannot keep up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Everything waits, up to a bound; past it the reader is disconnected.
    #[default]
    Queue,
    /// The oldest is dropped, and the reader gets the number of missing messages.
    DropOldest,
    /// Only the newest of each topic and key waits.
    Latest,
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "queue" => Ok(Self::Queue),
            "drop_oldest" => Ok(Self::DropOldest),
            "latest" => Ok(Self::Latest),
            _ => Err(()),
        }
    }
}

/// Messages a second, in thousandths; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u32);

impl Rate {
    /// A rate in messages a second; `None` outside of 0.001 to [`MAX_RATE_BOUND`].
    #[must_use]
    pub fn per_second(rate: f64) -> Option<Self> {
        let is_in_range = (0.001..=MAX_RATE_BOUND).contains(&rate);
        is_in_range.then_some(Self((rate * 1_000.0) as u32))
    }

    /// When the next message may go out after one at `now`. Seconds are cut into as many slots, the same for every
    /// reader, and each slot has room for one: so readers of one rate get the same message at the same time, and it is
    /// encoded once.
    #[must_use]
    pub fn next_slot(self, now: MonoTime) -> MonoTime {
        const NANOS: u128 = 1_000_000_000_000;
        let rate = u128::from(self.0);
        let slot = u128::from(now.as_nanos()) * rate / NANOS;
        let start = ((slot + 1) * NANOS).div_ceil(rate);
        MonoTime::from_nanos(u64::try_from(start).unwrap_or(u64::MAX))
    }
}

/// The options of a subscription. The topic's rule decides those that are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The treatment of the reader if it cannot keep up.
    pub mode: Option<Mode>,
    /// The most messages a second; of more messages the newest is sent.
    pub max_rate: Option<Rate>,
    /// The greatest age of a message that waited for the reader, in milliseconds.
    pub max_age_ms: Option<u32>,
}

/// A `max_rate` as it was typed; `Some(None)` for 0, which is no rate.
///
/// # Errors
/// The range.
pub fn parse_rate(rate: f64) -> Result<Option<Rate>, &'static str> {
    match Rate::per_second(rate) {
        _ if rate == 0.0 => Ok(None),
        Some(rate) => Ok(Some(rate)),
        None => Err("max_rate is messages a second, 0.001 to 1000000, or 0 for no limit"),
    }
}

/// A `max_age_ms` as it was typed; 0 is no bound.
///
/// # Errors
/// The range.
pub fn parse_age(millis: u64) -> Result<Option<u32>, &'static str> {
    match u32::try_from(millis) {
        Ok(0) => Ok(None),
        Ok(millis) if millis <= MAX_AGE_MS_BOUND => Ok(Some(millis)),
        _ => Err("max_age_ms is milliseconds, up to 86400000, or 0 for no limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_begins_where_the_last_one_ends_and_a_second_has_as_many_as_the_rate_says() {
        for (per_second, slots) in [(1.0, 1), (3.0, 3), (10.0, 10), (59.94, 60), (1_000.0, 1_000)] {
            let rate = Rate::per_second(per_second).expect("a rate");
            let (mut now, mut count) = (MonoTime::from_nanos(7_000_000_000), 0);
            loop {
                let next = rate.next_slot(now);
                assert!(next > now);
                now = next;
                if now > MonoTime::from_nanos(8_000_000_000) {
                    break;
                }
                count += 1;
            }
            assert!((slots - 1..=slots).contains(&count), "{per_second}: {count}");
        }
        assert_eq!(Rate::per_second(0.001).expect("a rate").next_slot(MonoTime::ZERO).as_millis(), 1_000_000);
        assert!(Rate::per_second(0.001).expect("a rate").next_slot(MonoTime::from_nanos(u64::MAX)).as_nanos() > 1);
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for rate in [f64::NAN, f64::INFINITY, -1.0, 0.0005, 1e7] {
            assert!(parse_rate(rate).is_err(), "{rate}");
        }
        assert_eq!(parse_rate(0.0), Ok(None));
        assert_eq!(parse_rate(0.5), Ok(Rate::per_second(0.5)));
        assert!(parse_age(u64::MAX).is_err());
        assert_eq!((parse_age(0), parse_age(250)), (Ok(None), Ok(Some(250))));
    }
}
