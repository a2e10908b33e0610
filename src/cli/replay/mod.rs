//! `fanwire replay`: publishes the rows of a CSV file as JSON, paced by their time column.
//!
//! `table.rs` turns the file into messages, `time.rs` reads its times, `pace.rs` says when each is due; this file
//! waits and publishes.

mod pace;
mod table;
mod time;

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

pub(super) use self::pace::{Clock, Feed, Pace};
pub(super) use self::table::{Row, Table, Template};

use super::End;
use super::output::{self, Refusals};
use super::publisher::{self, Kind, Message, Publisher};
use super::server_url::ServerFlags;
use crate::driver::Pacer;
use crate::limits::REPLAY_LEN_MAX;

/// Publish the rows of a CSV file as JSON, paced by their time column
///
/// Columns become the fields of a JSON object: what is a JSON number stays one, digit for digit, all else is a string.
/// Rows are sorted by time; rows of the same time keep their order. Times are YYYY-MM-DD, that with HH:MM:SS[.fff] and
/// a zone behind it (UTC if it has none), or Unix seconds or milliseconds.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The file; its first line names the columns
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    /// The topic of a row: text with columns in braces
    #[arg(long, default_value = "px.{Ticker}")]
    topic: String,
    /// How much faster than the file's own time, or max: as fast as the gateway takes it
    #[arg(long, value_name = "N|max", default_value = "1")]
    speed: Speed,
    /// The column that paces [default: the first one named date, time, datetime, timestamp or ts]
    #[arg(long, value_name = "COLUMN")]
    time_column: Option<String>,
    /// Start over at the end
    #[arg(long = "loop")]
    looped: bool,
    /// End after this many rows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    server: ServerFlags,
}

const EXAMPLES: &str = "\
Examples:
  fanwire replay stocks.csv --speed 86400                a day a second
  fanwire replay stocks.csv --speed max
  fanwire replay trips.csv --topic 'bus.{line}.{stop}' --time-column seen_at --speed 60 --loop";

/// `--speed`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Speed(Pace);

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self(Pace::Max));
        }
        match text.parse::<f64>() {
            Ok(times) if (0.001..=1e12).contains(&times) => Ok(Self(Pace::Times(times))),
            _ => Err("it is a number from 0.001 to 10^12, or max".to_owned()),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, End> {
    let Speed(pace) = arguments.speed;
    let table = read(arguments)?;
    if pace != Pace::Max && !table.is_timed {
        let columns = table.columns.join(", ");
        return Err(End::Usage(format!(
            "no column is named like a time (there are {columns}); name one with --time-column, or use --speed max"
        )));
    }
    let mut feed = Feed::new(&table.rows, pace, 0);
    feed.passes = if arguments.looped { u64::MAX } else { 1 };
    feed.rows_max = arguments.count.unwrap_or(u64::MAX);
    let mut publisher = publisher::to(&arguments.server.server()?);
    let mut refusals = Refusals::default();
    let timer = Pacer::new();
    let published = feed.run(&clock(&timer), |rows| publish(&mut publisher, rows, &mut refusals))?;
    let seconds = nanos_to_seconds(timer.elapsed_nanos());
    let rate = if seconds > 0.0 { nanos_rate(published, seconds) } else { 0.0 };
    output::complain(&format!("{published} rows in {seconds:.3} s, {rate:.0} rows/s"));
    refusals.finish(published)?;
    Ok(ExitCode::SUCCESS)
}

/// The kernel's clock, as a feed uses it.
pub(super) fn clock(pacer: &Pacer) -> Clock<impl Fn() -> u64, impl Fn(u64)> {
    Clock::new(|| pacer.elapsed_ms(), |at_ms| pacer.sleep_until_ms(at_ms))
}

/// Publishes rows and tells which were refused.
pub(super) fn publish<S: Read + Write>(
    publisher: &mut Publisher<S, impl FnMut() -> io::Result<S>>,
    rows: &[Row],
    refusals: &mut Refusals,
) -> Result<(), End> {
    fn message(row: &Row) -> Message<'_> {
        Message { topic: &row.topic, key: None, id: None, extras: None, kind: Kind::Json, payload: row.json.as_bytes() }
    }
    let messages: Vec<_> = rows.iter().map(message).collect();
    let verdicts = publisher.publish(&messages).map_err(|error| End::Failed(error.to_string()))?;
    for (row, verdict) in rows.iter().zip(verdicts) {
        if let Err(why) = verdict {
            refusals.tell(&format!("line {}", row.line), &why);
        }
    }
    Ok(())
}

fn read(arguments: &Arguments) -> Result<Table, End> {
    let file = arguments.file.display();
    let usage = |error: String| End::Usage(format!("{file}: {error}"));
    let text = read_bounded(&arguments.file).map_err(|error| usage(error.to_string()))?;
    let template = Template::parse(&arguments.topic).map_err(|error| End::Usage(format!("--topic: {error}")))?;
    let table = Table::read(&text, &template, arguments.time_column.as_deref());
    table.map_err(|error| match error.line {
        Some(line) => End::Usage(format!("{file}:{line}: {}", error.why)),
        None => usage(error.why),
    })
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(REPLAY_LEN_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > REPLAY_LEN_MAX {
        true => Err(io::Error::other(format!("longer than {REPLAY_LEN_MAX} bytes"))),
        false => Ok(bytes),
    }
}

#[allow(clippy::cast_precision_loss)]
fn nanos_to_seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[allow(clippy::cast_precision_loss)]
fn nanos_rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_positive_number_or_max() {
        assert_eq!("max".parse(), Ok(Speed(Pace::Max)));
        assert_eq!("86400".parse(), Ok(Speed(Pace::Times(86400.0))));
        assert_eq!("0.5".parse(), Ok(Speed(Pace::Times(0.5))));
        for bad in ["", "0", "-1", "nan", "inf", "fast", "1e13"] {
            assert!(bad.parse::<Speed>().is_err(), "{bad}");
        }
    }
}
