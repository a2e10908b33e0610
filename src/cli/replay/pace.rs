//! When each row is due, and the loop that waits for it. Time comes in as two functions, so that tests bring their own.

use super::Row;
use crate::cli::End;
use crate::limits::{CLIENT_BATCH_LEN_MAX, CLIENT_BATCH_LINES_MAX};

/// How fast rows follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cli) enum Pace {
    /// So many times as fast as the file's own time.
    Times(f64),
    /// So many distinct times of the file a second, at any distance from each other; rows of one time are spread over
    /// its share.
    Steps(f64),
    /// As fast as they are taken.
    Max,
}

/// The time that a feed runs on: milliseconds since some start, and a way to wait for one.
pub(in crate::cli) struct Clock<E, W> {
    elapsed_ms: E,
    sleep_until_ms: W,
}

impl<E: Fn() -> u64, W: Fn(u64)> Clock<E, W> {
    pub(in crate::cli) fn new(elapsed_ms: E, sleep_until_ms: W) -> Self {
        Self { elapsed_ms, sleep_until_ms }
    }
}

/// Rows and when they are due.
#[derive(Debug)]
pub(in crate::cli) struct Feed<'a> {
    rows: &'a [Row],
    /// Milliseconds from the start of a pass, one for each row.
    due_ms: Vec<u64>,
    /// How long a pass takes, up to the first row of the next.
    pass_ms: u64,
    /// The row that the first pass begins with.
    first: usize,
    /// How often the rows are gone through.
    pub(in crate::cli) passes: u64,
    /// After how many rows it ends.
    pub(in crate::cli) rows_max: u64,
}

impl<'a> Feed<'a> {
    /// One pass over `rows`, which are sorted by time. The first pass begins with row `first`.
    pub(in crate::cli) fn new(rows: &'a [Row], pace: Pace, first: usize) -> Self {
        let (due_ms, pass_ms) = schedule(rows, pace);
        Self { rows, due_ms, pass_ms, first, passes: 1, rows_max: u64::MAX }
    }

    /// Waits for each row and publishes it, together with what is due by then. Gives back the number of rows.
    pub(in crate::cli) fn run<E: Fn() -> u64, W: Fn(u64)>(
        &self,
        clock: &Clock<E, W>,
        mut publish: impl FnMut(&[Row]) -> Result<(), End>,
    ) -> Result<u64, End> {
        let mut published: u64 = 0;
        let (mut next, mut pass) = (self.first, 0);
        let first_due_ms = self.due_ms.get(self.first).copied().unwrap_or(0);
        // The start of a pass as it would be if it began with its first row, so that it can lie before the clock's.
        let start_ms = (clock.elapsed_ms)();
        let mut pass_start_ms = i128::from(start_ms) - i128::from(first_due_ms);
        let at = |pass_start_ms: i128, due_ms: u64| {
            u64::try_from((pass_start_ms + i128::from(due_ms)).max(0)).unwrap_or(u64::MAX)
        };
        while pass < self.passes && published < self.rows_max {
            let Some(due_ms) = self.due_ms.get(next) else {
                if self.rows.is_empty() {
                    break;
                }
                pass += 1;
                next = 0;
                pass_start_ms += i128::from(self.pass_ms);
                continue;
            };
            (clock.sleep_until_ms)(at(pass_start_ms, *due_ms));
            let now_ms = (clock.elapsed_ms)();
            let is_due = |due_ms: &&u64| at(pass_start_ms, **due_ms) <= now_ms;
            let due = self.due_ms.iter().skip(next).take_while(is_due).take(CLIENT_BATCH_LINES_MAX).count().max(1);
            let left = usize::try_from(self.rows_max - published).unwrap_or(usize::MAX);
            let batch = self.rows.get(next..).unwrap_or_default();
            let batch = cut(batch, due.min(left));
            publish(batch)?;
            next += batch.len();
            published += batch.len() as u64;
        }
        Ok(published)
    }
}

/// At most `len_max` rows, and no more bytes than a batch may have unless the first row alone has them.
fn cut(rows: &[Row], len_max: usize) -> &[Row] {
    let mut bytes = 0;
    let fits = |(at, row): &(usize, &Row)| {
        bytes += row.json.len() + row.topic.len();
        *at == 0 || bytes <= CLIENT_BATCH_LEN_MAX
    };
    let count = rows.iter().take(len_max).enumerate().take_while(fits).count();
    rows.get(..count).unwrap_or(rows)
}

/// When each row is due from the start of a pass, and how long the pass is: behind its last row comes the average step.
fn schedule(rows: &[Row], pace: Pace) -> (Vec<u64>, u64) {
    let steps = rows.chunk_by(|one, next| one.at_ms == next.at_ms);
    let step_count = steps.clone().count();
    match pace {
        Pace::Max => (vec![0; rows.len()], 0),
        Pace::Times(speed) => {
            let start = rows.first().map_or(0, |row| row.at_ms);
            let due_ms: Vec<u64> = rows.iter().map(|row| scaled(row.at_ms.abs_diff(start), 1.0 / speed)).collect();
            let last = due_ms.last().copied().unwrap_or(0);
            let average = last.checked_div(step_count.saturating_sub(1) as u64).unwrap_or(1000);
            // At least a millisecond, or a file of one moment would be one endless burst.
            (due_ms, last + average.max(1))
        }
        Pace::Steps(per_second) => {
            let step_ms = 1000.0 / per_second;
            let spread = |(index, step): (usize, &[Row])| {
                let len = step.len();
                (0..len)
                    .map(move |at| scaled((index * len + at) as u64, step_ms / usize_to_f64(len)))
                    .collect::<Vec<_>>()
            };
            (steps.enumerate().flat_map(spread).collect(), scaled(step_count as u64, step_ms).max(1))
        }
    }
}

/// `count * factor`, rounded down; what no clock reaches is cut.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn scaled(count: u64, factor: f64) -> u64 {
    // A float converts to the nearest integer that there is, so nothing wraps.
    ((count as f64 * factor) as u64).min(u64::MAX / 4)
}

#[allow(clippy::cast_precision_loss)]
fn usize_to_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    fn rows(times: &[i64]) -> Vec<Row> {
        let row = |(line, at_ms): (u64, &i64)| Row { at_ms: *at_ms, topic: "t".into(), json: "{}".into(), line };
        (1..).zip(times).map(row).collect()
    }

    /// Runs a feed on a fake clock where each request takes `cost_ms`; gives back when each line went out, by batch.
    fn run(feed: &Feed<'_>, cost_ms: u64) -> Vec<(u64, Vec<u64>)> {
        let now = Cell::new(500);
        let batches = RefCell::new(Vec::new());
        let clock = Clock::new(|| now.get(), |at_ms| now.set(now.get().max(at_ms)));
        let published = feed.run(&clock, |batch| {
            batches.borrow_mut().push((now.get() - 500, batch.iter().map(|row| row.line).collect()));
            now.set(now.get() + cost_ms);
            Ok(())
        });
        let batches = batches.into_inner();
        assert_eq!(published, Ok(batches.iter().map(|(_, lines): &(u64, Vec<u64>)| lines.len() as u64).sum()));
        batches
    }

    #[test]
    fn rows_go_out_at_their_own_times_divided_by_the_speed() {
        let rows = rows(&[10_000, 10_000, 12_000, 16_000]);
        let feed = Feed::new(&rows, Pace::Times(2.0), 0);
        assert_eq!(run(&feed, 0), [(0, vec![1, 2]), (1000, vec![3]), (3000, vec![4])]);
    }

    #[test]
    fn a_slow_server_gets_what_is_due_in_one_batch_and_the_schedule_holds() {
        let rows = rows(&[0, 100, 200, 300, 1000]);
        let feed = Feed::new(&rows, Pace::Times(1.0), 0);
        assert_eq!(run(&feed, 250), [(0, vec![1]), (250, vec![2, 3]), (500, vec![4]), (1000, vec![5])]);
    }

    #[test]
    fn steps_ignore_what_lies_between_and_spread_the_rows_of_one() {
        let rows = rows(&[0, 0, 86_400_000, 86_400_000, 345_600_000]);
        let feed = Feed::new(&rows, Pace::Steps(10.0), 0);
        let expected = [(0, vec![1]), (50, vec![2]), (100, vec![3]), (150, vec![4]), (200, vec![5])];
        assert_eq!(run(&feed, 0), expected);
    }

    #[test]
    fn max_goes_in_full_batches_and_never_waits() {
        let rows = rows(&vec![0; 2 * CLIENT_BATCH_LINES_MAX + 1]);
        let feed = Feed::new(&rows, Pace::Max, 0);
        let batches = run(&feed, 1);
        assert_eq!(
            batches.iter().map(|(at, lines)| (*at, lines.len())).collect::<Vec<_>>(),
            [(0, CLIENT_BATCH_LINES_MAX), (1, CLIENT_BATCH_LINES_MAX), (2, 1)]
        );
    }

    #[test]
    fn a_loop_starts_over_one_average_step_behind_the_last_row() {
        let rows = rows(&[0, 100, 200]);
        let mut feed = Feed::new(&rows, Pace::Times(1.0), 0);
        (feed.passes, feed.rows_max) = (u64::MAX, 5);
        let expected = [(0, vec![1]), (100, vec![2]), (200, vec![3]), (300, vec![1]), (400, vec![2])];
        assert_eq!(run(&feed, 0), expected);
        (feed.passes, feed.rows_max) = (2, u64::MAX);
        assert_eq!(run(&feed, 0).len(), 6);
    }

    #[test]
    fn a_first_pass_may_begin_in_the_middle_and_begins_at_once() {
        let rows = rows(&[0, 1000, 1500, 2000]);
        let mut feed = Feed::new(&rows, Pace::Times(1.0), 2);
        (feed.passes, feed.rows_max) = (u64::MAX, 3);
        assert_eq!(run(&feed, 0), [(0, vec![3]), (500, vec![4]), (1166, vec![1])]);
    }

    #[test]
    fn a_file_of_one_moment_or_of_nothing_does_not_spin() {
        let one = rows(&[7]);
        let mut feed = Feed::new(&one, Pace::Times(1.0), 0);
        (feed.passes, feed.rows_max) = (u64::MAX, 3);
        assert_eq!(run(&feed, 0), [(0, vec![1]), (1000, vec![1]), (2000, vec![1])]);
        let mut nothing = Feed::new(&[], Pace::Max, 0);
        nothing.passes = u64::MAX;
        assert!(run(&nothing, 0).is_empty());
    }

    #[test]
    fn a_batch_keeps_its_bytes_within_bounds_but_a_large_row_goes_alone() {
        let json: Box<str> = "x".repeat(CLIENT_BATCH_LEN_MAX / 2 + 1).into();
        let row = |json: &str| Row { at_ms: 0, topic: "t".into(), json: json.into(), line: 1 };
        let halves = [row(&json), row(&json), row("{}")];
        assert_eq!(cut(&halves, 3).len(), 1);
        let large = [row(&"x".repeat(CLIENT_BATCH_LEN_MAX * 2)), row("{}")];
        assert_eq!(cut(&large, 2).len(), 1);
        assert_eq!(cut(&halves[2..], 3).len(), 1);
    }

    #[test]
    fn a_failed_request_ends_the_feed() {
        let rows = rows(&[0, 1]);
        let clock = Clock::new(|| 0, |_| {});
        let failed = || Err(End::Failed("no".to_owned()));
        assert_eq!(Feed::new(&rows, Pace::Max, 0).run(&clock, |_| failed()), Err(End::Failed("no".to_owned())));
    }
}
