//! The table: every workload, rsync -a and -az against rsyn; other tools and the breakdown below it.

use super::bench::{Bench, Runs};
use super::breakdown;
use super::figures::{peak_mib, wall, wall_and_range, wire_mb};
use super::settings::Direction;
use super::tools::Tool;
use super::workloads::{self, Keep};

/// Everything that the rows of one direction say.
pub fn print(bench: &Bench, direction: Direction) {
    let (mut rows, mut others, mut parts) = (vec![], vec![], vec![]);
    for mut workload in workloads::all(&bench.settings) {
        if !bench.settings.wants(&workload.name) {
            continue;
        }
        let name = workload.name.clone();
        if workload.only_fast_link && bench.settings.line.is_some() {
            rows.push(format!("| {name} | - | - | - | - | - | - |"));
            continue;
        }
        eprintln!("{}: {name} …", direction.name());
        let mut tools = Tool::RSYNCS_AND_RSYN.to_vec();
        let first_copy = workload.keep == Keep::Nothing;
        tools.extend(
            Tool::others()
                .into_iter()
                .filter(|tool| first_copy || *tool != Tool::Tar),
        );
        let all = bench.rounds(&mut workload, direction, &tools);
        rows.push(row(&name, &all));
        eprintln!("{}", rows[rows.len() - 1]);
        others.extend(all[3..].iter().map(|other| other_row(&name, &all, other)));
        parts.extend(all.iter().map(|runs| breakdown::row(&name, runs)));
    }
    if rows.is_empty() {
        return;
    }
    println!("## {}\n", direction.name());
    println!(
        "| workload | rsync -a (min–max) | rsync -az (min–max) | rsyn (min–max) | rsyn / better rsync | wire MB: -a / -az / rsyn | rsyn peak MiB: client / hub |"
    );
    println!("|---|---|---|---|---|---|---|");
    println!("{}\n", rows.join("\n"));
    if !others.is_empty() {
        println!("| workload | other tool | seconds (min–max) | / better rsync | wire MB |");
        println!("|---|---|---|---|---|");
        println!("{}\n", others.join("\n"));
    }
    if bench.settings.breakdown {
        breakdown::print(&parts);
    }
}

fn better_rsync(all: &[Runs]) -> f64 {
    wall(&all[0].runs).min(wall(&all[1].runs))
}

fn row(name: &str, all: &[Runs]) -> String {
    let [plain, compressed, rsyn] = [&all[0].runs, &all[1].runs, &all[2].runs];
    format!(
        "| {name} | {} | {} | {} | **{:.2}** | {:.2} / {:.2} / {:.2} | {} / {} |",
        wall_and_range(plain),
        wall_and_range(compressed),
        wall_and_range(rsyn),
        wall(rsyn) / better_rsync(all),
        wire_mb(plain),
        wire_mb(compressed),
        wire_mb(rsyn),
        peak_mib(rsyn, |run| run.client_kib),
        peak_mib(rsyn, |run| run.hub_kib),
    )
}

fn other_row(name: &str, all: &[Runs], other: &Runs) -> String {
    format!(
        "| {name} | {} | {} | {:.2} | {:.2} |",
        other.tool.name(),
        wall_and_range(&other.runs),
        wall(&other.runs) / better_rsync(all),
        wire_mb(&other.runs),
    )
}
