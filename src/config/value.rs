//! Values as people write them: sizes, durations, addresses, yes and no.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Reads digits, with optional `_` between them.
pub(super) fn count(word: &str) -> Option<u64> {
    let digits: String = word.chars().filter(|&c| c != '_').collect();
    let plain = word.starts_with(|c: char| c.is_ascii_digit()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Reads bytes: a number, alone or with one of `B`, `KB`, `MB`, `GB` (powers of 1,000), `KiB`, `MiB`, `GiB` (of
/// 1,024).
pub(super) fn size(word: &str) -> Option<u64> {
    scaled(word, |unit| match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kb" => Some(1000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "kib" => Some(1 << 10),
        "mib" => Some(1 << 20),
        "gib" => Some(1 << 30),
        _ => None,
    })
}

/// Reads milliseconds: a number with one of `ms`, `s`, `m`, `h`. A number alone is refused: some people would read it
/// as seconds, others as milliseconds.
pub(super) fn duration_ms(word: &str) -> Option<u64> {
    scaled(word, |unit| match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    })
}

fn scaled(word: &str, scale: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let end = word.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(word.len());
    let (number, unit) = word.split_at_checked(end)?;
    count(number)?.checked_mul(scale(unit.trim_start())?)
}

/// Reads yes or no.
pub(super) fn boolean(word: &str) -> Result<bool, String> {
    match word {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("is true or false, not \"{word}\"")),
    }
}

/// Reads a seed: a number, decimal or `0x`.
pub(super) fn seed(word: &str) -> Result<u64, String> {
    let parsed = match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => count(word),
    };
    parsed.ok_or_else(|| format!("seed is a number below 2^64, decimal or 0x, not \"{word}\""))
}

/// Reads an address and port. Names are not resolved; `localhost` is 127.0.0.1.
pub(super) fn address(word: &str) -> Result<SocketAddr, String> {
    let local = word.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let parsed = local.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)).or_else(|| word.parse().ok());
    parsed.ok_or_else(|| format!("\"{word}\" is not an address and port, such as 127.0.0.1:8080 or [::1]:8080"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        for (word, bytes) in
            [("0", 0), ("1500", 1500), ("64KiB", 65_536), ("1 MiB", 1 << 20), ("2gb", 2_000_000_000), ("1_000B", 1000)]
        {
            assert_eq!(size(word), Some(bytes), "{word}");
        }
        for bad in
            ["", "KiB", "-1", "1.5MiB", "1 TiB", "1K", "+1", "_1", "99999999999999999999", "18446744073709551615KiB"]
        {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        for (word, ms) in [("250ms", 250), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000), ("0s", 0)] {
            assert_eq!(duration_ms(word), Some(ms), "{word}");
        }
        for bad in ["", "10", "s", "1.5s", "10 sec", "1d", "-1s", "18446744073709551615s"] {
            assert_eq!(duration_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_are_literal() {
        for good in ["127.0.0.1:8080", "[::1]:0", "localhost:80", "0.0.0.0:65535"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in
            ["", "8080", ":8080", "127.0.0.1", "127.0.0.1:65536", "example.com:80", "::1:80x", "http://127.0.0.1:1"]
        {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seeds_are_decimal_or_hexadecimal() {
        assert_eq!(seed("42"), Ok(42));
        assert_eq!(seed("0xffffffffffffffff"), Ok(u64::MAX));
        assert!(seed("x").is_err());
        assert!(seed("-1").is_err());
    }
}
