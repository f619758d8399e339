//! Runs a process that may misbehave: with a limit for its time, and an eye on its memory.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No evil may keep the program for longer.
const LIMIT: Duration = Duration::from_secs(5);
/// What a machine under the load of other tests is given on top before the test calls it hanging.
const GRACE: Duration = Duration::from_secs(10);

/// What a watched process left.
#[derive(Debug)]
pub struct Seen {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub took: Duration,
    /// The most memory that it had in use, as sampled every millisecond.
    pub peak_kib: u64,
}

/// Until the kernel has put the program in its place, a new process shows the memory of this one.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    if !status.starts_with("Name:\trsyn\n") {
        return 0;
    }
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    number.unwrap_or(0)
}

/// Runs `command` to its end; its outputs go through files in `scratch`, so that nobody waits for a reader.
pub fn watch(mut command: Command, scratch: &Path) -> Seen {
    let (out, err) = (scratch.join("stdout"), scratch.join("stderr"));
    command.stdout(File::create(&out).unwrap());
    command.stderr(File::create(&err).unwrap());
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_kib(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LIMIT + GRACE {
            child.kill().unwrap();
            break child.wait().unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    Seen {
        code: status.code().unwrap_or(-1),
        stdout: fs::read(&out).unwrap(),
        stderr: String::from_utf8_lossy(&fs::read(&err).unwrap()).into_owned(),
        took: start.elapsed(),
        peak_kib: peak,
    }
}

impl Seen {
    /// It ended by itself, in time, within `most_kib` of memory, and without a panic.
    #[track_caller]
    pub fn behaved(&self, case: &str, most_kib: u64) {
        let shown = || {
            format!(
                "{case}: exit code {}, {:?}, {} KiB\n{}",
                self.code, self.took, self.peak_kib, self.stderr
            )
        };
        assert!(self.code >= 0, "ended by a signal: {}", shown());
        assert!(!self.stderr.contains("panicked"), "{}", shown());
        assert_ne!(self.code, 101, "{}", shown());
        assert!(self.took <= LIMIT + GRACE, "too slow: {}", shown());
        assert!(self.peak_kib <= most_kib, "too much memory: {}", shown());
    }
}

/// `command` with the bytes of a file as its input.
pub fn fed(mut command: Command, input: &Path, bytes: &[u8]) -> Command {
    fs::write(input, bytes).unwrap();
    command.stdin(Stdio::from(File::open(input).unwrap()));
    command
}
