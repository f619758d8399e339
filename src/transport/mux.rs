//! Several commands over one authenticated connection: what `rsyn setup` needs. The master is started here,
//! so that host keys and prompts stay the user's own; the crate `openssh` runs the commands over it.

use std::path::Path;
use std::process::Stdio;

use openssh::{Session, Stdio as RemoteStdio};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::SshOptions;
use super::shell::{OUTPUT_LIMIT, TIME_LIMIT};
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

/// The first [`OUTPUT_LIMIT`] bytes of a stream.
async fn bounded(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(OUTPUT_LIMIT).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

impl Mux {
    /// Connects.
    ///
    /// # Errors
    /// The last words of ssh.
    pub fn connect(host: &Host, options: &SshOptions) -> Result<Self, String> {
        let directory = control_directory()?;
        let socket = directory.0.join("s");
        let mut command = options.command(host);
        command
            .arg("-S")
            .arg(&socket)
            .args(["-M", "-N", "-f", "-o", "ControlPersist=60"]);
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
    /// The connection failed, or the command said too much or took too long.
    pub fn run(&self, command: &str, input: &[u8]) -> Result<Output, String> {
        let bounded =
            async { tokio::time::timeout(TIME_LIMIT, self.run_unbounded(command, input)).await };
        match self.runtime.block_on(bounded) {
            Ok(output) => output,
            Err(_) => Err(format!("no end after {} s", TIME_LIMIT.as_secs())),
        }
    }

    async fn run_unbounded(&self, command: &str, input: &[u8]) -> Result<Output, String> {
        let words = |e: openssh::Error| e.to_string();
        let mut remote = self.session.raw_command(command);
        remote
            .stdin(RemoteStdio::piped())
            .stdout(RemoteStdio::piped())
            .stderr(RemoteStdio::piped());
        let mut child = remote.spawn().await.map_err(words)?;
        let (stdin, stdout, stderr) = (
            child.stdin().take(),
            child.stdout().take(),
            child.stderr().take(),
        );
        let feed = async {
            let Some(mut stdin) = stdin else {
                return Ok(());
            };
            stdin.write_all(input).await?;
            stdin.shutdown().await
        };
        // A login that talks without end must not fill the memory.
        let (fed, stdout, stderr) = tokio::join!(feed, bounded(stdout), bounded(stderr));
        let status = child.wait().await.map_err(words)?;
        fed.map_err(|e| e.to_string())?;
        let io = |e: std::io::Error| e.to_string();
        Ok(Output {
            success: status.success(),
            stdout: stdout.map_err(io)?,
            stderr: stderr.map_err(io)?,
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
