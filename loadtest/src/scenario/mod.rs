//! The scenarios: one file each, each a short conversation with the fleet.
//!
//! A scenario opens connections, runs rounds and fills a report. What this room must never know: sockets, frames, and
//! how a report looks. Tests: `tests/scenarios.rs`, end to end.

mod connect;
mod echo;
mod fanout;
mod hold;
mod memory;
mod million;
mod ramp;
mod record;
mod run;
mod stall;
mod storm;

use std::io;
use std::net::{IpAddr, Ipv4Addr};

pub use self::million::Million;
pub use self::run::Run;
use crate::clock::unix_ms;
use crate::fleet::Fleet;
use crate::measure;
use crate::plan::preset::own_topic;
use crate::plan::{Preset, Server, Target, WorkerPlan, deal};
use crate::protocol::Traffic;
use crate::report::{CLIENT_SHARE_MAX, Report, RoundReport, Settings};

/// The scenario.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scenario {
    /// Connections that do nothing.
    Hold {
        /// How long.
        duration_ms: u64,
        /// Messages to all of them at the end, one a second.
        broadcasts: u32,
    },
    /// Connections with a topic of their own beside the shared one: held, pinged, told things, dropped and back.
    Million(Million),
    /// Messages from publishers to readers.
    Fanout {
        /// A rate or a window.
        traffic: Traffic,
        /// How long.
        duration_ms: u64,
    },
    /// Messages that come back.
    Echo {
        /// In flight on each connection.
        depth: u32,
        /// Messages a second over all connections; 0 for a closed loop.
        per_second: f64,
        /// How long.
        duration_ms: u64,
    },
    /// Opening handshakes.
    Connect {
        /// A second; 0 is as fast as it goes.
        per_second: f64,
        /// How long.
        duration_ms: u64,
    },
    /// A share drops and comes back at once, while messages go on.
    Storm {
        /// Of each thousand readers.
        permille: u32,
        /// Messages a second.
        per_second: f64,
        /// How long each of the two rounds is at least.
        duration_ms: u64,
    },
    /// A share stops reading, while messages go on.
    Stall {
        /// Of each thousand readers.
        permille: u32,
        /// Messages a second.
        per_second: f64,
        /// How long each of the two rounds is.
        duration_ms: u64,
    },
    /// Ever more messages, until it is too slow.
    Ramp {
        /// The first rate, in messages a second.
        from: f64,
        /// From one rate to the next.
        factor: f64,
        /// The bound on p99, in microseconds.
        bound_us: f64,
        /// How long each step is.
        duration_ms: u64,
    },
}

impl Scenario {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hold { .. } => "hold",
            Self::Million(_) => "million",
            Self::Fanout { .. } => "fanout",
            Self::Echo { .. } => "echo",
            Self::Connect { .. } => "connect",
            Self::Storm { .. } => "storm",
            Self::Stall { .. } => "stall",
            Self::Ramp { .. } => "ramp",
        }
    }

    fn settings(&self) -> Settings {
        let of_duration = |duration_ms| Settings { duration_ms, ..Settings::default() };
        let positive = |rate: f64| (rate > 0.0).then_some(rate);
        match *self {
            Self::Hold { duration_ms, .. } => of_duration(duration_ms),
            Self::Million(Million { keep_ms, per_second, permille, .. }) => {
                let share = Some(f64::from(permille) / 1e3);
                Settings { share, rate: Some(per_second), ..of_duration(keep_ms) }
            }
            Self::Fanout { traffic: Traffic::Window { len, .. }, duration_ms } => {
                Settings { window: Some(len), ..of_duration(duration_ms) }
            }
            Self::Fanout { traffic: Traffic::Rate { per_second, batch }, duration_ms } => {
                Settings { rate: Some(per_second), batch: Some(batch), ..of_duration(duration_ms) }
            }
            Self::Fanout { duration_ms, .. } => of_duration(duration_ms),
            Self::Echo { depth, per_second, duration_ms } => {
                Settings { depth: Some(depth), rate: positive(per_second), ..of_duration(duration_ms) }
            }
            Self::Connect { per_second, duration_ms } => {
                Settings { rate: positive(per_second), ..of_duration(duration_ms) }
            }
            Self::Storm { permille, per_second, duration_ms } | Self::Stall { permille, per_second, duration_ms } => {
                let share = Some(f64::from(permille) / 1e3);
                Settings { share, rate: Some(per_second), ..of_duration(duration_ms) }
            }
            Self::Ramp { from, duration_ms, .. } => Settings { rate: Some(from), ..of_duration(duration_ms) },
        }
    }

    /// Whether publishers need a process of their own, so that reading does not make them late.
    fn has_open_loop(&self) -> bool {
        !matches!(self, Self::Fanout { traffic: Traffic::Window { .. }, .. } | Self::Echo { .. } | Self::Connect { .. })
    }

    fn publishers(&self, run: &Run) -> u32 {
        match self {
            Self::Echo { .. } | Self::Connect { .. } | Self::Hold { broadcasts: 0, .. } => 0,
            _ => run.publishers,
        }
    }
}

/// Runs a scenario to its end, or to Ctrl-C.
///
/// # Errors
/// If the client itself cannot work: no process can be started.
pub fn run(run: &Run, scenario: &Scenario) -> io::Result<Report> {
    let plans = plans(run, scenario);
    let mut report = Report {
        scenario: scenario.name().to_owned(),
        label: run.label.clone(),
        tool: concat!("fanwire-load ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: run.command.clone(),
        url: run.url.clone(),
        preset: run.preset.name().to_owned(),
        began_unix_ms: unix_ms(),
        server: server_of(run),
        kernel: measure::kernel(),
        processor: measure::processor(),
        memory_len: measure::host::read().map(|(total, _)| total),
        client_cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        settings: Settings {
            connections: run.connections,
            workers: plans.len() as u32,
            topics: run.topics,
            publishers: scenario.publishers(run),
            size: run.payload_len,
            ..scenario.settings()
        },
        ..Report::default()
    };
    let mut fleet = Fleet::start(&plans, &run.pids, run.stall_timeout_ms, run.is_quiet)?;
    match *scenario {
        Scenario::Hold { duration_ms, broadcasts } => hold::run(run, &mut fleet, &mut report, duration_ms, broadcasts),
        Scenario::Million(phases) => million::run(run, &mut fleet, &mut report, phases),
        Scenario::Fanout { traffic, duration_ms } => fanout::run(run, &mut fleet, &mut report, traffic, duration_ms),
        Scenario::Echo { depth, per_second, duration_ms } => {
            echo::run(run, &mut fleet, &mut report, Traffic::Echo { depth, per_second }, duration_ms);
        }
        Scenario::Connect { per_second, duration_ms } => {
            connect::run(run, &mut fleet, &mut report, per_second, duration_ms);
        }
        Scenario::Storm { permille, per_second, duration_ms } => {
            storm::run(run, &mut fleet, &mut report, permille, per_second, duration_ms);
        }
        Scenario::Stall { permille, per_second, duration_ms } => {
            stall::run(run, &mut fleet, &mut report, permille, per_second, duration_ms);
        }
        Scenario::Ramp { from, factor, bound_us, duration_ms } => {
            ramp::run(run, &mut fleet, &mut report, ramp::Steps { from, factor, bound_us, duration_ms });
        }
    }
    conclude(run, scenario, &fleet, &mut report);
    drop(fleet);
    if matches!(scenario, Scenario::Million(_)) {
        million::look_back(run, &mut report);
    }
    Ok(report)
}

/// The version that the server reports: asked only if a flag says that it is a gateway, and on this host.
fn server_of(run: &Run) -> Option<String> {
    let is_gateway = matches!(run.preset, Preset::Fanwire | Preset::FanwireJson | Preset::FanwireOwn);
    let target = run.targets.first().filter(|target| is_gateway && !run.pids.is_empty() && !target.is_secure)?;
    measure::gateway::version(target.addr, &target.host)
}

/// The task of each worker. A closed window is sent by the first reader's process, which knows when it has arrived; an
/// open loop by a process of its own, which is not held up by reading.
fn plans(run: &Run, scenario: &Scenario) -> Vec<WorkerPlan> {
    let readers = if matches!(scenario, Scenario::Connect { .. }) { 0 } else { run.connections };
    let mut shares = deal(readers, run.per_worker_max, run.workers_min, address_of(&run.targets), &run.sources);
    let publishers = scenario.publishers(run);
    let has_own = publishers > 0 && scenario.has_open_loop();
    let publisher = if has_own { shares.len() } else { 0 };
    if has_own {
        // Its sources are those of the first worker: there are ports enough for a few more.
        shares.extend(shares.first().cloned().map(|share| crate::plan::Share { readers: 0..0, ..share }));
    }
    let servers: Vec<Server> =
        run.targets.iter().map(|target| Server { addr: target.addr, host: target.host.clone() }).collect();
    let run_number = fastrand::Rng::with_seed(run.seed).u32(..);
    let concurrency = run.concurrency.div_ceil(shares.len().max(1) as u32).max(1);
    let plan = |(index, share): (usize, crate::plan::Share)| WorkerPlan {
        index: index as u32,
        run: run_number,
        seed: run.seed,
        servers: servers.clone(),
        trust: run.trust.clone(),
        dialogue: run.dialogue.clone(),
        is_echo: matches!(scenario, Scenario::Echo { .. }),
        topics: run.topics,
        topic: run.topic.clone(),
        own_topic: own_topic(),
        payload_len: run.payload_len,
        readers: share.readers,
        publishers: if index == publisher { 0..publishers } else { 0..0 },
        publishers_count: publishers,
        sources: share.sources,
        concurrency,
        handshake_timeout_ms: run.handshake_timeout_ms,
        stall_timeout_ms: run.stall_timeout_ms,
    };
    shares.into_iter().enumerate().map(plan).collect()
}

/// What decides on source addresses: the first server that is not on loopback, as those of loopback lead nowhere else.
fn address_of(targets: &[Target]) -> IpAddr {
    let addresses = || targets.iter().map(|target| target.addr.ip());
    addresses().find(|address| !address.is_loopback()).or(addresses().next()).unwrap_or(Ipv4Addr::LOCALHOST.into())
}

/// The last words: what was lost, what to keep in mind, whether it worked.
fn conclude(run: &Run, scenario: &Scenario, fleet: &Fleet, report: &mut Report) {
    report.errors.merge(fleet.failures());
    report.samples = fleet.samples().to_vec();
    report.is_interrupted = fleet.is_interrupted();
    let open = report.connections.as_ref().map_or(0, |connections| connections.open);
    let asked = report.connections.as_ref().map_or(0, |connections| connections.asked);
    if open < asked && report.errors.0.is_empty() && !report.is_interrupted {
        report.errors.add_n("not_connected", asked - open);
    }
    let reach_min = match scenario {
        // The last step of a ramp is meant to break.
        Scenario::Ramp { .. } => 0.0,
        // Everybody is everybody.
        Scenario::Million(_) => 1.0,
        _ => run.reach_min,
    };
    for round in &report.rounds {
        if round.reach.is_some_and(|reach| reach < reach_min) && !report.is_interrupted {
            report.errors.add_n("not_delivered", round.expected - round.deliveries.min(round.expected));
        }
    }
    if matches!(scenario, Scenario::Connect { .. }) && report.rounds.iter().all(|round| round.handshakes == 0) {
        report.errors.add("no_handshake");
    }
    report.is_ok = report.errors.0.is_empty() && !report.is_interrupted;
    warn(run, scenario, report);
}

fn warn(run: &Run, scenario: &Scenario, report: &mut Report) {
    let mut warnings = Vec::new();
    let busiest = report.rounds.iter().map(|round| round.client_cpu_share).fold(0.0, f64::max);
    if busiest > CLIENT_SHARE_MAX {
        warnings.push(format!(
            "a client process used {:.0} % of its core: past {:.0} % the client is what was measured; more --workers \
             help where there are cores for them",
            busiest * 100.0,
            CLIENT_SHARE_MAX * 100.0
        ));
    }
    let all = report.rounds.iter().map(|round| round.client_cpu_cores).fold(0.0, f64::max);
    if all > CLIENT_SHARE_MAX * f64::from(report.client_cores) {
        warnings.push(format!("all client processes together used {all:.2} of {} cores", report.client_cores));
    }
    let waited = report.rounds.iter().map(|round| round.client_waited_share).fold(0.0, f64::max);
    if waited > WAITED_SHARE_MAX {
        warnings.push(format!(
            "client processes, taken together, waited for a core {:.0} % of the time: others run on theirs, and latencies \
             show it",
            waited * 100.0
        ));
    }
    let late = report.rounds.iter().filter_map(|round| round.lateness).map(|told| told.p99_us).fold(0.0, f64::max);
    let told = report.p99_us.unwrap_or(0.0);
    if late > 1_000.0 && late > told / 2.0 {
        warnings.push(format!("the client itself sent up to {late:.0} us late (p99): latencies are its own in part"));
    }
    if matches!(scenario, Scenario::Fanout { traffic: Traffic::Window { .. }, .. }) && report.settings.workers > 1 {
        warnings.push("the window counts the readers of the publisher's process only".to_owned());
    }
    if run.pids.is_empty() {
        warnings.push("without --pid the server's CPU and memory are unknown".to_owned());
    } else if report.rounds.iter().any(|round| round.server_cpu_ns.is_none()) {
        warnings.push("a process given by --pid is gone".to_owned());
    } else if report.rounds.iter().any(|round| round.deliveries + round.handshakes > 0 && is_idle(round)) {
        warnings.push("the processes given by --pid did next to nothing: are they the server?".to_owned());
    }
    let sum = |of: fn(&RoundReport) -> Option<u64>| report.rounds.iter().filter_map(of).sum::<u64>();
    let (duplicates, out_of_order) = (sum(|round| round.duplicates), sum(|round| round.out_of_order));
    if duplicates + out_of_order > 0 {
        warnings.push(format!(
            "{duplicates} messages came twice and {out_of_order} out of order; both count as deliveries, so that reach \
             says less than it seems to"
        ));
    }
    report.warnings = warnings;
}

/// Whether the server's processes used less CPU than any delivery or handshake can cost.
fn is_idle(round: &RoundReport) -> bool {
    let count = round.deliveries + round.handshakes;
    round.server_cpu_ns.is_some_and(|ns| ns < count * CPU_NS_MIN)
}

/// Nanoseconds of CPU that a delivery costs at least, in any server: copying it into a socket takes longer.
const CPU_NS_MIN: u64 = 10;

/// Client processes have not enough of a core past this share of waiting for one.
const WAITED_SHARE_MAX: f64 = 0.1;
