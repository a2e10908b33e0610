//! HTTP for publishing: pipelined POSTs on one connection.

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

/// Reads the answers to POSTs from a stream that may be split anywhere. Their bodies are passed over.
#[derive(Debug, Default)]
pub struct Answers {
    /// A head that is not complete.
    held: Vec<u8>,
    /// Bytes of the body that are still to come.
    body_rest: u64,
}

/// Why a stream of answers cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAnswer {
    /// A status that is no success.
    Refused(u16),
    /// No HTTP/1.1 with a `Content-Length`.
    Garbage,
}

impl Answers {
    /// Takes what arrived; says how many answers are complete.
    ///
    /// # Errors
    /// [`BadAnswer`]; the connection is of no more use.
    pub fn receive(&mut self, mut bytes: &[u8]) -> Result<u32, BadAnswer> {
        let mut complete = 0;
        while !bytes.is_empty() {
            let skipped = usize::try_from(self.body_rest).unwrap_or(usize::MAX).min(bytes.len());
            self.body_rest -= skipped as u64;
            bytes = &bytes[skipped..];
            if skipped > 0 && self.body_rest == 0 {
                complete += 1;
            }
            if bytes.is_empty() {
                break;
            }
            let held_len = self.held.len();
            self.held.extend_from_slice(bytes);
            let Some((head_len, body_len)) = parse_head(&self.held)? else { break };
            // What was held before did not complete the head, so that it ends in `bytes`.
            bytes = bytes.get(head_len.saturating_sub(held_len)..).unwrap_or_default();
            self.held = Vec::new();
            self.body_rest = body_len;
            if body_len == 0 {
                complete += 1;
            }
        }
        Ok(complete)
    }
}

/// The lengths of the head and of the body; `None` while the head is incomplete.
fn parse_head(bytes: &[u8]) -> Result<Option<(usize, u64)>, BadAnswer> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let head_len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < super::handshake::ANSWER_LEN_MAX => return Ok(None),
        _ => return Err(BadAnswer::Garbage),
    };
    let status = response.code.ok_or(BadAnswer::Garbage)?;
    if !(200..300).contains(&status) {
        return Err(BadAnswer::Refused(status));
    }
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body_len = match length {
        Some(length) => std::str::from_utf8(length.value).ok().and_then(|text| text.trim().parse().ok()),
        None => (status == 204).then_some(0),
    };
    Ok(Some((head_len, body_len.ok_or(BadAnswer::Garbage)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_however_they_are_split() {
        let stream = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 204 No Content\r\n\r\n\
            HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx";
        for piece_len in 1..=stream.len() {
            let mut answers = Answers::default();
            let counts = stream.chunks(piece_len).map(|piece| answers.receive(piece).expect("valid"));
            assert_eq!(counts.sum::<u32>(), 4, "pieces of {piece_len}");
        }
    }

    #[test]
    fn an_answer_that_is_no_success_ends_the_stream() {
        for (bytes, error) in [
            (&b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..], BadAnswer::Refused(404)),
            (b"\x16\x03\x01", BadAnswer::Garbage),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", BadAnswer::Garbage),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", BadAnswer::Garbage),
        ] {
            assert_eq!(Answers::default().receive(bytes), Err(error));
        }
        let endless = [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'a'; 20_000]].concat();
        assert_eq!(Answers::default().receive(&endless), Err(BadAnswer::Garbage));
    }

    #[test]
    fn a_post_is_what_the_library_takes_for_one() {
        let mut out = Vec::new();
        encode_post("h:1", "/publish/a", b"hello", &mut out);
        let (head, len) = fanwire::wire::http1::parse_head(&out).expect("valid").expect("complete");
        assert_eq!((head.method(), &out[len..]), ("POST", &b"hello"[..]));
    }
}
