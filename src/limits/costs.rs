//! The memory of entries besides their payload, by kind, allocator included. Measured as resident memory, 100,000
//! of each (`src/shard/costs.rs` measures again), and rounded up to what a growing collection may have in vain.

/// Bytes of a publication that is kept, beside payload, key and extras: 185 measured.
pub const PUBLICATION_COST: usize = 192;

/// Bytes of a key or another text beside its own: 17 measured.
pub const TEXT_COST: usize = 24;

/// Bytes of a reference in a history, which doubles as it grows.
pub const REFERENCE_COST: usize = 16;

/// Bytes of a reference to a publication that waits for a reader which skips: 17 to 19 measured.
pub const LAG_ENTRY_COST: usize = 20;

/// Bytes of a key that is found by itself among those that wait for such a reader, beside its text: 80 to 90 measured.
pub const LAG_KEY_COST: usize = 96;

/// Bytes of a topic of which something waits for such a reader: 217 measured, with its places in the order of topics.
pub const LAG_TOPIC_COST: usize = 288;

/// Bytes of a reference to an answer or a publication that waits for a subscription under way: 66 measured.
pub const CATCH_UP_ENTRY_COST: usize = 96;

/// Bytes of an outbox with something in it, beside what is in it: 187 measured.
pub const OUTBOX_COST: usize = 192;

/// Bytes of a piece that waits in an outbox, beside the bytes that it refers to: 21 measured.
pub const SEGMENT_COST: usize = 24;

/// Bytes of a message id that is remembered, beside the id: 67 measured.
pub const MESSAGE_ID_COST: usize = 96;

/// Bytes of a topic with a publication, beside a long name and what is kept of it: 302 measured.
pub const TOPIC_COST: usize = 384;

/// Bytes of a mail, beside what it brings: its place in a lane.
pub const MAIL_COST: usize = 64;
