//! fanwire: a WebSocket push gateway. One process pushes live feeds to millions of mostly idle connections.
//!
//! The modules stand in the order in which data flows. Calls go down, data comes back up: a lower room returns values
//! and only [`shard`] moves them on. The two-page version is `docs/ARCHITECTURE.md`.

// Ground floor: values that every room speaks of.
pub mod budget;
pub mod buf;
pub mod close;
pub mod command;
pub mod limits;
pub mod metrics;
pub mod time;

// The kernel, what bytes mean, what messages mean, who listens, and how shards talk.
pub mod dialect;
pub mod driver;
pub mod hub;
pub mod mailbox;
pub mod snapshot;
pub mod transport;
pub mod wire;

// One core: the only room that moves values between the others.
pub mod shard;

// The program: what was configured, what runs, and the commands.
pub mod cli;
pub mod config;
pub mod server;
