//! HTTP/1.1: requests in, responses out, and the upgrade to WebSocket. [RFC 9112]

mod exchange;
mod respond;
mod route;

pub use exchange::{Exchange, Next, Request, Upgrade};
pub use respond::{CONTINUE, Response, encode_switching_protocols, error_body};
pub use route::{Page, RawOptions, Route, RouteError, UpgradeRoute};
