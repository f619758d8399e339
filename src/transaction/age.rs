//! How old things are, counted so that a wrong clock makes none of them old.
//!
//! What is certain is the order in which they were made. A clock that is wrong when one of them is made, or when they are
//! judged, shows as a leap between two neighbours; and so does a long time in which nothing was made. Whichever it was, the
//! smallest age that the neighbours allow is taken.

/// Of the time between two neighbours so much counts at most.
const LEAP_SECS: i64 = 24 * 3600;

/// Ages in seconds at the time `now`, newest first as the times at which things were made.
///
/// A time that is later than that of what was made next counts as that one. Of the time between two neighbours at most a day
/// counts, and of the longest nothing. So one wrong clock adds nothing, each further leap of it a day, and where something
/// is made each day, ages are true to a day.
pub(super) fn ages(made: impl IntoIterator<Item = i64>, now: i64) -> Vec<i64> {
    let (mut later, mut counted, mut longest) = (now, 0i64, 0i64);
    let age = |when: i64| {
        let when = when.min(later);
        let gap = later.saturating_sub(when).min(LEAP_SECS);
        later = when;
        counted = counted.saturating_add(gap);
        longest = longest.max(gap);
        counted - longest
    };
    made.into_iter().map(age).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    #[test]
    fn ages_are_true_to_a_day_where_something_is_made_each_day() {
        let now = 1_000 * DAY;
        let made = (0..30).map(|n| now - n * DAY);
        let found = ages(made, now);
        for (n, age) in (0..).zip(found) {
            assert!((n * DAY - DAY..=n * DAY).contains(&age), "{n}: {age}");
        }
    }

    #[test]
    fn one_wrong_clock_makes_nothing_older_than_it_is() {
        // Made every hour; one time is wrong, or the clock is wrong from one of them on.
        let now = 1_000 * DAY;
        let right: Vec<_> = (0..20).map(|n| now - n * HOUR).collect();
        for wrong in [-900 * DAY, -20 * DAY, -DAY, 20 * DAY, 30_000 * DAY] {
            for at in 0..20 {
                let mut once = right.clone();
                once[at] += wrong;
                let mut since = right.clone();
                since[..at].iter_mut().for_each(|when| *when += wrong);
                for (made, now) in [(&once, now), (&since, now + wrong), (&right, now + wrong)] {
                    for (n, age) in (0..).zip(ages(made.iter().copied(), now)) {
                        assert!((0..=n * HOUR).contains(&age), "{wrong} at {at}: {n}: {age}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_clock_that_leaps_to_and_fro_adds_nothing_either() {
        let now = 1_000 * DAY;
        let made = (0..40).map(|n| now - n * HOUR + n % 2 * 20 * DAY);
        for (n, age) in (0..).zip(ages(made, now)) {
            assert!((0..=n * HOUR).contains(&age), "{n}: {age}");
        }
    }

    #[test]
    fn no_time_is_too_far_away() {
        let found = ages([i64::MAX, i64::MIN, 0], i64::MAX);
        assert_eq!(found, [0, 0, 0]);
        assert_eq!(ages([0, i64::MAX], i64::MIN), [0, 0]);
    }
}
