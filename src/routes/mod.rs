//! The endpoints: one table of paths, methods, what opens there, which pages may use it and which right is asked for.
//!
//! A head goes in and a judgement comes out ([`Site::judge`]): a request, the session that a WebSocket opens with its
//! framing and dialect, or a refusal. Nothing here knows a connection, a hub or the shard, and nothing is kept: whether a
//! session may touch one topic is asked at the moment of the act (`may`, in the shard). Tests: beside the code,
//! `tests/access.rs`, `tests/conformance/`, `tests/shard_limits/{options,roles,origins}.rs`.

mod decode;
mod follow;
mod judge;
mod route;
mod table;

pub use follow::{Follow, HttpTransport};
pub use judge::{Site, dialect_of};
pub use route::{Asked, Handshake, Page, RawOptions, Route, ServiceRoute};
pub use table::{Body, Endpoint, Methods, Opens, Path, TABLE};
