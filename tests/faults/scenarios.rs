//! What is struck: every verb that writes, on the side that writes, and each kind of change.

use rsyn::disk::{Holder, Lock, Root};
use rsyn::model::{Digest, Mode, Mtime, Node, RelPath};
use rsyn::transaction::{Change, Expected, Label, NewNode, Request, Staging, commit, state_dir};

use crate::edits::{Rows, edit, kinds, many, mixed};
use crate::world::{Side, World};

/// How the same is asked for once more after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// The same command, whatever came of it.
    Same,
    /// The same command, if nothing came of it.
    UnlessDone,
}

/// One command in one world.
pub struct Scenario {
    pub name: String,
    /// Makes the world.
    pub build: Box<dyn Fn(&World) + Send + Sync>,
    /// Done each time after the world was put back.
    pub then: fn(&World),
    pub args: &'static [&'static str],
    /// Whether it runs above the roots.
    pub outside: bool,
    pub side: Side,
    pub again: Again,
    /// Whether files are made with the time of the run, each by itself: then each is old or new.
    pub makes_files: bool,
}

impl Scenario {
    fn new(
        name: impl Into<String>,
        args: &'static [&'static str],
        side: Side,
        build: impl Fn(&World) + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            build: Box::new(build),
            then: |_| (),
            args,
            outside: false,
            side,
            again: Again::Same,
            makes_files: false,
        }
    }

    fn once(mut self) -> Self {
        self.again = Again::UnlessDone;
        self
    }
}

/// `a` and the hub agree on `rows`.
fn agreed(world: &World, rows: &Rows) {
    let a = world.project("a");
    edit(&a, &Rows::new(), rows);
    a.ok(&["push", "-q"]);
}

fn pull_of(old: Rows, new: Rows) -> impl Fn(&World) + Send + Sync {
    move |world| {
        agreed(world, &old);
        edit(&world.sandbox.hub(), &old, &new);
    }
}

fn push_of(old: Rows, new: Rows) -> impl Fn(&World) + Send + Sync {
    move |world| {
        agreed(world, &old);
        edit(&world.sandbox.dir("a"), &old, &new);
    }
}

fn done(make: impl Fn(&World), args: &'static [&'static str]) -> impl Fn(&World) {
    move |world| {
        make(world);
        world.machine("a").ok(args);
    }
}

fn pulled(world: &World) {
    done(pull_of(mixed().0, mixed().1), &["pull", "-q"])(world);
}

fn pushed(world: &World) {
    done(push_of(mixed().0, mixed().1), &["push", "-q"])(world);
}

/// The verbs, with all kinds of changes at once.
pub fn verbs() -> Vec<Scenario> {
    let (old, new) = mixed();
    let pull = || pull_of(mixed().0, mixed().1);
    let push = || push_of(mixed().0, mixed().1);
    let mut clone = Scenario::new(
        "clone",
        &["clone", "-q", "hub:hub", "b"],
        Side::Client,
        pushed,
    )
    .once();
    clone.outside = true;
    clone.args = &["clone", "-q", "hub", "b"];
    let mut init = Scenario::new(
        "init",
        &["init", "-C", "b", "hub:/nowhere"],
        Side::Client,
        |world| {
            world.machine("b");
            world.machine("a").mkdir("");
        },
    )
    .once();
    init.outside = true;
    init.makes_files = true;
    let mut verify = Scenario::new(
        "verify --repair",
        &["verify", "--repair"],
        Side::Client,
        pulled,
    );
    verify.then = rot;
    vec![
        Scenario::new("pull", &["pull"], Side::Client, pull()),
        Scenario::new("pull, hub struck", &["pull"], Side::Hub, pull()),
        Scenario::new("push", &["push"], Side::Hub, push()),
        Scenario::new("push, client struck", &["push"], Side::Client, push()),
        Scenario::new("first push", &["push"], Side::Hub, first_push),
        Scenario::new(
            "first push, client struck",
            &["push"],
            Side::Client,
            first_push,
        ),
        Scenario::new("sync", &["sync"], Side::Client, both_ways(old, new)),
        Scenario::new("base alone", &["pull"], Side::Client, equal_edits),
        Scenario::new("rollback", &["rollback", "-y"], Side::Client, pulled).once(),
        Scenario::new(
            "rollback of the hub",
            &["rollback", "--remote", "-y"],
            Side::Hub,
            pushed,
        )
        .once(),
        Scenario::new(
            "restore",
            &["restore", "docs/old"],
            Side::Client,
            restorable,
        )
        .once(),
        Scenario::new("prune", &["pull"], Side::Client, prunable),
        verify,
        clone,
        init,
    ]
}

/// A pull of each kind of change by itself, and one of many files.
pub fn pulls() -> Vec<Scenario> {
    let mut all: Vec<_> = kinds()
        .into_iter()
        .map(|(name, old, new)| {
            Scenario::new(
                format!("pull: {name}"),
                &["pull"],
                Side::Client,
                pull_of(old, new),
            )
        })
        .collect();
    let (old, new) = many();
    all.push(Scenario::new(
        "pull: 300 files",
        &["pull"],
        Side::Client,
        pull_of(old, new),
    ));
    all
}

/// The scenario of this name.
pub fn named(name: &str) -> Scenario {
    let all = verbs().into_iter().chain(pulls());
    all.into_iter()
        .find(|s| s.name == name)
        .unwrap_or_else(|| panic!("no scenario {name}"))
}

fn first_push(world: &World) {
    edit(&world.project("a"), &Rows::new(), &mixed().1);
}

/// The hub changed in one part, this machine in another.
fn both_ways(old: Rows, new: Rows) -> impl Fn(&World) + Send + Sync {
    let is_ours =
        |path: &str| path.starts_with("docs") || path.starts_with("src") || path == "large";
    let part = move |rows: &Rows, ours: bool| -> Rows {
        let mine = rows.iter().filter(|(path, _)| is_ours(path) == ours);
        mine.map(|(path, obj)| (*path, obj.clone())).collect()
    };
    move |world| {
        agreed(world, &old);
        edit(
            &world.sandbox.dir("a"),
            &part(&old, true),
            &part(&new, true),
        );
        edit(&world.sandbox.hub(), &part(&old, false), &part(&new, false));
    }
}

/// Both sides made the same changes: only the base has to learn of it.
fn equal_edits(world: &World) {
    let (old, new) = mixed();
    agreed(world, &old);
    for root in ["a", "hub"] {
        edit(&world.sandbox.dir(root), &old, &new);
    }
}

/// After a pull that replaced `docs` by a file: that file is gone again, so the directory can come back.
fn restorable(world: &World) {
    pulled(world);
    world.sandbox.dir("a").remove("docs");
}

/// A byte of a file becomes another one, behind the back of its stat.
fn rot(world: &World) {
    let a = world.machine("a");
    // The index has to know the copies that were just put back, and trust them.
    std::thread::sleep(std::time::Duration::from_millis(20));
    a.ok(&["pull", "-q"]);
    let mut bytes = a.read("src/lib");
    let mtime = std::fs::metadata(a.at("src/lib"))
        .unwrap()
        .modified()
        .unwrap();
    bytes[3] ^= 1;
    let file = std::fs::File::options()
        .write(true)
        .open(a.at("src/lib"))
        .unwrap();
    std::io::Write::write_all(&mut &file, &bytes).unwrap();
    file.set_modified(mtime).unwrap();
}

/// Thirteen snapshots of long ago: a commit prunes those beyond ten.
fn prunable(world: &World) {
    let (old, new) = mixed();
    agreed(world, &old);
    for round in 0..13u8 {
        old_commit(&world.sandbox.dir("a").0, round);
    }
    world.machine("a").ok(&["push", "-q"]);
    edit(&world.sandbox.hub(), &old, &new);
}

/// A commit of the year 2001 that creates `aged`, or replaces it.
fn old_commit(top: &std::path::Path, round: u8) {
    let node = |round: u8| Node::File {
        size: 1,
        digest: Digest::of(&[round]),
        mode: Mode::from(0o644),
        mtime: Mtime {
            secs: 1_000_000_000,
            nanos: 0,
        },
    };
    let root = Root::open(top).unwrap();
    let staging = Staging::begin(&root).unwrap();
    let mut file = staging.file(0, Digest::of(&[round]), 1).unwrap();
    file.append(&[round]).unwrap();
    file.finish(
        Mode::from(0o644),
        Mtime {
            secs: 1_000_000_000,
            nanos: 0,
        },
    )
    .unwrap();
    let old = round
        .checked_sub(1)
        .map(|last| Expected::new(node(last), None));
    let new = Some(NewNode {
        node: node(round),
        slot: Some(0),
    });
    let request = Request {
        changes: vec![Change {
            path: RelPath::new(*b"aged").unwrap(),
            old,
            new,
        }],
        payload: vec![],
        label: Label {
            when: 1_000_000_000,
            ..Label::default()
        },
        keep_snapshot: true,
        consumes: None,
        interrupted: &|| false,
    };
    let holder = Holder {
        pid: 1,
        machine: String::new(),
        verb: String::new(),
        since: 0,
    };
    let state = state_dir(&root).unwrap();
    // A process that another test is just starting holds a copy of all handles for a moment.
    let mut tries = (0..1000).map(|_| Lock::exclusive(&state, &holder));
    let lock = tries.find_map(|lock| match lock {
        Ok(lock) => Some(lock),
        Err(_) => {
            std::thread::sleep(std::time::Duration::from_millis(5));
            None
        }
    });
    let lock = lock.expect("the lock of a root that nobody uses");
    commit(&root, &lock, staging, request, &mut |_, _| Ok(())).unwrap();
}
