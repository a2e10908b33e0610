//! fanwire: a WebSocket push gateway. One process pushes live feeds to millions of mostly idle connections.
//!
//! The modules stand in the order in which data flows. Calls go down, data comes back up: a lower room returns values
//! and only [`shard`] moves them on. The two-page version is `docs/ARCHITECTURE.md`.

// Ground floor: values that every room speaks of.
pub mod buf;
pub mod close;
pub mod command;
pub mod limits;
pub mod metrics;
pub mod time;

// The kernel, and what bytes mean.
pub mod driver;
pub mod hub;
pub mod mailbox;
pub mod wire;
