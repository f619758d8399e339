//! A wire that is cut after any byte of a small sync, either way: the run says so soon, each tree is the old or the
//! new one, nothing stays locked, and the same command again carries it out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Machine, Sandbox, assert_same, noise};
use crate::wire::{SOUND, Wire, passed, project};

/// Cuts of each of the four sorts, unless `RSYN_CUTS` says another number (or `all`).
const SAMPLE: u64 = 9;
/// What a cut may cost before the run has ended, and room for a machine under load on top of it.
const LIMIT: Duration = Duration::from_secs(5 + 10);

#[derive(Default)]
struct Counts {
    cuts: AtomicU64,
    done: AtomicU64,
    slowest_ms: AtomicU64,
}

/// A sync of one sort: which verb, and which way is cut.
struct Sort {
    verb: &'static str,
    up: bool,
}

/// Makes a change that `verb` carries over: always as long, never the same.
fn change(world: &Sandbox, a: &Machine, verb: &str, number: u64) {
    let hub = world.hub();
    let side = if verb == "push" { &**a } else { &hub };
    side.write("f", format!("{number:08}"));
    side.write(format!("d/{}", number % 3), noise(200, 1000 + number));
    match number % 2 {
        0 => side.write("e/now and then", format!("{number:08}")),
        _ => side.remove("e"),
    }
}

fn cut_after(world: &Sandbox, a: &Machine, sort: &Sort, bytes: u64, counts: &Counts) {
    let name = format!(
        "{} cut after {bytes} bytes {}",
        sort.verb,
        if sort.up { "up" } else { "down" }
    );
    let wire = match sort.up {
        true => Wire { up: bytes, ..SOUND },
        false => Wire {
            down: bytes,
            ..SOUND
        },
    };
    let (old_a, old_hub) = (a.tree(), world.hub().tree());
    let new = if sort.verb == "push" {
        &old_a
    } else {
        &old_hub
    };
    let start = Instant::now();
    let run = wire.to(a, world).rsyn(&[sort.verb, "-y"]);
    let took = start.elapsed();
    passed(world);

    assert!(took < LIMIT, "{name}: {took:?}");
    assert!(!run.all().contains("panicked"), "{name}: {}", run.all());
    assert!(
        run.code == 0 || !run.err().is_empty(),
        "{name}: {} without words",
        run.code
    );
    for (tree, old) in [(a.tree(), &old_a), (world.hub().tree(), &old_hub)] {
        assert!(
            tree == *old || tree == *new,
            "{name}: neither old nor new after {}",
            run.all()
        );
        assert!(
            run.code != 0 || tree == *new,
            "{name}: success, and not the new tree"
        );
    }
    let again = SOUND.to(a, world).rsyn(&[sort.verb, "-y"]);
    passed(world);
    assert_eq!(again.code, 0, "{name}, and once more: {}", again.all());
    assert_same(new, &a.tree());
    assert_same(new, &world.hub().tree());
    for root in [&**a, &world.hub()] {
        assert_eq!(root.names(".rsyn/txn"), [""; 0], "{name}");
    }
    counts.cuts.fetch_add(1, Ordering::Relaxed);
    counts
        .done
        .fetch_add((run.code == 0).into(), Ordering::Relaxed);
    let took = u64::try_from(took.as_millis()).unwrap();
    counts.slowest_ms.fetch_max(took, Ordering::Relaxed);
}

fn cut_everywhere(sort: &Sort, counts: &Counts) {
    let world = Sandbox::new();
    let a = project(&world, "a");
    a.write("f", "00000000");
    a.write("e/now and then", "00000000");
    for number in 0..3 {
        a.write(format!("d/{number}"), noise(200, number));
    }
    SOUND.to(&a, &world).ok(&["push"]);
    passed(&world);
    SOUND.to(&a, &world).ok(&["pull"]);
    passed(&world);
    change(&world, &a, sort.verb, 1);
    SOUND.to(&a, &world).ok(&[sort.verb, "-y"]);
    let whole = passed(&world);
    let total = if sort.up { whole.up } else { whole.down } + 2;
    let step = match std::env::var("RSYN_CUTS").as_deref() {
        Ok("all") => 1,
        Ok(wish) => total / wish.parse::<u64>().unwrap(),
        Err(_) => total / SAMPLE,
    };
    let mut number = 2;
    let mut at = 0;
    while at <= total {
        change(&world, &a, sort.verb, number);
        cut_after(&world, &a, sort, at, counts);
        number += 1;
        at += step.max(1);
    }
}

#[test]
fn a_wire_that_is_cut_after_any_byte_leaves_old_or_new_and_the_next_run_succeeds() {
    let counts = Counts::default();
    std::thread::scope(|scope| {
        for verb in ["pull", "push"] {
            let counts = &counts;
            scope.spawn(move || {
                for up in [true, false] {
                    cut_everywhere(&Sort { verb, up }, counts);
                }
            });
        }
    });
    println!(
        "{} cuts, {} of them after all was done; the slowest run took {} ms",
        counts.cuts.into_inner(),
        counts.done.into_inner(),
        counts.slowest_ms.into_inner()
    );
}
