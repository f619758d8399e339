//! Keys and tokens that a push would lay where other users of the hub can read them.
//!
//! Names decide what may be a key, and [`super::key_content`] what is none all the same. Names of public halves
//! (`id_ed25519.pub`) and of settings (`.env`) are no keys. Modes decide who can read: a file that others may not read, or
//! below a directory that others may not enter, is not exposed.

use super::{Plan, Verb};
use crate::model::{Mode, Node, RelPath, Tree};

/// Names that key makers, clouds and package managers give to secrets.
const NAMES: &[&str] = &[
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_ecdsa_sk",
    "id_ed25519_sk",
    "identity.key",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".pypirc",
    ".git-credentials",
    ".vault-token",
    "credentials",
    "credentials.json",
    "application_default_credentials.json",
    "token",
    "token.json",
    "kubeconfig",
];
/// Endings of files that hold private keys or tokens.
const ENDINGS: &[&str] = &[
    ".pem",
    ".key",
    ".p12",
    ".pfx",
    ".ppk",
    ".jks",
    ".keystore",
    ".kdbx",
    ".token",
];
/// The bits that let others read a file, and enter a directory.
const OTHERS_READ: u16 = 0o004;
const OTHERS_ENTER: u16 = 0o001;

/// Whether the last name of `path` is one that keys or tokens have.
#[must_use]
pub fn is_named_like_a_key(path: &RelPath) -> bool {
    let name = path.name().to_ascii_lowercase();
    let ends = |ending: &&str| name.len() > ending.len() && name.ends_with(ending.as_bytes());
    NAMES.iter().any(|known| name == known.as_bytes()) || ENDINGS.iter().any(ends)
}

/// The files that `plan` brings to a tree, now `ours`, that look like keys and that others can read there.
/// `top` holds the permission bits of its top directory.
#[must_use]
pub fn exposed<'a>(plan: &'a Plan, ours: &Tree, top: Mode) -> Vec<&'a RelPath> {
    let brings = |verb| matches!(verb, Verb::Create | Verb::Update | Verb::Meta);
    let is_open = |node: &Node| matches!(node, Node::File { mode, .. } if lets(*mode, OTHERS_READ));
    let candidates: Vec<_> = plan
        .actions
        .iter()
        .filter(|a| brings(a.verb) && a.new.as_ref().is_some_and(is_open))
        .map(|a| &a.path)
        .filter(|path| is_named_like_a_key(path))
        .collect();
    if candidates.is_empty() || !lets(top, OTHERS_ENTER) {
        return vec![];
    }
    let after = ours.with_changes(plan.changes());
    let reachable = |path: &&RelPath| ancestors(path).all(|dir| is_open_dir(after.get(&dir)));
    candidates.into_iter().filter(reachable).collect()
}

fn lets(mode: Mode, bit: u16) -> bool {
    mode.bits() & bit != 0
}

fn is_open_dir(node: Option<&Node>) -> bool {
    // A directory that is not known may be open.
    !matches!(node, Some(Node::Dir { mode }) if !lets(*mode, OTHERS_ENTER))
}

fn ancestors(path: &RelPath) -> impl Iterator<Item = RelPath> + use<> {
    std::iter::successors(path.parent(), RelPath::parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Entry, Mtime};
    use crate::plan::{Action, Direction, Source};

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    fn file(mode: u16) -> Node {
        Node::File {
            size: 3,
            digest: Digest::of(b"key"),
            mode: Mode::from(mode),
            mtime: Mtime { secs: 0, nanos: 0 },
        }
    }

    fn exposed_of(name: &str, mode: u16, dir: u16, top: u16) -> usize {
        let plan = Plan {
            actions: vec![Action {
                path: path(name),
                verb: Verb::Create,
                reason: crate::plan::Reason::New,
                old: None,
                new: Some(file(mode)),
                source: Source::Theirs(path(name)),
                conflict: None,
            }],
            ..Plan::nothing(Direction::Push)
        };
        let dir = Entry {
            path: path("dir"),
            node: Node::Dir {
                mode: Mode::from(dir),
            },
        };
        exposed(&plan, &Tree::from_unsorted(vec![dir]), Mode::from(top)).len()
    }

    #[test]
    fn keys_are_known_by_their_names() {
        for key in [
            "id_rsa",
            "a/id_ed25519",
            "b/Server.KEY",
            "x.pem",
            ".netrc",
            "c/token",
        ] {
            assert!(is_named_like_a_key(&path(key)), "{key}");
        }
        for other in [
            "id_rsa.pub",
            ".env",
            ".pem",
            "monkey",
            "tokens.rs",
            "pem",
            "keys/readme",
        ] {
            assert!(!is_named_like_a_key(&path(other)), "{other}");
        }
    }

    #[test]
    fn only_what_others_can_reach_and_read_is_exposed() {
        assert_eq!(exposed_of("dir/id_rsa", 0o644, 0o755, 0o755), 1);
        assert_eq!(exposed_of("id_rsa", 0o604, 0o700, 0o711), 1);
        assert_eq!(
            exposed_of("dir/id_rsa", 0o640, 0o755, 0o755),
            0,
            "the file is closed"
        );
        assert_eq!(
            exposed_of("dir/id_rsa", 0o644, 0o750, 0o755),
            0,
            "the directory is"
        );
        assert_eq!(
            exposed_of("dir/id_rsa", 0o644, 0o755, 0o700),
            0,
            "the root is"
        );
        assert_eq!(
            exposed_of("dir/main.rs", 0o644, 0o755, 0o755),
            0,
            "it is no key"
        );
    }
}
