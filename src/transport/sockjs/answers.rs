//! The heads and bodies of responses.

use super::SockJs;

/// The media type of frames over `xhr`.
pub const JAVASCRIPT: &str = "application/javascript; charset=UTF-8";

/// The media type of what people read.
pub const TEXT: &str = "text/plain; charset=UTF-8";

/// The media type of `BASE/info`.
pub const JSON: &str = "application/json; charset=UTF-8";

/// The body of the base.
pub const GREETING: &[u8] = b"Welcome to SockJS!\n";

/// Nobody keeps a response of a session.
pub const CACHE: (&str, &str) = ("Cache-Control", "no-store, no-cache, no-transform, must-revalidate, max-age=0");

/// What a streaming response begins with: old browsers show nothing before so many bytes.
pub const PRELUDE: &[u8] = &{
    let mut prelude = [b'h'; 2049];
    prelude[2048] = b'\n';
    prelude
};

/// The body of `BASE/info`; `entropy` differs each time.
#[must_use]
pub fn info(service: &SockJs, entropy: u32) -> String {
    let websocket = service.websocket;
    format!("{{\"websocket\":{websocket},\"cookie_needed\":false,\"origins\":[\"*:*\"],\"entropy\":{entropy}}}")
}

/// The fields for pages of other origins, beside those that every response has.
#[must_use]
pub fn page_fields(origin: Option<&str>) -> (&'static str, &'static str) {
    if origin.is_some() { ("Access-Control-Allow-Credentials", "true") } else { ("Access-Control-Allow-Origin", "*") }
}
