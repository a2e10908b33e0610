//! The `fanwire-load` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    fanwire_load::cli::run(std::env::args_os())
}
