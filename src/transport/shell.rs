//! [`Shell`]: runs commands on a hub one by one, over one kept connection of ssh, or each by the user's command in place
//! of it. What `rsyn setup` needs.

use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, unbounded};

use super::mux::{Mux, Output};
use super::ssh::call;
use super::{SshOptions, Stderr};
use crate::config::Host;

/// More output than this of one command is not read, in bytes.
pub(super) const OUTPUT_LIMIT: u64 = 64 * 1024;
/// A command that takes longer is given up; the longest is the upload of this program.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(300);

/// So long what a command said last may be on its way when it has ended.
const GRACE: Duration = Duration::from_secs(1);

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
    let input = input.to_vec();
    let (fed, feeding) = bounded(1);
    std::thread::spawn(move || {
        let mut stdin = stdin;
        drop(fed.send(stdin.write_all(&input)));
    });
    let (stdout, stderr) = (pieces(stdout), pieces(stderr));
    let success = wait(&mut child)?;
    // One that ended without reading all of it said why.
    match feeding.recv_timeout(GRACE) {
        Ok(Err(e)) if success => Err(e.to_string()),
        _ => Ok(Output {
            success,
            stdout: all(&stdout),
            stderr: all(&stderr),
        }),
    }
}

/// The first [`OUTPUT_LIMIT`] bytes of a stream, as they come.
fn pieces(stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (piece, pieces) = unbounded();
    std::thread::spawn(move || {
        let mut stream = stream.take(OUTPUT_LIMIT);
        let mut block = [0; 4096];
        while let Ok(bytes @ 1..) = stream.read(&mut block) {
            if piece.send(block[..bytes].to_vec()).is_err() {
                break;
            }
        }
    });
    pieces
}

/// What a command that has ended said. What it left behind may hold the stream open for as long as it lives.
fn all(pieces: &Receiver<Vec<u8>>) -> Vec<u8> {
    std::iter::from_fn(|| pieces.recv_timeout(GRACE).ok())
        .flatten()
        .collect()
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
