//! WebSocket: messages as frames. [RFC 6455]

use crate::close::CloseReason;
use crate::wire::ws::Opcode;
use crate::wire::ws::encode::{encode_close, encode_deflated_frame, encode_frame, encode_header};

/// Appends a message as one frame; `write` writes it and says whether it is text.
pub fn frame_with(scratch: &mut Vec<u8>, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> bool) {
    scratch.clear();
    let is_text = write(scratch);
    frame(is_text, scratch, out);
}

/// Appends a text message as one frame, or nothing if `write` writes nothing.
pub fn frame_unless_empty(scratch: &mut Vec<u8>, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    scratch.clear();
    write(scratch);
    if !scratch.is_empty() {
        frame(true, scratch, out);
    }
}

/// Appends a message as one frame.
pub fn frame(is_text: bool, message: &[u8], out: &mut Vec<u8>) {
    let opcode = if is_text { Opcode::Text } else { Opcode::Binary };
    encode_header(out, opcode, true, message.len());
    out.extend_from_slice(message);
}

/// Appends a message that is compressed as one frame.
pub fn frame_deflated(is_text: bool, deflated: &[u8], out: &mut Vec<u8>) {
    encode_deflated_frame(out, if is_text { Opcode::Text } else { Opcode::Binary }, deflated);
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
