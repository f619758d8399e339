//! Clients that break the protocol, against `rsyn serve --stdio`: refused in words, the hub as it was or, where
//! what they ask is a push like any other, with all that was there still there.

use std::collections::BTreeSet;

use rsyn::model::{Node, Tree};
use rsyn::protocol::codec::{CHUNK_HEADER_BYTES, Decoder};
use rsyn::protocol::frame as library;
use rsyn::protocol::message::{Control, Message as Answer};

use crate::encoder::Field::{self, Bytes, Number, Raw};
use crate::encoder::{Message, chunks, control, hello};
use crate::evil::{self, Case};
use crate::hubs::Counts;
use crate::sessions::{
    manage_session, op, ops_message, plan_digest, pull_session, push_session, rules,
};
use crate::support::Dir;
use crate::watch::{Seen, fed, watch};
use crate::world::{World, client_hello, file, path, tree_of};
use crate::{MOST_KIB, sample};

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
pub fn verdict(seen: &Seen) -> &'static str {
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

pub fn ask(world: &World, args: &[&str], bytes: &[u8]) -> Seen {
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

pub fn answers_hold(seen: &Seen, secret: &[u8]) -> bool {
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

pub fn right(world: &World, purpose: &str, session: &[Message]) -> Vec<u8> {
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
