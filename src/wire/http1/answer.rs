//! Answers as a client reads them: the head, and the body by its framing. The client commands and the load client read
//! with this.

use httparse::{EMPTY_HEADER, Header};

use super::body::{BodyDecoder, BodyFraming, parse_length};
use super::error::HttpError;
use crate::close::is_without_body;
use crate::limits::{HEAD_LEN_MAX, HEADERS_MAX};

/// Why an answer cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAnswer {
    /// Another protocol, or another version of it.
    NotHttp11,
    /// An invalid field line, or more lines than `HEADERS_MAX`.
    BadHead,
    /// The head is longer than `HEAD_LEN_MAX`.
    HeadTooLong,
    /// A `Content-Length` that is not one number.
    BadLength,
    /// A length and chunks at once. [RFC 9112 6.3]
    TwoFramings,
    /// A transfer coding other than `chunked`: no request of ours permits one.
    UnknownCoding,
    /// Not a chunk, or not a trailer section. [RFC 9112 7.1]
    BadChunk,
    /// The body is longer than the caller takes.
    BodyTooLong,
}

impl BadAnswer {
    /// The mistake, as the end of "the server's answer is not understood: ".
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::NotHttp11 => "it does not start with HTTP/1.1",
            Self::BadHead => "its head is not valid",
            Self::HeadTooLong => "its head is too long",
            Self::BadLength => "its Content-Length is not a number",
            Self::TwoFramings => "it has both Content-Length and Transfer-Encoding",
            Self::UnknownCoding => "its Transfer-Encoding is not chunked",
            Self::BadChunk => "its chunks are not valid",
            Self::BodyTooLong => "its body is too long",
        }
    }
}

/// How the end of an answer's body is found. [RFC 9112 6.3]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFraming {
    /// As a request's.
    Framed(BodyFraming),
    /// It ends with the connection.
    UntilEnd,
}

/// A complete head. It borrows the bytes it was parsed from.
#[derive(Clone, Debug)]
pub struct AnswerHead<'a> {
    status: u16,
    headers: [Header<'a>; HEADERS_MAX],
    header_count: usize,
    framing: AnswerFraming,
}

/// Parses the head at the start of `bytes`: `None` while it is incomplete, else the head and the bytes it took. An
/// interim answer (1xx) is one of its own, with another behind it.
///
/// # Errors
/// As soon as the bytes cannot become the head of an answer that is understood here.
pub fn parse_answer_head(bytes: &[u8]) -> Result<Option<(AnswerHead<'_>, usize)>, BadAnswer> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes.get(..HEAD_LEN_MAX).unwrap_or(bytes)) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() >= HEAD_LEN_MAX => return Err(BadAnswer::HeadTooLong),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::Version | httparse::Error::Status) => return Err(BadAnswer::NotHttp11),
        Err(_) => return Err(BadAnswer::BadHead),
    };
    let status = response.code.filter(|status| (100..600).contains(status) && response.version == Some(1));
    let (status, header_count) = (status.ok_or(BadAnswer::NotHttp11)?, response.headers.len());
    let mut head = AnswerHead { status, headers, header_count, framing: AnswerFraming::UntilEnd };
    head.framing = head.find_framing()?;
    Ok(Some((head, len)))
}

impl<'a> AnswerHead<'a> {
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of the first field of this name (any case), without the white space around it; `None` also where
    /// it is not UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.raw_values(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// How the body is framed.
    #[must_use]
    pub fn framing(&self) -> AnswerFraming {
        self.framing
    }

    /// Whether another answer can follow on this connection.
    #[must_use]
    pub fn stays_open(&self) -> bool {
        let is_close = |option: &[u8]| option.trim_ascii().eq_ignore_ascii_case(b"close");
        self.framing != AnswerFraming::UntilEnd
            && !self.raw_values("connection").any(|value| value.split(|&byte| byte == b',').any(is_close))
    }

    fn raw_values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let headers = self.headers.iter().take(self.header_count);
        headers.filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.trim_ascii())
    }

    fn find_framing(&self) -> Result<AnswerFraming, BadAnswer> {
        if is_without_body(self.status) {
            return Ok(AnswerFraming::Framed(BodyFraming::None));
        }
        let (mut codings, mut lengths) = (self.raw_values("transfer-encoding"), self.raw_values("content-length"));
        match (codings.next(), lengths.next()) {
            (None, None) => Ok(AnswerFraming::UntilEnd),
            (Some(_), Some(_)) => Err(BadAnswer::TwoFramings),
            (Some(coding), None) => match coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() {
                true => Ok(AnswerFraming::Framed(BodyFraming::Chunked)),
                false => Err(BadAnswer::UnknownCoding),
            },
            (None, Some(length)) => match (parse_length(length), lengths.next()) {
                (Some(length), None) => Ok(AnswerFraming::Framed(BodyFraming::Length(length))),
                _ => Err(BadAnswer::BadLength),
            },
        }
    }
}

/// Takes the body of one answer as it arrives, in pieces of any size.
#[derive(Clone, Debug)]
pub enum AnswerBody {
    /// It ends by itself.
    Framed(BodyDecoder),
    /// It ends with the connection; so many bytes more are taken.
    UntilEnd(usize),
}

impl AnswerBody {
    /// At the start of a body of at most `len_max` bytes; `usize::MAX` where it is taken away as it comes.
    ///
    /// # Errors
    /// [`BadAnswer::BodyTooLong`] if the length is already known to be more.
    pub fn new(framing: AnswerFraming, len_max: usize) -> Result<Self, BadAnswer> {
        match framing {
            AnswerFraming::UntilEnd => Ok(Self::UntilEnd(len_max)),
            AnswerFraming::Framed(framing) => BodyDecoder::new(framing, len_max).map(Self::Framed).map_err(bad_body),
        }
    }

    /// Whether the body has ended. One that ends with the connection never has.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Framed(decoder) if decoder.is_complete())
    }

    /// Takes what it needs from `bytes`, appends the content to `out`, and returns how many bytes it took.
    ///
    /// # Errors
    /// [`BadAnswer::BadChunk`] and [`BadAnswer::BodyTooLong`].
    pub fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, BadAnswer> {
        match self {
            Self::Framed(decoder) => decoder.decode(bytes, out).map(|progress| progress.consumed).map_err(bad_body),
            Self::UntilEnd(left) => {
                *left = left.checked_sub(bytes.len()).ok_or(BadAnswer::BodyTooLong)?;
                out.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }
}

fn bad_body(error: HttpError) -> BadAnswer {
    if error == HttpError::BodyTooLarge { BadAnswer::BodyTooLong } else { BadAnswer::BadChunk }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, body, whether it is complete, whether the connection stays open, and the bytes that are left.
    type Read<Body> = (u16, Body, bool, bool, usize);

    fn read(bytes: &[u8], piece_len: usize, len_max: usize) -> Result<Option<Read<String>>, BadAnswer> {
        // Every part of a head is incomplete, or wrong in the same way as all of it.
        let whole = parse_answer_head(bytes);
        for len in 0..bytes.len().min(2_000) {
            match (parse_answer_head(&bytes[..len]), &whole) {
                (Ok(None), _) => {}
                (Ok(Some((head, len))), Ok(Some((whole, whole_len)))) => {
                    assert_eq!((head.status, len), (whole.status, *whole_len));
                }
                (part, whole) => assert_eq!(part.err(), whole.as_ref().err().copied()),
            }
        }
        let Some((head, len)) = whole? else { return Ok(None) };
        let mut body = AnswerBody::new(head.framing(), len_max)?;
        let (mut out, mut taken) = (Vec::new(), len);
        for piece in bytes[len..].chunks(piece_len) {
            let consumed = body.decode(piece, &mut out)?;
            taken += consumed;
            if consumed < piece.len() {
                break;
            }
        }
        let out = String::from_utf8(out).expect("text");
        Ok(Some((head.status(), out, body.is_complete(), head.stays_open(), bytes.len() - taken)))
    }

    fn check(answer: &str, expected: Result<Option<Read<&str>>, BadAnswer>) {
        let answer = format!("HTTP/1.1 {answer}");
        let owned = |(status, body, is_complete, stays_open, left): Read<&str>| {
            (status, body.to_owned(), is_complete, stays_open, left)
        };
        let expected = expected.map(|read| read.map(owned));
        for piece_len in [1, 2, 3, answer.len()] {
            assert_eq!(read(answer.as_bytes(), piece_len, 64), expected, "{answer:.60} by {piece_len}");
        }
    }

    #[test]
    fn bodies_of_every_framing_end_where_they_say() {
        check("200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP", Ok(Some((200, "hello", true, true, 4))));
        check("200 OK\r\ncontent-length:5\r\n\r\nhell", Ok(Some((200, "hell", false, true, 0))));
        let chunks = "5;a=b\r\nhello\r\n2\r\n, \r\n0\r\nX: y\r\n\r\nHTTP";
        check(
            &format!("200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
            Ok(Some((200, "hello, ", true, true, 4))),
        );
        check("200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhe", Ok(Some((200, "he", false, true, 0))));
        check("200 OK\r\n\r\nall of it", Ok(Some((200, "all of it", false, false, 0))));
        check("200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\na", Ok(Some((200, "a", true, false, 0))));
        for status in ["100 Continue", "204 No Content", "304 Not Modified"] {
            let code = status[..3].parse().expect("a status");
            check(&format!("{status}\r\nContent-Length: 5\r\n\r\nHTTP"), Ok(Some((code, "", true, true, 4))));
        }
    }

    #[test]
    fn an_answer_that_can_be_read_in_two_ways_or_in_none_is_refused() {
        use BadAnswer::{BadChunk, BadHead, BadLength, BodyTooLong, NotHttp11, TwoFramings, UnknownCoding};
        let framed = |fields: &str| format!("200 OK\r\n{fields}\r\n\r\n");
        for (answer, error) in [
            ("2x0 OK\r\n\r\n".to_owned(), NotHttp11),
            ("999 OK\r\n\r\n".to_owned(), NotHttp11),
            (framed("a b: c"), BadHead),
            (framed("Content-Length: x"), BadLength),
            (framed("Content-Length: -1"), BadLength),
            (framed("Content-Length: 1\r\nContent-Length: 1"), BadLength),
            (framed("Content-Length: 99999999999999999999"), BadLength),
            (framed("Content-Length: 65"), BodyTooLong),
            (framed("Content-Length: 1\r\nTransfer-Encoding: chunked"), TwoFramings),
            (framed("Transfer-Encoding: gzip"), UnknownCoding),
            (framed("Transfer-Encoding: gzip, chunked"), UnknownCoding),
            (framed("Transfer-Encoding: chunked") + "zz\r\n", BadChunk),
            (framed("Transfer-Encoding: chunked") + "ffffffffffffffffffff\r\n", BodyTooLong),
            (framed("X: y") + &"x".repeat(65), BodyTooLong),
        ] {
            check(&answer, Err(error));
        }
        assert_eq!(read(b"HTTP/1.0 200 OK\r\n\r\n", 1, 64), Err(NotHttp11));
        assert_eq!(read(b"\x16\x03\x01", 1, 64), Err(NotHttp11));
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(HEAD_LEN_MAX));
        assert_eq!(read(endless.as_bytes(), 1, 64), Err(BadAnswer::HeadTooLong));
    }

    #[test]
    fn fields_are_found_by_their_name_in_any_case() {
        let (head, _) =
            parse_answer_head(b"HTTP/1.1 200 OK\r\nFanwire-Since:  a-1 \r\n\r\n").expect("valid").expect("whole");
        assert_eq!(head.header("fanwire-since"), Some("a-1"));
        assert_eq!(head.header("fanwire"), None);
    }
}
