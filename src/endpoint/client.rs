//! The client's end of a session: it says hello, learns what the hub holds, fetches or sends content, and
//! asks for the commit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::connection::{
    self, Inbox, Interrupted, Outbox, SendOptions, Terms, Traffic, Writer, unexpected,
};
use super::local::{Local, stage_plain};
use super::receive::{self, Awaited, Destination, ReceiveError, Received, Receiver};
use super::supply::{Item, Supplied, Supplier};
use super::view::{self, HubView};
use super::{PeerError, signatures};
use crate::filter::Rules;
use crate::model::{Digest, Node, RelPath, Tombstones, Tree};
use crate::plan::{Action, Plan, Source, Verb};
use crate::protocol::handshake::{self, ClientHello, ServerHello};
use crate::protocol::limits;
use crate::protocol::message::{CommitReport, Control, Message, Op, OpSource, SnapshotLine, Want};
use crate::scan::Scan;
use crate::transaction::{StageError, Staging};
use crate::transport::{Process, Stderr, Transport};

/// Content of at least this many bytes is worth a signature.
const DELTA_BYTES: u64 = 64 * 1024;
/// Lengths that differ by more than this factor share little.
const DELTA_RATIO: u64 = 8;
/// How often content that did not verify is asked for again.
const RESEND_ROUNDS: usize = 2;

/// A session with a hub.
pub struct Client {
    outbox: Outbox,
    inbox: Inbox,
    writer: Writer,
    process: Process,
    /// The hub's Hello.
    pub hello: ServerHello,
    /// Bytes so far.
    pub traffic: Arc<Traffic>,
}

/// A session that waits for the hub's Hello.
pub struct Opening {
    greeting: connection::Greeting<ServerHello>,
    outbox: Outbox,
    inbox: Inbox,
    writer: Writer,
    process: Process,
    stderr: Stderr,
    traffic: Arc<Traffic>,
    interrupted: Interrupted,
    limit: Duration,
}

/// A session that did not start, with all that is known about why.
#[derive(Debug)]
pub struct NotOpened {
    /// What the stream said.
    pub error: PeerError,
    /// Exit code of the process at this end, if it ended.
    pub exit_code: Option<i32>,
    /// The last lines of its stderr.
    pub stderr: Vec<String>,
}

/// How a session is opened.
pub struct OpenOptions {
    /// How bytes are sent.
    pub send: SendOptions,
    /// How long the hub may be silent.
    pub timeout: Duration,
    /// Set when the user wants to stop.
    pub interrupted: Interrupted,
}

/// Sends the Hello, and the rules unless the hub has its own, without waiting for the hub.
///
/// # Errors
/// The Hello is too long (a root path of that length).
pub fn open(
    transport: Transport,
    hello: &ClientHello,
    rules: Option<&Rules>,
    options: OpenOptions,
) -> Result<Opening, PeerError> {
    let Transport {
        reader,
        mut writer,
        stderr,
        process,
        ..
    } = transport;
    let traffic = Arc::new(Traffic::default());
    let OpenOptions {
        send,
        timeout,
        interrupted,
    } = options;
    let terms = Terms {
        timeout,
        traffic: Arc::clone(&traffic),
        interrupted: Arc::clone(&interrupted),
    };
    let hello = handshake::encode_hello(hello)?;
    let (greeting, inbox) = connection::start_reader(reader, true, &terms);
    // A hub that is gone already says so on the reading side, with words.
    drop(writer.write_all(&hello).and_then(|()| writer.flush()));
    let (outbox, writer) = connection::start_writer(writer, send, &terms);
    if let Some(rules) = rules {
        for part in rules.encode().chunks(limits::DATA_BYTES) {
            drop(outbox.send(Control::Rules(part.to_vec())));
        }
        drop(outbox.send(Control::Rules(Vec::new())));
    }
    Ok(Opening {
        greeting,
        outbox,
        inbox,
        writer,
        process,
        stderr,
        traffic,
        interrupted,
        limit: timeout,
    })
}

impl Opening {
    /// Waits for the hub's Hello.
    ///
    /// # Errors
    /// [`NotOpened`]: it did not come, or refuses.
    pub fn wait(self) -> Result<Client, NotOpened> {
        let Self {
            greeting,
            outbox,
            inbox,
            writer,
            mut process,
            stderr,
            traffic,
            interrupted,
            limit,
        } = self;
        let step = Duration::from_millis(50);
        let mut waited = Duration::ZERO;
        let hello = loop {
            match greeting.wait(step) {
                Err(PeerError::Silent(_))
                    if interrupted.load(std::sync::atomic::Ordering::Relaxed) =>
                {
                    break Err(PeerError::Interrupted);
                }
                Err(PeerError::Silent(_)) if waited < limit => waited += step,
                Err(PeerError::Silent(_)) => break Err(PeerError::Silent(waited)),
                other => break other,
            }
        };
        match hello {
            Ok(ServerHello {
                refusal: Some(refusal),
                ..
            }) => Err(NotOpened {
                error: PeerError::Refused(refusal),
                exit_code: None,
                stderr: stderr.lines(),
            }),
            Ok(hello) => Ok(Client {
                outbox,
                inbox,
                writer,
                process,
                hello,
                traffic,
            }),
            Err(error) => {
                let exit_code = process.wait(Duration::from_secs(1)).flatten();
                Err(NotOpened {
                    error,
                    exit_code,
                    // What it said may still be on its way though it ended.
                    stderr: stderr.last_lines(Duration::from_secs(1)),
                })
            }
        }
    }
}

/// Bytes of a transfer, for people.
#[derive(Debug, Default)]
pub struct Counters {
    /// What came.
    pub received: Received,
    /// What went.
    pub supplied: Supplied,
}

/// How content travels.
#[derive(Debug, Clone, Copy)]
pub struct TransferOptions {
    /// Never a delta.
    pub whole_file: bool,
}

/// Why a transfer has no result.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Receiving or staging failed.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// These paths are not what the plan was made for. Nothing was changed; a new plan may do.
    #[error("{} changed while the sync ran", paths_named(.0))]
    Changed(Vec<RelPath>),
    /// The hub was told to commit, and its answer did not come or says that it failed.
    #[error(transparent)]
    Unheard(PeerError),
    /// The same content did not verify again and again.
    #[error("content of {0:?} is not what the scan found there")]
    Integrity(RelPath),
}

impl From<PeerError> for TransferError {
    fn from(error: PeerError) -> Self {
        Self::Receive(error.into())
    }
}

impl From<crate::transaction::StageError> for TransferError {
    fn from(error: crate::transaction::StageError) -> Self {
        Self::Receive(error.into())
    }
}

fn paths_named(paths: &[RelPath]) -> String {
    match paths {
        [one] => format!("{one:?}"),
        [first, rest @ ..] => format!("{first:?} and {} more", rest.len()),
        [] => "files".to_owned(),
    }
}

impl Client {
    /// Receives the hub's view. `known` is what was seen last.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn view(&self, known: (Tree, Tombstones)) -> Result<HubView, PeerError> {
        view::receive(&self.inbox, known)
    }

    /// Has the hub scanned again and receives its view.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn look_again(&self, known: (Tree, Tombstones)) -> Result<HubView, PeerError> {
        self.outbox.send(Control::Look)?;
        view::receive_again(&self.inbox, known)
    }

    /// Fetches all content that `plan` needs from the hub into `staging`; the slot of an action is its place
    /// in the plan.
    ///
    /// # Errors
    /// [`TransferError`]; the tree was not touched.
    pub fn fetch(
        &self,
        plan: &Plan,
        local: &Local,
        staging: &Staging,
        options: TransferOptions,
        counters: &Counters,
    ) -> Result<(), TransferError> {
        let mut fetch = Fetch::default();
        for (id, action) in (0..).zip(&plan.actions) {
            fetch.prepare(id, action, local, staging, options)?;
        }
        let Fetch {
            awaited,
            mut wants,
            doubles,
            ..
        } = fetch;
        let to = Destination {
            root: &local.root,
            staging,
            counters: &counters.received,
        };
        let mut receiver = Receiver::new(awaited);
        for want in &mut wants {
            want.skip_bytes = receiver.resume(&to, want.id)?;
            want.delta = want.delta && want.skip_bytes == 0;
        }
        std::thread::scope(|scope| {
            // Asking and signing on one thread, receiving on another: neither direction waits for the other.
            let asking = scope.spawn(|| self.ask(&wants, local));
            let received = self.receive_all(&mut receiver, &to, &wants);
            match asking.join() {
                Ok(asked) => received.and(asked.map_err(TransferError::from)),
                Err(_) => Err(PeerError::Closed.into()),
            }
        })
        .map_err(|e| name_damage(e, plan))?;
        if !receiver.changed().is_empty() {
            let path_of = |id: &u32| plan.actions.get(*id as usize).map(|a| a.path.clone());
            return Err(TransferError::Changed(
                receiver.changed().keys().filter_map(path_of).collect(),
            ));
        }
        for (from, to, node) in doubles {
            if let Node::File { mode, mtime, .. } = node {
                staging.duplicate(from, to, mode, mtime)?;
            }
        }
        Ok(())
    }

    fn ask(&self, wants: &[Want], local: &Local) -> Result<(), PeerError> {
        view::batches(
            wants.iter().cloned(),
            |w| w.path.as_bytes().len(),
            |batch| self.outbox.send(Control::Want(batch)),
        )?;
        for want in wants.iter().filter(|w| w.delta) {
            if !receive::send_signature(&local.root, &self.outbox, want.id, &want.path)? {
                let whole = Want {
                    delta: false,
                    ..want.clone()
                };
                self.outbox.send(Control::Want(vec![whole]))?;
            }
        }
        Ok(())
    }

    fn receive_all(
        &self,
        receiver: &mut Receiver,
        to: &Destination<'_>,
        wants: &[Want],
    ) -> Result<(), TransferError> {
        while !receiver.is_done() {
            receiver.take(to, self.inbox.receive()?)?;
            for id in receiver.take_failed() {
                let again = wants.iter().find(|w| w.id == id);
                let whole = again.map(|w| Want {
                    delta: false,
                    skip_bytes: 0,
                    ..w.clone()
                });
                self.outbox
                    .send(Control::Want(whole.into_iter().collect()))?;
            }
        }
        Ok(())
    }

    /// Sends `plan` and all content it needs to the hub and has it committed.
    ///
    /// # Errors
    /// [`TransferError`]; the hub's tree was not touched.
    pub fn push(
        &self,
        plan: &Plan,
        local: &Local,
        scan: &Scan,
        commit: Commit<'_>,
        options: TransferOptions,
        counters: &Counters,
    ) -> Result<CommitReport, TransferError> {
        let ops = ops(plan, options);
        let digest = digest_of(&ops);
        view::batches(
            ops.iter().cloned(),
            |op| op.path.as_bytes().len(),
            |batch| self.outbox.send(Control::Ops(batch)),
        )?;
        self.outbox.send(Control::OpsEnd { plan: digest })?;
        let mut sending = Sending {
            client: self,
            ops: &ops,
            plan,
            local,
            scan,
            counters,
        };
        sending.send_all()?;
        for _ in 0..=RESEND_ROUNDS {
            self.outbox.send(Control::Commit {
                plan: digest,
                snapshot: commit.keep_snapshot,
                label: commit.label.to_owned(),
            })?;
            match self
                .inbox
                .verdict("committed")
                .map_err(TransferError::Unheard)?
            {
                Control::Committed(report) => return Ok(report),
                Control::Stale(paths) => return Err(TransferError::Changed(paths)),
                Control::Resend(ids) => sending.send_again(&ids)?,
                other => return Err(unexpected(&other.into(), "committed").into()),
            }
        }
        let path = ops.first().map(|op| op.path.clone());
        path.map_or_else(
            || Err(PeerError::Closed.into()),
            |path| Err(TransferError::Integrity(path)),
        )
    }

    /// The contents of files of the hub, for a preview; `None` for one that cannot be had. None of them is
    /// longer than `limit` bytes: longer ones must not be asked for.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn contents(
        &self,
        paths: &[RelPath],
        limit: usize,
    ) -> Result<Vec<Option<Vec<u8>>>, PeerError> {
        let want = |(id, path): (u32, &RelPath)| Want {
            id,
            path: path.clone(),
            skip_bytes: 0,
            delta: false,
        };
        let wants: Vec<_> = (0..).zip(paths).map(want).collect();
        let mut contents = vec![None; paths.len()];
        // One at a time: what is shown to a person is little.
        for want in wants {
            let id = want.id;
            self.outbox.send(Control::Want(vec![want]))?;
            let mut content = Vec::new();
            let whole = loop {
                match self.inbox.receive()? {
                    Message::Whole {
                        id: found,
                        content: all,
                    } if found == id => {
                        content = all;
                        break true;
                    }
                    Message::Control(Control::Start { id: found }) if found == id => {}
                    Message::Data(bytes) if content.len() + bytes.len() <= limit => {
                        content.extend_from_slice(&bytes);
                    }
                    Message::Control(Control::End) => break true,
                    Message::Control(Control::Changed { .. }) => break false,
                    other => return Err(unexpected(&other, "content")),
                }
            };
            if let Some(slot) = contents.get_mut(id as usize).filter(|_| whole) {
                *slot = Some(content);
            }
        }
        Ok(contents)
    }

    /// The hub's snapshots, newest first.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn snapshots(&self) -> Result<Vec<SnapshotLine>, PeerError> {
        self.outbox.send(Control::ListSnapshots)?;
        match self.inbox.control("snapshots")? {
            Control::Snapshots(lines) => Ok(lines),
            other => Err(unexpected(&other.into(), "snapshots")),
        }
    }

    /// The machines that synced with the hub and when.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn machines(&self) -> Result<Vec<(String, i64)>, PeerError> {
        self.outbox.send(Control::ListMachines)?;
        match self.inbox.control("machines")? {
            Control::Machines(machines) => Ok(machines),
            other => Err(unexpected(&other.into(), "machines")),
        }
    }

    /// What undoing a snapshot of the hub (its newest if none is named) would do.
    ///
    /// # Errors
    /// [`PeerError`], also if there is no such snapshot.
    pub fn plan_rollback(&self, id: Option<String>) -> Result<(String, Vec<Op>), PeerError> {
        self.outbox.send(Control::PlanRollback { id })?;
        let mut all = Vec::new();
        loop {
            match self.inbox.control("rollback-plan")? {
                Control::RollbackPlan { id, ops, more } => {
                    all.extend(ops);
                    if all.len() > limits::TREE_ENTRIES {
                        return Err(crate::protocol::ProtocolError::Malformed {
                            what: "rollback plan",
                        }
                        .into());
                    }
                    if !more {
                        return Ok((id, all));
                    }
                }
                other => return Err(unexpected(&other.into(), "rollback-plan")),
            }
        }
    }

    /// Undoes a snapshot of the hub.
    ///
    /// # Errors
    /// [`PeerError`], or paths that changed since.
    pub fn rollback(&self, id: String, label: String) -> Result<CommitReport, TransferError> {
        self.outbox.send(Control::Rollback { id, label })?;
        match self
            .inbox
            .verdict("committed")
            .map_err(TransferError::Unheard)?
        {
            Control::Committed(report) => Ok(report),
            Control::Stale(paths) => Err(TransferError::Changed(paths)),
            other => Err(unexpected(&other.into(), "committed").into()),
        }
    }

    /// Says goodbye and waits for the end of the hub's process.
    pub fn close(self) {
        let Self {
            outbox,
            writer,
            mut process,
            ..
        } = self;
        drop(outbox.send(Control::Bye));
        writer.finish(outbox);
        // One that hangs on is killed with `process`.
        process.wait(Duration::from_secs(5));
    }
}

/// Content that did not verify, by the name of its path.
fn name_damage(error: TransferError, plan: &Plan) -> TransferError {
    if let TransferError::Receive(ReceiveError::Stage(StageError::Integrity { slot, .. })) = &error
        && let Some(action) = plan.actions.get(*slot as usize)
    {
        return TransferError::Integrity(action.path.clone());
    }
    error
}

/// Words that go with a commit.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// Whether displaced content is kept.
    pub keep_snapshot: bool,
    /// For the hub's log.
    pub label: &'a str,
}

/// What a pull has to fetch.
#[derive(Default)]
struct Fetch {
    awaited: HashMap<u32, Awaited>,
    wants: Vec<Want>,
    /// The first item that asks for a content.
    first: HashMap<Digest, u32>,
    /// Contents that are needed more than once: from slot, to slot.
    doubles: Vec<(u32, u32, Node)>,
}

impl Fetch {
    /// Stages what is at hand for one action and notes what has to be asked for.
    fn prepare(
        &mut self,
        id: u32,
        action: &Action,
        local: &Local,
        staging: &Staging,
        options: TransferOptions,
    ) -> Result<(), TransferError> {
        let Some(new) = action
            .new
            .as_ref()
            .filter(|n| needs_slot(action.verb, action.old.as_ref(), n))
        else {
            return Ok(());
        };
        if stage_plain(staging, id, new)? {
            return Ok(());
        }
        let theirs = match &action.source {
            Source::Ours(from) => match local.stage_copy(staging, id, from, new) {
                Ok(()) => return Ok(()),
                // The copy changed meanwhile, but the hub has it as well, if it is not the user's own version.
                Err(_) if action.conflict.is_none() => &action.path,
                Err(e) => return Err(e.into()),
            },
            Source::Theirs(from) => from,
            Source::Nothing => return Ok(()),
        };
        if let Some(digest) = new.digest() {
            if let Some(first) = self.first.get(&digest) {
                self.doubles.push((*first, id, new.clone()));
                return Ok(());
            }
            self.first.insert(digest, id);
        }
        let delta = *theirs == action.path && wants_delta(action.old.as_ref(), new, options);
        let basis = delta.then(|| action.path.clone());
        self.awaited
            .extend(Awaited::of(new, basis).map(|a| (id, a)));
        self.wants.push(Want {
            id,
            path: theirs.clone(),
            skip_bytes: 0,
            delta,
        });
        Ok(())
    }
}

/// Whether an action puts a new object in place, rather than changing permission bits of what is there.
#[must_use]
pub fn needs_slot(verb: Verb, old: Option<&Node>, new: &Node) -> bool {
    verb != Verb::Meta && !(new.is_dir() && old.is_some_and(Node::is_dir))
}

fn wants_delta(old: Option<&Node>, new: &Node, options: TransferOptions) -> bool {
    let (Some(Node::File { size: old, .. }), Node::File { size: new, .. }) = (old, new) else {
        return false;
    };
    let (small, large) = (*old.min(new), *old.max(new));
    !options.whole_file && small >= DELTA_BYTES && large / DELTA_RATIO <= small
}

/// The operations of a plan, as the hub is told them.
#[must_use]
pub fn ops(plan: &Plan, options: TransferOptions) -> Vec<Op> {
    let mut sent: BTreeMap<Digest, u32> = BTreeMap::new();
    let mut source = |id: u32, action: &Action| -> OpSource {
        let Some(new) = action
            .new
            .as_ref()
            .filter(|n| needs_slot(action.verb, action.old.as_ref(), n))
        else {
            return OpSource::Nothing;
        };
        match (&action.source, new) {
            (Source::Ours(from), Node::File { .. }) => OpSource::Yours(from.clone()),
            (Source::Theirs(from), Node::File { digest, .. }) => {
                if let Some(first) = sent.get(digest) {
                    return OpSource::SameAs(*first);
                }
                sent.insert(*digest, id);
                match *from == action.path && wants_delta(action.old.as_ref(), new, options) {
                    true => OpSource::Delta,
                    false => OpSource::Whole,
                }
            }
            _ => OpSource::Nothing,
        }
    };
    let op = |(id, action): (u32, &Action)| Op {
        path: action.path.clone(),
        old: action.old.clone(),
        new: action.new.clone(),
        source: source(id, action),
    };
    (0..).zip(&plan.actions).map(op).collect()
}

/// The digest that both sides compare before a commit.
#[must_use]
pub fn digest_of(ops: &[Op]) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("rsyn 2026 plan digest v1");
    for op in ops {
        hasher.update(&postcard::to_stdvec(op).unwrap_or_default());
    }
    hasher.finalize().into()
}

struct Sending<'a> {
    client: &'a Client,
    ops: &'a [Op],
    plan: &'a Plan,
    local: &'a Local,
    scan: &'a Scan,
    counters: &'a Counters,
}

impl Sending<'_> {
    /// Sends what travels whole at once, then what waits for a signature, as signatures come.
    fn send_all(&mut self) -> Result<(), TransferError> {
        let client = self.client;
        let mut supplier = Supplier::new(&self.local.root, &client.outbox, &self.counters.supplied);
        for (id, op) in (0..)
            .zip(self.ops)
            .filter(|(_, op)| op.source == OpSource::Whole)
        {
            let _: &Op = op;
            self.send_one(&mut supplier, id, None)?;
        }
        let mut waiting = self
            .ops
            .iter()
            .filter(|op| op.source == OpSource::Delta)
            .count();
        while waiting > 0 {
            match client.inbox.receive()? {
                Message::Control(Control::Signature {
                    id,
                    basis_bytes,
                    block_bytes,
                    strong_bytes,
                    key,
                }) => {
                    let head = signatures::Head {
                        basis_bytes,
                        block_bytes,
                        strong_bytes,
                        key,
                    };
                    let signature = signatures::receive(&client.inbox, head)?;
                    self.send_one(&mut supplier, id, Some(&signature))?;
                    waiting -= 1;
                }
                // The hub cannot read its basis.
                Message::Control(Control::Resend(ids)) => {
                    for id in &ids {
                        self.send_one(&mut supplier, *id, None)?;
                    }
                    waiting = waiting.saturating_sub(ids.len());
                }
                Message::Control(Control::Stale(paths)) => {
                    return Err(TransferError::Changed(paths));
                }
                other => return Err(unexpected(&other, "signature").into()),
            }
        }
        Ok(())
    }

    fn send_again(&mut self, ids: &[u32]) -> Result<(), TransferError> {
        let mut supplier = Supplier::new(
            &self.local.root,
            &self.client.outbox,
            &self.counters.supplied,
        );
        ids.iter()
            .try_for_each(|id| self.send_one(&mut supplier, *id, None))
    }

    fn send_one(
        &self,
        supplier: &mut Supplier<'_>,
        id: u32,
        basis: Option<&crate::delta::Signature>,
    ) -> Result<(), TransferError> {
        // The hub may ask only for what the plan has.
        let action = self.plan.actions.get(id as usize);
        let source = action.and_then(|a| match &a.source {
            Source::Theirs(from) => Some((a, from)),
            // The hub's own copy changed meanwhile; the same content is here at the path itself.
            Source::Ours(_) if a.conflict.is_none() => Some((a, &a.path)),
            Source::Ours(_) | Source::Nothing => None,
        });
        let Some((action, from)) = source else {
            return Err(
                unexpected(&Control::Resend(vec![id]).into(), "an item of the plan").into(),
            );
        };
        let item = Item {
            id,
            path: from.clone(),
            seen: self.scan.stat(from),
            skip_bytes: 0,
        };
        match supplier.send(&item, basis)? {
            true => Ok(()),
            false => Err(TransferError::Changed(vec![action.path.clone()])),
        }
    }
}
