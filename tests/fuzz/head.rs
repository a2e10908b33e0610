//! A stream of requests: heads, bodies by length and by chunks, one behind the other.
//!
//! Oracles: any split reads the same; no head, body or wait is past its limit; a head that is taken has one reading, line
//! by line; and its parts, written anew, are read the same.

use fanwire::limits::{HEAD_LEN_MAX, HEADERS_MAX};
use fanwire::wire::http1::{
    BodyDecoder, BodyFraming, HttpError, RequestHead, Version, parse_head, percent_decode, query_pairs,
};

use super::input::{Input, for_len, pieces};

/// The requests of a stream, its error, and the bytes that are left.
type Served = (Vec<(String, Vec<u8>)>, Option<HttpError>, usize);

const BODY_LEN_MAX: usize = 100;

pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let lens = input.lens();
    // A stretch of one byte somewhere, so that few bytes stand for a long head.
    let (at, count) = (usize::from(input.byte()), usize::from(input.byte() % 128) * 256);
    let mut stream = input.rest().to_vec();
    if count > 0 && at < stream.len() {
        stream.splice(at..at, std::iter::repeat_n(stream[at], count));
    }
    let lens = for_len(lens, stream.len());
    let whole = serve(std::iter::once(&stream[..]));
    assert_eq!(serve(pieces(&stream, &lens)), whole, "by {lens:?}");
    if stream.len() < 512 {
        assert_eq!(serve(pieces(&stream, &[1])), whole, "byte by byte");
    }
}

fn serve<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Served {
    let (mut buffer, mut requests) = (Vec::new(), Vec::new());
    let mut body: Option<(String, BodyDecoder, Vec<u8>)> = None;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let outcome = match &mut body {
                Some((_, decoder, out)) => decoder.decode(&buffer, out).map(|progress| {
                    assert!(out.len() <= BODY_LEN_MAX, "a body of {} bytes", out.len());
                    assert!(progress.is_complete || progress.consumed == buffer.len(), "it takes what is its own");
                    progress.consumed
                }),
                None => parse_head(&buffer).and_then(|head| {
                    let Some((head, len)) = head else {
                        assert!(buffer.len() <= HEAD_LEN_MAX, "it waits for more than a head can have");
                        return Ok(0);
                    };
                    check_head(&head, &buffer[..len]);
                    body = Some((told(&head), BodyDecoder::new(head.body(), BODY_LEN_MAX)?, Vec::new()));
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

fn told(head: &RequestHead<'_>) -> String {
    let query: Vec<_> = query_pairs(head.query()).map(|pair| (pair.name.clone(), pair.value())).collect();
    format!(
        "{} {} {:?} {:?} {} {:?} {} {} {query:?}",
        head.method(),
        head.path(),
        head.query(),
        head.version(),
        head.authority(),
        head.body(),
        head.keep_alive(),
        head.expects_continue(),
    )
}

/// The lines as anybody in front of us would read them. [RFC 9112 2 to 6]
fn check_head(head: &RequestHead<'_>, bytes: &[u8]) {
    assert!(bytes.len() <= HEAD_LEN_MAX && head.header_count() <= HEADERS_MAX);
    let lines = bytes.strip_suffix(b"\r\n\r\n").expect("a head ends with an empty line");
    let skipped = lines.len() + 4 - head.head_len();
    let lines: Vec<&[u8]> = split_lines(&lines[skipped..]);
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    for line in &lines {
        assert!(!line.contains(&b'\n') && !line.contains(&b'\r') && !line.contains(&0), "{}", line.escape_ascii());
    }
    assert_eq!(lines[0].split(|&byte| byte == b' ').count(), 3, "three words");
    assert!(lines[0].starts_with([head.method(), " ", head.target(), " HTTP/1."].concat().as_bytes()));
    let (mut hosts, mut lengths, mut codings) = (Vec::new(), Vec::new(), Vec::new());
    for line in &lines[1..] {
        let colon = line.iter().position(|&byte| byte == b':').expect("a name and a value");
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        assert!(!name.is_empty() && name.iter().all(is_token), "{}", line.escape_ascii());
        match name.to_ascii_lowercase().as_slice() {
            b"host" => hosts.push(value),
            b"content-length" => lengths.push(value),
            b"transfer-encoding" => codings.push(value),
            _ => {}
        }
    }
    assert_eq!(lines.len() - 1, head.header_count());
    assert!(hosts.len() == 1 || hosts.is_empty() && head.version() == Version::Http10);
    match (head.body(), &lengths[..], &codings[..]) {
        (BodyFraming::None, [], []) => {}
        (BodyFraming::Length(len), [value], []) => {
            assert!(value.iter().all(u8::is_ascii_digit));
            assert_eq!(std::str::from_utf8(value).ok().and_then(|value| value.parse().ok()), Some(len));
        }
        (BodyFraming::Chunked, [], [value]) => assert!(value.eq_ignore_ascii_case(b"chunked")),
        other => panic!("{other:?} can be read in two ways"),
    }
    check_anew(head, &hosts, &codings);
    if let Ok(path) = percent_decode(head.path()) {
        let encoded: String = path.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(percent_decode(&encoded).as_deref(), Ok(&*path));
    }
}

fn split_lines(bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    lines
}

fn check_anew(head: &RequestHead<'_>, hosts: &[&[u8]], codings: &[&[u8]]) {
    let version = if head.version() == Version::Http10 { "0" } else { "1" };
    let mut anew = format!("{} {} HTTP/1.{version}\r\n", head.method(), head.target()).into_bytes();
    let mut field = |name: &str, value: &[u8]| {
        anew.extend_from_slice(name.as_bytes());
        anew.extend_from_slice(b": ");
        anew.extend_from_slice(value);
        anew.extend_from_slice(b"\r\n");
    };
    hosts.iter().for_each(|host| field("HOST", host));
    codings.iter().for_each(|coding| field("transfer-Encoding", coding));
    if let BodyFraming::Length(len) = head.body() {
        field("content-length", len.to_string().as_bytes());
    }
    ["Connection", "Expect"].iter().for_each(|name| head.raw_values(name).for_each(|value| field(name, value)));
    anew.extend_from_slice(b"\r\n");
    if anew.len() <= HEAD_LEN_MAX {
        let (again, len) = parse_head(&anew).expect("it is valid").expect("it is whole");
        assert_eq!((told(&again), len), (told(head), anew.len()));
    }
}
