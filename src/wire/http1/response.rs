//! Response heads.

use crate::close::Status;

/// Appends a response head. `content_length` is `None` for a 1xx or 204, and for a body that the caller frames by a
/// header field of its own. `connection` are the options of `Connection`. [RFC 9110 7.6.1]
///
/// CR, LF and NUL in a name or value are left out, so that no value can begin a field or a response of its own.
pub fn encode_response_head(
    out: &mut Vec<u8>,
    status: Status,
    headers: &[(&str, &str)],
    content_length: Option<usize>,
    connection: &[&str],
) {
    encode_status_line(out, status);
    for (name, value) in headers {
        extend_with_line_safe(out, name);
        out.extend_from_slice(b": ");
        extend_with_line_safe(out, value);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(length) = content_length {
        out.extend_from_slice(b"Content-Length: ");
        out.extend_from_slice(length.to_string().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    for (index, option) in connection.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"Connection: " } else { b", " });
        out.extend_from_slice(option.as_bytes());
    }
    if !connection.is_empty() {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn extend_with_line_safe(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
}

/// Appends the status line. [RFC 9112 4]
pub fn encode_status_line(out: &mut Vec<u8>, status: Status) {
    let (code, phrase) = status.row();
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(code.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(phrase.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(status: Status, headers: &[(&str, &str)], content_length: Option<usize>, connection: &[&str]) -> String {
        let mut out = Vec::new();
        encode_response_head(&mut out, status, headers, content_length, connection);
        String::from_utf8(out).expect("heads are text")
    }

    #[test]
    fn a_response_head_says_what_it_was_given() {
        assert_eq!(
            encoded(Status::Ok, &[("Content-Type", "text/plain")], Some(12), &[]),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\n"
        );
        assert_eq!(
            encoded(Status::NoContent, &[], None, &["close"]),
            "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(
            encoded(Status::UpgradeRequired, &[], None, &["upgrade", "close"]),
            "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade, close\r\n\r\n"
        );
    }

    #[test]
    fn no_value_begins_a_field_or_a_response_of_its_own() {
        assert_eq!(
            encoded(Status::BadRequest, &[("X\r\nY", "a\r\nSet-Cookie: b\r\n\r\n<html>\0")], None, &[]),
            "HTTP/1.1 400 Bad Request\r\nXY: aSet-Cookie: b<html>\r\n\r\n"
        );
    }
}
