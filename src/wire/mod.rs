//! Codecs: bytes to values and back. HTTP/1.1 requests, RFC 6455 frames, DEFLATE, JSON texts and the headers of
//! proxies.
//!
//! Sans-IO: every call takes bytes that the caller received and returns values, and the result never depends on how the
//! bytes were split. This room must never know sockets, clocks, topics, or the meaning of a message. A peer's bytes can
//! make a call fail, but never panic, and `limits` bounds the bytes that are kept. Tests: beside the code; each area
//! has a table of hostile input and a property over all splits.

pub mod deflate;
pub mod http1;
pub mod json;
pub mod proxy;
pub mod ws;

#[cfg(test)]
mod splits;
