//! What is private stays so: state and staged content at every instant, secrets in logs and on the terminal.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::support::{Dir, Machine, Sandbox, noise};

/// Looks again and again at a root, and remembers what others could have got at.
fn watch(root: &Path, over: &AtomicBool, looks: &AtomicU64) -> Vec<String> {
    let mut open = vec![];
    while !over.load(Ordering::Relaxed) {
        look(root, &mut open);
        looks.fetch_add(1, Ordering::Relaxed);
    }
    look(root, &mut open);
    open.sort();
    open.dedup();
    open
}

fn look(root: &Path, open: &mut Vec<String>) {
    let mode = |path: &Path| {
        std::fs::symlink_metadata(path)
            .map(|m| m.mode() & 0o777)
            .ok()
    };
    if let Some(mode) = mode(&root.join(".rsyn")).filter(|m| m & 0o077 != 0) {
        open.push(format!(".rsyn has mode {mode:o}"));
    }
    for entry in std::fs::read_dir(root.join(".rsyn"))
        .into_iter()
        .flatten()
        .flatten()
    {
        // A file that is gone by now is nobody's; `.gitignore` tells nothing.
        let mode = mode(&entry.path()).filter(|m| m & 0o077 != 0);
        if let Some(mode) = mode.filter(|_| entry.file_name() != ".gitignore") {
            open.push(format!("{:?} has mode {mode:o}", entry.file_name()));
        }
    }
    if let Some(mode) = mode(&root.join("secret")).filter(|m| m & 0o077 != 0) {
        open.push(format!("secret has mode {mode:o}"));
    }
}

/// Runs the program under a umask that takes nothing away, with a watcher on both roots.
fn run_watched(machine: &Machine, hub: &Dir, args: &[&str]) -> u64 {
    let (over, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let watchers = [&machine.0, &hub.0].map(|root| scope.spawn(|| watch(root, &over, &looks)));
        let plain = machine.command(args);
        let mut open_handed = Command::new("sh");
        open_handed
            .args(["-c", "umask 0; exec \"$0\" \"$@\""])
            .arg(plain.get_program());
        open_handed.args(plain.get_args()).env_clear();
        open_handed.envs(plain.get_envs().filter_map(|(k, v)| Some((k, v?))));
        open_handed.current_dir(plain.get_current_dir().unwrap());
        let output = open_handed.output().unwrap();
        over.store(true, Ordering::Relaxed);
        for watcher in watchers {
            assert_eq!(watcher.join().unwrap(), [""; 0], "rsyn {args:?}");
        }
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    });
    looks.load(Ordering::Relaxed)
}

#[test]
fn state_and_staged_content_are_private_at_every_instant() {
    let world = Sandbox::new();
    let (a, b) = (world.project("a"), world.machine("b"));
    b.write("rsyn.toml", a.read("rsyn.toml"));
    let mut looks = 0;
    for round in 0..4 {
        a.write("secret", noise(3_000_000, round + 1));
        a.chmod("secret", 0o600);
        a.write(format!("more/{round}"), noise(200_000, round + 50));
        looks += run_watched(&a, &world.hub(), &["push"]);
        looks += run_watched(&b, &world.hub(), &["pull"]);
    }
    assert_eq!(b.read("secret"), a.read("secret"));
    assert!(looks > 100, "only {looks} looks");
}

#[test]
fn setuid_setgid_and_sticky_never_arrive() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("tool", "#!/bin/sh\n");
    a.mkdir("dir");
    a.chmod("tool", 0o6755);
    a.chmod("dir", 0o1777);
    a.ok(&["push"]);
    let mode = |path: &str| {
        let meta = std::fs::metadata(world.hub().at(path)).unwrap();
        meta.permissions().mode() & 0o7777
    };
    assert_eq!((mode("tool"), mode("dir")), (0o755, 0o777));
}

#[test]
fn a_password_in_a_remote_is_refused_and_kept_nowhere() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "content");
    a.ok(&["push"]);
    for secret in [
        "ssh://bob:hunter2@127.0.0.1:9/srv/p",
        "bob:hunter2@127.0.0.1:srv/p",
        "bob:hunter2@127.0.0.1:/srv/p",
    ] {
        refuses_and_hides(&a, secret);
    }
    assert!(!a.text(".rsyn/log.jsonl").contains("hunter2"));
}

/// No output of any verb has the password of `secret`, wherever that is set.
fn refuses_and_hides(a: &Machine, secret: &str) {
    for run in [
        a.rsyn(&["push", secret]).exits(2),
        a.rsyn(&["pull", secret, "--dry-run", "--json"]).exits(2),
        a.rsyn(&["init", secret]).exits(2),
        a.clone()
            .with("RSYN_REMOTE", secret)
            .rsyn(&["push"])
            .exits(2),
        a.clone()
            .with("RSYN_REMOTE", secret)
            .rsyn(&["setup"])
            .exits(1),
        a.clone()
            .with("RSYN_REMOTE", secret)
            .rsyn(&["status", "--offline"]),
        a.rsyn(&["log"]).exits(0),
        a.rsyn(&["log", "--json"]).exits(0),
    ] {
        run.says_no("hunter2");
    }
    let config = a.text("rsyn.toml");
    for broken in [
        format!("remote = \"{secret}\nx"),
        format!("remote = \"{secret}\""),
        format!("{config}\n[remotes]\nother = \"{secret}\"\n"),
        format!("{config}\noptions = \"--nonsense={secret}\"\n"),
        format!("{config}\noptions = \"{secret} -z\"\n"),
    ] {
        a.write("rsyn.toml", &broken);
        for verb in ["push", "pull", "status", "setup", "diff", "log", "other"] {
            a.rsyn(&[verb]).says_no("hunter2");
            a.rsyn(&[verb, "--json"]).says_no("hunter2");
            a.rsyn(&["push", "other"]).says_no("hunter2");
        }
    }
    a.write("rsyn.toml", config);
    let odd = [format!("-e 'x {secret}'"), secret.to_owned()];
    for options in odd {
        let a = a.clone().with("RSYN_OPTIONS", options);
        for verb in ["push", "pull", "status", "setup", "log"] {
            a.rsyn(&[verb, "host:p"]).says_no("hunter2");
            a.rsyn(&[verb, "--json"]).says_no("hunter2");
        }
    }
}
