//! What is fuzzed: functions that take any bytes and must neither panic nor break a law, with seeds to start from.
//! The default tests run them with a small mutator of their own; `fuzz/` runs the same ones under libFuzzer.

use rsyn::config::{Remote, dotenv, file, size, words};
use rsyn::delta::{Differ, Op, Params, Patcher, Signature, Signer};
use rsyn::disk::{Holder, Lock, Root};
use rsyn::filter::{FileStyle, Rules};
use rsyn::model::{Mode, Mtime, Node, RelPath};
use rsyn::protocol::codec::{CHUNK_HEADER_BYTES, CHUNK_INPUT_BYTES, Decoder, Effort, Encoder};
use rsyn::protocol::handshake::{ClientHello, ServerHello, decode_hello, find_magic};
use rsyn::protocol::message::{Control, Message, OpSource, Want};
use rsyn::protocol::{ProtocolError, frame};
use rsyn::state::index::Index;
use rsyn::state::sealed::{self, Sealed};
use rsyn::state::{Base, Hub, KeptSignature};

/// A target: its name, which is also that of a file in `fuzz/fuzz_targets/`.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "message",
        run: message,
        seeds: message_seeds,
    },
    Target {
        name: "stream",
        run: stream,
        seeds: stream_seeds,
    },
    Target {
        name: "hello",
        run: hello,
        seeds: hello_seeds,
    },
    Target {
        name: "delta",
        run: delta,
        seeds: delta_seeds,
    },
    Target {
        name: "signature",
        run: signature,
        seeds: delta_seeds,
    },
    Target {
        name: "filter",
        run: filter,
        seeds: filter_seeds,
    },
    Target {
        name: "rules",
        run: rules,
        seeds: rules_seeds,
    },
    Target {
        name: "state",
        run: state,
        seeds: state_seeds,
    },
    Target {
        name: "journal",
        run: journal,
        seeds: journal_seeds,
    },
    Target {
        name: "config",
        run: config,
        seeds: config_seeds,
    },
];

/// Messages that decode are encoded to what decodes to them again, and a message never takes more than it has.
pub fn message(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some((message, len))) = frame::decode(rest) {
        assert!((frame::HEADER_BYTES..=rest.len()).contains(&len));
        let mut again = Vec::new();
        frame::encode(&message, &mut again).unwrap();
        assert_eq!(frame::decode(&again), Ok(Some((message, again.len()))));
        rest = &rest[len..];
    }
}

fn path(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).unwrap()
}

fn file_node() -> Node {
    Node::File {
        size: 5,
        digest: rsyn::model::Digest::of(b"hello"),
        mode: Mode::from(0o644),
        mtime: Mtime {
            secs: 1_700_000_000,
            nanos: 3,
        },
    }
}

fn messages() -> Vec<Message> {
    let digest = rsyn::model::Digest::of(b"x");
    let op = rsyn::protocol::message::Op {
        path: path("d/f"),
        old: Some(file_node()),
        new: None,
        source: OpSource::Yours(path("g")),
    };
    vec![
        Control::KeepAlive.into(),
        Control::Rules(vec![0, 0]).into(),
        Control::Entries(vec![(path("a"), None), (path("b/c"), Some(file_node()))]).into(),
        Control::ViewEnd {
            generation: 300,
            view: digest,
            tombstones: digest,
            new_tombstones: true,
        }
        .into(),
        Control::Want(vec![Want {
            id: 300,
            path: path("a"),
            skip_bytes: 1 << 40,
            delta: true,
        }])
        .into(),
        Control::Signature {
            id: 1,
            basis_bytes: 100_000,
            block_bytes: 2048,
            strong_bytes: 5,
            key: [7; 32],
        }
        .into(),
        Control::Ops(vec![op]).into(),
        Control::Copy {
            offset: 4096,
            len: 2048,
        }
        .into(),
        Control::Commit {
            plan: digest,
            snapshot: true,
            label: "l".into(),
        }
        .into(),
        Control::Stale(vec![path("a/b")]).into(),
        Control::Remains(vec![(digest, 9)]).into(),
        Control::Unnamed(300).into(),
        Control::Kept(vec![digest]).into(),
        Control::Bases(vec![(7, digest)]).into(),
        Control::Staying(vec![path("a/b")]).into(),
        Control::Notes(vec!["n".into()]).into(),
        Control::Bye.into(),
        Message::Whole {
            id: 7,
            content: b"hello".to_vec(),
        },
        Message::Data(b"abc".to_vec()),
        Message::SignatureData(vec![1; 20]),
    ]
}

fn encoded(messages: &[Message]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        frame::encode(message, &mut bytes).unwrap();
    }
    bytes
}

fn message_seeds() -> Vec<Vec<u8>> {
    let all = messages();
    let mut seeds: Vec<_> = all
        .iter()
        .map(|one| encoded(std::slice::from_ref(one)))
        .collect();
    seeds.push(encoded(&all));
    seeds
}

/// Most bytes that a target unfolds.
const UNFOLDED: usize = 16 << 20;

/// Chunks decode in pieces of bounded size, whatever they unfold to.
pub fn stream(bytes: &[u8]) {
    let (mut rest, mut decoder, mut unfolded) = (bytes, Decoder::new(), 0);
    while let Some((header, after)) = rest.split_first_chunk::<CHUNK_HEADER_BYTES>() {
        let Ok((len, coding)) = Decoder::header(*header) else {
            return;
        };
        let Some(payload) = after.get(..len) else {
            return;
        };
        let mut sink = |piece: &[u8]| {
            assert!(piece.len() <= len.max(128 << 10));
            unfolded += piece.len();
            message(piece);
            match unfolded <= UNFOLDED {
                true => Ok(()),
                false => Err(ProtocolError::Compression),
            }
        };
        if decoder.chunk(coding, payload, &mut sink).is_err() {
            return;
        }
        rest = &after[len..];
    }
}

fn stream_seeds() -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new();
    let input = encoded(&messages());
    let (mut both, mut bomb) = (Vec::new(), Vec::new());
    for effort in [Some(Effort::Quick), None, Some(Effort::Firm)] {
        encoder.chunk(&input, effort, &mut both).unwrap();
    }
    Encoder::new()
        .chunk(&vec![0; CHUNK_INPUT_BYTES], Some(Effort::Quick), &mut bomb)
        .unwrap();
    vec![both, bomb]
}

/// Hellos behind noise.
pub fn hello(bytes: &[u8]) {
    if let Some(end) = find_magic(bytes) {
        assert!(end <= bytes.len());
    }
    look_at(decode_hello::<ClientHello>(bytes));
    look_at(decode_hello::<ServerHello>(bytes));
}

fn hello_seeds() -> Vec<Vec<u8>> {
    let client = r#"{"protocol":{"min":1,"max":1},"root":"2f73","machine_id":"x","purpose":"pull","seen":null}"#;
    let server = r#"{"protocol":{"min":1,"max":1},"root_id":"0","clock_ms":5,"refusal":{"kind":"busy","message":"","hint":""}}"#;
    [client, server, "Welcome\nRSYN\0\x01"]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
}

/// Takes numbers off the front of an input.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        let bytes = self.take(8);
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Whatever parameters a peer chose: a signature of the basis, searched in new content, rebuilds that content.
/// Operations of a peer pass the gate only if they stay within basis and output.
pub fn delta(bytes: &[u8]) {
    let mut input = Input(bytes);
    let params = Params {
        block_bytes: 1 + u32::from(input.byte()),
        strong_bytes: 4 + input.byte() % 13,
        key: [input.byte(); 32],
    };
    let basis_len = usize::from(input.byte()) * 8;
    let basis = input.take(basis_len);
    let made = input.byte();
    rebuild(&params, basis, input.0);
    let mut gate = Patcher::new(basis.len() as u64, u64::from(made));
    let mut sum = 0_u64;
    while !input.0.is_empty() {
        let (offset, len) = (input.number(), input.number());
        if gate.accept(&Op::Copy { offset, len }).is_ok() {
            assert!(offset.checked_add(len).unwrap() <= basis.len() as u64);
            sum += len;
        }
    }
    assert!(sum <= u64::from(made));
    assert_eq!(gate.finish().is_ok(), sum == u64::from(made));
}

fn rebuild(params: &Params, basis: &[u8], new: &[u8]) {
    let (mut signer, mut encoded) = (Signer::new(params), Vec::new());
    signer.update(basis, &mut encoded);
    signer.finish(&mut encoded);
    let signature = Signature::parse(*params, basis.len() as u64, encoded).unwrap();
    let mut gate = Patcher::new(basis.len() as u64, new.len() as u64);
    let mut rebuilt = Vec::new();
    let mut sink = |op: Op<'_>| {
        gate.accept(&op).unwrap();
        match op {
            Op::Copy { offset, len } => {
                let start = usize::try_from(offset).unwrap();
                rebuilt.extend_from_slice(&basis[start..start + usize::try_from(len).unwrap()]);
            }
            Op::Literal(bytes) => rebuilt.extend_from_slice(bytes),
        }
        Ok::<(), std::convert::Infallible>(())
    };
    let mut differ = Differ::new(&signature);
    for piece in new.chunks(97) {
        differ.update(piece, &mut sink).unwrap();
    }
    differ.finish(&mut sink).unwrap();
    // With as few strong bytes as four a copy may be wrong; the program compares the digest of the whole.
    assert!(rebuilt.len() == new.len() && (params.strong_bytes < 8 || rebuilt == new));
}

fn delta_seeds() -> Vec<Vec<u8>> {
    let basis: Vec<u8> = (0..800_u32).map(|n| (n * n / 7) as u8).collect();
    let head = |block: u8| [&[block, 4, 9, 100][..], &basis, &[50]].concat();
    vec![
        [head(63), basis[100..].to_vec()].concat(),
        [head(15), basis[400..].to_vec(), basis[..300].to_vec()].concat(),
        [head(0), vec![0; 600]].concat(),
        [
            head(200),
            0_u64.to_be_bytes().to_vec(),
            50_u64.to_be_bytes().to_vec(),
        ]
        .concat(),
    ]
}

/// The signature of a peer, in which nothing need be true, yields only operations within its basis.
pub fn signature(bytes: &[u8]) {
    let mut input = Input(bytes);
    let params = Params {
        block_bytes: match input.byte() {
            0 => input.number() as u32,
            small => u32::from(small),
        },
        strong_bytes: input.byte(),
        key: [input.byte(); 32],
    };
    let basis_bytes = match input.byte() {
        0 => input.number(),
        small => u64::from(small),
    };
    if params.check(basis_bytes).is_err() {
        return;
    }
    let wanted = params.signature_bytes(basis_bytes);
    let Some(len) = usize::try_from(wanted)
        .ok()
        .filter(|len| *len <= input.0.len())
    else {
        assert!(Signature::parse(params, basis_bytes, input.0.to_vec()).is_err());
        return;
    };
    let signature = Signature::parse(params, basis_bytes, input.take(len).to_vec()).unwrap();
    let mut gate = Patcher::new(basis_bytes, u64::MAX);
    let mut made = 0_u64;
    let mut sink = |op: Op<'_>| {
        gate.accept(&op).unwrap();
        made += match op {
            Op::Copy { len, .. } => len,
            Op::Literal(bytes) => bytes.len() as u64,
        };
        Ok::<(), std::convert::Infallible>(())
    };
    let mut differ = Differ::new(&signature);
    differ.update(input.0, &mut sink).unwrap();
    differ.finish(&mut sink).unwrap();
    assert_eq!(made, input.0.len() as u64);
}

/// Text of an exclude file, and paths behind a NUL: the list survives the wire with the same verdicts, in time.
pub fn filter(bytes: &[u8]) {
    let (text, paths) = bytes.split_at(
        bytes
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(bytes.len()),
    );
    let mut rules = Rules::new();
    if rules.add_file(text, "file", FileStyle::EXCLUDE).is_err() {
        return;
    }
    look_at(rules.warnings());
    let again = Rules::decode(&rules.encode()).unwrap();
    assert_eq!(again.digest(), rules.digest());
    for path in paths
        .split(|byte| *byte == 0)
        .filter_map(|path| RelPath::new(path).ok())
        .take(20)
    {
        for is_dir in [false, true] {
            let verdict = rules.verdict(path.as_bytes(), is_dir);
            assert_eq!(
                verdict.included,
                again.verdict(path.as_bytes(), is_dir).included
            );
            let decision = rules.decide(&path, is_dir);
            assert!(path == decision.path || path.is_below(&decision.path));
        }
    }
}

fn filter_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "*.o\n/build/\n+ keep.o\n- **/tmp/***\0a.o\0build/x\0a/tmp/b",
        "[a-z]?*\n[[:alpha:]]*[!x-]\n\\[x\n***/a**b\0abc\0a/b\0[x",
        "# note\n; note\n/\n//\n**\n!\n+ \n- \n.rsyn\n\0.git/x",
        "**a**a**a**a**b\n*a*a*a*a*b\n\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\0a/a/a/a/a/a",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// Rules of a peer: what decodes is encoded to what decodes to the same.
pub fn rules(bytes: &[u8]) {
    if let Ok(rules) = Rules::decode(bytes) {
        let again = Rules::decode(&rules.encode()).unwrap();
        assert_eq!(again.digest(), rules.digest());
        for path in ["a", "a/b.o", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            look_at(rules.verdict(path.as_bytes(), false).included);
        }
    }
}

fn rules_seeds() -> Vec<Vec<u8>> {
    let encode = |seed: Vec<u8>| {
        let mut rules = Rules::new();
        let text = seed.split(|byte| *byte == 0).next().unwrap().to_vec();
        rules
            .add_file(&text, "file", FileStyle::EXCLUDE)
            .ok()
            .map(|()| rules.encode())
    };
    filter_seeds().into_iter().filter_map(encode).collect()
}

/// A state file of this type with this inside, its digest made right: only what would pass it can mislead.
fn resealed<T: Sealed>(inside: &[u8]) -> Vec<u8> {
    let content = [b"rsynstat", &T::KIND[..], &T::VERSION.to_le_bytes(), inside].concat();
    let digest = blake3::hash(&content);
    [&content[..], digest.as_bytes()].concat()
}

fn open<T: Sealed>(inside: &[u8]) -> Option<T> {
    sealed::open(&resealed::<T>(inside), "file").ok()
}

/// State files whose digest is right and whose inside is anything.
pub fn state(bytes: &[u8]) {
    if let Some(base) = open::<Base>(bytes) {
        let none = rsyn::model::Tree::default();
        let agreed = base.agreed(&none);
        look_at((
            agreed.map(|agreed| base.remote(&agreed)).ok(),
            base.tombstones().len(),
            base.seen(),
            base.rules(),
        ));
    }
    if let Some(mut hub) = open::<Hub>(bytes) {
        let none = rsyn::model::Tree::default();
        let tree = hub.view(rsyn::model::Digest::of(b""), &none);
        look_at(hub.expire(i64::MAX, 1));
        look_at(
            hub.observe(
                rsyn::model::Digest::of(b"r"),
                &tree.unwrap_or(none),
                i64::MIN,
            )
            .ok(),
        );
        look_at(hub.generation());
    }
    look_at(open::<Index>(bytes).map(|index| index.files()));
    look_at(open::<KeptSignature>(bytes));
    // As it is on the disk, the digest decides.
    assert!(sealed::open::<Base>(bytes, "file").is_err() || bytes.starts_with(b"rsynstat"));
}

fn inside_of<T: Sealed>(value: &T) -> Vec<u8> {
    let mut sealed = Vec::new();
    let write = |block: &[u8]| {
        sealed.extend_from_slice(block);
        Ok(())
    };
    sealed::seal(value, "file", write).unwrap();
    sealed[16..sealed.len() - 32].to_vec()
}

fn state_seeds() -> Vec<Vec<u8>> {
    let mut hub = Hub::default();
    let digest = rsyn::model::Digest::of(b"r");
    let entry = rsyn::model::Entry {
        path: path("a"),
        node: file_node(),
    };
    let tree = rsyn::model::Tree::from_unsorted(vec![entry]);
    hub.observe(digest, &tree, 5).unwrap();
    hub.observe(digest, &rsyn::model::Tree::default(), 6)
        .unwrap();
    let kept = KeptSignature {
        digest,
        basis_bytes: 3,
        block_bytes: 2,
        strong_bytes: 5,
        key: [7; 32],
        blocks: vec![1; 20],
    };
    // A base: sequence, root (inode, birth), its state (inode, no birth), hub, transaction, time, no rules, nothing seen, digest of one entry,
    // its bytes, no changes, no tombstones.
    let id = [&[32][..], &[b'0'; 32]].concat();
    let entry = postcard::to_stdvec(&tree).unwrap();
    let packed = [&[u8::try_from(entry.len()).unwrap()][..], &entry].concat();
    let base = [
        &[1][..],
        &[9, 1, 10, 0, 8, 0],
        &id,
        &[1, b't', 10],
        &[2, 0, 0],
        &[0],
        &tree.view_digest().0,
        &packed,
        &[0, 0],
    ]
    .concat();
    assert!(open::<Base>(&base).is_some());
    vec![inside_of(&hub), inside_of(&kept), base]
}

/// The journal of an interrupted transaction with right digests and any inside, and a snapshot with the same.
/// Recovery ends; what lies outside of the root stays.
pub fn journal(bytes: &[u8]) {
    let mut input = Input(bytes);
    let markers = input.byte();
    let head_len = usize::from(input.byte());
    let head = input.take(head_len);
    let temp = tempfile::tempdir().unwrap();
    let (top, outside) = (temp.path().join("root"), temp.path().join("outside"));
    for dir in [&top, &outside] {
        std::fs::create_dir(dir).unwrap();
        std::fs::write(dir.join("f"), "f").unwrap();
    }
    std::os::unix::fs::symlink(&outside, top.join("out")).unwrap();
    let plan = sealed_plan(head, input.0);
    for place in ["txn", "snap"] {
        let home = top.join(".rsyn").join(place).join("0123456789abcdef");
        std::fs::create_dir_all(home.join("new")).unwrap();
        std::fs::create_dir_all(home.join("old")).unwrap();
        std::fs::write(home.join("plan"), &plan).unwrap();
        std::fs::write(home.join("new/0"), "0").unwrap();
        for (bit, name) in ["PREPARED", "COMMITTED"].iter().enumerate() {
            if markers >> bit & 1 == 1 {
                std::fs::write(home.join(name), "").unwrap();
            }
        }
    }
    let root = Root::open(&top).unwrap();
    look_at(rsyn::transaction::pending(&root));
    look_at(rsyn::transaction::snapshots(&root));
    let holder = Holder {
        pid: 1,
        machine: String::new(),
        verb: String::new(),
        since: 0,
    };
    let lock = Lock::exclusive(&rsyn::transaction::state_dir(&root).unwrap(), &holder).unwrap();
    look_at(rsyn::transaction::recover(&root, &lock, &mut |_, _| Ok(())));
    look_at(rsyn::transaction::snapshots(&root));
    assert_eq!(std::fs::read(outside.join("f")).unwrap(), b"f");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
}

fn sealed_plan(head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut plan = [
        b"rsynplan",
        &1_u32.to_le_bytes()[..],
        &(head.len() as u32).to_le_bytes(),
        head,
    ]
    .concat();
    plan.extend_from_slice(blake3::hash(&plan).as_bytes());
    plan.extend_from_slice(&(body.len() as u64).to_le_bytes());
    plan.extend_from_slice(body);
    plan.extend_from_slice(blake3::hash(&plan).as_bytes());
    plan
}

fn journal_seeds() -> Vec<Vec<u8>> {
    // id, sequence, label (verb, peer, machine, when), changes, bytes, kept, consumes nothing.
    let id = [&[16][..], b"0123456789abcdef"].concat();
    let head = [&id[..], &[1, 0, 0, 0, 0, 1, 0, 1, 0]].concat();
    let digest = blake3::hash(b"0");
    // One change: `n` becomes a file from slot 0; one step that places it; no payload.
    let node = [&[0, 1][..], digest.as_bytes(), &[0xa4, 3, 2, 0]].concat();
    let body = [&[1, 1, b'n', 0, 1][..], &node, &[0], &[1, 0, 0], &[0]].concat();
    let empty = [0, 0, 0];
    let of = |markers: u8, body: &[u8]| [&[markers, head.len() as u8][..], &head, body].concat();
    vec![
        of(1, &body),
        of(3, &body),
        of(1, &empty),
        of(3, &empty),
        of(0, &body),
    ]
}

/// What people write: remotes, settings, words.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(Remote::Ssh { host, .. }) = text.parse() {
        let destination = host.destination();
        assert!(!destination.starts_with('-') && !destination.is_empty());
        assert!(
            !destination.chars().any(|c| c.is_control() || c == ' '),
            "{destination:?}"
        );
    }
    for travels in [false, true] {
        look_at(file::parse(&text, "rsyn.toml", travels));
    }
    look_at(dotenv::parse(&text));
    look_at(size::parse_rate(&text));
    look_at(words::split(&text));
}

fn config_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "user@host:path",
        "ssh://user@[::1]:22/~/p%20q",
        "-oProxyCommand=x:/p",
        "/srv/p",
        "remote = \"h:p\"\noptions = \"-v --exclude 'a b'\"\n[remotes]\nx = \"y:z\"\n",
        "export RSYN_REMOTE=\"a b\" # c\nX='y'\nRSYN_OPTIONS=-v\\ x\n",
        "1.5MiB",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// For values that only had to come into being.
fn look_at<T>(_: T) {}
