//! Pushes that are well formed and ask for what no client may.

use rsyn::model::Node;

use crate::MOST_KIB;
use crate::clients::{answers_hold, ask, right, verdict};
use crate::encoder::Field::{self, Number, Path};
use crate::encoder::{DATA, Message, control, data, whole};
use crate::sessions::{op, push_of};
use crate::support::noise;
use crate::world::{BIG, World, file, path};

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
