//! The budget of a turn, and the price of each kind of work: units of about a nanosecond of one core, measured with a
//! release build and rounded up. They are there to be fair, not exact.

/// The budget of one turn over all connections, in units of about a nanosecond: all other connections wait that long
/// for it, and for the sending.
pub const TURN_BUDGET: u64 = 10_000_000;

/// One connection may use this part of it at a time. Its further work is put off until all others had their turn.
pub const SHARES_PER_TURN: u64 = 10;

/// Units for what the kernel brings of one connection: a call, and the way to the connection.
pub const PRICE_RECEIVE: u64 = 2_000;

/// Units for four bytes received: copied by the kernel, unmasked, checked to be UTF-8.
pub const PRICE_FOUR_BYTES: u64 = 1;

/// Units for a message or control frame, without its payload.
pub const PRICE_MESSAGE: u64 = 200;

/// Units for a byte of JSON at its worst, which is brackets; usual JSON costs a fifth.
pub const PRICE_JSON_BYTE: u64 = 10;

/// Units for a byte that is inflated.
pub const PRICE_INFLATED_BYTE: u64 = 1;

/// Units for beginning to inflate a message.
pub const PRICE_INFLATE: u64 = 1_000;

/// Units for a request over HTTP: its head looked through, its answer.
pub const PRICE_REQUEST: u64 = 5_000;

/// Units for a publication: numbered, kept, its readers looked for.
pub const PRICE_PUBLICATION: u64 = 1_000;

/// Units for a node of the patterns that is looked at for a publication or a search.
pub const PRICE_VISIT: u64 = 20;

/// Units for a subscription to one topic, made or answered.
pub const PRICE_JOIN: u64 = 2_000;

/// Units for a mail, without its content.
pub const PRICE_MAIL: u64 = 200;

/// Units for a publication in an answer: found, referred to, put into its place.
pub const PRICE_KEPT: u64 = 200;

/// Units for eight bytes of an answer that is written for one connection.
pub const PRICE_EIGHT_BYTES: u64 = 1;

/// Units for the bytes that a reader has of its own in front of a message that all share, beside their number.
pub const PRICE_PREFIX: u64 = 100;

/// Units for two bytes of payload that are encoded for an answer over HTTP or to a question for history.
pub const PRICE_TWO_ENCODED_BYTES: u64 = 1;

/// Units for a byte of the metrics.
pub const PRICE_METRICS_BYTE: u64 = 5;

/// Units for one further send: the call and what the kernel does in it. The first run of a turn goes to all its readers
/// at any cost.
pub const PRICE_SEND: u64 = 2_000;

/// Bytes to readers that cost a unit: the kernel copies them.
pub const DELIVERED_PER_UNIT: u64 = 16;

/// Units for beginning a TLS handshake, most of which is a signature.
pub const PRICE_HANDSHAKE: u64 = 300_000;
