//! Clients that break the protocol, against `rsyn serve --stdio`: refused in words, the hub as it was or, where
//! what they ask is a push like any other, with all that was there still there.

use std::collections::BTreeSet;

use rsyn::delta::{Params, Signer};
use rsyn::model::{Node, Tree};
use rsyn::protocol::codec::{CHUNK_HEADER_BYTES, Decoder};
use rsyn::protocol::frame as library;
use rsyn::protocol::message::{Control, Message as Answer};

use crate::encoder::Field::{self, Bytes, Number, Path, Raw};
use crate::encoder::{DATA, Message, SIGNATURE_DATA, chunks, control, data, hello, whole};
use crate::evil::{self, Case};
use crate::hubs::Counts;
use crate::support::{Dir, noise};
use crate::watch::{Seen, fed, watch};
use crate::world::{BIG, World, client_hello, file, node_fields, path, tree_of};
use crate::{MOST_KIB, sample};

/// The key of the digest of a plan, in words of `docs/protocol.md`: the postcard of each op.
fn plan_digest(ops: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("rsyn 2026 plan digest v1");
    hasher.update(ops);
    *hasher.finalize().as_bytes()
}

/// One op: where, what was, what will be, and the fields of its source.
fn op(at: &str, old: Option<&Node>, new: Option<&Node>, source: Vec<Field>) -> Vec<Field> {
    [
        vec![Path(at.as_bytes().to_vec())],
        node_fields(old),
        node_fields(new),
        source,
    ]
    .concat()
}

fn ops_message(ops: &[Vec<Field>]) -> Message {
    control(
        11,
        std::iter::once(Number(ops.len() as u64)).chain(ops.concat()),
    )
}

/// Rules that take nothing out, and their end.
fn rules() -> [Message; 2] {
    let rule = ["*.o"].map(|pattern| {
        [
            vec![0, pattern.len() as u8],
            pattern.as_bytes().to_vec(),
            vec![0, 1],
        ]
        .concat()
    });
    let encoded = [vec![1, 1, b'f', 1], rule.concat()].concat();
    [control(1, [Bytes(encoded)]), control(1, [Bytes(vec![])])]
}

/// A whole push as a client asks for it, from these ops and this content.
fn push_of(ops: &[Vec<Field>], content: Vec<Message>) -> Vec<Message> {
    let ops = ops_message(ops);
    let digest = Raw(plan_digest(&ops.payload()[2..]).to_vec());
    let mut session = rules().to_vec();
    session.extend([ops, control(12, [digest.clone()])]);
    session.extend(content);
    session.extend([
        control(18, [digest, Number(1), Bytes(b"label".to_vec())]),
        control(29, []),
    ]);
    session
}

fn push_session(world: &World) -> Vec<Message> {
    let tree = world.hub_tree();
    let old = |at: &str| tree.get(&path(at)).cloned();
    let (f, big, x, y) = (old("f"), old("big"), old("d/x"), old("d/y"));
    let new_big = [noise(1000, 7), noise(BIG, 1)[4096..].to_vec()].concat();
    let (new, copied, sent) = (file(b"new\n"), file(b"y"), file(b"sent"));
    let link = Node::Symlink {
        target: (*b"f").into(),
        mtime: rsyn::model::Mtime { secs: 1, nanos: 0 },
    };
    let dir = Node::Dir { mode: 0o755.into() };
    let none = || vec![Number(0)];
    let ops = [
        op("big", big.as_ref(), Some(&file(&new_big)), vec![Number(2)]),
        op(
            "c",
            None,
            Some(&copied),
            vec![Number(3), Path(b"d/y".to_vec())],
        ),
        op("d/x", x.as_ref(), None, none()),
        op(
            "d/y",
            y.as_ref(),
            Some(&sent),
            vec![Number(5), Number(0), Number(0)],
        ),
        op("e", None, Some(&dir), none()),
        op("f", f.as_ref(), Some(&new), vec![Number(1)]),
        op("l", None, Some(&link), none()),
        op("n", None, Some(&new), vec![Number(4), Number(5)]),
    ];
    let content = vec![
        whole(5, b"new\n"),
        control(13, [Number(3)]),
        data(DATA, b"sent"),
        control(15, []),
        control(0, []),
        control(13, [Number(0)]),
        data(DATA, &new_big[..1000]),
        control(14, [Number(4096), Number(BIG as u64 - 4096)]),
        control(15, []),
    ];
    push_of(&ops, content)
}

/// A whole pull as a client asks for it, and a second look.
fn pull_session() -> Vec<Message> {
    let basis = noise(BIG, 2);
    let params = Params::for_basis(BIG as u64, [3; 32]);
    let (mut signer, mut blocks) = (Signer::new(&params), Vec::new());
    signer.update(&basis, &mut blocks);
    signer.finish(&mut blocks);
    let want = |id: u64, at: &str, delta: u64| {
        [
            Number(id),
            Path(at.as_bytes().to_vec()),
            Number(0),
            Number(delta),
        ]
    };
    let wants = [want(0, "f", 0), want(1, "big", 1), want(2, "big", 0)].concat();
    let mut session = rules().to_vec();
    session.extend([
        control(8, std::iter::once(Number(3)).chain(wants)),
        control(
            9,
            [
                Number(1),
                Number(BIG as u64),
                Number(params.block_bytes.into()),
                Raw(vec![params.strong_bytes]),
                Raw(params.key.to_vec()),
            ],
        ),
        data(SIGNATURE_DATA, &blocks),
        control(10, []),
        control(2, []),
        control(29, []),
    ]);
    session
}

/// What people ask of a hub: its snapshots, its machines, undo.
fn manage_session(snapshot: &str) -> Vec<Message> {
    let id = || Bytes(snapshot.as_bytes().to_vec());
    let mut session = rules().to_vec();
    session.extend([
        control(21, []),
        control(23, [Number(1), id()]),
        control(26, []),
        control(25, [id(), Bytes(b"label".to_vec())]),
        control(29, []),
    ]);
    session
}

/// The messages of an answer, as the library reads them.
fn answers(stdout: &[u8]) -> Vec<Answer> {
    let Some(rest) = stdout.strip_prefix(b"RSYN\0\x01") else {
        return vec![];
    };
    let Some((len, rest)) = rest.split_first_chunk::<4>() else {
        return vec![];
    };
    let mut rest = &rest[u32::from_le_bytes(*len) as usize..];
    let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
    while let Some((header, after)) = rest.split_first_chunk::<CHUNK_HEADER_BYTES>() {
        let (len, coding) = Decoder::header(*header).unwrap();
        let sink = &mut |bytes: &[u8]| {
            frames.extend_from_slice(bytes);
            Ok(())
        };
        decoder.chunk(coding, &after[..len], sink).unwrap();
        rest = &after[len..];
    }
    let (mut messages, mut at) = (Vec::new(), 0);
    while let Some((message, len)) = library::decode(&frames[at..]).unwrap() {
        messages.push(message);
        at += len;
    }
    messages
}

/// What the hub answered that tells success from refusal.
fn verdict(seen: &Seen) -> &'static str {
    let of = |answer: &Answer| match answer {
        Answer::Control(Control::Committed(_)) => Some("committed"),
        Answer::Control(Control::Refused(_)) => Some("refused"),
        Answer::Control(Control::Stale(_)) => Some("stale"),
        _ => None,
    };
    let all = answers(&seen.stdout);
    let hello = String::from_utf8_lossy(&seen.stdout);
    match all.iter().find_map(of) {
        Some(verdict) => verdict,
        None if hello.contains("\"refusal\":{") => "refused",
        None => "nothing",
    }
}

/// All contents below a directory, its state included.
fn contents(dir: &Dir) -> BTreeSet<Vec<u8>> {
    let files = dir.touch().into_keys();
    let is_file = |at: &Vec<u8>| dir.at(at).symlink_metadata().unwrap().is_file();
    files.filter(is_file).map(|at| dir.read(at)).collect()
}

fn ask(world: &World, args: &[&str], bytes: &[u8]) -> Seen {
    let input = world.scratch().join("input");
    watch(fed(world.serve(args), &input, bytes), &world.scratch())
}

/// Asks the hub each of these. What was there stays, in the tree or in a snapshot.
fn all_survived(world: &World, what: &str, cases: &[Case], counts: &Counts) {
    let old = world.hub_tree();
    let before = contents(&world.hub());
    let id = world.hub_id();
    let held: BTreeSet<Vec<u8>> = old
        .entries()
        .iter()
        .filter(|entry| matches!(entry.node, Node::File { .. }))
        .map(|entry| world.hub().read(entry.path.as_bytes()))
        .collect();
    assert!(held.is_subset(&before));
    for case in cases {
        let name = format!("{what}, {}", case.name);
        let seen = ask(world, &[], &case.bytes);
        seen.behaved(&name, MOST_KIB);
        let verdict = verdict(&seen);
        if verdict == "committed" {
            // A commit (18) may say that it wants no snapshot; that is its field 2.
            let wants_none = case.name.contains("(Number(18)), field 2: 0");
            assert!(
                wants_none || held.is_subset(&contents(&world.hub())),
                "{name}: something was lost"
            );
        } else {
            assert!(
                world.hub_tree() == old,
                "{name}: {verdict}, and changed the tree\n{}",
                seen.stderr
            );
        }
        assert_eq!(world.hub_id(), id, "{name}");
        assert!(
            !answers_hold(&seen, b"nobody may see this"),
            "{name}: told of what is outside"
        );
        world.is_whole(&name);
        counts.note(&name, &seen, verdict == "committed");
        if verdict == "committed" || world.hub().has(".rsyn/partial") {
            world.reset();
        }
    }
}

fn answers_hold(seen: &Seen, secret: &[u8]) -> bool {
    seen.stdout
        .windows(secret.len())
        .any(|window| window == secret)
}

fn behind(first: &[u8], mut cases: Vec<Case>) -> Vec<Case> {
    for case in &mut cases {
        case.bytes = [first, &case.bytes].concat();
    }
    cases
}

fn frames(session: &[Message]) -> Vec<u8> {
    session.iter().flat_map(Message::frame).collect()
}

fn start(world: &World, purpose: &str) -> Vec<u8> {
    hello(&client_hello(world, purpose).to_string())
}

fn right(world: &World, purpose: &str, session: &[Message]) -> Vec<u8> {
    [start(world, purpose), chunks(&frames(session))].concat()
}

/// Puts the digest of what the ops have become in the place of what they were, so that the evil is looked at.
fn redigest(session: &[Message]) -> impl Fn(&mut Vec<Vec<u8>>) + use<> {
    let was = plan_digest(&session[2].payload()[2..]);
    move |frames: &mut Vec<Vec<u8>>| {
        let ops = frames
            .iter()
            .find(|frame| frame.get(5) == Some(&11) && frame.len() > 100);
        let now = ops.map_or(was, |ops| plan_digest(&ops[7..]));
        for frame in frames.iter_mut().filter(|frame| frame.len() < 100) {
            if let Some(at) = frame.windows(32).position(|window| window == was) {
                frame[at..at + 32].copy_from_slice(&now);
            }
        }
    }
}

#[test]
fn a_client_of_the_small_encoder_is_served_when_it_is_right() {
    let world = World::new(|_| ());
    let snapshot = world.snapshot.clone();
    let seen = ask(
        &world,
        &[],
        &right(&world, "manage", &manage_session(&snapshot)),
    );
    assert_eq!(verdict(&seen), "committed", "{}", seen.stderr);
    assert!(!world.hub().has("d/z"), "that push was undone");
    world.reset();

    let seen = ask(&world, &[], &right(&world, "pull", &pull_session()));
    let told = answers(&seen.stdout);
    let ends = told
        .iter()
        .filter(|answer| matches!(answer, Answer::Control(Control::End)));
    assert_eq!(
        (verdict(&seen), ends.count()),
        ("nothing", 2),
        "{}",
        seen.stderr
    );

    let seen = ask(&world, &[], &right(&world, "push", &push_session(&world)));
    assert_eq!(
        verdict(&seen),
        "committed",
        "{} {:?}",
        seen.stderr,
        answers(&seen.stdout).last()
    );
    assert_eq!(world.hub().text("n"), "new\n");
    assert_eq!(world.hub().text("c"), "y");
    assert!(!world.hub().has("d/x"));
}

/// A push that deletes so many files with long names, none of which is there.
fn push_of_what_is_not_there(many: usize) -> Vec<Message> {
    let gone = file(b"gone");
    let ops: Vec<_> = (0..many)
        .map(|n| op(&format!("{n:0200}"), Some(&gone), None, vec![Number(0)]))
        .collect();
    let encoded: Vec<u8> = ops.concat().iter().flat_map(Field::encode).collect();
    let digest = Raw(plan_digest(&encoded).to_vec());
    let mut session = rules().to_vec();
    session.extend(ops.chunks(1000).map(ops_message));
    session.extend([
        control(12, [digest.clone()]),
        control(18, [digest, Number(1), Bytes(vec![])]),
        control(29, []),
    ]);
    session
}

#[test]
fn more_paths_than_an_answer_holds_are_counted_for_the_client_that_is_to_hear_of_them() {
    let world = World::new(|_| ());
    let session = push_of_what_is_not_there(8000);
    for (feature, is_told) in [("unnamed", true), ("unknown", false)] {
        let json = client_hello(&world, "push").to_string();
        let hello = hello(&json.replace("unnamed", feature));
        let seen = ask(&world, &[], &[hello, chunks(&frames(&session))].concat());
        let (mut told, mut named) = (None, 0);
        for answer in answers(&seen.stdout) {
            match answer {
                Answer::Control(Control::Unnamed(number)) => told = Some(number),
                Answer::Control(Control::Stale(paths)) => named = paths.len() as u64,
                _ => {}
            }
        }
        assert!((4000..8000).contains(&named), "{named} {}", seen.stderr);
        assert_eq!(told, is_told.then_some(8000 - named));
    }
}

#[test]
fn malformed_words_of_a_client_that_pushes_change_nothing() {
    let counts = Counts::default();
    sample::in_two(|part| {
        let world = World::new(|_| ());
        let session = push_session(&world);
        let cases = evil::cases(&session, &redigest(&session));
        let mut cases = behind(&start(&world, "push"), cases);
        cases.extend(of_hello(&world, "push", &session));
        all_survived(&world, "push", &part.of(cases), &counts);
    });
    counts.report("client to serve, push");
}

#[test]
fn malformed_words_of_a_client_that_pulls_change_nothing() {
    let counts = Counts::default();
    sample::in_two(|part| {
        let world = World::new(|_| ());
        let session = pull_session();
        let mut cases = behind(&start(&world, "pull"), evil::cases(&session, &|_| ()));
        cases.extend(of_hello(&world, "look", &session));
        cases.extend(of_rules(&world));
        all_survived(&world, "pull", &part.of(cases), &counts);
    });
    counts.report("client to serve, pull");
}

#[test]
fn malformed_words_of_a_client_that_manages_lose_nothing() {
    let counts = Counts::default();
    sample::in_two(|part| {
        let world = World::new(|_| ());
        let snapshot = world.snapshot.clone();
        let session = manage_session(&snapshot);
        let mut cases = behind(&start(&world, "manage"), evil::cases(&session, &|_| ()));
        for (name, evil) in evil::paths() {
            let session = manage_session(&String::from_utf8_lossy(&evil));
            cases.push(Case {
                name: format!("snapshot {name}"),
                bytes: right(&world, "manage", &session),
            });
        }
        all_survived(&world, "manage", &part.of(cases), &counts);
    });
    counts.report("client to serve, manage");
}

fn of_hello(world: &World, purpose: &str, session: &[Message]) -> Vec<Case> {
    let rest = chunks(&frames(session));
    let of = |(name, json): (String, String)| Case {
        name,
        bytes: [hello(&json), rest.clone()].concat(),
    };
    evil::hellos(&client_hello(world, purpose))
        .into_iter()
        .map(of)
        .collect()
}

/// Rules whose inside is evil.
fn of_rules(world: &World) -> Vec<Case> {
    let inside = control(
        1,
        [
            Number(1),
            Bytes(b"f".to_vec()),
            Number(1),
            Number(0),
            Bytes(b"*.o".to_vec()),
            Number(0),
            Number(1),
        ],
    );
    let mut cases = Vec::new();
    for (name, encoded) in evil::insides(&inside.fields[1..]) {
        let part = |bytes: &[u8]| control(1, [Bytes(bytes.to_vec())]).frame();
        let parts: Vec<u8> = encoded.chunks(200 << 10).flat_map(part).collect();
        let frames = [parts, part(&[])].concat();
        cases.push(Case {
            name: format!("rules, {name}"),
            bytes: [start(world, "pull"), chunks(&frames)].concat(),
        });
    }
    cases
}

/// Pushes that are well formed, with the right digest, and ask for what no client may.
fn lies(world: &World) -> Vec<(String, Vec<Message>)> {
    let tree = world.hub_tree();
    let old = |at: &str| tree.get(&path(at)).cloned();
    let new = file(b"evil");
    let outside = world.sandbox.dir("outside").text_path().as_bytes().to_vec();
    let link = |target: &[u8]| Node::Symlink {
        target: target.into(),
        mtime: rsyn::model::Mtime { secs: 1, nanos: 0 },
    };
    let sized = |size: u64| match file(b"evil") {
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
    let none = || vec![Number(0)];
    let sent = || vec![Number(1)];
    let mut lies = Vec::new();
    let mut push = |name: &str, ops: Vec<Vec<Field>>, content: Vec<Message>| {
        lies.push((name.to_owned(), push_of(&ops, content)));
    };
    let evil = || vec![whole(0, b"evil"), whole(1, b"evil")];
    push(
        "a file below a link",
        vec![op("out/x", None, Some(&new), sent())],
        evil(),
    );
    push(
        "a file below a link, over one",
        vec![op(
            "out/secret",
            Some(&file(b"nobody may see this")),
            Some(&new),
            sent(),
        )],
        evil(),
    );
    push(
        "deletes below a link",
        vec![op(
            "out/secret",
            Some(&file(b"nobody may see this")),
            None,
            none(),
        )],
        vec![],
    );
    push(
        "a link and a file below it",
        vec![
            op("p", None, Some(&link(&outside)), none()),
            op("p/x", None, Some(&new), sent()),
        ],
        evil(),
    );
    push(
        "a directory becomes a link, with a file below it",
        vec![
            op("d", old("d").as_ref(), Some(&link(&outside)), none()),
            op("d/n", None, Some(&new), sent()),
        ],
        evil(),
    );
    push(
        "content from below a link",
        vec![op(
            "n",
            None,
            Some(&file(b"nobody may see this")),
            vec![Number(3), Path(b"out/secret".to_vec())],
        )],
        vec![],
    );
    push(
        "a delta against what is below a link",
        vec![op(
            "out/secret",
            None,
            Some(&file(&[b'x'; 20_000])),
            vec![Number(2)],
        )],
        vec![],
    );
    push(
        "twice the same path",
        vec![
            op("n", None, Some(&new), sent()),
            op("n", None, Some(&new), sent()),
        ],
        evil(),
    );
    push(
        "children before parents",
        vec![
            op("e/x", None, Some(&new), sent()),
            op("e", None, Some(&Node::Dir { mode: 0o755.into() }), none()),
        ],
        evil(),
    );
    push(
        "a file where it said nothing was",
        vec![op("f", None, Some(&new), sent())],
        evil(),
    );
    push(
        "another old content",
        vec![op("f", Some(&new), Some(&new), sent())],
        evil(),
    );
    push(
        "nothing to nothing",
        vec![op("zz", None, None, none())],
        vec![],
    );
    push(
        "a file without content",
        vec![op("n", None, Some(&new), none())],
        vec![],
    );
    push(
        "content that is not the told one",
        vec![op("n", None, Some(&new), sent())],
        vec![whole(0, b"live")],
    );
    push(
        "too much content",
        vec![op("n", None, Some(&new), sent())],
        vec![whole(0, b"evil and more")],
    );
    push(
        "too little content",
        vec![op("n", None, Some(&new), sent())],
        vec![whole(0, b"ev")],
    );
    push(
        "no content",
        vec![op("n", None, Some(&new), sent())],
        vec![],
    );
    push(
        "the content of another item",
        vec![op("n", None, Some(&new), sent())],
        vec![whole(7, b"evil")],
    );
    push(
        "the same as itself",
        vec![op("n", None, Some(&new), vec![Number(4), Number(0)])],
        vec![],
    );
    push(
        "the same as none",
        vec![op(
            "n",
            None,
            Some(&new),
            vec![Number(4), Number(u64::from(u32::MAX))],
        )],
        vec![],
    );
    push(
        "something to be skipped",
        vec![op(
            "n",
            None,
            Some(&Node::Skipped(rsyn::model::Skip::Special)),
            none(),
        )],
        vec![],
    );
    push(
        "an empty link",
        vec![op("n", None, Some(&link(b"")), none())],
        vec![],
    );
    push(
        "a link with a NUL",
        vec![op("n", None, Some(&link(b"a\0b")), none())],
        vec![],
    );
    push(
        "a link of 5000 bytes",
        vec![op("n", None, Some(&link(&[b'x'; 5000])), none())],
        vec![],
    );
    for size in [
        0,
        3,
        5,
        1 << 31,
        1 << 40,
        1 << 62,
        (1 << 63) - 1,
        1 << 63,
        u64::MAX,
    ] {
        push(
            &format!("a file that claims {size} bytes"),
            vec![op("n", None, Some(&sized(size)), sent())],
            evil(),
        );
        push(
            &format!("a file that claims {size} bytes, in parts"),
            vec![op("n", None, Some(&sized(size)), sent())],
            vec![
                control(13, [Number(0)]),
                data(DATA, b"evil"),
                control(15, []),
            ],
        );
        push(
            &format!("goes on at {size} bytes"),
            vec![op(
                "n",
                None,
                Some(&new),
                vec![Number(5), Number(size), Number(0)],
            )],
            evil(),
        );
        push(
            &format!("copies {size} bytes"),
            vec![op(
                "big",
                old("big").as_ref(),
                Some(&file(&noise(BIG, 5))),
                vec![Number(5), Number(0), Number(2)],
            )],
            vec![
                control(13, [Number(0)]),
                control(14, [Number(1), Number(size)]),
                control(14, [Number(size), Number(1)]),
                control(15, []),
            ],
        );
    }
    lies
}

#[test]
fn lies_of_a_client_about_its_push_reach_nothing() {
    let world = World::new(|_| ());
    let old = world.hub_tree();
    let mut committed = Vec::new();
    for (name, session) in lies(&world) {
        let seen = ask(&world, &[], &right(&world, "push", &session));
        seen.behaved(&name, MOST_KIB);
        world.is_whole(&name);
        assert!(!answers_hold(&seen, b"nobody may see this"), "{name}");
        if verdict(&seen) == "committed" {
            committed.push(name);
        } else {
            assert!(
                world.hub_tree() == old,
                "{name}: {} and changed the tree",
                verdict(&seen)
            );
        }
        world.reset();
    }
    // These say in odd words what a client may: its own order, or nothing at all.
    println!("committed: {committed:?}");
    let odd = ["children before parents", "nothing to nothing"];
    let strange: Vec<_> = committed
        .iter()
        .filter(|name| !odd.contains(&name.as_str()))
        .collect();
    assert!(strange.is_empty(), "committed: {strange:?}");
}

/// Roots that a key for `served` may not have.
#[test]
fn a_client_that_may_only_read_or_only_some_roots_gets_no_more() {
    let world = World::new(|_| ());
    let top = world.sandbox.dir("");
    top.write("served/own/f", "may be had");
    top.link("served/way", world.hub().text_path());
    let before = (world.hub().touch(), top.dir("served").touch());
    let served = top.dir("served").text_path().to_owned();
    let snapshot = world.snapshot.clone();
    let (push, pull, manage) = (
        push_session(&world),
        pull_session(),
        manage_session(&snapshot),
    );
    let sessions = [
        ("push", &push),
        ("sync", &push),
        ("manage", &manage),
        ("look", &push),
        ("pull", &push),
    ];
    let mut asked = 0;

    for (purpose, session) in sessions {
        let seen = ask(&world, &["--read-only"], &right(&world, purpose, session));
        seen.behaved(purpose, MOST_KIB);
        assert_eq!(verdict(&seen), "refused", "{purpose}: {}", seen.stderr);
        assert!(
            world.hub().touch() == before.0,
            "{purpose} wrote on a hub that is read-only"
        );
        asked += 1;
    }
    let hub = world.hub().text_path().to_owned();
    let roots = [
        hub.clone(),
        format!("{served}/way"),
        format!("{served}/../hub"),
        format!("{served}/own/../../hub"),
        "/".into(),
        "/etc".into(),
        "..".into(),
        ".".into(),
        "~".into(),
        format!("{served}/way/d"),
        format!("{served}-"),
        format!("{served}/way/new/deep"),
        format!("{served}/new/deep"),
        "\0".into(),
        format!("{served}/own\0/x"),
        "x".repeat(5000),
        String::new(),
    ];
    for root in roots {
        for (purpose, session) in [
            ("push", &push),
            ("pull", &pull),
            ("manage", &manage),
            ("look", &pull),
        ] {
            let mut json = client_hello(&world, purpose);
            json["root"] = crate::encoder::hex(root.as_bytes()).into();
            json["create_root"] = true.into();
            let bytes = [hello(&json.to_string()), chunks(&frames(session))].concat();
            let seen = ask(&world, &["--restrict", &served], &bytes);
            let name = format!("{purpose} of {root:?}");
            seen.behaved(&name, MOST_KIB);
            assert_eq!(verdict(&seen), "refused", "{name}");
            assert!(
                !answers_hold(&seen, b"old\n"),
                "{name}: told of another root"
            );
            assert!(
                world.hub().touch() == before.0,
                "{name} wrote to another root"
            );
            assert!(top.dir("served").touch() == before.1, "{name} wrote");
            asked += 1;
        }
    }
    println!("beyond what is allowed: {asked} cases");
}

/// Keeps the trees apart from what the tests of this file call a tree.
#[test]
fn the_hub_of_these_tests_is_what_it_says() {
    let world = World::new(|_| ());
    let tree: Tree = tree_of(&world.hub());
    assert!(
        tree.get(&path("out"))
            .is_some_and(|node| matches!(node, Node::Symlink { .. }))
    );
    assert_eq!(tree.len(), world.hub().tree().len());
}
