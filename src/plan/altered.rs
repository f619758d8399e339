//! Content that changed though size and time did not: what a failing disk does, and hardly any program.

use crate::model::{Entry, Node, RelPath, Tree};

/// A file whose content is another one than its stat says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Altered {
    /// Where.
    pub path: RelPath,
    /// What was known of it.
    pub was: Node,
    /// What is there now.
    pub now: Node,
}

/// The files of `now` that have the size and mtime they have in `known`, and another content; in path order.
///
/// A time without a fraction of a second proves nothing and is passed over: unpackers and build tools give
/// the same one to every version of a file.
#[must_use]
pub fn altered(known: &Tree, now: &Tree) -> Vec<Altered> {
    let mut old = known.entries().peekable();
    let mut found = Vec::new();
    for entry in now.entries() {
        while old.next_if(|o| o.path < entry.path).is_some() {}
        if let Some(before) = old.next_if(|o| o.path == entry.path)
            && is_altered(&before.node, &entry.node)
        {
            found.push(pair(before, entry));
        }
    }
    found
}

fn is_altered(was: &Node, now: &Node) -> bool {
    match (was, now) {
        (
            Node::File {
                size: old_size,
                mtime: old_mtime,
                digest: old_digest,
                ..
            },
            Node::File {
                size,
                mtime,
                digest,
                ..
            },
        ) => size == old_size && mtime == old_mtime && mtime.nanos != 0 && digest != old_digest,
        _ => false,
    }
}

fn pair(was: &Entry, now: &Entry) -> Altered {
    Altered {
        path: now.path.clone(),
        was: was.node.clone(),
        now: now.node.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Mode, Mtime};

    fn tree(rows: &[(&str, &str, u32)]) -> Tree {
        let entry = |(path, content, nanos): &(&str, &str, u32)| Entry {
            path: RelPath::new(path.as_bytes()).unwrap(),
            node: Node::File {
                size: content.len() as u64,
                digest: Digest::of(content.as_bytes()),
                mode: Mode::from(0o644),
                mtime: Mtime {
                    secs: 1,
                    nanos: *nanos,
                },
            },
        };
        Tree::from_unsorted(rows.iter().map(entry).collect())
    }

    #[test]
    fn content_that_changed_behind_its_stat_is_found_and_nothing_else() {
        let known = tree(&[
            ("altered", "1", 5),
            ("edited", "1", 5),
            ("gone", "1", 5),
            ("grown", "1", 5),
            ("same", "1", 5),
            ("unpacked", "1", 0),
        ]);
        let now = tree(&[
            ("altered", "2", 5),
            ("edited", "2", 6),
            ("grown", "12", 5),
            ("new", "1", 5),
            ("same", "1", 5),
            ("unpacked", "2", 0),
        ]);
        let found = altered(&known, &now);
        let paths: Vec<_> = found.iter().map(|a| a.path.as_bytes()).collect();
        assert_eq!(paths, [b"altered"]);
        assert_eq!(found[0].was.digest(), Some(Digest::of(b"1")));
        assert_eq!(found[0].now.digest(), Some(Digest::of(b"2")));
    }
}
