//! When to come back after a lost connection: later each time, and never all at once.

use crate::driver::entropy_seed;

/// Delays that double from [`FIRST_MS`] to [`LAST_MS`], each cut by up to a half at random.
#[derive(Debug)]
pub(super) struct Backoff {
    rng: fastrand::Rng,
    next_ms: u64,
}

const FIRST_MS: u64 = 250;
const LAST_MS: u64 = 15_000;

impl Backoff {
    /// Starts at the first delay.
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), next_ms: FIRST_MS }
    }

    /// With a seed that other processes do not share.
    pub(super) fn of_this_process() -> Self {
        Self::new(entropy_seed())
    }

    /// The next delay, in milliseconds.
    pub(super) fn next_ms(&mut self) -> u64 {
        let whole = self.next_ms;
        self.next_ms = (whole * 2).min(LAST_MS);
        whole / 2 + self.rng.u64(..=whole / 2)
    }

    /// It worked: the next delay is the first again.
    pub(super) fn reset(&mut self) {
        self.next_ms = FIRST_MS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_last_and_are_jittered_by_half() {
        for seed in 0..50 {
            let mut backoff = Backoff::new(seed);
            let mut whole = FIRST_MS;
            for _ in 0..10 {
                let delay = backoff.next_ms();
                assert!((whole / 2..=whole).contains(&delay), "seed {seed}: {delay} of {whole}");
                whole = (whole * 2).min(LAST_MS);
            }
            backoff.reset();
            assert!(backoff.next_ms() <= FIRST_MS, "seed {seed}");
        }
    }

    #[test]
    fn two_seeds_do_not_come_back_together() {
        let delays = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..8).map(|_| backoff.next_ms()).collect::<Vec<_>>()
        };
        assert_ne!(delays(1), delays(2));
    }
}
