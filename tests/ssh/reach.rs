//! Every way to name the hub, and every verb over it.

use crate::support::{assert_same, assert_untouched, noise};

#[test]
fn push_clone_pull_and_sync_work_over_ssh() {
    let hub = hub_or_skip!();
    let a = hub.ready("a");
    a.write("dir/f", "1");
    a.write(b"odd \xff\nname", "2");
    a.link("link", "nowhere");
    a.write("big", noise(3_000_000, 7));

    a.ok(&["push"]);
    assert_same(&a.tree(), &hub.root().tree());

    let config = hub.config();
    let b = hub.world.machine("b");
    b.run_in(
        &hub.world.dir("").0,
        &["clone", "-F", &config, "hub:project", "b"],
    )
    .exits(0);
    assert_same(&a.tree(), &b.tree());

    b.write("dir/f", "edited");
    b.ok(&["push", "-F", &config]);
    a.write("from a", "1");
    a.ok(&["sync"]);
    b.ok(&["pull", "-F", &config]);
    assert_eq!(a.text("dir/f"), "edited");
    assert_same(&a.tree(), &b.tree());
    assert_same(&a.tree(), &hub.root().tree());
}

#[test]
fn status_diff_and_dry_runs_over_ssh_write_nothing() {
    let hub = hub_or_skip!();
    let a = hub.ready("a");
    a.write("f", "one\n");
    a.ok(&["push"]);
    hub.root().write("f", "two\n");
    a.write("g", "mine");
    let (here, there) = (a.touch(), hub.root().touch());
    let config = hub.config();

    for verb in ["pull", "push", "sync"] {
        a.ok(&[verb, "-n", "--diff"]);
    }
    a.ok(&["diff", "-F", &config]).says("-one\n+two\n");
    let status = a
        .rsyn(&["status", "-F", &config, "--check", "--json"])
        .exits(1)
        .json();
    assert_eq!(
        (&status["ahead"], &status["behind"]),
        (&1.into(), &1.into())
    );
    a.ok(&["snapshots", "--remote", "-F", &config]);

    assert_untouched(&here, &a.touch());
    assert_untouched(&there, &hub.root().touch());
}

#[test]
fn a_rollback_on_the_hub_works_over_ssh() {
    let hub = hub_or_skip!();
    let a = hub.ready("a");
    a.write("f", "1");
    a.ok(&["push"]);
    a.write("f", "2");
    a.ok(&["push"]);
    a.ok(&["rollback", "--remote", "-y", "-F", &hub.config()]);
    assert_eq!(hub.root().text("f"), "1");
}

#[test]
fn a_url_with_a_port_and_an_absolute_path_works() {
    let hub = hub_or_skip!();
    let a = hub.world.machine("a");
    a.write("rsyn.toml", "");
    a.write("f", "1");
    let url = format!("ssh://127.0.0.1:{}{}", hub.port, hub.root().text_path());
    a.ok(&["push", "-F", &hub.config(), &url]);
    assert_eq!(hub.root().text("f"), "1");
}

#[test]
fn the_port_of_the_command_line_wins() {
    let hub = hub_or_skip!();
    let a = hub.world.machine("a");
    a.write("rsyn.toml", "remote = \"ssh://127.0.0.1:1/~/project\"\n");
    a.write("f", "1");
    let port = hub.port.to_string();
    a.ok(&["push", "-F", &hub.config(), "--port", &port]);
    assert_eq!(hub.root().text("f"), "1");
}

#[test]
fn a_command_takes_the_place_of_ssh() {
    let hub = hub_or_skip!();
    let a = hub.project("a");
    a.write("f", "1");
    let wrapper = hub.world.dir("my ssh");
    let text = format!(
        "#!/bin/sh\necho \"$@\" >> '{}.log'\nexec ssh -F '{}' \"$@\"\n",
        wrapper.text_path(),
        hub.config()
    );
    hub.world.dir("").write("my ssh", text);
    hub.world.dir("").chmod("my ssh", 0o755);

    a.ok(&["push", "-e", &format!("'{}' -v", wrapper.text_path())]);
    assert_eq!(hub.root().text("f"), "1");
    assert!(
        hub.world
            .dir("")
            .text("my ssh.log")
            .starts_with("-v -- hub ")
    );

    a.write("f", "2");
    a.ok(&["push", "-e", &format!("ssh -q -F {}", hub.config())]);
    assert_eq!(hub.root().text("f"), "2");
}

#[test]
fn commands_of_the_machines_own_settings_are_used() {
    let hub = hub_or_skip!();
    let a = hub.project("a");
    a.write("f", "1");
    a.write(
        ".rsyn/config.toml",
        format!("ssh_config = \"{}\"\n", hub.config()),
    );
    a.ok(&["push"]);
    assert_eq!(hub.root().text("f"), "1");
}

#[test]
fn setup_finds_nothing_wrong_with_a_good_hub() {
    let hub = hub_or_skip!();
    let a = hub.ready("a");
    a.write(".rsync-exclude", "");
    a.ok(&["push"]);
    let setup = a.ok(&["setup", "-F", &hub.config(), "--json"]).json();
    let checks = setup["checks"].as_array().unwrap();
    let wrong: Vec<_> = checks.iter().filter(|c| c["verdict"] != "ok").collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(checks.iter().any(|c| c["name"] == "rsync there"));
    assert_eq!(hub.world.dir("tmp").names(""), [""; 0], "no socket is left");
}

#[test]
fn an_edit_of_a_hundred_megabytes_sends_less_than_two() {
    let hub = hub_or_skip!();
    let a = hub.ready("a");
    let mut content = noise(100_000_000, 3);
    a.write("big", &content);
    hub.root().write("big", &content);
    hub.root().write("rsyn.toml", a.read("rsyn.toml"));
    a.ok(&["sync"]);
    content[50_000_000..50_010_000].fill(b'x');
    content.splice(70_000_000..70_000_000, noise(5_000, 4));
    a.write("big", &content);

    let summary = a.ok(&["push", "--json"]).json()["summary"].clone();

    let wire =
        summary["bytes_sent"].as_u64().unwrap() + summary["bytes_received"].as_u64().unwrap();
    assert!(wire < 2_000_000, "{summary}");
    assert!(hub.root().read("big") == content, "the content is another");
}
