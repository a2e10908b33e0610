//! The faults of one run, and their probabilities.

/// Chances, each in a thousand, and the room that the two ends of a connection have. One value holds for a whole
/// run, so that runs differ from one another more than moments within a run do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// A read brings a part of what is there.
    pub split_read: u16,
    /// A send takes a part of what fits.
    pub short_write: u16,
    /// A send takes nothing although there is room.
    pub would_block: u16,
    /// A connection, a send or a close that could be reported is not, this time. Below 1,000.
    pub late: u16,
    /// The network resets a connection while one of its ends writes.
    pub reset: u16,
    /// A peer stops in the middle of what it writes, and ends its side.
    pub half_close: u16,
    /// Accepting fails as if the process were out of descriptors. Below 1,000.
    pub accept_failure: u16,
    /// A peer never reads.
    pub never_reads: u16,
    /// Bytes that a peer can write before the server reads any.
    pub inbound_len_max: usize,
    /// Bytes that the server can send before the peer reads any: its send buffer and the peer's window.
    pub outbound_len_max: usize,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        split_read: 0,
        short_write: 0,
        would_block: 0,
        late: 0,
        reset: 0,
        half_close: 0,
        accept_failure: 0,
        never_reads: 0,
        inbound_len_max: 512 * 1024,
        outbound_len_max: 256 * 1024,
    };

    /// The faults of the run with this seed: about half of all kinds.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ FAULTS_SEED);
        let mut chance = |max: u16| if rng.bool() { rng.u16(1..=max) } else { 0 };
        Self {
            split_read: chance(700),
            short_write: chance(700),
            would_block: chance(500),
            late: chance(500),
            reset: chance(10),
            half_close: chance(10),
            accept_failure: chance(200),
            never_reads: chance(100),
            inbound_len_max: 1 << rng.u32(9..20),
            outbound_len_max: 1 << rng.u32(9..20),
        }
    }

    /// The same without what makes bytes or peers go missing: what is left delays and divides.
    #[must_use]
    pub const fn without_loss(self) -> Self {
        Self { reset: 0, half_close: 0, never_reads: 0, ..self }
    }
}

/// Tells the draws of the faults from those of the run, which start from the same seed.
const FAULTS_SEED: u64 = 0x00fa_0175;
