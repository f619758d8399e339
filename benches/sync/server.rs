//! An sshd on loopback with keys of its own.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Server {
    dir: PathBuf,
    child: Child,
}

impl Server {
    pub fn start(dir: &Path) -> Self {
        let dir = dir.join("sshd");
        std::fs::create_dir_all(&dir).unwrap();
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(dir.join(key))
                .status();
            assert!(
                made.is_ok_and(|s| s.success()),
                "ssh-keygen is needed: apt-get install openssh-client"
            );
        }
        std::fs::copy(dir.join("user.pub"), dir.join("authorized")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let shown = dir.display();
        // The login's home is an empty directory: a shell start-up file would be measured as well.
        let home = dir.parent().unwrap().join("home");
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/authorized\n\
             PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nSetEnv HOME={}\n",
            home.display()
        );
        std::fs::write(dir.join("sshd_config"), config).unwrap();
        let key = std::fs::read_to_string(dir.join("host.pub")).unwrap();
        std::fs::write(dir.join("known"), format!("[127.0.0.1]:{port} {key}")).unwrap();
        let client = format!(
            "Host hub\n HostName 127.0.0.1\n Port {port}\n IdentityFile {shown}/user\n IdentitiesOnly yes\n UserKnownHostsFile {shown}/known\n"
        );
        std::fs::write(dir.join("config"), client).unwrap();
        let wrap = format!(
            "#!/bin/sh\necho $$ >> {shown}/pids\nexec {} serve --stdio\n",
            env!("CARGO_BIN_EXE_rsyn")
        );
        std::fs::write(dir.join("serve"), wrap).unwrap();
        if Path::new("/run").is_dir() {
            // Where sshd, as root, wants its privilege separation directory.
            let _ = std::fs::create_dir("/run/sshd");
        }
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(dir.join("sshd_config"))
            .stderr(Stdio::null())
            .spawn()
            .expect("sshd is needed: apt-get install openssh-server");
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { dir, child }
    }

    pub fn config(&self) -> PathBuf {
        self.dir.join("config")
    }

    /// Starts the hub's rsyn and leaves its process id, so that its memory can be watched.
    pub fn remote_command(&self) -> String {
        format!("sh {}", self.dir.join("serve").display())
    }

    /// Process ids of hubs that were started so far.
    pub fn hubs(&self) -> Vec<u32> {
        let text = std::fs::read_to_string(self.dir.join("pids")).unwrap_or_default();
        text.lines().filter_map(|l| l.parse().ok()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
