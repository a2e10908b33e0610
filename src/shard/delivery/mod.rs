//! One turn's publications on their way to their readers: runs, their encodings, and their compressed forms.
//!
//! Tests: beside the code, `tests/simulator/`.

mod agreement;
pub(in crate::shard) mod compression;
pub(in crate::shard) mod encoded;
pub(in crate::shard) mod encodings;
pub(in crate::shard) mod fanout;
pub(in crate::shard) mod run;
pub(in crate::shard) mod windows;

use crate::live::CompressionSettings;
use crate::shard::delivery::run::Runs;
use compression::Compressor;

/// The runs of a turn, and their encoders.
#[derive(Debug)]
pub(in crate::shard) struct Delivery {
    pub runs: Runs,
    pub compressor: Compressor,
    /// Kept between calls so that it stops allocating: one message.
    pub message: Vec<u8>,
}

impl Delivery {
    /// Nothing to deliver.
    pub fn new(settings: CompressionSettings) -> Self {
        Self { runs: Runs::default(), compressor: Compressor::new(settings), message: Vec::new() }
    }
}
