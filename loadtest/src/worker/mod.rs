//! One worker process: an event loop over its connections, told by its parent what to do.
//!
//! `state` is what a worker is made of. `dial` opens connections, `layers` stand between sockets and frames, `receive` reads frames, `transports` HTTP, `publish` sends what a round asks for, `round` counts. What this
//! room must never know: what a scenario is made of, and what a report says.
//! Tests: the counting beside the code; the rest from outside, in `tests/`.

mod commands;
mod conn;
mod dial;
mod dialler;
mod layers;
mod outlet;
mod publish;
mod receive;
mod round;
mod secure;
mod socket;
mod state;
mod transports;

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Token};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{Expiration, TimerSetTimeFlags};

use self::conn::{Kind, Phase};
use self::round::RoundState;
use self::state::{INTEREST, TIMER, WAKER, Worker};
use crate::clock::{Clock, NANOS_PER_MILLI};
use crate::plan::WorkerPlan;
use crate::protocol::{Command, Event, Progress, Round, Traffic, share_of};

/// Runs a worker over standard input and output, until it is told to quit.
#[must_use]
pub fn run() -> ExitCode {
    // Ctrl-C goes to the whole group of processes; the parent ends its workers when it has heard what they counted.
    let ignored = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let _ = signal_hook::flag::register(signal_hook::consts::SIGINT, ignored);
    let mut input = io::BufReader::new(io::stdin());
    let mut line = String::new();
    let plan = match input.read_line(&mut line) {
        Ok(_) => serde_json::from_str::<WorkerPlan>(&line).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let outcome = plan.and_then(|plan| {
        let mut worker = Worker::new(plan, input).map_err(|error| error.to_string())?;
        worker.run().map_err(|error| error.to_string())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            commands::tell(&Event::Failed { why });
            ExitCode::FAILURE
        }
    }
}

impl Worker {
    /// The loop: wait, receive, obey, time out, dial, publish, tell.
    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_WAIT);
        while !self.has_quit {
            let timeout = self.arm_timer()?;
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                outcome => outcome?,
            }
            for event in &events {
                match event.token() {
                    WAKER | TIMER => {}
                    Token(key) => self.handle_event(key, event),
                }
            }
            while let Ok(command) = self.commands.try_recv() {
                self.obey(command);
            }
            let now = self.clock.now();
            self.expire(now);
            self.dial(now);
            self.publish(now);
            self.tell_progress(now);
        }
        Ok(())
    }

    fn handle_event(&mut self, key: usize, event: &mio::event::Event) {
        if event.is_writable() || event.is_error() {
            self.handle_writable(key);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.receive(key, event.is_read_closed() || event.is_error());
        }
    }

    /// Sets the timer to the next thing to do; no wait at all if that is now.
    fn arm_timer(&mut self) -> io::Result<Option<Duration>> {
        let now = self.clock.now();
        let progress_at = self.told_at_ns + PROGRESS_INTERVAL_NS;
        let due = [Some(progress_at), self.next_dial(), self.next_publication(), self.resumed_at_ns];
        let next = due.into_iter().flatten().min().unwrap_or(progress_at);
        if next <= now {
            return Ok(Some(Duration::ZERO));
        }
        if next != self.timer_at_ns {
            let at = TimeSpec::from_duration(Duration::from_nanos(next));
            self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
            self.timer_at_ns = next;
        }
        Ok(None)
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Connect { up_to_permille, per_second } => self.connect(up_to_permille, per_second),
            Command::Round(round) => self.begin_round(round),
            Command::Go { start_ns, end_ns } => self.go(start_ns, end_ns),
            Command::Stop => {
                if let Some(round) = &mut self.round {
                    round.stop();
                }
            }
            Command::Collect => {
                let Some(round) = self.round.take() else { return };
                self.dialler.stop_churn();
                self.remove_churn();
                let failures = std::mem::take(&mut self.failures);
                commands::tell(&Event::Ended(Box::new(round.into_ended(&self.clock, failures))));
            }
            Command::Drop { permille, still_counts } => self.drop_readers(permille, still_counts),
            Command::Stall { permille } => self.stall(permille),
            Command::Resume => self.resume(),
            Command::Quit => self.has_quit = true,
        }
    }

    fn begin_round(&mut self, plan: Round) {
        let mut readers = vec![0_u32; self.plan.topics as usize];
        let mut echoers = Vec::new();
        for (key, conn) in &mut self.conns {
            (conn.last_seq, conn.is_pinged) = (0, false);
            if conn.who.kind != Kind::Reader || conn.phase != Phase::Open || conn.is_stalled || !conn.who.is_counted {
                continue;
            }
            echoers.push(key);
            if let Some(count) = readers.get_mut(conn.who.slot as usize) {
                *count += 1;
            }
        }
        let mut round = RoundState::new(plan, self.plan.topics);
        let sends_to_topics =
            matches!(plan.traffic, Traffic::Rate { .. } | Traffic::Window { .. } | Traffic::Own { .. });
        if !sends_to_topics || echoers.is_empty() {
            readers.clear();
        }
        if matches!(plan.traffic, Traffic::Echo { .. }) {
            round.echoers = echoers;
        }
        self.round = Some(round);
        commands::tell(&Event::Started { readers });
    }

    /// Every worker counts: the round has its time.
    fn go(&mut self, start_ns: u64, end_ns: u64) {
        let Some(mut round) = self.round.take() else { return };
        (round.plan.start_ns, round.plan.end_ns) = (start_ns, end_ns);
        self.begin_publishing(&mut round);
        self.round = Some(round);
    }

    /// Open readers, the counted ones first.
    fn first_readers(&self, permille: u32) -> Vec<usize> {
        let count = share_of(self.open, permille) as usize;
        let open = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.who.kind == Kind::Reader && conn.phase == Phase::Open && !conn.is_stalled);
        open.take(count).map(|(key, _)| key).collect()
    }

    fn stall(&mut self, permille: u32) {
        for key in self.first_readers(permille) {
            let Some(conn) = self.conns.get_mut(key) else { continue };
            if self.poll.registry().deregister(&mut conn.stream).is_ok() {
                conn.is_stalled = true;
            }
        }
    }

    fn resume(&mut self) {
        self.stalled_closed = 0;
        for (key, conn) in &mut self.conns {
            if conn.is_stalled {
                // An edge comes at once if there is anything to read.
                let _ = self.poll.registry().register(&mut conn.stream, Token(key), INTEREST);
            }
        }
        self.resumed_at_ns = Some(self.clock.now() + RESUME_NS);
    }

    fn tell_progress(&mut self, now: u64) {
        if self.resumed_at_ns.is_some_and(|at| at <= now) {
            self.resumed_at_ns = None;
            let still = self.conns.iter().filter(|(_, conn)| conn.is_stalled).count() as u32;
            commands::tell(&Event::Resumed { stalled: still + self.stalled_closed, closed: self.stalled_closed });
        }
        if now < self.told_at_ns + PROGRESS_INTERVAL_NS {
            return;
        }
        self.told_at_ns = now;
        let (delivered, published) =
            self.round.as_ref().map_or((0, 0), |round| (round.delivered, round.published.iter().sum()));
        commands::tell(&Event::Progress(Progress {
            open: self.open,
            handshakes: self.dialler.handshakes,
            delivered,
            published,
            failed: self.failed,
        }));
    }

    /// Writes what was put into `scratch`, or keeps it until the socket takes it.
    fn send_scratch(&mut self, key: usize) {
        let bytes = std::mem::take(&mut self.scratch);
        self.send(key, &bytes);
        self.scratch = bytes;
        self.scratch.clear();
    }

    /// Writes to the socket, or keeps it until the socket takes it.
    fn send_raw(&mut self, key: usize, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let mut rest = bytes;
        while conn.held.is_none() && !rest.is_empty() {
            match conn.stream.write(rest) {
                Ok(len) => rest = rest.get(len..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.lose(key, socket::kind_of(&error)),
            }
        }
        if rest.is_empty() {
            return;
        }
        let held = conn.held.get_or_insert_default();
        held.extend_from_slice(rest);
        // A publisher is asked before it sends more; what else it has to say is an answer here and there.
        if held.len() > 2 * conn::HELD_LEN_MAX {
            self.lose(key, "server_does_not_read");
        }
    }

    /// The socket takes bytes again, or for the first time.
    fn handle_writable(&mut self, key: usize) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        if conn.phase == Phase::Connecting {
            return self.connected(key);
        }
        // While it is upgraded, what is held came from the server.
        if conn.phase == Phase::Upgrading {
            return;
        }
        if let Some(held) = conn.held.take() {
            self.send_raw(key, &held);
        }
    }
}

const EVENTS_PER_WAIT: usize = 1024;

const PROGRESS_INTERVAL_NS: u64 = 50 * NANOS_PER_MILLI;

/// How long stalled readers are read again before it is told how many were closed.
const RESUME_NS: u64 = 1_000 * NANOS_PER_MILLI;
