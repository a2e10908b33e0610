//! `fanwire-load`, the load client. The scenarios are not built yet; the program says so and exits with code 2.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!("fanwire-load: no scenario is built yet");
    ExitCode::from(2)
}
