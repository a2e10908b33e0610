//! Which compression readers are offered.

use std::str::FromStr;

/// How the publications of a topic are compressed for readers that accept compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Not at all.
    Off,
    /// Each message for itself.
    #[default]
    Message,
    /// All of them in one stream.
    Shared,
}

impl Compression {
    /// Every variant, from the least compression to the most.
    pub const ALL: [Self; 3] = [Self::Off, Self::Message, Self::Shared];
}

impl FromStr for Compression {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "off" => Ok(Self::Off),
            "message" => Ok(Self::Message),
            "shared" => Ok(Self::Shared),
            _ => Err(()),
        }
    }
}
