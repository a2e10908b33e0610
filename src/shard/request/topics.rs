//! Requests about topics as a whole: ending one, and listing them.

use super::waiting::{JSON, List, Waiting};
use crate::close::Status;
use crate::command::{ConnId, ErrorCode, ListCursor, Position, Refusal, ShardId, Target, TopicLine, TopicName};
use crate::dialect::json;
use crate::mailbox::Request;
use crate::shard::Shard;
use crate::shard::session::gate::Act;
use crate::shard::session::tickets::Ticket;
use crate::wire::json::escape_into;

impl Shard {
    /// Ends a topic.
    pub(in crate::shard) fn serve_end_topic(&mut self, id: ConnId, topic: TopicName) {
        if let Err(refusal) = self.may(id.into(), &Act::Publish(&topic)) {
            return self.respond_refused(id, refusal);
        }
        self.wait_for(id, Waiting::EndTopic(topic.clone()));
        let ticket = self.issue(Ticket::Http { conn: id, part: 0 });
        let home = self.hub.home_of(topic.as_str());
        self.ask(home, Request::EndTopic { topic, ticket });
    }

    pub(in crate::shard) fn on_topic_ended(&mut self, ticket: u32, ended: Option<(Position, u32)>) {
        let (id, _) = self.take_request(ticket);
        let Some(Waiting::EndTopic(topic)) = self.take_waiting(id) else { return };
        let Some((position, readers)) = ended else {
            let refusal = Refusal::new(ErrorCode::NotFound, "nobody reads or published this topic");
            return self.respond_refused(id, refusal);
        };
        let mut body = Vec::new();
        encode_line(&TopicLine { topic, position, readers }, &mut body);
        body.push(b'\n');
        self.respond(id, Status::Ok, JSON, &[], &body);
    }

    /// Lists topics, shard by shard, in portions; each portion names the start of the next.
    pub(in crate::shard) fn serve_topics(&mut self, id: ConnId, wanted: Option<Target>, limit: u32, after: ListCursor) {
        let act = wanted.as_ref().map_or(Act::List, Act::Subscribe);
        if let Err(refusal) = self.may(id.into(), &act) {
            return self.respond_refused(id, refusal);
        }
        let ListCursor { shard, place } = after;
        let list = List { wanted, left: limit, shard: ShardId(shard), body: b"{\"topics\":[".to_vec() };
        self.wait_for(id, Waiting::Topics(list));
        if usize::from(shard) >= self.settings.shards {
            return self.finish_topics(id, None);
        }
        self.ask_topics(id, place);
    }

    fn ask_topics(&mut self, id: ConnId, place: u32) {
        let Some(Waiting::Topics(list)) = self.waiting_mut(id) else { return };
        let (wanted, limit, shard) = (list.wanted.clone(), list.left, list.shard);
        let ticket = self.issue(Ticket::Http { conn: id, part: 0 });
        self.ask(shard, Request::ListTopics { wanted, place, limit, ticket });
    }

    pub(in crate::shard) fn on_topics(&mut self, ticket: u32, lines: Vec<TopicLine>, next: Option<u32>) {
        let (id, _) = self.take_request(ticket);
        let shards = self.settings.shards;
        let Some(Waiting::Topics(list)) = self.waiting_mut(id) else { return };
        for line in &lines {
            if list.body.last() == Some(&b'}') {
                list.body.push(b',');
            }
            encode_line(line, &mut list.body);
        }
        list.left = list.left.saturating_sub(lines.len() as u32);
        let is_full = list.left == 0;
        match next {
            // If few of many topics match, the client asks again: one request costs at most one portion of each
            // shard.
            Some(place) => {
                let shard = list.shard.0;
                self.finish_topics(id, Some(ListCursor { shard, place }));
            }
            None if list.shard.index() + 1 >= shards => self.finish_topics(id, None),
            None => {
                list.shard = ShardId(list.shard.0 + 1);
                let shard = list.shard.0;
                if is_full {
                    self.finish_topics(id, Some(ListCursor { shard, place: 0 }));
                } else {
                    self.ask_topics(id, 0);
                }
            }
        }
    }

    fn finish_topics(&mut self, id: ConnId, next: Option<ListCursor>) {
        let Some(Waiting::Topics(List { mut body, .. })) = self.take_waiting(id) else { return };
        body.push(b']');
        if let Some(ListCursor { shard, place }) = next {
            body.extend_from_slice(format!(",\"next\":\"{shard}-{place}\"").as_bytes());
        }
        body.extend_from_slice(b"}\n");
        self.respond(id, Status::Ok, JSON, &[], &body);
    }
}

fn encode_line(line: &TopicLine, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"topic\":");
    escape_into(out, line.topic.as_str());
    out.push(b',');
    json::encode_position(line.position, out);
    out.extend_from_slice(format!(",\"readers\":{}}}", line.readers).as_bytes());
}
