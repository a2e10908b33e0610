//! The fields of an object: as values, and as they stand in the text.

use std::borrow::Cow;

use super::error::JsonError;
use super::scan::{Field, scan_fields};
use super::value::{Members, Value, unescape};

/// Buffers of a parse, kept from one text to the next so that parsing stops allocating.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Where the fields stand in the text.
    fields: Vec<Field>,
}

/// A text that is refused, and the fields that could be read nevertheless: those in front of the mistake, and all of
/// them where it is a bound that the text is past.
#[derive(Clone, Copy, Debug)]
pub struct Broken<'a> {
    /// Why it is refused.
    pub error: JsonError,
    /// The fields, as far as they can be read.
    pub object: Object<'a>,
}

/// Parses a text that is one JSON object. Values are decoded when they are read.
///
/// # Errors
/// The whole text is checked, so that the bytes from [`Object::raw`] can be passed on.
pub fn parse_object<'a>(scratch: &'a mut Scratch, text: &'a [u8]) -> Result<Object<'a>, Broken<'a>> {
    scratch.fields.clear();
    let Ok(text) = simdutf8::basic::from_utf8(text) else {
        return Err(Broken { error: JsonError::NotUtf8, object: Object { fields: &[], text: "" } });
    };
    let outcome = scan_fields(text, &mut scratch.fields);
    let object = Object { fields: &scratch.fields, text };
    match outcome.and_then(|()| object.check_names()) {
        Ok(()) => Ok(object),
        Err(error) => Err(Broken { error, object }),
    }
}

/// A parsed object. It borrows the scratch and the text.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// In the order of the text.
    fields: &'a [Field],
    text: &'a str,
}

impl<'a> Object<'a> {
    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.raw(name).map(Value::read)
    }

    /// The value of a field exactly as it stands in the text, without the white space around it.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        let field = self.fields.iter().find(|field| self.is_named(field, name))?;
        self.text.get(field.value.clone())
    }

    /// How often a field is there; more than once only in a [`Broken`] text.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.fields.iter().filter(|field| self.is_named(field, name)).count()
    }

    /// How many fields there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "nobody asks whether there is none")]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Every field and its value, in the order of the text.
    #[must_use]
    pub fn members(&self) -> Members<'a> {
        Members::of(self.text)
    }

    fn is_named(&self, field: &Field, name: &str) -> bool {
        field.is_named(self.text, name)
    }

    /// Each name must be there once, in any spelling. A name that is no text matches no field, and may be there twice.
    fn check_names(&self) -> Result<(), JsonError> {
        for (index, field) in self.fields.iter().enumerate() {
            let raw = self.text.get(field.name.clone()).unwrap_or_default();
            let name = if field.has_escape { unescape(raw) } else { Some(Cow::Borrowed(raw)) };
            let earlier = &self.fields[..index];
            if name.is_some_and(|name| earlier.iter().any(|earlier| self.is_named(earlier, &name))) {
                return Err(JsonError::DuplicateField);
            }
        }
        Ok(())
    }
}
