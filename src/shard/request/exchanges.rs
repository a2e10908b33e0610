//! HTTP requests and their answers, and the upgrade to WebSocket.

use super::waiting::{HttpSession, JSON, NDJSON, OPEN_METRICS, TEXT, Waiting};
use crate::buf::Segment;
use crate::close::{CloseReason, Status};
use crate::command::{ConnId, ErrorCode, HistoryAnswer, Message, Origin, Refusal, ShardSet, Subscribe, Target, Terms};
use crate::dialect::json;
use crate::limits::{PRICE_METRICS_BYTE, PRICE_REQUEST, RETRY_AFTER_S};
use crate::mailbox::Request as Ask;
use crate::metrics::{ShardMetrics, render};
use crate::routes::{Asked, Handshake, Route, Site};
use crate::shard::Shard;
use crate::shard::link::conn::{Carrier, Flag, Standing, Timer};
use crate::shard::link::ending::Parting;
use crate::shard::session::agreed::Agreed;
use crate::shard::session::encoding::EncodingId;
use crate::shard::session::gate::Act;
use crate::shard::session::session::Mark;
use crate::shard::session::tickets::Ticket;
use crate::shard::slot::Slot;
use crate::transport::http::{
    Access, Asker, Next, PAGE_REQUEST_FIELDS, Request, RequestError, Response, Right, encode_continue,
    encode_switching_protocols, error_body,
};

impl Shard {
    pub(in crate::shard) fn receive_requests(&mut self, id: ConnId, bytes: &[u8]) {
        let conn = &mut self.links.conns[id.index];
        let slot = conn.link.exchange().unwrap_or_else(|| {
            let slot = self.requests.exchanges.insert(HttpSession::default());
            conn.link.parser = Slot::new(slot);
            slot
        });
        self.requests.exchanges[slot].exchange.receive(bytes);
        self.advance_requests(id);
        self.bound_poll(id);
    }

    /// Serves requests for as long as they are complete and answered at once.
    pub(in crate::shard) fn advance_requests(&mut self, id: ConnId) {
        let mut served = 0_u32;
        loop {
            let Some(conn) = self.links.conns.get(id).filter(|conn| !conn.link.is(Flag::CLOSING)) else { return };
            // A client that does not read its answers gets no further ones; its next requests wait.
            if conn.link.is(Flag::PAUSED_BACKLOG) {
                break;
            }
            // The requests behind the first wait for a part in the turn.
            if conn.link.is(Flag::PAUSED_TURN) || served > 0 && !self.turn.budget.fits(PRICE_REQUEST) {
                return self.put_off(id);
            }
            let Some(session) = conn.link.exchange().map(|slot| &mut self.requests.exchanges[slot]) else { return };
            let message_len_max = self.settings.live.limits.message_len_max as usize;
            let access = self.settings.live.access.get(usize::from(conn.link.listener)).unwrap_or(OPEN);
            let site = Site { pages: &self.settings.pages, services: &self.settings.services, access, message_len_max };
            match session.exchange.next(|head| site.judge(head)) {
                Next::Incomplete => break,
                Next::Continue => self.reply(id, encode_continue),
                Next::Session(handshake, rest) => return self.upgrade(id, handshake, rest),
                Next::Refused(error) => return self.refuse_request(id, error),
                Next::Request(request) => {
                    served += 1;
                    self.turn.budget.charge(PRICE_REQUEST);
                    self.serve(id, request);
                }
            }
        }
        self.rearm_request(id);
        if self.links.conns[id.index].link.is(Flag::PEER_DONE) {
            self.end_after_answers(id);
        }
    }

    /// Sets the deadline of an HTTP connection for its present phase, and removes an exchange that holds nothing.
    fn rearm_request(&mut self, id: ConnId) {
        let conn = &mut self.links.conns[id.index];
        let Some(slot) = conn.link.exchange() else { return };
        let HttpSession { exchange, waiting, .. } = &self.requests.exchanges[slot];
        // A poll that waits has its own deadline, and is read from so that its peer is seen to go.
        if matches!(waiting, Some(Waiting::Poll(poll)) if poll.is_open()) || matches!(waiting, Some(Waiting::Carry(_)))
        {
            return;
        }
        let is_waiting = exchange.is_waiting();
        let timer = if is_waiting || !exchange.is_idle() && conn.link.is(Flag::PAUSED_BACKLOG) {
            Timer::Answer
        } else if exchange.is_in_body() {
            Timer::Body
        } else if exchange.is_idle() {
            self.requests.exchanges.remove(slot);
            conn.link.parser = Slot::NONE;
            // The next request has its time from when the last answer was taken.
            if conn.link.outbox.is_none() { Timer::Idle } else { Timer::Answer }
        } else {
            Timer::Head
        };
        // Each answer has its time; a head or a body that comes in pieces has one for all of them.
        if timer != conn.link.timer || timer == Timer::Answer {
            self.set_timer(id, timer);
        }
        if is_waiting {
            self.pause(id, Flag::PAUSED_REQUEST);
        }
    }

    fn serve(&mut self, id: ConnId, request: Request<Asked>) {
        let Request { asked: Asked { route, right }, body } = request;
        // Any number of readers leaves publishers their seats.
        let has_seat = right == Right::Publish && self.links.conns[id.index].link.standing == Standing::PastLimit;
        let is_kept_out = self.is_past_limit(id) && !has_seat;
        match route {
            Route::Options(methods) => self.serve_options(id, methods),
            Route::Health => self.respond(id, Status::Ok, TEXT, &[], b"ok\n"),
            Route::Ready if self.is_draining() => {
                self.respond(id, Status::ServiceUnavailable, TEXT, &[], b"draining\n")
            }
            Route::Ready => self.respond(id, Status::Ok, TEXT, &[], b"ready\n"),
            Route::Metrics => self.serve_metrics(id),
            _ if is_kept_out => self.refuse_past_limit(id),
            Route::Page(page) => {
                let page = self.settings.pages[page];
                self.respond(id, Status::Ok, page.content_type, &[], page.body);
            }
            Route::PublishOne { .. } | Route::PublishMany => self.serve_publication(id, route, body),
            Route::Topic(topic) => {
                if let Err(refusal) = self.may(id.into(), &Act::State(&topic)) {
                    return self.respond_refused(id, refusal);
                }
                self.wait_for(id, Waiting::Topic(topic.clone()));
                let ticket = self.issue(Ticket::Http { conn: id, part: 0 });
                self.ask_state(topic, ticket);
            }
            Route::ForgetLast(topic) => self.serve_forget_last(id, topic),
            Route::EndTopic(topic) => self.serve_end_topic(id, topic),
            Route::Topics { wanted, limit, after } => self.serve_topics(id, wanted, limit, after),
            Route::History { topic, query } => {
                if let Err(refusal) = self.may(id.into(), &Act::History(&topic)) {
                    return self.respond_refused(id, refusal);
                }
                self.wait_for(id, Waiting::History);
                let ticket = self.issue(Ticket::Http { conn: id, part: 0 });
                self.ask_history(topic, query, ticket);
            }
            Route::Follow(follow) => {
                let is_counted = self.note_forwarded_for(id, follow.forwarded_for.as_deref());
                if let Some(slot) = self.links.conns[id.index].link.exchange() {
                    self.requests.exchanges[slot].is_client_counted = is_counted;
                }
                if self.is_past_limit(id) {
                    return self.refuse_past_limit(id);
                }
                self.follow(id, *follow);
            }
            Route::Service(route) => self.serve_service(id, *route, body),
            Route::Refused(error) => {
                let body = error_body(error.code, error.message);
                self.respond(id, error.status, JSON, &headers_of(error), &body);
            }
        }
    }

    fn serve_publication(&mut self, id: ConnId, route: Route, body: Vec<u8>) {
        match route {
            Route::PublishOne { kind, .. } if !kind.allows(&body) => {
                let error = "the body is not UTF-8: send binary as application/octet-stream";
                self.respond_refused(id, Refusal::new(ErrorCode::BadRequest, error));
            }
            Route::PublishOne { topic, kind, key, terms, extras } => {
                let terms = (*terms != Terms::default()).then_some(terms);
                let (payload, origin) = (body.into_boxed_slice(), Some(self.origin(id)));
                self.serve_publish(id, topic, Message { kind, payload, key, origin, terms, extras });
            }
            _ => self.serve_batch(id, body),
        }
    }

    /// The methods of the path, and, for a browser that asks for a page of another origin, the header fields that it
    /// may send. [Fetch 4.8]
    fn serve_options(&mut self, id: ConnId, methods: &str) {
        let methods = format!("{methods}, OPTIONS");
        let slot = self.links.conns[id.index].link.exchange();
        let is_page = slot.is_some_and(|slot| self.requests.exchanges[slot].exchange.asker().origin.is_some());
        let mut headers = vec![("Allow", methods.as_str())];
        if is_page {
            headers.extend([
                ("Access-Control-Allow-Methods", methods.as_str()),
                ("Access-Control-Allow-Headers", PAGE_REQUEST_FIELDS),
                ("Access-Control-Max-Age", "7200"),
            ]);
        }
        self.respond(id, Status::NoContent, TEXT, &headers, b"");
    }

    fn serve_metrics(&mut self, id: ConnId) {
        let shards = vec![ShardMetrics::default(); self.settings.shards];
        self.wait_for(id, Waiting::Metrics { shards, waits: self.settings.shards });
        for shard in ShardSet::all(self.settings.shards).iter() {
            let ticket = self.issue(Ticket::Http { conn: id, part: u32::from(shard.0) });
            self.ask(shard, Ask::AskMetrics { ticket });
        }
    }

    pub(in crate::shard) fn on_metrics(&mut self, ticket: u32, metrics: ShardMetrics) {
        let (id, part) = self.take_request(ticket);
        if let Some(Waiting::Metrics { shards, .. }) = self.waiting_mut(id) {
            shards[part as usize] = metrics;
            self.finish_part(id);
        }
    }

    /// Takes back the ticket of a request: its connection, and the part of it that was asked for.
    pub(super) fn take_request(&mut self, ticket: u32) -> (ConnId, u32) {
        let Ticket::Http { conn, part } = self.sessions.tickets.remove(ticket as usize) else {
            unreachable!("the ticket of a request comes back with its answer");
        };
        (conn, part)
    }

    /// Notes one of the parts that a request waits for as done; answers with the last.
    pub(in crate::shard) fn finish_part(&mut self, id: ConnId) {
        let Some(waiting) = self.waiting_mut(id) else { return };
        let (Waiting::PublishMany { waits, .. } | Waiting::Metrics { waits, .. }) = waiting else { return };
        *waits -= 1;
        if *waits > 0 {
            return;
        }
        match self.take_waiting(id) {
            Some(Waiting::PublishMany { batch, .. }) => {
                let mut body = Vec::new();
                batch.results.iter().for_each(|line| line.encode(&mut body));
                self.respond(id, Status::Ok, NDJSON, &[], &body);
            }
            Some(Waiting::Metrics { shards, .. }) => {
                let text = render(&self.settings.process, &self.settings.live.told_limits, &shards);
                self.turn.budget.charge(text.len() as u64 * PRICE_METRICS_BYTE);
                self.respond(id, Status::Ok, OPEN_METRICS, &[], text.as_bytes());
            }
            _ => {}
        }
    }

    pub(in crate::shard) fn on_history_for_request(&mut self, id: ConnId, history: &HistoryAnswer) {
        let mut body = format!("{{\"epoch\":\"{}\",\"messages\":", history.position.epoch).into_bytes();
        json::encode_messages(history.publications.iter().map(|publication| &**publication), &mut body);
        body.extend_from_slice(b"}\n");
        self.respond(id, Status::Ok, JSON, &[], &body);
    }

    fn upgrade(&mut self, id: ConnId, handshake: Handshake, mut rest: Vec<u8>) {
        self.note_forwarded_for(id, handshake.forwarded_for.as_deref());
        if self.is_past_limit(id) || self.is_draining() {
            return self.refuse_past_limit(id);
        }
        let agreement = handshake.deflate.and_then(|offer| self.agree(&handshake, offer));
        let (agreed, answer) = agreement.unzip();
        let Handshake { framing, dialect, subprotocol, topic, accept, bandwidth, .. } = handshake;
        self.reply(id, |out| encode_switching_protocols(out, &accept, subprotocol, answer.as_ref()));
        let conn = &mut self.links.conns[id.index];
        if let Some(outbox) = self.links.outboxes.get_mut(conn.link.outbox) {
            outbox.guard();
        }
        if let Some(slot) = std::mem::replace(&mut conn.link.parser, Slot::NONE).index() {
            self.requests.exchanges.remove(slot);
        }
        conn.link.carrier = Carrier::WebSocket;
        conn.session.agreed = agreed.unwrap_or(Agreed::NONE);
        self.metrics.requests += 1;
        self.metrics.handshakes += 1;
        self.metrics.http_connections -= 1;
        self.metrics.websocket_connections += 1;
        self.set_timer(id, Timer::Ping);
        self.note_bandwidth(id.into(), bandwidth);
        self.speak(id.into(), EncodingId::of(framing, dialect, false));
        self.reply(id, |out| framing.greet(out));
        if let Some((topic, options)) = topic {
            self.links.conns[id.index].session.set(Mark::NO_ECHO, !options.echo);
            let since = options.since.map(|since| (topic.clone(), since)).into_iter().collect();
            let (targets, last, policy) = (vec![Target::Topic(topic)], options.last, options.policy);
            self.subscribe(
                id.into(),
                Subscribe { id: None, targets, since, last, policy, presence: false, headers: None },
            );
        }
        if !rest.is_empty() {
            self.receive_frames(id, &mut rest);
        }
    }

    pub(in crate::shard) fn respond(
        &mut self,
        id: ConnId,
        status: Status,
        content_type: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        let Some(asker) = self.take_asker(id) else { return };
        self.respond_with(id, asker.keep_alive, |date, out| {
            Response { status, content_type, headers, body, further_len: 0, asker: &asker, date }.encode(out);
        });
    }

    /// The properties of the current request that its answer depends on; the connection no longer waits.
    pub(in crate::shard) fn take_asker(&mut self, id: ConnId) -> Option<Asker> {
        self.take_waiting(id);
        let is_draining = self.is_draining();
        let conn = self.links.conns.get_mut(id).filter(|conn| !conn.link.is(Flag::CLOSING))?;
        // A seat past the limit is for one request.
        let is_past_limit = conn.link.standing.is_past_limit();
        let slot = conn.link.exchange()?;
        let mut asker = self.requests.exchanges[slot].exchange.take_asker();
        asker.keep_alive &= !is_draining && !is_past_limit;
        Some(asker)
    }

    /// Answers the request under way with the response that is written, with its date.
    pub(in crate::shard) fn respond_with(
        &mut self,
        id: ConnId,
        keep_alive: bool,
        write: impl FnOnce(&str, &mut Vec<u8>),
    ) {
        self.respond_in_parts(id, keep_alive, write, None);
    }

    /// The same; behind what is written come shared bytes, and others.
    pub(in crate::shard) fn respond_in_parts(
        &mut self,
        id: ConnId,
        keep_alive: bool,
        write: impl FnOnce(&str, &mut Vec<u8>),
        further: Option<(&Segment, &[u8])>,
    ) {
        let Some(conn) = self.links.conns.get_mut(id) else { return };
        let Some(session) = conn.link.exchange().map(|slot| &mut self.requests.exchanges[slot]) else { return };
        session.exchange.answered();
        let is_counted = std::mem::take(&mut session.is_client_counted);
        conn.link.timer = Timer::Answer;
        // The next request on the connection may be another client's.
        if is_counted {
            self.forget_client(id);
        }
        self.metrics.requests += 1;
        self.reply_dated(id, write);
        if let Some((segment, end)) = further {
            let outbox = self.links.outboxes.ensure(&mut self.links.conns[id.index].link.outbox);
            outbox.append(segment.clone());
            self.reply(id, |out| out.extend_from_slice(end));
        }
        self.unpause(id, Flag::PAUSED_REQUEST);
        if keep_alive {
            self.requests.answered.push(id);
        } else {
            self.begin_end(id, CloseReason::Normal);
        }
    }

    /// Goes on with the connections with a request that was answered in this turn: their next request may be there
    /// already. It is not done where the answer is made, so that many pipelined requests are a loop and not a
    /// recursion.
    pub(in crate::shard) fn resume_answered(&mut self) {
        let mut answered = std::mem::take(&mut self.requests.answered);
        for id in answered.drain(..) {
            if self.turn.budget.begin_item() && !self.is_mail_full() {
                self.advance_requests(id);
            } else {
                self.put_off(id);
            }
        }
        // The loop above has gone on with those that it answered.
        answered.append(&mut self.requests.answered);
        answered.clear();
        self.requests.answered = answered;
    }

    /// Answers a request that cannot be served. Where the next one begins is not known, so the connection ends.
    pub(in crate::shard) fn refuse_request(&mut self, id: ConnId, error: RequestError) {
        let body = error_body(error.code, error.message);
        let (status, headers) = (error.status, &*headers_of(error));
        let slot = self.links.conns.get(id).and_then(|conn| conn.link.exchange());
        let asker = slot.map(|slot| self.requests.exchanges[slot].exchange.take_asker()).unwrap_or_default();
        let asker = Asker { keep_alive: false, ..asker };
        self.metrics.requests += 1;
        self.reply_dated(id, |date, out| {
            Response { status, content_type: JSON, headers, body: &body, further_len: 0, asker: &asker, date }
                .encode(out);
        });
        self.begin_end(id, CloseReason::BadRequest);
    }

    pub(in crate::shard) fn time_out_request(&mut self, id: ConnId, reason: CloseReason, message: &'static str) {
        self.links.conns[id.index].link.end = Some(reason);
        self.refuse_request(id, RequestError::with_status(reason.row().status, message));
    }

    pub(in crate::shard) fn refuse_past_limit(&mut self, id: ConnId) {
        let is_address = self.links.conns[id.index].link.standing.is_past_address_limit();
        let error = if is_address {
            let message = "too many connections from this address";
            RequestError::new(ErrorCode::RateLimited, message)
        } else {
            self.metrics.refused += u64::from(self.links.conns[id.index].link.standing == Standing::PastLimit);
            let message = "the gateway is at its limit of connections, or shuts down";
            RequestError::new(ErrorCode::Overloaded, message)
        };
        self.refuse_request(id, error);
    }

    /// The peer has ended its side, which it may as soon as it has asked: it gets every answer that it is owed before
    /// the connection ends. [RFC 9112 9.6]
    pub(in crate::shard) fn end_after_answers(&mut self, id: ConnId) {
        let conn = &self.links.conns[id.index];
        let exchange = conn.link.exchange().map(|slot| &self.requests.exchanges[slot].exchange);
        let has_requests = exchange.is_some_and(|exchange| exchange.is_waiting() || conn.link.is(Flag::PAUSED_BACKLOG));
        if has_requests {
            return;
        }
        if !conn.link.outbox.is_none() {
            self.begin_end(id, CloseReason::Normal);
        } else {
            let reason = if exchange.is_none() { CloseReason::Normal } else { CloseReason::PeerGone };
            self.terminate(id, reason, Parting::InOrder);
        }
    }

    fn is_past_limit(&self, id: ConnId) -> bool {
        self.links.conns[id.index].link.standing.is_past_limit()
    }

    pub(in crate::shard) fn origin(&self, conn: ConnId) -> Origin {
        Origin { shard: self.settings.shard, session: conn.into() }
    }

    pub(in crate::shard) fn wait_for(&mut self, id: ConnId, waiting: Waiting) {
        if let Some(slot) = self.links.conns[id.index].link.exchange() {
            self.requests.exchanges[slot].waiting = Some(waiting);
        }
    }

    pub(in crate::shard) fn waiting_mut(&mut self, id: ConnId) -> Option<&mut Waiting> {
        let slot = self.links.conns.get(id)?.link.exchange()?;
        self.requests.exchanges[slot].waiting.as_mut()
    }

    pub(in crate::shard) fn take_waiting(&mut self, id: ConnId) -> Option<Waiting> {
        let slot = self.links.conns.get(id)?.link.exchange()?;
        self.requests.exchanges[slot].waiting.take()
    }
}

/// The header fields that belong to a refusal.
fn headers_of(error: RequestError) -> Vec<(&'static str, &'static str)> {
    match error.status {
        Status::MethodNotAllowed => error.allow.map(|allow| ("Allow", allow)).into_iter().collect(),
        // The codings that are taken. [RFC 9110 12.5.3]
        Status::UnsupportedMediaType => vec![("Accept-Encoding", "identity")],
        Status::UpgradeRequired => vec![("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
        status if status.has_retry_after() => vec![("Retry-After", RETRY_AFTER_S)],
        _ => Vec::new(),
    }
}

/// Of a listener that the settings do not name.
const OPEN: &Access = &Access::OPEN;
