//! A CSV file as messages: each row a topic, a JSON object and a time.

use crate::cli::publisher::json_string;
use crate::command::TopicName;

use super::time;

/// The rows of a file, sorted by time.
#[derive(Debug)]
pub(in crate::cli) struct Table {
    /// The names of the columns, in the file's order.
    pub(in crate::cli) columns: Vec<String>,
    /// Whether there is a time column; without one the rows are in the file's order.
    pub(in crate::cli) is_timed: bool,
    pub(in crate::cli) rows: Vec<Row>,
}

/// One row, ready to be published.
#[derive(Debug)]
pub(in crate::cli) struct Row {
    /// Unix milliseconds; 0 without a time column.
    pub(in crate::cli) at_ms: i64,
    pub(in crate::cli) topic: Box<str>,
    pub(in crate::cli) json: Box<str>,
    /// Where it stands in the file, counted from 1.
    pub(in crate::cli) line: u64,
}

/// A mistake in a file, and its place.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct TableError {
    pub(in crate::cli) line: Option<u64>,
    pub(in crate::cli) why: String,
}

/// A topic with columns in braces.
#[derive(Debug)]
pub(in crate::cli) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Column(String),
}

/// Names that a time column goes by, in small letters.
const TIME_COLUMNS: [&str; 5] = ["date", "time", "datetime", "timestamp", "ts"];

impl Template {
    /// Reads `px.{Ticker}`.
    ///
    /// # Errors
    /// A brace without its other half, or an empty pair.
    pub(in crate::cli) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (column, after) = behind.split_once('}').ok_or("a { has no }")?;
            if before.contains('}') || column.is_empty() || column.contains('{') {
                return Err("braces hold the name of a column, as in px.{Ticker}".to_owned());
            }
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Column(column.to_owned()));
            rest = after;
        }
        if rest.contains('}') {
            return Err("a } has no {".to_owned());
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts })
    }
}

impl Table {
    /// Reads CSV whose first record names the columns.
    ///
    /// # Errors
    /// The first thing that is wrong, and its line.
    pub(in crate::cli) fn read(bytes: &[u8], template: &Template, time: Option<&str>) -> Result<Self, TableError> {
        let nowhere = |why: String| TableError { line: None, why };
        let mut reader = csv::Reader::from_reader(bytes);
        let header = reader.headers().map_err(csv_error)?;
        let columns: Vec<String> = header.iter().map(str::to_owned).collect();
        let is_repeated = |&(at, name): &(usize, &String)| columns.iter().take(at).any(|before| before == name);
        if let Some((_, name)) = columns.iter().enumerate().find(is_repeated) {
            return Err(TableError { line: Some(1), why: format!("column \"{name}\" is there twice") });
        }
        let at_column = |name: &str| {
            let at = columns.iter().position(|column| column == name);
            at.ok_or_else(|| nowhere(format!("there is no column \"{name}\"; there are {}", columns.join(", "))))
        };
        let topic = resolve(template, at_column)?;
        let is_time = |name: &String| TIME_COLUMNS.contains(&name.to_ascii_lowercase().as_str());
        let time = match time {
            Some(name) => Some(at_column(name)?),
            None => columns.iter().position(is_time),
        };
        let names: Vec<String> = columns.iter().map(|column| json_string(column)).collect();
        let mut rows = Vec::new();
        for record in reader.records() {
            rows.push(row(&record.map_err(csv_error)?, &names, &topic, time)?);
        }
        rows.sort_by_key(|row| row.at_ms);
        Ok(Self { columns, is_timed: time.is_some(), rows })
    }
}

/// A template's parts with columns as indexes.
enum Resolved<'a> {
    Text(&'a str),
    Column(usize),
}

fn resolve(
    template: &Template,
    at_column: impl Fn(&str) -> Result<usize, TableError>,
) -> Result<Vec<Resolved<'_>>, TableError> {
    let mut resolved = Vec::with_capacity(template.parts.len());
    for part in &template.parts {
        resolved.push(match part {
            Part::Text(text) => Resolved::Text(text),
            Part::Column(name) => Resolved::Column(at_column(name)?),
        });
    }
    Ok(resolved)
}

fn row(
    record: &csv::StringRecord,
    names: &[String],
    topic: &[Resolved<'_>],
    time: Option<usize>,
) -> Result<Row, TableError> {
    let line = record.position().map_or(0, csv::Position::line);
    let wrong = |why: String| TableError { line: Some(line), why };
    let value = |at: usize| record.get(at).unwrap_or_default();
    let topic: String = topic
        .iter()
        .map(|part| match part {
            Resolved::Text(text) => text,
            Resolved::Column(at) => value(*at),
        })
        .collect();
    if !TopicName::is_valid(&topic) {
        return Err(wrong(format!("\"{topic}\" is not a topic: {}", crate::command::BadTopic)));
    }
    let at_ms = match time {
        Some(at) => time::parse(value(at)).ok_or_else(|| wrong(format!("\"{}\" is not a time", value(at))))?,
        None => 0,
    };
    let field = |(name, value): (&String, &str)| match is_json_number(value) {
        true => format!("{name}:{value}"),
        false => format!("{name}:{}", json_string(value)),
    };
    let fields: Vec<_> = names.iter().zip(record).map(field).collect();
    Ok(Row { at_ms, topic: topic.into(), json: format!("{{{}}}", fields.join(",")).into(), line })
}

/// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`
fn is_json_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

fn csv_error(error: csv::Error) -> TableError {
    let line = error.position().map(csv::Position::line);
    let why = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} columns, the first line {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "the row is not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    TableError { line, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, template: &str, time: Option<&str>) -> Result<Table, TableError> {
        Table::read(text.as_bytes(), &Template::parse(template).expect("a template"), time)
    }

    fn shown(table: &Table) -> Vec<String> {
        table.rows.iter().map(|row| format!("{} {} {}", row.line, row.topic, row.json)).collect()
    }

    #[test]
    fn columns_become_fields_and_numbers_stay_digit_for_digit() {
        let text = "Ticker,Date,Close,Note\nA,2000-03-01,130.310,\nB,2000-03-01,-0,\"say \"\"hi\"\",\nthere\"\n";
        let table = read(text, "px.{Ticker}", None).expect("a table");
        assert_eq!(
            shown(&table),
            [
                r#"2 px.A {"Ticker":"A","Date":"2000-03-01","Close":130.310,"Note":""}"#,
                r#"3 px.B {"Ticker":"B","Date":"2000-03-01","Close":-0,"Note":"say \"hi\",\nthere"}"#,
            ]
        );
        for row in &table.rows {
            assert!(serde_json::from_str::<serde_json::Value>(&row.json).is_ok(), "{}", row.json);
        }
    }

    #[test]
    fn rows_are_sorted_by_time_and_keep_their_order_within_one() {
        let text = "t,Date\na,2000-01-02\nb,2000-01-01\nc,2000-01-02\nd,2000-01-01\n";
        let table = read(text, "x.{t}", None).expect("a table");
        let topics: Vec<_> = table.rows.iter().map(|row| &*row.topic).collect();
        assert_eq!(topics, ["x.b", "x.d", "x.a", "x.c"]);
        let by_line = read("t,v\nb,1\na,2\n", "x", None).expect("a table");
        assert!(!by_line.is_timed);
        assert_eq!(by_line.rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn the_time_column_is_found_by_its_name_or_named() {
        assert!(read("a,TimeStamp\nx,5\n", "t", None).expect("a table").is_timed);
        let named = read("date,seen\nno time,7\n", "t", Some("seen")).expect("a table");
        assert_eq!(named.rows[0].at_ms, 7000);
    }

    #[test]
    fn templates_may_use_several_columns() {
        let table = read("line,stop\n7,Main\n", "bus.{line}.{stop}.seen", None).expect("a table");
        assert_eq!(&*table.rows[0].topic, "bus.7.Main.seen");
        for bad in ["{", "}", "a{}", "{a", "a}b{c}", "{a{b}}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_file_is_told_with_its_line() {
        let check = |text: &str, template: &str, time, line, why: &str| {
            let error = read(text, template, time).expect_err(why);
            assert_eq!(error.line, line, "{error:?}");
            assert!(error.why.contains(why), "{error:?} says {why}");
        };
        check("a,b\n1,2\n", "px.{Ticker}", None, None, "there is no column \"Ticker\"; there are a, b");
        check("a,b\n1,2\n", "px.{a}", Some("when"), None, "there is no column \"when\"");
        check("a,a\n1,2\n", "px.{a}", None, Some(1), "column \"a\" is there twice");
        check("a,b\n1,2\nx y,2\n", "px.{a}", None, Some(3), "\"px.x y\" is not a topic");
        check("a\n1\n*\n", "px.{a}", None, Some(3), "\"px.*\" is not a topic");
        check("a,b\n1,2\n,2\n", "px.{a}", None, Some(3), "\"px.\" is not a topic");
        check("a,b\n1,2\n1,2,3\n", "px.{a}", None, Some(3), "the row has 3 columns, the first line 2");
        check("a,date\n1,2000-01-01\n1,soon\n", "px.{a}", None, Some(3), "\"soon\" is not a time");
        let error = Table::read(b"a\n\xff\n", &Template::parse("x").expect("a template"), None).expect_err("bytes");
        assert_eq!(error, TableError { line: Some(2), why: "the row is not UTF-8".to_owned() });
    }

    #[test]
    fn an_empty_file_has_no_rows() {
        assert!(read("", "x", None).expect("a table").rows.is_empty());
        assert!(read("a,b\n", "x", None).expect("a table").rows.is_empty());
    }

    #[test]
    fn only_what_json_takes_is_a_number() {
        for text in ["0", "-0", "10", "1.50", "1e5", "-1.5E-7", "9616100", "1E+2"] {
            assert!(is_json_number(text), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
        }
        for text in ["", "-", "01", "1.", ".5", "+1", "1e", "1e+", "0x1", "1 ", "NaN", "1,5", "--1", "1.2.3", "1e5e5"] {
            assert!(!is_json_number(text), "{text}");
        }
    }
}
