//! fanwire-load: the load client. It measures any WebSocket server, not only ours, and says what the numbers mean.
//!
//! ```text
//!  flags ──▶ cli ──▶ Run, Scenario ──▶ scenario ──▶ fleet ═══ Command, a line each ═══▶ worker (a process each)
//!                                         │           ▲                                  │ dial, receive, publish
//!                                         ▼           ╚═══════ Event, a line each ═══════╝
//!  terminal, JSON, page ◀── report ◀── Report ◀── measure (/proc)
//! ```
//! The parent opens no connection itself: it starts itself again as workers, each with as many connections as it may
//! have descriptors, and with source addresses of its own. Workers stamp each payload with the time at which it was
//! *meant* to be sent, on a clock that all processes of the machine share; its reader counts the difference into a
//! histogram. So a server that freezes shows it, however many messages the client could not send meanwhile.
//!
//! The modules stand in the order in which data flows. Only `worker` knows sockets, only `measure` reads `/proc`, and
//! `plan`, `wire`, `stamp`, `pace`, `latency` and `report` know neither sockets nor clocks.

// Values.
mod clock;
mod latency;
mod pace;
mod plan;
mod protocol;
mod stamp;

// The client's side of the wire, and what the kernel tells.
mod measure;
mod wire;

// One client process, and the parent of all.
mod fleet;
mod progress;
mod worker;

// Scenarios, reports, and the program.
pub mod cli;
mod report;
mod scenario;

// The floor, and the comparison with other servers.
mod compare;
mod floor;
