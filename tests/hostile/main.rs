//! The catalogue of attacks: one file a kind, over real sockets and both drivers, beside 200 polite readers.
//!
//! Each asserts how the gateway behaves: answers, closes, counters back to zero, a bound for its memory, no turn that
//! charges more than its budget, and that no message of the polite ones is lost. Times are printed and never asserted.
//! `FANWIRE_HOSTILE_SCALE` makes the attacks larger, `FANWIRE_JUDGED_PROGRAM` names another build of the gateway:
//! `scripts/hostile.sh` does both.

#[path = "../common/mod.rs"]
mod common;

mod audience;
mod peer;
mod world;

mod batches;
mod brackets;
mod carried_sessions;
mod deflate_flood;
mod fragments;
mod header_fields;
mod kept_messages;
mod long_polls;
mod many_keys;
mod message_ids;
mod patterns;
mod pings;
mod pipelined_requests;
mod resumes;
mod scrapes;
mod stalled_readers;
mod tiny_publications;
mod unfinished_messages;
mod unread_answers;
