//! HTTP: requests, and answers that come on one connection, however they are split.

use fanwire::wire::http1::{AnswerBody, BadAnswer, parse_answer_head};

/// Appends a POST.
pub fn encode_post(host: &str, path: &str, body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"POST ");
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(host.as_bytes());
    out.extend_from_slice(b"\r\nContent-Type: text/plain\r\nContent-Length: ");
    out.extend_from_slice(body.len().to_string().as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

/// A request without a body.
#[must_use]
pub fn encode_get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// The next part of a stream of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An answer with this status begins.
    Head(u16),
    /// More of its body came.
    Body,
    /// It is complete.
    End,
}

/// Reads answers from a stream that may be split anywhere. An idle one owns no buffer.
#[derive(Debug, Default)]
pub struct Answers {
    /// A head that is not complete.
    held: Vec<u8>,
    /// The decoder of the current body.
    current: Option<AnswerBody>,
    /// `Fanwire-Since` of the last head.
    pub since: Option<String>,
    /// Bytes of the body that were not taken out yet.
    pub body: Vec<u8>,
}

impl Answers {
    /// Takes from what arrived as much as the next event needs; `None` when more has to come.
    ///
    /// # Errors
    /// [`BadAnswer`]; the connection is of no more use.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Event>, BadAnswer> {
        loop {
            let Some(body) = &mut self.current else {
                match self.take_head(bytes)? {
                    Some(status) if status < 200 => {
                        self.current = None;
                        continue;
                    }
                    status => return Ok(status.map(Event::Head)),
                }
            };
            if body.is_complete() {
                self.current = None;
                return Ok(Some(Event::End));
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            let before = self.body.len();
            let consumed = body.decode(bytes, &mut self.body)?;
            *bytes = bytes.get(consumed..).unwrap_or_default();
            if self.body.len() > before {
                return Ok(Some(Event::Body));
            }
        }
    }

    /// The status of the next head, once it is complete.
    fn take_head(&mut self, bytes: &mut &[u8]) -> Result<Option<u16>, BadAnswer> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let held_len = self.held.len();
        if held_len > 0 {
            self.held.extend_from_slice(bytes);
        }
        let Some((head, len)) = parse_answer_head(if held_len > 0 { &self.held } else { bytes })? else {
            if held_len == 0 {
                self.held.extend_from_slice(bytes);
            }
            *bytes = &[];
            return Ok(None);
        };
        let status = head.status();
        self.since = head.header("fanwire-since").map(str::to_owned);
        self.current = Some(AnswerBody::new(head.framing(), usize::MAX)?);
        self.body.clear();
        // The held bytes did not complete the head, so that it ends in `bytes`.
        *bytes = bytes.get(len.saturating_sub(held_len)..).unwrap_or_default();
        self.held = Vec::new();
        Ok(Some(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, body and position of each complete answer.
    fn read(stream: &[u8], piece_len: usize) -> Result<Vec<(u16, String, Option<String>)>, BadAnswer> {
        let (mut answers, mut status, mut complete) = (Answers::default(), 0, Vec::new());
        for mut piece in stream.chunks(piece_len) {
            while let Some(event) = answers.next(&mut piece)? {
                match event {
                    Event::Head(begun) => status = begun,
                    Event::Body => {}
                    Event::End => {
                        let body = String::from_utf8(std::mem::take(&mut answers.body)).expect("text");
                        complete.push((status, body, answers.since.take()));
                    }
                }
            }
            assert!(piece.is_empty(), "everything is taken");
        }
        assert!(answers.held.is_empty() && answers.body.is_empty());
        Ok(complete)
    }

    #[test]
    fn answers_are_read_however_they_are_split_and_framed() {
        let stream = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
            HTTP/1.1 204 No Content\r\nfanwire-since: a-7\r\n\r\n\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nFanwire-Since: a-8\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n\
            HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\nHTTP/1.1 503 No\r\nContent-Length: 1\r\n\r\nx";
        let answer = |status, body: &str, since: Option<&str>| (status, body.to_owned(), since.map(str::to_owned));
        for piece_len in 1..=stream.len() {
            let expected = [
                answer(200, "hello", None),
                answer(204, "", Some("a-7")),
                answer(200, "hello", Some("a-8")),
                answer(202, "", None),
                answer(503, "x", None),
            ];
            assert_eq!(read(stream, piece_len).expect("valid"), expected, "pieces of {piece_len}");
        }
    }

    #[test]
    fn what_is_no_answer_ends_the_stream() {
        for bytes in [
            &b"\x16\x03\x01"[..],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            &[b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'a'; 20_000]].concat(),
        ] {
            assert!(read(bytes, 1 << 20).is_err(), "{:.40}", bytes.escape_ascii().to_string());
        }
    }

    #[test]
    fn requests_are_what_the_library_takes_for_them() {
        let mut out = Vec::new();
        encode_post("h:1", "/publish/a", b"hello", &mut out);
        let (head, len) = fanwire::wire::http1::parse_head(&out).expect("valid").expect("complete");
        assert_eq!((head.method(), &out[len..]), ("POST", &b"hello"[..]));
        let get = encode_get("h:1", "/poll?topic=a");
        let (head, len) = fanwire::wire::http1::parse_head(get.as_bytes()).expect("valid").expect("complete");
        assert_eq!((head.path(), len), ("/poll", get.len()));
    }
}
