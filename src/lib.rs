//! fanwire: a WebSocket push gateway. One process pushes live feeds to millions of mostly idle connections.
//!
//! The modules stand in the order in which data flows. Calls go down, data comes back up: a lower room returns values
//! and only [`shard`] moves them on. The two-page version is `docs/ARCHITECTURE.md`.

// Ground floor: values that every room speaks of.
pub mod buf;
pub mod close;
pub mod command;
pub mod limits;
pub mod time;

// The kernel, and what bytes mean.
pub mod driver;
pub mod wire;

// Who listens and what was said.
pub mod hub;

// Where everything is put together.
pub mod cli;
pub mod config;
pub mod server;
