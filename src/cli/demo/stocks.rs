//! The prices of the demo: of each row of the file four ticks, as a day goes.
//!
//! A row has the four prices of a day: open, high, low, close. They go out one after the other, as a candle that grows:
//! `High` and `Low` are those so far, `Close` is the last price. The file does not say which of high and low came first:
//! here the low does on days that gained, the high on all others. `Previous` is the close of the row before, divided
//! after a split, so that the change of a tick is the change since the trading day before.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::cli::replay::{Row, Table, Template};

/// Daily prices; where they come from stands in `data/README.md`.
const FILE: &str = include_str!("../../../data/stocks.csv");

const COLUMNS: &str = "Ticker,Date,Previous,Open,High,Low,Close,Volume,Adj Close\n";

/// Ticks of a row.
pub(super) const TICKS: usize = 4;

/// A split divides the close by two or more; no day in the file loses 40 %.
const SPLIT_BELOW: f64 = 0.6;

/// The first pass begins where the youngest of the five is listed, so that all of them move at once.
const FIRST_DAY: &str = "2012-05-18";

/// One row of the file.
#[derive(Clone, Copy, Debug)]
struct Day<'a> {
    ticker: &'a str,
    date: &'a str,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: &'a str,
    adjusted: f64,
}

/// All ticks, in the order in which they go out.
///
/// # Errors
/// A row that is not one.
pub(super) fn table() -> Result<Table, String> {
    let template = Template::parse("px.{Ticker}")?;
    Table::read(ticks()?.as_bytes(), &template, Some("Date")).map_err(|error| error.why)
}

/// The ticks as a file: first the opens of all days, at last their closes. The table sorts by day and keeps the order
/// within one.
fn ticks() -> Result<String, String> {
    let days = FILE.lines().skip(1).map(|line| parse(line).ok_or_else(|| format!("not a row: {line}")));
    let days = days.collect::<Result<Vec<_>, _>>()?;
    let mut last: HashMap<&str, Day<'_>> = HashMap::new();
    let closes: Vec<_> =
        days.iter().map(|day| last.insert(day.ticker, *day).map(|last| previous(last, *day))).collect();
    let mut text = COLUMNS.to_owned();
    for at in 0..TICKS {
        for (day, previous) in days.iter().zip(&closes) {
            write_tick(&mut text, day, *previous, at);
        }
    }
    Ok(text)
}

/// The tick that the first pass begins with.
pub(super) fn first_row(table: &Table) -> usize {
    let field = format!("\"Date\":\"{FIRST_DAY}\"");
    table.rows.iter().position(|row| row.json.contains(&field)).unwrap_or(0)
}

/// Ticks with the time at which they go out, in Unix milliseconds.
pub(super) fn stamped(rows: &[Row], at_ms: u64) -> Vec<Row> {
    let stamp = |row: &Row| {
        let open = row.json.strip_suffix('}').unwrap_or(&row.json);
        Row {
            at_ms: row.at_ms,
            topic: row.topic.clone(),
            json: format!("{open},\"Sent\":{at_ms}}}").into(),
            line: row.line,
        }
    };
    rows.iter().map(stamp).collect()
}

fn parse(line: &str) -> Option<Day<'_>> {
    let mut cells = line.split(',');
    let (ticker, date) = (cells.next()?, cells.next()?);
    let mut price = || cells.next()?.parse().ok();
    let (open, high, low, close) = (price()?, price()?, price()?, price()?);
    Some(Day { ticker, date, open, high, low, close, volume: cells.next()?, adjusted: cells.next()?.parse().ok()? })
}

/// The close of the day before, as it counts on the day behind it.
fn previous(last: Day<'_>, day: Day<'_>) -> f64 {
    let factor = (day.close / last.close) / (day.adjusted / last.adjusted);
    if factor < SPLIT_BELOW { last.close / (1.0 / factor).round() } else { last.close }
}

/// The candle of a day after its tick `at`.
fn write_tick(text: &mut String, day: &Day<'_>, previous: Option<f64>, at: usize) {
    let path = if day.close >= day.open {
        [day.open, day.low, day.high, day.close]
    } else {
        [day.open, day.high, day.low, day.close]
    };
    let so_far = path.get(..=at).unwrap_or(&path);
    let price = path.get(at).copied().unwrap_or(day.close);
    let high = so_far.iter().copied().fold(price, f64::max);
    let low = so_far.iter().copied().fold(price, f64::min);
    let adjusted = price * day.adjusted / day.close;
    let previous = previous.map(|close| close.to_string()).unwrap_or_default();
    let Day { ticker, date, open, volume, .. } = day;
    writeln!(text, "{ticker},{date},{previous},{open},{high},{low},{price},{volume},{adjusted:.4}")
        .expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ticks that begin like this.
    fn of(day: &str) -> Vec<String> {
        let text = ticks().expect("the file is good");
        text.lines().filter_map(|line| line.strip_prefix(day)).map(str::to_owned).collect()
    }

    #[test]
    fn the_first_pass_begins_on_the_first_day_of_all_five() {
        let table = table().expect("the file is good");
        let first = first_row(&table);
        assert!(first > 0 && table.rows.len() == 12_154 * TICKS);
        let day = table.rows[first].at_ms;
        let mut topics: Vec<_> = table.rows[first..].iter().take(5).map(|row| &*row.topic).collect();
        topics.sort_unstable();
        assert_eq!(topics, ["px.AAPL", "px.FB", "px.GOOG", "px.IBM", "px.MSFT"]);
        assert!(table.rows[first - 1].at_ms < day);
        let sent = stamped(&table.rows[first..=first], 1_700_000_000_123);
        assert!(
            sent[0].json.starts_with("{\"Ticker\":\"AAPL\",\"Date\":\"2012-05-18\",\"Previous\":530.12,"),
            "{sent:?}"
        );
        assert!(sent[0].json.ends_with(",\"Sent\":1700000000123}") && sent[0].topic == table.rows[first].topic);
    }

    #[test]
    fn a_day_goes_from_its_open_to_its_close_beside_the_close_of_the_day_before() {
        // In the file: AAPL,2000-03-01,118.56,132.06,118.5,130.31 and AAPL,2000-03-02,127.0,127.94,120.69,122.0.
        let lost = of("AAPL,2000-03-02,130.31,127,");
        let prices = ["127,127,127,", "127.94,127,127.94,", "127.94,120.69,120.69,", "127.94,120.69,122,"];
        assert_eq!(lost.len(), TICKS);
        for (tick, high_low_last) in lost.iter().zip(prices) {
            assert!(tick.starts_with(high_low_last) && tick.contains(",2779100,"), "{tick}");
        }
        let gained = of("AAPL,2000-03-01,,118.56,");
        assert!(gained[1].starts_with("118.56,118.5,118.5,"), "the low comes first: {gained:?}");
    }

    #[test]
    fn a_split_is_not_a_loss() {
        for (day, previous) in [
            ("AAPL,2000-06-21,", "50.625,"),
            ("AAPL,2005-02-28,", "44.495,"),
            ("MSFT,2003-02-18,", "24.15,"),
            // A dividend of 10 % is no split.
            ("MSFT,2004-11-15,", "29.97,"),
        ] {
            assert!(of(day).iter().all(|tick| tick.starts_with(previous)), "{day}: {:?}", of(day));
        }
    }
}
