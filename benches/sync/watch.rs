//! Runs one command and measures it: wall time, bytes through the loopback device, peak memory of both ends.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::server::Server;

/// How often the peak memory is read: it only grows, so the last reading before the end is the peak of all
/// but this time.
const POLL: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub seconds: f64,
    pub wire_bytes: u64,
    pub client_kib: u64,
    pub server_kib: u64,
}

pub fn measure(mut command: Command, home: &Path, server: &Server) -> Run {
    let before = loopback_bytes();
    let hubs_before = server.hubs().len();
    command
        .env("HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let start = Instant::now();
    let mut child = command
        .spawn()
        .expect("rsync and rsyn are needed: apt-get install rsync");
    let (mut client_kib, mut server_kib) = (0, 0);
    let status = loop {
        client_kib = client_kib.max(peak_kib(child.id()));
        if let Some(hub) = server.hubs().get(hubs_before) {
            server_kib = server_kib.max(peak_kib(*hub));
        }
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(POLL),
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    assert!(status.success(), "{command:?}: {status}");
    Run {
        seconds,
        wire_bytes: loopback_bytes() - before,
        client_kib,
        server_kib,
    }
}

/// `VmHWM` of a process; 0 once it is gone.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

/// Bytes that went through the loopback device, with all headers.
fn loopback_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let line = text.lines().find_map(|l| l.trim().strip_prefix("lo:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
