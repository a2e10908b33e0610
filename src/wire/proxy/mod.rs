//! The addresses of clients behind proxies: the PROXY header in front of a connection, `X-Forwarded-For` in a request,
//! and the networks of trusted proxies. <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

mod forwarded;
mod header;
mod network;

pub use forwarded::forwarded_for;
pub use header::{BadHeader, Header, begins_header, parse_header};
pub use network::{Network, Trusted};
