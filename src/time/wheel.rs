//! A timer wheel with one entry a key: schedule, move and cancel in O(1), no allocation past its capacity.

use super::MonoTime;

/// One wheel over keys `0..capacity`.
///
/// A deadline past the wheel's horizon (`SLOTS` ticks) waits in the farthest slot and is handed out early; the
/// owner looks at its own deadline and schedules again. So a key that comes out of [`Wheel::expire`] means "look",
/// not "expired".
///
/// Per slot the keys form a ring-free doubly linked list in `links`, two `u32` a key; pages that no key has touched
/// cost nothing.
#[derive(Debug)]
pub struct Wheel {
    heads: Vec<u32>,
    occupied: [u64; SLOTS / 64],
    links: Vec<Link>,
    capacity: u32,
    /// The last tick that has expired. Every scheduled key lies in `now_tick + 1 ..= now_tick + SLOTS - 1`.
    now_tick: u64,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    next: u32,
    /// A key, or `HEAD | slot` for the first of its slot, or `NONE` for a key that is not scheduled.
    prev: u32,
}

impl Wheel {
    /// An empty wheel for keys below `capacity`.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        assert!(capacity <= HEAD, "a key must leave the top bit free");
        Self {
            heads: vec![NONE; SLOTS],
            occupied: [0; SLOTS / 64],
            links: Vec::with_capacity(capacity as usize),
            capacity,
            now_tick: 0,
            len: 0,
        }
    }

    /// Sets the deadline of `key`, replacing the one it had. It is handed out by the first [`Wheel::expire`] whose
    /// time is at or after `deadline`, rounded up to a tick, or earlier if the deadline is past the horizon.
    pub fn schedule(&mut self, key: u32, deadline: MonoTime) {
        assert!(key < self.capacity, "the key is past the wheel's capacity");
        if self.links.len() <= key as usize {
            self.links.resize(key as usize + 1, Link { next: NONE, prev: NONE });
        }
        self.cancel(key);
        let tick = deadline.as_millis().div_ceil(TICK_MS);
        let tick = tick.clamp(self.now_tick + 1, self.now_tick + SLOTS as u64 - 1);
        let slot = (tick % SLOTS as u64) as usize;
        let old_head = self.heads[slot];
        self.links[key as usize] = Link { next: old_head, prev: HEAD | slot as u32 };
        if old_head != NONE {
            self.links[old_head as usize].prev = key;
        }
        self.heads[slot] = key;
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.len += 1;
    }

    /// Forgets the deadline of `key`; does nothing if it has none.
    pub fn cancel(&mut self, key: u32) {
        let Some(&Link { next, prev }) = self.links.get(key as usize) else { return };
        if prev == NONE {
            return;
        }
        if next != NONE {
            self.links[next as usize].prev = prev;
        }
        if prev & HEAD == 0 {
            self.links[prev as usize].next = next;
        } else {
            let slot = (prev & !HEAD) as usize;
            self.heads[slot] = next;
            if next == NONE {
                self.occupied[slot / 64] &= !(1 << (slot % 64));
            }
        }
        self.links[key as usize] = Link { next: NONE, prev: NONE };
        self.len -= 1;
    }

    /// Moves the wheel to `now` and appends to `due` every key whose slot has passed. They are no longer scheduled.
    pub fn expire(&mut self, now: MonoTime, due: &mut Vec<u32>) {
        let target = now.as_millis() / TICK_MS;
        while let Some(tick) = self.next_tick() {
            if tick > target {
                break;
            }
            self.now_tick = tick;
            let slot = (tick % SLOTS as u64) as usize;
            while self.heads[slot] != NONE {
                let key = self.heads[slot];
                self.cancel(key);
                due.push(key);
            }
        }
        self.now_tick = self.now_tick.max(target);
    }

    /// When [`Wheel::expire`] next returns a key; `None` while nothing is scheduled.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonoTime> {
        self.next_tick().map(|tick| MonoTime::ZERO.plus_millis(tick * TICK_MS))
    }

    /// Scheduled keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no key is scheduled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn next_tick(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let first = ((self.now_tick + 1) % SLOTS as u64) as usize;
        for step in 0..=self.occupied.len() {
            let word = (first / 64 + step) % self.occupied.len();
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= !0 << (first % 64);
            } else if step == self.occupied.len() {
                bits &= !(!0 << (first % 64));
            }
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (slot + SLOTS - first) % SLOTS;
                return Some(self.now_tick + 1 + ahead as u64);
            }
        }
        unreachable!("a scheduled key marks its slot as occupied");
    }
}

/// Milliseconds a tick: how coarse every deadline of a connection is.
pub const TICK_MS: u64 = 50;
/// Ticks until the wheel comes round: a horizon of 51 seconds.
const SLOTS: usize = 1024;
const NONE: u32 = u32::MAX;
const HEAD: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn keys_come_out_at_their_tick_whatever_was_moved_or_cancelled() {
        let seed = 0x5eed_0001;
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut wheel = Wheel::new(64);
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        let mut now_ms = 0;
        for _ in 0..20_000 {
            match rng.u32(0..10) {
                0..5 => {
                    let key = rng.u32(0..64);
                    let deadline_ms = now_ms + rng.u64(0..40_000);
                    wheel.schedule(key, MonoTime::ZERO.plus_millis(deadline_ms));
                    let tick = deadline_ms.div_ceil(TICK_MS).max(now_ms / TICK_MS + 1);
                    model.insert(key, tick);
                }
                5..7 => {
                    let key = rng.u32(0..64);
                    wheel.cancel(key);
                    model.remove(&key);
                }
                _ => {
                    now_ms += rng.u64(0..5_000);
                    let mut due = Vec::new();
                    wheel.expire(MonoTime::ZERO.plus_millis(now_ms), &mut due);
                    due.sort_unstable();
                    let expected: Vec<u32> =
                        model.iter().filter(|(_, tick)| **tick <= now_ms / TICK_MS).map(|(key, _)| *key).collect();
                    model.retain(|_, tick| *tick > now_ms / TICK_MS);
                    assert_eq!(due, expected);
                }
            }
            assert_eq!(wheel.len(), model.len());
            let next = model.values().min().map(|tick| MonoTime::ZERO.plus_millis(tick * TICK_MS));
            assert_eq!(wheel.next_deadline(), next);
        }
    }

    #[test]
    fn a_deadline_past_the_horizon_comes_out_early_and_never_late() {
        let mut wheel = Wheel::new(1);
        let deadline = MonoTime::ZERO.plus_millis(10 * 60_000);
        wheel.schedule(0, deadline);
        let mut looks = 0;
        let mut due = Vec::new();
        loop {
            let next = wheel.next_deadline().expect("the key stays scheduled until its deadline");
            wheel.expire(next, &mut due);
            assert_eq!(due.pop(), Some(0));
            if next >= deadline {
                assert!(next <= deadline.plus_millis(TICK_MS));
                break;
            }
            looks += 1;
            wheel.schedule(0, deadline);
        }
        assert!(looks > 0);
    }
}
