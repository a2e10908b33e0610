//! What proxies say of whom they speak for: the PROXY header in front of everything, `X-Forwarded-For` in a request, and
//! the networks whose word counts. <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

mod forwarded;
mod header;
mod network;

pub use forwarded::forwarded_for;
pub use header::{BadHeader, Header, begins_header, parse_header};
pub use network::{Network, Trusted};
