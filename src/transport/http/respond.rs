//! Responses.

use crate::wire::http1::encode_response_head;
use crate::wire::json::escape_into;
use crate::wire::ws::extension::DeflateAnswer;

/// The interim response to `Expect: 100-continue`. [RFC 9110 15.2.1]
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The status.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'a str,
    /// Further header fields.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
    /// The origin of the page that may read it.
    pub origin: Option<&'a str>,
    /// Whether another request may follow on the connection.
    pub keep_alive: bool,
    /// Whether the request was a HEAD: then the body is left out and its length is told.
    pub is_head: bool,
}

impl Response<'_> {
    /// Appends the response.
    pub fn encode(&self, out: &mut Vec<u8>) {
        // A 204 has neither a body nor a length. [RFC 9110 8.6]
        let has_body = self.status != 204;
        let mut headers = Vec::from_iter(has_body.then_some(("Content-Type", self.content_type)));
        headers.push(("Cache-Control", "no-store"));
        headers.extend_from_slice(self.headers);
        headers.extend(page_fields(self.origin));
        encode_response_head(out, self.status, &headers, has_body.then_some(self.body.len()), self.keep_alive);
        if !self.is_head {
            out.extend_from_slice(self.body);
        }
    }
}

/// The fields that let a page of another origin read a response; none if it may not, or if no page asked. [Fetch 3.2]
pub fn page_fields(origin: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let allow = origin.map(|origin| ("Access-Control-Allow-Origin", origin));
    let rest = [("Access-Control-Expose-Headers", "Fanwire-Since, Retry-After"), ("Vary", "Origin")];
    allow.into_iter().chain(rest.into_iter().filter(move |_| origin.is_some()))
}

/// Appends the head of a response that does not end: it ends with the connection, or with an empty chunk.
pub fn encode_stream_head(out: &mut Vec<u8>, content_type: &str, is_chunked: bool, origin: Option<&str>) {
    let mut headers = vec![("Content-Type", content_type), ("Cache-Control", "no-store"), ("X-Accel-Buffering", "no")];
    if is_chunked {
        headers.push(("Transfer-Encoding", "chunked"));
    }
    headers.extend(page_fields(origin));
    encode_response_head(out, 200, &headers, None, false);
}

/// The body of a refusal: `{"code":"..","message":".."}`.
#[must_use]
pub fn error_body(code: &str, message: &str) -> Vec<u8> {
    let mut body = b"{\"code\":".to_vec();
    escape_into(&mut body, code);
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
