//! The fields of an object: as values, and as they stand in the text.

use std::fmt;
use std::ops::Range;

use simd_json::{Buffers, Node as TapeNode, StaticNode, Tape};

use super::error::JsonError;
use super::scan::scan_fields;
use crate::limits::{JSON_DEPTH_MAX, JSON_SCRATCH_KEPT_LEN_MAX};

/// What a parse needs, kept from one text to the next so that it stops allocating. What an unusually large text made
/// it take is given back before the next.
pub struct Scratch {
    /// Of the text; strings in it are unescaped in place.
    copy: Vec<u8>,
    buffers: Buffers,
    /// Empty between two parses.
    tape: Tape<'static>,
    /// The tape, with its strings as ranges of `copy`.
    nodes: Vec<Node>,
    /// Where the values of the fields stand in the text.
    fields: Vec<Range<usize>>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            copy: Vec::new(),
            buffers: Buffers::with_max_depth(0, JSON_DEPTH_MAX + 1),
            tape: Tape(Vec::new()),
            nodes: Vec::new(),
            fields: Vec::new(),
        }
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scratch({} bytes, {} nodes)", self.copy.capacity(), self.nodes.capacity())
    }
}

/// Parses a text that is one JSON object. The text itself stays as it is.
///
/// # Errors
/// The whole text is checked, so that what [`Object::raw`] returns can be passed on.
pub fn parse_object<'a>(scratch: &'a mut Scratch, text: &'a [u8]) -> Result<Object<'a>, JsonError> {
    let text = simdutf8::basic::from_utf8(text).map_err(|_| JsonError::Syntax)?;
    scratch.trim();
    scan_fields(text, &mut scratch.fields)?;
    scratch.read(text)?;
    let object = Object { nodes: &scratch.nodes, strings: &scratch.copy, fields: &scratch.fields, text };
    object.check_fields()?;
    Ok(object)
}

impl Scratch {
    fn trim(&mut self) {
        if self.copy.capacity().max(self.nodes.capacity() * size_of::<Node>()) > JSON_SCRATCH_KEPT_LEN_MAX {
            *self = Self::default();
        }
    }

    /// Fills `copy` and `nodes`.
    fn read(&mut self, text: &str) -> Result<(), JsonError> {
        self.copy.clear();
        self.copy.extend_from_slice(text.as_bytes());
        self.nodes.clear();
        let (start, len) = (self.copy.as_ptr().addr(), self.copy.len());
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        // The scanner has accepted the text, so that only a number can still be in the way.
        let outcome = simd_json::fill_tape(&mut self.copy, &mut self.buffers, &mut tape)
            .map_err(|_| JsonError::NumberOutOfRange)
            .and_then(|()| {
                for node in &tape.0 {
                    self.nodes.push(Node::of(node, start, len)?);
                }
                Ok(())
            });
        self.tape = tape.reset();
        outcome
    }
}

/// A node of the tape. A container is followed by `count` nodes of what it holds.
#[derive(Clone, Copy, Debug)]
enum Node {
    Null,
    Bool(bool),
    Unsigned(u64),
    Number(f64),
    String { start: u32, len: u32 },
    Array { count: u32 },
    Object { count: u32 },
}

const _: () = assert!(size_of::<Node>() == 16);

impl Node {
    /// A node without a lifetime: a string becomes its range of the `text_len` bytes at `text_start`.
    fn of(node: &TapeNode<'_>, text_start: usize, text_len: usize) -> Result<Self, JsonError> {
        let short = |len: usize| u32::try_from(len).map_err(|_| JsonError::Syntax);
        Ok(match *node {
            TapeNode::String(text) => {
                let start = text.as_ptr().addr().wrapping_sub(text_start);
                let is_inside = start.checked_add(text.len()).is_some_and(|end| end <= text_len);
                match is_inside {
                    true => Self::String { start: short(start)?, len: short(text.len())? },
                    false if text.is_empty() => Self::String { start: 0, len: 0 },
                    false => return Err(JsonError::Syntax),
                }
            }
            TapeNode::Object { count, .. } => Self::Object { count: short(count)? },
            TapeNode::Array { count, .. } => Self::Array { count: short(count)? },
            TapeNode::Static(StaticNode::Null) => Self::Null,
            TapeNode::Static(StaticNode::Bool(value)) => Self::Bool(value),
            TapeNode::Static(StaticNode::U64(value)) => Self::Unsigned(value),
            TapeNode::Static(StaticNode::I64(value)) => {
                u64::try_from(value).map_or(Self::Number(value as f64), Self::Unsigned)
            }
            TapeNode::Static(StaticNode::F64(value)) => Self::Number(value),
        })
    }

    /// Nodes that the value which begins here takes.
    fn len(self) -> usize {
        match self {
            Self::Array { count } | Self::Object { count } => 1 + count as usize,
            Self::Null | Self::Bool(_) | Self::Unsigned(_) | Self::Number(_) | Self::String { .. } => 1,
        }
    }
}

/// A parsed object. It borrows the scratch and the text, and so does all that it gives out.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    nodes: &'a [Node],
    strings: &'a [u8],
    /// In the order of the text, as are the members in `nodes`.
    fields: &'a [Range<usize>],
    text: &'a str,
}

impl<'a> Object<'a> {
    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        let (_, at) = self.names().find(|&(field, _)| field == name.as_bytes())?;
        Value::split_first(self.nodes.get(at..)?, self.strings).map(|(value, _)| value)
    }

    /// The value of a field exactly as it stands in the text, without the white space around it.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        let index = self.names().position(|(field, _)| field == name.as_bytes())?;
        self.text.get(self.fields.get(index)?.clone())
    }

    /// Every field and its value, in the order of the text.
    #[must_use]
    pub fn members(&self) -> Members<'a> {
        Members { nodes: self.nodes.get(1..).unwrap_or_default(), strings: self.strings }
    }

    /// The names of all fields, in order, and where the value of each stands in `nodes`. A field is looked for among
    /// bytes: nothing that it is not is decoded.
    fn names(&self) -> impl Iterator<Item = (&'a [u8], usize)> {
        let (nodes, strings) = (self.nodes, self.strings);
        let mut at = 1;
        std::iter::from_fn(move || {
            let Node::String { start, len } = *nodes.get(at)? else { return None };
            let name = strings.get(start as usize..)?.get(..len as usize)?;
            let value = at + 1;
            at = value + nodes.get(value)?.len();
            (at <= nodes.len()).then_some((name, value))
        })
    }

    /// Both readings of the text must see the same fields, and each name once.
    fn check_fields(&self) -> Result<(), JsonError> {
        let mut count = 0;
        for (index, (name, _)) in self.names().enumerate() {
            if self.names().take(index).any(|(earlier, _)| earlier == name) {
                return Err(JsonError::DuplicateField);
            }
            count += 1;
        }
        if count == self.fields.len() { Ok(()) } else { Err(JsonError::Syntax) }
    }
}

/// A JSON value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without sign, fraction and exponent that fits.
    Unsigned(u64),
    /// Any other number, as near as a double comes.
    Number(f64),
    /// A string, unescaped.
    String(&'a str),
    /// An array: its elements.
    Array(Elements<'a>),
    /// An object: its fields. Names may stand in it more than once.
    Object(Members<'a>),
}

impl<'a> Value<'a> {
    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        if let Self::String(text) = *self { Some(text) } else { None }
    }

    /// The number, if it is one without sign, fraction and exponent.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        if let Self::Unsigned(number) = *self { Some(number) } else { None }
    }

    /// The truth value, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = *self { Some(value) } else { None }
    }

    /// The value at the start of `nodes`, and the nodes behind it.
    fn split_first(nodes: &'a [Node], strings: &'a [u8]) -> Option<(Self, &'a [Node])> {
        let (&first, rest) = nodes.split_first()?;
        Some(match first {
            Node::Null => (Self::Null, rest),
            Node::Bool(value) => (Self::Bool(value), rest),
            Node::Unsigned(value) => (Self::Unsigned(value), rest),
            Node::Number(value) => (Self::Number(value), rest),
            Node::String { start, len } => {
                let bytes = strings.get(start as usize..)?.get(..len as usize)?;
                (Self::String(std::str::from_utf8(bytes).ok()?), rest)
            }
            Node::Array { count } => {
                let (nodes, rest) = rest.split_at_checked(count as usize)?;
                (Self::Array(Elements { nodes, strings }), rest)
            }
            Node::Object { count } => {
                let (nodes, rest) = rest.split_at_checked(count as usize)?;
                (Self::Object(Members { nodes, strings }), rest)
            }
        })
    }
}

/// The elements of an array, in order.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    nodes: &'a [Node],
    strings: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (value, rest) = Value::split_first(self.nodes, self.strings)?;
        self.nodes = rest;
        Some(value)
    }
}

/// The fields of an object and their values, in order.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    nodes: &'a [Node],
    strings: &'a [u8],
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<(&'a str, Value<'a>)> {
        let (name, rest) = Value::split_first(self.nodes, self.strings)?;
        let (value, rest) = Value::split_first(rest, self.strings)?;
        self.nodes = rest;
        Some((name.as_str()?, value))
    }
}
