//! `strace` as the one who kills a process at a system call, has the call fail, or writes down what was called.
//!
//! Only the first thread of a process is looked at: all changes of the disk are its work, which
//! `kills::one_thread_alone_changes_the_disk` proves. So a call has a number that is the same in every run; but for
//! `openat`, of which a scan, shared with a second thread, takes now more and now less: all of them are points, whether
//! they make a file or not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Calls that change the disk. Between two of them the disk stays the same, so a kill at each is a kill anywhere.
pub const CHANGING: &[&str] = &[
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "syncfs",
    "ftruncate",
    "renameat2",
    "linkat",
    "unlinkat",
    "mkdirat",
    "symlinkat",
    "fchmod",
    "utimensat",
    "flock",
    "exit_group",
];

/// Calls that only look, and can fail all the same.
pub const LOOKING: &[&str] = &[
    "openat2",
    "read",
    "pread64",
    "fstat",
    "newfstatat",
    "statx",
    "getdents64",
    "readlinkat",
    "faccessat2",
    "fstatfs",
];

/// The end of the test, or the word that it is skipped, if there is no strace.
#[macro_export]
macro_rules! strace_or_skip {
    () => {{
        fn here() {}
        let name = std::any::type_name_of_val(&here).trim_end_matches("::here");
        if !$crate::strace::is_there(name) {
            return;
        }
    }};
}

/// Whether strace works here. Without it the test fails, unless `RSYN_SKIP` names it.
pub fn is_there(test: &str) -> bool {
    let probe = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output();
    if probe.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let skip = std::env::var("RSYN_SKIP").unwrap_or_default();
    assert!(
        skip.split(',').any(|s| s == "strace"),
        "{test} needs strace that may trace: `apt-get install strace`, or set RSYN_SKIP=strace to pass without it"
    );
    eprintln!("SKIPPED {test}: strace is missing or may not trace");
    false
}

/// One call of a process, by its name and how manieth of this name it is, from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    pub call: String,
    pub number: usize,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.call, self.number)
    }
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// The process dies and the call does not take place.
    Kill,
    /// The call fails.
    Error(&'static str),
    /// This call and all later ones of its name fail.
    ErrorsFromHere(&'static str),
}

impl Blow {
    /// The options of strace that deal the blow at `point`, with notes to `log`.
    pub fn options(self, point: &Point, log: &Path) -> Vec<String> {
        let Point { call, number } = point;
        let what = match self {
            Self::Kill => format!("signal=KILL:when={number}"),
            Self::Error(errno) => format!("error={errno}:when={number}"),
            Self::ErrorsFromHere(errno) => format!("error={errno}:when={number}+"),
        };
        let log = log.to_str().unwrap().to_owned();
        [
            "-o".to_owned(),
            log,
            "-e".to_owned(),
            format!("trace={call}"),
        ]
        .into_iter()
        .chain(["-e".to_owned(), format!("inject={call}:{what}")])
        .collect()
    }
}

/// Whether the blow of the run that wrote `log` fell.
pub fn has_hit(log: &Path) -> bool {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.contains("(INJECTED)") || text.contains("+++ killed by SIGKILL +++")
}

/// The options that write down all calls of the first thread, with the paths of handles.
pub fn notes(log: &Path) -> Vec<String> {
    ["-qq", "-y", "-s", "4096", "-o", log.to_str().unwrap()]
        .map(str::to_owned)
        .to_vec()
}

/// `command` below strace with `options`.
pub fn traced(command: &Command, options: &[String]) -> Command {
    let mut traced = Command::new("strace");
    traced
        .args(options)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            traced.env(key, value);
        }
    }
    if let Some(cwd) = command.get_current_dir() {
        traced.current_dir(cwd);
    }
    traced.stdin(std::process::Stdio::null());
    traced
}

/// The lines of a trace that the program itself made: what the loader did before is not its work.
pub fn own_lines(log: &Path) -> Vec<String> {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let start = lines
        .iter()
        .position(|line| line.starts_with("sigaltstack("));
    lines[start.expect("no start of the program in the trace")..].to_vec()
}

/// The points of a traced run at calls of these names. Calls of the loader are counted and left out.
pub fn points(log: &Path, names: &[&str]) -> Vec<Point> {
    let own = own_lines(log);
    let whole = std::fs::read(log).unwrap();
    let whole = String::from_utf8_lossy(&whole);
    let loader = whole.lines().count() - own.len();
    let mut numbers = BTreeMap::<&str, usize>::new();
    let mut points = Vec::new();
    for (at, line) in whole.lines().enumerate() {
        let Some((call, _)) = line.split_once('(') else {
            continue;
        };
        let number = numbers.entry(call).or_default();
        *number += 1;
        if at >= loader && names.contains(&call) {
            points.push(Point {
                call: call.to_owned(),
                number: *number,
            });
        }
    }
    points
}

/// Where a process writes its notes.
pub fn log_in(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}
