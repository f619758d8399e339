//! An sshd on loopback with keys of its own, reached directly or through a slow link.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use super::proxy::{Line, Proxy};

pub struct Server {
    dir: PathBuf,
    child: Child,
    port: u16,
    proxy: Option<Proxy>,
}

/// How the hub is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Without the slow link: what makes ready and is not measured.
    Direct,
    /// Over the slow link, if there is one.
    Measured,
}

impl Server {
    pub fn start(dir: &Path, line: Option<Line>) -> Self {
        // The login's home is an empty directory: a shell start-up file would be measured as well.
        let home = dir.join("home");
        let dir = dir.join("sshd");
        std::fs::create_dir_all(&dir).unwrap();
        for key in ["host", "user"] {
            make_key(&dir.join(key));
        }
        std::fs::copy(dir.join("user.pub"), dir.join("authorized")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let shown = dir.display();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/authorized\n\
             PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\n\
             Subsystem sftp internal-sftp\nSetEnv HOME={}\n",
            home.display()
        );
        std::fs::write(dir.join("sshd_config"), config).unwrap();
        let key = std::fs::read_to_string(dir.join("host.pub")).unwrap();
        std::fs::write(dir.join("known"), format!("the-hub {key}")).unwrap();
        let proxy = line.map(|line| Proxy::start(line, port));
        let measured = proxy.as_ref().map_or(port, Proxy::port);
        for (name, port) in [("direct", port), ("measured", measured)] {
            std::fs::write(dir.join(name), client_config(&dir, port)).unwrap();
        }
        if Path::new("/run").is_dir() {
            // Where sshd, as root, wants its privilege separation directory.
            let _ = std::fs::create_dir("/run/sshd");
        }
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(dir.join("sshd_config"))
            .stderr(File::create(dir.join("log")).unwrap())
            .spawn()
            .expect("sshd is needed: apt-get install openssh-server");
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Self {
            dir,
            child,
            port,
            proxy,
        }
    }

    /// A configuration file for ssh that knows the hub.
    pub fn config(&self, route: Route) -> PathBuf {
        self.dir.join(match route {
            Route::Direct => "direct",
            Route::Measured => "measured",
        })
    }

    /// `ssh` that reaches the hub, as rsync's `-e` wants it.
    pub fn ssh(&self, route: Route) -> String {
        format!("ssh -F {}", self.config(route).display())
    }

    /// The port to connect to.
    pub fn port(&self, route: Route) -> u16 {
        match (route, &self.proxy) {
            (Route::Measured, Some(proxy)) => proxy.port(),
            _ => self.port,
        }
    }

    pub fn user_key(&self) -> PathBuf {
        self.dir.join("user")
    }

    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many connections were let in so far.
    pub fn logins(&self) -> usize {
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap();
        log.matches("Accepted publickey").count()
    }
}

fn make_key(file: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(file)
        .status();
    assert!(
        made.is_ok_and(|s| s.success()),
        "ssh-keygen is needed: apt-get install openssh-client"
    );
}

fn client_config(dir: &Path, port: u16) -> String {
    let shown = dir.display();
    format!(
        "Host hub\n HostName 127.0.0.1\n Port {port}\n IdentityFile {shown}/user\n IdentitiesOnly yes\n\
         \x20HostKeyAlias the-hub\n UserKnownHostsFile {shown}/known\n"
    )
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
