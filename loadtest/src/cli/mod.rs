//! The command line: what is typed, what it means, and where the report goes.
//!
//! Exit codes: 0 it went well, 1 something went wrong and the report says what, 2 it was not meant well (one line on
//! standard error), 130 Ctrl-C (the report has the figures up to then). Tests: beside the code and
//! `tests/command_line.rs`.

mod flags;
mod value;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use self::flags::{Common, Payload, Traffic};
use crate::compare::{CompareArgs, Comparison};
use crate::fleet::WORKER_COMMAND;
use crate::floor::{self, FloorArgs};
use crate::plan::TOPICS_MAX;
use crate::protocol::Traffic as Sending;
use crate::report::{Report, html, text};
use crate::scenario::{self, Run, Scenario};
use crate::worker;

/// Measures a WebSocket server, any, and says what the numbers mean.
#[derive(Debug, Parser)]
#[command(name = "fanwire-load", version, propagate_version = true, max_term_width = 110, after_help = EXAMPLES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  fanwire-load fanout -c 1000 --window 32 --pid $(pidof fanwire)
  fanwire-load fanout -c 10000 --rate 50 --html fanout.html
  fanwire-load hold -c 200000 --broadcast 1 --pid $(pidof fanwire)
  fanwire-load echo -c 100 --depth 8 --url ws://127.0.0.1:9001/ --preset uws
  fanwire-load connect --duration 5s --json -
  fanwire-load report a.json b.json --html both.html";

#[derive(Debug, Subcommand)]
enum Command {
    /// Hold connections that do nothing: memory of each, idle CPU
    Hold(Hold),
    /// Hold connections with a topic of their own beside a shared one, tell all and single ones things, drop some at once
    Million(Million),
    /// Publish to readers, in a closed window or at a rate: CPU of a delivery, latency, reach
    Fanout(Fanout),
    /// Send messages that come back
    Echo(Echo),
    /// Open connections and reset them: handshakes a second, CPU of each
    Connect(Connect),
    /// Drop most readers at once and let them come back: time to recover, latency of the other readers
    Storm(Storm),
    /// Let some readers stop reading: what becomes of the others
    Stall(Stall),
    /// Raise the rate until p99 passes a bound: where the knee is
    Ramp(Ramp),
    /// Put reports of earlier runs side by side
    Report(Compared),
    Floor(FloorArgs),
    Compare(CompareArgs),
    /// One client process, started by the others
    #[command(name = WORKER_COMMAND, hide = true)]
    Worker,
}

#[derive(Args, Debug)]
struct Hold {
    #[command(flatten)]
    common: Common,
    /// Topics; each connection subscribes to one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(TOPICS_MAX)))]
    topics: u32,
    /// How long to hold them once they are all there
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = value::duration_ms)]
    duration: u64,
    /// Then publish so many messages, one a second, and see whether they reach everybody
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=3_600))]
    broadcast: u32,
    #[command(flatten)]
    payload: Payload,
}

#[derive(Args, Debug)]
struct Million {
    #[command(flatten)]
    common: Common,
    /// How long to say nothing, once they are all there
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = value::duration_ms)]
    idle: u64,
    /// Messages to all, each when the one before has arrived: before they are kept, and after they came back
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    broadcasts: u32,
    /// How long to keep them then
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = value::duration_ms)]
    keep: u64,
    /// Messages a second meanwhile, each to the own topic of one of them, by chance
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value::rate)]
    rate: f64,
    /// Also a message to all every so often meanwhile; none unless given
    #[arg(long, value_name = "TIME", value_parser = value::duration_ms)]
    broadcast_every: Option<u64>,
    /// How many drop at once
    #[arg(long, value_name = "SHARE", default_value = "10%", value_parser = value::permille)]
    share: u32,
    /// It is an error if one is not pinged while they are kept
    #[arg(long)]
    pinged: bool,
    #[command(flatten)]
    payload: Payload,
}

#[derive(Args, Debug)]
struct Fanout {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    traffic: Traffic,
    /// Messages a second, sent on time even if earlier ones are late: an open loop
    #[arg(long, value_name = "N", value_parser = value::rate, conflicts_with = "window")]
    rate: Option<f64>,
    /// With --rate: how many messages go in one write
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Messages in flight, in one write; the next follow when all have arrived: a closed loop (default, with 1)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    window: Option<u32>,
    /// How long to publish
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = value::duration_ms)]
    duration: u64,
}

#[derive(Args, Debug)]
struct Echo {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    payload: Payload,
    /// Messages in flight on each connection: a closed loop
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    depth: u32,
    /// Messages a second over all connections: an open loop
    #[arg(long, value_name = "N", value_parser = value::rate, conflicts_with = "depth")]
    rate: Option<f64>,
    /// How long to send
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = value::duration_ms)]
    duration: u64,
}

#[derive(Args, Debug)]
struct Connect {
    #[command(flatten)]
    common: Common,
    /// Handshakes a second, begun on time even if earlier ones are late; without it as fast as possible
    #[arg(long, value_name = "N", value_parser = value::rate)]
    rate: Option<f64>,
    /// How long to open connections
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = value::duration_ms)]
    duration: u64,
}

#[derive(Args, Debug)]
struct Storm {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    traffic: Traffic,
    /// How many drop
    #[arg(long, value_name = "SHARE", default_value = "90%", value_parser = value::permille)]
    share: u32,
    /// Messages a second
    #[arg(long, value_name = "N", default_value = "20", value_parser = value::rate)]
    rate: f64,
    /// How long to publish before, and at least meanwhile
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = value::duration_ms)]
    duration: u64,
}

#[derive(Args, Debug)]
struct Stall {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    traffic: Traffic,
    /// How many stop reading
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = value::permille)]
    share: u32,
    /// Messages a second
    #[arg(long, value_name = "N", default_value = "20", value_parser = value::rate)]
    rate: f64,
    /// How long to publish before, and meanwhile
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = value::duration_ms)]
    duration: u64,
}

#[derive(Args, Debug)]
struct Ramp {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    traffic: Traffic,
    /// The first rate, in messages a second
    #[arg(long, value_name = "N", default_value = "10", value_parser = value::rate)]
    from: f64,
    /// From one rate to the next
    #[arg(long, value_name = "N", default_value = "2", value_parser = value::factor)]
    factor: f64,
    /// Bound of p99
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = value::duration_ms)]
    bound: u64,
    /// How long each step is
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = value::duration_ms)]
    duration: u64,
}

#[derive(Args, Debug)]
struct Compared {
    /// Reports that were written with --json
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write them as one page with charts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// The outcome of a command before anything is measured.
enum Meant {
    Measure(Box<Run>, Scenario, Output),
    Report(Compared),
    Floor(FloorArgs),
    Compare(Box<Comparison>),
    Worker,
}

/// Where a report goes besides the terminal.
#[derive(Debug)]
struct Output {
    json: Option<PathBuf>,
    html: Option<PathBuf>,
}

/// Runs the program with its arguments, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = arguments.into_iter().collect();
    let line = match CommandLine::try_parse_from(&words) {
        Ok(line) => line,
        Err(error) => return usage(&error),
    };
    let typed = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    match meant(line.command, typed) {
        Ok(Meant::Worker) => worker::run(),
        Ok(Meant::Report(compared)) => report(&compared),
        // Only the address or the driver can fail here, and both are options.
        Ok(Meant::Floor(args)) => ended(floor::run(&args), 2),
        Ok(Meant::Compare(comparison)) => ended(comparison.run(), 1),
        Ok(Meant::Measure(run, scenario, output)) => measure(&run, &scenario, &output),
        Err(why) => complain(&why, 2),
    }
}

fn meant(command: Command, typed: Vec<String>) -> Result<Meant, String> {
    let (common, run, scenario) = match command {
        Command::Worker => return Ok(Meant::Worker),
        Command::Report(compared) => return Ok(Meant::Report(compared)),
        Command::Floor(args) => return Ok(Meant::Floor(args)),
        Command::Compare(args) => return Ok(Meant::Compare(Box::new(Comparison::new(args)?))),
        Command::Hold(Hold { common, topics, duration, broadcast, payload }) => {
            let traffic = Traffic { topics, publishers: 1, payload };
            let run = common.run(Some(&traffic), traffic.payload.len(), typed)?;
            (common, run, Scenario::Hold { duration_ms: duration, broadcasts: broadcast })
        }
        Command::Million(million) => {
            let common = million.common.with_own_topics();
            let traffic = Traffic { topics: 1, publishers: 1, payload: million.payload };
            let run = common.run(Some(&traffic), traffic.payload.len(), typed)?;
            let phases = scenario::Million {
                idle_ms: million.idle,
                broadcasts: million.broadcasts,
                keep_ms: million.keep,
                per_second: million.rate,
                broadcast_ms: million.broadcast_every.unwrap_or(0),
                permille: million.share,
                is_pinged: million.pinged,
            };
            (common, run, Scenario::Million(phases))
        }
        Command::Fanout(Fanout { common, traffic, rate, batch, window, duration }) => {
            let sending = match rate {
                Some(per_second) => Sending::Rate { per_second, batch },
                None if traffic.publishers > 1 => return Err("--publishers goes with --rate".to_owned()),
                None if batch > 1 => return Err("--batch goes with --rate; --window N sends N at once".to_owned()),
                None => Sending::Window { len: window.unwrap_or(1), count: 0 },
            };
            let run = common.run(Some(&traffic), traffic.payload.len(), typed)?;
            (common, run, Scenario::Fanout { traffic: sending, duration_ms: duration })
        }
        Command::Echo(Echo { common, payload, depth, rate, duration }) => {
            let run = common.run(None, payload.len(), typed)?;
            (common, run, Scenario::Echo { depth, per_second: rate.unwrap_or(0.0), duration_ms: duration })
        }
        Command::Connect(Connect { common, rate, duration }) => {
            let run = common.run(None, crate::stamp::STAMP_LEN as u32, typed)?;
            (common, run, Scenario::Connect { per_second: rate.unwrap_or(0.0), duration_ms: duration })
        }
        Command::Storm(Storm { common, traffic, share, rate, duration }) => {
            let run = common.run(Some(&traffic), traffic.payload.len(), typed)?;
            (common, run, Scenario::Storm { permille: share, per_second: rate, duration_ms: duration })
        }
        Command::Stall(Stall { common, traffic, share, rate, duration }) => {
            let run = common.run(Some(&traffic), traffic.payload.len_for_stalls(), typed)?;
            (common, run, Scenario::Stall { permille: share, per_second: rate, duration_ms: duration })
        }
        Command::Ramp(Ramp { common, traffic, from, factor, bound, duration }) => {
            let run = common.run(Some(&traffic), traffic.payload.len(), typed)?;
            (common, run, Scenario::Ramp { from, factor, bound_us: bound as f64 * 1e3, duration_ms: duration })
        }
    };
    Ok(Meant::Measure(Box::new(run), scenario, Output { json: common.json, html: common.html }))
}

fn ended(outcome: Result<(), String>, code: u8) -> ExitCode {
    outcome.map_or_else(|why| complain(&why, code), |()| ExitCode::SUCCESS)
}

fn measure(run: &Run, scenario: &Scenario, output: &Output) -> ExitCode {
    // A file that cannot be written is better known before an hour of measuring.
    for path in [&output.json, &output.html].into_iter().flatten().filter(|path| !is_stdout(path)) {
        if let Err(error) = fs::OpenOptions::new().create(true).append(true).open(path) {
            return complain(&format!("{}: {error}", path.display()), 2);
        }
    }
    let report = match scenario::run(run, scenario) {
        Ok(report) => report,
        Err(error) => return complain(&error.to_string(), 1),
    };
    if let Err(why) = write(&report, output) {
        return complain(&why, 1);
    }
    match (report.is_interrupted, report.is_ok) {
        (true, _) => ExitCode::from(130),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::from(1),
    }
}

fn write(report: &Report, output: &Output) -> Result<(), String> {
    let told = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    let mut printed = text::render(report);
    if let Some(path) = &output.json {
        if is_stdout(path) {
            printed = report.to_json();
        } else {
            fs::write(path, report.to_json()).map_err(|error| told(path, error))?;
        }
    }
    if let Some(path) = &output.html {
        fs::write(path, html::render(std::slice::from_ref(report))).map_err(|error| told(path, error))?;
    }
    print(&printed)
}

/// Reports of earlier runs, one after the other and in one page.
fn report(compared: &Compared) -> ExitCode {
    let mut reports = Vec::with_capacity(compared.files.len());
    for path in &compared.files {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return complain(&format!("{}: {error}", path.display()), 2),
        };
        match Report::from_json(&text) {
            Ok(report) => reports.push(report),
            Err(error) => return complain(&format!("{}: it is no report: {error}", path.display()), 2),
        }
    }
    if let Some(path) = &compared.html
        && let Err(error) = fs::write(path, html::render(&reports))
    {
        return complain(&format!("{}: {error}", path.display()), 1);
    }
    let printed: Vec<String> = reports.iter().map(text::render).collect();
    match print(&printed.join("\n")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => complain(&why, 1),
    }
}

/// Prints; a reader that went away is no mistake.
fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("cannot write: {error}")),
        _ => Ok(()),
    }
}

fn complain(why: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "fanwire-load: {why}");
    ExitCode::from(code)
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Help goes to standard output as it is; a mistake becomes one line.
fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => complain("which scenario? See fanwire-load --help", 2),
        _ => complain(&one_line(&error.render().to_string()), 2),
    }
}

/// The first paragraph of a message of clap's, and its tip, in one line.
fn one_line(rendered: &str) -> String {
    let mut parts = rendered.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let first = parts.next().unwrap_or_default();
    let mut line = first.strip_prefix("error: ").unwrap_or(&first).to_owned();
    for tip in parts.filter(|part| part.starts_with("tip: ")) {
        line.push_str("; ");
        line.push_str(&tip);
    }
    line
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::plan::{Preset, Publish};

    fn meant_by(words: &str) -> Result<(Run, Scenario), String> {
        let words = ["fanwire-load"].into_iter().chain(words.split(' '));
        let line = CommandLine::try_parse_from(words).map_err(|error| one_line(&error.render().to_string()))?;
        match meant(line.command, Vec::new())? {
            Meant::Measure(run, scenario, _) => Ok((*run, scenario)),
            Meant::Report(_) | Meant::Worker | Meant::Floor(_) | Meant::Compare(_) => {
                Err("nothing is measured".to_owned())
            }
        }
    }

    #[test]
    fn the_command_line_is_consistent_and_every_scenario_says_what_it_is() {
        let mut command = CommandLine::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != WORKER_COMMAND) {
            assert!(sub.get_about().is_some(), "{}", sub.get_name());
            // clap makes a line feed of it.
            for argument in sub.get_arguments() {
                let help = [argument.get_help(), argument.get_long_help()].into_iter().flatten();
                help.for_each(|help| assert!(!help.to_string().contains("{n}"), "{}: {help}", sub.get_name()));
            }
        }
    }

    #[test]
    fn what_compare_types_is_understood() {
        let url = "--url ws://127.0.0.1:9 --preset";
        let (run, scenario) = meant_by(&format!(
            "fanout {url} nats --connections 7 --window 32 --size 64 --duration 3s --pid 5 --json -"
        ))
        .expect("it is meant well");
        assert_eq!((run.connections, run.payload_len, run.pids.as_slice()), (7, 64, &[5][..]));
        let window = Sending::Window { len: 32, count: 0 };
        assert_eq!(scenario, Scenario::Fanout { traffic: window, duration_ms: 3_000 });
        for (verb, rest) in
            [("hold", "--connections 7"), ("echo", "--connections 7 --depth 4 --size 128 --duration 3s")]
        {
            let words = format!("{verb} {url} nchan --pid 5 --json - {rest}");
            assert_eq!(meant_by(&words).map(|(run, scenario)| (run.connections, scenario.name())), Ok((7, verb)));
        }
        assert!(meant_by(&format!("connect {url} socketio --duration 3s --pid 5 --pid 6 --json -")).is_ok());
    }

    #[test]
    fn readers_of_million_follow_a_topic_of_their_own_unless_a_preset_says_otherwise() {
        let words = "--keep 1m --rate 5 --broadcast-every 10s --share 25% --pinged --idle 1s --broadcasts 2";
        let (run, scenario) = meant_by(&format!("million -c 7 {words}")).expect("it is meant well");
        assert!(run.dialogue.subscribe[0].send.to_string().contains("own.{n}"), "{:?}", run.dialogue);
        let Scenario::Million(phases) = scenario else { panic!("{scenario:?}") };
        assert_eq!((phases.idle_ms, phases.keep_ms, phases.broadcast_ms), (1_000, 60_000, 10_000));
        assert_eq!((phases.broadcasts, phases.permille, phases.per_second), (2, 250, 5.0));
        assert!(phases.is_pinged);
        assert_eq!(meant_by("million --preset uws").map(|(run, _)| run.preset), Ok(Preset::Uws));
        let why = meant_by("million --broadcasts 0").err().unwrap_or_default();
        assert!(why.contains("0 is not in"), "{why}");
    }

    #[test]
    fn words_replace_those_of_the_preset() {
        let server = "fanout --url ws://127.0.0.1:9/feed --preset uws";
        let words = r"--subscribe +{topic}\r\n --ready ok --publish {topic}={payload}";
        let (run, _) = meant_by(&format!("{server} {words}")).expect("it is meant well");
        assert_eq!(run.dialogue.path.to_string(), "/feed");
        assert_eq!(run.dialogue.subscribe[0].send.to_string(), "+{topic}\r\n");
        assert_eq!(run.dialogue.subscribe[0].until, "ok");
        let Publish::WebSocket { path, message } = &run.dialogue.publish else { panic!("{:?}", run.dialogue.publish) };
        assert_eq!((path.to_string(), message.to_string()), ("/feed".to_owned(), "{topic}={payload}".to_owned()));
    }

    #[test]
    fn mistakes_are_one_line() {
        for (words, part) in [
            ("fanout --url wss://127.0.0.1:9 --ca /nowhere/ca.pem", "--ca /nowhere/ca.pem: No such file"),
            ("fanout --url wss://127.0.0.1:9 --ca Cargo.toml", "--ca Cargo.toml: there is no certificate in it"),
            ("fanout --insecure", "--ca and --insecure go with wss://"),
            ("hold --url ws://127.0.0.1:1 --url wss://127.0.0.1:2", "have all TLS or none"),
            ("fanout --deflate=fast", "--deflate: fast is no parameter of permessage-deflate"),
            ("fanout --url nowhere", "a URL is ws://"),
            ("hold --url ws://127.0.0.1:1/a --url ws://127.0.0.1:2/b", "have the same path"),
            ("fanout --rate 0", "a rate is a number a second"),
            ("fanout --rate 1 --window 1", "cannot be used with"),
            ("fanout --publishers 2", "--publishers goes with --rate"),
            ("fanout --batch 2", "--batch goes with --rate"),
            ("fanout --size 1", "is not in"),
            ("fanout --publish hello", "--publish: a message without {payload}"),
            ("fanout --subscribe {topics}", "--subscribe: {topics} is none of"),
            ("fanout --preset unknown", "possible values"),
            ("storm --share 2", "a share is from 0 to 1"),
            ("hold --connections 0", "0 is not in"),
            ("hold --source ::1", "--source ::1: the server's address 127.0.0.1 is of another family"),
            ("echo --depth 1 --rate 1", "cannot be used with"),
            ("echo --answer x", "--answer: two texts"),
        ] {
            let why = meant_by(words).err().unwrap_or_default();
            assert!(why.contains(part) && !why.contains('\n'), "{words}: {why}");
        }
    }
}
