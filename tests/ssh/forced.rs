//! A forced command in authorized_keys confines what a key can do, whatever the client asks.

use crate::hub::serve;
use crate::support::{assert_same, assert_untouched};

#[test]
fn restrict_confines_a_key_to_one_directory() {
    let hub = hub_or_skip!();
    hub.home().mkdir("served");
    hub.home().write("other/f", "private");
    let served = hub.home().at("served");
    hub.authorize(Some(&serve(&format!("--restrict '{}'", served.display()))));
    let a = hub
        .ready("a")
        .with("RSYN_REMOTE_COMMAND", "touch escaped; cat /etc/passwd");
    a.write("f", "1");

    a.ok(&["push", "hub:served/project"]);
    assert_eq!(hub.home().text("served/project/f"), "1");
    a.write("f", "2");
    a.ok(&["sync", "hub:served/project"]);

    hub.home().link("served/way out", "../other");
    hub.home().link("served/new way out", "../other/new");
    let before = hub.home().dir("other").touch();
    for outside in [
        "hub:other",
        "hub:served/../other",
        "hub:served/way out",
        "hub:served/way out/deep",
        "hub:served/new way out/deep",
        "hub:/etc",
        "hub:new",
    ] {
        for verb in ["pull", "push"] {
            a.rsyn(&[verb, outside, "--force"]).exits(2).says("outside");
        }
        let config = hub.config();
        let top = hub.world.dir("").0;
        a.run_in(&top, &["clone", "-F", &config, outside, "stolen"])
            .exits(2);
    }
    // A link that leads to nothing is no directory to be made at its end.
    assert_ne!(a.rsyn(&["push", "hub:served/new way out"]).code, 0);
    assert_untouched(&before, &hub.home().dir("other").touch());
    assert!(!hub.home().has("new") && !hub.home().has("escaped"));
    assert!(!hub.world.dir("").has("stolen"));
}

#[test]
fn read_only_lets_a_key_pull_and_nothing_else() {
    let hub = hub_or_skip!();
    let a = hub.ready("a");
    a.write("f", "1");
    a.ok(&["push"]);
    a.write("f", "2");
    a.ok(&["push"]);
    hub.root().write("g", "1");
    hub.authorize(Some(&serve("--read-only")));
    let before = hub.root().touch();

    a.ok(&["pull"]);
    assert_eq!(a.text("g"), "1");
    assert_untouched(&before, &hub.root().touch());
    a.write("f", "3");
    hub.root().write("h", "1");
    let before = hub.root().touch();
    for run in [&["sync", "--dry-run"][..], &["sync"]] {
        let run = a.rsyn(run).exits(2).says("does not let itself be written");
        run.says_no("told to commit");
        assert!(!a.has("h"), "a sync that cannot end does not begin");
    }
    let config = hub.config();
    for command in [
        &["push"][..],
        &["push", "--force"],
        &["push", "--mirror"],
        &["rollback", "--remote", "-y", "-F", &config],
    ] {
        let run = a.rsyn(command);
        assert!(
            run.code != 0 && run.code != -1,
            "{command:?}: {}",
            run.all()
        );
    }

    assert_untouched(&before, &hub.root().touch());
    a.ok(&["pull"]);
    assert_eq!(a.text("f"), "3");
}

#[test]
fn read_only_makes_no_new_root() {
    let hub = hub_or_skip!();
    hub.authorize(Some(&serve("--read-only")));
    let a = hub.ready("a");
    a.write("f", "1");
    assert_ne!(a.rsyn(&["push"]).code, 0);
    assert_eq!(hub.home().names(""), [""; 0]);
}

#[test]
fn read_only_makes_no_state_in_a_directory_that_has_none() {
    let hub = hub_or_skip!();
    hub.root().write("f", "1");
    hub.authorize(Some(&serve("--read-only")));
    let before = hub.root().touch();
    let a = hub.ready("a");
    a.ok(&["pull"]);
    assert_eq!(a.text("f"), "1");
    assert_ne!(a.rsyn(&["push"]).code, 0);
    assert_untouched(&before, &hub.root().touch());
}

#[test]
fn both_together_serve_a_copy_of_one_directory() {
    let hub = hub_or_skip!();
    let a = hub.ready("a");
    a.write("f", "1");
    a.ok(&["push"]);
    let root = hub.root();
    hub.authorize(Some(&serve(&format!(
        "--restrict {} --read-only",
        root.text_path()
    ))));
    let (config, top) = (hub.config(), hub.world.dir("").0);
    let b = hub.world.machine("b");
    b.run_in(&top, &["clone", "-F", &config, "hub:project", "b"])
        .exits(0);
    assert_same(&a.tree(), &b.tree());
}
