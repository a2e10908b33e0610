//! Requests as they come in on one connection: heads, bodies, pipelining, the upgrade.

use super::refusal::RequestError;
use crate::limits::HEAD_LEN_MAX;
use crate::wire::http1::{BodyDecoder, RequestHead, Version, parse_head};

/// The requests of one connection that are incomplete or not answered. It exists only while there are any. `R` is what a
/// request asks for: a room above says it of each head.
///
/// ```text
///        head complete           body complete            answered()
/// Head ----------------> Body -------------------> Waiting ----------> Head
///   \---- no body ------------------------------->    ^
///   \---- upgrade ---> gone, the rest of the bytes belongs to the WebSocket
/// ```
#[derive(Debug)]
pub struct Exchange<R> {
    buffer: Vec<u8>,
    /// Bytes of the buffer that belong to earlier requests. They go when they are half of it, so that each byte is moved
    /// once, however many requests are pipelined.
    taken: usize,
    phase: Phase<R>,
    /// Bytes behind those that hold no end of a head: they need not be looked at again.
    looked_at: usize,
    asker: Asker,
}

/// The parts of a request that its answer depends on, beside the route. They are the defaults if the head cannot be
/// read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// The origin of the page that asks, if it may read the answer.
    pub origin: Option<Box<str>>,
    /// Whether it was a HEAD, whose answer has no body. [RFC 9110 9.3.2]
    pub is_head: bool,
    /// Whether another request may follow.
    pub keep_alive: bool,
    /// Whether it has to be told that another may.
    pub is_http_1_0: bool,
}

#[derive(Debug)]
enum Phase<R> {
    Head,
    Body { request: Request<R>, decoder: BodyDecoder, owes_continue: bool },
    Waiting,
}

/// A complete request.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<R> {
    /// The request.
    pub asked: R,
    pub body: Vec<u8>,
}

/// The judgement of a head.
#[derive(Debug)]
pub struct Judged<R, S> {
    /// The origin of the page that asks, if it may read the answer.
    pub origin: Option<Box<str>>,
    /// The part after the head, or the reason why the connection ends.
    pub outcome: Result<Accepted<R, S>, RequestError>,
}

/// The part after a head.
#[derive(Debug)]
pub enum Accepted<R, S> {
    /// A body.
    Request {
        /// The request.
        asked: R,
        /// The longest body that is taken.
        body_len_max: usize,
    },
    /// The bytes of a session, which are not HTTP any more.
    Session(S),
}

/// The result of the bytes so far.
#[derive(Debug)]
pub enum Next<R, S> {
    /// Nothing yet.
    Incomplete,
    /// The peer waits for [`super::encode_continue`] before it sends the body.
    Continue,
    /// A request. No further one until [`Exchange::answered`].
    Request(Request<R>),
    /// An opening handshake, and the bytes that came with it. The exchange is done.
    Session(S, Vec<u8>),
    /// A request that cannot be served; the connection ends with the response.
    Refused(RequestError),
}

impl<R> Default for Exchange<R> {
    fn default() -> Self {
        Self { buffer: Vec::new(), taken: 0, phase: Phase::Head, looked_at: 0, asker: Asker::default() }
    }
}

impl<R> Exchange<R> {
    /// Takes bytes in. Call [`Exchange::next`] until it is `Incomplete`.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next thing to do. `judge` is asked about a head that is complete.
    pub fn next<S>(&mut self, judge: impl FnOnce(&RequestHead<'_>) -> Judged<R, S>) -> Next<R, S> {
        match self.phase {
            Phase::Waiting => Next::Incomplete,
            Phase::Body { .. } => self.next_in_body(),
            Phase::Head => match self.next_in_head(judge) {
                Ok(next) => next,
                Err(error) => Next::Refused(error),
            },
        }
    }

    /// Says that the request was answered and the next one may come.
    pub fn answered(&mut self) {
        debug_assert!(matches!(self.phase, Phase::Waiting), "only a request can be answered");
        self.phase = Phase::Head;
        self.looked_at = 0;
    }

    /// The properties of the request that its answer depends on.
    #[must_use]
    pub fn asker(&self) -> &Asker {
        &self.asker
    }

    /// The same, given away with the answer.
    pub fn take_asker(&mut self) -> Asker {
        let asker = std::mem::take(&mut self.asker);
        // Of a head that cannot be read, the method may be there all the same.
        let is_head = asker.is_head || matches!(self.phase, Phase::Head) && self.rest().starts_with(b"HEAD ");
        Asker { is_head, ..asker }
    }

    /// Whether there is nothing to keep.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Head) && self.rest().is_empty()
    }

    /// Whether a request waits for its answer.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting)
    }

    /// Bytes of an unfinished request that it holds.
    #[must_use]
    pub fn held_len(&self) -> usize {
        let body = if let Phase::Body { request, .. } = &self.phase { request.body.capacity() } else { 0 };
        self.buffer.capacity() + body
    }

    /// Bytes that are kept.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.rest().len()
    }

    /// Whether a body is on its way.
    #[must_use]
    pub fn is_in_body(&self) -> bool {
        matches!(self.phase, Phase::Body { .. })
    }

    /// The bytes that no request had so far.
    fn rest(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    /// Takes bytes for the request under way.
    fn take(&mut self, len: usize) {
        self.taken += len;
        if self.taken >= self.buffer.len() / 2 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
    }

    fn next_in_head<S>(
        &mut self,
        judge: impl FnOnce(&RequestHead<'_>) -> Judged<R, S>,
    ) -> Result<Next<R, S>, RequestError> {
        let rest = &self.buffer[self.taken..];
        if memchr::memchr(b'\n', &rest[self.looked_at..]).is_none() && rest.len() <= HEAD_LEN_MAX {
            self.looked_at = rest.len();
            return Ok(Next::Incomplete);
        }
        let Some((head, head_len)) = parse_head(rest)? else {
            self.looked_at = rest.len();
            return Ok(Next::Incomplete);
        };
        let Judged { origin, outcome } = judge(&head);
        self.asker = Asker {
            origin,
            is_head: head.method() == "HEAD",
            keep_alive: head.keep_alive(),
            is_http_1_0: head.version() == Version::Http10,
        };
        let (asked, body_len_max) = match outcome? {
            Accepted::Request { asked, body_len_max } => (asked, body_len_max),
            Accepted::Session(session) => {
                let rest = self.buffer.split_off(self.taken + head_len);
                (self.buffer, self.taken) = (Vec::new(), 0);
                return Ok(Next::Session(session, rest));
            }
        };
        let decoder = BodyDecoder::new(head.body(), body_len_max)?;
        let request = Request { asked, body: Vec::new() };
        let owes_continue = head.expects_continue();
        self.take(head_len);
        self.phase = Phase::Body { request, decoder, owes_continue };
        Ok(self.next_in_body())
    }

    fn next_in_body<S>(&mut self) -> Next<R, S> {
        let Phase::Body { request, decoder, owes_continue } = &mut self.phase else { return Next::Incomplete };
        match decoder.decode(&self.buffer[self.taken..], &mut request.body) {
            Err(error) => Next::Refused(error.into()),
            Ok(progress) => {
                if !progress.is_complete {
                    let is_all = self.taken + progress.consumed == self.buffer.len();
                    let continues = is_all && std::mem::take(owes_continue);
                    self.take(progress.consumed);
                    return if continues { Next::Continue } else { Next::Incomplete };
                }
                self.take(progress.consumed);
                let Phase::Body { request, .. } = std::mem::replace(&mut self.phase, Phase::Waiting) else {
                    unreachable!("the phase was looked at above");
                };
                Next::Request(request)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_of_many_pipelined_requests_is_moved_once() {
        const COUNT: usize = 2_000;
        let requests = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(COUNT);
        let mut exchange = Exchange::default();
        exchange.receive(requests.as_bytes());
        let (mut served, mut moved) = (0, 0);
        loop {
            let before = exchange.buffer.len();
            let accepted = Ok(Accepted::<_, ()>::Request { asked: (), body_len_max: 0 });
            match exchange.next(|_| Judged { origin: None, outcome: accepted }) {
                Next::Request(_) => served += 1,
                Next::Incomplete => break,
                other => panic!("a request: {other:?}"),
            }
            exchange.answered();
            moved += if exchange.buffer.len() < before { exchange.buffer.len() } else { 0 };
        }
        assert_eq!((served, exchange.is_idle()), (COUNT, true));
        assert!(moved <= requests.len(), "{moved} of {} bytes", requests.len());
    }
}
