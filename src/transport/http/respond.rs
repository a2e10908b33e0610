//! Responses.

use super::exchange::Asker;
use crate::close::{ErrorCode, Status};
use crate::wire::http1::{encode_response_head, encode_status_line};
use crate::wire::json::escape_into;
use crate::wire::ws::extension::DeflateAnswer;

/// Appends the interim response to `Expect: 100-continue`. [RFC 9110 15.2.1]
pub fn encode_continue(out: &mut Vec<u8>) {
    encode_status_line(out, Status::Continue);
    out.extend_from_slice(b"\r\n");
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    pub status: Status,
    /// The media type of the body.
    pub content_type: &'a str,
    /// Further header fields.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body, or its beginning.
    pub body: &'a [u8],
    /// Bytes of the body that come behind it.
    pub further_len: usize,
    /// The properties of the request that its answer depends on, also whether the connection continues.
    pub asker: &'a Asker,
    /// When it is made.
    pub date: &'a str,
}

impl Response<'_> {
    /// Appends the response.
    pub fn encode(&self, out: &mut Vec<u8>) {
        // A 204 has neither a body nor a length. [RFC 9110 8.6]
        let has_body = self.status != Status::NoContent;
        let mut headers = Vec::from_iter(has_body.then_some(("Content-Type", self.content_type)));
        let is_said = |(name, _): &(&str, &str)| self.headers.iter().any(|(other, _)| other == name);
        headers.extend(own_fields(self.date).into_iter().filter(|field| !is_said(field)));
        headers.extend_from_slice(self.headers);
        headers.extend(page_fields(self.asker.origin.as_deref()));
        // "A sender of Upgrade MUST also send an "upgrade" connection option". [RFC 9110 7.8]
        let mut connection = Vec::from_iter((self.status == Status::UpgradeRequired).then_some("upgrade"));
        if !self.asker.keep_alive {
            connection.push("close");
        } else if self.asker.is_http_1_0 {
            // Else it waits for the end of the connection. [RFC 9112 C.2.2]
            connection.push("keep-alive");
        }
        encode_response_head(
            out,
            self.status,
            &headers,
            has_body.then_some(self.body.len() + self.further_len),
            &connection,
        );
        if !self.asker.is_head {
            out.extend_from_slice(self.body);
        }
    }
}

/// The fields of every response: nothing is to be stored, or taken for what it does not say it is. [Fetch 3.6]
fn own_fields(date: &str) -> [(&str, &str); 3] {
    [("Date", date), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
}

/// The fields that let a page of another origin read a response; none if it may not, or if no page asked. [Fetch 3.2]
pub fn page_fields(origin: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let allow = origin.map(|origin| ("Access-Control-Allow-Origin", origin));
    let rest = [("Access-Control-Expose-Headers", "Fanwire-Since, Retry-After"), ("Vary", "Origin")];
    allow.into_iter().chain(rest.into_iter().filter(move |_| origin.is_some()))
}

/// Header fields that a page of another origin may send, besides those that every page may. [Fetch 3.3] Attributes
/// have names of their own, which cannot be listed: a page sends them on the lines of `POST /publish`.
pub const PAGE_REQUEST_FIELDS: &str = "Authorization, Cache-Control, Content-Type, Fanwire-Event, Fanwire-Id, \
     Fanwire-Key, Fanwire-Last, If-Match, If-None-Match, Last-Event-ID";

/// Appends the head of a response that does not end: it ends with the connection, or with an empty chunk.
pub fn encode_stream_head(out: &mut Vec<u8>, content_type: &str, is_chunked: bool, origin: Option<&str>, date: &str) {
    let mut headers = vec![("Content-Type", content_type), ("X-Accel-Buffering", "no")];
    headers.extend(own_fields(date));
    if is_chunked {
        headers.push(("Transfer-Encoding", "chunked"));
    }
    headers.extend(page_fields(origin));
    encode_response_head(out, Status::Ok, &headers, None, &["close"]);
}

/// Appends the head of a response whose end is not known yet, and behind which another request may follow: in chunks, or
/// for HTTP/1.0 to the end of the connection.
pub fn encode_open_head(out: &mut Vec<u8>, content_type: &str, headers: &[(&str, &str)], asker: &Asker, date: &str) {
    let mut all = vec![("Content-Type", content_type), ("X-Accel-Buffering", "no"), ("Date", date)];
    all.extend_from_slice(headers);
    all.extend((!asker.is_http_1_0).then_some(("Transfer-Encoding", "chunked")));
    all.extend(page_fields(asker.origin.as_deref()));
    let ends = asker.is_http_1_0 || !asker.keep_alive;
    encode_response_head(out, Status::Ok, &all, None, if ends { &["close"] } else { &[] });
}

/// The body of a refusal: `{"code":"..","message":".."}`.
#[must_use]
pub fn error_body(code: ErrorCode, message: &str) -> Vec<u8> {
    let mut body = b"{\"code\":".to_vec();
    escape_into(&mut body, code.as_str());
    body.extend_from_slice(b",\"message\":");
    escape_into(&mut body, message);
    body.extend_from_slice(b"}\n");
    body
}

/// Appends the response that completes an opening handshake. [RFC 6455 4.2.2]
pub fn encode_switching_protocols(
    out: &mut Vec<u8>,
    accept: &[u8; 28],
    protocol: Option<&str>,
    deflate: Option<&DeflateAnswer>,
) {
    crate::wire::ws::handshake::encode_switching_protocols(out, accept, protocol, deflate);
}
