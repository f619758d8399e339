//! A hub on this machine: a child process that speaks the same protocol.

use std::path::Path;
use std::process::Command;

use super::{StartError, Transport, start};

/// Starts `program serve --stdio`.
///
/// # Errors
/// It cannot be started.
pub fn local(program: &Path) -> Result<Transport, StartError> {
    let mut command = Command::new(program);
    command.args(["serve", "--stdio"]);
    start(command, false)
}
