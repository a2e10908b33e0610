//! Mail: questions to shards and to the engine, and their answers. A shard asks itself in the same way, and is answered at
//! once.

use super::Shard;
use crate::command::{Peer, ShardId, ShardSet};
use crate::hub::LastValues;
use crate::limits::{POLL_ANSWER_LEN_MAX, PRICE_KEPT, PRICE_MAIL, PRICE_VISIT, RESUME_PAGE_LEN_MAX};
use crate::mailbox::{Answer, Mail, Request};
use crate::time::MonoTime;

impl Shard {
    /// Handles one mail.
    pub fn handle_mail(&mut self, now: MonoTime, from: Peer, mail: Mail) {
        self.now = now;
        self.turn.budget.begin_item();
        self.turn.budget.charge(PRICE_MAIL);
        match mail {
            Mail::Request(request) => match from {
                Peer::Shard(shard) => self.handle_request(shard, request),
                Peer::Engine => self.handle_engine_request(request),
            },
            Mail::Answer(answer) => self.handle_answer(from, answer),
        }
    }

    /// Sends a request to a shard or to the engine. This shard answers its own request before the call returns.
    pub(in crate::shard) fn ask(&mut self, to: impl Into<Peer>, request: Request) {
        match to.into() {
            Peer::Shard(shard) if shard == self.settings.shard => self.handle_request(shard, request),
            to => self.outgoing.ask(to, request),
        }
    }

    /// Sends a request to every shard, to this one last.
    pub(in crate::shard) fn ask_all(&mut self, mut request: impl FnMut() -> Request) {
        let me = self.settings.shard;
        for shard in ShardSet::all(self.settings.shards).iter().filter(|shard| *shard != me) {
            self.outgoing.ask(shard, request());
        }
        self.handle_request(me, request());
    }

    /// Sends an answer to a shard or to the engine; this shard handles its own answer at once.
    pub(in crate::shard) fn answer(&mut self, to: impl Into<Peer>, answer: Answer) {
        match to.into() {
            to @ Peer::Shard(shard) if shard == self.settings.shard => self.handle_answer(to, answer),
            to => self.outgoing.answer(to, answer),
        }
    }

    /// Handles a request of the engine: to take a publication, to confirm that earlier ones are on their way, or to say a
    /// topic's position.
    fn handle_engine_request(&mut self, request: Request) {
        match request {
            Request::Take(publication) => self.take(publication),
            Request::Fence => self.answer(Peer::Engine, Answer::Fenced),
            Request::AskTopic { topic, ticket } => {
                let state = self.hub.state(topic.as_str());
                self.answer(Peer::Engine, Answer::TopicState { ticket, state });
            }
            other => unreachable!("the engine does not ask {other:?}"),
        }
    }

    fn handle_request(&mut self, from: ShardId, request: Request) {
        let answer = match request {
            Request::Publish { topic, message, ticket } => {
                let result = self.number(&topic, message);
                ticket.map(|ticket| Answer::Published { ticket, result })
            }
            Request::Take(_) => unreachable!("only the engine numbers publications for others"),
            Request::Join { topic, since, last, polls, skips, ticket } => {
                // A poll needs no more than fits in its answer. Any other reader asks for the rest when it has taken
                // most of this, but one that skips.
                let len_max = if polls { POLL_ANSWER_LEN_MAX } else { RESUME_PAGE_LEN_MAX };
                let result = self.hub.join_for(self.now, &topic, from, since, last, (len_max, skips));
                self.charge_join(&result);
                if polls {
                    self.hub.note_poll(self.now, topic.as_str());
                }
                Some(Answer::Joined { ticket, result })
            }
            Request::Leave { topic, is_last } => {
                self.hub.leave(self.now, topic.as_str(), from, is_last);
                None
            }
            Request::PatternInterest { pattern, readers, ticket } => {
                self.hub.set_pattern_interest(&pattern, from, readers);
                ticket.map(|ticket| Answer::PatternNoted { ticket })
            }
            Request::AskPattern { pattern, place, ticket } => {
                self.search(from, pattern, place, ticket);
                None
            }
            Request::Watch { topic } => {
                let presence = self.hub.watch(self.now, topic.as_str(), from);
                presence.map(|presence| Answer::Presence { topic, presence })
            }
            Request::Unwatch { topic } => {
                self.hub.unwatch(topic.as_str(), from);
                None
            }
            Request::AskTopic { topic, ticket } => {
                Some(Answer::TopicState { ticket, state: self.hub.state(topic.as_str()) })
            }
            Request::ForgetLast { topic, ticket } => {
                Some(Answer::LastForgotten { ticket, position: self.hub.forget_last(topic.as_str()) })
            }
            Request::AskMissed { topic, since, ticket } => {
                let missed = self.hub.missed(self.now, topic.as_str(), since, RESUME_PAGE_LEN_MAX);
                self.turn.budget.charge(missed.as_ref().map_or(0, |missed| missed.len() as u64 * PRICE_KEPT));
                Some(Answer::Missed { ticket, missed })
            }
            Request::EndTopic { topic, ticket } => {
                Some(Answer::TopicEnded { ticket, ended: self.hub.end(topic.as_str()) })
            }
            Request::ListTopics { wanted, place, limit, ticket } => {
                let (lines, scanned, next) = self.hub.list(wanted.as_ref(), place, limit as usize);
                self.turn.budget.charge(scanned as u64 * PRICE_VISIT + lines.len() as u64 * PRICE_KEPT);
                Some(Answer::Topics { ticket, lines, next })
            }
            Request::AskHistory { topic, query, ticket } => {
                Some(Answer::History { ticket, history: self.hub.history(self.now, topic.as_str(), query) })
            }
            Request::Carry { key, carry, ticket } => {
                self.on_carry(from, key, carry, ticket);
                None
            }
            Request::AskMetrics { ticket } => {
                self.on_metrics_asked(from, ticket);
                None
            }
            Request::Certificates { config, expires_s } => {
                self.on_certificates(config, expires_s);
                None
            }
            Request::Live(live) => {
                self.on_live(live);
                None
            }
            Request::Snapshot { number } => {
                self.begin_snapshot(number);
                None
            }
            Request::SnapshotEnded { is_written } => {
                self.note_snapshot(is_written);
                None
            }
            Request::Drain => {
                self.begin_drain();
                None
            }
            Request::Fence => Some(Answer::Fenced),
            Request::Drained => {
                self.note_drained(from);
                None
            }
        };
        if let Some(answer) = answer {
            self.answer(from, answer);
        }
    }

    fn handle_answer(&mut self, from: Peer, answer: Answer) {
        match answer {
            Answer::Deliver(publication) => self.deliver(publication),
            Answer::Published { ticket, result } => self.on_published(ticket, result),
            Answer::NotTaken { .. } => unreachable!("a shard asks nobody to take a publication"),
            Answer::Joined { ticket, result } => self.on_joined(ticket, result),
            Answer::PatternNoted { ticket } => self.on_pattern_noted(ticket),
            Answer::PatternLastValues { ticket, publications, next } => match from {
                Peer::Shard(shard) => self.on_pattern_page(shard, ticket, LastValues { publications, next }),
                Peer::Engine => unreachable!("the engine is no home of a topic"),
            },
            Answer::TopicState { ticket, state } => self.on_topic_state(ticket, state),
            Answer::LastForgotten { ticket, position } => self.on_last_forgotten(ticket, position),
            Answer::Missed { ticket, missed } => self.on_missed(ticket, missed),
            Answer::TopicEnded { ticket, ended } => self.on_topic_ended(ticket, ended),
            Answer::Topics { ticket, lines, next } => self.on_topics(ticket, lines, next),
            Answer::History { ticket, history } => self.on_history(ticket, history),
            Answer::Presence { topic, presence } => self.on_presence(&topic, presence),
            Answer::Carried { ticket, carried } => self.on_carried(ticket, carried),
            Answer::Fenced => self.note_fenced(from),
            Answer::Metrics { ticket, metrics } => self.on_metrics(ticket, *metrics),
        }
    }
}
