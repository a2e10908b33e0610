//! The simulated kernel's side of every shard: queues, listeners and the links between.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;

use super::super::{NetError, Op, Socket, drop_sent};
use super::faults::Faults;
use super::link::{Link, ServerEnd, chance};
use crate::buf::Segment;
use crate::command::ConnId;
use crate::limits::{
    ACCEPT_BACKOFF_MS, ACCEPT_PER_WAIT_MAX, RECEIVE_BUFFER_LEN, RECEIVE_PER_WAIT_MAX, SEGMENTS_PER_SEND_MAX,
};
use crate::time::MonoTime;

/// The whole network and every shard's kernel.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) now: MonoTime,
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    pub(super) links: Vec<Link>,
    pub(super) shards: Vec<Shard>,
    /// Sockets that the process may have open; the next accept fails.
    pub(super) sockets_max: usize,
    /// Addresses that `Connect` reaches, and the peers that were reached there.
    pub(super) reachable: BTreeMap<SocketAddr, VecDeque<usize>>,
}

/// One shard's kernel.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) woken: Arc<AtomicBool>,
    /// The deadline of the last wait.
    pub(super) until: Option<MonoTime>,
    pub(super) has_driver: bool,
    /// Links by the index of their connection.
    pub(super) conns: BTreeMap<u32, (ConnId, usize)>,
    /// The generation that each index had last.
    generations: BTreeMap<u32, u32>,
    pub(super) backlog: VecDeque<usize>,
    is_stopped: bool,
    pub(super) rests_until: Option<MonoTime>,
    /// Completions that `submit` caused.
    pub(super) queued: Vec<Queued>,
    /// Connections that had no turn in the last wait, and behind them those that were stopped in theirs.
    pub(super) left: VecDeque<ConnId>,
}

/// A completion that waits for the next wait, or for a later one.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) happened: Happened,
    /// It was promised for the next wait.
    is_due: bool,
}

/// A completion that owns its bytes.
#[derive(Debug)]
pub(super) enum Happened {
    Accepted { socket: Socket, peer: SocketAddr, listener: u8 },
    Connected { conn: ConnId, result: Result<(), NetError> },
    Received { conn: ConnId, bytes: Vec<u8> },
    ReceiveClosed { conn: ConnId, cause: Option<NetError> },
    Sent { conn: ConnId, result: Result<u32, NetError>, rest: Vec<Segment> },
    Closed { conn: ConnId },
    Woken,
}

impl Net {
    pub(super) fn apply(&mut self, shard: usize, op: Op) {
        match op {
            Op::Adopt { conn, socket } => self.adopt(shard, conn, socket),
            Op::Refuse { socket, words } => {
                let link = self.unadopted(shard, &socket);
                let link_mut = &mut self.links[link];
                link_mut.outbound.bytes.extend(words);
                if !words.is_empty() {
                    link_mut.inbound.bytes.clear();
                }
                self.links[link].close_server(false, &mut self.rng);
            }
            Op::Connect { conn, peer } => self.connect(shard, conn, peer),
            Op::Send { conn, segments } => self.send(shard, conn, segments),
            Op::SendMany { segment, conns } => {
                for conn in conns {
                    self.send_once(shard, conn, &segment);
                }
            }
            Op::PauseReceive { conn } => {
                if let Some(link) = self.find(shard, conn) {
                    self.links[link].is_paused = true;
                }
            }
            Op::ResumeReceive { conn } => {
                if let Some(link) = self.find(shard, conn) {
                    self.links[link].is_paused = false;
                }
            }
            Op::Finish { conn } => {
                if let Some(link) = self.find(shard, conn) {
                    assert!(!self.links[link].is_sending, "no send is in flight when a side is finished");
                    self.links[link].outbound.is_finished = true;
                }
            }
            Op::Close { conn, abort } => self.close(shard, conn, abort),
            Op::StopAccepting => {
                self.shards[shard].is_stopped = true;
                self.shards[shard].rests_until = None;
                for link in std::mem::take(&mut self.shards[shard].backlog) {
                    self.links[link].close_server(true, &mut self.rng);
                }
            }
        }
    }

    fn adopt(&mut self, shard: usize, conn: ConnId, socket: Socket) {
        let link = self.unadopted(shard, &socket);
        self.claim(shard, conn, link);
        self.links[link].server = ServerEnd::Held(conn);
    }

    fn connect(&mut self, shard: usize, conn: ConnId, peer: SocketAddr) {
        let link = self.links.len();
        if let Some(reached) = self.reachable.get_mut(&peer) {
            reached.push_back(link);
            self.links.push(Link::new(shard, peer, ServerEnd::Connecting(conn), &self.faults));
            self.claim(shard, conn, link);
            self.queue(shard, false, Happened::Connected { conn, result: Ok(()) });
        } else {
            self.queue(shard, false, Happened::Connected { conn, result: Err(NetError::Unreachable) });
        }
    }

    /// Enters a connection under its id, and holds the shard to the rules for ids.
    fn claim(&mut self, shard: usize, conn: ConnId, link: usize) {
        let shard = &mut self.shards[shard];
        let is_leaving =
            |queued: &Queued| matches!(queued.happened, Happened::Closed { conn: old } if old.index == conn.index);
        assert!(!shard.queued.iter().any(is_leaving), "an id is adopted again only after its Closed");
        let last = shard.generations.insert(conn.index, conn.generation);
        assert_ne!(last, Some(conn.generation), "an id is used once");
        let taken = shard.conns.insert(conn.index, (conn, link));
        assert!(taken.is_none(), "an id is adopted again only after its Closed");
    }

    fn send(&mut self, shard: usize, conn: ConnId, mut segments: Vec<Segment>) {
        let Some(link) = self.find(shard, conn) else { return };
        assert!((1..=SEGMENTS_PER_SEND_MAX).contains(&segments.len()), "a send has segments, and not too many");
        assert!(segments.iter().all(|segment| !segment.is_empty()), "no segment of a send is empty");
        let link = &mut self.links[link];
        link.begin_send();
        match link.transmit(&segments, &self.faults, &mut self.rng) {
            Ok(0) => link.held = Some(segments),
            result => {
                drop_sent(&mut segments, result.unwrap_or(0));
                self.queue(shard, false, Happened::Sent { conn, result, rest: segments });
            }
        }
    }

    fn send_once(&mut self, shard: usize, conn: ConnId, segment: &Segment) {
        let Some(link) = self.find(shard, conn) else { return };
        assert!(!segment.is_empty(), "no segment of a send is empty");
        let link = &mut self.links[link];
        link.begin_send();
        let mut rest = vec![segment.clone()];
        let result = link.transmit(&rest, &self.faults, &mut self.rng);
        if result == Ok(segment.len() as u32) {
            link.is_sending = false;
            return;
        }
        drop_sent(&mut rest, result.unwrap_or(0));
        self.queue(shard, true, Happened::Sent { conn, result, rest });
    }

    fn close(&mut self, shard: usize, conn: ConnId, abort: bool) {
        let shard = &mut self.shards[shard];
        let is_silenced = |queued: &Queued| match queued.happened {
            Happened::Sent { conn: other, .. } | Happened::Connected { conn: other, .. } => other == conn,
            _ => false,
        };
        let queued_before = shard.queued.len();
        match shard.conns.get(&conn.index) {
            Some((held, link)) if *held == conn => {
                self.links[*link].close_server(abort, &mut self.rng);
                shard.conns.remove(&conn.index);
                shard.queued.retain(|queued| !is_silenced(queued));
            }
            _ => {
                // A `Connect` that failed at once has no link, but its id is in use until the shard hears of it.
                shard.queued.retain(|queued| !is_silenced(queued));
                if shard.queued.len() == queued_before {
                    return;
                }
            }
        }
        shard.queued.push(Queued { happened: Happened::Closed { conn }, is_due: false });
    }

    fn queue(&mut self, shard: usize, is_due: bool, happened: Happened) {
        self.shards[shard].queued.push(Queued { happened, is_due });
    }

    fn find(&self, shard: usize, conn: ConnId) -> Option<usize> {
        self.shards[shard].conns.get(&conn.index).filter(|(held, _)| *held == conn).map(|(_, link)| *link)
    }

    fn unadopted(&self, shard: usize, socket: &Socket) -> usize {
        let link = socket.0 as usize;
        assert!(
            self.links.get(link).is_some_and(|link| link.shard == shard && link.server == ServerEnd::Accepted),
            "a socket is adopted or refused once, by the shard that accepted it"
        );
        link
    }

    /// The completions that one wait returns first, and the links that it then visits, in order.
    pub(super) fn begin_turn(
        &mut self,
        shard: usize,
        until: Option<MonoTime>,
    ) -> (Vec<Happened>, Vec<(ConnId, usize)>) {
        self.shards[shard].until = until;
        let mut turn = Vec::new();
        self.take_queued(shard, &mut turn);
        if self.shards[shard].woken.swap(false, Ordering::AcqRel) {
            turn.push(Happened::Woken);
        }
        let mut others: Vec<_> = self.shards[shard].conns.values().copied().collect();
        self.rng.shuffle(&mut others);
        let left = std::mem::take(&mut self.shards[shard].left);
        let mut links: Vec<_> = left.into_iter().filter_map(|conn| Some((conn, self.find(shard, conn)?))).collect();
        others.retain(|link| !links.contains(link));
        links.append(&mut others);
        (turn, links)
    }

    fn take_queued(&mut self, shard: usize, turn: &mut Vec<Happened>) {
        for queued in std::mem::take(&mut self.shards[shard].queued) {
            if !queued.is_due && chance(&mut self.rng, self.faults.late) {
                self.shards[shard].queued.push(queued);
                continue;
            }
            match queued.happened {
                Happened::Sent { conn, .. } => {
                    if let Some(link) = self.find(shard, conn) {
                        self.links[link].is_sending = false;
                    }
                }
                Happened::Connected { conn, result: Ok(()) } => {
                    if let Some(link) = self.find(shard, conn) {
                        self.links[link].server = ServerEnd::Held(conn);
                    }
                }
                _ => {}
            }
            turn.push(queued.happened);
        }
    }

    pub(super) fn resume_send(&mut self, conn: ConnId, link: usize) -> Option<Happened> {
        let link = &mut self.links[link];
        let mut segments = link.held.take()?;
        if chance(&mut self.rng, self.faults.late) {
            link.held = Some(segments);
            return None;
        }
        match link.transmit(&segments, &self.faults, &mut self.rng) {
            Ok(0) => {
                link.held = Some(segments);
                None
            }
            result => {
                link.is_sending = false;
                drop_sent(&mut segments, result.unwrap_or(0));
                Some(Happened::Sent { conn, result, rest: segments })
            }
        }
    }

    /// The budget of a link in one wait; 0 if nothing is received from it, be it for having come late.
    pub(super) fn receive_budget(&mut self, link: usize) -> usize {
        let link = &self.links[link];
        let is_held = matches!(link.server, ServerEnd::Held(_));
        let is_silent = !is_held || link.is_receive_closed || chance(&mut self.rng, self.faults.late);
        if is_silent { 0 } else { RECEIVE_PER_WAIT_MAX }
    }

    /// The next thing that is received from a link, while something is left of its budget.
    pub(super) fn receive(&mut self, conn: ConnId, link: usize, budget: &mut usize) -> Option<Happened> {
        let link = &mut self.links[link];
        if *budget == 0 || link.is_receive_closed || (link.is_paused && !link.is_reset_for_server) {
            return None;
        }
        if link.is_paused {
            link.is_receive_closed = true;
            link.inbound.bytes.clear();
            return Some(Happened::ReceiveClosed { conn, cause: Some(NetError::Reset) });
        }
        if !link.inbound.bytes.is_empty() {
            let whole = link.inbound.bytes.len().min(RECEIVE_BUFFER_LEN).min(*budget);
            let is_split = chance(&mut self.rng, self.faults.split_read);
            let count = if is_split { self.rng.usize(1..=whole) } else { whole };
            *budget = if is_split && self.rng.bool() { 0 } else { *budget - count };
            return Some(Happened::Received { conn, bytes: link.inbound.take(count) });
        }
        if link.is_reset_for_server || link.inbound.is_finished {
            link.is_receive_closed = true;
            let cause = link.is_reset_for_server.then_some(NetError::Reset);
            return Some(Happened::ReceiveClosed { conn, cause });
        }
        None
    }

    pub(super) fn accept(&mut self, shard: usize, turn: &mut Vec<Happened>) {
        if self.shards[shard].rests_until.is_some_and(|until| self.now < until) {
            return;
        }
        self.shards[shard].rests_until = None;
        for _ in 0..ACCEPT_PER_WAIT_MAX {
            if self.shards[shard].backlog.is_empty() || chance(&mut self.rng, self.faults.late) {
                return;
            }
            if self.open_sockets() >= self.sockets_max || chance(&mut self.rng, self.faults.accept_failure) {
                self.shards[shard].rests_until = Some(self.now.plus_millis(ACCEPT_BACKOFF_MS));
                return;
            }
            if let Some(link) = self.shards[shard].backlog.pop_front() {
                self.links[link].server = ServerEnd::Accepted;
                let socket = Socket(u32::try_from(link).expect("a run has fewer connections than that"));
                let Link { peer_addr: peer, listener, .. } = self.links[link];
                turn.push(Happened::Accepted { socket, peer, listener });
            }
        }
    }

    /// Whether the next wait has a completion, or a later wait if that one is late.
    pub(super) fn has_work(&self, shard: usize) -> bool {
        let state = &self.shards[shard];
        let is_accepting = !state.backlog.is_empty()
            && self.open_sockets() < self.sockets_max
            && state.rests_until.is_none_or(|until| until <= self.now);
        !state.queued.is_empty()
            || is_accepting
            || state.woken.load(Ordering::Acquire)
            || state.conns.values().any(|(_, link)| {
                let link = &self.links[*link];
                let has_end = link.is_reset_for_server || (link.inbound.is_finished && !link.is_paused);
                let has_bytes = !link.inbound.bytes.is_empty() && !link.is_paused;
                let has_room = link.outbound.room() > 0 || link.is_reset_for_server || link.is_peer_gone;
                (!link.is_receive_closed && (has_end || has_bytes)) || (link.held.is_some() && has_room)
            })
    }

    /// Sockets that are open in the server, accepted or opened by it.
    pub(super) fn open_sockets(&self) -> usize {
        let is_open = |link: &&Link| !matches!(link.server, ServerEnd::Backlog | ServerEnd::Gone);
        self.links.iter().filter(is_open).count()
    }

    /// A peer's connection comes in at `shard`.
    pub(super) fn dial(&mut self, shard: usize) -> usize {
        let link = self.links.len();
        let port = PEER_PORT_FIRST + (link % usize::from(u16::MAX - PEER_PORT_FIRST)) as u16;
        let peer_addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut entry = Link::new(shard, peer_addr, ServerEnd::Backlog, &self.faults);
        entry.is_peer_reading = !chance(&mut self.rng, self.faults.never_reads);
        if self.shards[shard].is_stopped {
            entry.server = ServerEnd::Gone;
            entry.is_reset_for_peer = true;
        } else {
            self.shards[shard].backlog.push_back(link);
        }
        self.links.push(entry);
        link
    }
}

const PEER_PORT_FIRST: u16 = 10_000;
