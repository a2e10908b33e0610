//! Subscribing to patterns. Every shard is asked, because a topic of any home may match.
//!
//! ```text
//! join_pattern: interest to every shard -> all have noted it -> end of the turn: the reader stands in the list
//!                                                               and every shard is asked for its last values
//! ```
//! Only with the interest noted everywhere is what the reader gets without a gap. It joins behind the runs of its
//! turn, which are in the last values. Those are looked for once a turn for all who asked, because the search goes
//! through all topics, and come in pages: the next when the reader has taken the one before. Until the last is there, what
//! is said meanwhile waits.

use std::collections::VecDeque;
use std::sync::Arc;

use super::pending::{Page, PageOf, pending_mut};
use super::subscription::{Place, TargetId};
use super::tickets::Ticket;
use crate::command::{Pattern, Publication, SessionId, ShardId, Target};
use crate::hub::LastValues;
use crate::limits::{
    CATCH_UP_ENTRY_COST, PATTERN_PAGE_MAX, PRICE_KEPT, PRICE_VISIT, SEARCH_VISITS_MIN, SEARCHES_PER_TURN_MAX,
};
use crate::mailbox::{Answer, Request};
use crate::shard::Shard;

/// A search for the last values of a pattern's topics.
#[derive(Debug)]
pub(in crate::shard) struct Search {
    /// The session of the reader.
    from: ShardId,
    ticket: u32,
    pattern: Pattern,
    place: u32,
}

impl Shard {
    pub(in crate::shard) fn join_pattern(&mut self, id: SessionId, pattern: &Pattern, ticket: u32) {
        let has_share = self.has_share_of_patterns(id, pattern);
        let pattern_id = match has_share.and_then(|()| self.hub.ensure_pattern(pattern)) {
            Ok(pattern_id) => pattern_id,
            Err(refusal) => return self.on_joined(ticket, Err(refusal)),
        };
        let target = TargetId::pattern(pattern_id);
        self.sessions.subscriptions.add(&mut self.links.conns, id.index, target, Place::Waiting { ticket });
        self.sessions.pattern_tokens.add(self.links.conns[id.index].owner, pattern.token_count());
        let readers = self.hub.hold_pattern(pattern_id, 1);
        self.set_waits(ticket, self.settings.shards);
        self.tell_interest(pattern, readers, Some(ticket));
    }

    /// Tells every shard, this one included, how many readers of a pattern there are here now.
    pub(in crate::shard) fn tell_interest(&mut self, pattern: &Pattern, readers: u32, ticket: Option<u32>) {
        self.ask_all(|| Request::PatternInterest { pattern: pattern.clone(), readers, ticket });
    }

    /// A shard has noted the interest in a pattern.
    pub(in crate::shard) fn on_pattern_noted(&mut self, ticket: u32) {
        if self.count_answer(ticket) {
            self.sessions.noted.push(ticket);
        }
    }

    /// Attaches the readers with an interest that every shard has noted. This turn's runs are out.
    pub(in crate::shard) fn attach_noted(&mut self) {
        for ticket in std::mem::take(&mut self.sessions.noted) {
            let Some(Ticket::Join { session, target, last, .. }) = self.sessions.tickets.get(ticket as usize) else {
                continue;
            };
            let (id, target, last) = (*session, target.clone(), *last);
            let Target::Pattern(pattern) = &target else { continue };
            let waiting = self.find_waiting(id, &target, ticket);
            if let (Some(key), Some(pattern_id)) = (waiting, self.hub.find_pattern(pattern)) {
                let place = self.hub.attach_pattern(pattern_id, key);
                self.sessions.subscriptions.set_place(&mut self.links.conns, key, Place::Attached(place));
            }
            if last && waiting.is_some() {
                self.set_waits(ticket, self.settings.shards);
                self.ask_all(|| Request::AskPattern { pattern: pattern.clone(), place: 0, ticket });
            } else {
                self.set_waits(ticket, 1);
                self.on_pattern_page(self.settings.shard, ticket, LastValues::default());
            }
        }
    }

    /// Notes that a shard wants the last values of a pattern's topics, from a place in the table on.
    pub(in crate::shard) fn search(&mut self, from: ShardId, pattern: Pattern, place: u32, ticket: u32) {
        self.sessions.searches.push_back(Search { from, ticket, pattern, place });
    }

    /// Looks for last values, for as many searches as one turn serves and for as long as the turn has something left:
    /// searches that begin at the same place share a pass.
    pub(in crate::shard) fn find_last_values(&mut self) {
        let Some(place) = self.sessions.searches.front().map(|search| search.place) else { return };
        let (mut searches, mut others) = (Vec::new(), VecDeque::new());
        for search in self.sessions.searches.drain(..) {
            if search.place == place && searches.len() < SEARCHES_PER_TURN_MAX {
                searches.push(search);
            } else {
                others.push_back(search);
            }
        }
        self.sessions.searches = others;
        self.turn.budget.begin_item();
        let visits_max = SEARCH_VISITS_MIN.max(self.turn.budget.left() / PRICE_VISIT);
        let (pages, visits) = self.hub.last_values(searches.iter().map(|search| &search.pattern), place, visits_max);
        self.turn.budget.charge(visits * PRICE_VISIT);
        for (Search { from, ticket, .. }, page) in searches.into_iter().zip(pages) {
            let LastValues { publications, next } = page;
            self.answer(from, Answer::PatternLastValues { ticket, publications, next });
        }
    }

    /// A shard has sent some of its last values of a pattern's topics.
    pub(in crate::shard) fn on_pattern_page(&mut self, from: ShardId, ticket: u32, page: LastValues) {
        let (id, target, operation) = match self.sessions.tickets.get(ticket as usize) {
            Some(Ticket::Join { session, operation, target, .. }) => (*session, target.clone(), Some(*operation)),
            Some(Ticket::Page { session, pattern }) => (*session, Target::Pattern(pattern.clone()), None),
            _ => unreachable!("the ticket of a join comes back with its answer"),
        };
        if operation.is_none() {
            self.sessions.tickets.remove(ticket as usize);
        }
        let is_followed = self.links.conns.session(id).is_some() && self.follows_target(id, &target, ticket);
        if let Some(pending) = pending_mut(&self.links.conns, &mut self.sessions.pendings, id) {
            let is_asked = pending.page_asked.as_ref().is_some_and(|(asked, _)| *asked == ticket);
            if operation.is_some() && is_followed || is_asked {
                let Target::Pattern(pattern) = target else { unreachable!("a page is one of a pattern") };
                self.turn.grown += page.publications.len() * CATCH_UP_ENTRY_COST;
                pending.catch_up.keep(page.publications, Some(&pattern));
                if let Some(place) = page.next {
                    pending.pages.push(Page::LastValues { shard: from, pattern, place });
                }
            }
            if is_asked {
                pending.page_asked = None;
            }
        }
        match operation {
            Some(operation) if self.count_answer(ticket) => {
                self.sessions.tickets.remove(ticket as usize);
                self.advance_operation(id, operation);
            }
            Some(_) => {}
            None if self.links.conns.session(id).is_some() => self.catch_up(id),
            None => {}
        }
    }

    /// Whether the session still follows the target of a ticket: it may have left meanwhile.
    fn follows_target(&self, id: SessionId, target: &Target, ticket: u32) -> bool {
        let place =
            self.find_subscription(id, target).map(|key| self.sessions.subscriptions.place(&self.links.conns, key));
        place.is_some_and(|place| matches!(place, Place::Attached(_)) || place == Place::Waiting { ticket })
    }

    /// Asks for the next publications, once the reader has taken most of those before.
    pub(in crate::shard) fn ask_pages(&mut self, id: SessionId) {
        let Some(pending) = pending_mut(&self.links.conns, &mut self.sessions.pendings, id) else { return };
        if pending.catch_up.kept_count() >= PATTERN_PAGE_MAX || pending.page_asked.is_some() {
            return;
        }
        let Some(page) = pending.pages.pop() else { return };
        let (what, ticket) = match &page {
            Page::LastValues { pattern, .. } => {
                (PageOf::Pattern(pattern.clone()), Ticket::Page { session: id, pattern: pattern.clone() })
            }
            Page::Missed { topic, since, until } => {
                let (topic, since, until) = (topic.clone(), *since, *until);
                (PageOf::Topic(topic.clone()), Ticket::Missed { session: id, topic, since, until })
            }
        };
        let ticket = self.issue(ticket);
        if let Some(pending) = pending_mut(&self.links.conns, &mut self.sessions.pendings, id) {
            pending.page_asked = Some((ticket, what));
        }
        match page {
            Page::LastValues { shard, pattern, place } => {
                self.ask(shard, Request::AskPattern { pattern, place, ticket });
            }
            Page::Missed { topic, since, .. } => {
                let home = self.hub.home_of(topic.as_str());
                self.ask(home, Request::AskMissed { topic, since, ticket });
            }
        }
    }

    /// The home of a topic has sent more of what a reader missed; `None` if it does not keep all of that any more.
    pub(in crate::shard) fn on_missed(&mut self, ticket: u32, missed: Option<Vec<Arc<Publication>>>) {
        let Ticket::Missed { session: id, topic, since, until } = self.sessions.tickets.remove(ticket as usize) else {
            unreachable!("the ticket of a page comes back with its answer");
        };
        let Some(pending) = pending_mut(&self.links.conns, &mut self.sessions.pendings, id) else { return };
        // A session that left the topic meanwhile wants nothing of it.
        if pending.page_asked.take_if(|(asked, _)| *asked == ticket).is_none() {
            return;
        }
        match missed.as_deref() {
            Some([.., last]) => {
                if last.position.offset < until {
                    pending.pages.push(Page::Missed { topic, since: last.position, until });
                }
            }
            Some([]) | None if since.offset < until => pending.lost.push((topic, since.offset, until)),
            Some([]) | None => {}
        }
        let publications = missed.unwrap_or_default();
        self.turn.grown += publications.len() * CATCH_UP_ENTRY_COST;
        self.turn.budget.charge(publications.len() as u64 * PRICE_KEPT);
        pending.catch_up.keep(publications, None);
        self.catch_up(id);
    }

    /// Drops the rest of what a session does not want any more.
    pub(in crate::shard) fn forget_pages(&mut self, id: SessionId, what: &PageOf) {
        if let Some(pending) = pending_mut(&self.links.conns, &mut self.sessions.pendings, id) {
            pending.pages.retain(|page| !page.is_of(what));
            pending.page_asked.take_if(|(_, asked)| asked == what);
            if let PageOf::Topic(topic) = what {
                pending.lost.retain(|(lost, ..)| lost != topic);
            }
        }
    }

    fn set_waits(&mut self, ticket: u32, count: usize) {
        if let Some(Ticket::Join { waits, .. }) = self.sessions.tickets.get_mut(ticket as usize) {
            *waits = count;
        }
    }

    /// Counts one answer to a pattern's ticket; `true` with the last one.
    fn count_answer(&mut self, ticket: u32) -> bool {
        let Some(Ticket::Join { waits, .. }) = self.sessions.tickets.get_mut(ticket as usize) else {
            unreachable!("the ticket of a join comes back with its answer");
        };
        *waits -= 1;
        *waits == 0
    }
}
