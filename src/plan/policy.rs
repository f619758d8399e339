//! Who wins where both sides changed a path: the policy of the path, by pattern, first match wins.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Direction, Side};
use crate::model::{Node, RelPath};

/// What is done about a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Policy {
    /// The side that is read wins: remote on pull, local on push.
    Default,
    /// This machine's version wins, whatever the direction.
    Local,
    /// The hub's version wins, whatever the direction.
    Remote,
    /// The later mtime wins; the default where they are equal.
    Newer,
    /// Both are kept: `name.local.ext` and `name.remote.ext` beside the default's winner.
    Both,
    /// The user is asked; off a terminal as [`Self::Block`].
    Ask,
    /// Nothing at all is applied until somebody decides.
    Block,
}

/// All policies that this version carries out, with their names.
const NAMES: [(Policy, &str); 7] = [
    (Policy::Default, "default"),
    (Policy::Local, "local"),
    (Policy::Remote, "remote"),
    (Policy::Newer, "newer"),
    (Policy::Both, "both"),
    (Policy::Ask, "ask"),
    (Policy::Block, "block"),
];

/// Policies that merge contents: their names are taken, this version does not carry them out.
const MERGING: [&str; 6] = ["union", "text", "json", "yaml", "frontmatter", "sqlite"];

/// A policy name that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No such policy.
    #[error("there is no policy `{0}`; known are default, local, remote, newer, both, ask, block")]
    Unknown(String),
    /// The name is reserved for a policy that merges contents.
    #[error(
        "policy `{0}` merges contents, which this version of rsyn cannot do yet; use ask, both or block"
    )]
    NotYet(String),
}

impl FromStr for Policy {
    type Err = PolicyError;
    fn from_str(name: &str) -> Result<Self, PolicyError> {
        if let Some((policy, _)) = NAMES.iter().find(|(_, n)| *n == name) {
            return Ok(*policy);
        }
        if MERGING.contains(&name) || name.starts_with("machine:") {
            return Err(PolicyError::NotYet(name.to_owned()));
        }
        Err(PolicyError::Unknown(name.to_owned()))
    }
}

impl TryFrom<String> for Policy {
    type Error = PolicyError;
    fn try_from(name: String) -> Result<Self, PolicyError> {
        name.parse()
    }
}

impl From<Policy> for String {
    fn from(policy: Policy) -> Self {
        policy.to_string()
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES
            .iter()
            .find(|(p, _)| p == self)
            .map_or("default", |(_, n)| n);
        f.write_str(name)
    }
}

/// A decision about one conflicting path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Choice {
    /// One side's version wins.
    Take(Side),
    /// Both are kept side by side.
    Both,
    /// Nobody decided yet.
    Undecided,
}

/// Finds the policy of a path.
pub trait Policies {
    /// The policy for a conflict at `path`.
    fn policy(&self, path: &RelPath) -> Policy;
}

impl Policies for Policy {
    fn policy(&self, _path: &RelPath) -> Policy {
        *self
    }
}

/// Applies `policy` to two present versions.
#[must_use]
pub fn choose(policy: Policy, direction: Direction, local: &Node, remote: &Node) -> Choice {
    let default = Choice::Take(direction.read());
    match policy {
        Policy::Default => default,
        Policy::Local => Choice::Take(Side::Local),
        Policy::Remote => Choice::Take(Side::Remote),
        Policy::Newer => match (local.mtime(), remote.mtime()) {
            (Some(l), Some(r)) if l > r => Choice::Take(Side::Local),
            (Some(l), Some(r)) if r > l => Choice::Take(Side::Remote),
            _ => default,
        },
        Policy::Both => Choice::Both,
        Policy::Ask | Policy::Block => Choice::Undecided,
    }
}

/// The name beside `path` that keeps one side's version: `notes.txt` gives `notes.local.txt`,
/// `.env` gives `.env.local`, `Makefile` gives `Makefile.remote`.
///
/// `None` if that name would be longer than a file system holds.
#[must_use]
pub fn beside(path: &RelPath, side: Side) -> Option<RelPath> {
    let name = path.name();
    let dot = name.iter().rposition(|&b| b == b'.').filter(|&at| at > 0);
    let (stem, extension) = name.split_at(dot.unwrap_or(name.len()));
    let mut new = stem.to_vec();
    new.push(b'.');
    new.extend_from_slice(side.name().as_bytes());
    new.extend_from_slice(extension);
    match path.parent() {
        Some(dir) => dir.join(&new).ok(),
        None => RelPath::new(new).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_read_back_from_its_name() {
        for (policy, name) in NAMES {
            assert_eq!(name.parse(), Ok(policy));
            assert_eq!(policy.to_string(), name);
        }
    }

    #[test]
    fn a_merging_policy_is_refused_with_a_way_to_go_on() {
        let refusal = "json".parse::<Policy>().unwrap_err().to_string();
        assert!(refusal.contains("use ask, both or block"), "{refusal}");
        assert!(matches!(
            "nonsense".parse::<Policy>(),
            Err(PolicyError::Unknown(_))
        ));
    }

    #[test]
    fn names_beside_keep_the_extension_last() {
        let cases = [
            ("notes.txt", "notes.local.txt"),
            ("a.b/data.tar.gz", "a.b/data.tar.local.gz"),
            (".env", ".env.local"),
            ("dir.d/Makefile", "dir.d/Makefile.local"),
        ];
        for (path, expected) in cases {
            let path = RelPath::new(path.as_bytes()).unwrap();
            assert_eq!(
                beside(&path, Side::Local).unwrap().as_bytes(),
                expected.as_bytes()
            );
        }
        let long = RelPath::new([b'x'; 255]).unwrap();
        assert_eq!(beside(&long, Side::Remote), None);
    }
}
