//! Publishing over HTTP: one message a request, or one a line.

use super::exchanges::{JSON, Waiting};
use crate::command::{ConnId, ErrorCode, Message, Publish, Refusal, Taken, TopicName};
use crate::dialect::json;
use crate::limits::{BATCH_LINES_MAX, PRICE_JSON_BYTE, PRICE_PUBLICATION};
use crate::shard::Shard;
use crate::shard::link::conn::Timer;
use crate::shard::session::tickets::Ticket;
use crate::transport::http::error_body;
use crate::wire::json::escape_into;

/// What came of one line of a batch.
#[derive(Debug)]
pub(in crate::shard) enum Line {
    Waits(TopicName),
    Taken(TopicName, Taken),
    Refused(Refusal),
}

/// A request with many publications.
#[derive(Debug, Default)]
pub(in crate::shard) struct Batch {
    /// Empty once all of it is published.
    body: Vec<u8>,
    /// The next line.
    at: usize,
    /// By line; blank ones do not count.
    pub results: Vec<Line>,
}

impl Batch {
    fn is_published(&self) -> bool {
        self.body.is_empty()
    }

    /// Bytes that it holds.
    pub fn len(&self) -> usize {
        self.body.capacity() + self.results.capacity() * size_of::<Line>()
    }
}

impl Shard {
    pub(in crate::shard) fn serve_publish(&mut self, id: ConnId, topic: TopicName, message: Message) {
        self.wait_for(id, Waiting::PublishOne(topic.clone()));
        let ticket = |shard: &mut Self| Some(shard.issue(Ticket::Http { conn: id, part: 0 }));
        if let Some(result) = self.publish(&topic, message, ticket) {
            self.on_published_for_request(id, 0, result);
        }
    }

    /// Publishes each line as it is read; the answer waits for those whose home is elsewhere.
    pub(in crate::shard) fn serve_batch(&mut self, id: ConnId, body: Vec<u8>) {
        let is_blank = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace);
        let lines = || body.split(|byte| *byte == b'\n').filter(|line| !is_blank(line));
        if memchr::memchr_iter(b'\n', &body).count() >= BATCH_LINES_MAX && lines().count() > BATCH_LINES_MAX {
            let body = error_body("too_large", "a batch has at most 16384 lines");
            return self.respond(id, 413, JSON, &[], &body);
        }
        // One more ends what does not wait.
        self.wait_for(id, Waiting::PublishMany { batch: Batch { body, at: 0, results: Vec::new() }, waits: 1 });
        self.step_batch(id);
    }

    /// Goes on with a batch that is not published to its end.
    pub(in crate::shard) fn resume_batch(&mut self, id: ConnId) {
        if matches!(self.waiting_mut(id), Some(Waiting::PublishMany { batch, .. }) if !batch.is_published()) {
            self.step_batch(id);
        }
    }

    /// Publishes lines; what the connection has no share for in this turn is put off.
    fn step_batch(&mut self, id: ConnId) {
        let Some(Waiting::PublishMany { batch, .. }) = self.waiting_mut(id) else { return };
        let Batch { body, mut at, mut results } = std::mem::take(batch);
        let (mut scratch, mut waits, mut is_first) = (self.json.take().unwrap_or_default(), 0, true);
        // No answer comes within the turn, so that all of them find the results.
        while at < body.len() && (is_first || self.budget.fits(PRICE_PUBLICATION)) {
            let end = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |len| at + len);
            let line = &body[at..end];
            at = end + 1;
            is_first = false;
            self.budget.charge((line.len() as u64 + 1) * PRICE_JSON_BYTE);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let line = match json::decode_line(&mut scratch, line) {
                Ok(publish) => self.publish_line(id, results.len() as u32, &publish),
                Err(refusal) => Line::Refused(refusal),
            };
            waits += usize::from(matches!(line, Line::Waits(_)));
            results.push(line);
        }
        self.json = Some(scratch);
        let is_published = at >= body.len();
        if let Some(Waiting::PublishMany { batch, waits: all }) = self.waiting_mut(id) {
            let body = if is_published { Vec::new() } else { body };
            *batch = Batch { body, at, results };
            *all += waits;
        }
        if is_published {
            self.finish_part(id);
        } else {
            self.set_timer(id, Timer::Answer);
            self.put_off(id);
        }
    }

    fn publish_line(&mut self, id: ConnId, part: u32, publish: &Publish<'_>) -> Line {
        if publish.payload.len() > self.settings.limits.message_len_max as usize {
            return Line::Refused(Refusal::new(ErrorCode::TooLarge, "the message is longer than message_len_max"));
        }
        let Some(topic) = self.topic_name(&publish.topic) else { return Line::Refused(BAD_TOPIC) };
        let ticket = |shard: &mut Self| Some(shard.issue(Ticket::Http { conn: id, part }));
        match self.publish(&topic, publish.message(self.origin(id)), ticket) {
            Some(Ok(taken)) => Line::Taken(topic, taken),
            Some(Err(refusal)) => Line::Refused(refusal),
            None => Line::Waits(topic),
        }
    }

    pub(in crate::shard) fn on_published_for_request(&mut self, id: ConnId, part: u32, result: Result<Taken, Refusal>) {
        match self.waiting_mut(id) {
            Some(Waiting::PublishOne(topic)) => {
                let status = if let Err(refusal) = &result { refusal.code.row().1 } else { 200 };
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

impl Line {
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Taken(topic, taken) => {
                out.extend_from_slice(b"{\"topic\":");
                escape_into(out, topic.as_str());
                out.push(b',');
                json::encode_taken(taken, out);
                out.extend_from_slice(b"}\n");
            }
            Self::Refused(refusal) => json::encode_refusal(refusal, out),
            Self::Waits(_) => unreachable!("a batch is answered when every line is"),
        }
    }
}

const BAD_TOPIC: Refusal = Refusal::new(ErrorCode::BadTopic, "not a topic");
