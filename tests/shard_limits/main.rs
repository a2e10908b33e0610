//! Whole shards at their bounds, on the simulated kernel: what a peer can make them hold, do or forget.
//!
//! Each case is one conversation, byte by byte and turn by turn; chance is the business of `tests/simulator`.

mod congestion;
mod deadlines;
mod fanout;
mod memory;
mod pace;
mod pages;
mod presence;
mod requests;
mod snapshots;
mod subscriptions;
mod world;
