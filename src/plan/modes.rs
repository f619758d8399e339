//! Permission bits of a side whose disk keeps none: what such a disk shows is no version of anything.

use crate::model::{Mode, Node, RelPath, Tree};

const FILE: u16 = 0o644;
const DIR: u16 = 0o755;

/// `tree`, whose disk keeps no permission bits, with those of `base`, or else of `other`, the tree of the other side. What is
/// new there gets plain ones.
#[must_use]
pub fn adopt_modes(tree: &Tree, base: &Tree, other: &Tree) -> Tree {
    let mode_of = |path: &RelPath, node: &Node| {
        let known = [base, other].into_iter().filter_map(|tree| tree.get(path));
        let mut alike = known.filter(|known| known.kind() == node.kind());
        let plain = if node.is_dir() { DIR } else { FILE };
        let known = alike.next().and_then(Node::mode);
        known.unwrap_or_else(|| Mode::from(plain))
    };
    let adopted = tree.entries().filter_map(|entry| {
        let mode = mode_of(&entry.path, &entry.node);
        let node = entry.node.with_mode(mode)?;
        (node != entry.node).then(|| (entry.path.clone(), Some(node)))
    });
    tree.with_changes(adopted.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Mtime};

    fn file(mode: u16) -> Node {
        Node::File {
            size: 1,
            digest: Digest::of(b"1"),
            mode: Mode::from(mode),
            mtime: Mtime { secs: 0, nanos: 0 },
        }
    }

    fn dir(mode: u16) -> Node {
        Node::Dir {
            mode: Mode::from(mode),
        }
    }

    fn tree(rows: &[(&str, Node)]) -> Tree {
        let row = |(path, node): &(&str, Node)| {
            let path = RelPath::new(path.as_bytes()).unwrap();
            (path, Some(node.clone()))
        };
        Tree::default().with_changes(rows.iter().map(row).collect::<Vec<_>>())
    }

    #[test]
    fn bits_come_from_what_was_agreed_on_or_from_the_other_side_and_are_plain_else() {
        let shown = tree(&[
            ("agreed", file(0o755)),
            ("dir", dir(0o777)),
            ("kind", file(0o755)),
            ("new", file(0o755)),
            ("new.d", dir(0o777)),
            ("there", file(0o755)),
        ]);
        let base = tree(&[
            ("agreed", file(0o600)),
            ("dir", dir(0o700)),
            ("kind", dir(0o700)),
        ]);
        let other = tree(&[("agreed", file(0o644)), ("there", file(0o400))]);
        let adopted = tree(&[
            ("agreed", file(0o600)),
            ("dir", dir(0o700)),
            ("kind", file(0o644)),
            ("new", file(0o644)),
            ("new.d", dir(0o755)),
            ("there", file(0o400)),
        ]);
        assert_eq!(adopt_modes(&shown, &base, &other), adopted);
    }
}
