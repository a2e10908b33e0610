//! `fanwire-load`, the load client.

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "fanwire-load", version)]
enum CommandLine {
    Floor(fanwire_load::floor::FloorArgs),
    Compare(fanwire_load::compare::CompareArgs),
}

fn main() -> ExitCode {
    let outcome = match CommandLine::parse() {
        CommandLine::Floor(args) => fanwire_load::floor::run(&args),
        CommandLine::Compare(args) => fanwire_load::compare::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("fanwire-load: {message}");
            ExitCode::from(1)
        }
    }
}
