//! The counts of all runs of a suite, and how much has to happen in it.

use crate::carried::Counts;

/// The counts of all runs, so that a suite in which nothing happens fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub publications: u64,
    pub deliveries: u64,
    pub complete_readers: u64,
    pub slow_closes: u64,
    pub resets: u64,
    pub goodbyes: u64,
    pub resumed: u64,
    pub skipped: u64,
    pub shed: u64,
    pub returns: u64,
    pub polled: u64,
    pub presences: u64,
    pub zipped_alone: u64,
    pub zipped_streamed: u64,
    pub zipped_between: u64,
    pub floods: u64,
    pub changes: u64,
    pub turns_spent: u64,
    pub raw_readers: u64,
    pub raw_unknown: u64,
    pub carried: Counts,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        self.publications += other.publications;
        self.deliveries += other.deliveries;
        self.complete_readers += other.complete_readers;
        self.slow_closes += other.slow_closes;
        self.resets += other.resets;
        self.goodbyes += other.goodbyes;
        self.resumed += other.resumed;
        self.skipped += other.skipped;
        self.shed += other.shed;
        self.returns += other.returns;
        self.polled += other.polled;
        self.presences += other.presences;
        self.zipped_alone += other.zipped_alone;
        self.zipped_streamed += other.zipped_streamed;
        self.zipped_between += other.zipped_between;
        self.floods += other.floods;
        self.changes += other.changes;
        self.turns_spent += other.turns_spent;
        self.raw_readers += other.raw_readers;
        self.raw_unknown += other.raw_unknown;
        self.carried.add(&other.carried);
    }

    /// Fault: the audit of raw readers gives up, and nobody is told.
    pub fn assert_that_raw_readers_were_known(&self) {
        let most = self.raw_readers / 10 + RAW_UNKNOWN_SPARE;
        assert!(self.raw_unknown <= most, "too little is known of {} raw readers: {self:?}", self.raw_unknown);
    }

    /// A suite in which nothing was said, or nothing went wrong, has shown nothing.
    pub fn assert_that_enough_happened(&self, under_faults: bool) {
        assert!(self.publications > 1_000 && self.deliveries > 5_000, "{self:?}");
        assert!(self.complete_readers + self.goodbyes > 100 && self.resumed > 10, "{self:?}");
        assert!(self.polled > 100 && self.changes > 20, "{self:?}");
        assert!(self.presences > 100 && self.turns_spent > 1_000, "{self:?}");
        assert!(self.zipped_alone > 500 && self.zipped_streamed > 1_000 && self.zipped_between > 100, "{self:?}");
        self.carried.assert_that_enough_happened();
        if under_faults {
            assert!(self.returns > 40, "{self:?}");
            assert!(self.floods > 3, "{self:?}");
            assert!(self.slow_closes > 0 && self.resets > 0 && self.skipped > 100 && self.shed > 20, "{self:?}");
        }
    }
}

/// Raw readers that may be unknown in a run of few seeds: all that they heard was said and heard by raw peers only.
const RAW_UNKNOWN_SPARE: u64 = 8;
