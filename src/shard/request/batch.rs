//! Publishing over HTTP: one message a request, or one a line.

use super::waiting::{Batch, JSON, Line, UNKNOWN_TOPIC, Waiting};
use crate::close::Status;
use crate::command::{ConnId, ErrorCode, Message, Position, Publish, Refusal, Taken, TopicName};
use crate::dialect::json;
use crate::limits::{BATCH_LINES_MAX, PRICE_JSON_BYTE, PRICE_PUBLICATION};
use crate::mailbox::Request;
use crate::shard::Shard;
use crate::shard::link::conn::Timer;
use crate::shard::session::gate::Act;
use crate::shard::session::tickets::Ticket;

impl Shard {
    pub(in crate::shard) fn serve_publish(&mut self, id: ConnId, topic: TopicName, message: Message) {
        self.wait_for(id, Waiting::PublishOne(topic.clone()));
        if let Err(refusal) = self.may(id.into(), &Act::Publish(&topic)) {
            return self.on_published_for_request(id, 0, Err(refusal));
        }
        let ticket = self.issue(Ticket::Http { conn: id, part: 0 });
        self.publish(topic, message, Some(ticket));
    }

    /// Asks the home of a topic to drop its last value; `on_last_forgotten` handles the answer.
    pub(in crate::shard) fn serve_forget_last(&mut self, id: ConnId, topic: TopicName) {
        if let Err(refusal) = self.may(id.into(), &Act::Publish(&topic)) {
            return self.respond_refused(id, refusal);
        }
        self.wait_for(id, Waiting::ForgetLast(topic.clone()));
        let ticket = self.issue(Ticket::Http { conn: id, part: 0 });
        let home = self.hub.home_of(topic.as_str());
        self.ask(home, Request::ForgetLast { topic, ticket });
    }

    pub(in crate::shard) fn on_last_forgotten(&mut self, ticket: u32, position: Option<Position>) {
        let (id, _) = self.take_request(ticket);
        let Some(Waiting::ForgetLast(topic)) = self.take_waiting(id) else { return };
        let Some(position) = position else { return self.respond_refused(id, UNKNOWN_TOPIC) };
        let mut body = Vec::new();
        Line::Taken(topic, Taken { position, is_duplicate: false }).encode(&mut body);
        self.respond(id, Status::Ok, JSON, &[], &body);
    }

    /// Publishes each line as it is read; the answer waits for lines whose home is another shard.
    pub(in crate::shard) fn serve_batch(&mut self, id: ConnId, body: Vec<u8>) {
        let is_blank = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace);
        let lines = || body.split(|byte| *byte == b'\n').filter(|line| !is_blank(line));
        if memchr::memchr_iter(b'\n', &body).count() >= BATCH_LINES_MAX && lines().count() > BATCH_LINES_MAX {
            return self.respond_refused(id, Refusal::new(ErrorCode::TooLarge, "a batch has at most 16384 lines"));
        }
        // One answer more than there are lines ends the batch, even if all others come early.
        self.wait_for(id, Waiting::PublishMany { batch: Batch { body, at: 0, results: Vec::new() }, waits: 1 });
        self.step_batch(id);
    }

    /// Resumes a batch that is not published completely.
    pub(in crate::shard) fn resume_batch(&mut self, id: ConnId) {
        if matches!(self.waiting_mut(id), Some(Waiting::PublishMany { batch, .. }) if !batch.is_published()) {
            self.step_batch(id);
        }
    }

    /// Publishes lines within the connection's share of the turn, and puts off the others.
    fn step_batch(&mut self, id: ConnId) {
        let Some(Waiting::PublishMany { batch, .. }) = self.waiting_mut(id) else { return };
        let (body, mut at) = (std::mem::take(&mut batch.body), batch.at);
        let mut scratch = std::mem::take(&mut self.requests.scratch);
        let mut is_first = true;
        while at < body.len() && (is_first || self.turn.budget.fits(PRICE_PUBLICATION)) {
            let end = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |len| at + len);
            let line = &body[at..end];
            at = end + 1;
            is_first = false;
            self.turn.budget.charge((line.len() as u64 + 1) * PRICE_JSON_BYTE);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match json::decode_line(scratch.json(), line) {
                Ok(publish) => self.publish_line(id, publish),
                Err(refusal) => {
                    self.note_line(id, Line::Refused(refusal));
                }
            }
        }
        self.requests.scratch = scratch;
        if at >= body.len() {
            return self.finish_part(id);
        }
        if let Some(Waiting::PublishMany { batch, .. }) = self.waiting_mut(id) {
            (batch.body, batch.at) = (body, at);
        }
        self.set_timer(id, Timer::Answer);
        self.put_off(id);
    }

    fn publish_line(&mut self, id: ConnId, mut publish: Publish<'_>) {
        if publish.payload.len() > self.settings.live.limits.message_len_max as usize {
            let refusal = Refusal::new(ErrorCode::TooLarge, "the message is longer than message_len_max");
            self.note_line(id, Line::Refused(refusal));
            return;
        }
        let Some(topic) = self.topic_name(&publish.topic) else {
            self.note_line(id, Line::Refused(BAD_TOPIC));
            return;
        };
        if let Err(refusal) = self.may(id.into(), &Act::Publish(&topic)) {
            self.note_line(id, Line::Refused(refusal));
            return;
        }
        let part = self.note_line(id, Line::Waits(topic.clone()));
        let ticket = self.issue(Ticket::Http { conn: id, part });
        self.publish(topic, publish.message(self.origin(id)), Some(ticket));
    }

    /// Adds a line to a batch; returns its number.
    fn note_line(&mut self, id: ConnId, line: Line) -> u32 {
        let Some(Waiting::PublishMany { batch: Batch { results, .. }, waits }) = self.waiting_mut(id) else { return 0 };
        *waits += usize::from(matches!(line, Line::Waits(_)));
        results.push(line);
        results.len() as u32 - 1
    }

    pub(in crate::shard) fn on_published_for_request(&mut self, id: ConnId, part: u32, result: Result<Taken, Refusal>) {
        match self.waiting_mut(id) {
            Some(Waiting::PublishOne(topic)) => {
                let status = if let Err(refusal) = &result { refusal.code.status() } else { Status::Ok };
                let line = result.map_or_else(Line::Refused, |taken| Line::Taken(topic.clone(), taken));
                let mut body = Vec::new();
                line.encode(&mut body);
                self.respond(id, status, JSON, &[], &body);
            }
            Some(Waiting::PublishMany { batch: Batch { results, .. }, .. }) => {
                let line = &mut results[part as usize];
                *line = match (std::mem::replace(line, Line::Refused(BAD_TOPIC)), result) {
                    (Line::Waits(topic), Ok(taken)) => Line::Taken(topic, taken),
                    (_, Err(refusal)) => Line::Refused(refusal),
                    (line, Ok(_)) => line,
                };
                self.finish_part(id);
            }
            _ => {}
        }
    }
}

const BAD_TOPIC: Refusal = Refusal::new(ErrorCode::BadTopic, "not a topic");
