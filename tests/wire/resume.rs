//! What had arrived when the wire was cut does not come again.

use crate::support::{Machine, Run, Sandbox, assert_same, noise};
use crate::wire::{SOUND, Wire, passed, project};

const BIG: usize = 16 << 20;

/// Runs a verb over a wire that is cut after so many bytes of that direction.
fn cut(world: &Sandbox, machine: &Machine, wire: Wire, verb: &str) {
    let run = wire.to(machine, world).rsyn(&[verb, "--compress=off"]);
    assert_ne!(run.code, 0, "the wire was not cut: {}", run.all());
    passed(world);
}

fn literal_bytes(run: &Run) -> u64 {
    run.json()["summary"]["literal_bytes"].as_u64().unwrap()
}

/// Runs a verb over a sound wire; gives the bytes of content that travelled.
#[track_caller]
fn rest(world: &Sandbox, machine: &Machine, verb: &str) -> u64 {
    let run = SOUND
        .to(machine, world)
        .ok(&[verb, "--compress=off", "--json"]);
    passed(world);
    assert_same(&machine.tree(), &world.hub().tree());
    literal_bytes(&run)
}

#[track_caller]
fn assert_half(rest: u64) {
    let half = BIG as u64 / 2;
    // A twentieth may come twice.
    assert!(rest <= half + BIG as u64 / 20, "{rest} of {BIG} came again");
    assert!(rest >= half - BIG as u64 / 20, "only {rest} of {BIG} came");
}

const HALF_UP: Wire = Wire {
    up: BIG as u64 / 2,
    ..SOUND
};
const HALF_DOWN: Wire = Wire {
    down: BIG as u64 / 2,
    ..SOUND
};

#[test]
fn a_push_that_was_cut_goes_on_where_it_stopped() {
    let world = Sandbox::new();
    let a = project(&world, "a");
    SOUND.to(&a, &world).ok(&["push"]);
    passed(&world);
    a.write("big", noise(BIG, 1));

    cut(&world, &a, HALF_UP, "push");
    assert!(!world.hub().has("big"));

    assert_half(rest(&world, &a, "push"));
    assert_eq!(world.hub().names(".rsyn/partial"), [""; 0]);
}

#[test]
fn a_first_push_that_was_cut_goes_on_where_it_stopped() {
    let world = Sandbox::new();
    let a = project(&world, "a");
    a.write("big", noise(BIG, 1));

    cut(&world, &a, HALF_UP, "push");

    assert_half(rest(&world, &a, "push"));
}

#[test]
fn a_pull_that_was_cut_goes_on_where_it_stopped() {
    let world = Sandbox::new();
    let a = project(&world, "a");
    SOUND.to(&a, &world).ok(&["push"]);
    passed(&world);
    world.hub().write("big", noise(BIG, 1));

    cut(&world, &a, HALF_DOWN, "pull");
    assert!(!a.has("big"));

    assert_half(rest(&world, &a, "pull"));
}

#[test]
fn a_delta_that_was_cut_goes_on_as_a_delta() {
    for verb in ["push", "pull"] {
        let world = Sandbox::new();
        let a = project(&world, "a");
        let old = noise(BIG, 1);
        a.write("big", &old);
        SOUND.to(&a, &world).ok(&["push"]);
        passed(&world);
        // As much is new in front of the old as makes the wire break in its middle.
        let new = [noise(BIG, 2), old].concat();
        let wire = match verb {
            "push" => {
                a.write("big", &new);
                HALF_UP
            }
            _ => {
                world.hub().write("big", &new);
                HALF_DOWN
            }
        };

        cut(&world, &a, wire, verb);

        assert_half(rest(&world, &a, verb));
    }
}

#[test]
fn remains_that_are_damaged_come_again() {
    let world = Sandbox::new();
    let a = project(&world, "a");
    a.write("big", noise(BIG, 1));
    cut(&world, &a, HALF_UP, "push");
    let partial = world.hub().dir(".rsyn/partial");
    let [name] = &partial.names("")[..] else {
        panic!("{:?}", partial.names(""));
    };
    let mut bytes = partial.read(name);
    bytes[1000] ^= 1;
    partial.write(name, bytes);

    let sent = rest(&world, &a, "push");

    assert!(sent > BIG as u64, "the rest, then all: {sent}");
}

#[test]
fn a_clone_that_was_cut_goes_on_where_it_stopped() {
    let world = Sandbox::new();
    world.hub().write("big", noise(BIG, 1));
    world.hub().write("small", "s");
    let nobody = world.machine("nobody");
    let remote = format!("hub:{}", world.hub().text_path());
    let top = world.dir("").0;
    let args = ["clone", &remote, "new", "--json"];

    let broken = HALF_DOWN.to(&nobody, &world).run_in(&top, &args).exits(5);
    assert!(broken.all().contains("goes on"), "{}", broken.all());
    passed(&world);
    assert_eq!(world.dir("new").names(""), [".rsyn"]);
    let again = SOUND.to(&nobody, &world).run_in(&top, &args).exits(0);

    assert_same(&world.dir("new").tree(), &world.hub().tree());
    assert_half(literal_bytes(&again));
}
