//! The chart: a bar for each server's median in each case, whiskers from the best round to the worst, and the ratio to
//! the floor. One SVG, by itself or inside a page.

use std::fmt::Write;

use super::results::{CaseResults, FLOOR, Figure, shown};
use super::statistics::is_tie;
use crate::report::svg::escape;

/// The chart of every case, as an SVG document.
pub(super) fn svg(results: &[CaseResults], caption: &str) -> String {
    let mut body = String::new();
    let mut y = TOP;
    for case in results {
        y = draw_case(&mut body, case, y);
    }
    let height = y + BOTTOM;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"13\">\n{STYLE}<rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n{body}\
         <text class=\"faint\" x=\"{LEFT}\" y=\"{}\">{}</text>\n</svg>\n",
        height - 14,
        escape(caption)
    )
}

/// The same inside a page.
pub(super) fn html(results: &[CaseResults], caption: &str) -> String {
    let tables: String = results.iter().map(CaseResults::table).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>fanwire-load compare</title>\n\
         <style>:root {{ color-scheme: light dark }} body {{ margin: 1rem auto; max-width: 60rem; padding: 0 1rem; \
         font-family: system-ui, sans-serif }} pre {{ overflow-x: auto }} svg {{ width: 100% }}</style>\n\
         <h1>fanwire-load compare</h1>\n{}<pre>{}</pre>\n</html>\n",
        svg(results, caption),
        escape(&tables)
    )
}

/// Draws one case from `y` on, and returns where the next one begins.
fn draw_case(body: &mut String, case: &CaseResults, mut y: u32) -> u32 {
    let rows: Vec<(&str, Figure)> =
        case.rows.iter().filter_map(|row| Some((row.server.as_str(), case.figures(row).into_iter().next()?))).collect();
    let Some((_, first)) = rows.first() else { return y };
    let title = format!("{}: {}, {}", case.case.name(), first.measure, first.unit);
    let _ = writeln!(body, "<text class=\"title\" x=\"{LEFT}\" y=\"{}\">{}</text>", y + 14, escape(&title));
    y += 26;
    let most = rows.iter().map(|(_, figure)| figure.summary.max).fold(f64::MIN_POSITIVE, f64::max);
    let x_of = |value: f64| f64::from(BAR_LEFT) + value.max(0.0) / most * f64::from(BAR_RIGHT - BAR_LEFT);
    for (server, figure) in rows {
        let summary = &figure.summary;
        let (middle, kind) = (y + ROW / 2, if server.starts_with("fanwire") { "ours" } else { "theirs" });
        let kind = if server.starts_with("floor") { "floor" } else { kind };
        let label = match figure.ratio {
            Some(ratio) if server != FLOOR => {
                let tie = if is_tie(ratio) { ", tie" } else { "" };
                format!("{} ({ratio:.2} x{tie})", shown(summary.median))
            }
            _ => shown(summary.median),
        };
        let (low, high, end) = (x_of(summary.min), x_of(summary.max), x_of(summary.median));
        let _ = writeln!(
            body,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{kind}\" x=\"{BAR_LEFT}\" y=\"{}\" width=\"{:.1}\" height=\"{}\"/>\
             <path class=\"whisker\" d=\"M{low:.1} {middle}H{high:.1}M{low:.1} {}v8M{high:.1} {}v8\"/>\
             <text x=\"{}\" y=\"{}\">{label}</text>",
            BAR_LEFT - 8,
            middle + 4,
            escape(server),
            y + 3,
            end - f64::from(BAR_LEFT),
            ROW - 6,
            middle - 4,
            middle - 4,
            BAR_RIGHT + 10,
            middle + 4,
        );
        y += ROW;
    }
    y + 18
}

const WIDTH: u32 = 760;
const LEFT: u32 = 16;
const TOP: u32 = 16;
const BOTTOM: u32 = 24;
const BAR_LEFT: u32 = 130;
const BAR_RIGHT: u32 = 600;
const ROW: u32 = 24;

const STYLE: &str = "<style>.page { fill: #fff } text { fill: #222 } .title { font-weight: 600 } .faint { fill: #666; \
    font-size: 11px } .floor { fill: #b8b8b8 } .ours { fill: #2a78d6 } .theirs { fill: #8fb7e3 } .whisker { stroke: #222; \
    stroke-width: 1.2; fill: none } @media (prefers-color-scheme: dark) { .page { fill: #181a1d } text { fill: #e6e6e6 } \
    .faint { fill: #9a9a9a } .floor { fill: #666b72 } .ours { fill: #4c97ea } .theirs { fill: #34577d } \
    .whisker { stroke: #e6e6e6 } }</style>\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::results::tests::results;

    #[test]
    fn the_chart_has_a_bar_and_a_label_for_each_server() {
        let chart = svg(&[results()], "Linux 6.18 <test>");
        assert_eq!(chart.matches("class=\"whisker\"").count(), 3);
        assert!(chart.contains("fanout: server CPU, us/delivery"), "{chart}");
        assert!(chart.contains(">8.080 (1.01 x, tie)<") && chart.contains(">16.00 (2.00 x)<"), "{chart}");
        assert!(chart.contains("Linux 6.18 &lt;test&gt;"));
        // The longest whisker ends at the right end of the bars: 24 us of "slow" in the third round.
        assert!(chart.contains(&format!("H{BAR_RIGHT}.0")), "{chart}");
    }

    #[test]
    fn a_page_holds_the_chart_and_the_tables() {
        let page = html(&[results()], "x");
        assert!(page.contains("<svg ") && page.contains("server CPU us/delivery            8.000"), "{page}");
    }

    #[test]
    fn a_case_without_any_figure_is_left_out() {
        let mut empty = results();
        empty.rows.iter_mut().for_each(|row| row.samples.clear());
        assert!(!svg(&[empty], "").contains("fanout"));
    }
}
