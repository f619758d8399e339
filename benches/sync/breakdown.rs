//! Where the time of a run goes: which part of it, and whose processor.

use super::bench::Runs;
use super::figures::{of, wall};
use super::tools::Tool;

pub fn row(workload: &str, runs: &Runs) -> String {
    let median = |figure: fn(&super::watch::Run) -> f64| of(&runs.runs, figure);
    // The parts after the connection are told by rsyn's own directory.
    let phase = |figure: fn(&super::watch::Run) -> f64| match runs.tool {
        Tool::Rsyn => format!("{:.2}", median(figure)),
        _ => "-".to_owned(),
    };
    let connection = match runs.tool {
        // Its far end is a part of sshd.
        Tool::Rclone => "-".to_owned(),
        _ => format!("{:.2}", median(|r| r.phases.connection)),
    };
    format!(
        "| {workload} | {} | {:.2} | {connection} | {} | {} | {} | {} | {:.2} | {:.2} | {:.2} / {:.2} / {:.2} / {:.2} |",
        runs.tool.name(),
        wall(&runs.runs),
        phase(|r| r.phases.comparison),
        phase(|r| r.phases.transfer),
        phase(|r| r.phases.commit),
        phase(|r| r.phases.end),
        median(|r| r.syncing),
        median(|r| r.idle),
        median(|r| r.client_cpu),
        median(|r| r.ssh_cpu),
        median(|r| r.sshd_cpu),
        median(|r| r.hub_cpu),
    )
}

pub fn print(rows: &[String]) {
    println!(
        "Seconds. Parts in their order: until a process runs on the hub; scan and comparison; transfer, verification and \
         staging with its sync; commit; the rest. Across them, sampled every 5 ms: in a call that syncs; no process at work. \
         A run that changes nothing has no part after the comparison.\n"
    );
    println!(
        "| workload | tool | wall | connection | scan, compare | transfer, stage | commit | end | in sync | idle | CPU: client / ssh / sshd / hub |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    println!("{}\n", rows.join("\n"));
}
