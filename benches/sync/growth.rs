//! How time and memory grow with the number of files and with the size of one: a table, and plots beside the documents.

use std::path::Path;

use super::bench::Bench;
use super::data::{self, Noise};
use super::figures::{peak_mib, wall};
use super::server::Route;
use super::settings::Direction;
use super::svg::{Line, log_log};
use super::tools::Tool;
use super::watch::Run;

const TOOLS: [Tool; 2] = [Tool::Rsync, Tool::Rsyn];
const MIB: u64 = 1 << 20;
/// Disk space of a small file with its inode, generously.
const SMALL_FILE_BYTES: u64 = 8192;

/// What is done to a tree or file of each size.
#[derive(Clone, Copy)]
struct Step {
    name: &'static str,
    /// Changes the source before the step, in a round.
    change: fn(&Path, u64, usize),
}

/// Trees or files that grow.
struct Series {
    /// What the size counts, on the axis.
    unit: &'static str,
    /// Name of the plots.
    name: &'static str,
    sizes: Vec<u64>,
    make: fn(&Path, u64),
    steps: Vec<Step>,
    /// Room on the disk that one copy of this size takes.
    bytes: fn(u64) -> u64,
}

/// One point of the curves.
struct Point {
    size: u64,
    step: &'static str,
    tool: Tool,
    runs: Vec<Run>,
}

pub fn print(bench: &Bench) {
    println!(
        "| size | step | rsync -a | rsyn | rsyn / rsync | peak MiB: rsync client / hub | rsyn client / hub |"
    );
    println!("|---|---|---|---|---|---|---|");
    for series in [files(bench), one_file(bench)] {
        let mut points = vec![];
        for size in &series.sizes {
            let name = format!("{size} {}", series.unit);
            if !bench.settings.wants(&name) {
                continue;
            }
            // Source, two destinations, and what a run stages beside its destination.
            let needed = 4 * (series.bytes)(*size);
            let free = free_bytes(&bench.dir);
            if needed > free {
                println!(
                    "| {name} | skipped: needs {} MiB of room, {} are free | - | - | - | - | - |",
                    needed / MIB,
                    free / MIB
                );
                continue;
            }
            eprintln!("{name} …");
            let new = measure(bench, &series, *size);
            for pair in new.chunks(2) {
                println!("{}", row(&name, &pair[0], &pair[1]));
            }
            points.extend(new);
        }
        plot(bench, &series, &points);
    }
    println!();
}

fn files(bench: &Bench) -> Series {
    let mut sizes = vec![1_000, 10_000, 100_000];
    sizes.extend(bench.settings.million.then_some(1_000_000));
    Series {
        unit: "files",
        name: "files",
        sizes: sizes
            .into_iter()
            .map(|n| bench.settings.count(n) as u64)
            .collect(),
        make: |src, n| data::small_files(src, n as usize),
        steps: vec![
            FIRST,
            Step {
                name: "no change",
                change: |_, _, _| {},
            },
            Step {
                name: "1 % edited",
                change: |src, n, round| data::edit_small_files(src, n as usize, round),
            },
        ],
        bytes: |n| n * SMALL_FILE_BYTES,
    }
}

fn one_file(bench: &Bench) -> Series {
    Series {
        unit: "MiB in one file",
        name: "bytes",
        sizes: [64, 1024, 10 * 1024]
            .into_iter()
            .map(|mib| (bench.settings.bytes(mib * MIB) / MIB).max(1))
            .collect(),
        make: |src, mib| data::random_file(&src.join("big"), mib * MIB, 3),
        steps: vec![
            FIRST,
            Step {
                name: "10 edits",
                change: |src, mib, round| {
                    let mut noise = Noise::new(70 + round as u64);
                    data::scatter(&src.join("big"), mib * MIB, 10, 100, &mut noise);
                },
            },
        ],
        bytes: |mib| mib * MIB,
    }
}

/// The copy into nothing; every round begins with it.
const FIRST: Step = Step {
    name: "first push",
    change: |_, _, _| {},
};

/// All steps of one size, each of both tools, next to each other.
fn measure(bench: &Bench, series: &Series, size: u64) -> Vec<Point> {
    let source = bench.new_source();
    (series.make)(&source, size);
    let mut points: Vec<Point> = vec![];
    for step in &series.steps {
        points.extend(TOOLS.map(|tool| Point {
            size,
            step: step.name,
            tool,
            runs: vec![],
        }));
    }
    for round in 0..bench.settings.rounds {
        bench.forget(&source);
        for (at, step) in series.steps.iter().enumerate() {
            (step.change)(&source, size, round);
            for turn in 0..2 {
                let point = &mut points[2 * at + (turn + round) % 2];
                let run = bench.run_plain(point.tool, Direction::Push, &source, Route::Measured);
                point.runs.push(run);
            }
            if at == 0 {
                bench.settle(&TOOLS, Direction::Push, &source);
            }
        }
    }
    for tool in TOOLS {
        bench.check_equal(&source, &bench.destination(tool.name()));
    }
    bench.clear();
    points
}

fn row(name: &str, rsync: &Point, rsyn: &Point) -> String {
    let peaks = |point: &Point| {
        format!(
            "{} / {}",
            peak_mib(&point.runs, |run| run.client_kib),
            peak_mib(&point.runs, |run| run.hub_kib)
        )
    };
    let (theirs, ours) = (wall(&rsync.runs), wall(&rsyn.runs));
    format!(
        "| {name} | {} | {theirs:.2} | {ours:.2} | **{:.2}** | {} | {} |",
        rsync.step,
        ours / theirs,
        peaks(rsync),
        peaks(rsyn)
    )
}

/// Time of every step, memory of the first push.
fn plot(bench: &Bench, series: &Series, points: &[Point]) {
    if points.is_empty() {
        return;
    }
    let line = |tool: Tool, step: usize, name: String, figure: &dyn Fn(&Point) -> f64| Line {
        name,
        colour: step,
        dashed: tool == Tool::Rsync,
        points: points
            .iter()
            .filter(|p| p.tool == tool && p.step == series.steps[step].name)
            .map(|p| (p.size as f64, figure(p)))
            .collect(),
    };
    let mut times = vec![];
    for (at, step) in series.steps.iter().enumerate() {
        for tool in [Tool::Rsyn, Tool::Rsync] {
            let name = format!("{}, {}", tool.name(), step.name);
            times.push(line(tool, at, name, &|p| wall(&p.runs)));
        }
    }
    let mut peaks = vec![];
    for tool in [Tool::Rsyn, Tool::Rsync] {
        let of = |side: fn(&Run) -> u64| {
            move |p: &Point| p.runs.iter().map(side).max().unwrap_or(0).max(1024) as f64 / 1024.0
        };
        let mut client = line(
            tool,
            0,
            format!("{}, client", tool.name()),
            &of(|r| r.client_kib),
        );
        client.colour = 0;
        let mut hub = line(tool, 0, format!("{}, hub", tool.name()), &of(|r| r.hub_kib));
        hub.colour = 1;
        peaks.extend([client, hub]);
    }
    let write = |what: &str, title: &str, y_label: &str, lines: &[Line]| {
        let file = bench
            .settings
            .plots
            .join(format!("growth-{}-{what}.svg", series.name));
        std::fs::write(&file, log_log(title, series.unit, y_label, lines)).unwrap();
        eprintln!("wrote {}", file.display());
    };
    write("time", "Time of a push", "seconds", &times);
    write("memory", "Peak memory of a first push", "MiB", &peaks);
}

/// Room for a tree; of a file system in memory, no more than half of what is left of that.
fn free_bytes(dir: &Path) -> u64 {
    let fs = rustix::fs::statvfs(dir).unwrap();
    let free = fs.f_bavail * fs.f_frsize;
    if !super::machine::file_system(dir).starts_with("tmpfs") {
        return free;
    }
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = memory
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"))
        .and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .unwrap_or(0);
    free.min(available * 1024 / 2)
}
