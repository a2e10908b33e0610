//! One connection's way of moving messages: bytes in, messages and requests out, and back.
//!
//! A transport knows frames, requests and responses, and what a route is; it never knows the meaning of a message or
//! who listens. Each is one folder. It keeps no connection: its state is a value that the shard stores only while it is
//! busy. Tests: beside the code, and `tests/conformance.rs` from outside.

mod framing;
pub mod http;
#[cfg(test)]
mod packets;
pub mod service;
pub mod sockjs;
pub mod sse;
pub mod stream;
pub mod tls;
pub mod websocket;

pub use framing::Framing;
