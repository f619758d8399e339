//! `setup --install` puts this very program on a hub that has none.

use crate::support::{RSYN, assert_same};

#[test]
fn after_setup_install_a_hub_without_rsyn_serves() {
    let hub = hub_or_skip!();
    let a = hub.ready("a").with("RSYN_REMOTE_COMMAND", "");
    a.write("f", "1");
    a.rsyn(&["push"]).exits(5).says("rsyn setup --install");

    a.ok(&["setup", "--install", "-F", &hub.config()])
        .says("is now at ~/.local/bin/rsyn");

    let installed = hub.home().read(".local/bin/rsyn");
    assert!(installed == std::fs::read(RSYN).unwrap());
    assert_eq!(hub.home().names(".local/bin"), ["rsyn"]);
    a.ok(&["push"]);
    assert_same(&a.tree(), &hub.root().tree());
    hub.root().write("f", "2");
    a.ok(&["pull"]);
    assert_eq!(a.text("f"), "2");
    a.ok(&["setup", "--install", "-F", &hub.config()])
        .says_no("is now at");
}

#[test]
fn an_install_that_cannot_be_made_is_told() {
    let hub = hub_or_skip!();
    let a = hub.ready("a").with("RSYN_REMOTE_COMMAND", "");
    hub.home().write(".local", "a file in the way");
    a.rsyn(&["setup", "--install", "-F", &hub.config()])
        .exits(1)
        .says("FAIL  install");
    assert_eq!(hub.home().text(".local"), "a file in the way");
}
