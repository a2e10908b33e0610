//! A dense list of readers: a fan-out walks it in memory order, and leaving swaps with the last.

/// A reader, as the shard names it. The hub does not look inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct SubscriberKey(pub u32);

/// The readers of one topic. One reader costs no heap memory, further ones 4 bytes each and the slack of a growing
/// vector.
#[derive(Debug, Default)]
pub enum Readers {
    /// Nobody.
    #[default]
    Empty,
    /// The common private topic.
    One(SubscriberKey),
    /// Boxed so that the common cases stay small.
    #[allow(clippy::box_collection)]
    Many(Box<Vec<SubscriberKey>>),
}

impl Readers {
    /// Adds a reader; returns its place.
    pub fn add(&mut self, key: SubscriberKey) -> u32 {
        match self {
            Self::Empty => *self = Self::One(key),
            Self::One(first) => *self = Self::Many(Box::new(vec![*first, key])),
            Self::Many(keys) => keys.push(key),
        }
        self.as_slice().len() as u32 - 1
    }

    /// Takes the reader at `place` out. If the last reader moved there, returns it.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn remove(&mut self, place: u32) -> Option<SubscriberKey> {
        match self {
            Self::Many(keys) => {
                keys.swap_remove(place as usize);
                let moved = keys.get(place as usize).copied();
                if keys.is_empty() {
                    *self = Self::Empty;
                } else if keys.len() * 4 < keys.capacity() {
                    keys.shrink_to(keys.len() * 2);
                }
                moved
            }
            Self::One(_) if place == 0 => {
                *self = Self::Empty;
                None
            }
            _ => panic!("a reader leaves the place it was given"),
        }
    }

    /// All readers.
    #[must_use]
    pub fn as_slice(&self) -> &[SubscriberKey] {
        match self {
            Self::Empty => &[],
            Self::One(key) => std::slice::from_ref(key),
            Self::Many(keys) => keys,
        }
    }

    /// Whether nobody reads.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}

const _: () = assert!(size_of::<Readers>() == 16);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn places_stay_true_while_readers_come_and_go() {
        let seed = 0x5eed_0002;
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut readers = Readers::default();
        let mut places: HashMap<SubscriberKey, u32> = HashMap::new();
        for next in 0..5_000 {
            let key = SubscriberKey(next);
            if places.is_empty() || rng.u32(0..100) < 52 {
                places.insert(key, readers.add(key));
            } else {
                let leaving = readers.as_slice()[rng.usize(0..places.len())];
                let place = places.remove(&leaving).expect("the model knows every reader");
                if let Some(moved) = readers.remove(place) {
                    places.insert(moved, place);
                }
            }
            assert_eq!(readers.as_slice().len(), places.len());
        }
        for (key, place) in places {
            assert_eq!(readers.as_slice()[place as usize], key);
        }
    }
}
