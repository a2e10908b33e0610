//! HTTP/1.1: requests in, responses out, and the upgrade to WebSocket. [RFC 9112]

mod access;
mod exchange;
mod follow;
mod origin;
mod respond;
mod route;

pub use access::{Access, Hosts, NO_PUBLISHING, NO_READING, Role, is_server_name};
pub use exchange::{Asker, Exchange, Next, Request, Site, Upgrade};
pub use follow::{Follow, HttpTransport};
pub use origin::{Origins, is_origin};
pub use respond::{
    PAGE_REQUEST_FIELDS, Response, encode_continue, encode_open_head, encode_stream_head, encode_switching_protocols,
    error_body,
};
pub use route::{Page, RawOptions, Route, RouteError, ServiceRoute, UpgradeRoute};
