//! Line charts as SVG text.

use std::fmt::Write;

/// A chart of several lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// The title.
    pub title: String,
    /// The horizontal axis, with its unit.
    pub x_label: String,
    /// The vertical axis, with its unit.
    pub y_label: String,
    /// Whether the axes are logarithmic.
    pub is_log: (bool, bool),
    /// Names of points on the horizontal axis, instead of numbers.
    pub x_ticks: Vec<(f64, String)>,
    /// The lines: name and points.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Chart {
    /// The chart as an `svg` element; nothing if there is nothing to draw.
    #[must_use]
    pub fn render(&self) -> String {
        let is_drawable = |&(x, y): &(f64, f64)| {
            x.is_finite() && y.is_finite() && (!self.is_log.0 || x > 0.0) && (!self.is_log.1 || y > 0.0)
        };
        let points: Vec<_> = self.lines.iter().flat_map(|(_, points)| points).copied().filter(is_drawable).collect();
        if points.is_empty() {
            return String::new();
        }
        let x = Axis::over(points.iter().map(|point| point.0), self.is_log.0, false);
        let y = Axis::over(points.iter().map(|point| point.1), self.is_log.1, !self.is_log.1);
        let at_x = |value| LEFT + x.at(value) * (WIDTH - LEFT - RIGHT);
        let at_y = |value| HEIGHT - BOTTOM - y.at(value) * (HEIGHT - TOP - BOTTOM);

        // The key stands below, where no line runs through it.
        let height = HEIGHT + KEY_HEIGHT * self.lines.len() as f64;
        let mut out =
            format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\"><title>{}</title>\n", escape(&self.title));
        let _ = writeln!(out, "<text class=\"title\" x=\"{LEFT}\" y=\"20\">{}</text>", escape(&self.title));
        for value in y.ticks() {
            let (at, right) = (at_y(value), WIDTH - RIGHT);
            let _ = writeln!(out, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/>");
            let _ =
                writeln!(out, "<text class=\"y\" x=\"{}\" y=\"{:.1}\">{}</text>", LEFT - 6.0, at + 4.0, tick(value));
        }
        let named = self.x_ticks.iter().map(|(value, name)| (*value, escape(name)));
        let numbered = x.ticks().into_iter().map(|value| (value, tick(value)));
        let ticks: Vec<_> = if self.x_ticks.is_empty() { numbered.collect() } else { named.collect() };
        for (value, name) in ticks.into_iter().filter(|&(value, _)| x.contains(value)) {
            let (at, bottom) = (at_x(value), HEIGHT - BOTTOM);
            let _ = writeln!(out, "<path class=\"grid\" d=\"M{at:.1} {TOP}V{bottom}\"/>");
            let _ = writeln!(out, "<text class=\"x\" x=\"{at:.1}\" y=\"{}\">{name}</text>", bottom + 16.0);
        }
        let _ = writeln!(
            out,
            "<text class=\"x\" x=\"{}\" y=\"{}\">{}</text>",
            WIDTH / 2.0,
            HEIGHT - 6.0,
            escape(&self.x_label)
        );
        let _ =
            writeln!(out, "<text class=\"label\" x=\"{}\" y=\"20\">{}</text>", WIDTH - RIGHT, escape(&self.y_label));
        for (index, (name, points)) in self.lines.iter().enumerate() {
            let color = COLORS[index % COLORS.len()];
            let mut path = String::new();
            for &(px, py) in points.iter().filter(|point| is_drawable(point)) {
                let _ = write!(path, "{}{:.1} {:.1}", if path.is_empty() { "M" } else { "L" }, at_x(px), at_y(py));
            }
            let _ = writeln!(out, "<path class=\"line\" stroke=\"{color}\" d=\"{path}\"/>");
            let at = HEIGHT + KEY_HEIGHT * (index as f64 + 0.7);
            let _ = writeln!(
                out,
                "<text class=\"key\" style=\"fill:{color}\" x=\"{}\" y=\"{at}\">{}</text>",
                LEFT,
                escape(name)
            );
        }
        out.push_str("</svg>\n");
        out
    }
}

/// One axis: from where to where, and how.
struct Axis {
    from: f64,
    to: f64,
    is_log: bool,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone, is_log: bool, has_zero: bool) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        let from = if has_zero { low.min(0.0) } else { low };
        let (from, to) = if is_log { (from.log10(), high.log10()) } else { (from, high) };
        // A single value is in the middle of something.
        let to = if to > from { to } else { from + from.abs().max(1.0) * 0.1 };
        Self { from, to: if is_log { to } else { to + (to - from) * 0.05 }, is_log }
    }

    /// Where a value is, from 0 to 1.
    fn at(&self, value: f64) -> f64 {
        let value = if self.is_log { value.log10() } else { value };
        (value - self.from) / (self.to - self.from)
    }

    fn contains(&self, value: f64) -> bool {
        (-1e-9..=1.0 + 1e-9).contains(&self.at(value))
    }

    /// Round values, about five.
    fn ticks(&self) -> Vec<f64> {
        if self.is_log {
            let decades = (self.from.floor() as i32)..=(self.to.ceil() as i32);
            let values = decades.flat_map(|decade| [1.0, 3.0].map(|digit| digit * 10_f64.powi(decade)));
            return values.filter(|&value| self.contains(value)).take(TICKS_MAX).collect();
        }
        let raw = (self.to - self.from) / 5.0;
        let decade = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * decade).into_iter().find(|&step| step >= raw);
        let step = step.unwrap_or(10.0 * decade);
        let first = (self.from / step).ceil();
        (0..TICKS_MAX).map(|n| (first + n as f64) * step).take_while(|&value| value <= self.to).collect()
    }
}

/// A number on an axis.
fn tick(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{}{unit}", if text.is_empty() || text == "-0" { "0" } else { text })
}

/// Text that is no markup.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 32.0;
const BOTTOM: f64 = 44.0;
const KEY_HEIGHT: f64 = 16.0;
const TICKS_MAX: usize = 24;

/// Told apart by those who see few colours, too.
const COLORS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#555555", "#8b0000"];

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)], is_log: (bool, bool)) -> Chart {
        Chart {
            title: "a < b".to_owned(),
            x_label: "x".to_owned(),
            y_label: "y".to_owned(),
            is_log,
            x_ticks: Vec::new(),
            lines: vec![("one".to_owned(), points.to_vec())],
        }
    }

    #[test]
    fn a_chart_without_points_is_nothing() {
        assert_eq!(chart(&[], (false, false)).render(), "");
        assert_eq!(chart(&[(f64::NAN, 1.0)], (false, false)).render(), "");
        assert_eq!(chart(&[(0.0, 1.0)], (true, false)).render(), "");
    }

    #[test]
    fn whatever_the_points_are_every_number_in_the_chart_is_finite() {
        for points in [&[(1.0, 1.0)][..], &[(0.0, 0.0), (0.0, 0.0)], &[(1.0, 1e300), (2.0, 1e-300)], &[(-5.0, -5.0)]] {
            for is_log in [(false, false), (true, true)] {
                let svg = chart(points, is_log).render();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{points:?}: {svg}");
            }
        }
    }

    #[test]
    fn text_is_escaped_and_lines_have_a_point_for_each_value() {
        let svg = chart(&[(0.0, 1.0), (1.0, 2.0), (2.0, 4.0)], (false, false)).render();
        assert!(svg.contains("a &lt; b") && !svg.contains("a < b"));
        let line = svg.lines().find(|line| line.contains("class=\"line\"")).expect("there is one");
        assert_eq!(line.matches('L').count(), 2);
    }

    #[test]
    fn ticks_are_round() {
        let ticks = |from, to, is_log| Axis::over([from, to].into_iter(), is_log, false).ticks();
        assert_eq!(ticks(0.0, 10.0, false), [0.0, 5.0, 10.0]);
        assert_eq!(ticks(1.0, 100.0, true), [1.0, 3.0, 10.0, 30.0, 100.0]);
        assert_eq!([0.0, 1500.0, 2e6, 0.25, 3e9].map(tick), ["0", "1.5k", "2M", "0.25", "3G"]);
    }
}
