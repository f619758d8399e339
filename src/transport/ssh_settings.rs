//! What the user's ssh configuration says of a host, from ssh itself (`ssh -G`), and which cipher that leaves to choose.
//!
//! OpenSSH prefers ChaCha20, which has no instructions of its own: on a machine with AES instructions AES-GCM is 1.7
//! times as fast, and the cipher is the limit of a fast link. A choice of the user or of the system stays: only a list
//! that is the built-in one is put in another order, with nothing added to it and nothing taken away.

use std::process::{Child, Command, Stdio};

use super::SshOptions;
use crate::config::Host;

/// Ciphers that processors have instructions for, the fastest first.
const FAST: [&str; 2] = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com"];

/// A question that ssh is busy with.
pub(super) struct Question {
    configured: Option<Child>,
    built_in: Option<Child>,
}

/// What ssh would do.
#[derive(Debug, Default)]
pub(super) struct Settings {
    configured: String,
    built_in: String,
}

impl Question {
    /// Asks what is set for `host`, and what would be without any configuration.
    pub(super) fn ask(host: &Host, options: &SshOptions) -> Self {
        let mut configured = options.command(host);
        configured.args(["-G", "--"]).arg(host.destination());
        let mut built_in = Command::new("ssh");
        built_in.args(["-F", "none", "-G", "--", "host"]);
        Self {
            configured: started(configured),
            built_in: started(built_in),
        }
    }

    /// The answer; an empty one of an ssh that does not know the question.
    pub(super) fn answer(self) -> Settings {
        Settings {
            configured: said(self.configured),
            built_in: said(self.built_in),
        }
    }
}

fn started(mut command: Command) -> Option<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.spawn().ok()
}

fn said(child: Option<Child>) -> String {
    let output = child.and_then(|child| child.wait_with_output().ok());
    match output.filter(|output| output.status.success()) {
        Some(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        None => String::new(),
    }
}

impl Settings {
    /// The list of ciphers to ask for, if the one in force is nobody's choice and a faster one is in it.
    pub(super) fn better_ciphers(&self) -> Option<String> {
        let (configured, built_in) = (
            value(&self.configured, "ciphers")?,
            value(&self.built_in, "ciphers")?,
        );
        if configured != built_in || !has_aes_instructions() {
            return None;
        }
        let is_fast = |cipher: &&str| FAST.contains(cipher);
        let (mut fast, others): (Vec<_>, Vec<_>) = configured.split(',').partition(is_fast);
        fast.sort_by_key(|cipher| FAST.iter().position(|f| f == cipher));
        fast.extend(others);
        let better = fast.join(",");
        (better != configured).then_some(better)
    }

    /// Whether the user's own configuration names a socket to share the connection by.
    pub(super) fn has_own_connection(&self) -> bool {
        value(&self.configured, "controlpath").is_some_and(|path| path != "none")
    }
}

/// The value of a setting in the words of `ssh -G`: `name value` in each line.
fn value<'a>(said: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = said.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(n, _)| *n == name).map(|(_, value)| value)
}

fn has_aes_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    let has = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has = false;
    has
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT_IN: &str = "ciphers chacha20-poly1305@openssh.com,aes128-ctr,aes256-gcm@openssh.com,aes128-gcm@openssh.com";

    fn settings(configured: &str) -> Settings {
        Settings {
            configured: format!("host hub\n{configured}\nport 22\n"),
            built_in: format!("host host\n{BUILT_IN}\n"),
        }
    }

    #[test]
    fn a_list_that_nobody_chose_gets_the_fast_ciphers_first() {
        let expected = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr";
        let expected = has_aes_instructions().then(|| expected.to_owned());
        assert_eq!(settings(BUILT_IN).better_ciphers(), expected);
    }

    #[test]
    fn a_choice_stays_and_so_does_an_ssh_that_says_nothing() {
        let chosen = "ciphers chacha20-poly1305@openssh.com,aes128-gcm@openssh.com";
        assert_eq!(settings(chosen).better_ciphers(), None);
        assert_eq!(settings("").better_ciphers(), None);
        assert_eq!(Settings::default().better_ciphers(), None);
    }

    #[test]
    fn a_control_path_of_the_users_own_is_seen() {
        assert!(settings("controlpath /run/me/%C").has_own_connection());
        assert!(!settings("controlpath none").has_own_connection());
        assert!(!settings("").has_own_connection());
    }
}
