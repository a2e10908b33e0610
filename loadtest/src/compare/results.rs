//! The results: samples by case, server and round, their summaries, and the table that is printed.

use std::fmt::Write;

use serde::Serialize;

use super::case::Case;
use super::report::ClientReport;
use super::statistics::{Summary, is_tie, ratio};

/// One case against every server that can do it.
#[derive(Debug)]
pub(super) struct CaseResults {
    pub(super) case: Case,
    pub(super) rows: Vec<Row>,
}

/// One server in one case.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) server: String,
    /// One a round, in order.
    pub(super) samples: Vec<Result<ClientReport, String>>,
}

/// A figure of a row.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub(super) measure: &'static str,
    pub(super) unit: &'static str,
    #[serde(flatten)]
    pub(super) summary: Summary,
    /// To the floor of the same rounds, where it is divided; the floor's own is 1.
    pub(super) ratio: Option<f64>,
}

/// The name of the row that the others are divided by.
pub(super) const FLOOR: &str = "floor";

impl CaseResults {
    pub(super) fn new(case: Case, servers: impl Iterator<Item = String>) -> Self {
        Self { case, rows: servers.map(|server| Row { server, samples: Vec::new() }).collect() }
    }

    /// The figures of a row, those without any value left out.
    pub(super) fn figures(&self, row: &Row) -> Vec<Figure> {
        let floor = self.rows.iter().find(|row| row.server == FLOOR);
        let figures = self.case.measures().iter().filter_map(|measure| {
            let values = row.values(measure.of);
            let present: Vec<f64> = values.iter().copied().flatten().collect();
            let floor = floor.filter(|_| measure.is_divided);
            let ratio = floor.and_then(|floor| ratio(&values, &floor.values(measure.of)));
            Some(Figure { measure: measure.name, unit: measure.unit, summary: Summary::of(&present)?, ratio })
        });
        figures.collect()
    }

    /// The table of this case.
    pub(super) fn table(&self) -> String {
        let mut text = format!("\n{}\n", self.case.name());
        let width = self.rows.iter().map(|row| row.server.len()).max().unwrap_or(0).max(6);
        let _ = writeln!(
            text,
            "  {:<width$}  {:<28} {:>10} {:>7} {:>9}",
            "server", "measure", "median", "spread", "to floor"
        );
        for row in &self.rows {
            let mut name = row.server.as_str();
            for figure in self.figures(row) {
                let measure = format!("{} {}", figure.measure, figure.unit);
                let spread = format!("{:.1} %", figure.summary.spread * 100.0);
                let median = shown(figure.summary.median);
                let ratio = figure.ratio.map(shown_ratio).unwrap_or_default();
                let line = format!("  {name:<width$}  {measure:<28} {median:>10} {spread:>7} {ratio:>9}");
                let _ = writeln!(text, "{}", line.trim_end());
                name = "";
            }
            if let Some(doubt) = row.doubt() {
                let _ = writeln!(text, "  {name:<width$}  ! {doubt}");
            }
        }
        text
    }

    /// The same for programs, with every sample.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let sample = |sample: &Result<ClientReport, String>| match sample {
            Ok(report) => serde_json::json!(report),
            Err(error) => serde_json::json!({ "failed": error }),
        };
        let row = |row: &Row| {
            serde_json::json!({
                "server": row.server,
                "figures": self.figures(row),
                "doubt": row.doubt(),
                "rounds": row.samples.iter().map(sample).collect::<Vec<_>>(),
            })
        };
        serde_json::json!({ "case": self.case.name(), "servers": self.rows.iter().map(row).collect::<Vec<_>>() })
    }
}

impl Row {
    /// One a round; `None` where the run failed or did not know.
    fn values(&self, of: fn(&ClientReport) -> Option<f64>) -> Vec<Option<f64>> {
        self.samples.iter().map(|sample| sample.as_ref().ok().and_then(of)).collect()
    }

    /// The last reason for not trusting a round, and in how many there was one.
    fn doubt(&self) -> Option<String> {
        let doubts = self.samples.iter().filter_map(|sample| match sample {
            Ok(report) => report.doubt(),
            Err(error) => Some(error.clone()),
        });
        let doubts: Vec<String> = doubts.collect();
        Some(format!("{} of {} rounds: {}", doubts.len(), self.samples.len(), doubts.last()?))
    }
}

/// About four digits, for any size.
pub(super) fn shown(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.3}"),
        10.0..100.0 => format!("{value:.2}"),
        100.0..1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A ratio; under three percent apart says that it is a tie.
fn shown_ratio(ratio: f64) -> String {
    if is_tie(ratio) { format!("{ratio:.2} =") } else { format!("{ratio:.2}") }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn sample(cpu_us: f64, p99_us: Option<f64>) -> Result<ClientReport, String> {
        let server_cpu_ns_per_delivery = Some(cpu_us * 1000.0);
        Ok(ClientReport {
            scenario: "fanout".to_owned(),
            server_cpu_ns_per_delivery,
            p99_us,
            ..ClientReport::default()
        })
    }

    /// Three rounds on a machine that was slower in each.
    pub(in crate::compare) fn results() -> CaseResults {
        let mut results = CaseResults::new(Case::Fanout, ["floor", "fanwire", "slow"].map(str::to_owned).into_iter());
        for round in 1..=3 {
            let noise = f64::from(round);
            results.rows[0].samples.push(sample(4.0 * noise, None));
            results.rows[1].samples.push(sample(4.04 * noise, Some(100.0 * noise)));
            results.rows[2].samples.push(if round == 2 {
                Err("it ended".to_owned())
            } else {
                sample(8.0 * noise, None)
            });
        }
        results
    }

    #[test]
    fn figures_are_medians_and_ratios_within_rounds() {
        let results = results();
        let figures = results.figures(&results.rows[1]);
        let names: Vec<_> = figures.iter().map(|figure| figure.measure).collect();
        assert_eq!(names, ["server CPU", "p99"], "what is unknown has no row");
        assert!((figures[0].summary.median - 8.08).abs() < 1e-9);
        assert!((figures[0].ratio.expect("the floor was measured") - 1.01).abs() < 1e-9);
        assert_eq!(figures[1].ratio, None, "the floor has no p99");
        // The round that failed is missing on one side only: 8 / 4 and 24 / 12 are left.
        assert_eq!(results.figures(&results.rows[2])[0].ratio, Some(2.0));
        assert_eq!(results.figures(&results.rows[2])[0].summary.rounds, 2);
    }

    #[test]
    fn user_memory_is_not_divided_by_a_floor_of_next_to_nothing() {
        let mut results = CaseResults::new(Case::Hold, ["floor", "fanwire"].map(str::to_owned).into_iter());
        for (row, user) in results.rows.iter_mut().zip([2.5, 80.0]) {
            let (bytes_per_connection_user, bytes_per_connection_kernel) = (Some(user), Some(8000.0));
            let report = ClientReport { bytes_per_connection_user, bytes_per_connection_kernel, ..Default::default() };
            row.samples.push(Ok(report));
        }
        let figures = results.figures(&results.rows[1]);
        assert_eq!(figures.iter().map(|figure| figure.ratio.is_some()).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(figures[2].summary.median, 8080.0);
    }

    #[test]
    fn the_table_shows_ties_and_doubts() {
        let table = results().table();
        let expected = "\nfanout\n\
            \x20 server   measure                          median  spread  to floor\n\
            \x20 floor    server CPU us/delivery            8.000  50.0 %    1.00 =\n\
            \x20 fanwire  server CPU us/delivery            8.080  50.0 %    1.01 =\n\
            \x20          p99 us                            200.0  50.0 %\n\
            \x20 slow     server CPU us/delivery            16.00  50.0 %      2.00\n\
            \x20          ! 1 of 3 rounds: it ended\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn the_json_holds_figures_and_every_round() {
        let json = results().to_json();
        assert_eq!(json["case"], "fanout");
        let slow = &json["servers"][2];
        assert_eq!(slow["figures"][0]["median"], 16.0);
        assert_eq!(slow["figures"][0]["unit"], "us/delivery");
        assert_eq!(slow["rounds"][1]["failed"], "it ended");
        assert_eq!(slow["rounds"][2]["server_cpu_ns_per_delivery"], 24_000.0);
    }

    #[test]
    fn numbers_keep_four_digits() {
        for (value, text) in [(0.0, "0.000"), (4.1234, "4.123"), (45.678, "45.68"), (345.67, "345.7"), (3829.4, "3829")]
        {
            assert_eq!(shown(value), text);
        }
        assert_eq!([shown_ratio(1.02), shown_ratio(0.77)], ["1.02 =", "0.77"]);
    }
}
