//! A dry run prints exactly what the same command then does, and writes nothing on either side.

use crate::support::{Machine, Sandbox, assert_same, assert_untouched};

/// A project whose two sides differ in every way.
fn apart(world: &Sandbox) -> Machine {
    let a = world.project("a");
    let base = [
        "here",
        "there",
        "both",
        "gone here",
        "gone there",
        "mode",
        "edit/gone",
        "moved",
    ];
    for path in base {
        a.write(path, path);
    }
    a.ok(&["push"]);
    let hub = world.hub();
    a.write("here", "mine");
    hub.write("there", "theirs");
    a.write("both", "mine");
    hub.write("both", "theirs");
    a.remove("gone here");
    hub.remove("gone there");
    hub.chmod("mode", 0o600);
    a.write("edit/gone", "edited");
    hub.remove("edit");
    std::fs::rename(hub.at("moved"), hub.at("moved away")).unwrap();
    hub.write("new dir/new", "new");
    hub.link("new link", "new dir");
    a.write("mine only/new", "n");
    a
}

#[test]
fn a_dry_run_prints_exactly_what_the_real_run_does() {
    for verb in ["pull", "push", "sync"] {
        let world = Sandbox::new();
        let a = apart(&world);

        let dry = a.ok(&[verb, "--dry-run", "--json"]);
        let real = a.ok(&[verb, "--json"]);

        let (dry, real) = (dry.json(), real.json());
        assert_eq!(dry["result"], "dry_run");
        assert_eq!(dry["dry_run"], true);
        assert_eq!(real["result"], "ok");
        assert!(
            dry["actions"].as_array().unwrap().len() > 3,
            "{verb}: {dry}"
        );
        assert_eq!(dry["actions"], real["actions"], "{verb}");
        assert_eq!(dry["kept"], real["kept"], "{verb}");
    }
}

#[test]
fn a_dry_run_writes_nothing_on_either_side() {
    for verb in ["pull", "push", "sync"] {
        for more in [
            &["--json"][..],
            &["--diff"],
            &["-i", "-v", "--stats"],
            &["-c"],
        ] {
            let world = Sandbox::new();
            let a = apart(&world);
            let (here, there) = (a.touch(), world.hub().touch());

            a.ok(&[&[verb, "--dry-run"], more].concat());

            assert_untouched(&here, &a.touch());
            assert_untouched(&there, &world.hub().touch());
        }
    }
}

#[test]
fn a_dry_run_keeps_no_digest_that_it_computed() {
    let world = Sandbox::new();
    let a = apart(&world);
    // Digests are kept of files that did not change for a while.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let (here, there) = (a.touch(), world.hub().touch());

    for command in [&["sync", "-n"][..], &["pull", "-n", "-c"], &["status"]] {
        a.ok(command);
        assert_untouched(&here, &a.touch());
        assert_untouched(&there, &world.hub().touch());
    }

    a.ok(&["pull"]);
    assert_ne!(
        here.get(&b".rsyn/index"[..]),
        a.touch().get(&b".rsyn/index"[..])
    );
}

#[test]
fn the_very_first_dry_run_writes_nothing_on_either_side() {
    for verb in ["pull", "push", "sync"] {
        for more in [&["--json"][..], &["--diff"]] {
            let world = Sandbox::new();
            let a = world.project("a");
            a.write("here", "1");
            world.hub().write("there", "2");
            let (here, there) = (a.touch(), world.hub().touch());

            a.ok(&[&[verb, "-n"], more].concat());

            assert_untouched(&here, &a.touch());
            assert_untouched(&there, &world.hub().touch());
        }
    }
}

#[test]
fn a_dry_run_of_the_first_push_does_not_make_the_hub() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");

    let run = a.ok(&["push", "-n", "--json"]);

    assert_eq!(run.actions(), ["create f", "create rsyn.toml"]);
    assert!(!world.dir("").has("hub"));
    assert!(!a.has(".rsyn"));
}

#[test]
fn diff_and_status_write_nothing_on_either_side() {
    let world = Sandbox::new();
    let a = apart(&world);
    let (here, there) = (a.touch(), world.hub().touch());

    for command in [
        &["diff"][..],
        &["diff", "--push", "--json"],
        &["status", "-v"],
        &["status", "--offline"],
        &["list"],
        &["why", "here"],
        &["log"],
        &["snapshots"],
        &["setup"],
    ] {
        a.ok(command);
        assert_untouched(&here, &a.touch());
        assert_untouched(&there, &world.hub().touch());
    }
}

#[test]
fn looking_at_the_snapshots_of_the_hub_writes_nothing_on_either_side() {
    let world = Sandbox::new();
    let a = apart(&world);
    a.ok(&["sync"]);
    let (here, there) = (a.touch(), world.hub().touch());

    for command in [
        &["snapshots", "--remote"][..],
        &["rollback", "--remote", "--dry-run"],
    ] {
        a.ok(command);
        assert_untouched(&here, &a.touch());
        assert_untouched(&there, &world.hub().touch());
    }
}

#[test]
fn the_diff_shows_what_a_pull_would_change() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "one\ntwo\nthree\n");
    a.ok(&["push"]);
    world.hub().write("f", "one\nTWO\nthree\n");

    a.ok(&["diff"]).says("-two\n+TWO\n");
    a.ok(&["pull", "--dry-run", "--diff"]).says("-two\n+TWO\n");
    a.ok(&["diff", "--push"]).says_no("TWO");
    a.ok(&["diff", "rsyn.toml"]).says_no("TWO");
    a.rsyn(&["diff", "no-such"]).exits(2).says("no-such");

    a.ok(&["pull"]);
    a.ok(&["diff"]).says_no("TWO");
    assert_same(&a.tree(), &world.hub().tree());
}

#[test]
fn a_dry_run_is_refused_where_the_real_run_is() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.ok(&["push"]);
    a.write("f", "2");
    world.hub().write("f", "3");

    for more in [&["--dry-run"][..], &[]] {
        a.rsyn(&[&["pull", "--on-conflict", "block"], more].concat())
            .exits(3);
    }
}
