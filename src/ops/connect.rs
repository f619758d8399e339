//! Reaches the hub of a project and says, when that fails, which of the many reasons it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::look::{HubHere, World};
use super::project::{Environment, Setting, Settings};
use super::trust::Proposal;
use super::{Failure, FailureKind};
use crate::config::nearest::nearest;
use crate::config::remote::RemoteError;
use crate::config::{Host, Remote, words};
use crate::endpoint::PeerError;
use crate::endpoint::client::Client;
use crate::endpoint::connection::SendOptions;
use crate::endpoint::opening::{self, NotOpened, OpenOptions, Opening};
use crate::endpoint::overlap;
use crate::filter::Rules;
use crate::protocol::handshake::{self, ClientHello, ProtocolRange, Purpose, Seen};
use crate::protocol::limits;
use crate::transport::shell::Shell;
use crate::transport::{self, SshOptions, Transport, remote_command};

/// Whether content is compressed on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compress {
    /// Over a network, where it shrinks.
    #[default]
    Auto,
    /// Always, where it shrinks.
    On,
    /// Never.
    Off,
}

/// How the hub is reached: flags over settings.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// The remote, as named on the command line.
    pub remote: Option<String>,
    /// Command in place of ssh.
    pub ssh_command: Option<String>,
    /// Configuration file for ssh.
    pub ssh_config: Option<PathBuf>,
    /// Port of ssh.
    pub port: Option<u16>,
    /// How long the hub may be silent.
    pub timeout: Option<Duration>,
    /// Whether the connection stays open for the next run.
    pub persist: bool,
    /// Whether content is compressed.
    pub compress: Compress,
    /// Most bytes per second; 0 is no limit.
    pub bytes_per_second: u64,
    /// Memory that the hub's tree may take here.
    pub max_tree_bytes: Option<u64>,
}

/// A remote that was looked up, parsed, and can be reached.
#[derive(Debug, Clone)]
pub struct Hub {
    /// As the user knows it.
    pub name: String,
    /// Parsed.
    pub remote: Remote,
    /// Where its name came from.
    pub origin: String,
    /// Set if only a file of the project names it.
    pub proposal: Option<Proposal>,
    /// Whether it was named for this run: then a relative path begins where the user stands, else at the root.
    is_typed: bool,
    words: Option<Vec<String>>,
    ssh_config: Option<PathBuf>,
    remote_command: String,
    timeout: Duration,
    persist: bool,
    compress: Compress,
    bytes_per_second: u64,
    max_tree_bytes: Option<u64>,
}

/// The exit code of a hub that lost its client.
const CLIENT_LOST: i32 = 5;
/// A peer that says nothing for this long is gone.
const TIMEOUT: Duration = Duration::from_secs(60);

impl Hub {
    /// Looks the remote of a project up: the one named, or that of the settings. `is_there` tells whether something is at a
    /// relative path of this machine.
    ///
    /// # Errors
    /// There is none, or it is malformed.
    pub fn find(
        settings: &Settings,
        reach: &Reach,
        is_there: impl Fn(&[u8]) -> bool,
    ) -> Result<Self, Failure> {
        let (name, origin, proposal) = named(settings, reach)?;
        let parsed: Result<Remote, RemoteError> = name.parse();
        let parsed = parsed.and_then(|remote| {
            remote.refuse_word(is_there)?;
            Ok(remote)
        });
        let mut remote = parsed.map_err(|e| {
            let known = settings.remotes.keys().map(String::as_str);
            let meant = nearest(&name, known).filter(|_| matches!(e, RemoteError::Word(_)));
            let hint = meant.map(|meant| format!("did you mean `{meant}`?"));
            Failure::usage(format!("{origin}: {e}"), hint.unwrap_or_default())
        })?;
        if let (Remote::Ssh { host, .. }, Some(port)) = (&mut remote, reach.port) {
            host.port = Some(port);
        }
        let command = reach
            .ssh_command
            .clone()
            .or_else(|| value(settings.ssh_command.as_ref()));
        let split = |text: String| {
            let split = words::split(&text);
            split.map_err(|e| {
                Failure::usage(format!("the ssh command: {e}"), "quote it as for a shell")
            })
        };
        let ssh_config = reach.ssh_config.clone();
        let default_command = || remote_command::SERVE.to_owned();
        Ok(Self {
            name,
            remote,
            origin,
            proposal,
            is_typed: is_typed(settings, reach),
            words: command.map(split).transpose()?,
            ssh_config: ssh_config
                .or_else(|| value(settings.ssh_config.as_ref()).map(PathBuf::from)),
            remote_command: value(settings.remote_command.as_ref()).unwrap_or_else(default_command),
            timeout: reach.timeout.unwrap_or(TIMEOUT),
            persist: reach.persist,
            compress: reach.compress,
            bytes_per_second: reach.bytes_per_second,
            max_tree_bytes: reach.max_tree_bytes,
        })
    }

    /// Bytes of the root's path on the hub.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        match &self.remote {
            Remote::Ssh { path, .. } | Remote::Path(path) => path,
        }
    }

    /// The directory of a remote on this machine, for the project at `root`.
    #[must_use]
    pub fn local_path(&self, environment: &Environment, root: &Path) -> Option<PathBuf> {
        use std::os::unix::ffi::OsStrExt;
        let base = match self.is_typed {
            true => environment.standing(),
            false => root.to_owned(),
        };
        match &self.remote {
            Remote::Path(path) => Some(base.join(std::ffi::OsStr::from_bytes(path))),
            Remote::Ssh { .. } => None,
        }
    }

    /// Memory that its tree may take here, in bytes.
    #[must_use]
    pub fn view_bytes(&self) -> usize {
        let named = self.max_tree_bytes.map(usize::try_from);
        named.map_or(limits::VIEW_BYTES, |bytes| bytes.unwrap_or(usize::MAX))
    }

    /// The name of the host, if it is another machine.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match &self.remote {
            Remote::Ssh { host, .. } => Some(&host.name),
            Remote::Path(_) => None,
        }
    }

    /// Whether a command takes the place of ssh.
    #[must_use]
    pub fn has_own_command(&self) -> bool {
        self.words.is_some()
    }

    /// A way to run commands on the hub, by what reaches it.
    ///
    /// # Errors
    /// It is this machine, or ssh fails.
    pub fn shell(&self, world: &World<'_>) -> Result<Shell, Failure> {
        let Remote::Ssh { host, .. } = &self.remote else {
            return Err(Failure::usage("the hub is this machine", ""));
        };
        let options = SshOptions {
            config_file: self.ssh_config.clone(),
            interactive: world.environment.interactive,
            ..SshOptions::default()
        };
        Shell::reach(self.words.as_deref(), host, &options)
            .map_err(|e| Failure::new(FailureKind::Unreachable, e, "try `ssh` by hand"))
    }

    /// Begins to reach the hub with what does not wait for anything: ssh is asked for its settings.
    #[must_use]
    pub fn dial(&self, world: &World<'_>) -> Dialing {
        let environment = world.environment;
        match (&self.remote, &self.words) {
            (Remote::Path(_), _) => Dialing::Here {
                start: world.hub_here,
                program: environment.program.clone(),
            },
            (Remote::Ssh { host, .. }, Some(words)) => Dialing::Command {
                words: words.clone(),
                host: host.clone(),
                remote_command: self.remote_command.clone(),
            },
            (Remote::Ssh { host, .. }, None) => {
                let options = SshOptions {
                    config_file: self.ssh_config.clone(),
                    interactive: environment.interactive,
                    connect_timeout: Some(self.timeout),
                    persist: self.persist,
                    remote_command: self.remote_command.clone(),
                };
                Dialing::Ssh(Box::new(transport::prepare(host, options)))
            }
        }
    }

    /// Starts a session over `transport`; the hub's answer is awaited later, see [`Hub::greet`].
    ///
    /// # Errors
    /// The hub's path is too long.
    pub fn open(
        &self,
        world: &World<'_>,
        transport: Transport,
        greeting: &Greeting<'_>,
    ) -> Result<Opening, Failure> {
        let compress = match self.compress {
            Compress::Auto => transport.is_network,
            Compress::On => true,
            Compress::Off => false,
        };
        let path = match self.local_path(world.environment, &world.project.path) {
            Some(path) => std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec(),
            None => self.path().to_vec(),
        };
        let hello = ClientHello {
            protocol: ProtocolRange::OURS,
            features: handshake::FEATURES
                .iter()
                .map(|f| (*f).to_owned())
                .collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            root: handshake::to_hex(&path),
            expected_root_id: greeting.expected.clone(),
            machine_id: greeting.machine_id.clone(),
            machine: greeting.machine.clone(),
            purpose: greeting.purpose,
            repair: greeting.repair,
            own_rules: greeting.rules.is_none(),
            checksum: greeting.checksum,
            create_root: matches!(greeting.purpose, Purpose::Push | Purpose::Sync),
            seen: greeting.seen,
            bytes_per_second: self.bytes_per_second,
            compress,
            standing: self
                .host()
                .and_then(|_| overlap::standing(&world.project.path)),
        };
        let send = SendOptions {
            compress,
            bytes_per_second: Some(self.bytes_per_second).filter(|b| *b > 0),
        };
        let options = OpenOptions {
            send,
            timeout: self.timeout,
            interrupted: Arc::clone(world.interrupted),
        };
        Ok(opening::open(transport, &hello, greeting.rules, options)?)
    }

    /// Waits for the hub's Hello.
    ///
    /// # Errors
    /// It did not come; the failure says which of the many reasons it is.
    pub fn greet(&self, opening: Opening) -> Result<Client, Failure> {
        opening.wait().map_err(|e| self.diagnose(&e))
    }

    /// The reason why a session did not start.
    #[must_use]
    pub fn diagnose(&self, failed: &NotOpened) -> Failure {
        if let PeerError::Refused(_) | PeerError::Interrupted | PeerError::Protocol(_) =
            failed.error
        {
            return failed.error.clone().into();
        }
        let said = failed.stderr.join("\n");
        let host = self.host().unwrap_or("this machine");
        let unreachable =
            |message: String, hint: String| Failure::new(FailureKind::Unreachable, message, hint);
        let with_words = |what: &str| match last_words(&failed.stderr) {
            Some(words) => format!("{what}: {words}"),
            None => what.to_owned(),
        };
        if failed.exit_code == Some(remote_command::NOT_FOUND) || said.contains("rsyn: not found") {
            return unreachable(
                format!("rsyn is not installed on {host}"),
                "`rsyn setup --install` puts this very program there".to_owned(),
            );
        }
        let noise = match &failed.error {
            PeerError::Noise(noise) => Some(noise.as_str()),
            PeerError::Closed => last_words(&failed.stderr),
            _ => None,
        };
        // A hub of ours that is not heard for noise ends with the code of a lost client; ssh fails with 255.
        if let (Some(noise), Some(code @ 1..=254)) = (noise, failed.exit_code)
            && code != CLIENT_LOST
            && SshTrouble::of(&said).is_none()
        {
            return unreachable(
                format!(
                    "what runs as rsyn on {host} does not answer as rsyn does: it ended with {code} and said: {noise}"
                ),
                format!(
                    "is it another program of that name? `ssh {host} rsyn --version` tells; `remote_command` in \
                    .rsyn/config.toml can name the right one"
                ),
            );
        }
        if let PeerError::Noise(noise) = &failed.error {
            return unreachable(
                format!("is the remote shell of {host} clean? it printed: {noise}"),
                format!(
                    "`ssh {host} true` must print nothing: look at .bashrc, .profile and their kin there"
                ),
            );
        }
        let (what, hint) = match SshTrouble::of(&said) {
            Some(trouble) => trouble.words(host, &said),
            None => (
                "cannot reach the hub",
                format!("try `ssh {host} true`; `rsyn setup` looks closer"),
            ),
        };
        match last_words(&failed.stderr) {
            Some(_) => unreachable(with_words(what), hint),
            None => unreachable(format!("{what} {host}: {}", failed.error), hint),
        }
    }
}

/// A hub that is about to be reached.
pub enum Dialing {
    /// By ssh.
    Ssh(Box<transport::Prepared>),
    /// By a command in place of ssh.
    Command {
        /// The command.
        words: Vec<String>,
        /// The hub's host.
        host: Host,
        /// What runs there.
        remote_command: String,
    },
    /// On this machine.
    Here {
        /// Starts it.
        start: HubHere,
        /// By the path of this program.
        program: PathBuf,
    },
}

impl Dialing {
    /// Starts the process that leads to the hub. It connects while this one goes on.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn connect(self) -> Result<Transport, Failure> {
        let started = match self {
            Self::Ssh(prepared) => prepared.start(),
            Self::Command {
                words,
                host,
                remote_command,
            } => transport::with_command(&words, &host, &remote_command),
            Self::Here { start, program } => start(&program),
        };
        started.map_err(|e| {
            let hint = "install an OpenSSH client, or mend -e or --persist";
            Failure::new(FailureKind::Unreachable, e.to_string(), hint)
        })
    }
}

/// What ssh says when it fails, sorted. The words are those of OpenSSH 7 to 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SshTrouble {
    /// The host is not in known_hosts, or its key changed.
    HostKey,
    /// The key changed since it was noted.
    HostKeyChanged,
    /// The hub knows none of the keys.
    Refused,
    /// The name is unknown.
    Name,
    /// Nothing listens at the port.
    Port,
    /// Nobody answers.
    Timeout,
}

impl SshTrouble {
    /// Finds the trouble in what ssh said.
    #[must_use]
    pub fn of(said: &str) -> Option<Self> {
        let table = [
            (
                "REMOTE HOST IDENTIFICATION HAS CHANGED",
                Self::HostKeyChanged,
            ),
            ("Host key verification failed", Self::HostKey),
            ("No ED25519 host key is known", Self::HostKey),
            ("Permission denied", Self::Refused),
            ("Too many authentication failures", Self::Refused),
            ("Could not resolve hostname", Self::Name),
            ("Connection refused", Self::Port),
            ("timed out", Self::Timeout),
            ("No route to host", Self::Timeout),
            ("Network is unreachable", Self::Timeout),
        ];
        table
            .into_iter()
            .find(|(words, _)| said.contains(words))
            .map(|(_, trouble)| trouble)
    }

    /// What to say and what to do about `host`, of which ssh `said` this.
    #[must_use]
    pub fn words(self, host: &str, said: &str) -> (&'static str, String) {
        match self {
            Self::HostKeyChanged => {
                let remove =
                    removal_of_key(said).unwrap_or_else(|| format!("ssh-keygen -R {host}"));
                (
                    "the host key of the hub changed",
                    format!("if that is right, `{remove}` and connect once with `ssh {host}`"),
                )
            }
            Self::HostKey => (
                "the host key of the hub is not known here",
                format!("connect once with `ssh {host}` and compare its fingerprint"),
            ),
            Self::Refused => (
                "the hub accepts none of this machine's keys",
                format!("`ssh-add` the right key, or `ssh-copy-id {host}`"),
            ),
            Self::Name => (
                "the name of the hub is unknown",
                "look at the remote, or at ~/.ssh/config".to_owned(),
            ),
            Self::Port => (
                "nothing listens at the ssh port of the hub",
                "is sshd running, is the port right?".to_owned(),
            ),
            Self::Timeout => (
                "the hub does not answer",
                "is it up, is this machine online?".to_owned(),
            ),
        }
    }
}

/// The command that removes a host key that changed, as ssh itself gives it, or for the name under which ssh knows the
/// host: an alias or a port makes that another one than was typed.
fn removal_of_key(said: &str) -> Option<String> {
    let mut lines = said.lines().map(str::trim);
    let given = lines
        .clone()
        .find(|line| line.starts_with("ssh-keygen") && line.contains("-R"));
    let named = || {
        let rest = lines.find_map(|line| line.strip_prefix("Host key for "))?;
        Some(format!("ssh-keygen -R '{}'", rest.split(' ').next()?))
    };
    given.map(str::to_owned).or_else(named)
}

fn last_words(lines: &[String]) -> Option<&str> {
    lines.iter().rev().map(|l| l.trim()).find(|l| !l.is_empty())
}

fn value(setting: Option<&Setting>) -> Option<String> {
    setting.map(|s| s.value.clone())
}

/// Whether `typed` may be a name for this setting: what comes with the project takes the place of no remote that is
/// written in full.
fn is_name_of(setting: &Setting, typed: &str) -> bool {
    !setting.travels || !typed.contains(['/', ':', '@'])
}

/// The remote, where it is named, and whether only the project names it.
fn named(
    settings: &Settings,
    reach: &Reach,
) -> Result<(String, String, Option<Proposal>), Failure> {
    let of = |setting: &Setting, origin: String, name: Option<&String>| {
        let proposal = setting.travels.then(|| Proposal {
            name: name.cloned(),
        });
        (setting.value.clone(), origin, proposal)
    };
    match (&reach.remote, &settings.remote) {
        (Some(typed), _) => Ok(
            match settings.remotes.get(typed).filter(|s| is_name_of(s, typed)) {
                Some(setting) => {
                    let origin = format!("remotes.{typed} in {}", setting.origin);
                    of(setting, origin, Some(typed))
                }
                None => (typed.clone(), "the command line".to_owned(), None),
            },
        ),
        (None, Some(setting)) => Ok(of(setting, setting.origin.clone(), None)),
        (None, None) => Err(Failure::usage(
            "no remote is set",
            "name one: `rsyn pull user@host:path`, RSYN_REMOTE in .env, or `remote = …` in rsyn.toml",
        )),
    }
}

/// Whether the remote was named for this run, on the command line or in a variable, and by no file.
fn is_typed(settings: &Settings, reach: &Reach) -> bool {
    match &reach.remote {
        Some(name) => !settings.remotes.contains_key(name),
        None => settings
            .remote
            .as_ref()
            .is_some_and(Setting::is_of_environment),
    }
}

/// What a session starts with.
pub struct Greeting<'a> {
    /// Id of the hub's root at the last sync.
    pub expected: Option<String>,
    /// Id of the root here.
    pub machine_id: String,
    /// Name of this machine.
    pub machine: String,
    /// What the session is for.
    pub purpose: Purpose,
    /// Whether it brings old content back.
    pub repair: bool,
    /// The rules; `None` leaves them to the hub.
    pub rules: Option<&'a Rules>,
    /// Whether every file is read.
    pub checksum: bool,
    /// The hub as seen last.
    pub seen: Option<Seen>,
}
