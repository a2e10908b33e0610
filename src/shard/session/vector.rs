//! Where a reader of several topics is in each of them. It is said with every event, so that the reader may come back to
//! all of its topics; what an event costs does not grow with their number, but for the bytes of the others' positions,
//! which are copied.

use crate::command::{Position, TopicName};
use crate::limits::TOPICS_PER_REQUEST_MAX;
use crate::transport::sse::IdLine;

/// The position behind the last event, of each topic that the reader named.
#[derive(Debug)]
pub(in crate::shard) struct Vector {
    /// In the order of the request.
    positions: Box<[(TopicName, Position)]>,
    /// Their places, in the order of the names.
    by_name: Box<[u8]>,
    id: IdLine,
}

impl Vector {
    pub fn new(positions: Box<[(TopicName, Position)]>) -> Self {
        let mut by_name: Box<[u8]> = (0..positions.len()).map(|place| place as u8).collect();
        by_name.sort_unstable_by_key(|place| positions[usize::from(*place)].0.as_str());
        let id = IdLine::new(positions.iter().map(|(_, position)| *position));
        Self { positions, by_name, id }
    }

    /// Moves the reader on to a position of a topic.
    pub fn move_to(&mut self, topic: &TopicName, to: Position) {
        let name_of = |place: &u8| self.positions[usize::from(*place)].0.as_str();
        let Ok(at) = self.by_name.binary_search_by_key(&topic.as_str(), name_of) else { return };
        let place = usize::from(self.by_name[at]);
        let position = &mut self.positions[place].1;
        // The last value that a pattern brings may be one that the reader is behind already.
        let is_behind = position.epoch == to.epoch && to.offset < position.offset;
        if !is_behind {
            *position = to;
            self.id.set(place, to);
        }
    }

    /// The line that says it.
    pub fn id(&self) -> &IdLine {
        &self.id
    }
}

const _: () = assert!(TOPICS_PER_REQUEST_MAX <= 256, "a place has 8 bits");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Epoch;

    #[test]
    fn each_topic_moves_by_itself_and_never_back() {
        let name = |text: &str| TopicName::parse(text).expect("a valid name");
        let at = |offset| Position { epoch: Epoch(10), offset };
        let mut vector =
            Vector::new([("c", 1), ("a", 2), ("b", 3)].map(|(text, offset)| (name(text), at(offset))).into());
        for (topic, to, line) in [
            ("a", 20, "id: a-1,a-20,a-3\n"),
            ("c", 100, "id: a-100,a-20,a-3\n"),
            ("a", 19, "id: a-100,a-20,a-3\n"),
            ("d", 7, "id: a-100,a-20,a-3\n"),
            ("b", 4, "id: a-100,a-20,a-4\n"),
        ] {
            vector.move_to(&name(topic), at(to));
            assert_eq!(String::from_utf8_lossy(vector.id().as_bytes()), line);
        }
        vector.move_to(&name("c"), Position { epoch: Epoch(11), offset: 1 });
        assert_eq!(vector.id().as_bytes(), b"id: b-1,a-20,a-4\n");
    }
}
