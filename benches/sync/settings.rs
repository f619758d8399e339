//! What a run of the benchmark measures: read once from the environment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::proxy::Line;

/// Which way the change goes: from the machine to the hub, or from the hub to the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Push,
    Pull,
}

impl Direction {
    pub fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }
}

/// What comes out: a table of workloads, or curves over growing trees and files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Table,
    Growth,
}

pub struct Settings {
    pub form: Form,
    pub directions: Vec<Direction>,
    /// `None`: loopback as it is.
    pub line: Option<Line>,
    /// Factor of sizes and counts.
    pub scale: f64,
    pub rounds: usize,
    /// A part of the names of the rows to run.
    pub only: String,
    /// Where the directory of this run is made.
    pub base: PathBuf,
    /// The rsync to compare with, on both sides.
    pub rsync: PathBuf,
    pub breakdown: bool,
    /// Whether growth goes up to a million files.
    pub million: bool,
    /// Where growth writes its plots.
    pub plots: PathBuf,
}

impl Settings {
    pub fn from_environment() -> Self {
        let quick = is_set("RSYN_BENCH_QUICK");
        let form = match text("RSYN_BENCH_FORM", "table").as_str() {
            "table" => Form::Table,
            "growth" => Form::Growth,
            other => panic!("RSYN_BENCH_FORM is table or growth, not {other}"),
        };
        let scale = match form {
            Form::Growth => 1.0,
            Form::Table if quick => 0.03,
            Form::Table => 0.5,
        };
        let plots = text(
            "RSYN_BENCH_PLOTS",
            concat!(env!("CARGO_MANIFEST_DIR"), "/docs"),
        );
        let plots = PathBuf::from(plots);
        assert!(
            plots.is_dir(),
            "RSYN_BENCH_PLOTS: {} is not a directory",
            plots.display()
        );
        Self {
            form,
            directions: match text("RSYN_BENCH_DIRECTION", "both").as_str() {
                "push" => vec![Direction::Push],
                "pull" => vec![Direction::Pull],
                "both" => vec![Direction::Push, Direction::Pull],
                other => panic!("RSYN_BENCH_DIRECTION is push, pull or both, not {other}"),
            },
            line: is_set("RSYN_BENCH_WAN").then(line),
            scale: number("RSYN_BENCH_SCALE", scale),
            rounds: number("RSYN_BENCH_ROUNDS", if quick { 1.0 } else { 3.0 }).max(1.0) as usize,
            only: text("RSYN_BENCH_ONLY", ""),
            base: PathBuf::from(text("RSYN_BENCH_DIR", default_base())),
            rsync: in_path("rsync").expect("rsync is needed: apt-get install rsync"),
            breakdown: is_set("RSYN_BENCH_BREAKDOWN"),
            million: is_set("RSYN_BENCH_MILLION"),
            plots,
        }
    }

    pub fn count(&self, n: usize) -> usize {
        ((n as f64 * self.scale) as usize).max(20)
    }

    pub fn bytes(&self, n: u64) -> u64 {
        ((n as f64 * self.scale) as u64).max(256 * 1024)
    }

    /// Whether a row of this name is asked for.
    pub fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }
}

/// The full path of an installed program.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// 40 ms there and back, 50 Mbit/s each way.
fn line() -> Line {
    Line {
        delay: Duration::from_secs_f64(number("RSYN_BENCH_RTT_MS", 40.0) / 2000.0),
        bytes_per_second: number("RSYN_BENCH_MBIT", 50.0) * 1e6 / 8.0,
    }
}

/// The variance of a disk would drown the rest.
fn default_base() -> &'static str {
    if Path::new("/dev/shm").is_dir() {
        "/dev/shm"
    } else {
        "/tmp"
    }
}

fn text(name: &str, default: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => default.to_owned(),
    }
}

fn is_set(name: &str) -> bool {
    text(name, "0") != "0"
}

fn number(name: &str, default: f64) -> f64 {
    let text = text(name, &default.to_string());
    text.parse()
        .unwrap_or_else(|_| panic!("{name} is a number, not {text}"))
}
