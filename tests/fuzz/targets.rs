//! The checks of the fuzz targets: for each a function that takes any bytes and panics if its oracle disagrees.
//!
//! `tests/fuzz.rs` runs them over their corpus, and `fuzz/fuzz_targets/` under libFuzzer.

#![allow(dead_code, reason = "each program uses one of them")]

pub mod config;
pub mod connection;
pub mod deflate;
pub mod frames;
pub mod head;
pub mod input;
pub mod json;
pub mod proxy;
pub mod snapshot;
