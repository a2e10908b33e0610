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
    /// Whether another request may follow on the connection.
    pub keep_alive: bool,
    /// Whether the request was a HEAD: then the body is left out and its length is told.
    pub is_head: bool,
}

impl Response<'_> {
    /// Appends the response.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut headers = vec![("Content-Type", self.content_type), ("Cache-Control", "no-store")];
        headers.extend_from_slice(self.headers);
        encode_response_head(out, self.status, &headers, Some(self.body.len()), self.keep_alive);
        if !self.is_head {
            out.extend_from_slice(self.body);
        }
    }
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
