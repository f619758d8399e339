//! The walk: two threads take directories from a common stack; each directory is listed, sorted and judged
//! by one of them. The tree is put together meanwhile, depth first, which is the order of its paths.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::assembly::{Assembly, Found, Listed};
use super::content::hash_file;
use super::handles::{Handles, Place};
use super::{Request, Scan, ScanError, Witness};
use crate::disk::{self, Dir, DiskError, FileKind, Root, Stat};
use crate::model::path::{PathError, STATE_DIR};
use crate::model::{Digest, Entry, Mode, Node, RelPath, Skip};
use crate::protocol::limits::TREE_ENTRIES;
use crate::protocol::message::Problem;
use crate::state::Stamp;
use crate::state::index::{Lines, Voucher};

/// More threads gain nothing: the kernel's directory locks are the limit.
const THREADS: usize = 2;

/// A directory that waits to be listed.
struct Task {
    /// Its number, by which its parent knows it.
    number: usize,
    /// The directory that holds it; of the root, itself.
    parent: Arc<Place>,
    /// `None` for the root.
    path: Option<RelPath>,
}

#[derive(Default)]
struct Shared {
    stack: Vec<Task>,
    busy: usize,
    assembly: Assembly,
    problems: Vec<Problem>,
    failure: Option<ScanError>,
    entries: usize,
}

struct Walk<'a> {
    request: &'a Request<'a>,
    shared: Mutex<Shared>,
    changed: Condvar,
    handles: Handles,
    /// Files that are in the index as they are.
    indexed: AtomicU64,
}

/// A name in a listed directory.
#[derive(Clone, Copy)]
struct Name<'a> {
    parent: Option<&'a RelPath>,
    listed: &'a disk::Listed,
}

pub(super) fn walk(root: &Root, request: &Request<'_>) -> Result<Scan, ScanError> {
    let first = Task {
        number: 0,
        parent: Handles::root(root.top()),
        path: None,
    };
    let shared = Shared {
        stack: vec![first],
        assembly: Assembly::of_root(request.index.entries_expected()),
        ..Shared::default()
    };
    let walk = Walk {
        request,
        shared: Mutex::new(shared),
        changed: Condvar::new(),
        handles: Handles::default(),
        indexed: AtomicU64::new(0),
    };
    std::thread::scope(|scope| {
        for _ in 1..THREADS {
            // Where the system gives no thread, this one does it all.
            drop(std::thread::Builder::new().spawn_scoped(scope, || walk.work()));
        }
        walk.work();
    });
    let shared = walk
        .shared
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    match shared.failure {
        Some(failure) => Err(failure),
        None => {
            let mut scan = shared.assembly.finish(shared.problems)?;
            scan.dev = root.dev();
            let lasting = scan.witnesses.iter().flatten().filter(|w| w.lasts).count() as u64;
            let (indexed, known) = (walk.indexed.into_inner(), request.index.files());
            scan.is_indexed = indexed == known && indexed == lasting;
            Ok(scan)
        }
    }
}

impl Walk<'_> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut buffer = Vec::new();
        while let Some(task) = self.next() {
            let outcome = self.list(&task, &mut buffer);
            let mut shared = self.lock();
            shared.busy -= 1;
            match outcome {
                Ok(listed) => {
                    let Shared {
                        assembly, problems, ..
                    } = &mut *shared;
                    assembly.add(task.number, listed, problems);
                }
                Err(failure) => {
                    shared.failure.get_or_insert(failure);
                }
            }
            drop(shared);
            self.changed.notify_all();
        }
    }

    /// The next directory, or `None` when all are done or something failed.
    fn next(&self) -> Option<Task> {
        let mut shared = self.lock();
        loop {
            if shared.failure.is_some() {
                return None;
            }
            if let Some(task) = shared.stack.pop() {
                shared.busy += 1;
                return Some(task);
            }
            if shared.busy == 0 {
                return None;
            }
            shared = self
                .changed
                .wait(shared)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn list(&self, task: &Task, buffer: &mut Vec<u8>) -> Result<Listed, ScanError> {
        let opened = self.handles.open(&task.parent);
        let opened = opened.and_then(|above| match &task.path {
            None => Ok(above),
            Some(path) => above.open_dir(path.name()).map(Arc::new),
        });
        let listing = opened.and_then(|dir| Ok((dir.list()?, dir)));
        let (mut names, dir) = match (listing, &task.path) {
            (Ok(found), _) => found,
            (Err(e), None) => return Err(e.into()),
            (Err(e), _) if e.is_exhausted() => return Err(e.into()),
            (Err(e), Some(path)) => return Ok(Err(problem(path.as_bytes(), &e))),
        };
        names.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut found = Vec::with_capacity(names.len());
        let known = self.request.index.known(task.path.as_ref());
        let mut known = known.lines();
        for listed in names {
            if self.request.interrupted.load(Ordering::Relaxed) {
                return Err(ScanError::Interrupted);
            }
            let name = Name {
                parent: task.path.as_ref(),
                listed: &listed,
            };
            found.extend(self.judge(&dir, name, &mut known, buffer)?);
        }
        self.queue(task, dir, &mut found)?;
        Ok(Ok(found))
    }

    /// Gives the directories among `found` their numbers and puts them on the stack.
    fn queue(&self, task: &Task, dir: Arc<Dir>, found: &mut [Found]) -> Result<(), ScanError> {
        let place = match &task.path {
            _ if !found.iter().any(|f| f.entry.node.is_dir()) => None,
            None => Some(Arc::clone(&task.parent)),
            Some(path) => Some(self.handles.keep(&task.parent, path.clone(), dir)),
        };
        let mut shared = self.lock();
        shared.entries += found.len();
        if shared.entries > TREE_ENTRIES {
            return Err(ScanError::TooMany(TREE_ENTRIES));
        }
        // The last one pushed is the first one taken: directories are done in order.
        let dirs = found.iter_mut().rev().filter(|f| f.entry.node.is_dir());
        for (found, place) in dirs.zip(place.iter().cycle()) {
            let number = shared.assembly.announce();
            found.directory = Some(number);
            let path = Some(found.entry.path.clone());
            shared.stack.push(Task {
                number,
                parent: Arc::clone(place),
                path,
            });
        }
        drop(shared);
        self.changed.notify_all();
        self.request
            .progress
            .entries
            .fetch_add(found.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// What stands at one name; `None` if it vanished, or is the state directory, or cannot be named.
    fn judge(
        &self,
        dir: &Dir,
        name: Name<'_>,
        known: &mut Lines<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Found>, ScanError> {
        let Name { parent, listed } = name;
        let (name, kind) = (&*listed.name, listed.kind);
        let path = match parent {
            None => RelPath::new(name),
            Some(parent) => parent.join(name),
        };
        let path = match path {
            Ok(path) => path,
            Err(PathError::StateDir) => {
                // `.rsyn` at the root is ours. One further down is that of a project inside this one, and in other letters
                // it is the user's: its directory cannot go.
                if name != STATE_DIR || parent.is_some() {
                    self.report(bad_name(parent, name, "reserved for rsyn's own state"));
                }
                return Ok(None);
            }
            Err(e) => {
                self.report(bad_name(parent, name, &e.to_string()));
                return Ok(None);
            }
        };
        let node = match kind {
            Some(kind) if (self.request.excludes)(&path, kind == FileKind::Dir) => Ok(excluded()),
            _ => self.node(dir, &path, kind.is_none(), known, buffer),
        };
        match node {
            Ok(Some((node, witness))) => {
                let entry = Entry { path, node };
                Ok(Some(Found {
                    entry,
                    witness,
                    directory: None,
                }))
            }
            Ok(None) if self.request.interrupted.load(Ordering::Relaxed) => {
                Err(ScanError::Interrupted)
            }
            Ok(None) => Ok(None),
            Err(e) if e.is_missing() => Ok(None),
            Err(e) if e.is_exhausted() => Err(e.into()),
            Err(e) => {
                let problem = problem(path.as_bytes(), &e);
                let node = Node::Skipped(problem.skip);
                self.report(problem);
                Ok(Some(Found {
                    entry: Entry { path, node },
                    witness: None,
                    directory: None,
                }))
            }
        }
    }

    fn node(
        &self,
        dir: &Dir,
        path: &RelPath,
        unjudged: bool,
        known: &mut Lines<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<(Node, Option<Witness>)>, DiskError> {
        let name = path.name();
        let Some(stat) = dir.stat(name)? else {
            return Ok(None);
        };
        if unjudged && (self.request.excludes)(path, stat.kind == FileKind::Dir) {
            return Ok(excluded());
        }
        let node = match stat.kind {
            FileKind::Mount => Node::Skipped(Skip::OtherFilesystem),
            FileKind::Dir => Node::Dir {
                mode: Mode::from(stat.mode),
            },
            FileKind::Symlink => Node::Symlink {
                target: dir.read_link(name)?,
                mtime: stat.mtime,
            },
            FileKind::Special => Node::Skipped(Skip::Special),
            FileKind::File => return self.file(dir, path, &stat, known.find(name), buffer),
        };
        if let Node::Skipped(skip) = node {
            self.report(Problem {
                path: path.as_bytes().to_vec(),
                skip,
                detail: String::new(),
            });
        }
        Ok(Some((node, None)))
    }

    fn file(
        &self,
        dir: &Dir,
        path: &RelPath,
        stat: &Stat,
        here: Option<Voucher>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<(Node, Option<Witness>)>, DiskError> {
        let elsewhere = || self.request.index.under_another_name(stat);
        let known = here.or_else(elsewhere);
        let vouched = |stat: &Stat| known.and_then(|line| line.digest_for(stat));
        let believed = vouched(stat).filter(|_| self.request.trust);
        let (stat, digest) = match believed {
            Some(digest) => (*stat, digest),
            None if !self.request.contents => (*stat, Digest([0; 32])),
            None => match hash_file(dir, path.name(), buffer, self.request)? {
                Some(hashed) => hashed,
                None if self.request.interrupted.load(Ordering::Relaxed) => return Ok(None),
                None => {
                    let skip = Skip::Unreadable;
                    let detail = "it kept changing while it was read".to_owned();
                    self.report(Problem {
                        path: path.as_bytes().to_vec(),
                        skip,
                        detail,
                    });
                    return Ok(Some((Node::Skipped(skip), None)));
                }
            },
        };
        let recorded = vouched(&stat);
        if recorded.is_some_and(|recorded| recorded != digest) {
            self.report(Problem {
                path: path.as_bytes().to_vec(),
                skip: Skip::Altered,
                detail: String::new(),
            });
        }
        let node = Node::File {
            size: stat.size,
            digest,
            mode: Mode::from(stat.mode),
            mtime: stat.mtime,
        };
        let stamp = Stamp::of(&stat);
        if here.is_some_and(|line| line.stamp == stamp && line.digest == digest) {
            self.indexed.fetch_add(1, Ordering::Relaxed);
        }
        let lasts = recorded == Some(digest) || stamp.is_settled(self.request.now_secs);
        Ok(Some((node, Some(Witness::new(&stat, lasts)))))
    }

    fn report(&self, problem: Problem) {
        self.lock().problems.push(problem);
    }
}

#[expect(clippy::unnecessary_wraps, reason = "stands for a node that was found")]
fn excluded() -> Option<(Node, Option<Witness>)> {
    Some((Node::Skipped(Skip::Excluded), None))
}

fn bad_name(parent: Option<&RelPath>, name: &[u8], why: &str) -> Problem {
    let mut path = parent
        .map(|p| [p.as_bytes(), b"/"].concat())
        .unwrap_or_default();
    path.extend_from_slice(name);
    Problem {
        path,
        skip: Skip::BadName,
        detail: why.to_owned(),
    }
}

fn problem(path: &[u8], error: &DiskError) -> Problem {
    let skip = if error.is_other_filesystem() {
        Skip::OtherFilesystem
    } else {
        Skip::Unreadable
    };
    Problem {
        path: path.to_vec(),
        skip,
        detail: error.source.to_string(),
    }
}
