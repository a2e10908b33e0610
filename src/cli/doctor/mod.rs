//! `fanwire doctor`: how many connections this host can hold, and what to raise for more.
//!
//! `settings.rs` says what should be, `host.rs` reads what the kernel says, `checks.rs` judges it; this file prints.

mod checks;
mod host;
mod settings;

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use self::checks::{Diagnosis, Row};
use self::host::Host;
use super::End;
use super::output;

/// Say how many connections this host can hold, and what to raise for more
///
/// Reads limits and sysctls, changes nothing. Exit code 0 if the connections fit, 1 if not.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// How many connections the host should hold
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    connections: u64,
    /// Print what each setting should be, what it allows and what it costs, with tabs in between, and judge nothing
    #[arg(long)]
    table: bool,
}

const EXAMPLES: &str = "\
Examples:
  fanwire doctor
  fanwire doctor --connections 1000000
  fanwire doctor --connections 1000000 --table";

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, End> {
    if arguments.table {
        output::write(settings::text(arguments.connections).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let host = Host::read(Path::new("/"));
    let diagnosis = checks::diagnose(&host, arguments.connections);
    output::write(report(&diagnosis, arguments.connections).as_bytes())?;
    Ok(if diagnosis.fits { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The whole report: a table, what to raise, and the verdict.
fn report(diagnosis: &Diagnosis, wanted: u64) -> String {
    let mut text = format!("Can this host hold {} connections?\n\n", grouped(wanted));
    let width = |cell: fn(&Row) -> &str| diagnosis.rows.iter().map(|row| cell(row).chars().count()).max().unwrap_or(0);
    let (names, values) = (width(|row| row.name), width(|row| &row.value));
    for row in &diagnosis.rows {
        let verdict = row.verdict.as_str();
        let _ = writeln!(text, "{verdict:<8} {:<names$}  {:>values$}  {}", row.name, row.value, row.allows);
    }
    let remedies: Vec<_> = diagnosis.rows.iter().flat_map(|row| &row.remedies).collect();
    if !remedies.is_empty() {
        text.push_str("\nTo raise what is too low (sysctl needs root; put it in /etc/sysctl.d to keep it):\n");
        remedies.iter().for_each(|remedy| text.push_str(&format!("  {remedy}\n")));
    }
    let _ = match &diagnosis.binding {
        Some((count, what)) => {
            let verdict = if diagnosis.fits { "Yes" } else { "No" };
            let count = grouped(*count);
            writeln!(text, "\n{verdict}: this host can hold about {count} connections; what binds first is {what}.")
        }
        None => writeln!(text, "\nUnknown: nothing that bounds connections can be read here."),
    };
    text
}

/// `1000000` as `1,000,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn the_report_has_a_row_a_remedy_and_a_verdict() {
        let host = Host { files_soft: Some(1024), files_hard: Some(1 << 20), ..Host::default() };
        let text = report(&checks::diagnose(&host, 50_000), 50_000);
        assert!(text.starts_with("Can this host hold 50,000 connections?\n\n"), "{text}");
        assert!(text.contains("\ntoo low  open files (soft limit)"), "{text}");
        assert!(text.contains("\n  ulimit -n 50128\n"), "{text}");
        assert!(
            text.ends_with(
                "No: this host can hold about 896 connections; what binds first is open files (soft limit).\n"
            ),
            "{text}"
        );
        let unknown = report(&checks::diagnose(&Host::default(), 1), 1);
        assert!(unknown.ends_with("Unknown: nothing that bounds connections can be read here.\n"), "{unknown}");
    }
}
