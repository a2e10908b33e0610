//! What one turn of a shard may cost, over all connections. A unit is about a nanosecond of one core; what things cost
//! stands beside the bounds in `limits`.
//!
//! Whatever a peer's bytes cause is charged, and before each further *item* (a receive, a mail, a step of what was put
//! off) the shard looks whether the part of the turn that it is in has something left. So a turn costs no more than
//! [`TURN_BUDGET`] and what one item of each part goes past its bound.

use crate::limits::{SHARES_PER_TURN, TURN_BUDGET};

/// A part of a turn. Each may use what those before it left, and never less than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What the kernel brings.
    Receive,
    /// What other shards sent.
    Mail,
    /// What was put off.
    Work,
}

impl Part {
    /// What it may use of a budget in any case.
    const fn own(self, budget: u64) -> u64 {
        match self {
            Self::Receive => budget / 2,
            Self::Mail | Self::Work => budget / 4,
        }
    }
}

/// What the turn under way has cost so far.
#[derive(Debug)]
pub struct Budget {
    /// Of each turn.
    units: u64,
    charged: u64,
    /// What the parts so far, this one included, may use together; at least what this one has of its own.
    bound: u64,
    /// What the item under way has cost, deliveries aside.
    item: u64,
    /// And what it has brought to readers.
    delivered: u64,
    largest_item: u64,
    was_spent: bool,
}

/// What a turn cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnCharge {
    /// All of it.
    pub charged: u64,
    /// The largest of its items.
    pub largest_item: u64,
    /// Whether something had to wait for the next turn.
    pub was_spent: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(TURN_BUDGET)
    }
}

impl Budget {
    /// So many units for each turn.
    #[must_use]
    pub fn new(units: u64) -> Self {
        let bound = Part::Receive.own(units);
        Self { units, charged: 0, bound, item: 0, delivered: 0, largest_item: 0, was_spent: false }
    }

    /// Begins a turn with receiving; returns what the last one cost.
    pub fn begin_turn(&mut self) -> TurnCharge {
        self.end_item();
        let Self { charged, largest_item, was_spent, .. } = std::mem::replace(self, Self::new(self.units));
        TurnCharge { charged, largest_item, was_spent }
    }

    /// Begins the next part.
    pub fn begin_part(&mut self, part: Part) {
        self.end_item();
        self.bound = self.bound.max(self.charged) + part.own(self.units);
    }

    /// Begins an item; `false` if the part has nothing left for it.
    pub fn begin_item(&mut self) -> bool {
        self.end_item();
        !self.is_spent()
    }

    fn end_item(&mut self) {
        self.largest_item = self.largest_item.max(self.item + self.delivered);
        (self.item, self.delivered) = (0, 0);
    }

    /// Charges the item under way.
    #[inline]
    pub fn charge(&mut self, units: u64) {
        self.charged += units;
        self.item += units;
    }

    /// Charges the turn for what an item brings to readers: many messages to the same readers go out together, so that
    /// stopping between them would cost more than it saves.
    #[inline]
    pub fn charge_delivery(&mut self, units: u64) {
        self.charged += units;
        self.delivered += units;
    }

    /// What the part has left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.bound.saturating_sub(self.charged)
    }

    /// Whether the part has nothing left.
    pub fn is_spent(&mut self) -> bool {
        let is_spent = self.charged >= self.bound;
        self.was_spent |= is_spent;
        is_spent
    }

    /// Whether the item under way may go on with something of this price: one connection has only so much at a time.
    pub fn fits(&mut self, price: u64) -> bool {
        self.item + price <= self.units / SHARES_PER_TURN && !self.is_spent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_its_own_and_what_was_left() {
        let mut budget = Budget::default();
        budget.begin_part(Part::Mail);
        budget.begin_part(Part::Work);
        budget.charge(TURN_BUDGET - 1);
        assert!(budget.begin_item(), "nothing else has used anything");
        budget.charge(1);
        assert!(!budget.begin_item());
        assert_eq!(
            budget.begin_turn(),
            TurnCharge { charged: TURN_BUDGET, largest_item: TURN_BUDGET - 1, was_spent: true }
        );
        budget.charge(3 * TURN_BUDGET);
        assert!(!budget.begin_item());
        for part in [Part::Mail, Part::Work] {
            budget.begin_part(part);
            assert!(budget.begin_item(), "{part:?} is not starved by an item of another");
            budget.charge(TURN_BUDGET / 4);
            assert!(!budget.begin_item());
        }
    }

    #[test]
    fn a_connection_has_a_share_and_deliveries_are_none_of_it() {
        const SHARE: u64 = TURN_BUDGET / SHARES_PER_TURN;
        let mut budget = Budget::default();
        assert!(budget.begin_item());
        budget.charge_delivery(SHARE);
        assert!(budget.fits(SHARE));
        budget.charge(1);
        assert!(!budget.fits(SHARE));
        assert!(budget.begin_item() && budget.fits(SHARE));
        budget.charge_delivery(TURN_BUDGET);
        assert!(!budget.fits(1), "but they are of the turn");
    }
}
