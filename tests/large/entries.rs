//! Many entries.

use crate::memory;
use crate::size;
use crate::support::{Machine, Sandbox, assert_same};

/// Memory that a run may take: a floor, and what each entry adds. Today's figures are in docs/performance.md.
fn bound_mib(entries: u64) -> u64 {
    48 + entries * 2 / 1024
}

fn path(number: u64) -> String {
    format!("dir-{:04}/part-{}/file-{number}", number / 200, number % 4)
}

#[test]
fn many_entries_arrive_rest_change_and_go() {
    let entries = size("RSYN_LARGE_ENTRIES", 3_000);
    let world = Sandbox::new();
    let a = world.project("a");
    for number in 0..entries {
        a.write(path(number), format!("content of {number}"));
    }
    let costs = [
        memory::run("first push", &a, &["push"]),
        memory::run("no change", &a, &["push"]),
        changed(&a, entries),
        deleted(&a, entries),
    ];
    let b = world.clone_of_hub("b");
    assert_same(&a.tree(), &b.tree());
    memory::run("pull without change", &b, &["pull"]);
    memory::run(
        "rollback of the deletions",
        &a,
        &["rollback", "--remote", "--yes"],
    );
    memory::run("pull what came back", &b, &["pull", "--max-delete=100%"]);
    assert!(b.has(path(entries - 1)), "what was rolled back is there");
    for cost in costs {
        assert!(
            cost.client.max(cost.hub) <= bound_mib(entries),
            "too much memory"
        );
    }
}

fn changed(a: &Machine, entries: u64) -> memory::Cost {
    for number in (0..entries).step_by(100) {
        a.write(path(number), format!("other content of {number}"));
    }
    memory::run("1 % changed", a, &["push"])
}

fn deleted(a: &Machine, entries: u64) -> memory::Cost {
    for number in (0..entries).filter(|n| n % 2 == 1) {
        a.remove(path(number));
    }
    memory::run("half of it deleted", a, &["push", "--max-delete=100%"])
}
