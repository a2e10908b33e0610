//! Reports as one page: their figures side by side, and charts in which every run is a line. The page stands alone.

use std::fmt::Write;

use super::svg::{Chart, escape};
use super::text::{micros, number};
use super::{Report, RoundReport, Sample, text};
use crate::latency::Percentiles;

/// The page for one run or several.
#[must_use]
pub fn render(reports: &[Report]) -> String {
    let title = match reports {
        [report] => format!("{} against {}", report.scenario, report.label),
        reports => format!("{} runs", reports.len()),
    };
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>fanwire-load: {0}</title>\n\
         <style>{STYLE}</style></head>\n<body><h1>fanwire-load: {0}</h1>\n",
        escape(&title)
    );
    table(&mut out, reports);
    for chart in charts(reports) {
        out.push_str(&chart.render());
    }
    for report in reports {
        let _ = writeln!(out, "<h2>{}</h2>\n<pre>{}</pre>", escape(&name(report)), escape(&text::render(report)));
        let _ = writeln!(out, "<p><code>{}</code></p>", escape(&report.command.join(" ")));
    }
    out.push_str("</body></html>\n");
    out
}

/// Latency by rate, of the runs that looked for their knee; the bound is a line, too.
fn ramp_chart(reports: &[Report]) -> Chart {
    let mut lines = Vec::new();
    for report in reports {
        let Some(ramp) = &report.ramp else { continue };
        // A rate that was tried again counts as it came out at last.
        let mut rounds: Vec<(f64, &RoundReport)> = Vec::new();
        for (rate, round) in report.rounds.iter().filter_map(|round| Some((round.rate?, round))) {
            rounds.retain(|&(other, _)| other != rate);
            rounds.push((rate, round));
        }
        rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
        let points = |of: fn(&Percentiles) -> f64| -> Points {
            rounds.iter().filter_map(|(rate, round)| Some((*rate, of(round.latency.as_ref()?)))).collect()
        };
        lines.push((format!("{} p50", name(report)), points(|told| told.p50_us)));
        lines.push((format!("{} p99", name(report)), points(|told| told.p99_us)));
        let ends = [rounds.first(), rounds.last()].into_iter().flatten();
        lines.push((format!("{} bound on p99", name(report)), ends.map(|&(rate, _)| (rate, ramp.bound_us)).collect()));
    }
    Chart {
        title: "Latency by rate".to_owned(),
        x_label: "messages a second".to_owned(),
        y_label: "microseconds".to_owned(),
        is_log: (true, true),
        x_ticks: Vec::new(),
        lines,
    }
}

/// The points of a line.
type Points = Vec<(f64, f64)>;

/// The charts of all runs together.
fn charts(reports: &[Report]) -> [Chart; 5] {
    let curves = reports.iter().flat_map(|report| {
        let rounds = report.rounds.iter().filter(|round| !round.curve.is_empty());
        rounds.map(|round| {
            (round_name(report, round), round.curve.iter().map(|&(above, us)| (1.0 / above, us)).collect())
        })
    });
    let over_time = |value: &dyn Fn(&[Sample]) -> Points| -> Vec<(String, Points)> {
        reports.iter().map(|report| (name(report), value(&report.samples))).collect()
    };
    let chart = |title: &str, y_label: &str, lines| Chart {
        title: title.to_owned(),
        x_label: "seconds since the start".to_owned(),
        y_label: y_label.to_owned(),
        is_log: (false, false),
        x_ticks: Vec::new(),
        lines,
    };
    let seconds = |sample: &Sample| sample.at_ms as f64 / 1e3;
    let per_second = |samples: &[Sample]| {
        let pairs = samples.iter().zip(samples.iter().skip(1));
        pairs
            .map(|(before, after)| {
                let passed = after.at_ms.saturating_sub(before.at_ms).max(1) as f64 / 1e3;
                (seconds(after), after.delivered.saturating_sub(before.delivered) as f64 / passed)
            })
            .collect()
    };
    let memory = |samples: &[Sample]| {
        samples.iter().filter_map(|sample| Some((seconds(sample), sample.server_pss? as f64 / 1e6))).collect()
    };
    let open = |samples: &[Sample]| samples.iter().map(|sample| (seconds(sample), sample.open as f64)).collect();
    [
        ramp_chart(reports),
        Chart {
            x_label: "percentile".to_owned(),
            is_log: (true, true),
            x_ticks: PERCENTILES.map(|(above, name)| (1.0 / above, name.to_owned())).into(),
            ..chart("Latency by percentile", "microseconds", curves.collect())
        },
        chart("Deliveries", "a second", over_time(&per_second)),
        chart("Memory of the server", "megabytes of PSS", over_time(&memory)),
        chart("Connections", "open", over_time(&open)),
    ]
}

fn table(out: &mut String, reports: &[Report]) {
    out.push_str("<table><tr><th>run</th><th>scenario</th><th>deliveries/s</th><th>reach</th><th>p50</th><th>p99</th>");
    out.push_str("<th>p99.9</th><th>server CPU a delivery</th><th>a handshake</th><th>bytes a connection</th>");
    out.push_str("<th>messages a turn</th><th>client CPU</th><th>errors</th></tr>\n");
    for report in reports {
        let nanos = |ns: Option<f64>| ns.map(|ns| micros(ns / 1e3));
        let cells = [
            Some(name(report)),
            Some(report.scenario.clone()),
            report.deliveries_per_second.map(number),
            report.reach.map(|reach| format!("{reach:.4}")),
            report.p50_us.map(micros),
            report.p99_us.map(micros),
            report.p999_us.map(micros),
            nanos(report.server_cpu_ns_per_delivery),
            nanos(report.server_cpu_ns_per_handshake),
            report.bytes_per_connection_user.map(|bytes| format!("{bytes:.0}")),
            report.regime_messages_per_turn.map(|messages| format!("{messages:.2}")),
            report.client_cpu_share.map(|share| format!("{:.0} %", share * 100.0)),
            Some(report.errors.total().to_string()),
        ];
        out.push_str("<tr>");
        for cell in cells {
            let _ = write!(out, "<td>{}</td>", escape(&cell.unwrap_or_default()));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n");
}

fn name(report: &Report) -> String {
    format!("{} {}", report.label, report.scenario)
}

fn round_name(report: &Report, round: &RoundReport) -> String {
    match report.rounds.len() {
        1 => name(report),
        _ => format!("{} {}", name(report), round.name),
    }
}

const PERCENTILES: [(f64, &str); 7] = [
    (1.0, "0"),
    (0.5, "50 %"),
    (0.1, "90 %"),
    (0.01, "99 %"),
    (0.001, "99.9 %"),
    (0.0001, "99.99 %"),
    (0.00001, "99.999 %"),
];

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222}\
    h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}table{border-collapse:collapse;font-size:13px;display:block;\
    overflow-x:auto}th,td{border:1px solid #ccc;padding:3px 8px;text-align:right}td:first-child,th:first-child{\
    text-align:left}svg{width:100%;margin:1.5em 0 0}svg text{font-size:12px;fill:#444}svg .title{font-weight:600;\
    fill:#222}svg .y,svg .label{text-anchor:end}svg .x{text-anchor:middle}svg .grid{stroke:#e2e2e2;fill:none}\
    svg .line{fill:none;stroke-width:1.8}svg .key{font-weight:600}pre{background:#f6f6f6;padding:1em;\
    overflow-x:auto}code{font-size:12px}";

#[cfg(test)]
mod tests {
    use super::*;

    fn report(label: &str) -> Report {
        let sample = |at_ms, delivered| Sample { at_ms, delivered, open: 5, ..Sample::default() };
        Report {
            scenario: "fanout".to_owned(),
            label: label.to_owned(),
            rounds: vec![RoundReport { curve: vec![(1.0, 5.0), (0.5, 6.0), (0.25, 9.0)], ..RoundReport::default() }],
            samples: vec![sample(0, 0), sample(500, 50), sample(1000, 150)],
            p99_us: Some(1234.0),
            ..Report::default()
        }
    }

    #[test]
    fn several_runs_are_lines_of_one_chart() {
        let page = render(&[report("a"), report("b <x>")]);
        let latency = page.split("<svg").nth(1).expect("a first chart");
        assert_eq!(latency.matches("class=\"line\"").count(), 2);
        assert!(latency.contains("b &lt;x&gt; fanout"));
        assert!(!page.contains("<x>"));
        assert_eq!(page.matches("<tr>").count(), 3);
    }

    #[test]
    fn a_ramp_is_a_chart_of_latency_by_rate() {
        let step = |rate, p99_us| RoundReport {
            rate: Some(rate),
            latency: Some(Percentiles { p50_us: 1.0, p99_us, ..Percentiles::default() }),
            ..RoundReport::default()
        };
        let ramp = crate::report::Ramp { bound_us: 100.0, ..Default::default() };
        // The second was late once, and not when it was tried again.
        let rounds = vec![step(100.0, 5.0), step(400.0, 900.0), step(400.0, 9.0), step(200.0, 7.0)];
        let report = Report { rounds, ramp: Some(ramp), ..report("a") };
        let chart = ramp_chart(std::slice::from_ref(&report));
        let lines: Vec<_> = chart.lines.iter().map(|(_, points)| points.as_slice()).collect();
        assert_eq!(lines[0], [(100.0, 1.0), (200.0, 1.0), (400.0, 1.0)]);
        assert_eq!(lines[1], [(100.0, 5.0), (200.0, 7.0), (400.0, 9.0)]);
        assert_eq!(lines[2], [(100.0, 100.0), (400.0, 100.0)]);
        assert!(render(&[report]).contains("Latency by rate"));
    }

    #[test]
    fn what_was_not_measured_has_no_chart() {
        let page = render(&[report("a")]);
        assert_eq!(page.matches("<svg").count(), 3, "nobody gave the server's pid, so that its memory is unknown");
        assert!(page.contains("1.23 ms"));
    }
}
