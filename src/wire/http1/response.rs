//! Response heads.

/// Appends a response head. `content_length` is left out where there is none to tell: a 1xx or 204, or a body that
/// the caller frames by a header of its own. `connection` are the options of `Connection`. [RFC 9110 7.6.1]
///
/// CR, LF and NUL in a name or value are left out, so that no value can begin a field or a response of its own.
pub fn encode_response_head(
    out: &mut Vec<u8>,
    status: u16,
    headers: &[(&str, &str)],
    content_length: Option<usize>,
    connection: &[&str],
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
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

/// The reason phrase of every status that is answered here; empty for another, which is valid. [RFC 9112 4]
#[must_use]
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(status: u16, headers: &[(&str, &str)], content_length: Option<usize>, connection: &[&str]) -> String {
        let mut out = Vec::new();
        encode_response_head(&mut out, status, headers, content_length, connection);
        String::from_utf8(out).expect("heads are text")
    }

    #[test]
    fn a_response_head_says_what_it_was_given() {
        assert_eq!(
            encoded(200, &[("Content-Type", "text/plain")], Some(12), &[]),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\n"
        );
        assert_eq!(encoded(204, &[], None, &["close"]), "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!(
            encoded(426, &[], None, &["upgrade", "close"]),
            "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade, close\r\n\r\n"
        );
        assert_eq!(encoded(299, &[], Some(0), &[]), "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n");
    }

    #[test]
    fn no_value_begins_a_field_or_a_response_of_its_own() {
        assert_eq!(
            encoded(400, &[("X\r\nY", "a\r\nSet-Cookie: b\r\n\r\n<html>\0")], None, &[]),
            "HTTP/1.1 400 Bad Request\r\nXY: aSet-Cookie: b<html>\r\n\r\n"
        );
    }

    #[test]
    fn every_status_of_the_tables_has_its_phrase() {
        use crate::close::CloseReason;
        let of_closes = CloseReason::ALL.iter().map(|reason| reason.row().status);
        for status in of_closes.chain([101, 100, 204, 401, 403, 404, 405, 413, 415, 426, 429, 431, 501, 503, 505]) {
            assert!(!reason_phrase(status).is_empty(), "{status}");
        }
    }
}
