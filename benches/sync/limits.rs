//! How exactly `--bwlimit` holds its rate.

use std::path::Path;

use super::bench::Bench;
use super::data;
use super::figures::median;
use super::server::Route;
use super::settings::Direction;
use super::tools::{Tool, Trip};

/// Bytes per second that are asked for, and how.
const RATES: [(u64, &str); 2] = [(2_000_000, "--bwlimit=2MB"), (20_000_000, "--bwlimit=20MB")];
const TOLERANCE: f64 = 0.05;
/// Seconds at the rate of the small and of the big file: their difference is free of what every run costs.
const SECONDS: (u64, u64) = (1, 3);

/// The rows of one direction; whether rsyn held every rate.
pub fn print(bench: &Bench, direction: Direction) -> bool {
    let mut rows = vec![];
    let mut all_held = true;
    for (rate, option) in RATES {
        let name = format!("{} with {option}", direction.name());
        // A slow link below the rate is the limit itself.
        let too_slow = bench
            .settings
            .line
            .is_some_and(|line| line.bytes_per_second < 1.1 * rate as f64);
        if !bench.settings.wants(&name) || too_slow {
            continue;
        }
        eprintln!("{name} …");
        let [rsync, rsyn] =
            [Tool::Rsync, Tool::Rsyn].map(|tool| achieved(bench, direction, tool, rate, option));
        let off = |achieved: f64| achieved / rate as f64;
        let held = (off(rsyn) - 1.0).abs() <= TOLERANCE;
        all_held &= held;
        rows.push(format!(
            "| {name} | {:.2} ({:.3}) | {:.2} ({:.3}) | {} |",
            rsync / 1e6,
            off(rsync),
            rsyn / 1e6,
            off(rsyn),
            if held { "yes" } else { "**no**" }
        ));
        eprintln!("{}", rows[rows.len() - 1]);
    }
    if !rows.is_empty() {
        println!(
            "| limit | rsync: MB/s achieved (/ asked) | rsyn: MB/s achieved (/ asked) | within 5 % |"
        );
        println!("|---|---|---|---|");
        println!("{}\n", rows.join("\n"));
    }
    all_held
}

/// Bytes per second of content, by the difference of two first copies.
fn achieved(bench: &Bench, direction: Direction, tool: Tool, rate: u64, option: &str) -> f64 {
    let rates = (0..bench.settings.rounds).map(|round| {
        let time = |seconds: u64| copy_secs(bench, direction, tool, seconds * rate, option, round);
        let (small, big) = (time(SECONDS.0), time(SECONDS.1));
        ((SECONDS.1 - SECONDS.0) * rate) as f64 / (big - small)
    });
    median(rates.collect())
}

fn copy_secs(
    bench: &Bench,
    direction: Direction,
    tool: Tool,
    bytes: u64,
    option: &str,
    round: usize,
) -> f64 {
    let source = bench.new_source();
    let destination: &Path = &bench.destination(tool.name());
    data::random_file(&source.join("file"), bytes, 31 + round as u64);
    let run = bench.run(
        tool,
        &Trip {
            direction,
            source: &source,
            destination,
            route: Route::Measured,
            options: &[option],
            ssh_options: "",
        },
    );
    bench.check_equal(&source, destination);
    bench.clear();
    run.seconds
}
