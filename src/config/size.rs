//! Sizes and rates in rsync's units.

/// Not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no size; write bytes (`1000`) or a number with a unit (`1.5m`, `500k`, `20GB`)")]
pub struct SizeError(String);

/// Bytes: a plain number is bytes; units as in [`parse_rate`].
///
/// # Errors
/// [`SizeError`].
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    parse(text, 1.0).ok_or_else(|| SizeError(text.to_owned()))
}

/// Not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no rate; write KiB per second (`1000`) or a number with a unit (`1.5m`, `500k`, `2MB`)"
)]
pub struct RateError(String);

/// Bytes per second of an rsync `--bwlimit`: a plain number is KiB per second; `k`, `m`, `g` and `KiB` are
/// powers of 1024, `KB` of 1000, `b` is bytes; 0 is no limit.
///
/// # Errors
/// [`RateError`].
pub fn parse_rate(text: &str) -> Result<u64, RateError> {
    parse(text, 1024.0).ok_or_else(|| RateError(text.to_owned()))
}

/// A number and a unit; `plain` is the factor of a number without one.
fn parse(text: &str, plain: f64) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "b" => 1.0,
        "" => plain,
        "k" | "kib" => 1024.0,
        "kb" => 1000.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "mb" => 1e6,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "gb" => 1e9,
        _ => return None,
    };
    let bytes = number * factor;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked right before"
    )]
    (0.0..1e15).contains(&bytes).then_some(bytes.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_without_a_unit_is_bytes() {
        let cases = [("1000", 1000), ("1.5k", 1536), ("20GB", 20_000_000_000)];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        assert!(parse_size("-1").is_err());
    }

    #[test]
    fn rates_are_rsyncs() {
        let cases = [
            ("0", 0),
            ("1000", 1_024_000),
            ("1.5m", 1_572_864),
            ("500K", 512_000),
            ("2MB", 2_000_000),
            ("100b", 100),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_rate(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "-1", "x", "1x", "1..2", "99999999999999g"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }
}
