//! A machine behind ssh: an `sshd` of its own on a free port of the loopback.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Dir, Machine, RSYN, Sandbox};

/// The hub of a test, or the end of the test if there is no sshd and the user said to skip such tests.
#[macro_export]
macro_rules! hub_or_skip {
    () => {{
        fn here() {}
        let name = std::any::type_name_of_val(&here).trim_end_matches("::here");
        match $crate::hub::Hub::start(name) {
            Some(hub) => hub,
            None => return,
        }
    }};
}

/// A sandbox with an sshd that leads to it.
pub struct Hub {
    pub world: Sandbox,
    pub port: u16,
    sshd: Child,
}

impl Drop for Hub {
    fn drop(&mut self) {
        drop(self.sshd.kill());
        drop(self.sshd.wait());
    }
}

impl Hub {
    /// Starts it; `None` if sshd is missing and tests that want it are to be skipped.
    pub fn start(test: &str) -> Option<Self> {
        let Some(program) = sshd_program() else {
            let skip = std::env::var("RSYN_SKIP").unwrap_or_default();
            assert!(
                skip.split(',').any(|s| s == "sshd"),
                "{test} needs sshd: `apt-get install openssh-server` (dnf: openssh-server, pacman: openssh), \
                 or set RSYN_SKIP=sshd to pass without it"
            );
            eprintln!("SKIPPED {test}: sshd not installed");
            return None;
        };
        let world = Sandbox::new();
        make_keys(&world.dir(""));
        for _ in 0..5 {
            let port = free_port();
            write_sshd_config(&world.dir(""), port);
            if let Some(sshd) = try_start(&program, &world.dir(""), port) {
                write_client_files(&world.dir(""), port);
                return Some(Self { world, port, sshd });
            }
        }
        let log = std::fs::read_to_string(world.dir("sshd.log").0).unwrap_or_default();
        panic!("sshd does not start: {log}");
    }

    /// Ends the sshd that takes connections; those that there are go on.
    pub fn stop_listening(&mut self) {
        drop(self.sshd.kill());
        drop(self.sshd.wait());
    }

    /// The home of the login on the hub.
    pub fn home(&self) -> Dir {
        self.world.dir("hub-home")
    }

    /// The root on the hub.
    pub fn root(&self) -> Dir {
        self.world.dir("hub-home/project")
    }

    /// The client's ssh configuration.
    pub fn config(&self) -> String {
        self.world.dir("ssh_config").text_path().to_owned()
    }

    /// A machine with a project whose remote is the hub, by its alias and relative to the home there.
    pub fn project(&self, name: &str) -> Machine {
        let machine = self.world.machine(name);
        machine.write("rsyn.toml", "remote = \"hub:project\"\n");
        machine
    }

    /// A machine that knows the ssh configuration by its own settings, so that no flag is needed.
    pub fn ready(&self, name: &str) -> Machine {
        let machine = self.project(name);
        machine.with("RSYN_OPTIONS", format!("-F '{}'", self.config()))
    }

    /// What ssh may be asked to run: `command`, forced, or anything.
    pub fn authorize(&self, command: Option<&str>) {
        let key = self.world.dir("").text("id.pub");
        let line = match command {
            Some(command) => format!(
                "command=\"{}\",restrict {key}",
                command.replace('"', "\\\"")
            ),
            None => key,
        };
        self.world.dir("").write("authorized_keys", line);
    }
}

fn sshd_program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|dir| dir.join("sshd"))
        .find(|program| program.is_file())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Makes a key at `path`.
pub fn make_key(path: &Path) {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .status();
    assert!(status.unwrap().success(), "ssh-keygen {}", path.display());
}

fn make_keys(dir: &Dir) {
    make_key(&dir.at("host_key"));
    make_key(&dir.at("id"));
    dir.write("authorized_keys", dir.read("id.pub"));
    dir.mkdir("hub-home");
}

fn write_sshd_config(dir: &Dir, port: u16) {
    let at = |name: &str| dir.dir(name).text_path().to_owned();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}\n\
         StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nPrintMotd no\nPrintLastLog no\nLogLevel ERROR\n\
         MaxStartups 100\nSetEnv HOME={} PATH=/usr/local/bin:/usr/bin:/bin\n",
        at("host_key"),
        at("authorized_keys"),
        at("hub-home"),
    );
    dir.write("sshd_config", config);
}

fn write_client_files(dir: &Dir, port: u16) {
    let at = |name: &str| dir.dir(name).text_path().to_owned();
    let key = dir.text("host_key.pub");
    dir.write("known_hosts", format!("[127.0.0.1]:{port} {key}"));
    let config = format!(
        "Host hub\n  HostName 127.0.0.1\n  Port {port}\nHost *\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
         IdentityAgent none\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  \
         StrictHostKeyChecking yes\n  UpdateHostKeys no\n",
        at("id"),
        at("known_hosts"),
    );
    dir.write("ssh_config", config);
}

/// Starts sshd and waits for its greeting; `None` if it ended, as it does where the port is taken by now.
fn try_start(program: &Path, dir: &Dir, port: u16) -> Option<Child> {
    // Root's sshd wants an empty directory that the package makes at boot.
    if rustix::process::geteuid().is_root() {
        drop(std::fs::create_dir("/run/sshd"));
    }
    let log = std::fs::File::create(dir.at("sshd.log")).unwrap();
    let mut sshd = Command::new(program)
        .args(["-D", "-e", "-f"])
        .arg(dir.at("sshd_config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        if sshd.try_wait().unwrap().is_some() {
            return None;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(sshd);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(sshd.kill());
    drop(sshd.wait());
    None
}

/// The command that serves on the hub, confined as `more` says.
pub fn serve(more: &str) -> String {
    format!("{RSYN} serve --stdio {more}")
}
