//! Statistics of a few rounds: median, spread and ratio.

/// A measure over the rounds in which it was there.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct Summary {
    /// The middle value; of an even count the mean of the two in the middle.
    pub(super) median: f64,
    /// The distance of the quartiles over the median: half of the rounds lie in it. 0 below two rounds.
    pub(super) spread: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    /// How many rounds.
    pub(super) rounds: usize,
}

impl Summary {
    /// `None` without any value.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let median = quantile(&sorted, 0.5);
        let distance = quantile(&sorted, 0.75) - quantile(&sorted, 0.25);
        let spread = if median == 0.0 { 0.0 } else { distance / median };
        Some(Self { median, spread, min, max, rounds: sorted.len() })
    }
}

/// The median of what `values` is of `floor` in the same round. Rounds in which either is missing are left out, since
/// only what was measured side by side may be divided.
pub(super) fn ratio(values: &[Option<f64>], floor: &[Option<f64>]) -> Option<f64> {
    let ratios: Vec<f64> = values
        .iter()
        .zip(floor)
        .filter_map(|(value, floor)| Some((*value)? / floor.filter(|floor| *floor > 0.0)?))
        .collect();
    Some(Summary::of(&ratios)?.median)
}

/// Whether a ratio is too close to 1 to call one server better.
pub(super) fn is_tie(ratio: f64) -> bool {
    (ratio - 1.0).abs() < TIE
}

/// The value below which `part` of the sorted values lie, on the line between the two nearest. Not empty.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// Under three percent apart is a tie.
const TIE: f64 = 0.03;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_spread_the_distance_of_the_quartiles() {
        let summary = Summary::of(&[5.0, 1.0, 3.0, 2.0, 4.0]).expect("there are values");
        assert_eq!(summary, Summary { median: 3.0, spread: 2.0 / 3.0, min: 1.0, max: 5.0, rounds: 5 });
        let summary = Summary::of(&[10.0, 20.0, 30.0, 40.0]).expect("there are values");
        assert_eq!(summary, Summary { median: 25.0, spread: 0.6, min: 10.0, max: 40.0, rounds: 4 });
    }

    #[test]
    fn one_value_has_no_spread_and_none_has_no_summary() {
        let summary = Summary::of(&[7.0]).expect("there is a value");
        assert_eq!(summary, Summary { median: 7.0, spread: 0.0, min: 7.0, max: 7.0, rounds: 1 });
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[f64::NAN, f64::INFINITY]), None);
        assert_eq!(Summary::of(&[0.0, 0.0]).map(|summary| summary.spread), Some(0.0));
    }

    #[test]
    fn an_outlier_moves_neither_median_nor_spread_by_much() {
        let calm: Vec<f64> = (0..11).map(|round| 100.0 + f64::from(round)).collect();
        let mut wild = calm.clone();
        wild[10] = 1e6;
        let (calm, wild) = (Summary::of(&calm).expect("values"), Summary::of(&wild).expect("values"));
        assert_eq!((calm.median, calm.spread), (wild.median, wild.spread));
        assert_eq!(wild.max, 1e6);
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        // The machine was twice as slow in the second round; the ratio is the same in both.
        assert_eq!(ratio(&[Some(11.0), Some(22.0)], &[Some(10.0), Some(20.0)]), Some(1.1));
        assert_eq!(ratio(&[Some(11.0), None, Some(30.0)], &[None, Some(20.0), Some(20.0)]), Some(1.5));
        assert_eq!(ratio(&[Some(1.0)], &[None]), None);
        assert_eq!(ratio(&[Some(1.0)], &[Some(0.0)]), None);
        assert_eq!(ratio(&[], &[]), None);
    }

    #[test]
    fn under_three_percent_apart_is_a_tie() {
        assert!(is_tie(1.0) && is_tie(1.029) && is_tie(0.971));
        assert!(!is_tie(1.031) && !is_tie(0.969));
    }
}
