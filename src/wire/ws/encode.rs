//! Values to frames.

use super::header::{FIN_BIT, HEADER_LEN_MAX, MASK_BIT, RSV1_BIT};
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

/// Appends a whole unmasked frame whose payload is a compressed message. [RFC 7692 6]
pub fn encode_deflated_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let start = out.len();
    encode_frame(out, opcode, payload);
    out[start] |= RSV1_BIT;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn header(payload_len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        encode_header(&mut out, Opcode::Binary, true, payload_len);
        assert_eq!(out.len(), header_len(payload_len));
        out
    }

    #[test]
    fn lengths_take_their_shortest_form() {
        assert_eq!(header(0), [0x82, 0]);
        assert_eq!(header(125), [0x82, 125]);
        assert_eq!(header(126), [0x82, 126, 0, 126]);
        assert_eq!(header(65_535), [0x82, 126, 0xff, 0xff]);
        assert_eq!(header(65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(header(0x0102_0304), [0x82, 127, 0, 0, 0, 0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_examples_of_the_rfc_are_encoded_byte_for_byte() {
        let mut out = Vec::new();
        encode_frame(&mut out, Opcode::Text, b"Hello");
        assert_eq!(out, b"\x81\x05Hello");

        out.clear();
        encode_client_frame(&mut out, Opcode::Text, true, [0x37, 0xfa, 0x21, 0x3d], b"Hello");
        assert_eq!(out, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");

        out.clear();
        encode_header(&mut out, Opcode::Text, false, 3);
        out.extend_from_slice(b"Hel");
        encode_header(&mut out, Opcode::Continuation, true, 2);
        out.extend_from_slice(b"lo");
        assert_eq!(out, b"\x01\x03Hel\x80\x02lo");
    }

    #[test]
    fn client_frames_carry_the_mask_bit_in_every_length_form() {
        for (payload_len, start) in [(125, &[0x02, 0xfd][..]), (126, &[0x02, 0xfe, 0, 126]), (70_000, &[0x02, 0xff, 0])]
        {
            let mut out = Vec::new();
            encode_client_frame(&mut out, Opcode::Binary, false, [1, 2, 3, 4], &vec![0; payload_len]);
            assert_eq!(&out[..start.len()], start);
            assert_eq!(out.len(), header_len(payload_len) + 4 + payload_len);
            assert_eq!(out[out.len() - payload_len..][..4], [1, 2, 3, 4]);
        }
    }

    #[test]
    fn a_close_reason_is_cut_at_the_end_of_a_character() {
        let reason = |text: &str| {
            let mut out = Vec::new();
            encode_close(&mut out, 1001, text);
            assert_eq!(out[..4], [0x88, out.len() as u8 - 2, 0x03, 0xe9]);
            String::from_utf8(out.split_off(4)).expect("whole characters")
        };
        assert_eq!(reason(""), "");
        assert_eq!(reason("retry in 5 s"), "retry in 5 s");
        assert_eq!(reason(&"x".repeat(123)), "x".repeat(123));
        assert_eq!(reason(&"x".repeat(124)), "x".repeat(123));
        assert_eq!(reason(&("x".repeat(122) + "ö")), "x".repeat(122));
        assert_eq!(reason(&"€".repeat(100)), "€".repeat(41));
        assert_eq!(reason(&("xy".to_owned() + &"😀".repeat(40))), "xy".to_owned() + &"😀".repeat(30));
    }
}
