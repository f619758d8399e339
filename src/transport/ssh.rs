//! A hub behind ssh: the user's own `ssh` with all of its configuration, or a command in its place (`-e`).

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::ssh_settings::Question;
use super::{StartError, Transport, kept_connection, start};
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
    /// Whether the connection stays open for a while, for the next run.
    pub persist: bool,
    /// What runs on the hub; see [`super::remote_command::SERVE`].
    pub remote_command: String,
}

impl SshOptions {
    /// `ssh` with the options of ours that every connection has: those without which no session works, whatever the
    /// user's configuration says. Host keys, jumps and agents stay the user's.
    pub(super) fn command(&self, host: &Host) -> Command {
        let mut command = Command::new("ssh");
        for option in ["RemoteCommand=none", "ClearAllForwardings=yes"] {
            command.args(["-o", option]);
        }
        if !self.interactive {
            command.args(["-o", "BatchMode=yes"]);
        }
        if let Some(file) = &self.config_file {
            command.arg("-F").arg(file);
        }
        if let Some(port) = host.port {
            command.arg("-p").arg(port.to_string());
        }
        command
    }
}

/// A connection that is about to be made: ssh is being asked what the user's configuration says.
pub struct Prepared {
    host: Host,
    options: SshOptions,
    question: Question,
}

/// Asks ssh what the user's configuration says of `host`, and does not wait for the answer.
#[must_use]
pub fn prepare(host: &Host, options: SshOptions) -> Prepared {
    Prepared {
        question: Question::ask(host, &options),
        host: host.clone(),
        options,
    }
}

impl Prepared {
    /// Starts `ssh … -- HOST COMMAND`.
    ///
    /// # Errors
    /// `ssh` cannot be started, or the directory of kept connections cannot be used.
    pub fn start(self) -> Result<Transport, StartError> {
        let Self {
            host,
            options,
            question,
        } = self;
        let settings = question.answer();
        let mut command = options.command(&host);
        command.arg("-T");
        for option in ["ForwardX11=no", "LogLevel=ERROR"] {
            command.args(["-o", option]);
        }
        if let Some(limit) = options.connect_timeout {
            command
                .arg("-o")
                .arg(format!("ConnectTimeout={}", limit.as_secs().max(1)));
        }
        if let Some(ciphers) = settings.better_ciphers() {
            command.arg("-o").arg(format!("Ciphers={ciphers}"));
        }
        if options.persist && !settings.has_own_connection() {
            let socket = kept_connection::socket().map_err(|source| StartError {
                program: "ssh with a kept connection".to_owned(),
                source,
            })?;
            command.args(["-o", "ControlMaster=auto"]);
            command
                .arg("-o")
                .arg(format!("ControlPersist={}", kept_connection::SECONDS));
            command.arg("-S").arg(socket);
        }
        // After `--` ssh takes no option, whatever the host looks like.
        command
            .arg("--")
            .arg(host.destination())
            .arg(&options.remote_command);
        start(command, true)
    }
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
    start(call(words, host, remote_command)?, true)
}

/// The call `WORDS [-p PORT] -- HOST COMMAND`.
pub(super) fn call(
    words: &[String],
    host: &Host,
    remote_command: &str,
) -> Result<Command, StartError> {
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
    Ok(command)
}
