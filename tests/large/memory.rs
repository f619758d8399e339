//! Runs the program and watches how much memory it and its hub take.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::Machine;

/// What a run took.
pub struct Cost {
    /// Peak resident memory of the program, in MiB.
    pub client: u64,
    /// Peak resident memory of the hub, which is its child, in MiB.
    pub hub: u64,
}

/// Runs it to its end, which must be success; tells `what` it cost.
#[track_caller]
pub fn run(what: &str, machine: &Machine, args: &[&str]) -> Cost {
    let begin = Instant::now();
    let mut child = machine.command(args).stdout(Stdio::null()).spawn().unwrap();
    let (mut client, mut hub) = (0, 0);
    let status = loop {
        client = client.max(peak_mib(child.id()));
        hub = hub.max(child_of(child.id()).map_or(0, peak_mib));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(
        status.success(),
        "{what}: rsyn {args:?} ended with {status}"
    );
    let time = begin.elapsed();
    eprintln!(
        "{what}: {:.1} s, {client} MiB here, {hub} MiB at the hub",
        time.as_secs_f64()
    );
    Cost { client, hub }
}

/// `VmHWM` of a process; 0 once it is gone.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn child_of(pid: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
