//! Sessions of a client as the small encoder makes them: a push, a pull, and what people ask of a hub.

use rsyn::delta::{Params, Signer};
use rsyn::model::Node;

use crate::encoder::Field::{self, Bytes, Number, Path, Raw};
use crate::encoder::{DATA, Message, SIGNATURE_DATA, control, data, whole};
use crate::support::noise;
use crate::world::{BIG, World, file, node_fields, path};

/// The key of the digest of a plan, in words of `docs/protocol.md`: the postcard of each op.
pub fn plan_digest(ops: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("rsyn 2026 plan digest v1");
    hasher.update(ops);
    *hasher.finalize().as_bytes()
}

/// One op: where, what was, what will be, and the fields of its source.
pub fn op(at: &str, old: Option<&Node>, new: Option<&Node>, source: Vec<Field>) -> Vec<Field> {
    [
        vec![Path(at.as_bytes().to_vec())],
        node_fields(old),
        node_fields(new),
        source,
    ]
    .concat()
}

pub fn ops_message(ops: &[Vec<Field>]) -> Message {
    control(
        11,
        std::iter::once(Number(ops.len() as u64)).chain(ops.concat()),
    )
}

/// Rules that take nothing out, and their end.
pub fn rules() -> [Message; 2] {
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
pub fn push_of(ops: &[Vec<Field>], content: Vec<Message>) -> Vec<Message> {
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

pub fn push_session(world: &World) -> Vec<Message> {
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
pub fn pull_session() -> Vec<Message> {
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
pub fn manage_session(snapshot: &str) -> Vec<Message> {
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
