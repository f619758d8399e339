//! What a hub does for a client: finds the root, observes its tree, stages, commits, undoes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::client::{digest_of, needs_slot};
use super::connection::Outbox;
use super::local::{Local, LocalError, ScanOptions, recovery_words, stage_plain};
use super::receive::{self, Awaited, Destination, ReceiveError, Received, Receiver};
use super::serve::{Machinery, ServeError};
use crate::disk::{DiskError, Holder, LockError, Root, durable};
use crate::model::{Digest, Node, RelPath, Tombstone, Tree};
use crate::plan::Verb;
use crate::protocol::handshake::ClientHello;
use crate::protocol::limits;
use crate::protocol::message::{
    CommitReport, Control, Message, Op, OpSource, RefusalKind, SnapshotLine,
};
use crate::scan::Scan;
use crate::state::hub::tombstones_digest;
use crate::state::{Hub, HubUpdate, Payload, State, log};
use crate::transaction::{
    self, Change, CommitError, Expected, Label, NewNode, Request, StageError, Staging,
};

/// The exclude file that travels with a project.
pub const EXCLUDE_FILE: &str = ".rsync-exclude";
/// An exclude file is not longer than this, in bytes.
const EXCLUDE_FILE_BYTES: u64 = 1024 * 1024;
/// How long a deletion is remembered.
const TOMBSTONE_SECS: i64 = 90 * 24 * 3600;
/// Lock attempts: another push's commit takes milliseconds.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Milliseconds since 1970.
pub type Clock = fn() -> i64;

/// Where the root is, or would be.
pub enum Place {
    /// There.
    There(Box<Local>),
    /// Not there yet: a first push makes it.
    Missing {
        /// Where.
        path: PathBuf,
        /// Whether it could be made.
        parent_writable: bool,
    },
}

/// The path that a client means: absolute, or below the login's home.
#[must_use]
pub fn resolve(asked: &[u8], home: &Path) -> PathBuf {
    let below_home = asked.strip_prefix(b"~/").unwrap_or(asked);
    home.join(OsStr::from_bytes(below_home))
}

impl Place {
    /// Opens the root at `path`, inside `restrict` if that is given. With `writes`, a root without state gets it.
    pub(super) fn open(
        path: &Path,
        restrict: Option<&Path>,
        writes: bool,
    ) -> Result<Self, ServeError> {
        let path = match restrict {
            None => path.to_owned(),
            Some(top) => confine(path, top)?,
        };
        match Local::open(&path) {
            Ok(mut local) => {
                if writes && local.root.top().check_writable().is_ok() {
                    local.make_state()?;
                }
                Ok(Self::There(Box::new(local)))
            }
            Err(LocalError::Disk(e)) if e.is_missing() => {
                let parent = path.parent().map(Root::open);
                let parent_writable =
                    parent.is_some_and(|p| p.is_ok_and(|p| p.top().check_writable().is_ok()));
                Ok(Self::Missing {
                    path,
                    parent_writable,
                })
            }
            Err(e) => Err(e.into()),
        }
    }

    /// The root, made if it was missing.
    pub(super) fn make(&mut self, _machinery: &Machinery) -> Result<&Local, ServeError> {
        if let Self::Missing { path, .. } = self {
            let root = Root::create(path).map_err(|e| match e.is_missing() {
                true => {
                    let message = format!("on the hub: {e}");
                    ServeError::refused(
                        RefusalKind::Usage,
                        message,
                        "make its parent directory on the hub",
                    )
                }
                false => LocalError::from(e).into(),
            })?;
            let mut local = Local {
                root: Arc::new(root),
                state: None,
            };
            local.make_state()?;
            *self = Self::There(Box::new(local));
        }
        match self {
            Self::There(local) => {
                local.make_state()?;
                Ok(local)
            }
            Self::Missing { path, .. } => {
                let message = format!("cannot make {}", path.as_os_str().as_bytes().escape_ascii());
                Err(ServeError::refused(
                    RefusalKind::Failed,
                    message,
                    "make it by hand",
                ))
            }
        }
    }
}

/// The path inside `top` that a client means, with all links resolved, or a refusal.
fn confine(path: &Path, top: &Path) -> Result<PathBuf, ServeError> {
    let outside = || {
        let shown = path.as_os_str().as_bytes().escape_ascii().to_string();
        let message = format!("{shown} is outside of what this key may use");
        ServeError::refused(
            RefusalKind::Usage,
            message,
            "ask for a path inside the served directory",
        )
    };
    let top = crate::disk::real_path(top).map_err(LocalError::from)?;
    let real = match crate::disk::real_path(path) {
        Ok(real) => real,
        // Not there yet: its parent decides.
        Err(e) if e.is_missing() => {
            let (parent, name) = path.parent().zip(path.file_name()).ok_or_else(outside)?;
            crate::disk::real_path(parent)
                .map_err(|_| outside())?
                .join(name)
        }
        Err(_) => return Err(outside()),
    };
    if real.starts_with(&top) {
        Ok(real)
    } else {
        Err(outside())
    }
}

/// The id of a root. One that cannot be written has none of its own and is known by its place.
#[must_use]
pub fn identity(local: &Local) -> String {
    match &local.state {
        Some(state) => state.id().to_string(),
        None => {
            let place = format!(
                "rsyn root without state {} {}",
                local.root.dev(),
                local.root.ino()
            );
            Digest::of(place.as_bytes()).to_string()[..32].to_owned()
        }
    }
}

/// Whether names that differ only in case are two names. The state directory is a name we know.
#[must_use]
pub fn is_case_sensitive(local: &Local) -> bool {
    local.state.is_none() || !matches!(local.root.top().stat(b".RSYN"), Ok(Some(_)))
}

/// The text of the root's exclude file, if there is one.
pub(super) fn exclude_file(local: &Local) -> Result<Option<Vec<u8>>, ServeError> {
    let read = durable::read(
        local.root.top(),
        EXCLUDE_FILE.as_bytes(),
        EXCLUDE_FILE_BYTES,
    );
    Ok(read.map_err(LocalError::from)?)
}

fn holder(hello: &ClientHello, machinery: &Machinery, verb: &str) -> Holder {
    Holder {
        pid: std::process::id(),
        machine: hello.machine.chars().take(128).collect(),
        verb: verb.to_owned(),
        since: (machinery.clock)().div_euclid(1000),
    }
}

/// Takes the lock; waits a little for another commit.
fn lock(local: &Local, holder: &Holder) -> Result<crate::disk::Lock, ServeError> {
    let mut attempts = 0;
    loop {
        match local.lock(holder) {
            Err(LocalError::Lock(LockError::Held(_))) if attempts < LOCK_ATTEMPTS => {
                attempts += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            other => return Ok(other?),
        }
    }
}

/// Settles an interrupted transaction before anything is told about the tree.
pub(super) fn recover(
    local: &Local,
    hello: &ClientHello,
    machinery: &Machinery,
) -> Result<Option<String>, ServeError> {
    let holder = holder(hello, machinery, "recover");
    let lock = match local.lock(&holder) {
        Ok(lock) => lock,
        // Somebody commits just now; what the dead left is put away another time, unless it is in the way.
        Err(LocalError::Lock(LockError::Held(_))) if local.pending()?.is_none() => return Ok(None),
        Err(_) => lock(local, &holder)?,
    };
    Ok(recovery_words(&local.recover(&lock)?))
}

/// Takes note of the tree as it is, durably, if anything is new.
pub(super) fn observe(
    local: &Local,
    rules: Digest,
    scan: &Scan,
    now_secs: i64,
) -> Result<Hub, ServeError> {
    let Some(state) = &local.state else {
        return recall(local, rules, scan, now_secs);
    };
    local.keep_index(scan);
    let machine = "hub".to_owned();
    let holder = Holder {
        pid: std::process::id(),
        machine,
        verb: "look".to_owned(),
        since: now_secs,
    };
    // Somebody commits just now: what changed is told all the same, and noted next time.
    let Ok(_lock) = local.lock(&holder) else {
        return recall(local, rules, scan, now_secs);
    };
    let mut hub = Hub::load(state).map_err(LocalError::from)?;
    let expired = hub.expire(now_secs, TOMBSTONE_SECS);
    if hub.observe(rules, &scan.tree, now_secs) || !expired.is_empty() {
        hub.save(state).map_err(LocalError::from)?;
    }
    Ok(hub)
}

/// Scans a root while nobody commits to it: a tree in the middle of a commit is neither the old nor the new.
pub(super) fn scan_at_rest(local: &Local, options: &ScanOptions<'_>) -> Result<Scan, LocalError> {
    let commits = || -> Result<u64, LocalError> {
        Ok(local
            .state
            .as_ref()
            .map(Hub::load)
            .transpose()?
            .map_or(0, |hub| hub.commits()))
    };
    let mut attempts = 0;
    loop {
        let before = commits()?;
        let scan = local.scan(options)?;
        let at_rest = local.pending()?.is_none() && commits()? == before;
        if at_rest || attempts == LOCK_ATTEMPTS {
            return Ok(scan);
        }
        attempts += 1;
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// As [`observe`], without writing anything.
pub(super) fn recall(
    local: &Local,
    rules: Digest,
    scan: &Scan,
    now_secs: i64,
) -> Result<Hub, ServeError> {
    let mut hub = match &local.state {
        Some(state) => Hub::load(state).map_err(LocalError::from)?,
        None => Hub::default(),
    };
    hub.expire(now_secs, TOMBSTONE_SECS);
    hub.observe(rules, &scan.tree, now_secs);
    Ok(hub)
}

/// A push that is being received.
#[derive(Default)]
pub(super) struct Receiving {
    ops: Vec<Op>,
    staging: Option<Staging>,
    receiver: Receiver,
    /// Items that have to come again, whole.
    again: Vec<u32>,
    signer: Option<Signing>,
}

/// The thread that signs bases.
struct Signing {
    thread: std::thread::JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl Receiving {
    pub(super) fn add(&mut self, ops: Vec<Op>) -> Result<(), super::PeerError> {
        if self.ops.len() + ops.len() > limits::TREE_ENTRIES || self.staging.is_some() {
            return Err(malformed("ops"));
        }
        self.ops.extend(ops);
        Ok(())
    }

    pub(super) fn check_plan(&self, plan: Digest) -> Result<(), ServeError> {
        if digest_of(&self.ops) == plan {
            return Ok(());
        }
        let hint = "run it again";
        Err(ServeError::refused(
            RefusalKind::Integrity,
            "the plan arrived damaged",
            hint,
        ))
    }

    /// Stages what is at hand and asks for the rest.
    pub(super) fn begin(&mut self, local: &Local, outbox: &Outbox) -> Result<(), ServeError> {
        let staging = Staging::begin(&local.root).map_err(LocalError::from)?;
        let (mut again, mut sign) = (Vec::new(), Vec::new());
        let ops = std::mem::take(&mut self.ops);
        for (id, op) in (0..).zip(&ops) {
            let Some(new) = &op.new else { continue };
            if !needs_slot(verb(op), op.old.as_ref(), new)
                || stage_plain(&staging, id, new).map_err(staging_error)?
            {
                continue;
            }
            match &op.source {
                OpSource::Whole => self.await_file(id, new, None),
                OpSource::Delta => {
                    self.await_file(id, new, Some(op.path.clone()));
                    sign.push((id, op.path.clone()));
                }
                OpSource::Yours(from) => {
                    if local.stage_copy(&staging, id, from, new).is_err() {
                        self.await_file(id, new, None);
                        again.push(id);
                    }
                }
                OpSource::SameAs(_) | OpSource::Nothing => {}
            }
        }
        self.ops = ops;
        self.again = again;
        self.staging = Some(staging);
        self.sign(local, outbox, sign)
    }

    /// Signs bases on a thread of its own: the client sends whole files meanwhile, and this end must not
    /// stop reading them.
    fn sign(
        &mut self,
        local: &Local,
        outbox: &Outbox,
        items: Vec<(u32, RelPath)>,
    ) -> Result<(), ServeError> {
        if items.is_empty() {
            return Ok(());
        }
        let root = Arc::clone(&local.root);
        let outbox = outbox.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for (id, path) in items {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let sent = match receive::send_signature(&root, &outbox, id, &path) {
                    Ok(true) => Ok(()),
                    Ok(false) => outbox.send(Control::Resend(vec![id])),
                    Err(e) => Err(e),
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        self.signer = Some(Signing { thread, stop });
        Ok(())
    }

    /// Ends the signing; nothing of it is sent afterwards. The client must be reading.
    fn stop_signing(&mut self) {
        if let Some(Signing { thread, stop }) = self.signer.take() {
            stop.store(true, Ordering::Relaxed);
            // A signer that panicked sends nothing more either.
            drop(thread.join());
        }
    }

    /// Gives the push up; what was received is kept for the next attempt.
    pub(super) fn give_up(mut self) {
        self.stop_signing();
    }

    pub(super) fn take(
        &mut self,
        local: &Local,
        counters: &Received,
        message: Message,
    ) -> Result<(), ServeError> {
        let Some(staging) = &self.staging else {
            return Err(malformed("content").into());
        };
        let to = Destination {
            root: &local.root,
            staging,
            counters,
        };
        let taken = self.receiver.take(&to, message);
        self.again.extend(self.receiver.take_failed());
        taken.map_err(|e| self.name_damage(e))
    }

    /// Content that did not verify, by the name of its path.
    fn name_damage(&self, error: ReceiveError) -> ServeError {
        let ReceiveError::Stage(StageError::Integrity { slot, .. }) = &error else {
            return receive_error(error);
        };
        let path = self
            .ops
            .get(*slot as usize)
            .map(|op| format!("{:?}", op.path));
        let message = format!(
            "content of {} is not what the scan found there",
            path.unwrap_or_else(|| "a file".to_owned())
        );
        ServeError::refused(
            RefusalKind::Integrity,
            message,
            "run it again with `-c` to read every file",
        )
    }

    fn await_file(&mut self, id: u32, node: &Node, basis: Option<RelPath>) {
        if let Some(file) = Awaited::of(node, basis) {
            self.receiver.await_file(id, file);
        }
    }

    /// Items that have to come again, whole.
    pub(super) fn take_failed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.again)
    }
}

fn malformed(what: &'static str) -> super::PeerError {
    crate::protocol::ProtocolError::Malformed { what }.into()
}

fn staging_error(error: StageError) -> ServeError {
    receive_error(error.into())
}

fn receive_error(error: ReceiveError) -> ServeError {
    match error {
        ReceiveError::Peer(e) => e.into(),
        ReceiveError::Disk(e) => LocalError::from(e).into(),
        ReceiveError::Stage(StageError::Disk(e)) => LocalError::from(e).into(),
        ReceiveError::Stage(e) => {
            let message = format!("content did not verify on the hub: {e}");
            ServeError::refused(
                RefusalKind::Integrity,
                message,
                "nothing was changed; run it again",
            )
        }
    }
}

fn verb(op: &Op) -> Verb {
    match (&op.old, &op.new) {
        (_, None) => Verb::Delete,
        (None, Some(_)) => Verb::Create,
        (Some(old), Some(new)) if old.same_content(new) => Verb::Meta,
        (Some(_), Some(_)) => Verb::Update,
    }
}

/// What goes with a commit.
pub(super) struct Order<'a> {
    pub(super) rules: Digest,
    pub(super) scan: &'a Scan,
    pub(super) keep_snapshot: bool,
    pub(super) label: &'a str,
    pub(super) hello: &'a ClientHello,
    pub(super) machinery: &'a Machinery,
}

/// Commits a received push; gives the answer and, if it was committed, the tree afterwards.
pub(super) fn commit(
    local: &Local,
    mut receiving: Receiving,
    order: &Order<'_>,
) -> Result<(Control, Option<Tree>), ServeError> {
    let Some(staging) = receiving.staging.take() else {
        return Err(malformed("commit").into());
    };
    receiving.stop_signing();
    for (id, op) in (0..).zip(&receiving.ops) {
        if let (OpSource::SameAs(from), Some(Node::File { mode, mtime, .. })) =
            (&op.source, &op.new)
        {
            staging
                .duplicate(*from, id, *mode, *mtime)
                .map_err(staging_error)?;
        }
    }
    staging.sync().map_err(LocalError::from)?;
    let update = HubUpdate {
        rules: order.rules,
        changes: receiving
            .ops
            .iter()
            .map(|op| (op.path.clone(), op.new.clone()))
            .collect(),
        deleted: tombstones(&receiving.ops, order.hello, order.machinery),
    };
    let changes = receiving
        .ops
        .iter()
        .zip(0..)
        .map(|(op, id)| change(op, id, order.scan))
        .collect();
    let label = Label {
        verb: "push".to_owned(),
        peer: order.label.chars().take(256).collect(),
        machine: order.hello.machine.chars().take(128).collect(),
        when: (order.machinery.clock)().div_euclid(1000),
    };
    let payload = Payload::Hub(update).encode().map_err(LocalError::from)?;
    let tree = order.scan.tree.with_changes(
        receiving
            .ops
            .iter()
            .map(|op| (op.path.clone(), op.new.clone())),
    );
    let lock = lock(local, &holder(order.hello, order.machinery, "push"))?;
    let request = Request {
        changes,
        payload,
        label,
        keep_snapshot: order.keep_snapshot,
        consumes: None,
        interrupted: &|| false,
    };
    let committed = transaction::commit(&local.root, &lock, staging, request, &mut |id, p| {
        local.remember(id.as_str(), p)
    });
    let answer = report(local, committed, &tree)?;
    transaction_pruned(local, &lock, order.machinery);
    if let Control::Committed(report) = &answer {
        note_in_log(local, &receiving.ops, order, report);
        return Ok((answer, Some(tree)));
    }
    Ok((answer, None))
}

fn transaction_pruned(local: &Local, lock: &crate::disk::Lock, machinery: &Machinery) {
    // Pruning is housekeeping: the commit stands whatever comes of it.
    drop(transaction::prune(
        &local.root,
        lock,
        transaction::Kept::default(),
        (machinery.clock)().div_euclid(1000),
    ));
}

/// The answer to a commit that took place, or did not.
fn report(
    local: &Local,
    committed: Result<transaction::Committed, CommitError>,
    tree: &Tree,
) -> Result<Control, ServeError> {
    let committed = match committed {
        Ok(committed) => committed,
        Err(CommitError::Stale { paths }) => return Ok(Control::Stale(paths)),
        Err(e) => return Err(commit_error(&e)),
    };
    let state = local.state.as_ref();
    let hub = state.and_then(|s| Hub::load(s).ok()).unwrap_or_default();
    Ok(Control::Committed(CommitReport {
        root_id: identity(local),
        transaction: committed.txn_id.to_string(),
        generation: hub.generation(),
        view: tree.view_digest(),
        tombstones: tombstones_digest(hub.tombstones()),
        snapshot: committed.snapshot.map(|id| id.to_string()),
        kept_dirs: committed.kept_dirs,
        late_writes: committed.late_writes,
    }))
}

fn commit_error(error: &CommitError) -> ServeError {
    let (kind, hint) = match error {
        CommitError::Stage(_) | CommitError::Damaged(_) => (RefusalKind::Integrity, "run it again"),
        CommitError::RecoveryPending => (RefusalKind::Busy, "run it again: the hub recovers first"),
        CommitError::Unsettled { .. } | CommitError::Unfinished { .. } => (
            RefusalKind::Failed,
            "the next sync, or `rsyn recover` on the hub, goes on with it",
        ),
        _ => (RefusalKind::Failed, "nothing was changed on the hub"),
    };
    ServeError::refused(kind, format!("on the hub: {error}"), hint)
}

fn change(op: &Op, id: u32, scan: &Scan) -> Change {
    let slot = |new: &Node| needs_slot(verb(op), op.old.as_ref(), new).then_some(id);
    Change {
        path: op.path.clone(),
        old: op.old.as_ref().map(|node| Expected {
            node: node.clone(),
            seen: scan.stat(&op.path),
        }),
        new: op.new.as_ref().map(|node| NewNode {
            node: node.clone(),
            slot: slot(node),
        }),
    }
}

fn tombstones(ops: &[Op], hello: &ClientHello, machinery: &Machinery) -> Vec<(RelPath, Tombstone)> {
    let when_secs = (machinery.clock)().div_euclid(1000);
    let machine: String = hello.machine.chars().take(128).collect();
    let gone = ops.iter().filter(|op| op.new.is_none());
    let tombstone = |op: &Op| {
        let old = op.old.as_ref()?;
        let machine = machine.clone();
        Some((
            op.path.clone(),
            Tombstone {
                kind: old.kind(),
                digest: old.digest(),
                machine,
                when_secs,
            },
        ))
    };
    gone.filter_map(tombstone).collect()
}

fn note_in_log(local: &Local, ops: &[Op], order: &Order<'_>, report: &CommitReport) {
    let count = |wanted: Verb| ops.iter().filter(|op| verb(op) == wanted).count() as u64;
    let record = log::Record {
        when: crate::report::time::rfc3339((order.machinery.clock)()),
        verb: "push".to_owned(),
        peer: order.hello.machine.chars().take(128).collect(),
        create: count(Verb::Create),
        update: count(Verb::Update),
        delete: count(Verb::Delete),
        meta: count(Verb::Meta),
        conflicts: 0,
        bytes_sent: 0,
        bytes_received: 0,
        result: "ok".to_owned(),
        snapshot: report.snapshot.clone(),
        note: None,
    };
    if let Some(state) = &local.state {
        // A log that cannot be written never changes the outcome.
        drop(log::append(state, &record));
    }
}

fn there(place: &Place) -> Result<(&Local, &State), ServeError> {
    match place {
        Place::There(local) => match &local.state {
            Some(state) => Ok((local, state)),
            None => Err(ServeError::refused(
                RefusalKind::Usage,
                "nothing was ever synced there",
                "push first",
            )),
        },
        Place::Missing { path, .. } => {
            let message = format!(
                "{} does not exist",
                path.as_os_str().as_bytes().escape_ascii()
            );
            Err(ServeError::refused(
                RefusalKind::Usage,
                message,
                "push first",
            ))
        }
    }
}

/// The snapshots of a root, newest first.
pub(super) fn snapshots(place: &Place) -> Result<Vec<SnapshotLine>, ServeError> {
    let (local, _) = there(place)?;
    snapshot_lines(local).map_err(|e| LocalError::from(e).into())
}

/// The snapshots of a root, newest first, as they are shown.
///
/// # Errors
/// They cannot be read.
pub fn snapshot_lines(local: &Local) -> Result<Vec<SnapshotLine>, DiskError> {
    let line = |info: transaction::SnapshotInfo| SnapshotLine {
        id: info.id.to_string(),
        when_secs: info.label.when,
        label: format!("{} {}", info.label.verb, info.label.peer)
            .trim_end()
            .to_owned(),
        changes: info.changes,
        bytes: info.bytes,
    };
    Ok(transaction::snapshots(&local.root)?
        .into_iter()
        .take(limits::LIST_ITEMS)
        .map(line)
        .collect())
}

/// The machines that synced here.
pub(super) fn machines(place: &Place) -> Result<Vec<(String, i64)>, ServeError> {
    let (_, state) = there(place)?;
    let machines = crate::state::hub::machines(state).map_err(LocalError::from)?;
    Ok(machines
        .into_iter()
        .map(|m| (m.name, m.last_secs))
        .collect())
}

/// What undoing a snapshot would do.
pub(super) fn plan_rollback(
    place: &Place,
    id: Option<&str>,
) -> Result<(String, Vec<Op>), ServeError> {
    let (local, _) = there(place)?;
    let undo = super::undo::plan(local, id)?;
    Ok((undo.id().to_string(), undo.ops()))
}

/// Undoes a snapshot.
pub(super) fn rollback(
    place: &Place,
    id: &str,
    label: &str,
    hello: &ClientHello,
    machinery: &Machinery,
) -> Result<Control, ServeError> {
    let (local, _) = there(place)?;
    let lock = lock(local, &holder(hello, machinery, "rollback"))?;
    local.recover(&lock)?;
    let undo = super::undo::plan(local, Some(id))?;
    let label = Label {
        verb: "rollback".to_owned(),
        peer: label.chars().take(256).collect(),
        machine: hello.machine.chars().take(128).collect(),
        when: (machinery.clock)().div_euclid(1000),
    };
    let committed = undo.commit(local, &lock, label, &|| false);
    report(local, committed, &Tree::default())
}
