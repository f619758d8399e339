//! The programs that are compared, and how each is asked to bring one tree to where the other is.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::server::{Route, Server};
use super::settings::{Direction, in_path};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tool {
    Rsync,
    RsyncCompressed,
    Rsyn,
    /// A pipe into a second tar: first copies alone.
    Tar,
    Unison,
    Rclone,
}

/// One tree to bring to where the other is.
pub struct Trip<'a> {
    pub direction: Direction,
    pub source: &'a Path,
    pub destination: &'a Path,
    pub route: Route,
    /// Further options of the tool.
    pub options: &'a [&'a str],
    /// Further options of the ssh that rsync starts.
    pub ssh_options: &'a str,
}

impl Tool {
    pub const RSYNCS_AND_RSYN: [Self; 3] = [Self::Rsync, Self::RsyncCompressed, Self::Rsyn];

    pub fn name(self) -> &'static str {
        match self {
            Self::Rsync => "rsync -a",
            Self::RsyncCompressed => "rsync -az",
            Self::Rsyn => "rsyn",
            Self::Tar => "tar over ssh",
            Self::Unison => "unison",
            Self::Rclone => "rclone",
        }
    }

    /// Other tools that are installed here.
    pub fn others() -> Vec<Self> {
        let wanted = [
            (Self::Tar, "tar"),
            (Self::Unison, "unison"),
            (Self::Rclone, "rclone"),
        ];
        let there = wanted
            .into_iter()
            .filter(|(_, name)| in_path(name).is_some());
        there.map(|(tool, _)| tool).collect()
    }

    pub fn command(self, trip: &Trip<'_>, server: &Server, rsync: &Path) -> Command {
        let (machine, hub) = trip.machine_and_hub();
        match self {
            Self::Rsyn => rsyn(trip, server, machine, hub),
            Self::Rsync => rsync_command("-a", trip, server, rsync),
            Self::RsyncCompressed => rsync_command("-az", trip, server, rsync),
            Self::Tar => tar(trip, server),
            Self::Unison => unison(trip, server, machine, hub),
            Self::Rclone => rclone(trip, server),
        }
    }
}

impl Trip<'_> {
    fn machine_and_hub(&self) -> (&Path, &Path) {
        match self.direction {
            Direction::Push => (self.source, self.destination),
            Direction::Pull => (self.destination, self.source),
        }
    }

    /// The two ends, first the one that is read, with the hub's written by `remote`.
    fn ends(&self, remote: impl Fn(&Path) -> String) -> [String; 2] {
        let local = |path: &Path| format!("{}/", path.display());
        match self.direction {
            Direction::Push => [local(self.source), remote(self.destination)],
            Direction::Pull => [remote(self.source), local(self.destination)],
        }
    }
}

fn rsyn(trip: &Trip<'_>, server: &Server, machine: &Path, hub: &Path) -> Command {
    std::fs::create_dir_all(machine).unwrap();
    mark(machine);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rsyn"));
    command
        .arg(trip.direction.name())
        .args(["-q", "-y", "--no-snapshot", "--max-delete=100%"])
        .args(trip.options)
        .arg(format!("hub:{}", hub.display()))
        .arg("-F")
        .arg(server.config(trip.route))
        .current_dir(machine);
    let serve = format!("{} serve --stdio", env!("CARGO_BIN_EXE_rsyn"));
    command.env("RSYN_REMOTE_COMMAND", serve);
    command
}

/// Marks a directory as a project, for a run that finds no `.rsyn` in it.
pub fn mark(dir: &Path) {
    let exclude = dir.join(".rsync-exclude");
    if !exclude.exists() {
        std::fs::write(exclude, "").unwrap();
    }
}

fn rsync_command(flags: &str, trip: &Trip<'_>, server: &Server, rsync: &Path) -> Command {
    let mut command = Command::new(rsync);
    command
        .args([flags, "--delete", "--exclude=/.rsyn"])
        .args(trip.options)
        .arg(format!("--rsync-path={}", rsync.display()))
        .arg("-e")
        .arg(format!("{} {}", server.ssh(trip.route), trip.ssh_options))
        .args(trip.ends(|path| format!("hub:{}/", path.display())));
    command
}

fn tar(trip: &Trip<'_>, server: &Server) -> Command {
    let ssh = format!("{} hub", server.ssh(trip.route));
    let (source, destination) = (trip.source.display(), trip.destination.display());
    let pack = format!("tar -C {source} --exclude=./.rsyn -cf - .");
    let unpack = format!("mkdir -p {destination} && tar -C {destination} -xf -");
    let text = match trip.direction {
        Direction::Push => format!("{pack} | {ssh} '{unpack}'"),
        Direction::Pull => format!("{ssh} '{pack}' | {{ {unpack}; }}"),
    };
    let mut command = Command::new("bash");
    command.args(["-o", "pipefail", "-c", &text]);
    command
}

fn unison(trip: &Trip<'_>, server: &Server, machine: &Path, hub: &Path) -> Command {
    let far = format!("ssh://hub/{}", hub.display());
    let near = machine.display().to_string();
    let winner = match trip.direction {
        Direction::Push => &near,
        Direction::Pull => &far,
    };
    let program = in_path("unison").unwrap_or_else(|| PathBuf::from("unison"));
    let mut command = Command::new(&program);
    command
        .args(["-batch", "-ui", "text", "-silent", "-times"])
        .args(["-confirmbigdel=false", "-ignore", "Path .rsyn"])
        .args(["-force", winner])
        .arg("-sshargs")
        .arg(format!("-F {}", server.config(trip.route).display()))
        .arg("-servercmd")
        .arg(&program)
        .args([&near, &far])
        // What it wants to say about a first sync is no fault.
        .stderr(std::process::Stdio::null());
    command
}

fn rclone(trip: &Trip<'_>, server: &Server) -> Command {
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let user = String::from_utf8_lossy(&user).trim().to_owned();
    let remote = format!(
        ":sftp,host=127.0.0.1,port={},user={user},key_file={},shell_type=unix:",
        server.port(trip.route),
        server.user_key().display()
    );
    let mut command = Command::new("rclone");
    command
        .args(["sync", "-q", "--exclude", "/.rsyn/**"])
        .args(trip.ends(|path| format!("{remote}{}", path.display())));
    command
}
