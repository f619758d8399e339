//! Runs one command and measures it: wall time, bytes on the wire, memory and processor time of both ends.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::interrupt;
use super::phases::{Phases, Receiver};
use super::processes::{Processes, Role};
use super::proxy::Proxy;
use super::server::Server;

/// How often the processes are looked at.
const POLL: Duration = Duration::from_millis(5);

#[derive(Debug, Clone)]
pub struct Run {
    pub seconds: f64,
    pub wire_bytes: u64,
    pub client_kib: u64,
    pub hub_kib: u64,
    /// How many connections sshd let in.
    pub logins: usize,
    pub client_cpu: f64,
    pub ssh_cpu: f64,
    pub sshd_cpu: f64,
    pub hub_cpu: f64,
    /// Seconds in which none of the processes worked, and in which one was in a call that syncs; by samples.
    pub idle: f64,
    pub syncing: f64,
    pub phases: Phases,
}

/// What stands around a run.
pub struct Watch<'a> {
    pub home: &'a Path,
    pub server: &'a Server,
    /// The slow link, if there is one: it counts the bytes then.
    pub proxy: Option<&'a Proxy>,
    /// Whether to look at each thread, too.
    pub closely: bool,
}

impl Watch<'_> {
    /// `receiver` is the tree that changes.
    pub fn measure(&self, mut command: Command, receiver: &Path) -> Run {
        let logins = self.server.logins();
        let mut processes = Processes::before(self.server.pid());
        let mut receiver = Receiver::new(receiver);
        let bytes = self.wire_bytes();
        for place in ["XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_STATE_HOME"] {
            command.env_remove(place);
        }
        command
            .env("HOME", self.home)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let start = Instant::now();
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let status = loop {
            interrupt::check();
            processes.sample(self.closely);
            if self.closely {
                receiver.look();
            }
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None => std::thread::sleep(POLL),
            }
        };
        let end = Instant::now();
        assert!(status.success(), "{command:?}: {status}");
        let seconds = (end - start).as_secs_f64();
        let (idle, syncing) = processes.shares();
        Run {
            seconds,
            wire_bytes: self.wire_bytes() - bytes,
            client_kib: processes.peak_kib(Role::Client),
            hub_kib: processes.peak_kib(Role::Hub),
            logins: self.server.logins() - logins,
            client_cpu: processes.cpu_secs(Role::Client),
            ssh_cpu: processes.cpu_secs(Role::Ssh),
            sshd_cpu: processes.cpu_secs(Role::Sshd),
            hub_cpu: processes.cpu_secs(Role::Hub),
            idle: idle * seconds,
            syncing: syncing * seconds,
            phases: receiver.phases(start, processes.hub_began(), end),
        }
    }

    /// Content alone where the proxy counts; with all headers where the loopback device does.
    fn wire_bytes(&self) -> u64 {
        self.proxy.map_or_else(loopback_bytes, Proxy::bytes)
    }
}

/// Bytes that went through the loopback device.
fn loopback_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let line = text.lines().find_map(|l| l.trim().strip_prefix("lo:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
