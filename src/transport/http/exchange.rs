//! Requests as they come in on one connection: heads, bodies, pipelining, the upgrade.

use super::access::Access;
use super::route::{NOT_AN_UPGRADE, Page, Route, RouteError, UpgradeRoute, decode_bandwidth};
use crate::close::ErrorCode;
use crate::limits::{BATCH_LEN_MAX, HEAD_LEN_MAX, REFUSED_BODY_LEN_MAX};
use crate::transport::service::Service;
use crate::wire::http1::{BodyDecoder, RequestHead, Version, parse_head};
use crate::wire::ws::extension::DeflateOffer;
use crate::wire::ws::handshake;

/// The requests of one connection that are incomplete or not answered. It exists only while there are any.
///
/// ```text
///        head complete           body complete            answered()
/// Head ----------------> Body -------------------> Waiting ----------> Head
///   \---- no body ------------------------------->    ^
///   \---- upgrade ---> gone, the rest of the bytes belongs to the WebSocket
/// ```
#[derive(Debug, Default)]
pub struct Exchange {
    buffer: Vec<u8>,
    phase: Phase,
    /// Bytes of the buffer that hold no end of a head: they need not be looked at again.
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

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Head,
    Body {
        request: Request,
        decoder: BodyDecoder,
        owes_continue: bool,
    },
    Waiting,
}

/// A complete request.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub route: Route,
    /// Whether the peer knows chunks.
    pub is_chunked: bool,
    /// With a request to follow: `X-Forwarded-For`, all fields of it in one list.
    pub forwarded_for: Option<Vec<u8>>,
    pub body: Vec<u8>,
}

/// A complete opening handshake.
#[derive(Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// What the WebSocket is for.
    pub route: UpgradeRoute,
    /// `Sec-WebSocket-Accept`.
    pub accept: [u8; 28],
    /// Whether the subprotocol that was asked about is among the offered ones.
    pub offers_protocol: bool,
    /// `X-Forwarded-For`, all fields of it in one list.
    pub forwarded_for: Option<Vec<u8>>,
    /// The first offer to compress messages that can be accepted.
    pub deflate: Option<DeflateOffer>,
    /// The most that the reader wants, in bytes a second.
    pub bandwidth: Option<u32>,
    /// Frames that came with the handshake.
    pub rest: Vec<u8>,
}

/// What holds for every request.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Pages beside the endpoints.
    pub pages: &'a [Page],
    /// Transports with sessions of their own.
    pub services: &'a [Service],
    /// What the listener lets its clients do.
    pub access: &'a Access,
}

/// The result of the bytes so far.
#[derive(Debug)]
pub enum Next {
    /// Nothing yet.
    Incomplete,
    /// The peer waits for [`super::encode_continue`] before it sends the body.
    Continue,
    /// A request. No further one until [`Exchange::answered`].
    Request(Request),
    /// An opening handshake. The exchange is done.
    Upgrade(Upgrade),
    /// A request that cannot be served; the connection ends with the response.
    Refused(RouteError),
}

impl Exchange {
    /// Takes bytes in. Call [`Exchange::next`] until it is `Incomplete`.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next thing to do. `protocol` is the subprotocol to look for in an opening handshake.
    pub fn next(&mut self, message_len_max: usize, site: Site<'_>, protocol: &str) -> Next {
        match self.phase {
            Phase::Waiting => Next::Incomplete,
            Phase::Body { .. } => self.next_in_body(),
            Phase::Head => match self.next_in_head(message_len_max, site, protocol) {
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

    /// What the next answer depends on of its request.
    #[must_use]
    pub fn asker(&self) -> &Asker {
        &self.asker
    }

    /// The same, given away with the answer.
    pub fn take_asker(&mut self) -> Asker {
        let asker = std::mem::take(&mut self.asker);
        // Of a head that cannot be read, the method may be there all the same.
        let is_head = asker.is_head || matches!(self.phase, Phase::Head) && self.buffer.starts_with(b"HEAD ");
        Asker { is_head, ..asker }
    }

    /// Whether there is nothing to keep.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Head) && self.buffer.is_empty()
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
        self.buffer.len()
    }

    /// Whether a body is on its way.
    #[must_use]
    pub fn is_in_body(&self) -> bool {
        matches!(self.phase, Phase::Body { .. })
    }

    fn next_in_head(&mut self, message_len_max: usize, site: Site<'_>, protocol: &str) -> Result<Next, RouteError> {
        if memchr::memchr(b'\n', &self.buffer[self.looked_at..]).is_none() && self.buffer.len() <= HEAD_LEN_MAX {
            self.looked_at = self.buffer.len();
            return Ok(Next::Incomplete);
        }
        let Some((head, head_len)) = parse_head(&self.buffer)? else {
            self.looked_at = self.buffer.len();
            return Ok(Next::Incomplete);
        };
        let found = Route::find(&head, site.pages, site.services);
        let found = found.and_then(|route| site.access.judge(&head, &route).map(|()| route));
        let found = found.and_then(|route| match route {
            Route::Upgrade(_) if head.method() != "GET" || !handshake::is_upgrade(&head) => Err(NOT_AN_UPGRADE),
            route => Ok(route),
        });
        self.asker = Asker {
            origin: None,
            is_head: head.method() == "HEAD",
            keep_alive: head.keep_alive(),
            is_http_1_0: head.version() == Version::Http10,
        };
        self.asker.origin = match &found {
            Ok(route) if route.is_open() => None,
            Ok(_) => site.access.origins.judge(&head)?,
            Err(error) if error.code == ErrorCode::Forbidden => None,
            Err(_) => site.access.origins.judge(&head).unwrap_or_default(),
        };
        let route = match found {
            Err(error) if may_go_on(&head) => Route::Refused(error),
            found => found?,
        };
        if let Route::Upgrade(route) = route {
            let upgrade = accept(&head, route, protocol)?;
            let rest = self.buffer.split_off(head_len);
            self.buffer = Vec::new();
            return Ok(Next::Upgrade(Upgrade { rest, ..upgrade }));
        }
        let body_len_max = match route {
            Route::PublishOne { .. } | Route::Service(_) => message_len_max,
            Route::PublishMany => BATCH_LEN_MAX,
            Route::Refused(_) => REFUSED_BODY_LEN_MAX,
            _ => 0,
        };
        let decoder = BodyDecoder::new(head.body(), body_len_max)?;
        let forwarded_for = if let Route::Follow(_) = route { forwarded_for(&head) } else { None };
        let is_chunked = head.version() == Version::Http11;
        let request = Request { route, is_chunked, forwarded_for, body: Vec::new() };
        let owes_continue = head.expects_continue();
        self.buffer.drain(..head_len);
        self.phase = Phase::Body { request, decoder, owes_continue };
        Ok(self.next_in_body())
    }

    fn next_in_body(&mut self) -> Next {
        let Phase::Body { request, decoder, owes_continue } = &mut self.phase else { return Next::Incomplete };
        match decoder.decode(&self.buffer, &mut request.body) {
            Err(error) => Next::Refused(error.into()),
            Ok(progress) => {
                self.buffer.drain(..progress.consumed);
                if !progress.is_complete {
                    let continues = self.buffer.is_empty() && std::mem::take(owes_continue);
                    return if continues { Next::Continue } else { Next::Incomplete };
                }
                let Phase::Body { request, .. } = std::mem::replace(&mut self.phase, Phase::Waiting) else {
                    unreachable!("the phase was looked at above");
                };
                Next::Request(request)
            }
        }
    }
}

/// Whether it is known where the next request begins, behind one that is refused for what it asks, and is not far away.
fn may_go_on(head: &RequestHead<'_>) -> bool {
    let is_near = BodyDecoder::new(head.body(), REFUSED_BODY_LEN_MAX).is_ok();
    is_near && !head.expects_continue() && !handshake::is_upgrade(head)
}

fn accept(head: &RequestHead<'_>, route: UpgradeRoute, protocol: &str) -> Result<Upgrade, RouteError> {
    let upgrade = handshake::accept(head).map_err(|error| RouteError::with_status(error.status(), error.message()))?;
    let offers_protocol = upgrade.protocols().any(|offered| offered == protocol);
    let bandwidth = decode_bandwidth(head.query())?;
    let forwarded_for = forwarded_for(head);
    Ok(Upgrade {
        route,
        accept: upgrade.accept,
        offers_protocol,
        bandwidth,
        forwarded_for,
        deflate: upgrade.deflate,
        rest: Vec::new(),
    })
}

/// `X-Forwarded-For`, all fields of it in one list.
fn forwarded_for(head: &RequestHead<'_>) -> Option<Vec<u8>> {
    let fields = head.raw_values("x-forwarded-for").map(<[u8]>::to_vec);
    fields.reduce(|list, more| [&list[..], &more].join(&b','))
}
