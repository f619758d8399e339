//! Figures of several runs: medians, extremes, how they are written.

use super::watch::Run;

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median of one figure of the runs.
pub fn of(runs: &[Run], figure: impl Fn(&Run) -> f64) -> f64 {
    median(runs.iter().map(figure).collect())
}

pub fn wall(runs: &[Run]) -> f64 {
    of(runs, |run| run.seconds)
}

pub fn wire_mb(runs: &[Run]) -> f64 {
    of(runs, |run| run.wire_bytes as f64) / 1e6
}

/// The highest of one peak, in MiB.
pub fn peak_mib(runs: &[Run], peak_kib: impl Fn(&Run) -> u64) -> u64 {
    runs.iter().map(peak_kib).max().unwrap_or(0) / 1024
}

/// Median, least and most of the walls: `0.35 (0.33–0.40)`.
pub fn wall_and_range(runs: &[Run]) -> String {
    let walls = || runs.iter().map(|run| run.seconds);
    let (low, high) = (
        walls().fold(f64::MAX, f64::min),
        walls().fold(0.0, f64::max),
    );
    format!("{:.2} ({low:.2}–{high:.2})", wall(runs))
}
