//! What stands in the place of a hub's first words: chatter of login shells, other programs, no program, ssh that
//! fails. Each is told apart, exit code 5, nothing is changed.

use crate::support::{Machine, Run, Sandbox, assert_same};

struct World {
    sandbox: Sandbox,
    a: Machine,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let a = crate::wire::project(&sandbox, "a");
        a.write("f", "1");
        Self { sandbox, a }
    }

    /// Runs `push` with this shell script in place of ssh; `hub` in it starts the real hub.
    fn push_over(&self, script: &str) -> Run {
        let scripts = self.sandbox.dir("");
        let hub = "for last; do :; done\nhub() { sh -c \"$last\"; }\n";
        scripts.write("ssh", format!("{hub}{script}\n"));
        let command = format!("sh {}", scripts.at("ssh").display());
        self.a.rsyn(&["push", "--timeout", "3", "-e", &command])
    }

    #[track_caller]
    fn says(&self, script: &str, words: &str) {
        let before = self.a.tree();
        let run = self.push_over(script);
        assert_eq!(run.code, 5, "{script}: {}", run.all());
        assert!(
            run.err().contains(words),
            "{script}: no `{words}` in {}",
            run.err()
        );
        assert!(!run.err().contains("panicked"), "{}", run.err());
        assert!(
            !run.stderr.iter().any(|b| *b < 0x20 && *b != b'\n'),
            "a raw control byte: {:?}",
            run.err()
        );
        assert_same(&before, &self.a.tree());
        assert!(!self.sandbox.hub().has("f"), "{script} reached the hub");
    }
}

/// A command that prints so many bytes.
fn prints(bytes: usize) -> String {
    format!("head -c {bytes} /dev/zero | tr '\\0' x")
}

#[test]
fn noise_before_the_hub_is_passed_over_up_to_its_limit() {
    for noise in [
        prints(0),
        prints(1),
        prints(4095),
        prints(4096),
        prints(65_535),
        prints(65_536),
        "echo Welcome".to_owned(),
        "printf 'a\\r\\nb\\r\\n'".to_owned(),
        "printf 'RSYN'".to_owned(),
        "printf 'RSYNRSYRSYN'".to_owned(),
        "printf '\\0\\377\\033[31m'".to_owned(),
        "echo motd >&2".to_owned(),
        "head -c 60000 /dev/urandom | tr -d N".to_owned(),
    ] {
        let world = World::new();
        let run = world.push_over(&format!("{noise}; hub"));
        assert_eq!(run.code, 0, "{noise}: {}", run.all());
        assert_eq!(world.sandbox.hub().text("f"), "1");
    }
}

#[test]
fn more_noise_than_that_and_no_hub_at_all_ask_for_a_clean_shell() {
    let world = World::new();
    for bytes in [65_537, 65_600, 100_000, 1 << 20] {
        world.says(
            &format!("{}; hub", prints(bytes)),
            "is the remote shell of hub clean?",
        );
    }
    for bytes in [1, 200, 201, 4096, 65_000] {
        world.says(&prints(bytes), "is the remote shell of hub clean?");
    }
    world.says("printf 'SSH-2.0-OpenSSH_9.2\\r\\n'", "SSH-2.0-OpenSSH_9.2");
    world.says("printf '\\033]0;evil\\007\\033[31m'", "\\x1b]0;evil");
    world.says(
        "echo 'This account is currently not available.'",
        "currently not available",
    );
    world.says("printf 'RSYN'", "is the remote shell");
    world.says("printf '@RSYNCD: 31.0\\n'", "@RSYNCD");
}

#[test]
fn another_program_that_is_called_rsyn_is_told_from_a_noisy_shell() {
    let world = World::new();
    for script in [
        "echo 'rsyn 3.1: unknown command serve'; exit 2",
        "echo 'usage: rsyn FILE' >&2; exit 1",
    ] {
        world.says(script, "does not answer as rsyn does");
        world.says(script, "rsyn --version");
    }
}

#[test]
fn a_hub_without_rsyn_and_an_ssh_that_fails_are_told_apart() {
    let world = World::new();
    world.says(
        "echo 'sh: 1: rsyn: not found' >&2; exit 127",
        "rsyn is not installed on hub",
    );
    world.says("exit 127", "rsyn is not installed on hub");
    world.says("echo noise; exit 127", "rsyn is not installed on hub");
    for (said, words) in [
        (
            "Permission denied (publickey).",
            "accepts none of this machine's keys",
        ),
        (
            "Too many authentication failures",
            "accepts none of this machine's keys",
        ),
        (
            "ssh: Could not resolve hostname hub: Name or service not known",
            "name of the hub is unknown",
        ),
        (
            "ssh: connect to host hub port 22: Connection refused",
            "nothing listens",
        ),
        (
            "ssh: connect to host hub port 22: Connection timed out",
            "does not answer",
        ),
        (
            "ssh: connect to host hub port 22: No route to host",
            "does not answer",
        ),
        (
            "Host key verification failed.",
            "host key of the hub is not known",
        ),
        (
            "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!",
            "host key of the hub changed",
        ),
        (
            "kex_exchange_identification: read: Connection reset by peer",
            "Connection reset by peer",
        ),
    ] {
        world.says(&format!("echo '{said}' >&2; exit 255"), words);
    }
    for script in [
        "exit 255",
        "exit 0",
        "exit 1",
        "kill -9 $$",
        "kill -SEGV $$",
        "exec 1>&-; sleep 0.2",
    ] {
        world.says(script, "cannot reach the hub");
    }
    world.says(
        "printf '\\033[31mred\\r\\n' >&2; exit 255",
        "cannot reach the hub",
    );
}

#[test]
fn a_hub_of_another_version_is_named_with_both() {
    let world = World::new();
    let hello = |min: u32, max: u32| {
        format!(
            r#"{{"protocol":{{"min":{min},"max":{max}}},"version":"9.8.7","root_id":"","root_exists":true,"writable":true}}"#
        )
    };
    for (magic, hello) in [
        (9, hello(2, 9)),
        (1, hello(2, 3)),
        (0, hello(0, 0)),
        (1, hello(3, 1)),
    ] {
        let script = format!(
            "printf 'RSYN\\0\\{magic:03o}\\{:03o}\\0\\0\\0'; printf '%s' '{hello}'; exec 1>&-; cat >/dev/null",
            hello.len()
        );
        world.says(&script, "9.8.7");
    }
}

#[test]
fn a_wire_that_changes_bytes_is_noticed() {
    let world = World::new();
    for script in [
        "hub | sed 's/$/\\r/'",
        "hub | tr '\\0' ' '",
        "hub | head -c 8",
        "hub | cat - /dev/zero | head -c 2000000",
        "tr '\\0' ' ' | hub",
        "printf 'typed by a script\\n' | hub",
    ] {
        let before = world.a.tree();
        let run = world.push_over(script);
        assert_ne!(run.code, 0, "{script}: {}", run.all());
        assert!(
            run.err().contains("error") && !run.err().contains("panicked"),
            "{script}: {}",
            run.err()
        );
        assert_same(&before, &world.a.tree());
        assert!(!world.sandbox.hub().has("f"), "{script} reached the hub");
    }
}
