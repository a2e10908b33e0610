//! One connection for GETs: a request, the head of its answer, and a body that may never end, line by line.

use std::io::{ErrorKind, Read, Write};

use crate::cli::http_client::{HttpError, find_end};
use crate::limits::{CHUNK_LINE_LEN_MAX, CLIENT_MESSAGE_LEN_MAX, HEAD_LEN_MAX};

/// A connection, and the answer that is being read.
pub(super) struct Exchange<S> {
    stream: S,
    /// As it came, not yet looked at.
    received: Vec<u8>,
    /// Of the body, not yet taken.
    body: Vec<u8>,
    framing: Framing,
}

/// What an answer's head says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// `Fanwire-Since`.
    pub(super) since: Option<String>,
}

/// How much of the body is still to come.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Len(usize),
    /// Bytes of the chunk that is under way, its line end included.
    Chunk(usize),
    UntilEnd,
    /// All of it is here.
    Done,
}

impl<S: Read + Write> Exchange<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, received: Vec::new(), body: Vec::new(), framing: Framing::Done }
    }

    /// Asks, when the answer before was read to its end, and waits for the head.
    pub(super) fn get(&mut self, authority: &str, target: &str) -> Result<Head, HttpError> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        self.stream.write_all(request.as_bytes()).and_then(|()| self.stream.flush()).map_err(HttpError::Broken)?;
        let len = loop {
            match find_end(&self.received) {
                Some(len) => break len,
                None if self.received.len() >= HEAD_LEN_MAX => {
                    return Err(HttpError::BadAnswer("its head is too long"));
                }
                None if self.read()? => {}
                None => return Err(HttpError::Closed),
            }
        };
        let head = self.received.drain(..len).collect::<Vec<u8>>();
        let (head, framing) = parse_head(&head).map_err(HttpError::BadAnswer)?;
        self.framing = framing;
        self.body.clear();
        Ok(head)
    }

    /// The next line of the body, without its line feed; `None` at the end.
    pub(super) fn line(&mut self) -> Result<Option<String>, HttpError> {
        let mut looked_at = 0;
        loop {
            if let Some(at) = memchr::memchr(b'\n', self.body.get(looked_at..).unwrap_or_default()) {
                let line = self.body.drain(..=looked_at + at).take(looked_at + at).collect();
                return text(line).map(Some);
            }
            looked_at = self.body.len();
            if looked_at > CLIENT_MESSAGE_LEN_MAX {
                return Err(HttpError::BadAnswer("a line is too long"));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// All that is left of the body.
    pub(super) fn rest(&mut self) -> Result<String, HttpError> {
        while self.fill()? {
            if self.body.len() > CLIENT_MESSAGE_LEN_MAX {
                return Err(HttpError::BadAnswer("its body is too long"));
            }
        }
        text(std::mem::take(&mut self.body))
    }

    /// Takes more of the body in; `false` at its end.
    fn fill(&mut self) -> Result<bool, HttpError> {
        loop {
            let before = self.body.len();
            self.decode().map_err(HttpError::BadAnswer)?;
            if self.body.len() > before {
                return Ok(true);
            }
            if self.framing == Framing::Done {
                return Ok(false);
            }
            if !self.read()? {
                return match std::mem::replace(&mut self.framing, Framing::Done) {
                    Framing::UntilEnd => Ok(false),
                    _ => Err(HttpError::Closed),
                };
            }
        }
    }

    /// Moves what came in to the body, as far as it belongs there.
    fn decode(&mut self) -> Result<(), &'static str> {
        loop {
            match &mut self.framing {
                Framing::Done => return Ok(()),
                Framing::UntilEnd => {
                    self.body.append(&mut self.received);
                    return Ok(());
                }
                Framing::Len(left) => {
                    let len = self.received.len().min(*left);
                    self.body.extend(self.received.drain(..len));
                    *left -= len;
                    if *left > 0 {
                        return Ok(());
                    }
                    self.framing = Framing::Done;
                }
                Framing::Chunk(0) => {
                    let Some(end) = self.received.windows(2).position(|window| window == b"\r\n") else {
                        let is_too_long = self.received.len() > CHUNK_LINE_LEN_MAX;
                        return if is_too_long { Err("the line of a chunk is too long") } else { Ok(()) };
                    };
                    let line: Vec<u8> = self.received.drain(..end + 2).collect();
                    let len = std::str::from_utf8(&line).ok().and_then(|line| line.split([';', '\r']).next());
                    let len =
                        len.and_then(|len| u32::from_str_radix(len.trim(), 16).ok()).ok_or("a chunk has no length")?;
                    // Trailers are left where they are: nothing is asked behind a response that had no end.
                    self.framing = if len == 0 { Framing::Done } else { Framing::Chunk(len as usize + LINE_END_LEN) };
                }
                Framing::Chunk(left) => {
                    let len = self.received.len().min(*left);
                    let of_body = len.min(left.saturating_sub(LINE_END_LEN));
                    self.body.extend(self.received.drain(..len).take(of_body));
                    *left -= len;
                    if *left > 0 {
                        return Ok(());
                    }
                }
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

fn text(bytes: Vec<u8>) -> Result<String, HttpError> {
    String::from_utf8(bytes).map_err(|_| HttpError::BadAnswer("it is not UTF-8"))
}

fn parse_head(bytes: &[u8]) -> Result<(Head, Framing), &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "its head is not text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap_or_default().strip_prefix("HTTP/1.1 ");
    let status: u16 = status.and_then(|rest| rest.get(..3)?.parse().ok()).ok_or("it does not start with HTTP/1.1")?;
    let (mut since, mut framing) = (None, Framing::UntilEnd);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            framing = Framing::Len(value.parse().map_err(|_| "its Content-Length is not a number")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunk(0);
        } else if name.eq_ignore_ascii_case("fanwire-since") {
            since = Some(value.to_owned());
        }
    }
    let framing = if status == 204 { Framing::Done } else { framing };
    Ok((Head { status, since }, framing))
}

/// Bytes behind each chunk.
const LINE_END_LEN: usize = 2;

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Answers in reads of so many bytes.
    struct Fake(Vec<u8>, usize);

    impl Read for Fake {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(buffer.len()).min(self.0.len());
            self.0.drain(..len).zip(buffer).for_each(|(from, to)| *to = from);
            Ok(len)
        }
    }

    impl Write for Fake {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines of an answer, whatever its split, or why there are none.
    fn lines(answer: &str) -> Result<Vec<String>, String> {
        let read = |step: usize| {
            let mut exchange = Exchange::new(Fake(answer.as_bytes().to_vec(), step));
            exchange.get("x", "/")?;
            let mut lines = Vec::new();
            while let Some(line) = exchange.line()? {
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
    fn what_is_no_answer_is_told() {
        for (answer, part) in [
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "a chunk has no length"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n", "a chunk has no length"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "closed the connection"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "closed the connection"),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "its Content-Length is not a number"),
            ("HTTP/1.0 200 OK\r\n\r\n", "does not start with HTTP/1.1"),
            ("HTTP/1.1 200 OK\r\n", "closed the connection"),
        ] {
            let error = lines(answer).expect_err(answer);
            assert!(error.contains(part), "{answer:?}: {error}");
        }
        let endless =
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", "0".repeat(2 * CHUNK_LINE_LEN_MAX));
        let mut exchange = Exchange::new(Fake(endless.into_bytes(), 100));
        exchange.get("x", "/").expect("a head");
        assert!(matches!(exchange.line(), Err(HttpError::BadAnswer("the line of a chunk is too long"))));
    }
}
