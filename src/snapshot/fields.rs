//! The fields of a record's body, read one after the other; `None` if a field is missing or invalid.

use super::{HAS_EVENT, HAS_TYPE, IS_PASSING};
use crate::command::{Attributes, Epoch, Extras, Position, is_event};
use crate::limits::SNAPSHOT_OFFSET_MAX;

/// The fields of a record's body that are not read yet.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (&bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(bytes)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// Reads a text of `len` bytes.
    fn text(&mut self, len: usize) -> Option<Box<str>> {
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        std::str::from_utf8(text).ok().map(Box::from)
    }

    pub fn short(&mut self) -> Option<Box<str>> {
        let len = self.u8()?;
        self.text(usize::from(len))
    }

    pub fn long(&mut self) -> Option<Box<str>> {
        let len = self.bytes().map(u16::from_le_bytes)?;
        self.text(usize::from(len))
    }

    /// Reads a key in the format of version 1.
    pub fn first_key(&mut self) -> Option<Option<Box<str>>> {
        let has_key = self.u8()? != 0;
        let key = self.short()?;
        Some(has_key.then_some(key))
    }

    /// Reads the optional fields of a publication, within the bounds that hold for publishing.
    pub fn extras(&mut self) -> Option<Extras> {
        let flags = self.u8()?;
        let event = if flags & HAS_EVENT != 0 { Some(self.short()?) } else { None };
        let content_type = if flags & HAS_TYPE != 0 { Some(self.long()?) } else { None };
        let count = self.u8()?;
        let pairs = (0..count).map(|_| Some((self.short()?, self.long()?))).collect::<Option<Vec<_>>>()?;
        let pairs = pairs.into_iter().map(|(name, value)| (String::from(name).into(), String::from(value).into()));
        let attributes = Attributes::new(content_type.as_deref(), pairs).ok()?;
        let is_right = event.as_deref().is_none_or(is_event);
        is_right.then_some(Extras { event, attributes, is_passing: flags & IS_PASSING != 0, except: None })
    }

    /// Reads a position from which a topic can continue.
    pub fn position(&mut self) -> Option<Position> {
        let position = Position { epoch: Epoch(self.u64()?), offset: self.u64()? };
        (position.offset <= SNAPSHOT_OFFSET_MAX).then_some(position)
    }
}
