//! Topics as bytes: the content of a snapshot file, and the checks when it is read back.
//!
//! Pure: [`Encoder`] turns images of topics into bytes. [`Decoder`] takes bytes in portions of any size and returns
//! the images once the whole file is checked, or the reason why it is refused. `driver` and `server` own files and
//! threads; `hub` owns topics. Tests: beside the code, among them every truncation and every flipped bit of a small
//! file.
//!
//! ```text
//! file   = header record* end tail                          numbers are little endian
//!          the last value is one of the publications, or stands before them
//! header = magic[8] version:u32 written_ms:u64 check        wall clock, for ages over the time between two runs
//! record = len:u32 kind:u8 body[len] check                  a topic, then its publications; or the seed of epochs
//! end    = a record with the counts, padded so that the tail is aligned
//! tail   = u64, one of two values: an orderly shutdown wrote this and nothing was published since, or not
//! check  = keyed hash of the record and of its number in the file
//! ```

mod decode;
mod encode;
mod error;
mod fields;

pub use decode::{Decoder, Snapshot};
pub use encode::Encoder;
pub use error::SnapshotError;

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

const MAGIC: [u8; 8] = *b"fanwire\n";
/// The version that is written; version 1 is read too.
///
/// Since version 2 publications have their optional fields and the offset before theirs, and the last value may be
/// older than they are.
const VERSION: u32 = 2;
const HEADER_LEN: usize = 28;
const TAIL_LEN: usize = 8;

const TOPIC: u8 = 1;
const PUBLICATION: u8 = 2;
const END: u8 = 3;
const EPOCHS: u8 = 4;

/// The place of the last value: none, among the publications, or in a record of its own before them.
const LAST_NONE: u8 = 0;
const LAST_AMONG: u8 = 1;
const LAST_APART: u8 = 2;

/// The optional fields of a publication, as bits.
const HAS_KEY: u8 = 1;
const HAS_EXTRAS: u8 = 2;
/// The optional fields of extras, as bits.
const IS_PASSING: u8 = 1;
const HAS_EVENT: u8 = 2;
const HAS_TYPE: u8 = 4;

/// A check against damage, not against forgery: the key is no secret.
fn check(version: u32, number: u64, parts: &[&[u8]]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(u64::from(version), number);
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

/// The tail of a file whose end record has this check.
fn tail(version: u32, end_check: u64, is_clean: bool) -> [u8; TAIL_LEN] {
    check(version, end_check, &[if is_clean { b"clean" } else { b"unclean" }]).to_le_bytes()
}
