//! From when until when a certificate holds: the one field that rustls shows to nobody. [RFC 5280 4.1.2.5]

use std::ops::RangeInclusive;

/// The validity of a certificate in DER, in seconds since 1970; `None` if it is no certificate.
pub(super) fn validity(der: &[u8]) -> Option<RangeInclusive<u64>> {
    let certificate = Element::first(der, SEQUENCE)?.content;
    let mut fields = Element::first(certificate, SEQUENCE)?.content;
    if fields.first() == Some(&VERSION) {
        fields = Element::first(fields, VERSION)?.rest;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        // Serial number, signature algorithm, issuer.
        fields = Element::first(fields, tag)?.rest;
    }
    let (from, rest) = time(Element::first(fields, SEQUENCE)?.content)?;
    let (until, _) = time(rest)?;
    Some(from..=until)
}

/// One element of DER: its content, and what stands behind it.
struct Element<'a> {
    content: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Element<'a> {
    fn first(bytes: &'a [u8], tag: u8) -> Option<Self> {
        let (&[found, first], mut rest) = bytes.split_first_chunk::<2>()?;
        if found != tag {
            return None;
        }
        let mut len = usize::from(first);
        if first & LONG_LENGTH != 0 {
            let (digits, behind) = rest.split_at_checked(usize::from(first & !LONG_LENGTH))?;
            if digits.len() > 4 {
                return None;
            }
            len = digits.iter().fold(0, |len, &digit| len << 8 | usize::from(digit));
            rest = behind;
        }
        let (content, rest) = rest.split_at_checked(len)?;
        Some(Self { content, rest })
    }
}

/// A time, and what stands behind it. `UTCTime` has two digits for the year: from 50 on it is of the last century.
fn time(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (element, year_len) = match bytes.first()? {
        &UTC_TIME => (Element::first(bytes, UTC_TIME)?, 2),
        _ => (Element::first(bytes, GENERALIZED_TIME)?, 4),
    };
    let digits = str::from_utf8(element.content).ok()?.strip_suffix('Z')?;
    if digits.len() != year_len + 10 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |at: usize, len: usize| digits[at..at + len].parse::<u64>().ok();
    let year = match (number(0, year_len)?, year_len) {
        (year, 4) => year,
        (year @ 50.., _) => 1900 + year,
        (year, _) => 2000 + year,
    };
    let part = |at: usize| number(year_len + 2 * at, 2);
    let days = days_since_1970(year, part(0)?, part(1)?)?;
    Some((days * 86_400 + part(2)? * 3_600 + part(3)? * 60 + part(4)?, element.rest))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar; 0 for an earlier one.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March have their leap day last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some(days.saturating_sub(DAYS_TO_1970))
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// In the first byte of a length: it says how many bytes of length follow.
const LONG_LENGTH: u8 = 0x80;
/// From 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: u64 = 719_468;

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: (i32, u8, u8), until: (i32, u8, u8)) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn days_are_counted_as_the_calendar_has_them() {
        for (day, days) in [
            ((1970, 1, 1), 0),
            ((1970, 3, 1), 59),
            ((1999, 12, 31), 10_956),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2100, 3, 1), 47_541),
            ((1900, 1, 1), 0),
        ] {
            assert_eq!(days_since_1970(day.0, day.1, day.2), Some(days), "{day:?}");
        }
        assert_eq!(days_since_1970(2000, 13, 1), None);
        assert_eq!(days_since_1970(2000, 1, 0), None);
    }

    #[test]
    fn both_forms_of_time_are_read() {
        // A time before 2050 is a UTCTime, a later one a GeneralizedTime.
        let read = validity(&certificate((1999, 12, 31), (2100, 3, 1)));
        assert_eq!(read, Some(10_956 * 86_400..=47_541 * 86_400));
    }

    #[test]
    fn what_is_cut_off_or_changed_is_no_certificate_and_no_panic() {
        let whole = certificate((2020, 1, 1), (2030, 1, 1));
        for len in 0..whole.len() {
            assert_eq!(validity(&whole[..len]), None, "{len}");
        }
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let mut changed = whole.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(0..changed.len());
                changed[at] = rng.u8(..);
            }
            let _ = validity(&changed);
        }
    }
}
