//! The processes of one run, found below this program and below sshd: what each used, how long nobody worked.
//!
//! Read from /proc every few milliseconds, without tracing: peaks only grow, so the last reading before the end is
//! the peak of all but that time. Processor times have the kernel's resolution of 10 ms.

use std::time::Instant;

/// Who a process works for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// rsyn or rsync where the command is given.
    Client,
    /// ssh beside it.
    Ssh,
    /// sshd, at the other end.
    Sshd,
    /// rsyn or rsync behind sshd.
    Hub,
}

struct Process {
    pid: u32,
    name: String,
    role: Role,
    peak_kib: u64,
    cpu_secs: f64,
    /// What it had used before the run.
    cpu_secs_before: f64,
}

/// The processes below this one, from before the run until its end.
pub struct Processes {
    sshd: u32,
    seen: Vec<Process>,
    hub_began: Option<Instant>,
    samples: usize,
    close_samples: usize,
    idle_samples: usize,
    sync_samples: usize,
}

/// What a look at one process says.
struct Stat {
    name: String,
    cpu_secs: f64,
}

/// System calls that wait for the disk: fsync, fdatasync, syncfs.
#[cfg(target_arch = "x86_64")]
const SYNCS: [&str; 3] = ["74", "75", "306"];
#[cfg(not(target_arch = "x86_64"))]
const SYNCS: [&str; 3] = ["82", "83", "267"];
const TICKS_PER_SEC: f64 = 100.0;
/// Once the hub runs, new processes are rare, and each look for them is work beside what is measured.
const SAMPLES_PER_SEARCH: usize = 8;

impl Processes {
    /// Notes what runs already: the server, kept connections.
    pub fn before(sshd: u32) -> Self {
        let mut processes = Self {
            sshd,
            seen: vec![],
            hub_began: None,
            samples: 0,
            close_samples: 0,
            idle_samples: 0,
            sync_samples: 0,
        };
        processes.look_for_new();
        processes.read_stats();
        for process in &mut processes.seen {
            process.cpu_secs_before = process.cpu_secs;
        }
        processes
    }

    /// One look at all of them; `closely`: at the states of their threads, too.
    pub fn sample(&mut self, closely: bool) {
        let search = self.hub_began.is_none() || self.samples.is_multiple_of(SAMPLES_PER_SEARCH);
        if search {
            self.look_for_new();
        }
        if search || closely {
            self.read_stats();
        }
        self.read_peaks();
        self.samples += 1;
        let hub_runs = self.seen.iter().any(|p| p.role == Role::Hub);
        if hub_runs && self.hub_began.is_none() {
            self.hub_began = Some(Instant::now());
        }
        if closely {
            let mut states = self.seen.iter().map(|p| threads(p.pid));
            let (mut works, mut syncs) = (false, false);
            for thread in states.by_ref().flatten() {
                works |= thread.runs;
                syncs |= thread.syncs;
            }
            self.close_samples += 1;
            self.idle_samples += usize::from(!works);
            self.sync_samples += usize::from(syncs);
        }
    }

    fn look_for_new(&mut self) {
        let known: Vec<u32> = self.seen.iter().map(|p| p.pid).collect();
        let mut found = vec![];
        descendants(std::process::id(), false, self.sshd, &mut found);
        for (pid, behind_sshd) in found {
            if !known.contains(&pid) {
                self.seen.push(Process {
                    pid,
                    name: String::new(),
                    role: if behind_sshd {
                        Role::Sshd
                    } else {
                        Role::Client
                    },
                    peak_kib: 0,
                    cpu_secs: 0.0,
                    cpu_secs_before: 0.0,
                });
            }
        }
    }

    fn read_stats(&mut self) {
        for process in &mut self.seen {
            let Some(stat) = stat(process.pid) else {
                continue;
            };
            if stat.name != process.name {
                // A new program: what its predecessor in the process had is not its own.
                process.peak_kib = 0;
                process.role = role(process.role, &stat.name);
                process.name = stat.name;
            }
            process.cpu_secs = stat.cpu_secs;
        }
    }

    fn read_peaks(&mut self) {
        for process in &mut self.seen {
            if matches!(process.role, Role::Client | Role::Hub) {
                process.peak_kib = process.peak_kib.max(peak_kib(process.pid));
            }
        }
    }

    /// When the first process behind sshd ran: the connection stood.
    pub fn hub_began(&self) -> Option<Instant> {
        self.hub_began
    }

    /// The peak of the biggest process of a role.
    pub fn peak_kib(&self, role: Role) -> u64 {
        let of_role = self.seen.iter().filter(|p| p.role == role);
        of_role.map(|p| p.peak_kib).max().unwrap_or(0)
    }

    /// User and system time of all processes of a role since the start of the run.
    pub fn cpu_secs(&self, role: Role) -> f64 {
        let of_role = self.seen.iter().filter(|p| p.role == role);
        // From 0.0: the sum of nothing is -0.0.
        of_role.fold(0.0, |sum, p| sum + p.cpu_secs - p.cpu_secs_before)
    }

    /// Shares of the close looks: nobody worked; somebody waited for the disk to sync.
    pub fn shares(&self) -> (f64, f64) {
        let share = |samples: usize| samples as f64 / self.close_samples.max(1) as f64;
        (share(self.idle_samples), share(self.sync_samples))
    }
}

fn role(before: Role, name: &str) -> Role {
    let behind_sshd = matches!(before, Role::Sshd | Role::Hub);
    match (behind_sshd, name) {
        (true, name) if name.starts_with("sshd") => Role::Sshd,
        (true, _) => Role::Hub,
        (false, "ssh") => Role::Ssh,
        (false, _) => Role::Client,
    }
}

/// All processes below `pid` and whether they are below (or are) sshd.
fn descendants(pid: u32, behind_sshd: bool, sshd: u32, found: &mut Vec<(u32, bool)>) {
    for child in children(pid) {
        let behind_sshd = behind_sshd || child == sshd;
        found.push((child, behind_sshd));
        descendants(child, behind_sshd, sshd, found);
    }
}

/// The children of all threads of a process; none once it is gone.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return vec![];
    };
    let lists =
        threads.filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| {
            let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
            pids.collect::<Vec<u32>>()
        })
        .collect()
}

fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (open, close) = (text.find('(')?, text.rfind(')')?);
    let fields: Vec<&str> = text[close + 1..].split_whitespace().collect();
    let ticks = |field: &str| field.parse::<f64>().ok();
    Some(Stat {
        name: text[open + 1..close].to_owned(),
        cpu_secs: (ticks(fields.get(11)?)? + ticks(fields.get(12)?)?) / TICKS_PER_SEC,
    })
}

/// `VmHWM` of a process; 0 once it is gone.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

struct Thread {
    runs: bool,
    syncs: bool,
}

fn threads(pid: u32) -> Vec<Thread> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return vec![];
    };
    let look = |task: std::path::PathBuf| {
        let text = std::fs::read_to_string(task.join("stat")).ok()?;
        let state = text[text.rfind(')')? + 1..].trim_start().chars().next()?;
        let call = std::fs::read_to_string(task.join("syscall")).unwrap_or_default();
        let call = call.split_whitespace().next().unwrap_or_default();
        Some(Thread {
            runs: matches!(state, 'R' | 'D'),
            syncs: SYNCS.contains(&call),
        })
    };
    tasks.filter_map(|task| look(task.ok()?.path())).collect()
}

/// Processes that outlive the one that started them become children of this program, so that they are measured and
/// ended with it.
pub fn adopt_orphans() {
    let this = Some(rustix::process::getpid());
    rustix::process::set_child_subreaper(this).expect("Linux");
}

/// Ends the children of this program that `keep` does not name, and collects them.
pub fn end_orphans(keep: &[u32]) {
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
    for child in children(std::process::id()) {
        if keep.contains(&child) {
            continue;
        }
        let pid = Pid::from_raw(child as i32).unwrap();
        // It may have ended by itself; collected it is by its number alone.
        let _ = kill_process(pid, Signal::TERM);
        let _ = waitpid(Some(pid), WaitOptions::empty());
    }
}
