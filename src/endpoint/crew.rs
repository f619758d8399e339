//! [`Crew`]: stages small files on threads of its own while the next ones come. Of a file of a kilobyte the system calls are
//! all, and one thread that makes them is slower than a link. Where files come more slowly, the thread that takes them stages
//! them itself, at once.

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::receive::Awaited;
use crate::transaction::{StageError, Stager, Staging};

const THREADS: usize = 2;
/// So much goes to a thread at once, for each handing over wakes one: files, or bytes of content.
const BATCH_FILES: usize = 64;
const BATCH_BYTES: usize = 256 * 1024;
/// Batches that may wait for a thread.
const WAITING: usize = 2;

/// A file with its whole content.
pub(super) struct Small {
    pub(super) id: u32,
    pub(super) want: Awaited,
    pub(super) content: Vec<u8>,
}

/// A file that could not be staged.
pub(super) struct Failed {
    pub(super) id: u32,
    pub(super) want: Awaited,
    pub(super) error: StageError,
}

/// Takes files and stages them, at [`Self::catch_up`] or [`Self::settle`] at the latest.
#[derive(Default)]
pub(super) struct Crew {
    batch: Vec<Small>,
    bytes: usize,
    /// Once there was a full batch.
    hired: Option<Hired>,
}

struct Hired {
    batches: Sender<Vec<Small>>,
    failed: Receiver<Failed>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Takes a file. Returns those that turned out to have failed.
    pub(super) fn add(&mut self, staging: &Staging, file: Small) -> Vec<Failed> {
        self.bytes += file.content.len();
        self.batch.push(file);
        match self.batch.len() >= BATCH_FILES || self.bytes >= BATCH_BYTES {
            true => self.hand_over(staging),
            false => vec![],
        }
    }

    /// Stages what no thread has, for whoever has nothing else to do. Returns those files that turned out to have failed.
    pub(super) fn catch_up(&mut self, staging: &Staging) -> Vec<Failed> {
        let mut failed = stage(&staging.stager(), self.take_batch());
        if let Some(hired) = &self.hired {
            failed.extend(hired.failed.try_iter());
        }
        failed
    }

    /// Stages all that it was given, and ends its threads. Returns those files that failed.
    pub(super) fn settle(&mut self, staging: &Staging) -> Vec<Failed> {
        let mut failed = stage(&staging.stager(), self.take_batch());
        if let Some(hired) = self.hired.take() {
            drop(hired.batches);
            for thread in hired.threads {
                if let Err(panic) = thread.join() {
                    std::panic::resume_unwind(panic);
                }
            }
            failed.extend(hired.failed);
        }
        failed
    }

    fn take_batch(&mut self) -> Vec<Small> {
        self.bytes = 0;
        std::mem::take(&mut self.batch)
    }

    fn hand_over(&mut self, staging: &Staging) -> Vec<Failed> {
        let batch = self.take_batch();
        let hired = self.hired.get_or_insert_with(|| hire(&staging.stager()));
        match hired.batches.send(batch) {
            Ok(()) => hired.failed.try_iter().collect(),
            // Where the system gives no thread, and where all of them panicked, which `settle` tells.
            Err(unsent) => stage(&staging.stager(), unsent.into_inner()),
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        if let Some(Hired {
            batches, threads, ..
        }) = self.hired.take()
        {
            drop(batches);
            // Nothing is staged any more once the session gave up.
            threads.into_iter().for_each(|thread| drop(thread.join()));
        }
    }
}

fn hire(stager: &Stager) -> Hired {
    let (batches, next) = bounded::<Vec<Small>>(WAITING);
    let (tell, failed) = unbounded();
    let spawn = |_| {
        let (stager, next, tell) = (stager.clone(), next.clone(), tell.clone());
        let work = move || {
            for batch in next {
                for failed in stage(&stager, batch) {
                    // Nobody asks any more where the session gave up.
                    drop(tell.send(failed));
                }
            }
        };
        std::thread::Builder::new().spawn(work).ok()
    };
    Hired {
        threads: (0..THREADS).filter_map(spawn).collect(),
        batches,
        failed,
    }
}

/// Stages files; gives those that failed.
fn stage(stager: &Stager, files: Vec<Small>) -> Vec<Failed> {
    let stage = |Small { id, want, content }| match stager.file(id, want.node(), &content) {
        Ok(()) => None,
        Err(error) => Some(Failed { id, want, error }),
    };
    files.into_iter().filter_map(stage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Root;
    use crate::model::{Digest, Mode, Mtime};

    const FILES: u32 = 500;

    fn is_damaged(id: u32) -> bool {
        id % 100 == 99 || id == FILES - 2
    }

    fn small(id: u32) -> Small {
        let content = format!("file {id}").into_bytes();
        let awaited = match is_damaged(id) {
            true => Digest::of(b"another content"),
            false => Digest::of(&content),
        };
        let want = Awaited {
            digest: awaited,
            size: content.len() as u64,
            mode: Mode::from(0o644),
            mtime: Mtime { secs: 0, nanos: 0 },
            basis: None,
            once_more: false,
        };
        Small { id, want, content }
    }

    fn is_staged(staging: &Staging, id: u32) -> bool {
        let Small { want, content, .. } = small(id);
        let node = Awaited {
            digest: Digest::of(&content),
            ..want
        };
        let again = staging.stager().file(id, node.node(), &content);
        matches!(again, Err(StageError::NoObject(_)))
    }

    #[test]
    fn every_file_is_staged_or_said_to_have_failed() {
        let temp = tempfile::tempdir().unwrap();
        let staging = Staging::begin(&Root::open(temp.path()).unwrap()).unwrap();
        let mut crew = Crew::default();
        // The second time with threads of its own again.
        for ids in [0..FILES / 2, FILES / 2..FILES] {
            let mut failed = Vec::new();
            for id in ids.clone() {
                failed.extend(crew.add(&staging, small(id)));
            }
            failed.extend(crew.settle(&staging));
            let mut failed: Vec<_> = failed
                .into_iter()
                .map(|Failed { id, want, error }| {
                    assert_eq!(want.digest, small(id).want.digest);
                    assert!(matches!(error, StageError::Integrity { slot, .. } if slot == id));
                    id
                })
                .collect();
            failed.sort_unstable();
            let damaged: Vec<_> = ids.clone().filter(|id| is_damaged(*id)).collect();
            assert_eq!(failed, damaged);
            for id in ids {
                assert_eq!(is_staged(&staging, id), !is_damaged(id));
            }
        }
    }

    #[test]
    fn nothing_is_staged_any_more_once_it_is_dropped() {
        let temp = tempfile::tempdir().unwrap();
        let staging = Staging::begin(&Root::open(temp.path()).unwrap()).unwrap();
        let mut crew = Crew::default();
        for id in 0..FILES {
            drop(crew.add(&staging, small(id)));
        }
        drop(crew);
        let new = temp.path().join(".rsyn/txn").join(staging.id().as_str());
        let count = || {
            let root = Root::open(&new.join("new")).unwrap();
            root.top().list().unwrap().len()
        };
        let before = count();
        assert!(before > 0);
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(count(), before);
    }
}
