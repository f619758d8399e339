//! Hubs that break the protocol, against `rsyn pull` and `rsyn push`: an error in words, trees as they were.

use std::sync::atomic::{AtomicU64, Ordering};

use rsyn::delta::{Params, Signer};
use rsyn::model::{Entry, Node, Tree};
use serde_json::Value;

use crate::encoder::Field::{Bytes, Number, Path, Raw};
use crate::encoder::{DATA, Message, SIGNATURE_DATA, chunks, control, data, hello, whole};
use crate::evil::{self, Case};
use crate::support::{Machine, noise};
use crate::watch::watch;
use crate::world::{BIG, GENERATION, World, file, path, server_hello, tree_of, view};
use crate::{MOST_KIB, sample};

/// What a hub says first, with this Hello.
fn magic(json: &str) -> Vec<u8> {
    [b"RSYN\0\x01".to_vec(), hello(json)].concat()
}

fn start(world: &World) -> Vec<u8> {
    magic(&server_hello(world).to_string())
}

/// The number under which a path is asked for.
fn items(world: &World, verb: &str, view: &[Message], paths: &[&str]) -> Vec<u32> {
    let frames: Vec<u8> = view.iter().flat_map(Message::frame).collect();
    let words = [start(world), chunks(&frames)].concat();
    let mut command = world.with_hub(&[verb, "--dry-run", "--json"], &words);
    let output = command.output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    let actions = told["actions"].as_array().unwrap();
    let item = |path: &&str| actions.iter().position(|action| action["path"] == **path);
    paths
        .iter()
        .map(|path| u32::try_from(item(path).unwrap()).unwrap())
        .collect()
}

/// The hub's tree with a changed, a large changed, a new and a deleted file and a new link.
pub fn news(world: &World) -> (Tree, Vec<u8>) {
    let big = [noise(1000, 7), noise(BIG, 1)[4096..].to_vec(), noise(10, 8)].concat();
    let changes = [
        (path("f"), Some(file(b"new\n"))),
        (path("big"), Some(file(&big))),
        (path("n"), Some(file(b"n"))),
        (path("d/y"), None),
        (
            path("l"),
            Some(Node::Symlink {
                target: (*b"f").into(),
                mtime: mtime(),
            }),
        ),
    ];
    (world.hub_tree().with_changes(changes), big)
}

fn mtime() -> rsyn::model::Mtime {
    rsyn::model::Mtime { secs: 1, nanos: 0 }
}

/// A whole pull as a hub tells it.
fn pull_session(world: &World) -> (Tree, Vec<Message>) {
    let (tree, big) = news(world);
    let mut session = view(&tree);
    let ids = items(world, "pull", &session, &["big", "f", "n"]);
    let last = BIG as u64 - 4096;
    session.extend([
        control(13, [Number(ids[0].into())]),
        data(DATA, &big[..1000]),
        control(14, [Number(4096), Number(last)]),
        data(DATA, &big[1000 + last as usize..]),
        control(15, []),
        whole(ids[1], b"new\n"),
        control(0, []),
        whole(ids[2], b"n"),
    ]);
    (tree, session)
}

fn edit(a: &Machine) {
    a.write("f", "mine\n");
    a.write("n", "n");
    a.write("big", [noise(1000, 7), noise(BIG, 1)].concat());
    a.remove("d/y");
}

/// A whole push as a hub answers it.
fn push_session(world: &World) -> Vec<Message> {
    let mut session = view(&world.hub_tree());
    let ids = items(world, "push", &session, &["big", "f"]);
    let basis = noise(BIG, 1);
    let params = Params::for_basis(BIG as u64, [3; 32]);
    let (mut signer, mut blocks) = (Signer::new(&params), Vec::new());
    signer.update(&basis, &mut blocks);
    signer.finish(&mut blocks);
    let id = |name: &str| Bytes(name.as_bytes().to_vec());
    session.extend([
        control(
            9,
            [
                Number(ids[0].into()),
                Number(BIG as u64),
                Number(params.block_bytes.into()),
                Raw(vec![params.strong_bytes]),
                Raw(params.key.to_vec()),
            ],
        ),
        data(SIGNATURE_DATA, &blocks),
        control(10, []),
        control(17, [Number(1), Number(ids[1].into())]),
        control(31, [Number(7)]),
        control(
            19,
            [
                id(&world.hub_id()),
                id("0123456789abcdef"),
                Number(GENERATION + 1),
                Raw(vec![1; 32]),
                Raw(vec![2; 32]),
                Number(1),
                id("0123456789abcdef"),
                Number(1),
                Path(b"d".to_vec()),
                Number(1),
                Path(b"f".to_vec()),
            ],
        ),
    ]);
    session
}

/// Counts of a sweep, for its report.
#[derive(Default)]
pub struct Counts {
    pub cases: AtomicU64,
    pub accepted: AtomicU64,
    pub peak_kib: AtomicU64,
    pub slowest_ms: AtomicU64,
}

impl Counts {
    pub fn note(&self, name: &str, seen: &crate::watch::Seen, accepted: bool) {
        if seen.took.as_secs() >= 2 {
            println!("slow: {name}: {:?}", seen.took);
        }
        self.cases.fetch_add(1, Ordering::Relaxed);
        self.accepted.fetch_add(accepted.into(), Ordering::Relaxed);
        self.peak_kib.fetch_max(seen.peak_kib, Ordering::Relaxed);
        let took = u64::try_from(seen.took.as_millis()).unwrap();
        self.slowest_ms.fetch_max(took, Ordering::Relaxed);
    }

    pub fn report(&self, what: &str) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        println!(
            "{what}: {} cases, {} harmless and accepted, at most {} KiB and {} ms",
            of(&self.cases),
            of(&self.accepted),
            of(&self.peak_kib),
            of(&self.slowest_ms)
        );
    }
}

/// Runs a verb against each of these hubs. It ends with the trees as they were and words, or, where what was evil
/// means nothing, with what `right` says.
fn all_refused(world: &World, verb: &str, cases: &[Case], right: &Tree, counts: &Counts) {
    let old = tree_of(&world.a);
    for case in cases {
        let name = format!("{verb}, {}", case.name);
        let seen = watch(world.with_hub(&[verb, "-y"], &case.bytes), &world.scratch());
        seen.behaved(&name, MOST_KIB);
        let now = tree_of(&world.a);
        if seen.code == 0 {
            assert!(now == *right, "{name}: accepted, with another tree");
        } else {
            assert!(
                now == old,
                "{name}: failed, and changed the tree\n{}",
                seen.stderr
            );
            assert!(
                seen.stderr.contains("error"),
                "{name}: no words: {:?}",
                seen.stderr
            );
        }
        world.is_whole(&name);
        counts.note(&name, &seen, seen.code == 0);
        if seen.code == 0 || world.a.has(".rsyn/partial") {
            world.reset();
        }
    }
}

fn behind(first: &[u8], mut cases: Vec<Case>) -> Vec<Case> {
    for case in &mut cases {
        case.bytes = [first, &case.bytes].concat();
    }
    cases
}

fn hello_cases(world: &World, session: &[Message]) -> Vec<Case> {
    let rest = chunks(&session.iter().flat_map(Message::frame).collect::<Vec<_>>());
    let of = |(name, json): (String, String)| Case {
        name,
        bytes: [magic(&json), rest.clone()].concat(),
    };
    evil::hellos(&server_hello(world))
        .into_iter()
        .map(of)
        .collect()
}

fn right(session: &[Message], first: &[u8]) -> Vec<u8> {
    [
        first,
        &chunks(&session.iter().flat_map(Message::frame).collect::<Vec<_>>()),
    ]
    .concat()
}

#[test]
fn a_hub_of_the_small_encoder_is_believed_when_it_is_right() {
    let world = World::new(|_| ());
    let (tree, session) = pull_session(&world);
    let words = right(&session, &start(&world));
    let seen = watch(world.with_hub(&["pull", "-y"], &words), &world.scratch());
    assert_eq!(seen.code, 0, "{}", seen.stderr);
    assert!(tree_of(&world.a) == tree);

    let world = World::new(edit);
    let words = right(&push_session(&world), &start(&world));
    let seen = watch(world.with_hub(&["push", "-y"], &words), &world.scratch());
    assert_eq!(seen.code, 0, "{}", seen.stderr);
    assert!(
        seen.stderr
            .contains("7 more like these on the hub are not named"),
        "{}",
        seen.stderr
    );
}

#[test]
fn malformed_words_of_a_hub_end_a_pull_with_the_tree_as_it_was() {
    let counts = Counts::default();
    sample::in_two(|part| {
        let world = World::new(|_| ());
        let (tree, session) = pull_session(&world);
        let mut cases = behind(&start(&world), evil::cases(&session, &|_| ()));
        cases.extend(hello_cases(&world, &session));
        all_refused(&world, "pull", &part.of(cases), &tree, &counts);
    });
    counts.report("hub to pull");
}

#[test]
fn malformed_words_of_a_hub_end_a_push_and_change_nothing_here() {
    let counts = Counts::default();
    sample::in_two(|part| {
        let world = World::new(edit);
        let session = push_session(&world);
        let mut cases = behind(&start(&world), evil::cases(&session, &|_| ()));
        cases.extend(hello_cases(&world, &session));
        let tree = tree_of(&world.a);
        all_refused(&world, "push", &part.of(cases), &tree, &counts);
    });
    counts.report("hub to push");
}

/// Views that are well formed, with the right digest, and cannot be true.
fn lies(world: &World) -> Vec<(String, Tree)> {
    let base = world.hub_tree();
    let with = |name: &str, changes: Vec<(&str, Node)>| {
        let changes = changes.into_iter().map(|(at, node)| (path(at), Some(node)));
        (name.to_owned(), base.with_changes(changes))
    };
    let sized = |size: u64| match file(b"x") {
        Node::File {
            digest,
            mode,
            mtime,
            ..
        } => Node::File {
            size,
            digest,
            mode,
            mtime,
        },
        other => other,
    };
    let dated = |secs: i64, nanos: u32| match file(b"x") {
        Node::File {
            size, digest, mode, ..
        } => Node::File {
            size,
            digest,
            mode,
            mtime: rsyn::model::Mtime { secs, nanos },
        },
        other => other,
    };
    let link = |target: &[u8]| Node::Symlink {
        target: target.into(),
        mtime: mtime(),
    };
    let outside = world.sandbox.dir("outside").text_path().as_bytes().to_vec();
    let mut lies = vec![
        with("a file below a link", vec![("out/secret", file(b"x"))]),
        with(
            "a file below a link to come",
            vec![("p", link(&outside)), ("p/x", file(b"x"))],
        ),
        with("a file below a file", vec![("f/x", file(b"x"))]),
        with("a file below nothing", vec![("no/where", file(b"x"))]),
        with(
            "a link in the place of a directory with files",
            vec![("d", link(&outside))],
        ),
        with("a link with an empty target", vec![("l", link(b""))]),
        with("a link with a NUL", vec![("l", link(b"a\0b"))]),
        with(
            "a link with a target of 5000 bytes",
            vec![("l", link(&[b'x'; 5000]))],
        ),
        with(
            "nanoseconds beyond a second",
            vec![("n", dated(1, 2_000_000_000))],
        ),
        with("the last second", vec![("n", dated(i64::MAX, 0))]),
        with("the first second", vec![("n", dated(i64::MIN, 0))]),
        with(
            "the code of the rules",
            vec![("n", Node::Skipped(rsyn::model::Skip::Altered))],
        ),
    ];
    for size in [1 << 31, 1 << 40, 1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX] {
        lies.push(with(
            &format!("a new file of {size} bytes"),
            vec![("n", sized(size))],
        ));
        lies.push(with(
            &format!("a changed file of {size} bytes"),
            vec![("big", sized(size))],
        ));
    }
    let deep: Vec<Entry> = (1..=512)
        .map(|depth| Entry {
            path: path(vec!["d"; depth].join("/").as_str()),
            node: Node::Dir { mode: 0o755.into() },
        })
        .collect();
    lies.push((
        "512 directories deep".to_owned(),
        base.with_changes(deep.into_iter().map(|e| (e.path, Some(e.node)))),
    ));
    lies
}

#[test]
fn lies_of_a_hub_about_its_tree_reach_nothing() {
    let world = World::new(|_| ());
    let old = tree_of(&world.a);
    for (name, tree) in lies(&world) {
        // Content for whatever is asked for first; never the right one.
        let mut session = view(&tree);
        session.extend((0..8).map(|id| whole(id, b"not this")));
        let words = right(&session, &start(&world));
        for verb in [
            &["pull", "-y"][..],
            &["pull", "-y", "--mirror"],
            &["sync", "-y"],
            &["pull", "--dry-run", "--diff"],
        ] {
            let seen = watch(world.with_hub(verb, &words), &world.scratch());
            let name = format!("{name}: {verb:?}");
            seen.behaved(&name, MOST_KIB);
            world.is_whole(&name);
            if seen.code == 0 {
                // What needs no content can be carried out; a dry run changes nothing in any case.
                let now = tree_of(&world.a);
                assert!(now == old || now == tree, "{name}: half of it was done");
            } else {
                assert!(
                    tree_of(&world.a) == old,
                    "{name}: failed, and changed the tree\n{}",
                    seen.stderr
                );
            }
            world.reset();
        }
    }
}
