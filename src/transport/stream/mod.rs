//! HTTP streaming: messages as lines of a response that does not end; a chunk each where the peer knows chunks.
//! [RFC 9112 7.1]

/// The media type: one JSON text a line.
pub const CONTENT_TYPE: &str = "application/x-ndjson";

/// The empty chunk that ends the body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends a line.
pub fn line(message: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(message);
    out.push(b'\n');
}

/// Appends a line as a chunk of its own.
pub fn chunk(message: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let len = message.len() + 1;
    let first = len.ilog2() / 4;
    out.extend((0..=first).rev().map(|digit| DIGITS[len >> (4 * digit) & 0xf]));
    out.extend_from_slice(b"\r\n");
    line(message, out);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_tells_the_length_of_its_line() {
        for len in [0, 1, 14, 15, 16, 254, 255, 256, 4095, 70_000] {
            let mut out = Vec::new();
            chunk(&vec![b'x'; len], &mut out);
            let expected = format!("{:x}\r\n{}\n\r\n", len + 1, "x".repeat(len));
            assert_eq!(String::from_utf8(out).expect("a chunk of text is text"), expected);
        }
    }
}
