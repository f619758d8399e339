//! [`Shell`]: runs commands on a hub one by one, over one kept connection of ssh, or each by the user's command in place
//! of it. What `rsyn setup` needs.

use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::mux::{Mux, Output};
use super::ssh::call;
use super::{SshOptions, Stderr};
use crate::config::Host;

/// More output than this of one command is not read, in bytes.
pub(super) const OUTPUT_LIMIT: u64 = 64 * 1024;
/// A command that takes longer is given up; the longest is the upload of this program.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(300);

/// A way to run commands on a hub.
pub enum Shell {
    /// Over an authenticated connection.
    Kept(Mux),
    /// By these words, to this host.
    Each(Vec<String>, Host),
}

impl Shell {
    /// Reaches `host` by `words`, or by ssh with `options`.
    ///
    /// # Errors
    /// The last words of ssh.
    pub fn reach(
        words: Option<&[String]>,
        host: &Host,
        options: &SshOptions,
    ) -> Result<Self, String> {
        match words {
            Some(words) => Ok(Self::Each(words.to_vec(), host.clone())),
            None => Mux::connect(host, options).map(Self::Kept),
        }
    }

    /// Runs the shell text `command` on the hub, with `input` on its standard input.
    ///
    /// # Errors
    /// The connection failed, or the command took too long.
    pub fn run(&self, command: &str, input: &[u8]) -> Result<Output, String> {
        match self {
            Self::Kept(mux) => mux.run(command, input),
            Self::Each(words, host) => run_once(words, host, command, input),
        }
    }

    /// Ends the connection.
    pub fn close(self) {
        if let Self::Kept(mux) = self {
            mux.close();
        }
    }
}

fn run_once(words: &[String], host: &Host, text: &str, input: &[u8]) -> Result<Output, String> {
    let mut command = call(words, host, text).map_err(|e| e.to_string())?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let started = command.stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|e| e.to_string())?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err("the command has no pipes".to_owned());
    };
    std::thread::scope(|scope| {
        let feed = scope.spawn(move || {
            let mut stdin = stdin;
            stdin.write_all(input)
        });
        let said = scope.spawn(move || bounded(stdout));
        let complained = scope.spawn(move || bounded(stderr));
        // A command that is killed closes its pipes, which ends the threads.
        let success = wait(&mut child)?;
        let lost = |_| "a thread ended early".to_owned();
        let words = |e: std::io::Error| e.to_string();
        let fed = feed.join().map_err(lost)?;
        let stdout = said.join().map_err(lost)?.map_err(words)?;
        let stderr = complained.join().map_err(lost)?.map_err(words)?;
        // One that ended without reading all of it said why.
        fed.or_else(|e| if success { Err(words(e)) } else { Ok(()) })?;
        Ok(Output {
            success,
            stdout,
            stderr,
        })
    })
}

/// The first [`OUTPUT_LIMIT`] bytes of a stream.
fn bounded(stream: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(OUTPUT_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether the command succeeded.
fn wait(child: &mut Child) -> Result<bool, String> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if start.elapsed() < TIME_LIMIT => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => {
                drop(child.kill());
                drop(child.wait());
                return Err(match other {
                    Err(e) => e.to_string(),
                    Ok(_) => format!("no end after {} s", TIME_LIMIT.as_secs()),
                });
            }
        }
    }
}

/// What a command complained about, its last lines, made safe for a terminal.
#[must_use]
pub fn complaint(output: &Output) -> String {
    let stderr = Stderr::default();
    stderr.collect(&*output.stderr);
    let lines = stderr.lines();
    let last = lines.iter().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(String::new, |line| line.trim().to_owned())
}
