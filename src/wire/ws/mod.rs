//! RFC 6455: the opening handshake, and frames in both directions.
//!
//! [`Decoder`] turns received bytes into messages and control frames; a frame that is whole in the receive buffer is
//! unmasked where it stands and handed out as a range of it. This room must never know connections, nor the meaning of
//! a message. Tests: beside the code; `tests/conformance.rs` has one case per MUST.

pub mod close_code;
pub mod decode;
pub mod encode;
pub mod error;
pub mod extension;
pub mod handshake;
pub mod header;
pub mod inbox;
pub mod mask;
pub mod opcode;
pub mod utf8;

pub use decode::{Decoder, Role};
pub use encode::{encode_client_frame, encode_close, encode_deflated_frame, encode_frame, encode_header, header_len};
pub use error::WsError;
pub use inbox::{Inbox, Item, Payload};
pub use opcode::Opcode;
