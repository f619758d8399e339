//! Points in time as text.

use jiff::Timestamp;

/// RFC 3339 in UTC, to the second.
#[must_use]
pub fn rfc3339(clock_ms: i64) -> String {
    let seconds = Timestamp::from_second(clock_ms.div_euclid(1000));
    seconds.map_or_else(|_| "an unknown time".to_owned(), |t| t.to_string())
}

/// `just now`, `5 min ago`, `3 h ago`, `2 days ago`: for a list that is read at a glance.
#[must_use]
pub fn ago(then_secs: i64, now_secs: i64) -> String {
    let seconds = now_secs.saturating_sub(then_secs);
    match seconds {
        i64::MIN..=59 => "just now".to_owned(),
        60..=3599 => format!("{} min ago", seconds / 60),
        3600..=86_399 => format!("{} h ago", seconds / 3600),
        86_400..=172_799 => "yesterday".to_owned(),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        assert_eq!(rfc3339(1_700_000_000_999), "2023-11-14T22:13:20Z");
        let cases = [
            (0, "just now"),
            (-5, "just now"),
            (60, "1 min ago"),
            (7200, "2 h ago"),
            (90_000, "yesterday"),
        ];
        for (age, words) in cases {
            assert_eq!(ago(1000, 1000 + age), words);
        }
    }
}
