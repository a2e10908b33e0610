//! The command line: one file or folder a subcommand, and what they share. What this room must never know: how the
//! gateway works inside. The client commands use the endpoints that every client has.
//!
//! Exit codes: 0 done, 1 it did not work, 2 it was not meant well: a flag, a key, an address or a port.
//! Tests: beside the code.

mod answers;
mod backoff;
mod check_config;
mod demo;
mod doctor;
#[cfg(test)]
mod fake_stream;
mod front;
mod http_client;
mod link;
mod log;
mod output;
mod publish;
mod publisher;
mod replay;
mod serve;
mod server_url;
mod subscribe;
#[doc(hidden)]
pub mod trust;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::config::ConfigError;

/// A WebSocket push gateway: live feeds to millions of mostly idle connections.
#[derive(Debug, Parser)]
#[command(name = "fanwire", version, propagate_version = true, max_term_width = 100, after_help = EXAMPLES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  fanwire demo                               real stock prices on a page of your browser
  fanwire serve                              the gateway on 127.0.0.1:8080
  fanwire subscribe 'px.*'                   print what arrives
  fanwire publish px.AAPL '{\"last\":430.47}'  publish one message";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Demo(demo::Arguments),
    Publish(publish::Arguments),
    Subscribe(subscribe::Arguments),
    Replay(replay::Arguments),
    Doctor(doctor::Arguments),
    CheckConfig(check_config::Arguments),
}

/// How a command ends before its time.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It was not meant well.
    Usage(String),
    /// It did not work.
    Failed(String),
    /// The output has lost its reader; that is no mistake.
    OutputClosed,
}

impl From<ConfigError> for End {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Runs the program with its arguments, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let outcome = match CommandLine::try_parse_from(arguments) {
        Ok(line) => match line.command {
            Command::Serve(arguments) => serve::run(&arguments),
            Command::Demo(arguments) => demo::run(&arguments),
            Command::Publish(arguments) => publish::run(&arguments),
            Command::Subscribe(arguments) => subscribe::run(&arguments),
            Command::Replay(arguments) => replay::run(&arguments),
            Command::Doctor(arguments) => doctor::run(&arguments),
            Command::CheckConfig(arguments) => check_config::run(&arguments),
        },
        Err(error) => usage(&error),
    };
    match outcome {
        Ok(code) => code,
        Err(End::OutputClosed) => ExitCode::SUCCESS,
        Err(End::Failed(message)) => {
            output::complain(&message);
            ExitCode::from(1)
        }
        Err(End::Usage(message)) => {
            output::complain(&message);
            ExitCode::from(2)
        }
    }
}

/// Help goes to standard output as it is; a mistake becomes one line.
fn usage(error: &clap::Error) -> Result<ExitCode, End> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            Ok(ExitCode::SUCCESS)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err(End::Usage("which command? See fanwire --help".to_owned()))
        }
        _ => Err(End::Usage(one_line(&error.render().to_string()))),
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

    fn complaint(words: &[&str]) -> String {
        let words = ["fanwire"].iter().chain(words).map(OsString::from);
        let error = CommandLine::try_parse_from(words).expect_err("a mistake");
        match usage(&error) {
            Err(End::Usage(line)) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent_and_every_command_shows_examples() {
        let mut command = CommandLine::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands_mut() {
            let name = sub.get_name().to_owned();
            let help = sub.render_help().to_string();
            assert!(help.contains("Examples:") && help.contains(&format!("  fanwire {name}")), "{name}:\n{help}");
            assert!(sub.get_about().is_some(), "{name} says what it is");
        }
    }

    #[test]
    fn a_mistake_in_the_words_is_one_line() {
        assert_eq!(complaint(&[]), "which command? See fanwire --help");
        assert_eq!(complaint(&["serv"]), "unrecognized subcommand 'serv'; tip: a similar subcommand exists: 'serve'");
        assert_eq!(
            complaint(&["serve", "--shard", "2"]),
            "unexpected argument '--shard' found; tip: a similar argument exists: '--shards'"
        );
        assert_eq!(complaint(&["publish"]), "the following required arguments were not provided: <TOPIC>");
    }
}
