//! Values to frames.

use super::header::{FIN_BIT, HEADER_LEN_MAX, MASK_BIT};
use super::mask::unmask;
use super::opcode::Opcode;
use crate::limits::CLOSE_REASON_LEN_MAX;

/// Bytes of the header of an unmasked frame.
#[must_use]
pub const fn header_len(payload_len: usize) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Appends the header of an unmasked frame, as a server sends it.
pub fn encode_header(out: &mut Vec<u8>, opcode: Opcode, fin: bool, payload_len: usize) {
    let (header, len) = header_bytes(opcode, fin, payload_len, 0);
    out.extend_from_slice(&header[..len]);
}

/// Appends a whole unmasked frame, as a server sends it.
pub fn encode_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.reserve(header_len(payload.len()) + payload.len());
    encode_header(out, opcode, true, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a close frame. A reason past 123 bytes is cut at the end of a character. [RFC 6455 5.5.1]
pub fn encode_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let reason = &reason[..floor_char_boundary(reason, CLOSE_REASON_LEN_MAX)];
    encode_header(out, Opcode::Close, true, 2 + reason.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// Appends a masked frame, as a client sends it. [RFC 6455 5.3]
pub fn encode_client_frame(out: &mut Vec<u8>, opcode: Opcode, fin: bool, masking_key: [u8; 4], payload: &[u8]) {
    let (header, len) = header_bytes(opcode, fin, payload.len(), MASK_BIT);
    out.reserve(len + masking_key.len() + payload.len());
    out.extend_from_slice(&header[..len]);
    out.extend_from_slice(&masking_key);
    let start = out.len();
    out.extend_from_slice(payload);
    unmask(&mut out[start..], masking_key, 0);
}

/// The header without its masking key, in the shortest form, and its length.
fn header_bytes(opcode: Opcode, fin: bool, payload_len: usize, mask_bit: u8) -> ([u8; HEADER_LEN_MAX], usize) {
    let mut header = [0; HEADER_LEN_MAX];
    header[0] = opcode.bits() | if fin { FIN_BIT } else { 0 };
    let len = header_len(payload_len);
    match len {
        2 => header[1] = mask_bit | payload_len as u8,
        4 => {
            header[1] = mask_bit | 126;
            header[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
        }
        _ => {
            header[1] = mask_bit | 127;
            header[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
        }
    }
    (header, len)
}

/// The end of the last character that ends at `at` or before.
fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}
