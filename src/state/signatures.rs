//! Signatures of large files as they were at the last sync, each under the digest of its content, so that a push
//! of a changed one need not ask the hub for its own. An accelerator: one that is missing or damaged costs a
//! round trip, and what comes of a wrong one does not verify.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::layout;
use super::sealed::{self, Sealed};
use super::{Result, State};
use crate::model::Digest;

pub(super) const DIR: &str = "signatures";
/// All of them together are not longer, in bytes: a quarter of a percent of 100 GiB.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// The signature of one content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSignature {
    /// Of which content.
    pub digest: Digest,
    /// Its length in bytes.
    pub basis_bytes: u64,
    /// Length of a block in bytes.
    pub block_bytes: u32,
    /// Bytes of strong hash per block.
    pub strong_bytes: u8,
    /// Key of both hashes. It never travels.
    pub key: [u8; 32],
    /// The hashes of all blocks.
    pub blocks: Vec<u8>,
}

impl Sealed for KeptSignature {
    const KIND: [u8; 4] = *b"sign";
    const VERSION: u32 = 1;
}

impl KeptSignature {
    /// The signature of the content with this digest; `None` if there is none that can be read.
    #[must_use]
    pub fn load(state: &State, digest: Digest) -> Option<Self> {
        let dir = state.existing_subdir(DIR).ok()??;
        let found: Self = layout::load(&dir, &digest.to_string()).ok()??;
        (found.digest == digest).then_some(found)
    }

    /// Keeps it. It is not waited for: a power cut may take it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, state: &State) -> Result<()> {
        let dir = state.subdir(DIR)?;
        let name = self.digest.to_string();
        if dir.stat(name.as_bytes())?.is_some() {
            dir.remove_file(name.as_bytes())?;
        }
        let mut file = dir.create_file(name.as_bytes())?;
        sealed::seal(self, &name, |block| file.write_all(block))
    }
}

/// The contents whose signatures are here.
///
/// # Errors
/// They cannot be listed.
pub fn kept(state: &State) -> Result<Vec<Digest>> {
    let Some(dir) = state.existing_subdir(DIR)? else {
        return Ok(vec![]);
    };
    let names = dir.list()?;
    Ok(names.iter().filter_map(|n| digest_of(&n.name)).collect())
}

fn digest_of(name: &[u8]) -> Option<Digest> {
    std::str::from_utf8(name).ok().and_then(Digest::from_hex)
}

/// Removes the oldest until the rest is not too long.
///
/// # Errors
/// The first failed call.
pub fn prune_oldest(state: &State) -> Result<()> {
    prune_to(state, |_| true, MAX_BYTES)
}

/// Removes all but those of the contents in `wanted`, and of these the oldest until the rest is not too long.
///
/// # Errors
/// The first failed call.
pub fn prune(state: &State, wanted: &HashSet<Digest>) -> Result<()> {
    prune_to(state, |digest| wanted.contains(&digest), MAX_BYTES)
}

fn prune_to(state: &State, wanted: impl Fn(Digest) -> bool, max_bytes: u64) -> Result<()> {
    let Some(dir) = state.existing_subdir(DIR)? else {
        return Ok(());
    };
    let mut found = Vec::new();
    for entry in dir.list()? {
        if let Some(stat) = dir.stat(&entry.name)? {
            found.push((stat, entry.name));
        }
    }
    found.sort_by_key(|(stat, _)| std::cmp::Reverse(stat.ctime));
    let is_wanted = |name: &[u8]| digest_of(name).is_some_and(&wanted);
    let mut kept_bytes = 0u64;
    for (stat, name) in found {
        let bytes = kept_bytes.saturating_add(stat.size);
        if bytes <= max_bytes && is_wanted(&name) {
            kept_bytes = bytes;
        } else {
            dir.remove_file(&name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Root;

    fn signature(of: &str) -> KeptSignature {
        KeptSignature {
            digest: Digest::of(of.as_bytes()),
            basis_bytes: 3,
            block_bytes: 2,
            strong_bytes: 5,
            key: [7; 32],
            blocks: vec![1; 1000],
        }
    }

    fn state() -> (tempfile::TempDir, State) {
        let temp = tempfile::tempdir().unwrap();
        let state = State::create(&Root::open(temp.path()).unwrap()).unwrap();
        (temp, state)
    }

    fn kept(state: &State) -> Vec<bool> {
        let is_kept = |name| KeptSignature::load(state, signature(name).digest).is_some();
        ["a", "b", "c"].map(is_kept).to_vec()
    }

    #[test]
    fn what_is_no_longer_in_the_base_goes_and_the_rest_stays_within_its_bounds() {
        let (_temp, state) = state();
        for name in ["a", "b", "c"] {
            signature(name).save(&state).unwrap();
        }
        let wanted = ["b", "c"].map(|name| signature(name).digest).into();

        prune(&state, &wanted).unwrap();
        assert_eq!(kept(&state), [false, true, true]);
        prune_to(&state, |digest| wanted.contains(&digest), 1500).unwrap();
        assert_eq!(kept(&state).iter().filter(|k| **k).count(), 1);
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the test damages a state file behind its back"
    )]
    fn a_damaged_or_mistaken_signature_counts_as_missing_and_can_be_replaced() {
        let (temp, state) = state();
        let (a, b) = (signature("a"), signature("b"));
        let at = |s: &KeptSignature| temp.path().join(format!(".rsyn/signatures/{}", s.digest));
        a.save(&state).unwrap();
        std::fs::copy(at(&a), at(&b)).unwrap();
        assert_eq!(KeptSignature::load(&state, b.digest), None);
        let mut bytes = std::fs::read(at(&a)).unwrap();
        bytes[100] ^= 1;
        std::fs::write(at(&a), bytes).unwrap();
        assert_eq!(KeptSignature::load(&state, a.digest), None);

        a.save(&state).unwrap();

        assert_eq!(KeptSignature::load(&state, a.digest), Some(a));
    }
}
