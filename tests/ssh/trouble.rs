//! Each way in which a hub cannot be reached has exit code 5, its own words and a hint; nothing is changed.

use std::net::TcpListener;

use crate::hub::{Hub, make_key};
use crate::support::{Machine, assert_same};

/// Every verb that asks the hub fails with `words` and `hint`, and changes neither tree.
#[track_caller]
fn is_told(hub: &Hub, machine: &Machine, words: &str, hint: &str) {
    let before = (machine.tree(), hub.root().tree());
    let config = hub.config();
    for verb in ["pull", "push", "status"] {
        let run = machine.rsyn(&[verb, "-F", &config, "--json"]).exits(5);
        let error = run.json()["error"].clone();
        assert_eq!(error["kind"], "unreachable");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words), "{verb}: no `{words}` in {message}");
        let found = error["hint"].as_str().unwrap();
        assert!(found.contains(hint), "{verb}: no `{hint}` in {found}");
    }
    machine.rsyn(&["setup", "-F", &config]).exits(1).says(words);
    assert_same(&before.0, &machine.tree());
    assert_same(&before.1, &hub.root().tree());
}

/// A machine that pushed once.
fn pushed(hub: &Hub) -> Machine {
    let a = hub.ready("a");
    a.write("f", "1");
    a.ok(&["push"]);
    a.write("f", "2");
    hub.project("a")
}

#[test]
fn an_unknown_host_key() {
    let hub = hub_or_skip!();
    let a = pushed(&hub);
    hub.world.dir("").write("known_hosts", "");
    is_told(&hub, &a, "host key of the hub is not known", "ssh hub");
}

#[test]
fn a_host_key_that_changed() {
    let hub = hub_or_skip!();
    let a = pushed(&hub);
    let top = hub.world.dir("");
    make_key(&top.at("other"));
    let line = format!("[127.0.0.1]:{} {}", hub.port, top.text("other.pub"));
    top.write("known_hosts", line);
    let known_as = format!("[127.0.0.1]:{}", hub.port);
    is_told(&hub, &a, "host key of the hub changed", "ssh-keygen");
    is_told(&hub, &a, "host key of the hub changed", &known_as);
}

#[test]
fn a_key_that_the_hub_does_not_accept() {
    let hub = hub_or_skip!();
    let a = pushed(&hub);
    hub.world.dir("").write("authorized_keys", "");
    is_told(
        &hub,
        &a,
        "accepts none of this machine's keys",
        "ssh-copy-id",
    );
}

#[test]
fn a_port_at_which_nothing_listens() {
    let hub = hub_or_skip!();
    let a = pushed(&hub);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap().port();
    drop(listener);
    let config = hub.world.dir("").text("ssh_config");
    let config = config.replace(&format!("Port {}", hub.port), &format!("Port {closed}"));
    hub.world.dir("").write("ssh_config", config);
    is_told(&hub, &a, "nothing listens", "sshd");
}

#[test]
fn a_name_that_nobody_knows() {
    let hub = hub_or_skip!();
    let a = pushed(&hub);
    // Too long for a label, so that no name server is asked.
    let config = hub.world.dir("").text("ssh_config");
    let config = config.replace(
        "HostName 127.0.0.1",
        &format!("HostName {}", "x".repeat(80)),
    );
    hub.world.dir("").write("ssh_config", config);
    is_told(&hub, &a, "name of the hub is unknown", "remote");
}

#[test]
fn a_shell_that_greets_is_passed_over() {
    let hub = hub_or_skip!();
    let a = pushed(&hub);
    hub.authorize(Some(
        "echo Welcome to this machine; eval \"$SSH_ORIGINAL_COMMAND\"",
    ));
    a.ok(&["push", "-F", &hub.config()]);
    assert_eq!(hub.root().text("f"), "2");
}

#[test]
fn a_shell_that_prints_and_serves_nothing() {
    let hub = hub_or_skip!();
    let a = pushed(&hub);
    hub.authorize(Some("echo This account is not available"));
    is_told(
        &hub,
        &a,
        "This account is not available",
        "must print nothing",
    );
}

#[test]
fn a_shell_that_prints_without_end() {
    let hub = hub_or_skip!();
    let a = pushed(&hub);
    hub.authorize(Some("yes Welcome"));
    is_told(&hub, &a, "Welcome", "must print nothing");
}

#[test]
fn a_shell_that_ends_without_a_word() {
    let hub = hub_or_skip!();
    let a = pushed(&hub);
    hub.authorize(Some("exit 1"));
    is_told(&hub, &a, "", "");
}

#[test]
fn a_hub_without_rsyn() {
    let hub = hub_or_skip!();
    let a = pushed(&hub).with("RSYN_REMOTE_COMMAND", "");
    is_told(&hub, &a, "rsyn is not installed", "rsyn setup --install");
}

#[test]
fn a_hub_that_says_nothing_is_given_up_after_the_timeout() {
    let hub = hub_or_skip!();
    let a = pushed(&hub);
    hub.authorize(Some("sleep 60"));
    let begun = std::time::Instant::now();
    a.rsyn(&["pull", "-F", &hub.config(), "--timeout", "2"])
        .exits(5);
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

#[test]
fn what_the_hub_says_reaches_the_terminal_escaped() {
    let hub = hub_or_skip!();
    let a = pushed(&hub);
    for command in [
        "printf '\\033[31mred\\007\\n'",
        "printf '\\033[31mred\\007\\n' >&2; exit 1",
        "printf 'rsyn\\033[2J'; printf '\\302\\2332J' >&2; exit 3",
    ] {
        hub.authorize(Some(command));
        for verb in ["pull", "setup"] {
            let run = a.rsyn(&[verb, "-F", &hub.config()]);
            assert_ne!(run.code, 0);
            let bad = run.all().chars().find(|c| c.is_control() && *c != '\n');
            assert!(bad.is_none(), "{bad:?} in {:?}", run.all());
        }
    }
}
