//! `fanwire-load compare`: every scenario against the floor, fanwire and the peers that are installed, interleaved.
//!
//! The client is this program itself, run with the scenario's arguments; its JSON report is the only thing that is read
//! of it, so that what is compared is what everybody else gets to see. Servers and client are pinned to different
//! cores, every run has a fresh server process, and the order of the servers turns from round to round. `case.rs` says
//! what is measured, `server.rs` who, `client.rs` runs the client, `statistics.rs` and `results.rs` say what came out,
//! `chart.rs` draws it. A mistake in the flags is known before anything runs: [`Comparison::new`]. Tests: beside the
//! code, on fixed numbers.

mod case;
mod chart;
mod client;
mod report;
mod results;
mod server;
mod statistics;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, fs};

pub use self::case::Case;
use self::case::Size;
use self::results::{CaseResults, shown};
use self::server::{Programs, Server};
use crate::clock::unix_ms;
use crate::measure::{kernel, processor};
use crate::report::text::date;

/// Compare scenarios over the floor, fanwire and installed peers, side by side
///
/// Runs each scenario against each server in turn, round after round; prints medians, spread (the distance of the
/// quartiles over the median) and ratios to the floor of the same rounds. Ctrl-C ends it after the run in progress and
/// prints what there is.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CompareArgs {
    /// How often each server is measured in each scenario
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Which scenarios
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_enum, default_values_t = Case::ALL)]
    pub scenarios: Vec<Case>,
    /// Which of our own servers: floor, floor-uring, fanwire, fanwire-uring
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values = ["floor", "floor-uring", "fanwire"])]
    pub servers: Vec<String>,
    /// Which peers of scripts/peers.sh: their names, `installed` or `none`
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values = ["installed"])]
    pub peers: Vec<String>,
    /// Idle connections of hold
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..))]
    pub idle: u32,
    /// Readers of fanout
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    pub readers: u32,
    /// Connections of echo
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    pub echoes: u32,
    /// Payload bytes of a message
    #[arg(long, value_name = "BYTES", default_value = "128")]
    pub size: u32,
    /// How long each run is measured
    #[arg(long, value_name = "TIME", default_value = "3s")]
    pub duration: String,
    /// The core that servers run on
    #[arg(long, value_name = "CORE", default_value = "0")]
    pub server_core: u32,
    /// The core that the client runs on
    #[arg(long, value_name = "CORE", default_value = "1")]
    pub client_core: u32,
    /// The gateway's program; beside this one if not given
    #[arg(long, value_name = "FILE")]
    pub fanwire: Option<PathBuf>,
    /// The script that starts peers
    #[arg(long, value_name = "FILE", default_value = "scripts/peers.sh")]
    pub peers_script: PathBuf,
    /// Write every figure and every round as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a chart: a page if the name ends with .html, else an SVG
    #[arg(long, value_name = "FILE")]
    pub chart: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  scripts/peers.sh install all && fanwire-load compare --json compare.json --chart compare.html
  fanwire-load compare --rounds 3 --scenarios fanout,fanout-32 --peers none";

/// A comparison as meant: every server and program is there.
#[derive(Debug)]
pub struct Comparison {
    args: CompareArgs,
    servers: Vec<Server>,
    programs: Programs,
}

impl Comparison {
    /// Finds what the flags name.
    ///
    /// # Errors
    /// A server or program that is not there, as one line.
    pub fn new(args: CompareArgs) -> Result<Self, String> {
        let servers = chosen_servers(&args)?;
        let programs = programs(&args)?;
        Ok(Self { args, servers, programs })
    }

    /// Compares, prints the tables, and writes the files that were asked for.
    ///
    /// # Errors
    /// A file that cannot be written, or a comparison in which no run worked, as one line.
    pub fn run(&self) -> Result<(), String> {
        let Self { args, servers, programs } = self;
        let size = Size {
            idle: args.idle,
            readers: args.readers,
            echoes: args.echoes,
            payload_len: args.size,
            duration: args.duration.clone(),
        };
        let is_over = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&is_over)).map_err(|error| format!("signals: {error}"))?;
        }
        let able = |case| servers.iter().filter(move |server| server.can(case)).map(|server| server.name().to_owned());
        let mut results: Vec<_> = args.scenarios.iter().map(|&case| CaseResults::new(case, able(case))).collect();
        'rounds: for round in 0..args.rounds {
            for case in &mut results {
                for place in turned(case.rows.len(), round as usize) {
                    let row = &mut case.rows[place];
                    let Some(server) = servers.iter().find(|server| server.name() == row.server) else { continue };
                    let sample = measure(server, case.case, &size, programs, args.client_core);
                    // An interrupted run is no sample.
                    if is_over.load(Ordering::Relaxed) {
                        break 'rounds;
                    }
                    say_progress(round + 1, args.rounds, case.case, server, &sample);
                    row.samples.push(sample);
                }
            }
        }
        finish(args, servers, &results, &size)
    }
}

/// One run: a fresh server, and the client against it.
fn measure(
    server: &Server,
    case: Case,
    size: &Size,
    programs: &Programs,
    client_core: u32,
) -> Result<report::ClientReport, String> {
    let running = server.start(case, programs)?;
    let mut args = case.client_args(size);
    args.extend(["--url".to_owned(), format!("ws://127.0.0.1:{}", running.port)]);
    args.extend(["--preset".to_owned(), server.preset().to_owned()]);
    args.extend(["--pid".to_owned(), running.pid.to_string()]);
    client::run(&programs.load, &args, client_core)
}

/// Every place once, beginning with another one each round.
fn turned(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |place| (place + round) % count)
}

fn say_progress(round: u32, rounds: u32, case: Case, server: &Server, sample: &Result<report::ClientReport, String>) {
    let name = server.name();
    let outcome = match (sample, case.measures().first()) {
        (Ok(report), Some(measure)) => {
            let value = (measure.of)(report).map_or_else(|| "-".to_owned(), shown);
            let doubt = report.doubt().map(|doubt| format!(" ({doubt})")).unwrap_or_default();
            format!("{} {value} {}{doubt}", measure.name, measure.unit)
        }
        (Ok(_), None) => String::new(),
        (Err(error), _) => format!("failed: {error}"),
    };
    eprintln!("round {round} of {rounds}, {}, {name}: {outcome}", case.name());
}

fn finish(args: &CompareArgs, servers: &[Server], results: &[CaseResults], size: &Size) -> Result<(), String> {
    let caption = caption(args);
    println!("{caption}");
    for server in servers {
        println!("  {:<14} {}", server.name(), server.version());
    }
    results.iter().for_each(|case| print!("{}", case.table()));
    println!(
        "\nspread: distance of the quartiles over the median; to floor: median of the rounds' ratios, = is a tie (3 %)"
    );
    if let Some(path) = &args.json {
        write(path, &(to_json(args, servers, results, size).to_string() + "\n"))?;
    }
    if let Some(path) = &args.chart {
        let is_page = path.extension().is_some_and(|extension| extension == "html");
        write(path, &if is_page { chart::html(results, &caption) } else { chart::svg(results, &caption) })?;
    }
    let worked = results.iter().flat_map(|case| &case.rows).flat_map(|row| &row.samples).any(Result::is_ok);
    if worked { Ok(()) } else { Err("no run of the comparison worked".to_owned()) }
}

fn to_json(args: &CompareArgs, servers: &[Server], results: &[CaseResults], size: &Size) -> serde_json::Value {
    let list = |server: &Server| serde_json::json!({ "name": server.name(), "version": server.version() });
    let command = |case: &CaseResults| serde_json::json!({ "case": case.case.name(), "client": case.case.client_args(size).join(" ") });
    serde_json::json!({
        "comparison": 1,
        "date": date(unix_ms()),
        "kernel": kernel(),
        "processor": processor(),
        "rounds": args.rounds,
        "server_core": args.server_core,
        "client_core": args.client_core,
        "servers": servers.iter().map(list).collect::<Vec<_>>(),
        "commands": results.iter().map(command).collect::<Vec<_>>(),
        "cases": results.iter().map(CaseResults::to_json).collect::<Vec<_>>(),
    })
}

fn chosen_servers(args: &CompareArgs) -> Result<Vec<Server>, String> {
    let own = |name: &String| Server::named(name).ok_or(format!("--servers: there is no {name:?}"));
    let mut servers = args.servers.iter().map(own).collect::<Result<Vec<_>, _>>()?;
    if args.peers == ["none"] {
        return Ok(servers);
    }
    let installed = server::installed_peers(&args.peers_script)?;
    if args.peers == ["installed"] {
        servers.extend(installed.into_iter().map(Server::Peer));
        return Ok(servers);
    }
    for name in &args.peers {
        let peer = installed.iter().find(|peer| peer.name == *name);
        let peer = peer
            .ok_or_else(|| format!("--peers: {name:?} is not installed; see {} list", args.peers_script.display()))?;
        servers.push(Server::Peer(peer.clone()));
    }
    Ok(servers)
}

fn programs(args: &CompareArgs) -> Result<Programs, String> {
    let load = env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
    let fanwire = args.fanwire.clone().unwrap_or_else(|| load.with_file_name("fanwire"));
    let needs_fanwire = args.servers.iter().any(|name| name.starts_with("fanwire"));
    if needs_fanwire && !fanwire.exists() {
        return Err(format!("{} is not there: build it, or name it with --fanwire", fanwire.display()));
    }
    Ok(Programs { load, fanwire, peers_script: args.peers_script.clone(), server_core: args.server_core })
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn caption(args: &CompareArgs) -> String {
    let (rounds, server, client) = (args.rounds, args.server_core, args.client_core);
    let (date, kernel, processor) = (date(unix_ms()), kernel(), processor());
    format!("{rounds} rounds, server on core {server}, client on core {client}, {date}, Linux {kernel}, {processor}")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct CommandLine {
        #[command(flatten)]
        args: CompareArgs,
    }

    #[test]
    fn the_command_line_is_consistent_and_has_its_defaults() {
        CommandLine::command().debug_assert();
        let args = CommandLine::parse_from(["compare"]).args;
        assert_eq!((args.rounds, args.scenarios.as_slice()), (10, &Case::ALL[..]));
        let args = CommandLine::parse_from(["compare", "--scenarios", "echo,fanout-32", "--peers", "none"]).args;
        assert_eq!(args.scenarios, [Case::Echo, Case::Fanout32]);
        let names: Vec<_> =
            chosen_servers(&args).expect("ours").iter().map(|server| server.name().to_owned()).collect();
        assert_eq!(names, ["floor", "floor-uring", "fanwire"]);
    }

    #[test]
    fn what_is_not_there_is_one_line() {
        let parse = |words: &[&str]| CommandLine::parse_from([&["compare"], words].concat()).args;
        let error = Comparison::new(parse(&["--servers", "nginx", "--peers", "none"])).expect_err("no such server");
        assert_eq!(error, "--servers: there is no \"nginx\"");
        let error = Comparison::new(parse(&["--peers", "none", "--fanwire", "/nonexistent/fanwire"]))
            .expect_err("no such file");
        assert!(error.starts_with("/nonexistent/fanwire is not there"), "{error}");
        let error = Comparison::new(parse(&["--peers-script", "/nonexistent/peers.sh"])).expect_err("no such file");
        assert!(error.starts_with("/nonexistent/peers.sh: ") && error.lines().count() == 1, "{error}");
    }

    #[test]
    fn every_round_begins_with_another_server_and_leaves_none_out() {
        let orders: Vec<Vec<_>> = (0..3).map(|round| turned(3, round).collect()).collect();
        assert_eq!(orders, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
        assert_eq!(turned(0, 5).count(), 0);
    }
}
