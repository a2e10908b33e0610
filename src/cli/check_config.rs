//! `fanwire check-config`: whether a configuration would be taken, and what is in effect.

use std::process::ExitCode;

use super::{End, output, serve};
use crate::config::ConfigFlags;
use crate::server;

/// Say whether a configuration would be taken, and print what is in effect
///
/// Reads the file, the environment and the flags as serve does, and the certificates that they name. Prints TOML that means
/// the same, with where each value was typed. Exit code 2 for a mistake, which is one line on standard error.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigFlags,
}

const EXAMPLES: &str = "\
Examples:
  fanwire check-config --config fanwire.toml
  fanwire check-config --config fanwire.toml --log debug
  FANWIRE_LOG=info fanwire check-config";

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, End> {
    let config = serve::load(&arguments.config)?;
    server::check(&config).map_err(|error| End::Usage(error.to_string()))?;
    for warning in &config.warnings {
        output::complain(&format!("warning: {warning}"));
    }
    output::write(config.effective().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
