//! Which roots a peer may name: nothing in a state directory, and with `--restrict` nothing that a link leads to.

use crate::support::{Dir, Machine, RSYN, Sandbox, assert_untouched};

/// A hub in `served/a` with a snapshot, and a machine that reaches it with a key of its own.
struct Served {
    world: Sandbox,
    a: Machine,
    hub: Dir,
}

impl Served {
    fn new(flags: &str) -> Self {
        let world = Sandbox::new();
        let top = world.dir("");
        let served = world.dir("served");
        std::fs::create_dir(&served.0).unwrap();
        let hub = served.dir("a");
        let a = world.machine("a");
        a.write(".rsync-exclude", "");
        a.write("secret", "deleted by now");
        a.ok(&["push", "-y", hub.text_path()]);
        a.remove("secret");
        a.ok(&["push", "-y", hub.text_path()]);
        let restrict = flags.replace("DIR", served.text_path());
        top.write(
            "key",
            format!("#!/bin/sh\nexec '{RSYN}' serve --stdio {restrict}\n"),
        );
        top.chmod("key", 0o755);
        Self { world, a, hub }
    }

    fn key(&self) -> String {
        self.world.dir("key").text_path().to_owned()
    }

    /// Runs every verb that reaches a hub against `root`, each from a project of its own.
    #[track_caller]
    fn all_are_refused(&self, root: &str, words: &str) {
        let (key, remote) = (self.key(), format!("h:{root}"));
        let mirror = ["--mirror", "--force", "--no-snapshot", "-y"];
        for verb in [
            "pull",
            "push",
            "sync",
            "status",
            "diff",
            "snapshots",
            "verify",
            "rollback",
        ] {
            let b = self.world.machine("b");
            b.write(".rsync-exclude", "");
            b.write("config.toml", "ssh_command = \"evil\"\n");
            let remote_flag = format!("--remote={remote}");
            let args = match verb {
                "pull" | "push" | "sync" => [&[verb, &remote, "-e", &key][..], &mirror].concat(),
                "status" => vec![verb, &remote, "-e", &key],
                "diff" => vec![verb, "--remote", &remote, "-e", &key],
                "rollback" => vec![verb, &remote_flag, "-y", "-e", &key],
                _ => vec![verb, &remote_flag, "-e", &key],
            };
            let run = b.rsyn(&args);
            assert_eq!(run.code, 2, "{verb} {root}: {}", run.all());
            run.says(words);
            std::fs::remove_dir_all(b.at("")).unwrap();
        }
        let top = self.world.dir("");
        self.a
            .run_in(&top.0, &["clone", "-e", &key, &remote, "stolen"])
            .exits(2)
            .says(words);
        assert!(!top.has("stolen"));
    }
}

#[test]
fn no_root_lies_in_a_state_directory_whatever_a_key_may_do() {
    for flags in ["", "--restrict 'DIR'", "--restrict 'DIR' --read-only"] {
        let served = Served::new(flags);
        let before = served.hub.touch();
        for root in [
            ".rsyn",
            ".rsyn/snap",
            ".rsyn/txn",
            ".rsyn/new",
            "./.rsyn/",
            "/.rsyn//snap/.",
        ] {
            let root = format!("{}/{root}", served.hub.text_path());
            served.all_are_refused(&root, "rsyn keeps its own state there");
        }
        let snapshot = &served.hub.names(".rsyn/snap")[0];
        let root = format!("{}/.rsyn/snap/{snapshot}/old", served.hub.text_path());
        served.all_are_refused(&root, "rsyn keeps its own state there");
        assert_untouched(&before, &served.hub.touch());
    }
}

#[test]
fn a_new_root_is_no_state_directory_in_any_case() {
    let served = Served::new("--restrict 'DIR'");
    served.world.dir("served").mkdir("new");
    let before = served.world.dir("served").touch();
    for root in ["new/.rsyn", ".rsyn", ".RSYN", ".Rsyn"] {
        let root = format!("{}/{root}", served.world.dir("served").text_path());
        served.all_are_refused(&root, "rsyn keeps its own state there");
    }
    assert_untouched(&before, &served.world.dir("served").touch());
}

#[test]
fn a_state_directory_is_known_under_another_name() {
    let served = Served::new("");
    let link = served.world.dir("link");
    served
        .world
        .dir("")
        .link("link", served.hub.dir(".rsyn/snap").text_path());
    served.all_are_refused(link.text_path(), "rsyn keeps its own state there");
}

#[test]
fn a_project_here_lies_in_no_state_directory_either() {
    let served = Served::new("");
    for args in [
        &["push", "-y"][..],
        &["pull"],
        &["status", "--offline"],
        &["list"],
        &["log"],
    ] {
        let inside = served.a.at(".rsyn/peers");
        let args = [&["-C", inside.to_str().unwrap()][..], args].concat();
        // Walking up, the project itself is found; named by its state alone there is none.
        served.a.rsyn(&args).says_no("panicked");
    }
    let top = served.world.dir("");
    let into = served.a.dir(".rsyn/clone");
    served
        .a
        .run_in(&top.0, &["clone", served.hub.text_path(), into.text_path()])
        .exits(2)
        .says("rsyn keeps its own state there");
}

#[test]
fn below_a_served_directory_links_are_not_followed() {
    let served = Served::new("--restrict 'DIR'");
    let outside = served.world.dir("outside");
    outside.write("project/.rsync-exclude", "");
    outside.write("project/authorized_keys", "owner");
    let top = served.world.dir("served");
    top.link("link", outside.text_path());
    top.link("a/deep", "../../outside");
    top.link("project", outside.dir("project").text_path());
    let before = (outside.touch(), top.touch());
    for root in [
        "link",
        "link/project",
        "link/new",
        "project",
        "a/deep",
        "a/deep/project",
        "a/../../outside/project",
    ] {
        let root = format!("{}/{root}", top.text_path());
        served.all_are_refused(&root, "outside of what this key may use");
    }
    assert_untouched(&before.0, &outside.touch());
    assert_untouched(&before.1, &top.touch());
}

#[test]
fn a_served_directory_may_be_reached_under_another_name_of_it() {
    let served = Served::new("--restrict 'DIR'");
    served
        .world
        .dir("")
        .link("alias", served.world.dir("served").text_path());
    let key = served.key();
    let remote = format!("h:{}/a", served.world.dir("alias").text_path());
    served.a.write("new", "1");
    served.a.ok(&["push", "-y", "-e", &key, &remote]);
    assert_eq!(served.hub.text("new"), "1");
    let fresh = format!("h:{}/fresh", served.world.dir("served").text_path());
    served.a.ok(&["push", "-y", "-e", &key, &fresh]);
    assert_eq!(served.world.dir("served/fresh").text("new"), "1");
}

#[test]
fn the_rules_of_a_session_are_those_of_its_client() {
    let served = Served::new("--restrict 'DIR' --read-only");
    served.hub.write("kept", "1");
    served.hub.write(".rsync-exclude", "kept\n");
    let (key, remote) = (served.key(), format!("h:{}", served.hub.text_path()));
    let b = served.world.machine("b");
    b.write("rsyn.toml", "");
    b.ok(&["pull", "-e", &key, &remote]);
    assert!(b.has("kept"));
}
