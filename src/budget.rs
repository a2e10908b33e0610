//! The cost of one turn of a shard, over all connections. A unit is about one nanosecond of a core; the prices are in
//! `limits`.
//!
//! Everything that a peer's bytes cause is charged. Before each further *item* (a receive, a mail, a step of put-off
//! work) the shard checks whether the current part of the turn has budget left. So a turn costs at most
//! [`TURN_BUDGET`], and the amount by which one item of each part passes its bound.

use crate::limits::{SHARES_PER_TURN, TURN_BUDGET};

/// A part of a turn. Each part may use the budget that earlier parts left, and always at least its own share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Completions of the kernel.
    Receive,
    /// Mail from other shards.
    Mail,
    /// Work that was put off.
    Work,
}

impl Part {
    /// The share of a budget that a part may always use.
    const fn own(self, budget: u64) -> u64 {
        match self {
            Self::Receive => budget / 2,
            Self::Mail | Self::Work => budget / 4,
        }
    }
}

/// The cost of the current turn so far.
#[derive(Debug)]
pub struct Budget {
    /// The budget of each turn.
    units: u64,
    charged: u64,
    /// The bound for the cost of all parts so far, including the current one; it leaves at least the current part's
    /// share.
    bound: u64,
    /// The cost of the current item, without deliveries.
    item: u64,
    /// The cost of the current item's deliveries to readers.
    delivered: u64,
    largest_item: u64,
    was_spent: bool,
}

/// The cost of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnCharge {
    /// The whole cost.
    pub charged: u64,
    /// The cost of its largest item.
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
    /// A budget of `units` for each turn.
    #[must_use]
    pub fn new(units: u64) -> Self {
        let bound = Part::Receive.own(units);
        Self { units, charged: 0, bound, item: 0, delivered: 0, largest_item: 0, was_spent: false }
    }

    /// Begins a turn with receiving. Returns the cost of the last turn.
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

    /// Charges the turn for an item's deliveries to readers. Deliveries do not stop in between: messages to the same
    /// readers go out together, and stopping would cost more than it saves.
    #[inline]
    pub fn charge_delivery(&mut self, units: u64) {
        self.charged += units;
        self.delivered += units;
    }

    /// The budget that the part has left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.bound.saturating_sub(self.charged)
    }

    /// Whether the part has no budget left.
    pub fn is_spent(&mut self) -> bool {
        let is_spent = self.charged >= self.bound;
        self.was_spent |= is_spent;
        is_spent
    }

    /// Whether the current item may go on with work of this price: each connection has a bound for one item.
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
