//! Answers to requests for a topic's state. A long last value is encoded once for all clients while any of them waits
//! for it: many unread answers take the memory of one.

use std::sync::Arc;

use super::waiting::{JSON, UNKNOWN_TOPIC, Waiting};
use crate::buf::Segment;
use crate::close::Status;
use crate::command::{ConnId, Publication, TopicName, TopicState};
use crate::dialect::json;
use crate::limits::{PRICE_TWO_ENCODED_BYTES, SHARED_ANSWER_LEN_MIN};
use crate::shard::Shard;
use crate::transport::http::Response;
use crate::wire::json::escape_into;

/// The long value of the last such request, in the form of answers.
#[derive(Debug)]
pub(in crate::shard) struct SharedValue {
    publication: Arc<Publication>,
    encoded: Segment,
}

impl Shard {
    pub(in crate::shard) fn on_state_for_request(&mut self, ticket: u32, state: Option<TopicState>) {
        let (id, _) = self.take_request(ticket);
        match (self.take_waiting(id), state) {
            (Some(Waiting::Topic(topic)), Some(state)) => self.respond_state(id, &topic, &state),
            (Some(_), None) => self.respond_refused(id, UNKNOWN_TOPIC),
            _ => {}
        }
    }

    fn respond_state(&mut self, id: ConnId, topic: &TopicName, state: &TopicState) {
        let mut body = Vec::new();
        encode_beginning(topic, state, &mut body);
        let end = format!(",\"bytes\":{{\"last\":{},\"history\":{}}}}}\n", state.last_len, state.history_len);
        let Some(last) = state.last.as_ref().filter(|last| last.payload.len() >= SHARED_ANSWER_LEN_MIN) else {
            encode_value(state.last.as_deref(), &mut body);
            body.extend_from_slice(end.as_bytes());
            return self.respond(id, Status::Ok, JSON, &[], &body);
        };
        let value = self.shared_value(last);
        let Some(asker) = self.take_asker(id) else { return };
        let further_len = value.len() + end.len();
        let further = (!asker.is_head).then_some((&value, end.as_bytes()));
        let write = |date: &str, out: &mut Vec<u8>| {
            let response = Response {
                status: Status::Ok,
                content_type: JSON,
                headers: &[],
                body: &body,
                further_len,
                asker: &asker,
                date,
            };
            response.encode(out);
        };
        self.respond_in_parts(id, asker.keep_alive, write, further);
    }

    /// A value in the form of answers.
    fn shared_value(&mut self, publication: &Arc<Publication>) -> Segment {
        if let Some(shared) = self.requests.shared.as_ref().filter(|it| Arc::ptr_eq(&it.publication, publication)) {
            return shared.encoded.clone();
        }
        let mut encoded = Vec::new();
        encode_value(Some(publication), &mut encoded);
        encoded.shrink_to_fit();
        self.turn.grown += encoded.len();
        self.turn.budget.charge(encoded.len() as u64 / 2 * PRICE_TWO_ENCODED_BYTES);
        let encoded = Segment::from(encoded);
        self.requests.shared = Some(SharedValue { publication: Arc::clone(publication), encoded: encoded.clone() });
        encoded
    }

    /// Drops the value if no client waits for it any more.
    pub(in crate::shard) fn forget_shared_value(&mut self) {
        self.requests.shared.take_if(|shared| shared.encoded.is_alone());
    }
}

fn encode_beginning(topic: &TopicName, state: &TopicState, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"topic\":");
    escape_into(out, topic.as_str());
    out.push(b',');
    json::encode_position(state.position, out);
    json::encode_presence(&state.presence, out);
    out.extend_from_slice(b",\"last\":");
}

fn encode_value(value: Option<&Publication>, out: &mut Vec<u8>) {
    match value {
        Some(value) => json::encode_kept(value, out),
        None => out.extend_from_slice(b"null"),
    }
}
