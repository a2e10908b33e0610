//! A small HTTP/1.1 client: one keep-alive connection, and pipelined POSTs.
//!
//! A POST is sent again only where the server cannot have taken it: the connection had been used before and ended
//! without a byte of an answer, or an earlier answer on it said `Connection: close`.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use super::answers::{Connection, HttpError};
use crate::limits::CLIENT_ANSWER_LEN_MAX;

/// One POST.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    pub(super) path: String,
    pub(super) content_type: &'static str,
    /// Further header fields; the caller has checked that they can stand in a head.
    pub(super) fields: Vec<(Cow<'static, str>, &'a str)>,
    pub(super) body: Cow<'a, [u8]>,
}

/// The server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// The client of one server. `dial` makes its connections.
pub(super) struct HttpClient<S, D> {
    authority: String,
    dial: D,
    connection: Option<Connection<S>>,
}

impl<S: Read + Write, D: FnMut() -> io::Result<S>> HttpClient<S, D> {
    /// Connects when it is first needed.
    pub(super) fn new(authority: &str, dial: D) -> Self {
        Self { authority: authority.to_owned(), dial, connection: None }
    }

    /// Sends every request at once and waits for every answer.
    pub(super) fn exchange(&mut self, requests: &[Request<'_>]) -> Result<Vec<Answer>, HttpError> {
        let mut answers = Vec::with_capacity(requests.len());
        while answers.len() < requests.len() {
            let reused = self.connection.take();
            let was_used = reused.is_some();
            let mut connection = match reused {
                Some(connection) => connection,
                None => Connection::new((self.dial)().map_err(|e| HttpError::Dial(self.authority.clone(), e))?),
            };
            let before = answers.len();
            let mut bytes = Vec::new();
            requests.iter().skip(before).for_each(|request| self.encode(request, &mut bytes));
            // A server that refuses may answer and close before it has read everything: the answer counts.
            let sent = connection.send(&bytes);
            let end = receive(&mut connection, requests.len(), &mut answers);
            match (end, sent) {
                (Ok(true), Ok(())) => self.connection = Some(connection),
                (Ok(_), _) if answers.len() > before => {}
                (Err(HttpError::Closed), _) | (Err(HttpError::Broken(_)), Err(_))
                    if was_used && answers.len() == before && connection.is_silent() => {}
                (Err(HttpError::Broken(_)), Err(error)) => return Err(HttpError::Broken(error)),
                (Err(error), _) => return Err(error),
                (Ok(_), Err(error)) => return Err(HttpError::Broken(error)),
                (Ok(_), Ok(())) => return Err(HttpError::Closed),
            }
        }
        Ok(answers)
    }

    fn encode(&self, request: &Request<'_>, bytes: &mut Vec<u8>) {
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
            request.path,
            self.authority,
            request.content_type,
            request.body.len()
        );
        bytes.extend_from_slice(head.as_bytes());
        for (name, value) in &request.fields {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&request.body);
    }
}

/// Receives answers until there are `want`, or one says that it is the last (`false`).
fn receive<S: Read + Write>(
    connection: &mut Connection<S>,
    want: usize,
    answers: &mut Vec<Answer>,
) -> Result<bool, HttpError> {
    while answers.len() < want {
        let head = connection.head()?;
        let body = connection.rest(CLIENT_ANSWER_LEN_MAX)?;
        answers.push(Answer { status: head.status, body });
        if !head.stays_open {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::io::ErrorKind;
    use std::rc::Rc;

    use super::*;
    use crate::cli::fake_stream::Fake;
    use crate::limits::HEAD_LEN_MAX;

    struct Talk {
        sent: Rc<RefCell<Vec<u8>>>,
        dials: Rc<RefCell<usize>>,
    }

    /// A client whose connections answer, one after the other, with `scripts`.
    fn client(
        scripts: &[&str],
        chunk_len: usize,
    ) -> (HttpClient<Fake, impl FnMut() -> io::Result<Fake> + use<>>, Talk) {
        let talk = Talk { sent: Rc::default(), dials: Rc::default() };
        let (sent, dials) = (Rc::clone(&talk.sent), Rc::clone(&talk.dials));
        let mut scripts: VecDeque<Vec<u8>> = scripts.iter().map(|script| script.as_bytes().to_vec()).collect();
        let dial = move || {
            *dials.borrow_mut() += 1;
            let answers = scripts.pop_front().ok_or(ErrorKind::ConnectionRefused)?;
            Ok(Fake::noting(&answers, chunk_len, Rc::clone(&sent)))
        };
        (HttpClient::new("host:1", dial), talk)
    }

    fn post(body: &'static str) -> Request<'static> {
        Request {
            path: "/publish/t".to_owned(),
            content_type: "text/plain",
            fields: Vec::new(),
            body: body.as_bytes().into(),
        }
    }

    const OK_A: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
    const OK_B: &str = "HTTP/1.1 200 OK\r\ncontent-length:1\r\nX: y\r\n\r\nb";
    const LAST: &str = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";

    fn shown(answers: &[Answer]) -> Vec<String> {
        answers.iter().map(|a| format!("{} {}", a.status, String::from_utf8_lossy(&a.body))).collect()
    }

    #[test]
    fn requests_are_pipelined_and_answers_come_in_order_whatever_the_split() {
        for chunk_len in 1..80 {
            let (mut client, talk) = client(&[&format!("HTTP/1.1 100 Continue\r\n\r\n{OK_A}{OK_B}")], chunk_len);
            let requests = [Request { fields: vec![("Fanwire-Key".into(), "k 1")], ..post("one") }, post("")];
            let answers = client.exchange(&requests).expect("two answers");
            assert_eq!(shown(&answers), ["200 a", "200 b"], "reads of {chunk_len}");
            let expected = "POST /publish/t HTTP/1.1\r\nHost: host:1\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\
                Fanwire-Key: k 1\r\n\r\none\
                POST /publish/t HTTP/1.1\r\nHost: host:1\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n";
            assert_eq!(String::from_utf8_lossy(&talk.sent.borrow()), expected);
        }
    }

    #[test]
    fn one_connection_serves_many_exchanges() {
        let (mut client, talk) = client(&[&format!("{OK_A}{OK_B}")], 9);
        for expected in ["200 a", "200 b"] {
            assert_eq!(shown(&client.exchange(&[post("x")]).expect("an answer")), [expected]);
        }
        assert_eq!(*talk.dials.borrow(), 1);
    }

    #[test]
    fn a_connection_that_ended_while_idle_is_made_again_once() {
        let (mut first, talk) = client(&[OK_A, OK_B], 9);
        for expected in ["200 a", "200 b"] {
            assert_eq!(shown(&first.exchange(&[post("x")]).expect("an answer")), [expected]);
        }
        assert_eq!(*talk.dials.borrow(), 2);
        let (mut second, talk) = client(&[OK_A, "", OK_B], 9);
        second.exchange(&[post("x")]).expect("an answer");
        assert!(matches!(second.exchange(&[post("x")]), Err(HttpError::Closed)));
        assert_eq!(*talk.dials.borrow(), 2);
    }

    #[test]
    fn a_fresh_connection_without_an_answer_is_not_tried_again() {
        let (mut client, talk) = client(&["", OK_A], 9);
        assert!(matches!(client.exchange(&[post("x")]), Err(HttpError::Closed)));
        assert_eq!(*talk.dials.borrow(), 1);
    }

    #[test]
    fn half_an_answer_is_an_error_even_on_a_used_connection() {
        let (mut client, talk) = client(&[&format!("{OK_A}HTTP/1.1 20"), OK_B], 9);
        client.exchange(&[post("x")]).expect("an answer");
        assert!(matches!(client.exchange(&[post("x")]), Err(HttpError::Closed)));
        assert_eq!(*talk.dials.borrow(), 1);
    }

    #[test]
    fn what_stood_behind_a_last_answer_is_sent_on_a_new_connection() {
        let (mut client, talk) = client(&[LAST, OK_B], 9);
        let answers = client.exchange(&[post("one"), post("two")]).expect("two answers");
        assert_eq!(shown(&answers), ["413 no", "200 b"]);
        assert_eq!(*talk.dials.borrow(), 2);
    }

    #[test]
    fn a_refused_connection_says_where_to_look() {
        let (mut client, _) = client(&[], 9);
        let error = client.exchange(&[post("x")]).expect_err("nobody is there").to_string();
        assert!(error.starts_with("cannot connect to host:1: ") && error.ends_with("running there?"), "{error}");
    }

    #[test]
    fn answers_that_this_client_does_not_know_are_refused() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEAD_LEN_MAX));
        for (answer, why) in [
            ("HTTP/1.0 200 OK\r\n\r\n", "it does not start with HTTP/1.1"),
            ("HTTP/1.1 2x0 OK\r\n\r\n", "it does not start with HTTP/1.1"),
            ("HTTP/1.1 \u{e9}\u{e9} OK\r\n\r\n", "it does not start with HTTP/1.1"),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "its Content-Length is not a number"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "its Transfer-Encoding is not chunked"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "its body is too long"),
            (&long, "its head is too long"),
        ] {
            let (mut client, _) = client(&[answer], 4096);
            match client.exchange(&[post("x")]) {
                Err(HttpError::BadAnswer(given)) => assert_eq!(given, why, "{answer:.40}"),
                other => panic!("{answer:.40}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_answer_in_chunks_or_without_a_length_is_an_answer() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nch\r\n1\r\nu\r\n0\r\n\r\n";
        let until_end = "HTTP/1.1 200 OK\r\n\r\nend";
        for chunk_len in 1..80 {
            let (mut client, talk) = client(&[&format!("{chunked}{OK_A}{until_end}"), OK_B], chunk_len);
            let answers = client.exchange(&[post("1"), post("2"), post("3"), post("4")]).expect("four answers");
            assert_eq!(shown(&answers), ["200 chu", "200 a", "200 end", "200 b"], "reads of {chunk_len}");
            assert_eq!(*talk.dials.borrow(), 2);
        }
    }

    #[test]
    fn an_answer_without_a_body_needs_no_length() {
        let (mut client, _) = client(&["HTTP/1.1 204 No Content\r\n\r\n"], 4096);
        assert_eq!(shown(&client.exchange(&[post("x")]).expect("an answer")), ["204 "]);
    }
}
