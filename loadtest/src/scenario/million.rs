//! `million`: as many connections as there can be, each with the shared topic and one of its own, through all that a day
//! brings: silence, news for everybody, news for one, a tenth that drops and comes back, and the end.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::memory::Readings;
use super::record::{connect_up_to, headline, percentiles_of, record_round};
use super::run::Run;
use crate::fleet::Fleet;
use crate::measure::gateway;
use crate::measure::host;
use crate::measure::process::{Cpu, pss_of_all};
use crate::protocol::{Command, Traffic, share_of};
use crate::report::{Left, Report, Storm};

/// The phases of `million`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Million {
    /// How long nothing is said.
    pub idle_ms: u64,
    /// Messages to all, one after the other, before and after the rest.
    pub broadcasts: u32,
    /// How long they are kept then.
    pub keep_ms: u64,
    /// Messages to own topics meanwhile, a second.
    pub per_second: f64,
    /// From one message to all to the next, meanwhile; 0 is none.
    pub broadcast_ms: u64,
    /// Of each thousand, how many are dropped at once.
    pub permille: u32,
    /// Every connection has to be pinged while they are kept.
    pub is_pinged: bool,
}

pub(super) fn run(run: &Run, fleet: &mut Fleet, report: &mut Report, phases: Million) {
    if !ramp(run, fleet, report) {
        return;
    }
    let idle = fleet.round("idle", Traffic::Silence, phases.idle_ms);
    record_round(report, "idle", Traffic::Silence, &idle);
    if let Some(memory) = &mut report.memory {
        memory.idle_cpu_share = report.rounds.last().and_then(|round| round.server_cpu_share);
    }
    broadcasts(fleet, report, phases.broadcasts);
    headline(report, 1);
    if fleet.is_interrupted() {
        return;
    }
    keep(run, fleet, report, phases);
    if fleet.is_interrupted() || phases.permille == 0 {
        return;
    }
    drop_and_return(run, fleet, report, phases.permille);
    broadcasts(fleet, report, phases.broadcasts);
}

/// Opens all connections, in steps, for as long as there is memory for the next; whether there is anything to measure.
fn ramp(run: &Run, fleet: &mut Fleet, report: &mut Report) -> bool {
    // Without the time in which memory is read and the next step thought over.
    let mut took_ns = 0;
    let mut readings = Readings::default();
    let mut handshake = crate::latency::Latencies::default();
    let steps = if run.connections < MANY { STEPS } else { 4 * STEPS };
    for step in 1..=steps {
        let needs = u64::from(run.connections.div_ceil(steps)) * PAIR_LEN;
        let is_short = |(total, available): (u64, u64)| available < needs + (total / 10).min(RESERVE_MAX);
        if host::read().is_some_and(is_short) {
            let open = report.connections.as_ref().map_or(0, |connections| connections.open);
            report.errors.add_n("no_memory_for", u64::from(run.connections).saturating_sub(open));
            break;
        }
        let began_ns = fleet.now();
        let (connected, is_ready) = connect_up_to(run, fleet, report, step * 1000 / steps);
        handshake.merge(&connected.handshake);
        if !is_ready {
            return false;
        }
        // Half of them and all of them, as in `hold`.
        if step * 2 == steps || step == steps {
            readings.take(run, fleet, report);
        }
        let Some(connections) = &mut report.connections else { return false };
        took_ns += connected.last_ready_ns.saturating_sub(began_ns);
        connections.per_second = connections.open as f64 * 1e9 / took_ns.max(1) as f64;
        connections.handshake = handshake.percentiles();
    }
    // A failed connection stays an error, but the rest of the run needs all connections.
    let is_short = |report: &Report| report.connections.as_ref().is_some_and(|told| told.open < told.asked);
    for _ in 0..TRIES {
        if is_short(report) && !report.errors.0.contains_key("no_memory_for") {
            let before = report.connections.clone();
            connect_up_to(run, fleet, report, 1000);
            // The rate is that of all.
            if let (Some(told), Some(before)) = (&mut report.connections, before) {
                (told.per_second, told.handshake) = (before.per_second, before.handshake);
            }
        }
    }
    readings.tell(run, report);
    report.connections.is_some() && !fleet.is_interrupted()
}

/// Messages to all, each when the one before has arrived.
fn broadcasts(fleet: &mut Fleet, report: &mut Report, count: u32) {
    let traffic = Traffic::Rate { per_second: 1.0, batch: 1 };
    for _ in 0..count {
        if fleet.is_interrupted() {
            break;
        }
        let outcome = fleet.round("broadcast", traffic, 1_000);
        record_round(report, "broadcast", traffic, &outcome);
    }
}

/// Messages to own topics for as long as they are kept.
fn keep(run: &Run, fleet: &mut Fleet, report: &mut Report, phases: Million) {
    // A reader that is not connected misses the messages to it.
    let open = report.connections.as_ref().map_or(0, |connections| connections.open);
    let per_second = if open == u64::from(run.connections) { phases.per_second } else { 0.0 };
    let traffic = Traffic::Own { per_second, readers: run.connections, broadcast_ms: phases.broadcast_ms };
    let outcome = fleet.round("keep", traffic, phases.keep_ms);
    record_round(report, "keep", traffic, &outcome);
    report.errors.add_n("strays", outcome.ended.own.strays);
    report.errors.add_n("duplicates", outcome.ended.own.duplicates + outcome.ended.duplicates);
    if phases.is_pinged && !fleet.is_interrupted() {
        report.errors.add_n("not_pinged", open.saturating_sub(outcome.ended.pinged));
    }
}

/// Resets a share at once and waits until it is back.
fn drop_and_return(run: &Run, fleet: &mut Fleet, report: &mut Report, permille: u32) {
    let open = report.connections.as_ref().map_or(0, |connections| connections.open);
    let cpu = Cpu::of_all(&run.pids);
    let dropped_ns = fleet.now();
    fleet.tell(&Command::Drop { permille, still_counts: true });
    let connected = fleet.hear_connected();
    let cpu_ns = cpu.zip(Cpu::of_all(&run.pids)).map(|(then, now)| now.since(then).ran_ns);
    let dropped = u64::from(share_of(open as u32, permille));
    let returned = (u64::from(connected.open) + dropped).saturating_sub(open);
    let is_recovered = u64::from(connected.open) >= open;
    report.storm = Some(Storm {
        dropped,
        returned,
        recovery_ms: is_recovered.then(|| connected.last_ready_ns.saturating_sub(dropped_ns) as f64 / 1e6),
        handshake: percentiles_of(&connected),
        server_cpu_ns: cpu_ns,
        refused: connected.failures,
        ..Storm::default()
    });
    if !is_recovered {
        report.errors.add_n("not_recovered", open - u64::from(connected.open));
    }
    fleet.wait(run.settle_ms);
}

/// Asks the server, whose clients are gone, until it has nothing left of them.
pub(super) fn look_back(run: &Run, report: &mut Report) {
    let began = Instant::now();
    let mut left = None;
    for target in run.targets.iter().filter(|target| !target.is_secure) {
        let of_target = loop {
            let told = gateway::ask(target.addr, &target.host);
            let is_over = began.elapsed() > LEAVE_TIMEOUT;
            match told {
                Ok(told) if is_over || has_nothing(&told) => break Some(told),
                // One that is busy may answer later.
                Err(error) if is_over || !is_timeout(&error) => break None,
                _ => thread::sleep(LOOK_INTERVAL),
            }
        };
        let Some(of_target) = of_target else {
            report.errors.add("no_metrics");
            continue;
        };
        report.errors.add_n("connections_left", of_target.connections);
        report.errors.add_n("subscriptions_left", of_target.subscriptions);
        report.errors.add_n("memory_left", of_target.held());
        add(left.get_or_insert_default(), of_target);
    }
    if let Some(left) = &mut left {
        left.after_ms = began.elapsed().as_secs_f64() * 1e3;
        left.pss = pss_of_all(&run.pids);
    }
    report.left = left;
    report.is_ok &= report.errors.0.is_empty();
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn has_nothing(left: &Left) -> bool {
    left.connections == 0 && left.subscriptions == 0 && left.held() == 0
}

fn add(sum: &mut Left, left: Left) {
    sum.connections += left.connections;
    sum.subscriptions += left.subscriptions;
    sum.topics += left.topics;
    for (class, bytes) in left.memory {
        *sum.memory.entry(class).or_default() += bytes;
    }
}

/// Steps of the ramp, and four times as many for this many connections.
const STEPS: u32 = 10;
const MANY: u32 = 500_000;

/// How often connections that could not be opened are tried again.
const TRIES: u32 = 3;

/// Bytes of a connection: both ends of a loopback pair, and what server and client have of it.
const PAIR_LEN: u64 = 10 * 1024;

/// Bytes of the host's memory that stay free for messages on their way, at most.
const RESERVE_MAX: u64 = 1536 * 1024 * 1024;

/// How long a server may take to notice that its clients are gone.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(120);

const LOOK_INTERVAL: Duration = Duration::from_millis(100);
