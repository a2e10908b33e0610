//! The client's side of one HTTP/1.1 connection: requests go out, and answers come in one after the other. Each is read
//! whole, or line by line where it may never end. All of it is bounded.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};

use crate::close::{Status, is_interim};
use crate::limits::CLIENT_MESSAGE_LEN_MAX;
use crate::wire::http1::{AnswerBody, AnswerFraming, BadAnswer, BodyFraming, parse_answer_head};

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum HttpError {
    /// No connection.
    Dial(String, io::Error),
    /// The connection failed.
    Broken(io::Error),
    /// The connection ended before the answer.
    Closed,
    /// The answer is not HTTP/1.1 as this client knows it.
    BadAnswer(&'static str),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(authority, error) => {
                write!(f, "cannot connect to {authority}: {error}")?;
                match error.kind() {
                    ErrorKind::ConnectionRefused => f.write_str("; is `fanwire serve` running there?"),
                    _ => Ok(()),
                }
            }
            Self::Broken(error) if is_timeout(error) => f.write_str("the server did not answer in time"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Closed => f.write_str("the server closed the connection without an answer"),
            Self::BadAnswer(why) => write!(f, "the server's answer is not understood: {why}"),
        }
    }
}

impl From<BadAnswer> for HttpError {
    fn from(error: BadAnswer) -> Self {
        Self::BadAnswer(error.message())
    }
}

/// Whether a read gave up waiting.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    error.kind() == ErrorKind::TimedOut
}

/// A connection, and the answer that is being read.
pub(super) struct Connection<S> {
    stream: S,
    /// As it came, not yet looked at.
    received: Vec<u8>,
    /// The decoder of the answer's body; `None` between two answers.
    body: Option<AnswerBody>,
    /// The length that its head announced, if it did.
    announced: usize,
    /// Of the body, not yet taken by the caller.
    decoded: Vec<u8>,
}

/// The parts of an answer's head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// `Fanwire-Since`.
    pub(super) since: Option<String>,
    /// Whether the connection stays open behind the answer.
    pub(super) stays_open: bool,
}

impl<S: Read + Write> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, received: Vec::new(), body: None, announced: 0, decoded: Vec::new() }
    }

    /// Sends one request or several.
    pub(super) fn send(&mut self, requests: &[u8]) -> io::Result<()> {
        self.stream.write_all(requests)?;
        self.stream.flush()
    }

    /// Whether nothing came that was not looked at.
    pub(super) fn is_silent(&self) -> bool {
        self.received.is_empty()
    }

    /// The head of the next answer, when the answer before was read to its end. Interim answers are passed over.
    pub(super) fn head(&mut self) -> Result<Head, HttpError> {
        loop {
            let found = parse_answer_head(&self.received)?.map(|(head, len)| {
                let since = head.header("fanwire-since").map(str::to_owned);
                let told = Head { status: head.status(), since, stays_open: head.stays_open() };
                (told, head.framing(), len)
            });
            match found {
                Some((head, _, len)) if is_interim(head.status) => {
                    self.received.drain(..len);
                    if head.status == Status::SwitchingProtocols.code() {
                        return Ok(head);
                    }
                }
                Some((head, framing, len)) => {
                    self.received.drain(..len);
                    self.decoded.clear();
                    self.announced = match framing {
                        AnswerFraming::Framed(BodyFraming::Length(len)) => usize::try_from(len).unwrap_or(usize::MAX),
                        _ => 0,
                    };
                    self.body = Some(AnswerBody::new(framing, usize::MAX)?);
                    return Ok(head);
                }
                None if self.read()? => {}
                None => return Err(HttpError::Closed),
            }
        }
    }

    /// The next line of the body, without its line feed; `None` at the end.
    pub(super) fn line(&mut self) -> Result<Option<String>, HttpError> {
        let mut looked_at = 0;
        loop {
            if let Some(at) = memchr::memchr(b'\n', self.decoded.get(looked_at..).unwrap_or_default()) {
                let line = self.decoded.drain(..=looked_at + at).take(looked_at + at).collect();
                let line = String::from_utf8(line).map_err(|_| HttpError::BadAnswer("it is not UTF-8"))?;
                return Ok(Some(line));
            }
            looked_at = self.decoded.len();
            if looked_at > CLIENT_MESSAGE_LEN_MAX {
                return Err(HttpError::BadAnswer("a line is too long"));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// All that is left of the body, which is at most `len_max` bytes.
    pub(super) fn rest(&mut self, len_max: usize) -> Result<Vec<u8>, HttpError> {
        if self.announced > len_max {
            return Err(BadAnswer::BodyTooLong.into());
        }
        while self.fill()? {
            if self.decoded.len() > len_max {
                return Err(BadAnswer::BodyTooLong.into());
            }
        }
        Ok(std::mem::take(&mut self.decoded))
    }

    /// Takes more of the body in; `false` at its end.
    fn fill(&mut self) -> Result<bool, HttpError> {
        loop {
            let Some(body) = &mut self.body else { return Ok(false) };
            let before = self.decoded.len();
            let consumed = body.decode(&self.received, &mut self.decoded)?;
            self.received.drain(..consumed);
            let (is_complete, ends_with_connection) = (body.is_complete(), matches!(body, AnswerBody::UntilEnd(_)));
            if is_complete {
                self.body = None;
            }
            if self.decoded.len() > before {
                return Ok(true);
            }
            if !is_complete && !self.read()? {
                self.body = None;
                return if ends_with_connection { Ok(false) } else { Err(HttpError::Closed) };
            }
        }
    }

    /// Reads once; `false` at the end of the connection.
    fn read(&mut self) -> Result<bool, HttpError> {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(len) => {
                    self.received.extend_from_slice(chunk.get(..len).unwrap_or_default());
                    return Ok(len > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(HttpError::Broken(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake_stream::Fake;
    use crate::limits::CHUNK_LINE_LEN_MAX;

    /// The lines of an answer, whatever its split, or why there are none.
    fn lines(answer: &str) -> Result<Vec<String>, String> {
        let read = |step: usize| {
            let mut connection = Connection::new(Fake::new(answer.as_bytes(), step));
            connection.head()?;
            let mut lines = Vec::new();
            while let Some(line) = connection.line()? {
                lines.push(line);
            }
            Ok(lines)
        };
        let whole = read(answer.len()).map_err(|error: HttpError| error.to_string());
        for step in 1..answer.len() {
            assert_eq!(read(step).map_err(|error| error.to_string()), whole, "reads of {step}");
        }
        whole
    }

    #[test]
    fn bodies_of_every_framing_come_line_by_line_whatever_the_split() {
        let wanted = Ok(vec!["one".to_owned(), String::new(), "two".to_owned()]);
        for head_and_body in [
            "Transfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n1;x=y\r\n\n\r\n2\r\ntw\r\n2\r\no\n\r\n0\r\n\r\n",
            "Content-Length: 9\r\n\r\none\n\ntwo\n",
            "X: y\r\n\r\none\n\ntwo\n",
        ] {
            assert_eq!(lines(&format!("HTTP/1.1 200 OK\r\n{head_and_body}")), wanted);
        }
    }

    #[test]
    fn answers_of_every_framing_follow_each_other_on_one_connection() {
        let answers = "HTTP/1.1 100 Continue\r\n\r\n\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nFanwire-Since: a-1\r\n\r\n3\r\none\r\n0\r\nX: y\r\n\r\n\
            HTTP/1.1 204 No Content\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo\
            HTTP/1.1 200 OK\r\n\r\nthree";
        for step in 1..answers.len() {
            let mut connection = Connection::new(Fake::new(answers.as_bytes(), step));
            let mut read = || {
                let head = connection.head().expect("a head");
                let body = connection.rest(5).expect("a body");
                (head.status, head.since.is_some(), head.stays_open, String::from_utf8(body).expect("text"))
            };
            assert_eq!(read(), (200, true, true, "one".to_owned()), "reads of {step}");
            assert_eq!(read(), (204, false, true, String::new()));
            assert_eq!(read(), (200, false, true, "two".to_owned()));
            assert_eq!(read(), (200, false, false, "three".to_owned()));
            assert!(matches!(connection.head(), Err(HttpError::Closed)));
        }
    }

    #[test]
    fn a_body_past_its_bound_is_refused_in_every_framing() {
        for answer in [
            "Content-Length: 6\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
            "X: y\r\n\r\nabcdef",
        ] {
            let mut connection = Connection::new(Fake::new(format!("HTTP/1.1 200 OK\r\n{answer}").as_bytes(), 9));
            connection.head().expect("a head");
            assert!(matches!(connection.rest(5), Err(HttpError::BadAnswer("its body is too long"))), "{answer}");
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let endless =
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", "0".repeat(2 * CHUNK_LINE_LEN_MAX));
        for (answer, part) in [
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "its chunks are not valid"),
            (&endless, "its chunks are not valid"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "closed the connection"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "closed the connection"),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "its Content-Length is not a number"),
            ("HTTP/1.0 200 OK\r\n\r\n", "does not start with HTTP/1.1"),
            ("HTTP/1.1 200 OK\r\n", "closed the connection"),
        ] {
            let error = lines(answer).expect_err(answer);
            assert!(error.contains(part), "{answer:?}: {error}");
        }
    }
}
