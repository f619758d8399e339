//! A hub behind ssh: the user's own `ssh` with all of its configuration, or a command in its place (`-e`).

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{StartError, Transport, start};
use crate::config::Host;

/// How ssh is called.
#[derive(Debug, Clone, Default)]
pub struct SshOptions {
    /// `-F`: a configuration file in place of the user's.
    pub config_file: Option<PathBuf>,
    /// Whether ssh may ask for a password or an unknown host key on the terminal.
    pub interactive: bool,
    /// Limit for connecting.
    pub connect_timeout: Option<Duration>,
    /// What runs on the hub; see [`super::remote_command::SERVE`].
    pub remote_command: String,
}

/// Starts `ssh … -- HOST COMMAND`.
///
/// Options of ours are those without which no session works, whatever the user's configuration says; host
/// keys, ciphers, jumps, agents and control sockets stay the user's.
///
/// # Errors
/// `ssh` cannot be started.
pub fn with_ssh(host: &Host, options: &SshOptions) -> Result<Transport, StartError> {
    let mut command = Command::new("ssh");
    command.arg("-T");
    for option in [
        "RemoteCommand=none",
        "ClearAllForwardings=yes",
        "ForwardX11=no",
        "LogLevel=ERROR",
    ] {
        command.args(["-o", option]);
    }
    if !options.interactive {
        command.args(["-o", "BatchMode=yes"]);
    }
    if let Some(limit) = options.connect_timeout {
        command
            .arg("-o")
            .arg(format!("ConnectTimeout={}", limit.as_secs().max(1)));
    }
    if let Some(file) = &options.config_file {
        command.arg("-F").arg(file);
    }
    if let Some(port) = host.port {
        command.arg("-p").arg(port.to_string());
    }
    // After `--` ssh takes no option, whatever the host looks like.
    command
        .arg("--")
        .arg(host.destination())
        .arg(&options.remote_command);
    start(command, true)
}

/// Starts `WORDS [-p PORT] -- HOST COMMAND`: the user's command in place of ssh.
///
/// # Errors
/// It cannot be started, or there are no words.
pub fn with_command(
    words: &[String],
    host: &Host,
    remote_command: &str,
) -> Result<Transport, StartError> {
    let Some((program, arguments)) = words.split_first() else {
        let source = std::io::Error::other("the command is empty");
        return Err(StartError {
            program: "the command of --ssh-command".to_owned(),
            source,
        });
    };
    let mut command = Command::new(program);
    command.args(arguments);
    if let Some(port) = host.port {
        command.arg("-p").arg(port.to_string());
    }
    command
        .arg("--")
        .arg(host.destination())
        .arg(remote_command);
    start(command, true)
}
