//! A root of this process: opened, locked, recovered, scanned. Both ends of a session stand on one.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config;
use crate::disk::{Activity, DiskError, Holder, Lock, LockError, Root, durable, threads};
use crate::filter::{Rules, Work};
use crate::model::{Mode, Node, RelPath, total_bytes};
use crate::scan::{self, Progress, Scan, ScanError};
use crate::state::{Index, Payload, State, StateError, log};
use crate::transaction::{self, CommitError, Kept, LateWrite, PendingKind, Recovery};

/// Settings of this root alone, inside the state directory.
const MACHINE_CONFIG: &[u8] = b"config.toml";
/// They are not longer.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;
/// What to do about a root that lies in a state directory.
pub const IN_STATE_HINT: &str = "name the project itself, or a directory outside of any .rsyn";
const DAY_SECS: i64 = 24 * 3600;

/// A root and its state directory.
pub struct Local {
    /// The root.
    pub root: Arc<Root>,
    /// Its state; `None` before the first sync.
    pub state: Option<State>,
}

/// What went wrong with a root of this process.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The scan.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Somebody else writes it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// An interrupted sync cannot be recovered.
    #[error(transparent)]
    Recover(#[from] CommitError),
}

/// How a scan is done.
#[derive(Clone, Copy)]
pub struct ScanOptions<'a> {
    /// What is out of scope.
    pub rules: &'a Rules,
    /// Collects the paths that these rules exclude and the rules of the last sync included.
    pub newly_hidden: Option<&'a NewlyHidden>,
    /// Whether every file is read, whatever the index says.
    pub checksum: bool,
    /// The clock, in seconds since 1970.
    pub now_secs: i64,
    /// How far it got.
    pub progress: &'a Progress,
    /// Set when the user wants to stop.
    pub interrupted: &'a AtomicBool,
}

/// What the exclude rules leave out though those of before let it in.
#[derive(Debug)]
pub struct NewlyHidden {
    before: Rules,
    paths: Mutex<BTreeSet<RelPath>>,
}

impl NewlyHidden {
    /// Nothing yet, in comparison with the rules `before`.
    #[must_use]
    pub fn since(before: Rules) -> Self {
        Self {
            before,
            paths: Mutex::default(),
        }
    }

    fn note(&self, path: &RelPath, is_dir: bool) {
        if self.before.verdict(path.as_bytes(), is_dir).included {
            let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
            paths.insert(path.clone());
        }
    }

    /// What was found; of a directory only its own path.
    #[must_use]
    pub fn paths(self) -> BTreeSet<RelPath> {
        self.paths
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Local {
    /// Opens the root at `path` without writing anything.
    ///
    /// # Errors
    /// It is missing, lies in a state directory, or cannot be used.
    pub fn open(path: &Path) -> Result<Self, LocalError> {
        let root = Root::open(path)?;
        root.check_outside_state()?;
        Self::at(root)
    }

    /// The same of a root that is opened already.
    ///
    /// # Errors
    /// Its state directory cannot be used.
    pub fn at(root: Root) -> Result<Self, LocalError> {
        let root = Arc::new(root);
        let state = State::open(&root)?;
        Ok(Self { root, state })
    }

    /// The state directory, made if there is none yet.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make_state(&mut self) -> Result<&State, LocalError> {
        if self.state.is_none() {
            self.state = Some(State::create(&self.root)?);
        }
        match &self.state {
            Some(state) => {
                state.ask_disk();
                Ok(state)
            }
            None => Err(StateError::Layout("the state directory vanished".to_owned()).into()),
        }
    }

    /// Takes the lock of the root, and writes into the log what a holder who was killed could not.
    ///
    /// # Errors
    /// Somebody else has it, there is no state directory, or the root was moved into one since it was opened.
    pub fn lock(&self, holder: &Holder) -> Result<Lock, LocalError> {
        self.root.check_outside_state()?;
        let missing = || StateError::Layout("there is no state directory to lock".to_owned());
        let state = self.state.as_ref().ok_or_else(missing)?;
        let lock = Lock::exclusive(state.dir(), holder)?;
        if let Some(dead) = lock.left_by() {
            // A log never changes the outcome.
            drop(log::append(state, &log::Record::killed(dead)));
        }
        Ok(lock)
    }

    /// Finishes or undoes an interrupted transaction. Says for people what it did, also in the log; nothing if there was
    /// none.
    ///
    /// # Errors
    /// It could not be settled; the next try goes on.
    #[must_use = "the tree may be another one than before"]
    pub fn recover(&self, lock: &Lock, now_secs: i64) -> Result<Option<String>, LocalError> {
        if let Some(state) = &self.state {
            // Best effort: what stays does no harm, and the next time finds it.
            drop(state.sweep());
        }
        let recovery = transaction::recover(&self.root, lock, &mut |id, payload| {
            self.remember(id.as_str(), payload)
        })?;
        let words = recovery_words(&recovery);
        if let (Some(state), Some(words)) = (&self.state, &words) {
            // A log never changes the outcome.
            drop(log::append(state, &log::Record::recovered(now_secs, words)));
        }
        Ok(words)
    }

    /// Writes what goes with a decided transaction.
    ///
    /// # Errors
    /// The payload is damaged or the state cannot be written.
    pub fn remember(
        &self,
        id: &str,
        payload: &[u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        match &self.state {
            Some(state) => Ok(Payload::apply(state, id, payload)?),
            None => Ok(()),
        }
    }

    /// The id of this root; empty if it has none yet.
    #[must_use]
    pub fn own_id(&self) -> String {
        let id = self.state.as_ref().map(|state| state.id().to_string());
        id.unwrap_or_default()
    }

    /// Who is at work in this root.
    ///
    /// # Errors
    /// That cannot be found out.
    pub fn activity(&self) -> Result<Activity, LocalError> {
        match &self.state {
            Some(state) => Ok(Lock::activity(state.dir())?),
            None => Ok(Activity::Idle),
        }
    }

    /// Whether a transaction waits whose run was interrupted: nobody is at work.
    ///
    /// # Errors
    /// That cannot be found out.
    pub fn is_interrupted(&self) -> Result<bool, LocalError> {
        let is_held = || Ok::<_, LocalError>(matches!(self.activity()?, Activity::Running { .. }));
        Ok(self.pending()?.is_some() && !is_held()? && self.pending()?.is_some())
    }

    /// Whether a transaction waits, of a run that was interrupted or goes on.
    ///
    /// # Errors
    /// That cannot be found out.
    pub fn pending(&self) -> Result<Option<PendingKind>, LocalError> {
        match self.state {
            Some(_) => Ok(transaction::pending(&self.root)?),
            None => Ok(None),
        }
    }

    /// Scans the root. The index is read, never written.
    ///
    /// # Errors
    /// The root cannot be read, or the user interrupted.
    pub fn scan(&self, options: &ScanOptions<'_>) -> Result<Scan, LocalError> {
        let index = match &self.state {
            Some(state) => Index::load(state)?,
            None => Index::default(),
        };
        let (rules, work) = (options.rules, Work::default());
        let request = scan::Request {
            excludes: &|path, is_dir| {
                let excluded = rules.excludes(path.as_bytes(), is_dir, &work);
                if let (true, Some(hidden)) = (excluded, options.newly_hidden) {
                    hidden.note(path, is_dir);
                }
                excluded
            },
            index: &index,
            trust: !options.checksum,
            now_secs: options.now_secs,
            progress: options.progress,
            interrupted: options.interrupted,
            contents: true,
        };
        let scan = scan::scan(&self.root, &request)?;
        check_spent(&work)?;
        Ok(scan)
    }

    /// Keeps what a scan learned for the next one. Losing it costs time only. Where a file was altered behind
    /// its stat the old one stays: it is the witness.
    pub fn keep_index(&self, scan: &Scan) {
        if scan.is_indexed() || scan.altered().next().is_some() {
            return;
        }
        if let Some(state) = &self.state {
            drop(scan.index().save(state));
        }
    }

    /// Deletes the snapshots that the settings of this root do not keep, and old remains of transfers. Mere
    /// housekeeping: what was done before stands whatever comes of it, and settings that cannot be read delete
    /// nothing. Says for people, also in the log, what programs wrote into old versions and where that is.
    pub fn prune(&self, lock: &Lock, now_secs: i64) -> Vec<String> {
        let kept = self.kept();
        let pruned =
            kept.and_then(|kept| transaction::prune(&self.root, lock, kept, now_secs).ok());
        let late = pruned.map_or_else(Vec::new, |pruned| pruned.late_writes);
        let words: Vec<_> = late.iter().map(late_words).collect();
        if let (Some(state), false) = (&self.state, words.is_empty()) {
            // A log never changes the outcome.
            drop(log::append(
                state,
                &log::Record::pruned(now_secs, &words.join("; ")),
            ));
        }
        words
    }

    /// Which snapshots stay; `None` if the settings cannot be read.
    fn kept(&self) -> Option<Kept> {
        let state = self.state.as_ref()?;
        let text = durable::read(state.dir(), MACHINE_CONFIG, MAX_CONFIG_BYTES).ok()?;
        let Some(text) = text else {
            return Some(Kept::default());
        };
        let text = String::from_utf8(text).ok()?;
        let config = config::file::parse(&text, ".rsyn/config.toml", false).ok()?;
        let (wanted, default) = (config.snapshots.unwrap_or_default(), Kept::default());
        let younger = wanted.days.map(|days| i64::from(days.max(1)) * DAY_SECS);
        Some(Kept {
            newest: wanted.newest.unwrap_or(default.newest),
            younger_than_secs: younger.unwrap_or(default.younger_than_secs),
            max_bytes: wanted.max_bytes().ok()?,
        })
    }

    /// Stages contents of files of this root, several at a time, copied or renamed; gives those that could not be staged, and why.
    #[must_use]
    pub fn stage_copies<'a>(
        &self,
        staging: &transaction::Staging,
        copies: &'a [LocalCopy<'a>],
    ) -> Vec<(&'a LocalCopy<'a>, transaction::StageError)> {
        let bytes = total_bytes(copies.iter().map(|copy| copy.node.size()));
        let failed = Mutex::new(Vec::new());
        let stage = |copy: &'a LocalCopy<'a>| {
            if copy.is_rename
                && staging.rename(copy.slot, &self.root, (copy.from, copy.to), copy.node)?
            {
                return Ok(());
            }
            let (file, _) = self.root.open_file(copy.from)?;
            staging.copy(copy.slot, &file, copy.node)
        };
        let all: Result<(), std::convert::Infallible> =
            threads::for_each(&copies.iter().collect::<Vec<_>>(), bytes, &|copy| {
                if let Err(e) = stage(copy) {
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    failed.push((*copy, e));
                }
                Ok(())
            });
        let Ok(()) = all;
        let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.sort_by_key(|(copy, _)| copy.slot);
        failed
    }
}

/// Whether the rules of a walk left it something to spend: else it saw too little.
///
/// # Errors
/// [`ScanError::Rules`]
pub fn check_spent(work: &Work) -> Result<(), ScanError> {
    match work.spent_at() {
        Some(rule) => Err(ScanError::Rules(rule.to_string())),
        None => Ok(()),
    }
}

/// Content that is to come from another place in the same root.
#[derive(Debug, Clone, Copy)]
pub struct LocalCopy<'a> {
    /// Where it is staged.
    pub slot: u32,
    /// The file that has it.
    pub from: &'a RelPath,
    /// Where it shall come.
    pub to: &'a RelPath,
    /// What it shall be.
    pub node: &'a Node,
    /// Whether that file goes from there in the same transaction, just as it is.
    pub is_rename: bool,
}

/// Stages an object that needs no content: a directory or a link. `false` if it is neither.
///
/// # Errors
/// The staging area cannot be used.
pub fn stage_plain(
    staging: &transaction::Staging,
    slot: u32,
    node: &Node,
) -> Result<bool, transaction::StageError> {
    match node {
        Node::Dir { mode } => staging.dir(slot, Mode::from(mode.bits())).map(|()| true),
        Node::Symlink { target, mtime } => staging.symlink(slot, target, *mtime).map(|()| true),
        Node::File { .. } | Node::Skipped(_) => Ok(false),
    }
}

/// What a recovery did, for people; `None` if there was nothing to do.
fn recovery_words(recovery: &Recovery) -> Option<String> {
    if recovery.is_nothing() {
        return None;
    }
    let mut words = Vec::new();
    if recovery.undone.is_some() {
        words.push("an interrupted sync was undone: the files are as before it".to_owned());
    }
    if !recovery.finished.is_empty() {
        words.push("an interrupted sync was finished: the files are as after it".to_owned());
    }
    let late = recovery.late_writes.iter();
    words.extend(late.map(|(id, path)| {
        format!("{path:?}: a program went on writing to the old version; its bytes are in the snapshot {id}")
    }));
    words.extend(recovery.attention.iter().map(ToString::to_string));
    Some(words.join("; "))
}

/// What a program wrote into an old version, and where it is.
fn late_words(late: &LateWrite) -> String {
    let LateWrite { id, path, copy } = late;
    let written = "a program went on writing to the version that was replaced";
    match copy {
        Some(copy) => {
            format!("{path:?}: {written}; it is {copy:?} now, for its snapshot {id} is old")
        }
        None => format!(
            "{path:?}: {written}; its snapshot {id} is old and stays, for it cannot be put beside the path"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the file `log` another content, at the time `when`.
    fn replace_log(local: &Local, lock: &Lock, content: &[u8], when: i64) {
        let path = RelPath::new(*b"log").unwrap();
        let node = |content: &[u8], mtime| Node::File {
            size: content.len() as u64,
            digest: crate::model::Digest::of(content),
            mode: Mode::from(0o644),
            mtime,
        };
        let (mut file, stat) = local.root.open_file(&path).unwrap();
        let mut old = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut old).unwrap();
        let staging = transaction::Staging::begin(&local.root).unwrap();
        let new = node(content, stat.mtime);
        staging.stager().file(0, new.clone(), content).unwrap();
        let request = transaction::Request {
            changes: vec![transaction::Change {
                path,
                old: Some(transaction::Expected::new(node(&old, stat.mtime), None)),
                new: Some(transaction::NewNode {
                    node: new,
                    slot: Some(0),
                }),
            }],
            payload: Vec::new(),
            label: transaction::Label {
                when,
                ..transaction::Label::default()
            },
            keep_snapshot: true,
            consumes: None,
            interrupted: &|| false,
        };
        transaction::commit(&local.root, lock, staging, request, &mut |_, _| Ok(())).unwrap();
    }

    #[test]
    fn what_was_written_into_an_old_version_is_named_in_output_and_log_when_its_snapshot_goes() {
        let temp = tempfile::tempdir().unwrap();
        let mut local = Local::open(temp.path()).unwrap();
        local.make_state().unwrap();
        let state = local.state.as_ref().unwrap();
        let settings = b"[snapshots]\nnewest = 1\ndays = 1";
        durable::replace(state.dir(), MACHINE_CONFIG, settings).unwrap();
        let mut log = local.root.top().create_file(b"log").unwrap();
        log.set_mode(0o644).unwrap();
        log.write_all(b"line\n").unwrap();
        let holder = Holder {
            pid: 1,
            machine: String::new(),
            verb: String::new(),
            since: 0,
        };
        let lock = local.lock(&holder).unwrap();
        for day in 0..4u8 {
            replace_log(&local, &lock, &[day], i64::from(day) * DAY_SECS);
        }
        log.write_all(b"late\n").unwrap();
        assert!(local.prune(&lock, DAY_SECS).is_empty(), "it is young");
        let words = local.prune(&lock, 4 * DAY_SECS);
        let [words] = &words[..] else {
            panic!("{words:?}")
        };
        let name = words.split('"').nth(3).unwrap();
        assert!(
            words.starts_with("\"log\": a program went on writing"),
            "{words}"
        );
        let (copy, _) = local.root.top().open_file(name.as_bytes()).unwrap();
        assert_eq!(std::io::read_to_string(copy).unwrap(), "line\nlate\n");
        let records = log::last(state, 1).unwrap();
        assert_eq!(
            (&*records[0].verb, records[0].note.as_ref()),
            ("prune", Some(words))
        );
        assert!(
            local.prune(&lock, 4 * DAY_SECS).is_empty(),
            "it is told once"
        );
    }

    #[test]
    fn a_root_keeps_the_snapshots_that_its_own_settings_name() {
        let temp = tempfile::tempdir().unwrap();
        let mut local = Local::open(temp.path()).unwrap();
        assert_eq!(local.kept(), None, "nothing is pruned where no state is");
        local.make_state().unwrap();
        assert_eq!(local.kept(), Some(Kept::default()));
        let kept_with = |text: &str| {
            let state = local.state.as_ref().unwrap();
            durable::replace(state.dir(), MACHINE_CONFIG, text.as_bytes()).unwrap();
            local.kept()
        };
        assert_eq!(
            kept_with("[snapshots]\nnewest = 3\ndays = 0\nmax_size = \"2GB\""),
            Some(Kept {
                newest: 3,
                younger_than_secs: DAY_SECS,
                max_bytes: Some(2_000_000_000),
            })
        );
        assert_eq!(
            kept_with("[snapshots"),
            None,
            "settings that cannot be read delete nothing"
        );
    }
}
