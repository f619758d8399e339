//! Big files: sizes and offsets beyond 32 bits, and holes.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::memory;
use crate::size;
use crate::support::{Dir, Sandbox, noise};

const MIB: u64 = 1024 * 1024;

fn big() -> u64 {
    size("RSYN_LARGE_MIB", 48) * MIB
}

/// A file of `big()` bytes and one more, mostly hole, with islands of noise at its start, its middle and its end.
fn islands(dir: &Dir) {
    let file = File::create(dir.at("big")).unwrap();
    file.set_len(big() + 1).unwrap();
    for at in [0, big() / 2, big() - MIB] {
        file.write_all_at(&noise(MIB as usize, at + 1), at).unwrap();
    }
}

fn edit(dir: &Dir, at: u64) {
    let file = File::options().write(true).open(dir.at("big")).unwrap();
    file.write_all_at(&noise(100, at), at).unwrap();
}

/// Compares piece by piece: the files are larger than memory.
#[track_caller]
fn assert_equal(left: &Dir, right: &Dir) {
    let (left, right) = (File::open(left.at("big")), File::open(right.at("big")));
    let (left, right) = (left.unwrap(), right.unwrap());
    let len = left.metadata().unwrap().len();
    assert_eq!(len, right.metadata().unwrap().len());
    let (mut one, mut two) = (vec![0; MIB as usize], vec![0; MIB as usize]);
    for at in (0..len).step_by(MIB as usize) {
        let part = MIB.min(len - at) as usize;
        left.read_exact_at(&mut one[..part], at).unwrap();
        right.read_exact_at(&mut two[..part], at).unwrap();
        assert!(one[..part] == two[..part], "they differ after byte {at}");
    }
}

fn occupied(dir: &Dir) -> u64 {
    dir.at("big").metadata().unwrap().blocks() * 512
}

#[test]
fn a_big_file_with_holes_arrives_with_its_holes_and_then_as_a_delta() {
    let world = Sandbox::new();
    let a = world.project("a");
    islands(&a);
    let first = memory::run("first push of a big file", &a, &["push"]);
    assert_equal(&a, &world.hub());
    assert!(
        occupied(&world.hub()) < 8 * MIB,
        "{} bytes",
        occupied(&world.hub())
    );

    for at in [10, big() / 2 + 5, big() - 200] {
        edit(&a, at);
    }
    let json = a.ok(&["push", "--json"]).json();
    assert_equal(&a, &world.hub());
    let sent = json["summary"]["bytes_sent"].as_u64().unwrap();
    assert!(sent < MIB, "a delta of three small edits sent {sent} bytes");

    let b = world.clone_of_hub("b");
    assert_equal(&a, &b);
    assert!(occupied(&b) < 8 * MIB);
    edit(&a, big() - 50);
    a.ok(&["push"]);
    let second = memory::run("pull of an edit at the end", &b, &["pull"]);
    assert_equal(&a, &b);
    for cost in [first, second] {
        assert!(cost.client.max(cost.hub) <= 64, "too much memory");
    }
}
