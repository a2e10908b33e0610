//! Heads that are taken, heads that are refused, and framing that has one reading only.

use super::*;
use crate::wire::http1::BodyDecoder;
use crate::wire::splits::{config, corrupt, corruptions, piece_lens, pieces};
use proptest::prelude::*;

fn parsed(text: &str) -> RequestHead<'_> {
    let (head, len) = parse_head(text.as_bytes()).expect(text).expect(text);
    assert_eq!(len, text.len(), "{text:?}");
    head
}

fn check_refused(text: &[u8], error: HttpError) {
    assert_eq!(parse_head(text).err(), Some(error), "{:?}", text.escape_ascii().to_string());
}

#[test]
fn a_head_is_taken_apart() {
    let head = parsed("GET /raw/px.AAPL?last=0&x HTTP/1.1\r\nHost: a:1\r\nX-A:  one \t\r\nx-a: two\r\nX-B:\r\n\r\n");
    assert_eq!((head.method(), head.target()), ("GET", "/raw/px.AAPL?last=0&x"));
    assert_eq!((head.path(), head.query()), ("/raw/px.AAPL", Some("last=0&x")));
    assert_eq!((head.version(), head.body()), (Version::Http11, BodyFraming::None));
    assert_eq!((head.only_value("X-b"), head.only_value("x-c")), (Ok(Some(&b""[..])), Ok(None)));
    assert_eq!(head.only_value("x-a"), Err(NotOneValue));
    assert_eq!(head.raw_values("X-A").collect::<Vec<_>>(), [b"one", b"two"]);
    assert_eq!(head.authority(), "a:1");
}

#[test]
fn targets_have_the_form_that_their_method_allows() {
    let target = |line: &str| {
        let text = format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n");
        parse_head(text.as_bytes()).map(|head| {
            let (head, _) = head.expect("complete");
            (head.path().to_owned(), head.query().map(str::to_owned), head.authority().to_owned())
        })
    };
    let parts = |path: &str, query: Option<&str>, authority: &str| {
        Ok((path.to_owned(), query.map(str::to_owned), authority.to_owned()))
    };
    assert_eq!(target("GET /?"), parts("/", Some(""), "h"));
    assert_eq!(target("GET //a//b?c?d"), parts("//a//b", Some("c?d"), "h"));
    assert_eq!(target("GET http://x:1/a?b"), parts("/a", Some("b"), "x:1"));
    assert_eq!(target("GET WSS://x"), parts("/", None, "x"));
    assert_eq!(target("GET ws://x?b"), parts("/", Some("b"), "x"));
    assert_eq!(target("OPTIONS *"), parts("*", None, "h"));
    assert_eq!(target("GET /gr%C3%B6%C3%9Fe"), parts("/gr%C3%B6%C3%9Fe", None, "h"));
    assert_eq!(target("GET /a|b[1]?c|[{^`\\}]d?/"), parts("/a|b[1]", Some("c|[{^`\\}]d?/"), "h"));
    assert_eq!(target("GET /ü?ü"), parts("/ü", Some("ü"), "h"));
    for byte in ['"', '<', '>', '\\', '^', '`', '{', '}'] {
        assert_eq!(target(&format!("GET /a{byte}")), Err(HttpError::BadTarget), "{byte}");
        assert_eq!(target(&format!("GET http://x/{byte}?a")), Err(HttpError::BadTarget), "{byte}");
    }
    assert_eq!(target("GET /sse?topic=px.>"), parts("/sse", Some("topic=px.>"), "h"));
    for byte in ['"', '<', '#'] {
        assert_eq!(target(&format!("GET /?a={byte}")), Err(HttpError::BadTarget), "{byte}");
    }
    for bad in ["GET http://[::1/", "GET http://x:y/", "GET http://a%b/"] {
        assert_eq!(target(bad), Err(HttpError::BadTarget), "{bad}");
    }
    for bad in ["GET *", "GET a", "GET ftp://x/", "GET http:///a", "GET http://u@x/", "GET /a#b", "GET x:1"] {
        assert_eq!(target(bad), Err(HttpError::BadTarget), "{bad}");
    }
    assert_eq!(target("CONNECT x:1"), Err(HttpError::UnsupportedMethod));
}

#[test]
fn token_lists_are_read_over_all_their_fields_in_any_case() {
    let head = parsed("GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive ,UPGRADE\r\nconnection:\tx,, y\r\n\r\n");
    for token in ["keep-alive", "upgrade", "Upgrade", "X", "y"] {
        assert!(head.has_token("CONNECTION", token), "{token}");
    }
    for token in ["keep", "upgrades", "x,, y", "z"] {
        assert!(!head.has_token("connection", token), "{token}");
    }
    let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: \xff, close ,\xe9\r\n\r\n";
    let (head, _) = parse_head(bytes).expect("valid").expect("complete");
    assert!(head.has_token("connection", "close") && !head.keep_alive(), "what is no text hides nothing");
}

#[test]
fn a_connection_is_kept_as_its_version_and_fields_say() {
    let keep_alive = |version: &str, connection: &str| {
        parsed(&format!("GET / HTTP/{version}\r\nHost: h\r\nConnection: {connection}\r\n\r\n")).keep_alive()
    };
    assert!(keep_alive("1.1", "") && keep_alive("1.1", "Upgrade") && keep_alive("1.0", "Keep-Alive"));
    assert!(!keep_alive("1.1", "x, Close") && !keep_alive("1.0", "") && !keep_alive("1.0", "keep-alive, close"));
}

#[test]
fn a_peer_expects_continue_only_with_a_body_to_send() {
    let expects = |version: &str, fields: &str| {
        parsed(&format!("POST / HTTP/{version}\r\nHost: h\r\n{fields}\r\n\r\n")).expects_continue()
    };
    assert!(expects("1.1", "Expect: 100-Continue\r\nContent-Length: 1"));
    assert!(expects("1.1", "Expect: 100-continue\r\nTransfer-Encoding: chunked"));
    assert!(!expects("1.1", "Expect: 100-continue\r\nContent-Length: 0"));
    assert!(!expects("1.1", "Expect: 100-continue"));
    assert!(!expects("1.0", "Expect: 100-continue\r\nContent-Length: 1"));
    assert!(!expects("1.1", "Content-Length: 1"));
}

#[test]
fn framing_with_one_reading_is_accepted_and_any_other_refused() {
    use BodyFraming::{Chunked, Length, None};
    use HttpError::{BadFraming, BadHeader, BadRequestLine, UnsupportedCoding};
    let max = u64::MAX.to_string();
    let cases: [(&str, &str, Result<BodyFraming, HttpError>); 45] = [
        ("1.1", "X: y", Ok(None)),
        ("1.1", "Content-Length: 0", Ok(Length(0))),
        ("1.1", "Content-Length: 007", Ok(Length(7))),
        ("1.1", "content-LENGTH:\t5 ", Ok(Length(5))),
        ("1.0", "Content-Length: 5", Ok(Length(5))),
        ("1.1", &format!("Content-Length: {max}"), Ok(Length(u64::MAX))),
        ("1.1", "Transfer-Encoding: chunked", Ok(Chunked)),
        ("1.1", "transfer-encoding:CHUNKED", Ok(Chunked)),
        ("1.1", "Content-Length:", Err(BadFraming)),
        ("1.1", "Content-Length: 18446744073709551616", Err(BadFraming)),
        ("1.1", "Content-Length: +5", Err(BadFraming)),
        ("1.1", "Content-Length: -5", Err(BadFraming)),
        ("1.1", "Content-Length: 5 5", Err(BadFraming)),
        ("1.1", "Content-Length: 5, 5", Err(BadFraming)),
        ("1.1", "Content-Length: 5,", Err(BadFraming)),
        ("1.1", "Content-Length: 0x5", Err(BadFraming)),
        ("1.1", "Content-Length: 5.0", Err(BadFraming)),
        ("1.1", "Content-Length: 1_0", Err(BadFraming)),
        ("1.1", "Content-Length: \u{665}", Err(BadFraming)),
        ("1.1", "Content-Length: 5\r\nContent-Length: 5", Err(BadFraming)),
        ("1.1", "Content-Length: 5\r\nX: y\r\ncontent-length: 6", Err(BadFraming)),
        ("1.1", "Content-Length: 5\r\nTransfer-Encoding: chunked", Err(BadFraming)),
        ("1.1", "Transfer-Encoding: chunked\r\nContent-Length: 5", Err(BadFraming)),
        ("1.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Err(BadFraming)),
        ("1.1", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", Err(BadFraming)),
        ("1.0", "Transfer-Encoding: chunked", Err(BadFraming)),
        ("1.1", "Transfer-Encoding: gzip", Err(BadFraming)),
        ("1.1", "Transfer-Encoding: gzip, chunked", Err(UnsupportedCoding)),
        ("1.1", "Transfer-Encoding: chunked, chunked", Err(BadFraming)),
        ("1.1", "Transfer-Encoding: chunked, identity", Err(BadFraming)),
        ("1.1", "Transfer-Encoding: chunked, gzip", Err(BadFraming)),
        ("1.1", "Transfer-Encoding: gzip, br;q=1,\tChunked", Err(UnsupportedCoding)),
        ("1.1", "Transfer-Encoding: , chunked", Err(BadFraming)),
        ("1.1", "Transfer-Encoding: chunked,", Err(BadFraming)),
        ("1.1", "Transfer-Encoding: xchunked", Err(BadFraming)),
        ("1.1", "Transfer-Encoding: \"chunked\"", Err(BadFraming)),
        ("1.1", "Transfer-Encoding:", Err(BadFraming)),
        ("1.1", "Transfer-Encoding: chunked;q=1", Err(BadFraming)),
        ("1.1", "Transfer-Encoding : chunked", Err(BadHeader)),
        ("1.1", "Transfer-Encoding\t: chunked", Err(BadHeader)),
        ("1.1", " Transfer-Encoding: chunked", Err(BadHeader)),
        ("1.1", "X: y\r\n Transfer-Encoding: chunked", Err(BadHeader)),
        ("1.1", "Transfer-Encoding: \u{b}chunked", Err(BadHeader)),
        ("1.1", "X: y\nTransfer-Encoding: chunked", Err(BadRequestLine)),
        ("1.1", "X: y\rTransfer-Encoding: chunked", Err(BadHeader)),
    ];
    for (version, fields, expected) in cases {
        let text = format!("POST / HTTP/{version}\r\nHost: h\r\n{fields}\r\n\r\n");
        let framing = parse_head(text.as_bytes()).map(|head| head.expect("complete").0.body());
        assert_eq!(framing, expected, "HTTP/{version} {fields:?}");
    }
}

#[test]
fn what_is_no_head_is_refused_with_its_status() {
    use HttpError::{BadHeader, BadHost, BadRequestLine, UnsupportedVersion};
    for (text, error, status) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], BadHost, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", BadHost, 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", BadHost, 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", BadHost, 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BadHost, 400),
        (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", BadHost, 400),
        (b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n", BadHost, 400),
        (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", BadHost, 400),
        (b"GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", BadHost, 400),
        (b"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", BadHost, 400),
        (b"GET / HTTP/1.1\r\nHost: a%b\r\n\r\n", BadHost, 400),
        (b"GET / HTTP/2.0\r\n", UnsupportedVersion, 505),
        (b"GET / HTTP/3.1\r\n", UnsupportedVersion, 505),
        (b"GET / HTTP/1.x\r\n", BadRequestLine, 400),
        (b"GET / HTTP/1.12\r\n", BadRequestLine, 400),
        (b"GET / HTTP/1.2 \r\n", BadRequestLine, 400),
        (b"GET / HTTP/x.1\r\n", BadRequestLine, 400),
        (b"GET / HTTP/1.2\r\nHost: a\r\n folded\r\n\r\n", BadHeader, 400),
        (b"GET / HTTP/1.2\r\n\r\n", BadHost, 400),
        (b"GET / HTTP/0.9\r\n", UnsupportedVersion, 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", UnsupportedVersion, 505),
        (b"GET / http/1.1\r\n", BadRequestLine, 400),
        (b"GET / HTTP/1.1 \r\n", BadRequestLine, 400),
        (b"GET  / HTTP/1.1\r\n", BadRequestLine, 400),
        (b"GET /  HTTP/1.1\r\n", BadRequestLine, 400),
        (b" GET / HTTP/1.1\r\n", BadRequestLine, 400),
        (b"GET /\r\nHost: a\r\n\r\n", BadRequestLine, 400),
        (b"GET /\x00 HTTP/1.1\r\n", BadRequestLine, 400),
        (b"G(T / HTTP/1.1\r\n", BadRequestLine, 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", BadRequestLine, 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", BadRequestLine, 400),
        (b"GET / HTTP/1.1\rHost: a\r\n\r\n", BadRequestLine, 400),
        (b"GET / HTTP/1.1\r\nHost: a\n", BadRequestLine, 400),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine, 400),
        (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine, 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", BadHeader, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", BadHeader, 400),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", BadHeader, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", BadHeader, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", BadHeader, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", BadHeader, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", BadHeader, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX(: a\r\n\r\n", BadHeader, 400),
    ] {
        check_refused(text, error);
        assert_eq!(error.status().code(), status);
    }
}

#[test]
fn what_is_behind_a_head_is_not_looked_at() {
    let head = "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (bytes, found) in [
        (format!("{head}behind\n"), None),
        (format!("{head}\n"), None),
        ("\n".to_owned(), Some(0)),
        ("\r\n\n".to_owned(), Some(2)),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n".to_owned(), Some(14)),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n".to_owned(), Some(23)),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n".to_owned(), Some(25)),
    ] {
        assert_eq!(find_lone_lf(bytes.as_bytes()), found, "{bytes:?}");
    }
}

#[test]
fn empty_lines_before_a_request_are_skipped_up_to_the_bound() {
    let head = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    parsed(&("\r\n".repeat(LEADING_EMPTY_LINES_MAX) + head));
    check_refused(("\r\n".repeat(LEADING_EMPTY_LINES_MAX + 1) + head).as_bytes(), HttpError::BadRequestLine);
    assert!(matches!(parse_head(b"\r\n\r"), Ok(None)));
}

#[test]
fn a_head_of_the_longest_length_is_taken_and_a_longer_one_refused() {
    let head = |len: usize| {
        let start = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(len - start.len() - 4))
    };
    parsed(&head(HEAD_LEN_MAX));
    let pipelined = head(HEAD_LEN_MAX) + &head(100);
    assert!(matches!(parse_head(pipelined.as_bytes()), Ok(Some((_, HEAD_LEN_MAX)))));
    check_refused(head(HEAD_LEN_MAX + 1).as_bytes(), HttpError::HeadTooLong);
    let endless = vec![b'A'; HEAD_LEN_MAX + 1];
    check_refused(&endless, HttpError::HeadTooLong);
    assert!(matches!(parse_head(&endless[1..]), Ok(None)));
    assert_eq!(HttpError::HeadTooLong.status().code(), 431);
}

#[test]
fn as_many_headers_as_the_bound_are_taken_and_one_more_refused() {
    let head = |count: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "x: y\r\n".repeat(count - 1));
    assert_eq!(parsed(&head(HEADERS_MAX)).raw_values("x").count(), HEADERS_MAX - 1);
    check_refused(head(HEADERS_MAX + 1).as_bytes(), HttpError::TooManyHeaders);
    assert_eq!(HttpError::TooManyHeaders.status().code(), 431);
}

#[test]
fn a_later_minor_version_is_taken_as_http_1_1() {
    let head = parsed("POST /a HTTP/1.2\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    assert_eq!((head.version(), head.path(), head.body()), (Version::Http11, "/a", BodyFraming::Length(5)));
    assert!(head.keep_alive());
    for part in ["GET / HTTP/1.9", "GET / HTTP/1.9\r", "GET / HTTP/1.9\r\n", "GET / HTTP/1.9\r\nHost: h\r\n"] {
        assert!(matches!(parse_head(part.as_bytes()), Ok(None)), "{part:?}");
    }
}

#[test]
fn a_value_that_is_no_text_is_there() {
    let (head, _) = parse_head(b"GET / HTTP/1.1\r\nHost: h\r\nX: \xff\r\nX: \xc3\xb6\r\n\r\n").unwrap().unwrap();
    assert_eq!(head.raw_values("x").collect::<Vec<_>>(), [&b"\xff"[..], "ö".as_bytes()]);
}

/// The requests of a stream, its error, and the bytes that are left.
type Served = (Vec<(String, Vec<u8>)>, Option<HttpError>, usize);

/// All requests of a stream as a server would read them.
fn serve<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Served {
    let (mut buffer, mut requests, mut body) = (Vec::new(), Vec::new(), None::<(String, BodyDecoder, Vec<u8>)>);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let outcome = match &mut body {
                Some((_, decoder, out)) => decoder.decode(&buffer, out).map(|progress| progress.consumed),
                None => parse_head(&buffer).and_then(|head| {
                    let Some((head, len)) = head else { return Ok(0) };
                    let said = format!("{} {} {:?}", head.method(), head.target(), head.only_value("x"));
                    body = Some((said, BodyDecoder::new(head.body(), 40)?, Vec::new()));
                    Ok(len)
                }),
            };
            let consumed = match outcome {
                Ok(consumed) => consumed,
                Err(error) => return (requests, Some(error), 0),
            };
            buffer.drain(..consumed);
            if let Some((said, _, out)) = body.take_if(|(_, decoder, _)| decoder.is_complete()) {
                requests.push((said, out));
            } else if consumed == 0 || buffer.is_empty() {
                break;
            }
        }
    }
    (requests, None, buffer.len())
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "GET / HTTP/1.1",
        "POST /publish/a?x=%20 HTTP/1.1",
        "POST http://x/ HTTP/1.0",
        "\r\n\r\nGET /a HTTP/1.1",
        "GET / HTTP/2.0",
        "GET /b HTTP/1.7",
        "GET /\tx HTTP/1.1",
        "CONNECT a:1 HTTP/1.1",
    ]);
    let field = prop::sample::select(vec![
        "Host: h",
        "Host: h",
        "X: y",
        "Content-Length: 5",
        "Content-Length: 41",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
        "Connection: close",
        "X : y",
        " folded",
        "X: \u{fc}",
    ]);
    let end = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n"]);
    let body = prop::sample::select(vec![
        "",
        "hello",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;x=y\r\nhello\r\n1\r\n!\r\n00\r\nT: u\r\n\r\n",
        "29\r\n",
        "5\nhello",
    ]);
    (line, prop::collection::vec((field, end), 0..4), body).prop_map(|(line, fields, body)| {
        let fields: String = fields.iter().flat_map(|&(field, end)| [field, end]).collect();
        format!("{line}\r\nHost: h\r\n{fields}\r\n{body}").into_bytes()
    })
}

proptest! {
    #![proptest_config(config(3000))]

    #[test]
    fn a_stream_of_requests_reads_the_same_however_it_is_split(
        requests in prop::collection::vec(request(), 1..4), corruptions in corruptions(), lens in piece_lens(),
    ) {
        let mut stream = requests.concat();
        corrupt(&mut stream, &corruptions);
        let whole = serve(std::iter::once(&stream[..]));
        prop_assert_eq!(serve(pieces(&stream, &lens)), whole.clone());
        prop_assert_eq!(serve(pieces(&stream, &[1])), whole);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = serve(pieces(&bytes, &[7]));
    }
}
