//! Times as they stand in files, as Unix milliseconds.

/// `YYYY-MM-DD`, that with `T` or a space and `HH:MM:SS[.fff]` and `Z` or `+HH:MM` behind it, or Unix seconds or
/// milliseconds. Seconds are told from milliseconds by their size: from 10^11 on a number is milliseconds.
pub(super) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    unix(text).or_else(|| calendar(text))
}

fn unix(text: &str) -> Option<i64> {
    let (digits, negative) = match text.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let seconds = number(whole, 1..=15)?;
    let millis = match seconds {
        100_000_000_000.. => seconds,
        _ => seconds * 1000 + fraction_ms(fraction)?,
    };
    Some(if negative { -millis } else { millis })
}

fn calendar(text: &str) -> Option<i64> {
    let date = text.get(..10)?;
    let rest = text.get(10..)?;
    let mut parts = date.split('-');
    let mut next = |len| number(parts.next()?, len..=len);
    let days = days_of(next(4)?, next(2)?, next(2)?)?;
    let clock_ms = match rest.strip_prefix(['T', 't', ' ']) {
        Some(clock) => clock_ms(clock)?,
        None if rest.is_empty() => 0,
        None => return None,
    };
    Some(days * 86_400_000 + clock_ms)
}

/// `HH:MM:SS[.fff][Z|+HH:MM|-HH:MM]` since midnight in UTC.
fn clock_ms(text: &str) -> Option<i64> {
    let zone_at = text.find(['Z', 'z', '+', '-']).unwrap_or(text.len());
    let (clock, zone) = text.split_at_checked(zone_at)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let mut next = |max| parts.next().and_then(|part| number(part, 2..=2)).filter(|value| *value <= max);
    // 60 is a leap second.
    let (hours, minutes, seconds) = (next(23)?, next(59)?, next(60)?);
    if parts.next().is_some() {
        return None;
    }
    Some((hours * 3600 + minutes * 60 + seconds) * 1000 + fraction_ms(fraction)? - zone_ms(zone)?)
}

fn zone_ms(zone: &str) -> Option<i64> {
    if matches!(zone, "" | "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = match zone.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, zone.strip_prefix('+')?),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (number(hours, 2..=2)?, number(minutes, 2..=2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000)
}

/// Up to nine digits behind a point, cut to milliseconds.
fn fraction_ms(digits: &str) -> Option<i64> {
    number(digits, 1..=9)?;
    let millis: String = digits.chars().chain("00".chars()).take(3).collect();
    millis.parse().ok()
}

fn number(digits: &str, len: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let plain = len.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let month_len = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=month_len).contains(&day) {
        return None;
    }
    // A year that begins in March has its leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_month = (153 * month + 2) / 5;
    Some(year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + before_month + day - 719_469)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_unix_milliseconds() {
        for (text, ms) in [
            ("1970-01-01", 0),
            ("1969-12-31", -86_400_000),
            ("2000-02-29", 951_782_400_000),
            ("2000-03-01", 951_868_800_000),
            ("2013-03-01", 1_362_096_000_000),
            ("2026-11-20T12:34:56Z", 1_795_178_096_000),
            ("2026-11-20 12:34:56", 1_795_178_096_000),
            ("2026-11-20T12:34:56.5", 1_795_178_096_500),
            ("2026-11-20T12:34:56.123456789Z", 1_795_178_096_123),
            ("2026-11-20T13:34:56+01:00", 1_795_178_096_000),
            ("2026-11-20T11:04:56-01:30", 1_795_178_096_000),
            ("0", 0),
            ("1795178096", 1_795_178_096_000),
            ("1795178096.25", 1_795_178_096_250),
            ("1795178096000", 1_795_178_096_000),
            ("-1", -1000),
            (" 1 ", 1000),
        ] {
            assert_eq!(parse(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "x",
            "2013-02-29",
            "2013-13-01",
            "2013-00-01",
            "2013-01-00",
            "2013-04-31",
            "1900-02-29",
            "2013-1-1",
            "2013-01-01T",
            "2013-01-01T1:2:3",
            "2013-01-01T24:00:00",
            "2013-01-01T00:60:00",
            "2013-01-01T00:00:61",
            "2013-01-01T00:00:00+1",
            "2013-01-01T00:00:00+24:00",
            "2013-01-01T00:00:00.",
            "2013-01-01X00:00:00",
            "01/02/2013",
            "1.",
            "--1",
            "9999999999999999",
            "2013-01-01T00:00:00:00",
            "20é3-01-01",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut expected = days_of(1900, 1, 1).expect("a day");
        let mut count = 0;
        for year in 1900..2300 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(days) = days_of(year, month, day) {
                        assert_eq!(days, expected, "{year}-{month}-{day}");
                        expected += 1;
                        count += 1;
                    }
                }
            }
        }
        assert_eq!(count, 146_097);
    }
}
