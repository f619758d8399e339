//! Reads content back and compares it with what the plan says.

use std::fs::File;
use std::io::{self, Seek};

use crate::disk::{Dir, DiskError, Result, digest, read_some};
use crate::model::{Digest, Node};

/// How much is read at once.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

const SMALL_CHUNK_BYTES: usize = 16 * 1024;

/// Whether the object `name` has the content of `node`: its bytes, its target; of a directory, nothing.
pub(super) fn has_content(dir: &Dir, name: &[u8], node: &Node) -> Result<bool> {
    match node {
        Node::File { digest, size, .. } => {
            let (file, stat) = dir.open_file(name)?;
            let found = match stat.size == *size {
                true => {
                    hash_whole(&file, *size).map_err(|e| dir.error("read", name, e).of_handle())?
                }
                false => None,
            };
            Ok(found == Some(*digest))
        }
        Node::Symlink { target, .. } => Ok(*dir.read_link(name)? == **target),
        Node::Dir { .. } => Ok(dir.open_dir(name)?.is_empty()?),
        Node::Skipped(_) => Ok(false),
    }
}

/// As [`has_content`], and `false` also if the object is gone or of another kind by now.
pub(super) fn still_has_content(dir: &Dir, name: &[u8], node: &Node) -> Result<bool> {
    match has_content(dir, name, node) {
        Err(e) if is_another_object(&e) => Ok(false),
        other => other,
    }
}

fn is_another_object(e: &DiskError) -> bool {
    e.is_no_directory() || e.kind() == io::ErrorKind::InvalidInput
}

/// Digest of a file of `size` bytes; `None` if it is shorter by now.
fn hash_whole(file: &File, size: u64) -> io::Result<Option<Digest>> {
    match size >= digest::LARGE_BYTES {
        true => digest::digest(file, size, &|_| true),
        false => hash(file).map(Some),
    }
}

/// Digest of the whole rest of a file.
pub(super) fn hash(mut file: &File) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    // A small file needs no large buffer.
    let mut chunk = vec![0; SMALL_CHUNK_BYTES];
    loop {
        match read_some(&mut file, &mut chunk)? {
            0 => return Ok(hasher.finalize().into()),
            len => {
                hasher.update(&chunk[..len]);
                chunk.resize(CHUNK_BYTES, 0);
            }
        }
    }
}

/// The file, at its beginning, if its content has this digest.
pub(super) fn if_it_is(mut file: File, digest: Digest) -> Option<File> {
    let is_it = hash(&file).is_ok_and(|found| found == digest) && file.rewind().is_ok();
    is_it.then_some(file)
}
