//! HTTP/1.1: requests in, responses out, and the upgrade to WebSocket. What a head asks for is said by the room `routes`.
//! [RFC 9112]

mod access;
mod exchange;
mod origin;
mod refusal;
mod respond;

pub use access::{Access, Audience, Hosts, NO_PUBLISHING, NO_READING, Right, Role, is_server_name};
pub use exchange::{Accepted, Asker, Exchange, Judged, Next, Request};
pub use origin::{Origins, is_origin};
pub use refusal::RequestError;
pub use respond::{
    PAGE_REQUEST_FIELDS, Response, encode_continue, encode_open_head, encode_stream_head, encode_switching_protocols,
    error_body,
};
