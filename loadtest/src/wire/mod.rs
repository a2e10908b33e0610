//! The client's side of the wire: the opening handshake, and HTTP for publishing. Frames are those of the library.
//!
//! Sans-IO: bytes in, values out. What this room must never know: sockets and clocks. Tests: beside the code.

pub mod handshake;
pub mod http;
