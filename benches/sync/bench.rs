//! The stage of all rows: a directory, a server, one source, a destination for each contender.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::processes::end_orphans;
use super::server::{Route, Server};
use super::settings::{Direction, Settings};
use super::tools::{Tool, Trip, mark};
use super::watch::{Run, Watch};
use super::workloads::{Keep, Workload};

/// After this, time stamps are settled: a scan need not doubt them, as on every run of a real day.
const SETTLE: Duration = Duration::from_millis(2200);

pub struct Bench {
    pub dir: PathBuf,
    pub server: Server,
    pub settings: Settings,
}

/// What the runs of one contender were like.
pub struct Runs {
    pub tool: Tool,
    pub runs: Vec<Run>,
}

impl Bench {
    pub fn new(settings: Settings) -> Self {
        let dir = settings
            .base
            .join(format!("rsyn-bench-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("home")).unwrap();
        let server = Server::start(&dir, settings.line);
        Self {
            dir,
            server,
            settings,
        }
    }

    /// An empty source.
    pub fn new_source(&self) -> PathBuf {
        let source = self.dir.join("src");
        remove(&source);
        std::fs::create_dir_all(&source).unwrap();
        mark(&source);
        source
    }

    pub fn destination(&self, name: &str) -> PathBuf {
        self.dir.join(format!("dst-{}", name.replace(' ', "")))
    }

    /// One measured command. What those before it left to be written is written first: a tool that syncs would wait for
    /// the bytes of one that does not.
    pub fn run(&self, tool: Tool, trip: &Trip<'_>) -> Run {
        let dir = std::fs::File::open(&self.dir).unwrap();
        rustix::fs::syncfs(dir).unwrap();
        let watch = Watch {
            home: &self.dir.join("home"),
            server: &self.server,
            proxy: self
                .server
                .proxy()
                .filter(|_| trip.route == Route::Measured),
            closely: self.settings.breakdown,
        };
        let command = tool.command(trip, &self.server, &self.settings.rsync);
        watch.measure(command, trip.destination)
    }

    pub fn run_plain(&self, tool: Tool, direction: Direction, source: &Path, route: Route) -> Run {
        let trip = Trip {
            direction,
            source,
            destination: &self.destination(tool.name()),
            route,
            options: &[],
            ssh_options: "",
        };
        self.run(tool, &trip)
    }

    /// Syncs `source` to the destination of each tool.
    pub fn settle(&self, tools: &[Tool], direction: Direction, source: &Path) {
        // Twice: the second run of rsyn finds settled time stamps.
        for _ in 0..2 {
            for tool in tools {
                self.run_plain(*tool, direction, source, Route::Direct);
            }
            std::thread::sleep(SETTLE);
        }
    }

    /// All rounds of a workload, of each tool in an order that turns.
    pub fn rounds(
        &self,
        workload: &mut Workload,
        direction: Direction,
        tools: &[Tool],
    ) -> Vec<Runs> {
        let source = self.new_source();
        (workload.prepare)(&source);
        if workload.keep == Keep::Changes {
            self.settle(tools, direction, &source);
        }
        let mut all: Vec<Runs> = tools
            .iter()
            .map(|tool| Runs {
                tool: *tool,
                runs: vec![],
            })
            .collect();
        for round in 0..self.settings.rounds {
            if workload.keep == Keep::Nothing {
                self.forget(&source);
            }
            (workload.change)(&source, round);
            for turn in 0..all.len() {
                let of = &mut all[(turn + round) % tools.len()];
                let run = self.run_plain(of.tool, direction, &source, Route::Measured);
                of.runs.push(run);
            }
        }
        for tool in tools {
            self.check_equal(&source, &self.destination(tool.name()));
        }
        self.clear();
        all
    }

    /// Removes destinations and what tools know of them.
    pub fn forget(&self, source: &Path) {
        for entry in std::fs::read_dir(&self.dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_string_lossy().starts_with("dst-") {
                remove(&entry.path());
            }
        }
        remove(&source.join(".rsyn"));
        remove(&self.dir.join("home"));
        std::fs::create_dir_all(self.dir.join("home")).unwrap();
    }

    /// Removes source and destinations.
    pub fn clear(&self) {
        let source = self.dir.join("src");
        self.forget(&source);
        remove(&source);
    }

    /// Ends what runs on after the command that started it.
    pub fn end_kept_connections(&self) {
        end_orphans(&[self.server.pid()]);
    }

    /// A benchmark of a wrong result is worth nothing.
    pub fn check_equal(&self, source: &Path, destination: &Path) {
        let differs = Command::new("diff")
            .args(["-rq", "--no-dereference", "-x", ".rsyn"])
            .args([source, destination])
            .output()
            .unwrap();
        assert!(
            differs.status.success(),
            "{} is not as the source: {}",
            destination.display(),
            String::from_utf8_lossy(&differs.stdout)
        );
    }
}

impl Drop for Bench {
    /// Ends what runs still and removes everything, also when a row ended the benchmark.
    fn drop(&mut self) {
        self.end_kept_connections();
        remove(&self.dir);
    }
}

/// Removes a tree, if it is there.
fn remove(tree: &Path) {
    match std::fs::remove_dir_all(tree) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            panic!("cannot remove {}: {error}", tree.display())
        }
        _ => {}
    }
}
