//! HTTP streaming: messages as lines of a response that does not end; a chunk each where the peer knows chunks.
//! [RFC 9112 7.1]

/// The media type: one JSON text a line.
pub const CONTENT_TYPE: &str = "application/x-ndjson";

/// The empty chunk that ends the body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The end of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends a JSON text as a line. Its own line ends, which can only stand between its tokens, become spaces: what is one
/// message to its publisher must not be several to a reader. What some readers take for line ends, too, can only stand in
/// its strings, and is escaped there: U+0085, U+2028 and U+2029.
pub fn line(message: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut rest = message;
    while let Some((at, len, escape)) = next_line_end(rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(escape);
        rest = &rest[at + len..];
    }
    out.extend_from_slice(rest);
    let mut rest = &mut out[start..];
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        rest[at] = b' ';
        rest = &mut rest[at + 1..];
    }
    out.push(b'\n');
}

/// Where the next of the line ends of Unicode stands, its bytes, and its escape.
fn next_line_end(text: &[u8]) -> Option<(usize, usize, &'static [u8])> {
    memchr::memchr2_iter(0xc2, 0xe2, text).find_map(|at| match text[at..] {
        [0xc2, 0x85, ..] => Some((at, 2, &b"\\u0085"[..])),
        [0xe2, 0x80, 0xa8, ..] => Some((at, 3, b"\\u2028")),
        [0xe2, 0x80, 0xa9, ..] => Some((at, 3, b"\\u2029")),
        _ => None,
    })
}

/// Appends a line as a chunk of its own.
pub fn chunk(message: &[u8], out: &mut Vec<u8>) {
    let mut grown = 0;
    let mut rest = message;
    while let Some((at, len, escape)) = next_line_end(rest) {
        grown += escape.len() - len;
        rest = &rest[at + len..];
    }
    chunk_len(message.len() + grown + 1, out);
    line(message, out);
    out.extend_from_slice(CHUNK_END);
}

/// Appends what begins a chunk of so many bytes, at least one.
pub fn chunk_len(len: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let first = len.ilog2() / 4;
    out.extend((0..=first).rev().map(|digit| DIGITS[len >> (4 * digit) & 0xf]));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_of_several_lines_becomes_one() {
        let mut out = Vec::new();
        line(b"[\n{\"a\":\r\n1}\n]", &mut out);
        line(b"\n", &mut out);
        assert_eq!(out, b"[ {\"a\":  1} ]\n \n");
    }

    #[test]
    fn no_reader_finds_a_line_end_in_a_line() {
        let message = "{\"a\u{2028}\":\"\u{2029}b\u{85}\u{2028}\",\"c\":\"“é\u{a0}\u{2027}‰\"}";
        let mut out = Vec::new();
        line(message.as_bytes(), &mut out);
        let told = String::from_utf8(out).expect("text");
        assert_eq!(told, "{\"a\\u2028\":\"\\u2029b\\u0085\\u2028\",\"c\":\"“é\u{a0}\u{2027}‰\"}\n");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(value(&told), value(message));
        let mut chunked = Vec::new();
        chunk(message.as_bytes(), &mut chunked);
        assert_eq!(chunked, format!("{:x}\r\n{told}\r\n", told.len()).as_bytes());
    }

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
