//! The progress line: on a terminal it moves, elsewhere there is none.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line on standard error.
#[derive(Debug)]
pub struct ProgressLine(ProgressBar);

impl ProgressLine {
    /// Nothing to see yet. `is_quiet` keeps it that way.
    #[must_use]
    pub fn new(is_quiet: bool) -> Self {
        let target = if is_quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(10) };
        Self(ProgressBar::with_draw_target(None, target))
    }

    /// Another phase begins, which is over when it has counted to `len`.
    pub fn begin(&self, phase: &str, len: u64) {
        let style = ProgressStyle::with_template("{prefix:>10} {bar:24} {percent:>3} %  {msg}  eta {eta}")
            .expect("the template is valid, and tested");
        self.0.reset();
        self.0.set_style(style);
        self.0.set_length(len.max(1));
        self.0.set_prefix(phase.to_owned());
        self.0.enable_steady_tick(Duration::from_millis(200));
    }

    /// How far the phase is, and what to say about it.
    pub fn show(&self, position: u64, connections: u64, per_second: f64, failed: u64) {
        self.0.set_position(position);
        self.0.set_message(format!("{connections} connections  {per_second:.0}/s  {failed} errors"));
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_can_be_shown_and_taken_away() {
        let line = ProgressLine::new(true);
        line.begin("connect", 0);
        line.show(1, 2, 3.0, 4);
        assert_eq!(line.0.position(), 1);
        assert_eq!(line.0.message(), "2 connections  3/s  4 errors");
        line.end();
        assert!(line.0.is_finished());
    }
}
