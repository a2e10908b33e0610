//! The optional parts of a publication: event, attributes and the like.

use std::borrow::Cow;

use super::{ErrorCode, Origin, Refusal};
use crate::limits::{ATTRIBUTE_NAME_LEN_MAX, ATTRIBUTES_LEN_MAX, ATTRIBUTES_MAX, EVENT_LEN_MAX, TEXT_COST};

/// The optional fields of a publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The name of the event that it tells of.
    pub event: Option<Box<str>>,
    /// The media type of the payload, for dialects that pass it on.
    pub attributes: Attributes,
    /// Whether the topic's last value stays as it was.
    pub is_passing: bool,
    /// The one session that does not get it.
    pub except: Option<Origin>,
}

/// The declared type of a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The media type.
    pub content_type: Option<Box<str>>,
    /// Names and values, in the order of the publisher.
    pub pairs: Box<[(Box<str>, Box<str>)]>,
}

/// The name under which the media type stands among attributes.
pub const CONTENT_TYPE: &str = "content-type";

impl Extras {
    /// Boxed if any part is set; `None` if none is.
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }

    /// Bytes of its texts.
    #[must_use]
    pub fn text_len(&self) -> usize {
        self.event.as_deref().map_or(0, str::len) + self.attributes.text_len()
    }

    /// Bytes that it takes.
    #[cold]
    pub(super) fn cost(&self) -> usize {
        let texts = 2 * self.attributes.pairs.len() + 2;
        size_of::<Self>() + self.text_len() + texts * (TEXT_COST + size_of::<Box<str>>())
    }
}

impl Attributes {
    /// Attributes of these names and values. One named `content-type`, in any case, is the media type, and stands in
    /// for the one that was given.
    ///
    /// # Errors
    /// A name or value is not valid, a name is there twice, or there are too many of them.
    pub fn new<'a>(
        content_type: Option<&str>,
        pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
    ) -> Result<Self, Refusal> {
        let (mut kept, mut named): (Vec<(Box<str>, Box<str>)>, _) = (Vec::new(), None);
        for (name, value) in pairs {
            if !is_name(&name, ATTRIBUTE_NAME_LEN_MAX) || value.chars().any(char::is_control) {
                return Err(BAD_ATTRIBUTE);
            }
            if kept.len() == ATTRIBUTES_MAX {
                return Err(TOO_MANY);
            }
            let is_type = name.eq_ignore_ascii_case(CONTENT_TYPE);
            if (is_type && named.is_some()) || kept.iter().any(|(other, _)| **other == *name) {
                return Err(TWICE);
            }
            if is_type {
                named = Some(value.into());
            } else {
                kept.push((name.into(), value.into()));
            }
        }
        let content_type = named.or_else(|| content_type.map(Box::from));
        let attributes = Self { content_type, pairs: kept.into() };
        if attributes.text_len() > ATTRIBUTES_LEN_MAX { Err(TOO_LONG) } else { Ok(attributes) }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.content_type.is_none() && self.pairs.is_empty()
    }

    /// Every name and its value, the media type first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let content_type = self.content_type.as_deref().map(|value| (CONTENT_TYPE, value));
        content_type.into_iter().chain(self.pairs.iter().map(|(name, value)| (&**name, &**value)))
    }

    fn text_len(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// Whether a text can name an event: 1 to [`EVENT_LEN_MAX`] bytes without control characters.
#[must_use]
pub fn is_event(text: &str) -> bool {
    is_name(text, EVENT_LEN_MAX)
}

fn is_name(text: &str, len_max: usize) -> bool {
    (1..=len_max).contains(&text.len()) && !text.chars().any(char::is_control)
}

const BAD_ATTRIBUTE: Refusal = Refusal::new(
    ErrorCode::BadRequest,
    "an attribute is a name of 1 to 255 bytes and a value, both UTF-8 without control characters",
);
const TWICE: Refusal = Refusal::new(ErrorCode::BadRequest, "an attribute is there twice");
const TOO_MANY: Refusal = Refusal::new(ErrorCode::TooLarge, "a publication has at most 64 attributes");
const TOO_LONG: Refusal = Refusal::new(ErrorCode::TooLarge, "the attributes have at most 4096 bytes in all");

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> Result<Attributes, Refusal> {
        let pairs = pairs.iter().map(|(name, value)| (Cow::Owned((*name).to_owned()), Cow::Owned((*value).to_owned())));
        Attributes::new(Some("text/plain"), pairs)
    }

    #[test]
    fn attributes_keep_their_order_and_a_content_type_stands_in_for_the_other() {
        let made = attributes(&[("b", "1"), ("Content-Type", "image/png"), ("a", ""), ("A", "größe")]).expect("right");
        let all: Vec<_> = made.iter().collect();
        assert_eq!(all, [(CONTENT_TYPE, "image/png"), ("b", "1"), ("a", ""), ("A", "größe")]);
        assert_eq!(attributes(&[]).expect("right").iter().next(), Some((CONTENT_TYPE, "text/plain")));
        assert!(Attributes::new(None, std::iter::empty()).expect("right").is_empty());
    }

    #[test]
    fn what_is_no_attribute_or_too_much_is_refused_with_its_code() {
        let (long, name) = ("x".repeat(ATTRIBUTES_LEN_MAX), "n".repeat(ATTRIBUTE_NAME_LEN_MAX + 1));
        for (name, value) in [("", "x"), (&*name, ""), ("a\nb", ""), ("a", "b\r"), ("a\u{85}", ""), ("a", "\0")] {
            assert_eq!(attributes(&[(name, value)]), Err(BAD_ATTRIBUTE), "{name:.10} {value}");
        }
        assert_eq!(attributes(&[("a", ""), ("a", "")]), Err(TWICE));
        assert_eq!(attributes(&[("content-type", ""), ("Content-type", "")]), Err(TWICE));
        let names: Vec<String> = (0..=ATTRIBUTES_MAX).map(|n| n.to_string()).collect();
        let pairs: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
        assert!(attributes(&pairs[1..]).is_ok());
        assert_eq!(attributes(&pairs), Err(TOO_MANY));
        let fixed = CONTENT_TYPE.len() + "text/plain".len() + 1;
        assert!(attributes(&[("a", &long[fixed..])]).is_ok());
        assert_eq!(attributes(&[("a", &long[fixed - 1..])]), Err(TOO_LONG));
    }

    #[test]
    fn an_event_is_a_short_text_without_control_characters() {
        for right in ["a", " ", ".bye", "größe", "a\u{2028}b", &"x".repeat(EVENT_LEN_MAX)] {
            assert!(is_event(right), "{right:.10}");
        }
        for wrong in ["", "\n", "a\rb", "\0", "a\u{7f}", "\u{9b}", &"x".repeat(EVENT_LEN_MAX + 1)] {
            assert!(!is_event(wrong), "{wrong:.10}");
        }
    }
}
