//! `Date`: when a response was made.

use std::io::Write as _;

/// A second, as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`. [RFC 9110 5.6.7]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate {
    unix_s: u64,
    text: [u8; 29],
}

impl HttpDate {
    /// The second so many seconds after 1970 began.
    #[must_use]
    pub fn new(unix_s: u64) -> Self {
        let mut date = Self { unix_s: unix_s.min(UNIX_S_MAX), text: [b' '; 29] };
        date.write();
        date
    }

    /// Makes it another second; the text is written only if it is another one.
    pub fn set(&mut self, unix_s: u64) {
        if unix_s != self.unix_s {
            *self = Self::new(unix_s);
        }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.text).unwrap_or_default()
    }

    fn write(&mut self) {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (days, second) = (self.unix_s / 86_400, self.unix_s % 86_400);
        let (year, month, day) = civil(days);
        let (weekday, month) = (DAYS[(days % 7) as usize], MONTHS[month - 1]);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(&mut self.text[..], "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
            .expect("years have four digits here");
    }
}

/// The last second of the year 9999: no later one can be written.
const UNIX_S_MAX: u64 = 253_402_300_799;

/// Year, month and day of a day counted from 1970-01-01. Years are counted from March here, so that a leap day is the last
/// of its year, and 400 of them have as many days as the next 400.
fn civil(days: u64) -> (u64, usize, u64) {
    const DAYS_BEFORE_1970: u64 = 719_468;
    let days = days + DAYS_BEFORE_1970;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let is_next_year = month >= 10;
    let month = if is_next_year { month - 9 } else { month + 3 };
    (era * 400 + year + u64::from(is_next_year), month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_written_as_http_does() {
        for (unix_s, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_795_305_599, "Sat, 21 Nov 2026 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(HttpDate::new(unix_s).as_str(), text);
            let mut moved = HttpDate::new(1);
            moved.set(unix_s);
            assert_eq!(moved.as_str(), text);
        }
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..150_000 {
            assert_eq!(civil(days), (year, month, day), "{days}");
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 => 28 + u64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
