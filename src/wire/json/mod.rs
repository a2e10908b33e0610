//! JSON texts: validation without a tree, the fields of an object, and strings on their way out. [RFC 8259]
//!
//! A payload that is JSON passes through as it was written, so that [`Object::raw`] gives the bytes of a field as they
//! stand in the text. Stricter than the RFC in two ways that readers depend on: a lone surrogate escape is no text,
//! and what nests deeper than `JSON_DEPTH_MAX` is no JSON. What this room must never know: operations, and what a
//! field means. Tests: beside the code, with serde_json as oracle.

mod error;
mod escape;
mod object;
mod scan;

pub use error::JsonError;
pub use escape::escape_into;
pub use object::{Elements, Members, Object, Scratch, Value, parse_object};
pub use scan::is_valid;

#[cfg(test)]
mod tests;
