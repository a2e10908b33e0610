//! Codecs: bytes to values and back. HTTP/1.1 requests, RFC 6455 frames, DEFLATE, JSON texts and what proxies say.
//!
//! Sans-IO: every call takes bytes that somebody else received and returns values, and the answer never depends on
//! how the bytes were split. What this room must never know: sockets, clocks, topics, and what a message means.
//! A peer's bytes can make a call fail, never panic, and what they make it keep is bounded by `limits`.
//! Tests: beside the code; each area has a table of hostile input and a property over all splits.

pub mod deflate;
pub mod http1;
pub mod json;
pub mod proxy;
pub mod ws;

#[cfg(test)]
mod splits;
