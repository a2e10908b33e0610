//! The header of a frame: two to fourteen bytes before its payload. [RFC 6455 5.2]

use super::error::WsError;
use super::opcode::Opcode;
use crate::limits::CONTROL_PAYLOAD_LEN_MAX;

/// The longest header: two bytes, a 64-bit length, a masking key.
pub const HEADER_LEN_MAX: usize = 14;

/// A valid frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether this is the last fragment of its message.
    pub fin: bool,
    /// Whether this is the first frame of a compressed message. [RFC 7692 6]
    pub rsv1: bool,
    /// The opcode.
    pub opcode: Opcode,
    /// Bytes of the payload.
    pub payload_len: u64,
    /// All zero where the frame is not masked, which then unmasks to itself.
    pub masking_key: [u8; 4],
}

/// The rules that a header is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Whether frames carry a masking key: those of clients do, those of servers do not.
    pub is_masked: bool,
    /// Whether a message is in progress, so that only its continuation or a control frame may follow.
    pub is_in_message: bool,
    /// Bytes that the message may still grow by.
    pub budget: u64,
    /// Bytes that a compressed message may have; `None` where compression was not agreed on.
    pub deflated_budget: Option<u64>,
}

/// Parses the header at the start of `bytes`: `None` while it is incomplete, else the header and its length.
///
/// # Errors
/// The first rule that is broken, in the order of the bytes, as soon as the byte that breaks it is there.
pub fn parse_header(bytes: &[u8], expected: Expected) -> Result<Option<(Header, usize)>, WsError> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let (fin, rsv1, opcode) = check_first(first, expected)?;
    let budget = expected.deflated_budget.filter(|_| rsv1).unwrap_or(expected.budget);
    let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
    let length_bits = check_second(second, opcode, expected)?;

    let (payload_len, rest) = match length_bits {
        127 => {
            // "the most significant bit MUST be 0" [RFC 6455 5.2]
            if rest.first().is_some_and(|&byte| byte & 0x80 != 0) {
                return Err(WsError::BadLength);
            }
            let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (u64::from_be_bytes(*length), rest)
        }
        126 => {
            let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*length)), rest)
        }
        short => (u64::from(short), rest),
    };
    // "in all cases, the minimal number of bytes MUST be used to encode the length" [RFC 6455 5.2]
    if (length_bits == 127 && payload_len <= u64::from(u16::MAX)) || (length_bits == 126 && payload_len < 126) {
        return Err(WsError::BadLength);
    }
    if !opcode.is_control() && payload_len > budget {
        return Err(WsError::MessageTooBig);
    }

    let (masking_key, rest) = if expected.is_masked {
        let Some((key, rest)) = rest.split_first_chunk() else { return Ok(None) };
        (*key, rest)
    } else {
        ([0; 4], rest)
    };
    Ok(Some((Header { fin, rsv1, opcode, payload_len, masking_key }, bytes.len() - rest.len())))
}

fn check_first(byte: u8, expected: Expected) -> Result<(bool, bool, Opcode), WsError> {
    // "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values" [RFC 6455 5.2]
    let rsv1 = byte & RSV1_BIT != 0;
    if byte & (RSV_BITS & !RSV1_BIT) != 0 || rsv1 && expected.deflated_budget.is_none() {
        return Err(WsError::ReservedBits);
    }
    let fin = byte & FIN_BIT != 0;
    // "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_" [RFC 6455 5.2]
    let opcode = Opcode::from_bits(byte).ok_or(WsError::ReservedOpcode)?;
    match opcode {
        // "All control frames ... MUST NOT be fragmented." [RFC 6455 5.5]
        Opcode::Close | Opcode::Ping | Opcode::Pong if !fin => Err(WsError::FragmentedControl),
        Opcode::Continuation if !expected.is_in_message => Err(WsError::UnexpectedContinuation),
        // "The fragments of one message MUST NOT be interleaved between the fragments of another message"
        // [RFC 6455 5.4]
        Opcode::Text | Opcode::Binary if expected.is_in_message => Err(WsError::InterleavedMessage),
        // "An endpoint MUST NOT set the "Per-Message Compressed" bit of control frames and non-first fragments of a data
        // message." [RFC 7692 6]
        opcode if rsv1 && !matches!(opcode, Opcode::Text | Opcode::Binary) => Err(WsError::ReservedBits),
        opcode => Ok((fin, rsv1, opcode)),
    }
}

fn check_second(byte: u8, opcode: Opcode, expected: Expected) -> Result<u8, WsError> {
    match (byte & MASK_BIT != 0, expected.is_masked) {
        // "The server MUST close the connection upon receiving a frame that is not masked." [RFC 6455 5.1]
        (false, true) => return Err(WsError::Unmasked),
        // "A client MUST close a connection if it detects a masked frame." [RFC 6455 5.1]
        (true, false) => return Err(WsError::Masked),
        _ => {}
    }
    let length_bits = byte & !MASK_BIT;
    // "All control frames MUST have a payload length of 125 bytes or less" [RFC 6455 5.5]
    if opcode.is_control() && usize::from(length_bits) > CONTROL_PAYLOAD_LEN_MAX {
        return Err(WsError::ControlTooLong);
    }
    if opcode == Opcode::Close && length_bits == 1 {
        return Err(WsError::TruncatedClose);
    }
    Ok(length_bits)
}

pub(super) const FIN_BIT: u8 = 0x80;
pub(super) const MASK_BIT: u8 = 0x80;
pub(super) const RSV1_BIT: u8 = 0x40;
const RSV_BITS: u8 = 0x70;
