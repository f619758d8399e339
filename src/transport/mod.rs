//! Reaches a hub: a reader, a writer, the last lines of stderr, and an end. Not here: messages.
#![expect(clippy::disallowed_methods, reason = "this room starts processes")]

mod child;
mod kept_connection;
pub mod mux;
pub mod remote_command;
pub mod shell;
mod ssh;
mod ssh_settings;

use std::io::{Read, Write};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use child::local;
pub use ssh::{Prepared, SshOptions, prepare, with_command};

/// How many lines of stderr are kept.
const STDERR_LINES: usize = 40;

/// Why a transport could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program}: {source}")]
pub struct StartError {
    /// The program.
    pub program: String,
    /// The system's answer.
    pub source: std::io::Error,
}

/// The last lines that the other end's stderr said.
#[derive(Debug, Clone, Default)]
pub struct Stderr {
    lines: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
}

impl Stderr {
    /// The lines, escaped for a terminal.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The lines, once all are there: waits at most `limit`, for a child of the other end may keep it open.
    #[must_use]
    pub fn last_lines(&self, limit: Duration) -> Vec<String> {
        let step = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        while !self.ended.load(Ordering::Acquire) && waited < limit {
            std::thread::sleep(step);
            waited += step;
        }
        self.lines()
    }

    fn collect(&self, mut from: impl Read) {
        let mut line = Vec::new();
        let mut byte = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut byte) {
            for b in &byte[..read] {
                match b {
                    b'\n' => self.push(&std::mem::take(&mut line)),
                    _ if line.len() < 1000 => line.push(*b),
                    _ => {}
                }
            }
        }
        if !line.is_empty() {
            self.push(&line);
        }
        self.ended.store(true, Ordering::Release);
    }

    fn push(&self, line: &[u8]) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == STDERR_LINES {
            lines.remove(0);
        }
        let text = String::from_utf8_lossy(line.trim_ascii_end());
        lines.push(text.chars().flat_map(escape_control).collect());
    }
}

fn escape_control(c: char) -> Vec<char> {
    if c.is_control() && c != '\t' {
        c.escape_default().collect()
    } else {
        vec![c]
    }
}

/// A started process that leads to a hub.
pub struct Transport {
    /// What the hub says.
    pub reader: Box<dyn Read + Send>,
    /// What the hub hears.
    pub writer: Box<dyn Write + Send>,
    /// What it complains about.
    pub stderr: Stderr,
    /// Its process.
    pub process: Process,
    /// Whether bytes cross a network, so that compression can pay.
    pub is_network: bool,
}

impl Transport {
    /// Leads to a hub that answers in this very process.
    #[must_use]
    pub fn without_process(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
    ) -> Self {
        let stderr = Stderr::default();
        stderr.ended.store(true, Ordering::Release);
        Self {
            reader: Box::new(reader),
            writer: Box::new(writer),
            stderr,
            process: Process { child: None },
            is_network: false,
        }
    }
}

/// The process at this end. Killed when dropped, if it did not end by itself.
pub struct Process {
    /// None where the hub answers in this very process.
    child: Option<Child>,
}

impl Process {
    /// Ends it at once. Only for one that has not been told to change anything.
    pub fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            // One that cannot be killed has ended.
            drop(child.kill());
        }
    }

    /// Waits at most `limit` for its end; gives the exit code (none if a signal ended it), or `None` if it runs on.
    pub fn wait(&mut self, limit: Duration) -> Option<Option<i32>> {
        let mut step = Duration::from_micros(50);
        let mut waited = Duration::ZERO;
        let Some(child) = &mut self.child else {
            return Some(None);
        };
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Some(status.code()),
                Ok(None) if waited < limit => std::thread::sleep(step),
                _ => return None,
            }
            waited += step;
            step = (step * 2).min(Duration::from_millis(2));
        }
    }
}

/// How long a process may take to end by itself once nobody speaks to it: a hub on this machine may be in
/// the middle of a commit.
const GRACE: Duration = Duration::from_millis(1200);

impl Drop for Process {
    fn drop(&mut self) {
        if self.wait(GRACE).is_none()
            && let Some(child) = &mut self.child
        {
            // Nothing is left to do about a process that cannot be killed.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn start(mut command: std::process::Command, is_network: bool) -> Result<Transport, StartError> {
    use std::process::Stdio;
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|source| StartError { program, source })?;
    let (stdin, stdout, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    widen(stdin.as_ref());
    widen(stdout.as_ref());
    let stderr = Stderr::default();
    if let Some(errors) = errors {
        let stderr = stderr.clone();
        std::thread::spawn(move || stderr.collect(errors));
    }
    Ok(Transport {
        reader: stdout.map_or_else(|| Box::new(std::io::empty()) as _, |s| Box::new(s) as _),
        writer: stdin.map_or_else(|| Box::new(std::io::sink()) as _, |s| Box::new(s) as _),
        stderr,
        process: Process { child: Some(child) },
        is_network,
    })
}

/// Bytes that a pipe to or from a child holds, so that neither end waits for each piece of 64 KiB.
const PIPE_BYTES: usize = 1024 * 1024;

/// Makes a pipe hold more, where the system knows how and permits it; it works without.
fn widen(pipe: Option<&impl std::os::fd::AsFd>) {
    #[cfg(target_os = "linux")]
    if let Some(pipe) = pipe {
        rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES).ok();
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (pipe, PIPE_BYTES);
}

/// Standard output of a local command that succeeded.
#[must_use]
pub fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new(program)
        .args(arguments)
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether permission bits keep this process from nothing.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
