//! A small vocabulary of versions and trees, and a planner call without ceremony.

use std::collections::BTreeMap;

use rsyn::model::{
    Digest, Entry, Kind, Mode, Mtime, Node, RelPath, Skip, Tombstone, Tombstones, Tree,
};
use rsyn::plan::{Direction, Input, Options, Plan, Policies, Policy, Side, reconcile};

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).unwrap()
}

pub(crate) fn file(content: u64) -> Node {
    let bytes = content.to_le_bytes();
    Node::File {
        size: 8,
        digest: Digest::of(&bytes),
        mode: Mode::from(0o644),
        mtime: Mtime {
            secs: i64::try_from(content).unwrap_or(0),
            nanos: 0,
        },
    }
}

/// Content 1 with other permission bits.
pub(crate) fn executable() -> Node {
    match file(1) {
        Node::File {
            size,
            digest,
            mtime,
            ..
        } => Node::File {
            size,
            digest,
            mtime,
            mode: Mode::from(0o755),
        },
        other => other,
    }
}

pub(crate) fn link(target: &str) -> Node {
    Node::Symlink {
        target: target.as_bytes().into(),
        mtime: Mtime { secs: 0, nanos: 0 },
    }
}

pub(crate) fn dir() -> Node {
    Node::Dir {
        mode: Mode::from(0o755),
    }
}

pub(crate) fn excluded() -> Node {
    Node::Skipped(Skip::Excluded)
}

pub(crate) fn unreadable() -> Node {
    Node::Skipped(Skip::Unreadable)
}

pub(crate) fn tree<'a>(entries: impl IntoIterator<Item = (&'a str, Option<Node>)>) -> Tree {
    let present = entries.into_iter().filter_map(|(p, n)| {
        Some(Entry {
            path: path(p),
            node: n?,
        })
    });
    present.collect()
}

pub(crate) fn tombstone(node: &Node) -> Tombstone {
    Tombstone {
        kind: node.kind(),
        digest: node.digest(),
        machine: "other".to_owned(),
        when_secs: 0,
    }
}

/// Both sides, what they agreed on, and what was deleted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sides {
    pub(crate) base: Tree,
    pub(crate) local: Tree,
    pub(crate) remote: Tree,
    pub(crate) local_tombstones: Tombstones,
    pub(crate) remote_tombstones: Tombstones,
}

impl Sides {
    pub(crate) fn swapped(&self) -> Self {
        Self {
            base: self.base.clone(),
            local: self.remote.clone(),
            remote: self.local.clone(),
            local_tombstones: self.remote_tombstones.clone(),
            remote_tombstones: self.local_tombstones.clone(),
        }
    }

    pub(crate) fn plan_with(
        &self,
        direction: Direction,
        policy: &dyn Policies,
        mirror: bool,
        delete: bool,
    ) -> Plan {
        let input = Input {
            base: &self.base,
            local: &self.local,
            remote: &self.remote,
            unnamed: &std::collections::BTreeSet::new(),
            local_tombstones: &self.local_tombstones,
            remote_tombstones: &self.remote_tombstones,
            holds: &rsyn::plan::Holds::new(),
        };
        let choices = BTreeMap::new();
        let options = Options {
            direction,
            policies: policy,
            choices: &choices,
            mirror,
            delete,
            only: &[],
            forgets: &|_, _| true,
            folding: rsyn::model::Folding::NONE,
            holds: rsyn::model::Abilities::ALL,
        };
        reconcile(&input, &options)
    }

    pub(crate) fn plan(&self, direction: Direction) -> Plan {
        self.plan_with(direction, &Policy::Default, false, true)
    }

    /// Carries a plan out, as a sync that succeeds does.
    pub(crate) fn after(&self, plan: &Plan) -> Self {
        let mut next = self.clone();
        match plan.direction.written() {
            Side::Local => next.local = self.local.with_changes(plan.changes()),
            Side::Remote => next.remote = self.remote.with_changes(plan.changes()),
        }
        next.base = self.base.with_changes(plan.base.iter().cloned());
        next
    }

    pub(crate) fn written(&self, direction: Direction) -> &Tree {
        match direction.written() {
            Side::Local => &self.local,
            Side::Remote => &self.remote,
        }
    }
}

/// Every entry of a tree lies in directories of that tree.
pub(crate) fn is_well_formed(tree: &Tree) -> bool {
    let has_parents = |p: &RelPath| {
        p.ancestors()
            .all(|a| tree.get(&a).is_some_and(|n| n.kind() == Kind::Dir))
    };
    tree.entries().all(|e| has_parents(&e.path))
}
