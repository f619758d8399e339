//! rsyn against rsync over one sshd on loopback, interleaved in one run: `make bench`.
//!
//! Each workload brings the same change to the source, then runs `rsync -a`, `rsync -az` and rsyn in an
//! order that turns with the rounds; medians are compared, rsync's better variant is the reference. Both sides
//! lie on tmpfs where there is one, because the variance of a disk would drown the rest.
//!
//! `RSYN_BENCH_DIRECTION` is `push` (the default: the source is the machine) or `pull` (the source is the hub).
//! `RSYN_BENCH_SCALE` (default 0.5) scales sizes and counts, `RSYN_BENCH_ROUNDS` (default 3) the rounds,
//! `RSYN_BENCH_ONLY` picks workloads by a part of their name, `RSYN_BENCH_DIR` the directory.
#![allow(missing_docs, reason = "a program, not a library")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::let_underscore_must_use,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a benchmark drives processes and files, and may stop at the first surprise"
)]

mod data;
mod server;
mod watch;

use std::path::{Path, PathBuf};
use std::process::Command;

use data::Noise;
use server::Server;
use watch::{Run, measure};

/// What is run against what.
const TOOLS: [&str; 3] = ["rsync -a", "rsync -az", "rsyn"];

/// Which way the change goes: from the machine to the hub, or from the hub to the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Push,
    Pull,
}

struct Bench {
    dir: PathBuf,
    server: Server,
    direction: Direction,
    scale: f64,
    rounds: usize,
    only: String,
    rows: Vec<String>,
}

fn main() {
    // `cargo bench` passes flags of its own harness; a wrapped hub passes its command.
    let setting =
        |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let base = setting(
        "RSYN_BENCH_DIR",
        if Path::new("/dev/shm").is_dir() {
            "/dev/shm"
        } else {
            "/tmp"
        },
    );
    let dir = PathBuf::from(base).join(format!("rsyn-bench-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("home")).unwrap();
    let server = Server::start(&dir);
    let mut bench = Bench {
        server,
        direction: match setting("RSYN_BENCH_DIRECTION", "push").as_str() {
            "push" => Direction::Push,
            "pull" => Direction::Pull,
            other => panic!("RSYN_BENCH_DIRECTION is push or pull, not {other}"),
        },
        scale: setting("RSYN_BENCH_SCALE", "0.5").parse().unwrap(),
        rounds: setting("RSYN_BENCH_ROUNDS", "3").parse().unwrap(),
        only: setting("RSYN_BENCH_ONLY", ""),
        rows: vec![],
        dir,
    };
    bench.all();
    bench.print();
    drop(bench.server);
    std::fs::remove_dir_all(&bench.dir).unwrap();
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }
}

impl Bench {
    fn count(&self, n: usize) -> usize {
        ((n as f64 * self.scale) as usize).max(20)
    }

    fn bytes(&self, n: u64) -> u64 {
        ((n as f64 * self.scale) as u64).max(256 * 1024)
    }

    fn all(&mut self) {
        let (files, mib) = (self.count(20_000), |n: u64| n * 1024 * 1024);
        self.workload(
            &format!("initial copy, {files} source files"),
            |src, _| data::sources(src, files, 1),
            Keep::Nothing,
        );
        let mut noise = Noise::new(7);
        self.tree(files, &format!("no change, {files} files"), |_, _| {});
        self.tree(
            files,
            &format!("1 % of {files} files edited"),
            move |src, round| data::edit_one_percent(src, files, round),
        );
        let many = self.count(100_000);
        self.workload_on(
            &format!("no change, {many} files"),
            |src| data::small_files(src, many),
            |_, _| {},
            Keep::All,
        );
        let big = self.bytes(mib(1024));
        self.workload_on(
            &format!("{} MiB file, 10 scattered edits", big >> 20),
            |src| data::random_file(&src.join("big"), big, 3),
            move |src, _| data::scatter(&src.join("big"), big, 10, 100, &mut noise),
            Keep::All,
        );
        let db = self.bytes(mib(205));
        let mut pages = Noise::new(11);
        self.workload_on(
            &format!("{} MiB database, 1 % of pages changed", db >> 20),
            |src| data::database(&src.join("db"), db),
            move |src, _| {
                data::scatter(
                    &src.join("db"),
                    db,
                    (db / 4096 / 100) as usize,
                    64,
                    &mut pages,
                );
            },
            Keep::All,
        );
        self.workload_on(
            &format!("{} MiB entirely rewritten", big >> 20),
            |src| data::random_file(&src.join("big"), big, 5),
            move |src, round| data::random_file(&src.join("big"), big, 1000 + round as u64),
            Keep::All,
        );
        self.workload(
            &format!("{} MiB new, incompressible", big >> 20),
            move |src, round| {
                std::fs::create_dir_all(src).unwrap();
                data::random_file(&src.join("new"), big, 2000 + round as u64);
            },
            Keep::Nothing,
        );
        let (moved, each) = (self.count(500), mib(1));
        self.workload_on(
            &format!("{moved} MiB directory renamed"),
            |src| data::directory(&src.join("dir-0"), moved, each),
            |src, round| {
                std::fs::rename(
                    src.join(format!("dir-{round}")),
                    src.join(format!("dir-{}", round + 1)),
                )
                .unwrap();
            },
            Keep::All,
        );
    }

    fn tree(&mut self, files: usize, name: &str, change: impl FnMut(&Path, usize)) {
        self.workload_on(name, |src| data::sources(src, files, 1), change, Keep::All);
    }

    /// A workload whose source is made anew each round.
    fn workload(&mut self, name: &str, mut make: impl FnMut(&Path, usize), keep: Keep) {
        self.workload_on(name, |_| {}, move |src, round| make(src, round), keep);
    }

    /// A workload that starts from a synced source and changes it each round.
    fn workload_on(
        &mut self,
        name: &str,
        prepare: impl FnOnce(&Path),
        mut change: impl FnMut(&Path, usize),
        keep: Keep,
    ) {
        if !name.contains(&self.only) {
            return;
        }
        eprintln!("{name} …");
        let src = self.dir.join("src");
        std::fs::create_dir_all(&src).unwrap();
        mark(&src);
        prepare(&src);
        if keep == Keep::All {
            // Twice: the second run of rsyn finds settled time stamps, as every run of a real day does.
            for _ in 0..2 {
                for tool in TOOLS {
                    self.run(tool, &src);
                }
                std::thread::sleep(std::time::Duration::from_millis(2200));
            }
        }
        let mut runs: Vec<Vec<Run>> = TOOLS.iter().map(|_| vec![]).collect();
        for round in 0..self.rounds {
            if keep == Keep::Nothing {
                for tool in TOOLS {
                    let _ = std::fs::remove_dir_all(self.destination(tool));
                }
                let _ = std::fs::remove_dir_all(src.join(".rsyn"));
            }
            change(&src, round);
            for turn in 0..TOOLS.len() {
                let tool = (turn + round) % TOOLS.len();
                let run = self.run(TOOLS[tool], &src);
                runs[tool].push(run);
            }
        }
        for tool in TOOLS {
            self.check_equal(tool, &src);
        }
        self.row(name, &runs);
        std::fs::remove_dir_all(&src).unwrap();
        for tool in TOOLS {
            let _ = std::fs::remove_dir_all(self.destination(tool));
        }
    }

    fn destination(&self, tool: &str) -> PathBuf {
        self.dir.join(format!("dst-{}", tool.replace(' ', "")))
    }

    fn run(&self, tool: &str, src: &Path) -> Run {
        let destination = self.destination(tool);
        let (machine, hub) = match self.direction {
            Direction::Push => (src, &*destination),
            Direction::Pull => (&*destination, src),
        };
        let hub = format!("hub:{}", hub.display());
        let command = match tool {
            "rsyn" => {
                std::fs::create_dir_all(machine).unwrap();
                mark(machine);
                let mut command = Command::new(env!("CARGO_BIN_EXE_rsyn"));
                command.arg(self.direction.name());
                command
                    .args(["-q", "-y", "--no-snapshot", "--max-delete=100%"])
                    .arg(&hub)
                    .current_dir(machine);
                command.arg("-F").arg(self.server.config());
                command.env("RSYN_REMOTE_COMMAND", self.server.remote_command());
                command
            }
            _ => {
                let mut command = Command::new("rsync");
                command
                    .arg(tool.trim_start_matches("rsync "))
                    .args(["--delete", "--exclude=/.rsyn"]);
                command
                    .arg("-e")
                    .arg(format!("ssh -F {}", self.server.config().display()));
                let (machine, hub) = (format!("{}/", machine.display()), format!("{hub}/"));
                match self.direction {
                    Direction::Push => command.args([machine, hub]),
                    Direction::Pull => command.args([hub, machine]),
                };
                command
            }
        };
        measure(command, &self.dir.join("home"), &self.server)
    }

    /// A benchmark of a wrong result is worth nothing.
    fn check_equal(&self, tool: &str, src: &Path) {
        let differs = Command::new("diff")
            .args(["-rq", "--no-dereference", "-x", ".rsyn"])
            .arg(src)
            .arg(self.destination(tool))
            .output()
            .unwrap();
        assert!(
            differs.status.success(),
            "{tool}: {}",
            String::from_utf8_lossy(&differs.stdout)
        );
    }

    fn row(&mut self, name: &str, runs: &[Vec<Run>]) {
        let median = |tool: usize, of: fn(&Run) -> f64| {
            let mut values: Vec<f64> = runs[tool].iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let wall = |tool| median(tool, |r| r.seconds);
        let reference = wall(0).min(wall(1));
        let wire = |tool| median(tool, |r| r.wire_bytes as f64) / 1e6;
        let memory = |of: fn(&Run) -> u64| runs[2].iter().map(of).max().unwrap_or(0) / 1024;
        let spread = |tool: usize| {
            let walls = || runs[tool].iter().map(|r| r.seconds);
            (
                walls().fold(f64::MAX, f64::min),
                walls().fold(0.0, f64::max),
            )
        };
        let (low, high) = spread(2);
        let row = format!(
            "| {name} | {:.2} | {:.2} | {:.2} ({low:.2}–{high:.2}) | **{:.2}** | {:.2} / {:.2} / {:.2} | {} / {} |",
            wall(0),
            wall(1),
            wall(2),
            wall(2) / reference,
            wire(0),
            wire(1),
            wire(2),
            memory(|r| r.client_kib),
            memory(|r| r.server_kib),
        );
        eprintln!("{row}");
        self.rows.push(row);
    }

    fn print(&self) {
        let version = |program: &str, flag: &str| {
            let output = Command::new(program).arg(flag).output().unwrap();
            let text = String::from_utf8_lossy(if output.stdout.is_empty() {
                &output.stderr
            } else {
                &output.stdout
            })
            .into_owned();
            text.lines().next().unwrap_or_default().to_owned()
        };
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu
            .lines()
            .find_map(|l| l.strip_prefix("model name\t: "))
            .unwrap_or("unknown processor")
            .to_owned();
        println!(
            "{cpu}, {} cores; {}; {}; {}",
            std::thread::available_parallelism().unwrap(),
            version("rsync", "--version"),
            version("ssh", "-V"),
            version(env!("CARGO_BIN_EXE_rsyn"), "--version")
        );
        println!(
            "{}, scale {}, {} rounds, medians of wall seconds; destination {}\n",
            self.direction.name(),
            self.scale,
            self.rounds,
            self.dir.parent().unwrap().display()
        );
        println!(
            "| workload | rsync -a | rsync -az | rsyn (min–max) | rsyn / better rsync | wire MB: -a / -az / rsyn | rsyn peak MiB: client / hub |"
        );
        println!("|---|---|---|---|---|---|---|");
        for row in &self.rows {
            println!("{row}");
        }
    }
}

/// Marks a directory as a project, for a run that finds no `.rsyn` in it.
fn mark(dir: &Path) {
    let exclude = dir.join(".rsync-exclude");
    if !exclude.exists() {
        std::fs::write(exclude, "").unwrap();
    }
}

/// What a round leaves for the next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// Destinations stay: the round is a change.
    All,
    /// Destinations go: the round is a first copy.
    Nothing,
}
