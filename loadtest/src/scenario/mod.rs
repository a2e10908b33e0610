//! What is measured: one file a scenario, each a short conversation with the fleet.
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
mod stall;
mod storm;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::fleet::{ELAPSED_NS_MIN, Fleet, Outcome};
use crate::latency::Latencies;
use crate::measure;
use crate::plan::preset::own_topic;
use crate::plan::{Dialogue, Preset, Server, Target, Template, Trust, WorkerPlan, deal};
use crate::protocol::{Connected, Traffic};
use crate::report::{CLIENT_SHARE_MAX, Connections, OwnReport, Report, RoundReport, Settings};

/// What every scenario has to be told, as meant.
#[derive(Clone, Debug)]
pub struct Run {
    /// The URL as it was typed; of several, the first and how many more.
    pub url: String,
    /// The servers, at least one. They hear the same words.
    pub targets: Vec<Target>,
    /// Whom to believe, where connections are secured by TLS.
    pub trust: Option<Trust>,
    /// Whose words are used.
    pub preset: Preset,
    /// The words.
    pub dialogue: Dialogue,
    /// What the run is called.
    pub label: String,
    /// The words of the command line.
    pub command: Vec<String>,
    /// Readers.
    pub connections: u32,
    /// Topics.
    pub topics: u32,
    /// The name of topic `{n}`.
    pub topic: Template,
    /// Publishers.
    pub publishers: u32,
    /// Bytes of a payload.
    pub payload_len: u32,
    /// The server's processes.
    pub pids: Vec<u32>,
    /// The fewest workers.
    pub workers_min: u32,
    /// The most connections of one worker.
    pub per_worker_max: u32,
    /// Where connections come from; empty leaves it to [`deal`].
    pub sources: Vec<IpAddr>,
    /// Opening handshakes in progress at once, of all workers.
    pub concurrency: u32,
    /// New connections a second; 0 is as fast as it goes.
    pub connect_rate: f64,
    /// For one connection to be ready.
    pub handshake_timeout_ms: u64,
    /// Without any progress.
    pub stall_timeout_ms: u64,
    /// Between opening connections and measuring.
    pub settle_ms: u64,
    /// What random numbers start from.
    pub seed: u64,
    /// The least reach that is no failure.
    pub reach_min: f64,
    /// Without a progress line.
    pub is_quiet: bool,
}

/// What is measured.
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

/// The phases of [`Scenario::Million`].
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
        began_unix_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
        kernel: measure::kernel(),
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

/// What each worker does. A closed window is sent by the first reader's process, which knows when it has arrived; an
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

/// Opens all connections; whether there is anything to measure.
fn connect_all(run: &Run, fleet: &mut Fleet, report: &mut Report) -> bool {
    connect_up_to(run, fleet, report, 1000).1
}

/// Opens connections up to a share of all; what came of it, and whether there is anything to measure.
fn connect_up_to(run: &Run, fleet: &mut Fleet, report: &mut Report, permille: u32) -> (Connected, bool) {
    let began_ns = fleet.now();
    let open_before = report.connections.as_ref().map_or(0, |connections| connections.open);
    let asked = crate::protocol::share_of(run.connections, permille);
    let connected = fleet.connect(permille, run.connect_rate, u64::from(asked));
    let took = connected.last_ready_ns.saturating_sub(began_ns).max(1) as f64 / 1e9;
    report.errors.merge(&connected.failures);
    report.connections = Some(Connections {
        asked: u64::from(run.connections),
        open: u64::from(connected.open),
        per_second: u64::from(connected.open).saturating_sub(open_before) as f64 / took,
        handshake: percentiles_of(&connected),
    });
    let is_ready = connected.open > 0 && !fleet.is_interrupted();
    if is_ready {
        fleet.wait(run.settle_ms);
    }
    let has_publishers = report.settings.publishers == 0 || connected.publishers > 0;
    (connected, is_ready && has_publishers)
}

fn percentiles_of(connected: &Connected) -> Option<crate::latency::Percentiles> {
    let mut handshake = Latencies::default();
    handshake.merge(&connected.handshake);
    handshake.percentiles()
}

/// Writes a round down.
fn record_round(report: &mut Report, name: &str, traffic: Traffic, outcome: &Outcome) {
    let (first, last) = outcome.ended.first_last_ns;
    let is_rate = |per_second: f64| (per_second > 0.0).then_some(per_second);
    let rate = match traffic {
        Traffic::Rate { per_second, .. }
        | Traffic::Own { per_second, .. }
        | Traffic::Echo { per_second, .. }
        | Traffic::Handshakes { per_second } => is_rate(per_second),
        Traffic::Silence | Traffic::Window { .. } => None,
    };
    // The publishers of one topic agree on no order.
    let has_order = matches!(traffic, Traffic::Rate { .. } | Traffic::Window { .. } | Traffic::Own { .. })
        && report.settings.publishers <= report.settings.topics.max(1);
    let elapsed = outcome.elapsed_ns.max(ELAPSED_NS_MIN) as f64;
    let delivered = outcome.ended.delivered;
    report.errors.merge(&outcome.ended.failures);
    report.rounds.push(RoundReport {
        name: name.to_owned(),
        is_open_loop: rate.is_some(),
        rate,
        published: outcome.published,
        expected: outcome.expected,
        deliveries: delivered,
        own: matches!(traffic, Traffic::Own { .. }).then(|| OwnReport {
            published: outcome.own_published,
            deliveries: outcome.ended.own.delivered,
            strays: outcome.ended.own.strays,
            duplicates: outcome.ended.own.duplicates,
            latency: outcome.own_latency.percentiles(),
        }),
        pings: outcome.ended.pings,
        pinged: outcome.ended.pinged,
        first_us: (first > 0).then(|| first.saturating_sub(outcome.start_ns) as f64 / 1e3),
        deliveries_to_others: outcome.ended.delivered_to_others,
        deliveries_per_second: if delivered == 0 {
            0.0
        } else {
            // One burst has no duration of its own.
            let took = last.saturating_sub(first).max(1_000_000) as f64;
            delivered as f64 * 1e9 / took
        },
        reach: (outcome.expected > 0).then(|| delivered as f64 / outcome.expected as f64),
        latency: outcome.latency.percentiles(),
        curve: outcome.latency.curve(),
        lateness: outcome.lateness.percentiles(),
        handshake: outcome.handshake.percentiles(),
        handshakes: outcome.handshake.count(),
        messages_per_read: (outcome.ended.reads > 0)
            .then(|| outcome.ended.messages as f64 / outcome.ended.reads as f64),
        duplicates: has_order.then_some(outcome.ended.duplicates),
        out_of_order: has_order.then_some(outcome.ended.out_of_order),
        windows_given_up: outcome.ended.windows_given_up,
        server_cpu_ns: outcome.server_cpu_ns,
        server_cpu_share: outcome.server_cpu_ns.map(|ns| ns as f64 / elapsed),
        client_cpu_share: outcome.busiest_share,
        client_cpu_cores: outcome.ended.cpu_ns as f64 / elapsed,
        client_waited_share: outcome.ended.waited_ns as f64 / elapsed,
        elapsed_ms: elapsed / 1e6,
    });
}

/// Puts a round's figures at the top of the report.
fn headline(report: &mut Report, index: usize) {
    let Some(round) = report.rounds.get(index).cloned() else { return };
    let per = |count: u64| round.server_cpu_ns.filter(|_| count > 0).map(|ns| ns as f64 / count as f64);
    report.server_cpu_ns_per_delivery = per(round.deliveries);
    report.server_cpu_ns_per_handshake = per(round.handshakes);
    let told = round.latency.or(round.handshake);
    report.p50_us = told.map(|told| told.p50_us);
    report.p90_us = told.map(|told| told.p90_us);
    report.p99_us = told.map(|told| told.p99_us);
    report.p999_us = told.map(|told| told.p999_us);
    report.max_us = told.map(|told| told.max_us);
    report.deliveries = round.deliveries;
    report.deliveries_per_second = (round.deliveries > 0).then_some(round.deliveries_per_second);
    report.reach = round.reach;
    report.duplicates = round.duplicates;
    report.out_of_order = round.out_of_order;
    report.regime_messages_per_turn = round.messages_per_read;
    report.client_cpu_share = Some(round.client_cpu_share);
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
