//! How values are typed: durations, shares, rates.

/// A duration in milliseconds: `500ms`, `3s`, `2m`; a number alone is seconds.
pub(super) fn duration_ms(text: &str) -> Result<u64, String> {
    let split = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 1.0,
        "s" | "" => 1e3,
        "m" => 60e3,
        "h" => 3_600e3,
        _ => return Err("a duration is a number and ms, s, m or h".to_owned()),
    };
    let ms = digits.parse::<f64>().map_err(|_| "a duration is a number and ms, s, m or h".to_owned())? * factor;
    if !(1.0..=DURATION_MAX_MS).contains(&ms) {
        return Err("a duration is from 1ms to 24h".to_owned());
    }
    Ok(ms as u64)
}

/// A share in permille: `0.01` or `1%`.
pub(super) fn permille(text: &str) -> Result<u32, String> {
    let (digits, factor) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 10.0),
        None => (text, 1e3),
    };
    let permille = digits.parse::<f64>().map_err(|_| WRONG_SHARE.to_owned())? * factor;
    if !(0.0..=1000.0).contains(&permille) {
        return Err(WRONG_SHARE.to_owned());
    }
    // A share of next to nothing is still one.
    Ok(if permille > 0.0 { (permille.round() as u32).max(1) } else { 0 })
}

/// A rate a second: more than 0.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().map_err(|_| WRONG_RATE.to_owned())?;
    if rate > 0.0 && rate <= RATE_MAX { Ok(rate) } else { Err(WRONG_RATE.to_owned()) }
}

/// A factor above 1.
pub(super) fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse::<f64>().map_err(|_| WRONG_FACTOR.to_owned())?;
    if factor > 1.0 && factor <= 100.0 { Ok(factor) } else { Err(WRONG_FACTOR.to_owned()) }
}

/// A part of 1.
pub(super) fn part(text: &str) -> Result<f64, String> {
    let part = text.parse::<f64>().map_err(|_| WRONG_PART.to_owned())?;
    if (0.0..=1.0).contains(&part) { Ok(part) } else { Err(WRONG_PART.to_owned()) }
}

const DURATION_MAX_MS: f64 = 24.0 * 3_600e3;
const RATE_MAX: f64 = 1e8;
const WRONG_SHARE: &str = "a share is from 0 to 1, or from 0% to 100%";
const WRONG_RATE: &str = "a rate is a number a second, above 0 and at most 100000000";
const WRONG_FACTOR: &str = "a factor is above 1 and at most 100";
const WRONG_PART: &str = "a part is from 0 to 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let read = |text| duration_ms(text).ok();
        assert_eq!(
            ["500ms", "3s", "3", "1.5s", "2m", "24h"].map(read),
            [500, 3000, 3000, 1500, 120_000, 86_400_000].map(Some)
        );
        assert_eq!(["", "s", "0s", "25h", "1x", "-1s", "1 s", "1e9", "nan"].map(read), [None; 9]);
    }

    #[test]
    fn shares_rates_factors_and_parts_have_bounds() {
        assert_eq!(["0.01", "1%", "1", "0", "0.00001"].map(|text| permille(text).ok()), [10, 10, 1000, 0, 1].map(Some));
        assert_eq!(["2", "-0.1", "101%", "x", "nan"].map(|text| permille(text).ok()), [None; 5]);
        assert_eq!(["0", "-1", "nan", "inf", "x"].map(|text| rate(text).ok()), [None; 5]);
        assert_eq!(["1", "1000", "nan"].map(|text| factor(text).ok()), [None; 3]);
        assert_eq!(["1", "1.1", "nan"].map(|text| part(text).ok()), [Some(1.0), None, None]);
        assert_eq!((rate("2.5"), factor("1.5")), (Ok(2.5), Ok(1.5)));
    }
}
