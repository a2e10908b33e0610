//! Text to JSON strings.

use super::scan::plain_len;

/// Appends `text` as a JSON string, with its quotes. Only what must be escaped is. [RFC 8259 7]
pub fn escape_into(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = next_special(rest) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let [byte, after @ ..] = special else { break };
        push_escape(out, *byte);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn next_special(bytes: &[u8]) -> Option<usize> {
    let plain = plain_len(bytes);
    let (_, rest) = bytes.split_at(plain);
    rest.iter().position(|&byte| must_be_escaped(byte)).map(|at| plain + at)
}

const fn must_be_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend([byte >> 4, byte & 0x0f].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &str) -> String {
        let mut out = b"before ".to_vec();
        escape_into(&mut out, text);
        String::from_utf8(out.split_off(7)).expect("escaping keeps UTF-8")
    }

    #[test]
    fn only_what_must_be_escaped_is() {
        assert_eq!(escaped("a \"b\" \\ /\u{7f}\u{2028}€\u{1f600}"), "\"a \\\"b\\\" \\\\ /\u{7f}\u{2028}€\u{1f600}\"");
        assert_eq!(escaped("\n\r\t\u{8}\u{c}\0\u{1f}"), r#""\n\r\t\b\f\u0000\u001f""#);
        assert_eq!(escaped(""), "\"\"");
    }

    proptest! {
        #[test]
        fn an_escaped_string_reads_back(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&escaped(&text)).ok(), Some(text));
        }
    }
}
