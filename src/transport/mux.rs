//! Several commands over one authenticated connection: what `rsyn setup` needs. The master is started here,
//! so that host keys and prompts stay the user's own; the crate `openssh` runs the commands over it.

use std::path::Path;
use std::process::{Command, Stdio};

use openssh::{Session, Stdio as RemoteStdio};
use tokio::io::AsyncWriteExt;

use super::SshOptions;
use crate::config::Host;

/// What a command on the hub left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Whether its exit code was 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

/// An authenticated connection that runs commands.
pub struct Mux {
    session: Session,
    runtime: tokio::runtime::Runtime,
    _directory: ControlDirectory,
}

/// A 0700 directory for the control socket; it goes with the connection.
struct ControlDirectory(std::path::PathBuf);

impl Drop for ControlDirectory {
    fn drop(&mut self) {
        // Litter in the temporary directory at worst.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl Mux {
    /// Connects.
    ///
    /// # Errors
    /// The last words of ssh.
    pub fn connect(host: &Host, options: &SshOptions) -> Result<Self, String> {
        let directory = control_directory()?;
        let socket = directory.0.join("s");
        let mut command = Command::new("ssh");
        command
            .arg("-S")
            .arg(&socket)
            .args(["-M", "-N", "-f", "-o", "ControlPersist=60"]);
        command.args(["-o", "RemoteCommand=none", "-o", "ClearAllForwardings=yes"]);
        if !options.interactive {
            command.args(["-o", "BatchMode=yes"]);
        }
        if let Some(file) = &options.config_file {
            command.arg("-F").arg(file);
        }
        if let Some(port) = host.port {
            command.arg("-p").arg(port.to_string());
        }
        command
            .arg("--")
            .arg(host.destination())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        // A master that went to the background keeps its stderr; a file, not a pipe, so that nobody waits for it.
        let log = directory.0.join("log");
        let file = std::fs::File::create(&log).map_err(|e| e.to_string())?;
        let status = command.stderr(file).status().map_err(|e| e.to_string())?;
        if !status.success() {
            let said = std::fs::read(&log).unwrap_or_default();
            let said = String::from_utf8_lossy(&said)
                .trim()
                .escape_debug()
                .to_string();
            return Err(if said.is_empty() {
                "ssh failed".to_owned()
            } else {
                said
            });
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|e| e.to_string())?;
        let guard = runtime.enter();
        let session = Session::resume(Box::from(Path::new(&socket)), None);
        drop(guard);
        Ok(Self {
            session,
            runtime,
            _directory: directory,
        })
    }

    /// Runs the shell text `command` on the hub, with `input` on its standard input.
    ///
    /// # Errors
    /// The connection failed.
    pub fn run(&self, command: &str, input: &[u8]) -> Result<Output, String> {
        self.runtime.block_on(async {
            let mut remote = self.session.raw_command(command);
            remote
                .stdin(RemoteStdio::piped())
                .stdout(RemoteStdio::piped())
                .stderr(RemoteStdio::piped());
            let mut child = remote.spawn().await.map_err(|e| e.to_string())?;
            if let Some(mut stdin) = child.stdin().take() {
                stdin.write_all(input).await.map_err(|e| e.to_string())?;
                stdin.shutdown().await.map_err(|e| e.to_string())?;
            }
            let output = child.wait_with_output().await.map_err(|e| e.to_string())?;
            Ok(Output {
                success: output.status.success(),
                stdout: output.stdout,
                stderr: output.stderr,
            })
        })
    }

    /// Ends the connection.
    pub fn close(self) {
        // The master ends by itself after a minute if it does not hear this.
        drop(self.runtime.block_on(self.session.close()));
    }
}

/// Socket paths are limited to about 100 bytes: the temporary directory, not the project, and a short name.
fn control_directory() -> Result<ControlDirectory, String> {
    use std::os::unix::fs::DirBuilderExt;
    let mut random = [0; 6];
    getrandom::fill(&mut random).map_err(|e| e.to_string())?;
    let name = format!("rsyn-{}", crate::protocol::handshake::to_hex(&random));
    let path = std::env::temp_dir().join(name);
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&path)
        .map_err(|e| e.to_string())?;
    Ok(ControlDirectory(path))
}
