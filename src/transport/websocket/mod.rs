//! WebSocket: messages as frames. [RFC 6455]

use crate::close::CloseReason;
use crate::command::MessageKind;
use crate::wire::ws::Opcode;
use crate::wire::ws::encode::{encode_close, encode_deflated_frame, encode_frame, encode_header};

/// Appends a message as one frame; `write` writes it and returns its kind.
pub fn frame_with(scratch: &mut Vec<u8>, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> MessageKind) {
    scratch.clear();
    let kind = write(scratch);
    frame(kind, scratch, out);
}

/// Appends a message as one frame.
pub fn frame(kind: MessageKind, message: &[u8], out: &mut Vec<u8>) {
    encode_header(out, opcode(kind), true, message.len());
    out.extend_from_slice(message);
}

/// Appends a message that is compressed as one frame.
pub fn frame_deflated(kind: MessageKind, deflated: &[u8], out: &mut Vec<u8>) {
    encode_deflated_frame(out, opcode(kind), deflated);
}

/// Appends a ping without a payload.
pub fn ping(out: &mut Vec<u8>) {
    encode_frame(out, Opcode::Ping, &[]);
}

/// Appends the answer to a ping. [RFC 6455 5.5.3]
pub fn pong(payload: &[u8], out: &mut Vec<u8>) {
    encode_frame(out, Opcode::Pong, payload);
}

/// Appends the close frame that goes with a reason; nothing where the reason has no close code.
pub fn close(reason: CloseReason, text: &str, out: &mut Vec<u8>) {
    if let Some(code) = reason.row().close_code {
        encode_close(out, code, text);
    }
}

/// Appends the answer to the peer's close frame: the same code, or none if it gave none. [RFC 6455 5.5.1]
pub fn answer_close(code: Option<u16>, out: &mut Vec<u8>) {
    match code {
        Some(code) => encode_close(out, code, ""),
        None => encode_frame(out, Opcode::Close, &[]),
    }
}

fn opcode(kind: MessageKind) -> Opcode {
    match kind {
        MessageKind::Text => Opcode::Text,
        MessageKind::Binary => Opcode::Binary,
    }
}
