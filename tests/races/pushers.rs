//! Many machines push to one hub at once, and some are killed: there is an order in which the pushes happened one
//! after the other, no update is lost, and who came too late is told.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{Machine, Sandbox};
use crate::{Random, times};

/// Machines in one round of a sample, and of `make races`.
const MACHINES: (usize, usize) = (16, 64);

/// One round: each machine writes a file of its own and, if they `share`, adds its line to the list of all.
fn round(
    world: &Sandbox,
    machines: &[Machine],
    number: usize,
    random: &mut Random,
) -> BTreeMap<i32, usize> {
    let share = number.is_multiple_of(2);
    let base = world.hub().text("list");
    for (at, machine) in machines.iter().enumerate() {
        if share {
            machine.write("list", format!("{base}{number} {at}\n"));
        }
        machine.write(format!("own/{at}"), format!("{number}"));
    }
    let mut children: Vec<_> = machines
        .iter()
        .map(|machine| {
            let mut command = machine.command(&["push", "-y", "--on-conflict", "block"]);
            let child = command
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            (child, random.below(8) == 0)
        })
        .collect();
    for (child, is_killed) in &mut children {
        if *is_killed {
            std::thread::sleep(Duration::from_micros(random.below(3000)));
            child.kill().unwrap();
        }
    }
    let (mut codes, mut told) = (BTreeMap::new(), Vec::new());
    for (child, is_killed) in children {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code().unwrap_or(-1);
        assert!(!said.contains("panicked"), "{said}");
        // 3: it saw that another was first. 7: another was first after it had looked.
        assert!(
            matches!(code, 0 | 3 | 7) || is_killed,
            "ended with {code}: {said}"
        );
        assert!(
            code == 0 || is_killed || !said.is_empty(),
            "lost without a word"
        );
        told.push((code, is_killed));
        *codes.entry(code).or_insert(0) += 1;
    }
    // The hub may be at work for one that was killed; it ends by itself, and the next sync waits for it.
    machines[0].rsyn(&["pull", "--dry-run"]);
    let came = |at: usize| {
        let own = format!("own/{at}");
        world.hub().has(&own) && world.hub().text(&own) == number.to_string()
    };
    for (at, (code, is_killed)) in told.iter().enumerate() {
        match code {
            0 => assert!(came(at), "machine {at} was told that it is done"),
            _ if *is_killed => {}
            _ => assert!(!came(at), "machine {at} was told that it lost, with {code}"),
        }
    }
    let list = world.hub().text("list");
    let added = list
        .strip_prefix(&base)
        .unwrap_or_else(|| panic!("an update was lost: {base:?}, then {list:?}"));
    let authors: Vec<usize> = added
        .lines()
        .map(|line| line.split(' ').nth(1).unwrap().parse().unwrap())
        .collect();
    if share {
        // All or nothing, one after the other: who came first wrote the list, all others saw another one.
        let came: Vec<usize> = (0..machines.len()).filter(|at| came(*at)).collect();
        assert_eq!(authors, came, "an update was lost, or half of one came");
        assert!(authors.len() <= 1);
    } else {
        assert_eq!(authors, [0; 0]);
    }
    codes
}

#[test]
fn of_many_that_push_at_once_none_loses_what_another_wrote_and_all_are_told() {
    let world = Sandbox::new();
    let first = world.project("m0");
    first.write("list", "");
    first.ok(&["push"]);
    let mut machines = vec![first];
    let (few, many) = MACHINES;
    let together = if times(1) == 1 { few } else { many };
    for number in 1..together {
        machines.push(world.clone_of_hub(&format!("m{number}")));
    }
    let mut random = Random(0x5eed_5eed_5eed_5eed);
    let mut codes = BTreeMap::new();
    for number in 0..times(2) {
        for (code, count) in round(&world, &machines, number, &mut random) {
            *codes.entry(code).or_insert(0) += count;
        }
        for machine in &machines {
            machine
                .rsyn(&["pull", "--mirror", "-y", "--force"])
                .exits(0);
        }
    }
    let rounds = times(2);
    println!("{rounds} rounds of {together} pushes; exit codes and how often: {codes:?}");
    assert!(codes.len() > 1, "nobody met another");
}
