//! Whole shards at their bounds, on the simulated kernel: what a peer can make them hold, do or forget.
//!
//! Each case is one conversation, byte by byte and turn by turn; chance is the business of `tests/simulator`.

mod congestion;
mod deadlines;
mod echo;
mod engine;
mod fanout;
mod live;
mod memory;
mod options;
mod origins;
mod pace;
mod pages;
mod polls;
mod positions;
mod presence;
mod requests;
mod resumes;
mod roles;
mod shutdown;
mod snapshots;
mod sockjs;
mod streams;
mod subscriptions;
mod tls;
#[path = "../common/tls_peer.rs"]
mod tls_peer;
mod turn;
mod vocabulary;
mod world;
