//! fanwire: a WebSocket push gateway. One process pushes live feeds to millions of mostly idle connections.
//!
//! The modules stand in the order in which data flows. Calls go down, data comes back up: a lower room returns values
//! and only `shard` moves them on. The two-page version is `docs/ARCHITECTURE.md`.
//!
//! The face of this crate is [`cli::run`]. The other public rooms are hidden: only the load client, the tests and the
//! benches use them, and they change without notice. `RUSTDOCFLAGS="--cfg rooms" cargo doc` shows them.

// Ground floor: values that every room speaks of.
#[cfg_attr(not(rooms), doc(hidden))]
pub mod budget;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod buf;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod close;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod command;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod limits;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod metrics;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod time;

// The kernel, what bytes mean, what messages mean, who listens, and how shards talk.
#[cfg_attr(not(rooms), doc(hidden))]
pub mod dialect;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod driver;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod hub;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod live;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod mailbox;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod snapshot;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod transport;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod wire;

// The endpoints: what a head asks for, in which encoding, and who may.
#[cfg_attr(not(rooms), doc(hidden))]
pub mod routes;

// One core: the only room that moves values between the others.
#[cfg_attr(not(rooms), doc(hidden))]
pub mod shard;

// The program: what was configured, what runs, and the commands.
pub mod cli;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod config;
mod server;
