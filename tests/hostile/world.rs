//! A machine and its hub in step, with a directory outside of both that nobody may touch, and what a hostile
//! peer says about them.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use rsyn::disk::Root;
use rsyn::model::{Entry, Kind, Node, RelPath, Tombstone, Tombstones, Tree};
use rsyn::state::hub::tombstones_digest;

use crate::encoder::Field::{self, Bytes, Number, Path, Raw};
use crate::encoder::{Message, control, zigzag};
use crate::support::{Dir, Machine, Sandbox, Touch, noise};

/// Length of the file that travels as a delta.
pub const BIG: usize = 300_000;

/// A generation that comes after all that the real hub of these tests had.
pub const GENERATION: u64 = 1 << 40;

/// See the head of this file.
pub struct World {
    pub sandbox: Sandbox,
    pub a: Machine,
    /// The hub's newest snapshot: undoing it takes `d/z` away.
    pub snapshot: String,
    outside: Touch,
}

/// The name of `remote` in a project, and a command in place of ssh that starts the real hub.
const REAL_HUB: &str = "for last; do :; done\nexec sh -c \"$last\"\n";
/// Says what a file holds, then listens to the end.
const CANNED_HUB: &str = "cat \"$RSYN_TEST_WORDS\"\nexec >&-\nexec cat >/dev/null\n";

impl World {
    /// In step; then `edit` is done to the machine, and kept for [`World::reset`].
    pub fn new(edit: impl Fn(&Machine)) -> Self {
        let sandbox = Sandbox::new();
        let scripts = sandbox.dir("scripts");
        scripts.write("real", REAL_HUB);
        scripts.write("canned", CANNED_HUB);
        let outside = sandbox.dir("outside");
        outside.write("secret", "nobody may see this");
        let a = sandbox.machine("a");
        a.write(
            "rsyn.toml",
            format!("remote = \"hub:{}\"\n", sandbox.hub().text_path()),
        );
        a.write("f", "old\n");
        a.write("big", noise(BIG, 1));
        a.write("d/x", "x");
        a.write("d/y", "y");
        a.link("out", outside.text_path());
        let real = format!("sh {}", scripts.at("real").display());
        a.ok(&["push", "-e", &real]);
        let first = sandbox.hub().names(".rsyn/snap");
        a.write("d/z", "z");
        a.ok(&["push", "-e", &real]);
        let all = sandbox.hub().names(".rsyn/snap");
        let snapshot = all.into_iter().find(|id| !first.contains(id)).unwrap();
        edit(&a);
        let world = Self {
            outside: outside.touch(),
            sandbox,
            a,
            snapshot,
        };
        for name in ["a", "hub"] {
            world.copy(name, &format!("kept-{name}"));
        }
        world
    }

    fn copy(&self, from: &str, to: &str) {
        let done = Command::new("cp")
            .arg("-a")
            .args([self.sandbox.dir(from).0, self.sandbox.dir(to).0])
            .status();
        assert!(done.unwrap().success());
    }

    /// Everything as it was when the world was made.
    pub fn reset(&self) {
        for name in ["a", "hub"] {
            self.sandbox.dir("").remove(name);
            self.copy(&format!("kept-{name}"), name);
        }
    }

    pub fn hub(&self) -> Dir {
        self.sandbox.hub()
    }

    /// A place for what belongs to neither side.
    pub fn scratch(&self) -> PathBuf {
        self.sandbox.dir("scripts").0
    }

    /// `rsyn` here, with a hub that says `words` and nothing else.
    pub fn with_hub(&self, args: &[&str], words: &[u8]) -> Command {
        let file = self.scratch().join("words");
        std::fs::write(&file, words).unwrap();
        let canned = format!("sh {}", self.scratch().join("canned").display());
        let args = [args, &["--timeout", "4", "-e", &canned]].concat();
        let mut command = self.a.command(&args);
        command.env("RSYN_TEST_WORDS", file);
        command
    }

    /// `rsyn serve --stdio` on the hub.
    pub fn serve(&self, args: &[&str]) -> Command {
        self.a.command_in(
            &self.sandbox.dir("").0,
            &[&["serve", "--stdio"], args].concat(),
        )
    }

    /// Nothing outside of the roots was touched, and nothing half done is left in either.
    #[track_caller]
    pub fn is_whole(&self, case: &str) {
        assert!(
            self.sandbox.dir("outside").touch() == self.outside,
            "outside was touched: {case}"
        );
        for root in [&*self.a, &self.hub()] {
            let txn = root.dir(".rsyn/txn");
            let left = if txn.0.exists() {
                txn.names("")
            } else {
                vec![]
            };
            assert!(
                left.is_empty(),
                "{case} left {left:?} in {}",
                txn.0.display()
            );
        }
    }

    /// The id of the hub's root.
    pub fn hub_id(&self) -> String {
        self.hub().text(".rsyn/id").trim().to_owned()
    }

    /// The tree of the hub, as a hub tells it.
    pub fn hub_tree(&self) -> Tree {
        tree_of(&self.hub())
    }
}

/// What stands in a directory, by the library's own words.
pub fn tree_of(dir: &Dir) -> Tree {
    // Opening proves that it is a root.
    Root::open(&dir.0).unwrap();
    let mut entries = Vec::new();
    for path in dir.tree().keys() {
        entries.push(Entry {
            path: RelPath::new(path.clone()).unwrap(),
            node: node_at(dir, path),
        });
    }
    Tree::from_unsorted(entries)
}

fn node_at(dir: &Dir, path: &[u8]) -> Node {
    use std::os::unix::ffi::OsStrExt;
    let meta = std::fs::symlink_metadata(dir.at(path)).unwrap();
    let mode = u16::try_from(meta.mode() & 0o777).unwrap().into();
    let mtime = rsyn::model::Mtime {
        secs: meta.mtime(),
        nanos: u32::try_from(meta.mtime_nsec()).unwrap(),
    };
    if meta.is_dir() {
        return Node::Dir { mode };
    }
    if meta.is_symlink() {
        let target = std::fs::read_link(dir.at(path)).unwrap();
        return Node::Symlink {
            target: target.as_os_str().as_bytes().into(),
            mtime,
        };
    }
    let content = dir.read(path);
    Node::File {
        size: content.len() as u64,
        digest: rsyn::model::Digest::of(&content),
        mode,
        mtime,
    }
}

/// A file of this content.
pub fn file(content: &[u8]) -> Node {
    Node::File {
        size: content.len() as u64,
        digest: rsyn::model::Digest::of(content),
        mode: 0o644.into(),
        mtime: rsyn::model::Mtime {
            secs: 1_700_000_000,
            nanos: 5,
        },
    }
}

pub fn path(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).unwrap()
}

/// `some node` or none, as fields.
pub fn node_fields(node: Option<&Node>) -> Vec<Field> {
    let Some(node) = node else {
        return vec![Number(0)];
    };
    let mut fields = vec![Number(1)];
    match node {
        Node::File {
            size,
            digest,
            mode,
            mtime,
        } => fields.extend([
            Number(0),
            Number(*size),
            Raw(digest.0.to_vec()),
            Number(mode.bits().into()),
            Number(zigzag(mtime.secs)),
            Number(mtime.nanos.into()),
        ]),
        Node::Dir { mode } => fields.extend([Number(1), Number(mode.bits().into())]),
        Node::Symlink { target, mtime } => fields.extend([
            Number(2),
            Bytes(target.to_vec()),
            Number(zigzag(mtime.secs)),
            Number(mtime.nanos.into()),
        ]),
        Node::Skipped(_) => fields.extend([Number(3), Number(1)]),
    }
    fields
}

/// The messages of a whole view that tells of `tree`.
pub fn view(tree: &Tree) -> Vec<Message> {
    let mut entries = vec![Number(tree.len() as u64)];
    for entry in tree.entries() {
        entries.push(Path(entry.path.as_bytes().to_vec()));
        entries.extend(node_fields(Some(&entry.node)));
    }
    let gone = Tombstone {
        kind: Kind::File,
        digest: Some(rsyn::model::Digest::of(b"gone")),
        machine: "m".to_owned(),
        when_secs: 5,
    };
    let digest = gone.digest.unwrap();
    let tombstones: Tombstones = [(path("gone"), gone)].into_iter().collect();
    vec![
        control(3, [Number(2)]),
        control(4, entries),
        control(
            5,
            [
                Number(1),
                Path(b"gone".to_vec()),
                Number(0),
                Number(1),
                Raw(digest.0.to_vec()),
                Bytes(b"m".to_vec()),
                Number(zigzag(5)),
            ],
        ),
        control(
            6,
            [
                Number(1),
                Bytes(b"a fifo".to_vec()),
                Number(1),
                Bytes(b"words".to_vec()),
            ],
        ),
        control(
            7,
            [
                Number(GENERATION),
                Raw(tree.view_digest().0.to_vec()),
                Raw(tombstones_digest(&tombstones).0.to_vec()),
                Number(1),
            ],
        ),
    ]
}

/// The Hello of a hub, as JSON.
pub fn server_hello(world: &World) -> serde_json::Value {
    serde_json::json!({
        "protocol": {"min": 1, "max": 1}, "features": ["zstd", "generations", "ahead", "unnamed"], "version": "0.1.0",
        "root_id": world.hub_id(), "machine": "hub", "platform": "linux-x86_64", "clock_ms": 1_700_000_000_000_u64,
        "root_exists": true, "writable": true, "case_sensitive": true, "free_bytes": 1_000_000_000_u64,
        "recovered": null, "recovery_pending": false, "refusal": null,
    })
}

/// The Hello of a client for this purpose, as JSON.
pub fn client_hello(world: &World, purpose: &str) -> serde_json::Value {
    serde_json::json!({
        "protocol": {"min": 1, "max": 1}, "features": ["zstd", "generations", "ahead", "unnamed"], "version": "0.1.0",
        "root": crate::encoder::hex(world.hub().text_path().as_bytes()), "expected_root_id": world.hub_id(),
        "machine_id": "0123", "machine": "evil", "purpose": purpose, "own_rules": false, "checksum": false,
        "create_root": false, "seen": null, "bytes_per_second": 0, "compress": false,
    })
}
