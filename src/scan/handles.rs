//! The handles of a walk. A directory whose children wait keeps its handle as long as few do, and is opened again
//! by its name when its turn comes: a tree of any depth needs no more handles than a flat one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::disk::{Dir, DiskError};
use crate::model::RelPath;

/// Handles that stay open at most: a small part of the 256 descriptors that a process has on macOS.
const OPEN_MAX: usize = 32;

/// A directory that was listed and whose directories wait.
pub(super) struct Place {
    /// The directory above and the path; `None` for the root.
    above: Option<(Arc<Self>, RelPath)>,
    ino: u64,
    dir: Mutex<Option<Arc<Dir>>>,
}

impl Place {
    fn new(above: Option<(Arc<Self>, RelPath)>, dir: Arc<Dir>) -> Arc<Self> {
        let (ino, dir) = (dir.ino(), Mutex::new(Some(dir)));
        Arc::new(Self { above, ino, dir })
    }

    fn handle(&self) -> std::sync::MutexGuard<'_, Option<Arc<Dir>>> {
        self.dir.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    /// Takes the chain above apart step by step, for it can be as long as a path.
    fn drop(&mut self) {
        let mut above = self.above.take();
        while let Some((place, _)) = above {
            above = Arc::into_inner(place).and_then(|mut place| place.above.take());
        }
    }
}

/// The places with an open handle, the first opened first.
#[derive(Default)]
pub(super) struct Handles(Mutex<VecDeque<Weak<Place>>>);

impl Handles {
    /// The place of the root, whose handle stays.
    pub(super) fn root(top: &Arc<Dir>) -> Arc<Place> {
        Place::new(None, Arc::clone(top))
    }

    /// The place of `dir`, the directory at `path` inside `above`.
    pub(super) fn keep(&self, above: &Arc<Place>, path: RelPath, dir: Arc<Dir>) -> Arc<Place> {
        let place = Place::new(Some((Arc::clone(above), path)), dir);
        self.note(&place);
        place
    }

    /// The directory at `place`, opened again if its handle was given back.
    ///
    /// # Errors
    /// It cannot be opened, or another directory is there by now.
    pub(super) fn open(&self, place: &Arc<Place>) -> Result<Arc<Dir>, DiskError> {
        let mut closed = Vec::new();
        let mut at = Arc::clone(place);
        let mut dir = loop {
            if let Some(dir) = at.handle().clone() {
                break dir;
            }
            let Some((above, path)) = &at.above else {
                return Err(DiskError::new("open", Vec::new(), rustix::io::Errno::BADF));
            };
            closed.push((Arc::clone(&at), path.clone()));
            let above = Arc::clone(above);
            at = above;
        };
        while let Some((place, path)) = closed.pop() {
            dir = Arc::new(dir.open_dir(path.name())?);
            if dir.ino() != place.ino {
                let why = std::io::Error::other("another directory took its place meanwhile");
                return Err(DiskError::new("open", path.as_bytes().to_vec(), why));
            }
            *place.handle() = Some(Arc::clone(&dir));
            self.note(&place);
        }
        Ok(dir)
    }

    /// Takes note of a handle, and gives the oldest ones back if there are too many. The oldest are those furthest
    /// up, whose turn comes last.
    fn note(&self, place: &Arc<Place>) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.push_back(Arc::downgrade(place));
        if open.len() <= OPEN_MAX {
            return;
        }
        open.retain(|place| place.strong_count() > 0);
        while open.len() > OPEN_MAX * 3 / 4 {
            let oldest = open.pop_front().and_then(|place| place.upgrade());
            drop(oldest.and_then(|place| place.handle().take()));
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests prepare and look at the disk by other means"
)]
mod tests {
    use super::*;
    use crate::disk::Root;

    const DEPTH: usize = 3 * OPEN_MAX;

    /// A chain of directories and the places of all of them, the root first.
    fn chain(temp: &std::path::Path) -> (Handles, Vec<Arc<Place>>) {
        std::fs::create_dir_all(temp.join(vec!["d"; DEPTH].join("/"))).unwrap();
        let root = Root::open(temp).unwrap();
        let handles = Handles::default();
        let mut places = vec![Handles::root(root.top())];
        for depth in 1..=DEPTH {
            let path = RelPath::new(vec!["d"; depth].join("/").as_bytes()).unwrap();
            let above = places.last().unwrap();
            let dir = handles.open(above).unwrap().open_dir(b"d").unwrap();
            places.push(handles.keep(above, path, Arc::new(dir)));
        }
        (handles, places)
    }

    #[test]
    fn few_handles_are_open_and_each_directory_is_found_again() {
        let temp = tempfile::tempdir().unwrap();
        let (handles, places) = chain(temp.path());
        for place in places.iter().rev().chain(&places) {
            assert_eq!(handles.open(place).unwrap().ino(), place.ino);
            let open = places.iter().filter(|p| p.handle().is_some()).count();
            assert!(open <= OPEN_MAX + 1, "{open}");
        }
    }

    #[test]
    fn a_directory_that_was_replaced_meanwhile_is_not_taken_for_the_one_that_was_listed() {
        let temp = tempfile::tempdir().unwrap();
        let (handles, places) = chain(temp.path());
        std::fs::rename(temp.path().join("d/d"), temp.path().join("old")).unwrap();
        assert!(handles.open(&places[2]).unwrap_err().is_missing());
        std::fs::create_dir(temp.path().join("d/d")).unwrap();
        let refused = handles.open(&places[2]).unwrap_err().to_string();
        assert!(refused.contains("another directory"), "{refused}");
    }
}
