//! The parent's side of the worker processes: starting them, telling them what to do, hearing what came of it.
//!
//! A worker that ends without being asked to counts as the failure `worker_lost`, and the rest goes on. Nothing waits
//! for ever: every wait ends with an answer, with silence for longer than the stall time-out, or with Ctrl-C.

mod handle;
mod outcome;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use self::handle::Handle;
pub use self::handle::WORKER_COMMAND;
pub use self::outcome::{ELAPSED_NS_MIN, Outcome};
use crate::clock::{Clock, MonotonicClock, NANOS_PER_MILLI, NANOS_PER_SECOND};
use crate::latency::Latencies;
use crate::measure::process::{Cpu, pss_of_all};
use crate::plan::WorkerPlan;
use crate::progress::ProgressLine;
use crate::protocol::{Command, Connected, Event, Failures, Progress, Round, Traffic};
use crate::report::Sample;

/// All workers of a run.
#[derive(Debug)]
pub struct Fleet {
    workers: Vec<Handle>,
    events: Receiver<(usize, Option<Event>)>,
    clock: MonotonicClock,
    interrupt: Arc<AtomicBool>,
    line: ProgressLine,
    /// The server's processes.
    pids: Vec<u32>,
    stall_timeout_ns: u64,
    rounds: u16,
    /// Failures of workers that were lost, and of commands that did not reach one.
    failures: Failures,
    /// Of rounds that are over.
    delivered_before: u64,
    published_before: u64,
    began_ns: u64,
    samples: Vec<Sample>,
    sampled_ns: u64,
    sample_interval_ns: u64,
    pss_sampled_ns: u64,
    pss: Option<u64>,
}

/// A round that has begun.
#[derive(Debug)]
pub struct Running {
    plan: Round,
    /// Readers by topic.
    readers: Vec<u64>,
    server_at_start: Option<Cpu>,
}

impl Fleet {
    /// Starts one worker for each plan.
    ///
    /// # Errors
    /// If a process cannot be started. Those that were are ended.
    pub fn start(plans: &[WorkerPlan], pids: &[u32], stall_timeout_ms: u64, is_quiet: bool) -> io::Result<Self> {
        let interrupt = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // The second one ends the program at once.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&interrupt))?;
            signal_hook::flag::register(signal, Arc::clone(&interrupt))?;
        }
        let (sender, events) = channel();
        let clock = MonotonicClock;
        let mut fleet = Self {
            workers: Vec::with_capacity(plans.len()),
            events,
            interrupt,
            line: ProgressLine::new(is_quiet),
            pids: pids.to_vec(),
            stall_timeout_ns: stall_timeout_ms * NANOS_PER_MILLI,
            rounds: 0,
            failures: Failures::default(),
            delivered_before: 0,
            published_before: 0,
            began_ns: clock.now(),
            samples: Vec::new(),
            sampled_ns: 0,
            sample_interval_ns: SAMPLE_INTERVAL_NS,
            pss_sampled_ns: 0,
            pss: None,
            clock,
        };
        for plan in plans {
            let handle = Handle::start(plan, fleet.workers.len(), sender.clone())?;
            fleet.workers.push(handle);
        }
        Ok(fleet)
    }

    /// Whether Ctrl-C was pressed.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }

    /// The worker processes.
    #[must_use]
    pub fn workers_count(&self) -> usize {
        self.workers.len()
    }

    /// Their process ids.
    #[must_use]
    pub fn worker_pids(&self) -> Vec<u32> {
        self.workers.iter().filter(|worker| !worker.is_lost).map(|worker| worker.child.id()).collect()
    }

    /// Opens readers up to a share of all, and publishers. `asked` is how many readers that makes.
    pub fn connect(&mut self, up_to_permille: u32, per_second: f64, asked: u64) -> Connected {
        self.line.begin("connect", asked);
        let workers = self.workers.len().max(1) as f64;
        self.tell(&Command::Connect { up_to_permille, per_second: per_second / workers });
        self.hear_connected()
    }

    /// Waits for the answers to a [`Command::Connect`] or [`Command::Drop`].
    pub fn hear_connected(&mut self) -> Connected {
        let (mut position, mut moved_ns) = (0, self.clock.now());
        while !self.have(|worker| worker.connected.is_some()) && !self.is_interrupted() {
            self.pump();
            let progress = self.sum();
            let now = self.clock.now();
            self.line.show(
                u64::from(progress.open),
                u64::from(progress.open),
                self.rate(|p| p.handshakes),
                progress.failed,
            );
            // Workers have the same time-out; this one is for workers that do not.
            let at = progress.handshakes + progress.failed;
            if at != position {
                (position, moved_ns) = (at, now);
            } else if now > moved_ns + 3 * self.stall_timeout_ns + NANOS_PER_SECOND {
                self.failures.add("worker_silent");
                break;
            }
        }
        let mut sum = Connected::default();
        let mut handshake = Latencies::default();
        for worker in &mut self.workers {
            let Some(connected) = worker.connected.take() else { continue };
            sum.open += connected.open;
            sum.publishers += connected.publishers;
            handshake.merge(&connected.handshake);
            sum.failures.merge(&connected.failures);
            sum.last_ready_ns = sum.last_ready_ns.max(connected.last_ready_ns);
            sum.cpu_ns += connected.cpu_ns;
        }
        if self.is_interrupted() {
            sum.open = self.sum().open;
        }
        sum.handshake = handshake.buckets();
        sum
    }

    /// Tells every worker.
    pub fn tell(&mut self, command: &Command) {
        let mut line = serde_json::to_vec(command).expect("a command is data");
        line.push(b'\n');
        for worker in &mut self.workers {
            if let Some(input) = &mut worker.input
                && input.write_all(&line).and_then(|()| input.flush()).is_err()
            {
                // Its end is heard through the other pipe.
                worker.input = None;
            }
        }
    }

    /// Lets time pass, in which what workers say is heard.
    pub fn wait(&mut self, duration_ms: u64) {
        let until = self.clock.now() + duration_ms * NANOS_PER_MILLI;
        while self.clock.now() < until && !self.is_interrupted() {
            self.pump();
        }
    }

    /// A whole round: begin, wait for the end, collect.
    pub fn round(&mut self, name: &str, traffic: Traffic, duration_ms: u64) -> Outcome {
        let running = self.begin(name, traffic, duration_ms);
        self.finish(running)
    }

    /// Begins a round.
    pub fn begin(&mut self, name: &str, traffic: Traffic, duration_ms: u64) -> Running {
        self.rounds += 1;
        for worker in &mut self.workers {
            (worker.started, worker.published, worker.ended) = (None, None, None);
            (worker.progress.delivered, worker.progress.published) = (0, 0);
        }
        self.line.begin(name, duration_ms);
        let announced = Round { number: self.rounds, start_ns: u64::MAX, end_ns: u64::MAX, traffic };
        self.tell(&Command::Round(announced));
        let until = self.clock.now() + self.stall_timeout_ns;
        while !self.have(|worker| worker.started.is_some()) && self.clock.now() < until && !self.is_interrupted() {
            self.pump();
        }
        let start_ns = self.clock.now() + LEAD_NS;
        let end_ns = start_ns + duration_ms * NANOS_PER_MILLI;
        let plan = Round { start_ns, end_ns, ..announced };
        let server_at_start = Cpu::of_all(&self.pids);
        self.tell(&Command::Go { start_ns, end_ns });
        let mut readers = Vec::new();
        for worker in &self.workers {
            let of_worker = worker.started.iter().flatten().copied().map(u64::from);
            add_each(&mut readers, of_worker);
        }
        Running { plan, readers, server_at_start }
    }

    /// Waits until everything is sent and received, or nothing more comes, and adds up what workers counted.
    pub fn finish(&mut self, running: Running) -> Outcome {
        let end_ns = running.plan.end_ns;
        while !self.have(|worker| worker.published.is_some()) {
            if self.is_interrupted() || self.clock.now() > end_ns + 2 * self.stall_timeout_ns {
                self.tell(&Command::Stop);
                // One that is late is late to hear it, too, and what it sent until then is expected to arrive.
                let patience_ns = if self.is_interrupted() { NANOS_PER_SECOND } else { self.stall_timeout_ns };
                self.pump_until(self.clock.now() + patience_ns, |worker| worker.published.is_some());
                break;
            }
            self.pump();
            self.show_round(&running);
        }
        self.drain(&running);
        let server_cpu = Cpu::of_all(&self.pids);
        let elapsed_ns = self.clock.now().saturating_sub(running.plan.start_ns);
        self.tell(&Command::Collect);
        self.pump_until(self.clock.now() + self.stall_timeout_ns, |worker| worker.ended.is_some());
        let progress = self.sum();
        self.delivered_before += progress.delivered;
        self.published_before += progress.published;
        for worker in &mut self.workers {
            (worker.progress.delivered, worker.progress.published) = (0, 0);
        }
        let mut outcome = Outcome {
            published: self.published().iter().sum::<u64>() + self.own_published(),
            own_published: self.own_published(),
            start_ns: running.plan.start_ns,
            expected: self.expected(&running),
            server_cpu_ns: running.server_at_start.zip(server_cpu).map(|(then, now)| now.since(then).ran_ns),
            elapsed_ns,
            ..Outcome::default()
        };
        for worker in &mut self.workers {
            outcome.add(worker.ended.take());
        }
        outcome
    }

    /// Waits for what is still on its way.
    fn drain(&mut self, running: &Running) {
        let expected = self.expected(running);
        let (mut delivered, mut moved_ns) = (self.sum().delivered, self.clock.now());
        while self.sum().delivered < expected && !self.is_interrupted() {
            self.pump();
            self.show_round(running);
            let (now, sum) = (self.clock.now(), self.sum().delivered);
            if sum != delivered {
                (delivered, moved_ns) = (sum, now);
            } else if now > moved_ns + self.stall_timeout_ns {
                break;
            }
        }
    }

    fn show_round(&self, running: &Running) {
        let progress = self.sum();
        let passed = self.clock.now().saturating_sub(running.plan.start_ns);
        let passed_ms = passed.min(running.plan.end_ns - running.plan.start_ns) / NANOS_PER_MILLI;
        let per_second = match running.plan.traffic {
            Traffic::Handshakes { .. } => self.rate(|p| p.handshakes),
            _ => self.rate(|p| p.delivered),
        };
        self.line.show(passed_ms, u64::from(progress.open), per_second, progress.failed);
    }

    /// Messages by topic, as far as workers have told.
    fn published(&self) -> Vec<u64> {
        let mut sum = Vec::new();
        for worker in &self.workers {
            add_each(&mut sum, worker.published.iter().flat_map(|(messages, _)| messages).copied());
        }
        sum
    }

    /// Messages to readers' own topics, likewise.
    fn own_published(&self) -> u64 {
        self.workers.iter().filter_map(|worker| worker.published.as_ref()).map(|(_, own)| own).sum()
    }

    fn expected(&self, running: &Running) -> u64 {
        let published = self.published();
        match running.plan.traffic {
            Traffic::Silence | Traffic::Handshakes { .. } => 0,
            Traffic::Echo { .. } => published.iter().sum(),
            Traffic::Rate { .. } | Traffic::Window { .. } | Traffic::Own { .. } => {
                let of_topics = published.iter().zip(&running.readers).map(|(messages, readers)| messages * readers);
                of_topics.sum::<u64>() + self.own_published()
            }
        }
    }

    /// Reads from stalled readers again: how many there were, and how many of them the server had closed.
    pub fn resume(&mut self) -> (u32, u32) {
        self.tell(&Command::Resume);
        let until = self.clock.now() + 2 * NANOS_PER_SECOND + self.stall_timeout_ns;
        self.pump_until(until, |worker| worker.resumed.is_some());
        let resumed = self.workers.iter_mut().filter_map(|worker| worker.resumed.take());
        resumed.fold((0, 0), |sum, (stalled, closed)| (sum.0 + stalled, sum.1 + closed))
    }

    /// Failures of lost workers so far.
    #[must_use]
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// How things went over time.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Now, on the clock that stamps are made with.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Whether every worker that lives has said something.
    fn have(&self, said: impl Fn(&Handle) -> bool) -> bool {
        self.workers.iter().all(|worker| worker.is_lost || said(worker))
    }

    fn pump_until(&mut self, until_ns: u64, said: impl Fn(&Handle) -> bool) {
        while !self.have(&said) && self.clock.now() < until_ns {
            self.pump();
        }
    }

    /// Hears what workers say, for a moment, and takes a sample if it is time.
    fn pump(&mut self) {
        match self.events.recv_timeout(PUMP_TIMEOUT) {
            Ok((index, event)) => {
                self.hear(index, event);
                while let Ok((index, event)) = self.events.try_recv() {
                    self.hear(index, event);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            // Every worker is lost and was heard: nothing wakes us any more.
            Err(RecvTimeoutError::Disconnected) => thread::sleep(PUMP_TIMEOUT),
        }
        self.sample();
    }

    fn hear(&mut self, index: usize, event: Option<Event>) {
        let Some(worker) = self.workers.get_mut(index) else { return };
        match event {
            Some(Event::Progress(progress)) => worker.progress = progress,
            Some(Event::Connected(connected)) => worker.connected = Some(connected),
            Some(Event::Started { readers }) => worker.started = Some(readers),
            Some(Event::Published { messages, own }) => worker.published = Some((messages, own)),
            Some(Event::Ended(ended)) => {
                worker.progress.delivered = ended.delivered;
                worker.ended = Some(*ended);
            }
            Some(Event::Resumed { stalled, closed }) => worker.resumed = Some((stalled, closed)),
            Some(Event::Failed { why }) => self.failures.add(&format!("worker: {why}")),
            None => {
                if !std::mem::replace(&mut worker.is_lost, true) {
                    worker.input = None;
                    worker.progress.open = 0;
                    self.failures.add("worker_lost");
                }
            }
        }
    }

    fn sum(&self) -> Progress {
        self.workers.iter().map(|worker| worker.progress).fold(Progress::default(), |sum, progress| Progress {
            open: sum.open + progress.open,
            handshakes: sum.handshakes + progress.handshakes,
            delivered: sum.delivered + progress.delivered,
            published: sum.published + progress.published,
            failed: sum.failed + progress.failed,
        })
    }

    fn sample(&mut self) {
        let now = self.clock.now();
        if now < self.sampled_ns + self.sample_interval_ns {
            return;
        }
        self.sampled_ns = now;
        if !self.pids.is_empty() && now >= self.pss_sampled_ns + PSS_INTERVAL_NS {
            self.pss_sampled_ns = now;
            self.pss = pss_of_all(&self.pids);
        }
        let sum = self.sum();
        if self.samples.len() == SAMPLES_MAX {
            let mut index = 0;
            self.samples.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.sample_interval_ns *= 2;
        }
        self.samples.push(Sample {
            at_ms: now.saturating_sub(self.began_ns) / NANOS_PER_MILLI,
            open: u64::from(sum.open),
            handshakes: sum.handshakes,
            delivered: self.delivered_before + sum.delivered,
            published: self.published_before + sum.published,
            server_pss: self.pss,
        });
    }

    /// How fast something grows, over the last second or so.
    fn rate(&self, of: impl Fn(&Progress) -> u64) -> f64 {
        let of_sample = |sample: &Sample| {
            of(&Progress { handshakes: sample.handshakes, delivered: sample.delivered, ..Progress::default() })
        };
        let Some(last) = self.samples.last() else { return 0.0 };
        let first = self.samples.iter().rev().nth(5).or(self.samples.first()).unwrap_or(last);
        let passed = last.at_ms.saturating_sub(first.at_ms).max(1);
        of_sample(last).saturating_sub(of_sample(first)) as f64 * 1e3 / passed as f64
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.line.end();
        self.tell(&Command::Quit);
        for worker in &mut self.workers {
            worker.input = None;
        }
        let until = self.clock.now() + QUIT_NS;
        for worker in &mut self.workers {
            while self.clock.now() < until && matches!(worker.child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(2));
            }
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}

fn add_each(sum: &mut Vec<u64>, counts: impl Iterator<Item = u64>) {
    for (index, count) in counts.enumerate() {
        match sum.get_mut(index) {
            Some(of_all) => *of_all += count,
            None => sum.push(count),
        }
    }
}

/// From the command to the start of a round, so that all publishers start together.
const LEAD_NS: u64 = 100 * NANOS_PER_MILLI;

const PUMP_TIMEOUT: Duration = Duration::from_millis(20);

const SAMPLE_INTERVAL_NS: u64 = 200 * NANOS_PER_MILLI;

/// Samples of one run; a longer one has fewer a second.
const SAMPLES_MAX: usize = 1200;

/// Reading the memory of a large process takes a while, and holds it up.
const PSS_INTERVAL_NS: u64 = NANOS_PER_SECOND;

/// How long workers may take to quit.
const QUIT_NS: u64 = 3 * NANOS_PER_SECOND;
