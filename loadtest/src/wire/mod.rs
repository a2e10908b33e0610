//! The client's side of the wire: TLS, the opening handshake, compression, and HTTP for publishing. Frames are those of the library.
//!
//! Sans-IO: bytes in, values out. What this room must never know: sockets and clocks. Tests: beside the code.

pub mod deflate;
pub mod handshake;
pub mod http;
pub mod tls;
