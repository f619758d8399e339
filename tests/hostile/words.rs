//! What a hub says reaches the terminal as words alone: no id that is none, no line that passes for one of rsyn's.

use crate::MOST_KIB;
use crate::encoder::Field::{self, Bytes, Number, Path, Raw};
use crate::encoder::{Message, chunks, control, hello, zigzag};
use crate::watch::{Seen, watch};
use crate::world::{GENERATION, World, node_fields, path, server_hello, view};

/// Clears the screen, and says what rsyn might.
const FORGED: &str = "\x1b[2J\nmachine    forged: just now";
/// An id as a hub may tell it.
const ID: &str = "0123456789abcdef";

fn text(words: &str) -> Field {
    Bytes(words.as_bytes().to_vec())
}

/// Runs `rsyn` with a hub that says its Hello and then `session`.
fn told(world: &World, args: &[&str], session: &[Message]) -> Seen {
    let frames: Vec<u8> = session.iter().flat_map(Message::frame).collect();
    let hello = hello(&server_hello(world).to_string());
    let words = [&b"RSYN\0\x01"[..], &hello, &chunks(&frames)].concat();
    let seen = watch(world.with_hub(args, &words), &world.scratch());
    seen.behaved(&format!("{args:?}"), MOST_KIB);
    seen
}

/// No byte that a terminal obeys came through, and no line that the hub began.
#[track_caller]
fn is_clean(seen: &Seen) {
    let out = String::from_utf8_lossy(&seen.stdout).into_owned() + &seen.stderr;
    let is_raw = |c: char| c.is_control() && c != '\n';
    assert!(!out.contains(is_raw), "{out:?}");
    assert!(
        !out.lines().any(|l| l.starts_with("machine    forged")),
        "{out}"
    );
}

/// The answer to a commit, with these ids of root, transaction and snapshot.
fn committed(root: &str, transaction: &str, snapshot: &str) -> Message {
    let fields = [
        text(root),
        text(transaction),
        Number(GENERATION + 1),
        Raw(vec![1; 32]),
        Raw(vec![2; 32]),
        Number(1),
        text(snapshot),
        Number(0),
        Number(0),
    ];
    control(19, fields)
}

/// What undoing the snapshot of this id does: `d/z` goes.
fn rollback_plan(world: &World, id: &str) -> Message {
    let tree = world.hub_tree();
    let fields = [
        vec![text(id), Number(1), Path(b"d/z".to_vec())],
        node_fields(tree.get(&path("d/z"))),
        vec![Number(0), Number(0), Number(0)],
    ];
    control(24, fields.concat())
}

#[test]
fn a_push_whose_outcome_is_not_known_exactly_still_knows_the_generation() {
    let world = World::new(|a| a.chmod("d/y", 0o600));
    // Another view than the push leads to, as where a directory had to stay.
    let answer = committed(&world.hub_id(), ID, ID);
    let pushed = told(
        &world,
        &["push", "-y"],
        &[view(&world.hub_tree()), vec![answer]].concat(),
    );
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);

    let seen = told(&world, &["pull"], &view(&world.hub_tree()));

    assert_eq!(seen.code, 4, "{}", seen.stderr);
    assert!(
        seen.stderr.contains("older than at the last sync"),
        "{}",
        seen.stderr
    );
}

#[test]
fn an_id_of_a_hub_that_is_none_is_refused_and_never_printed() {
    let world = World::new(|a| a.chmod("d/y", 0o600));
    let root = world.hub_id();
    let pushed = |ids: [&str; 3]| {
        let answer = committed(ids[0], ids[1], ids[2]);
        let session = [view(&world.hub_tree()), vec![answer]].concat();
        let seen = told(&world, &["push", "-y"], &session);
        world.reset();
        seen
    };
    let right = pushed([&root, ID, ID]);
    assert_eq!(right.code, 0, "{}", right.stderr);
    for wrong in [FORGED, "", "0123456789ABCDEF", "../../x"] {
        for ids in [[wrong, ID, ID], [&root, wrong, ID], [&root, ID, wrong]] {
            let seen = pushed(ids);
            assert_ne!(seen.code, 0, "{ids:?}");
            assert!(seen.stderr.contains("malformed"), "{}", seen.stderr);
            is_clean(&seen);
        }
        for args in [
            &["rollback", "--remote", "-n"][..],
            &["rollback", "--remote", "-y"],
        ] {
            let session = [rollback_plan(&world, wrong), committed(&root, ID, ID)];
            let seen = told(&world, args, &session);
            assert_ne!(seen.code, 0, "{args:?} {wrong:?}");
            is_clean(&seen);
        }
        let session = [rollback_plan(&world, ID), committed(&root, ID, wrong)];
        let seen = told(&world, &["rollback", "--remote", "-y"], &session);
        assert_ne!(seen.code, 0, "{wrong:?}");
        is_clean(&seen);
        let line = [
            Number(1),
            text(wrong),
            Number(zigzag(5)),
            text("push a"),
            Number(1),
            Number(1),
        ];
        let seen = told(&world, &["snapshots", "--remote"], &[control(22, line)]);
        assert_ne!(seen.code, 0, "{wrong:?}");
        is_clean(&seen);
    }
    let session = [rollback_plan(&world, ID), committed(&root, ID, ID)];
    let seen = told(&world, &["rollback", "--remote", "-y"], &session);
    assert_eq!(seen.code, 0, "{}", seen.stderr);
}

#[test]
fn no_word_of_a_hub_begins_a_line() {
    let world = World::new(|_| ());
    let line = [
        Number(1),
        text(ID),
        Number(zigzag(5)),
        text(FORGED),
        Number(1),
        Number(1),
    ];
    let seen = told(&world, &["snapshots", "--remote"], &[control(22, line)]);
    assert_eq!(seen.code, 0, "{}", seen.stderr);
    is_clean(&seen);
    let machines = control(27, [Number(1), text(FORGED), Number(zigzag(5))]);
    let session = [view(&world.hub_tree()), vec![machines]].concat();
    let seen = told(&world, &["status"], &session);
    assert_eq!(seen.code, 0, "{}", seen.stderr);
    is_clean(&seen);
    let refused = control(28, [Number(0), text(FORGED), text(FORGED)]);
    let seen = told(&world, &["snapshots", "--remote"], &[refused]);
    assert_ne!(seen.code, 0);
    is_clean(&seen);
}
