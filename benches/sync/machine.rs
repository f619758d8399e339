//! What the figures were taken on.

use std::path::Path;
use std::process::Command;

use super::settings::Settings;

pub fn print(settings: &Settings) {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name\t: "))
        .unwrap_or("unknown processor")
        .to_owned();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{cpu}, {} cores, load {} at the start; {}; {}; {}",
        std::thread::available_parallelism().unwrap(),
        load.split_whitespace().next().unwrap_or("unknown"),
        version(&settings.rsync, "--version"),
        version("ssh".as_ref(), "-V"),
        version(env!("CARGO_BIN_EXE_rsyn").as_ref(), "--version")
    );
    let link = settings.line.map_or_else(
        || "loopback; wire bytes with all headers".to_owned(),
        |line| {
            format!(
                "a proxy with {:.0} ms there and back, {:.0} Mbit/s each way; wire bytes without headers",
                line.delay.as_secs_f64() * 2000.0,
                line.bytes_per_second * 8e-6
            )
        },
    );
    println!(
        "scale {}, {} rounds, medians of wall seconds; source and destination on {}; {link}\n",
        settings.scale,
        settings.rounds,
        file_system(&settings.base),
    );
}

fn version(program: &Path, flag: &str) -> String {
    let output = Command::new(program).arg(flag).output().unwrap();
    let text = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Type and mount point of the file system of a directory: `tmpfs (/dev/shm)`.
pub fn file_system(dir: &Path) -> String {
    let dir = std::fs::canonicalize(dir).unwrap();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // The last of the longest: a later mount hides an earlier one.
    let found = mounts
        .lines()
        .filter_map(|line| {
            let (fields, after) = line.split_once(" - ")?;
            let point = fields.split_whitespace().nth(4)?;
            let kind = after.split_whitespace().next()?;
            dir.starts_with(point).then_some((point, kind))
        })
        .max_by_key(|(point, _)| point.len());
    found.map_or_else(
        || "an unknown file system".to_owned(),
        |(point, kind)| format!("{kind} ({point})"),
    )
}
