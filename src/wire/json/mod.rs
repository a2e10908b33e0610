//! JSON texts: validation without a tree, the fields of an object, and strings on their way out. [RFC 8259]
//!
//! One grammar for every text, that of the RFC; the one bound on it is that nothing nests deeper than `JSON_DEPTH_MAX`.
//! A payload that is JSON passes through as it was written, so that [`Object::raw`] gives the bytes of a field as they
//! stand in the text. A string with half of a surrogate pair is JSON, but not text: [`Value::NotText`]. This room must
//! never know operations, nor the meaning of a field. Tests: beside the code, with serde_json as oracle.

mod error;
mod escape;
mod object;
mod scan;
mod value;

pub use error::JsonError;
pub use escape::escape_into;
pub use object::{Broken, Object, Scratch, parse_object};
pub use scan::is_valid;
pub use value::{Elements, Members, Value};

#[cfg(test)]
mod tests;
