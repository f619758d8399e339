//! How often a machine waits for its hub, and how many bytes go, for the everyday cases.

use std::path::Path;

use rsyn::disk::Root;
use rsyn::model::Digest;
use rsyn::state::{KeptSignature, State};

use crate::support::{Machine, Sandbox, assert_same, noise};
use crate::wire::{Passed, SOUND, Wire, passed, project};

const BIG: usize = 8 << 20;

const COUNTING: Wire = Wire {
    counts: true,
    ..SOUND
};

/// Runs a verb over a wire that counts, with no compression.
#[track_caller]
fn counted(world: &Sandbox, machine: &Machine, verb: &str) -> Passed {
    COUNTING.to(machine, world).ok(&[verb, "--compress=off"]);
    passed(world)
}

/// A machine with a big and some small files in step with its hub.
fn in_step(world: &Sandbox) -> Machine {
    let a = project(world, "a");
    a.write("big", noise(BIG, 1));
    for n in 0..50 {
        a.write(format!("src/{n}"), format!("small {n}"));
    }
    SOUND.to(&a, world).ok(&["push"]);
    passed(world);
    a
}

/// Ten places of a file get other bytes.
fn edit(content: &mut [u8]) {
    for n in 0..10 {
        let at = n * content.len() / 10 + 777;
        content[at..at + 100].fill(b'e');
    }
}

#[test]
fn nothing_new_takes_one_round_trip_and_little() {
    let world = Sandbox::new();
    let a = in_step(&world);
    for verb in ["pull", "push", "sync"] {
        let passed = counted(&world, &a, verb);
        assert_eq!(passed.round_trips, 1, "{verb}: {passed:?}");
        assert!(passed.up + passed.down < 4000, "{verb}: {passed:?}");
    }
}

#[test]
fn small_edits_take_two_round_trips_either_way() {
    let world = Sandbox::new();
    let a = in_step(&world);
    for n in 0..5 {
        a.write(format!("src/{n}"), "edited");
    }
    let push = counted(&world, &a, "push");
    world.hub().write("src/7", "edited there");
    let pull = counted(&world, &a, "pull");

    assert_same(&a.tree(), &world.hub().tree());
    for passed in [push, pull] {
        assert_eq!(passed.round_trips, 2, "{passed:?}");
        assert!(passed.up + passed.down < 8000, "{passed:?}");
    }
}

#[test]
fn a_big_file_with_edits_takes_two_round_trips_either_way() {
    let world = Sandbox::new();
    let a = in_step(&world);
    let mut content = a.read("big");

    edit(&mut content);
    a.write("big", &content);
    let push = counted(&world, &a, "push");
    content.reverse();
    edit(&mut content);
    content.reverse();
    world.hub().write("big", &content);
    let pull = counted(&world, &a, "pull");
    content[5] = b'!';
    a.write("big", &content);
    let push_after_pull = counted(&world, &a, "push");

    assert_same(&a.tree(), &world.hub().tree());
    assert_eq!(world.hub().read("big"), content);
    for passed in [push, pull, push_after_pull] {
        assert_eq!(passed.round_trips, 2, "{passed:?}");
    }
    // Ten blocks of 2 KiB, and no signature either way.
    assert!(push.up < 26_000 && push.down < 3000, "{push:?}");
    assert!(pull.up < 3000 && pull.down < 26_000, "{pull:?}");
    assert!(push_after_pull.up < 6000, "{push_after_pull:?}");
}

#[test]
fn of_what_came_whole_a_pull_sends_the_signature_and_the_next_pull_does_not() {
    let world = Sandbox::new();
    let a = in_step(&world);
    let mut content = a.read("big");
    assert!(!world.hub().has(".rsyn/signatures"));
    let mut pull = |place: usize| {
        content.rotate_left(place);
        edit(&mut content);
        content.rotate_right(place);
        world.hub().write("big", &content);
        let passed = counted(&world, &a, "pull");
        assert_eq!(passed.round_trips, 2, "{passed:?}");
        assert_same(&a.tree(), &world.hub().tree());
        passed
    };
    let (first, second) = (pull(100_000), pull(200_000));
    assert!(first.up > 20_000, "{first:?}");
    assert!(second.up < 3000, "{second:?}");
}

#[test]
fn a_signature_of_another_content_on_the_hub_has_a_pull_come_whole() {
    let world = Sandbox::new();
    let a = project(&world, "a");
    let (content, other) = (noise(BIG, 1), noise(BIG, 2));
    a.write("big", &content);
    a.write("other", &other);
    SOUND.to(&a, &world).ok(&["push"]);
    passed(&world);
    mistake(&world.hub().0, &a.0, &content, &other);

    let mut new = other.clone();
    edit(&mut new);
    world.hub().write("big", &new);
    let passed = counted(&world, &a, "pull");

    assert_same(&a.tree(), &world.hub().tree());
    assert_eq!(passed.round_trips, 3, "{passed:?}");
}

#[test]
fn without_its_kept_signature_a_push_asks_the_hub_for_one() {
    let world = Sandbox::new();
    let a = in_step(&world);
    let mut content = a.read("big");
    edit(&mut content);
    a.write("big", &content);
    a.remove(".rsyn/signatures");

    let passed = counted(&world, &a, "push");

    assert_eq!(world.hub().read("big"), content);
    assert_eq!(passed.round_trips, 3, "{passed:?}");
    assert!(passed.up < 50_000, "{passed:?}");
}

/// Takes what `machine` keeps of the content `of` for the signature of `content`, in the state of `root`.
fn mistake(root: &Path, machine: &Path, content: &[u8], of: &[u8]) {
    let state = |root| State::open(&Root::open(root).unwrap()).unwrap().unwrap();
    let wrong = KeptSignature::load(&state(machine), Digest::of(of)).unwrap();
    let digest = Digest::of(content);
    KeptSignature { digest, ..wrong }
        .save(&state(root))
        .unwrap();
}

#[test]
fn a_signature_of_another_content_costs_a_round_trip_and_never_a_wrong_file() {
    // As long as the right one, and longer: then copies lie beyond the end of what the hub has.
    for other_len in [BIG, BIG + (4 << 20)] {
        let world = Sandbox::new();
        let a = project(&world, "a");
        let (content, other) = (noise(BIG, 1), noise(other_len, 2));
        a.write("big", &content);
        a.write("other", &other);
        SOUND.to(&a, &world).ok(&["push"]);
        passed(&world);

        mistake(&a.0, &a.0, &content, &other);
        // What the wrong signature promises to be on the hub.
        let mut new = other.clone();
        edit(&mut new);
        a.write("big", &new);
        let passed = counted(&world, &a, "push");

        assert_same(&a.tree(), &world.hub().tree());
        assert_eq!(passed.round_trips, 3, "{passed:?}");
        assert!(passed.up > new.len() as u64, "{passed:?}");
    }
}

#[test]
fn kept_signatures_are_private_and_go_with_their_files() {
    use std::os::unix::fs::PermissionsExt;
    let world = Sandbox::new();
    let a = in_step(&world);
    let kept = a.names(".rsyn/signatures");
    assert_eq!(kept, [Digest::of(&a.read("big")).to_string()]);
    let file = a.at(format!(".rsyn/signatures/{}", kept[0]));
    let mode = std::fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    a.remove("big");
    SOUND.to(&a, &world).ok(&["push"]);

    assert_eq!(a.names(".rsyn/signatures"), [""; 0]);
}

#[test]
fn edits_in_small_files_go_as_deltas_where_that_costs_no_round_trip_or_there_are_many() {
    let world = Sandbox::new();
    let a = project(&world, "a");
    let file = |n: u64| noise(12_000, n);
    let edited = |n: u64| [&file(n)[..6000], b"inserted", &file(n)[6000..]].concat();
    for n in 0..120 {
        a.write(format!("src/{n}"), file(n));
    }
    SOUND.to(&a, &world).ok(&["push"]);
    passed(&world);

    a.write("src/0", edited(0));
    let one = counted(&world, &a, "push");
    (1..110).for_each(|n| a.write(format!("src/{n}"), edited(n)));
    let many = counted(&world, &a, "push");
    (110..120).for_each(|n| world.hub().write(format!("src/{n}"), edited(n)));
    let pulled = counted(&world, &a, "pull");

    assert_same(&a.tree(), &world.hub().tree());
    assert_eq!(one.round_trips, 2, "{one:?}");
    assert!(one.up > 12_000, "{one:?}");
    assert_eq!(many.round_trips, 3, "{many:?}");
    assert!(many.up + many.down < 110 * 12_000 / 2, "{many:?}");
    assert_eq!(pulled.round_trips, 2, "{pulled:?}");
    assert!(pulled.up + pulled.down < 10 * 12_000 / 2, "{pulled:?}");
}
