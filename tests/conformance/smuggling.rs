//! Requests with two readings: refused, and what stands behind them is not read as a request. RFC 9112 6 and 11.2.

use crate::{Case, case};

/// Would be answered with 200 if it were read as a request.
const SMUGGLED: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        fields("a length and an encoding", &["Content-Length: 5", "Transfer-Encoding: chunked"], "0\r\n\r\n"),
        fields("an encoding and a length", &["Transfer-Encoding: chunked", "Content-Length: 5"], "0\r\n\r\n"),
        fields("two lengths", &["Content-Length: 5", "Content-Length: 6"], "hello"),
        fields("one length twice", &["Content-Length: 5", "Content-Length: 5"], "hello"),
        fields("a list of lengths", &["Content-Length: 5, 5"], "hello"),
        fields(
            "two encodings in two fields",
            &["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
            "0\r\n\r\n",
        ),
        fields("two encodings in one field", &["Transfer-Encoding: chunked, chunked"], "0\r\n\r\n"),
        fields("another encoding", &["Transfer-Encoding: gzip"], "0\r\n\r\n"),
        fields("another encoding before it", &["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n"),
        fields("another encoding behind it", &["Transfer-Encoding: chunked, identity"], "0\r\n\r\n"),
        fields("an encoding that ends like it", &["Transfer-Encoding: xchunked"], "0\r\n\r\n"),
        fields("an encoding in quotes", &["Transfer-Encoding: \"chunked\""], "0\r\n\r\n"),
        fields("an encoding behind a vertical tab", &["Transfer-Encoding: \x0bchunked"], "0\r\n\r\n"),
        fields("an empty encoding", &["Transfer-Encoding:", "Content-Length: 5"], "hello"),
        fields("an encoding's name with a space", &["Transfer-Encoding : chunked"], "0\r\n\r\n"),
        fields("a length's name with a space", &["Content-Length : 5"], "hello"),
        fields("a folded encoding", &["Transfer-Encoding:", " chunked"], "0\r\n\r\n"),
        fields("a carriage return inside a field", &["X: y\rTransfer-Encoding: chunked"], "0\r\n\r\n"),
    ];
    for len in ["+5", "-5", "0x5", "5 5", "5a", "", "\u{665}", "5.0", "99999999999999999999", "18446744073709551621"] {
        let cause = format!("the length {len:?}");
        let statuses = if len.len() > 10 { &[400, 413][..] } else { &[400] };
        cases.push(refused(&cause, statuses, &[&format!("Content-Length: {len}")], "hello"));
    }
    cases.extend(chunks());
    for (codings, status) in
        [("chunked, gzip", 400), ("gzip", 400), ("xchunked", 400), ("chunked, chunked", 400), ("gzip, chunked", 501)]
    {
        let request =
            format!("POST /publish/judge HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {codings}\r\n\r\n");
        cases.push(case("RFC 9112 6.1, 6.3", format!("the codings {codings} are a {status}"), move |gateway| {
            let mut socket = gateway.connect();
            socket.write(&request).expect_http_status(status);
            socket.expect_end();
        }));
    }
    cases.push(case("RFC 9112 6.1", "an encoding in HTTP/1.0 is refused", |gateway| {
        let mut socket = gateway.connect();
        let head = "POST /publish/judge HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        socket.write([head, "0\r\n\r\n", SMUGGLED].concat()).expect_http_status(400);
        socket.expect_end();
    }));
    cases.push(case("RFC 9112 6.3", "a body of a GET is not the next request", |gateway| {
        let mut socket = gateway.connect();
        let body = SMUGGLED.len();
        socket.write(format!(
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: {body}\r\n\r\n{SMUGGLED}\
             GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ));
        // Served or refused, but with the body taken as such.
        if socket.expect_http_status_of(&[200, 400, 413]).status == 200 {
            socket.expect_http_status(404);
        } else {
            socket.expect_end();
        }
    }));
    cases
}

fn chunks() -> Vec<Case> {
    let long_line = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(5000));
    let long_trailer = format!("0\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    let endless = format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(5000));
    [
        ("a chunk's length that is no number", "zz\r\nhello\r\n0\r\n\r\n"),
        ("a chunk without a length", "\r\nhello\r\n0\r\n\r\n"),
        ("a chunk's length below zero", "-5\r\nhello\r\n0\r\n\r\n"),
        ("a chunk's length with a plus", "+5\r\nhello\r\n0\r\n\r\n"),
        ("a chunk's length with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("a chunk's length with a space before it", " 5\r\nhello\r\n0\r\n\r\n"),
        ("a chunk's length that overflows", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("a chunk's length of all ones", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("a chunk's length that never ends", &endless),
        ("a chunk longer than its length", "5\r\nhello!\r\n0\r\n\r\n"),
        ("a chunk without its line end", "5\r\nhello0\r\n\r\n"),
        ("a chunk that ends with a bare line feed", "5\r\nhello\n0\r\n\r\n"),
        ("a chunk's length that ends with a bare line feed", "5\nhello\r\n0\r\n\r\n"),
        ("a chunk's length that ends with a bare carriage return", "5\rhello\r\n0\r\n\r\n"),
        ("an extension without a name", "5;\r\nhello\r\n0\r\n\r\n"),
        ("an extension with a value and no name", "5;=x\r\nhello\r\n0\r\n\r\n"),
        ("an empty extension before another", "5;;a\r\nhello\r\n0\r\n\r\n"),
        ("an extension in an open quotation", "5;a=\"b\r\nhello\r\n0\r\n\r\n"),
        ("a bare line feed in an extension", "5;\n0\r\n\r\n"),
        ("an extension that is too long", &long_line),
        ("a trailer section that is too long", &long_trailer),
    ]
    .into_iter()
    .map(|(cause, body)| refused(cause, &[400, 413, 431], &["Transfer-Encoding: chunked"], body))
    .collect()
}

fn fields(cause: &str, lines: &[&str], body: &str) -> Case {
    refused(cause, &[400, 501], lines, body)
}

/// The request is refused, whole and octet by octet, and the connection with it.
fn refused(cause: &str, statuses: &'static [u16], lines: &[&str], body: &str) -> Case {
    let lines = lines.join("\r\n");
    let request = format!("POST /publish/judge HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n\r\n{body}{SMUGGLED}");
    case("RFC 9112 6.3, 7.1", format!("{cause} is refused, and nothing behind it is read"), move |gateway| {
        for piece_len in [request.len(), if request.len() < 1000 { 1 } else { 997 }] {
            let mut socket = gateway.connect();
            socket.write_in_pieces(&request, piece_len).expect_http_status_of(statuses);
            socket.expect_end();
        }
    })
}
