//! HTTP/1.1 as a server needs it: request heads, request bodies, response heads. [RFC 9112] And as a client needs it:
//! answers.
//!
//! A head is borrowed from the bytes it came in; a body is decoded as it arrives. Framing has one reading only: a
//! request that two implementations could read differently is refused, since requests are smuggled through such
//! differences. This room must never know routes, nor whether a request is allowed. Tests: beside the code.

mod answer;
mod authority;
mod body;
mod chunk_extension;
mod date;
mod error;
mod head;
mod response;
mod target;

pub use answer::{AnswerBody, AnswerFraming, AnswerHead, BadAnswer, parse_answer_head};
pub(in crate::wire) use body::is_token_byte;
pub use body::{BodyDecoder, BodyFraming, BodyProgress};
pub use date::HttpDate;
pub use error::HttpError;
pub use head::{NotOneValue, RequestHead, Version, parse_head};
pub use response::{encode_response_head, encode_status_line};
pub use target::{QueryPair, percent_decode, query_pairs};
