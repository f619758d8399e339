//! The hub's end of a session: answers one client on a pair of streams, confined to one root.
//!
//! It stages without a lock and takes the lock only for the commit, so that a slow or dead client never
//! holds it. Whatever the client asks, `--restrict` and `--read-only` hold.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::PeerError;
use super::admission::{prepare, server_hello, writes};
use super::attendance::Attendance;
use super::connection::{self, Inbox, Outbox, SendOptions, Terms, unexpected};
use super::gathered::Gathered;
use super::kept::{self, Keeper};
use super::local::{LocalError, ScanOptions};
use super::place::{self, Place};
use super::receive::Received;
use super::receiving::Receiving;
use super::refusal::{ServeError, malformed};
use super::signatures::{Head, Partial};
use super::supply::{Item, Supplied, Supplier};
use super::undo::Undo;
use super::view::{self, Telling};
use super::{commit, manage, naming, observe, stream, users};
use crate::filter::{FileStyle, Rules};
use crate::model::{Digest, Node};
use crate::protocol::handshake::{self, ClientHello, Purpose, Seen};
use crate::protocol::limits;
use crate::protocol::message::{Control, Message, Problem, RefusalKind, Want};
use crate::scan::{Progress, Scan};
use crate::state::hub::{Machine, tombstones_digest};
use crate::state::{Hub, signatures};

/// A client that says nothing for this long is gone.
const SILENCE: Duration = Duration::from_secs(180);
/// Limit for the client's Hello.
const HELLO_LIMIT: Duration = Duration::from_secs(30);

/// Milliseconds since 1970.
pub type Clock = fn() -> i64;

/// What a server is allowed, whatever a client asks.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The only directory whose inside may be a root.
    pub restrict: Option<PathBuf>,
    /// Nothing is written.
    pub read_only: bool,
}

/// What a server knows of its machine.
#[derive(Debug, Clone)]
pub struct Machinery {
    /// Home of the login, for paths that are not absolute.
    pub home: PathBuf,
    /// Name of the machine.
    pub machine: String,
    /// Its clock.
    pub clock: Clock,
    /// Version of rsyn.
    pub version: String,
    /// Ends the process, when a session goes on though nobody waits for it any more.
    pub leave: fn(),
}

/// Serves one client.
///
/// # Errors
/// The session broke. What was asked and could not be done is told to the client, and is no error here.
pub fn serve(
    reader: impl Read + Send + 'static,
    mut writer: impl Write + Send + 'static,
    policy: &Policy,
    machinery: &Machinery,
) -> Result<(), PeerError> {
    let terms = Terms::new(SILENCE, Arc::default());
    let mut magic = handshake::MAGIC.to_vec();
    magic.push(u8::try_from(handshake::PROTOCOL_MAX).unwrap_or(u8::MAX));
    writer
        .write_all(&magic)
        .and_then(|()| writer.flush())
        .map_err(|e| stream::broken(&e))?;
    let (greeting, inbox) = connection::start_reader::<ClientHello>(reader, false, &terms);
    let hello = greeting.wait(HELLO_LIMIT)?;
    let attendance = Attendance::new(Arc::clone(&terms.ended));
    let prepared = prepare(&hello, policy, machinery, &attendance);
    let (answer, place) = match prepared {
        Ok((answer, place)) => (answer, Some(place)),
        Err(refusal) => (server_hello(machinery, Some(refusal)), None),
    };
    let answer = handshake::encode_hello(&answer)?;
    writer
        .write_all(&answer)
        .and_then(|()| writer.flush())
        .map_err(|e| stream::broken(&e))?;
    let Some(place) = place else { return Ok(()) };
    terms.meet(&hello.features);
    let send = SendOptions {
        compress: hello.compress,
        bytes_per_second: Some(hello.bytes_per_second).filter(|b| *b > 0),
    };
    let (outbox, thread) = connection::start_writer(writer, send, &terms);
    let (ended, end) = crossbeam_channel::bounded(1);
    let (watch, waiting, leave) = (Arc::clone(&attendance), inbox.waiting(), machinery.leave);
    let watching = std::thread::Builder::new().spawn(move || {
        if watch.wait(&end, || waiting.is_idle()).is_none() {
            leave();
        }
    });
    watching.map_err(|e| PeerError::Io(e.to_string()))?;
    let heard = outbox.until(Arc::clone(attendance.gone()));
    let ends = (&outbox, &heard, &inbox);
    let outcome = Session::new(place, hello, policy, machinery, ends, &attendance).run();
    drop(heard);
    if let Err(refusal) = &outcome
        && let Some(refusal) = refusal.as_refusal()
    {
        // The client may be gone; then nobody has to be told.
        drop(outbox.send(Control::Refused(refusal)));
    }
    thread.finish(outbox);
    // Tells the watcher thread to stop; it may have ended already.
    ended.send(()).ok();
    match outcome {
        Err(ServeError::Peer(e)) => Err(e),
        _ => Ok(()),
    }
}

/// On whose behalf a hub is changed, and whether that client is still there.
pub(super) struct Asker<'a> {
    pub(super) hello: &'a ClientHello,
    pub(super) machinery: &'a Machinery,
    pub(super) attendance: &'a Attendance,
}

struct Session<'a> {
    place: Place,
    hello: ClientHello,
    policy: &'a Policy,
    machinery: &'a Machinery,
    outbox: &'a Outbox,
    /// The same for long work, which is given up once the client is gone.
    heard: &'a Outbox,
    inbox: &'a Inbox,
    attendance: &'a Attendance,
    rules: Rules,
    scan: Scan,
    wants: HashMap<u32, Want>,
    /// What the client has of items that it will ask for, and whose signature it does not send.
    bases: HashMap<u32, Digest>,
    signature: Option<(u32, Partial)>,
    receiving: Option<Receiving>,
    received: Received,
    supplied: Supplied,
}

impl<'a> Session<'a> {
    fn new(
        place: Place,
        hello: ClientHello,
        policy: &'a Policy,
        machinery: &'a Machinery,
        (outbox, heard, inbox): (&'a Outbox, &'a Outbox, &'a Inbox),
        attendance: &'a Attendance,
    ) -> Self {
        Self {
            place,
            hello,
            policy,
            machinery,
            outbox,
            heard,
            inbox,
            attendance,
            rules: Rules::new(),
            scan: Scan::default(),
            wants: HashMap::new(),
            bases: HashMap::new(),
            signature: None,
            receiving: None,
            received: Received::default(),
            supplied: Supplied::default(),
        }
    }

    fn writes(&self) -> bool {
        writes(self.hello.purpose) && !self.policy.read_only
    }

    fn now_secs(&self) -> i64 {
        (self.machinery.clock)().div_euclid(1000)
    }

    fn run(mut self) -> Result<(), ServeError> {
        self.rules = if self.hello.own_rules {
            self.own_rules()?
        } else {
            self.receive_rules()?
        };
        if self.hello.purpose != Purpose::Manage {
            self.look()?;
        }
        loop {
            if let Some(receiving) = self.receiving.as_mut().filter(|_| self.inbox.is_idle()) {
                receiving.catch_up()?;
            }
            match self.inbox.receive() {
                Ok(Message::Control(Control::Bye)) => break,
                // A client that is content with what it saw just leaves.
                Err(PeerError::Closed) => return Ok(()),
                Err(e) => return Err(e.into()),
                Ok(message) => self.answer(message)?,
            }
        }
        self.say_goodbye();
        Ok(())
    }

    fn receive_rules(&self) -> Result<Rules, ServeError> {
        let mut encoded = Vec::new();
        loop {
            match self.inbox.control("rules")? {
                Control::Rules(part) if part.is_empty() => break,
                Control::Rules(part) if encoded.len() + part.len() <= limits::RULES_BYTES => {
                    encoded.extend_from_slice(&part);
                }
                Control::Rules(_) => return Err(malformed("rules").into()),
                other => return Err(unexpected(&other.into(), "rules").into()),
            }
        }
        Ok(Rules::decode(&encoded).map_err(|_| malformed("rules"))?)
    }

    /// The rules of the hub's own exclude file: a machine that clones has none yet.
    fn own_rules(&self) -> Result<Rules, ServeError> {
        let mut rules = Rules::new();
        if let Place::There(local) = &self.place
            && let Some(text) = place::exclude_file(local)?
        {
            let added = rules.add_file(&text, place::EXCLUDE_FILE, FileStyle::EXCLUDE);
            added.map_err(|e| {
                ServeError::refused(RefusalKind::Usage, e.to_string(), "mend it on the hub")
            })?;
        }
        Ok(rules)
    }

    fn answer(&mut self, message: Message) -> Result<(), ServeError> {
        match message {
            Message::Control(control) => match control {
                Control::Look => {
                    if let Some(receiving) = self.receiving.take() {
                        receiving.give_up();
                    }
                    // What the client saw last has moved on since its Hello: it is told everything.
                    self.hello.seen = None;
                    self.look()
                }
                Control::Want(wants) => self.supply_all(wants),
                Control::Bases(bases) => self.note_bases(bases),
                Control::Signature {
                    id,
                    basis_bytes,
                    block_bytes,
                    strong_bytes,
                    key,
                } => {
                    let head = Head {
                        basis_bytes,
                        block_bytes,
                        strong_bytes,
                        key,
                    };
                    self.signature = Some((id, Partial::new(head)?));
                    Ok(())
                }
                Control::SignatureEnd => self.supply_delta(),
                Control::Ops(ops) => {
                    self.check_may_write()?;
                    let receiving = self.receiving.get_or_insert_default();
                    Ok(receiving.add(ops)?)
                }
                Control::OpsEnd { plan } => self.begin_receiving(plan),
                Control::Commit {
                    plan,
                    snapshot,
                    label,
                } => self.commit(plan, snapshot, &label),
                Control::ListSnapshots => self.tell_snapshots(),
                Control::ListMachines => Ok(self
                    .outbox
                    .send(Control::Machines(manage::machines(&self.place)?))?),
                Control::AskUsers => self.tell_users(),
                Control::PlanRollback { id } => self.tell_rollback(&manage::plan_rollback(
                    &self.place,
                    id.as_deref(),
                    &self.hello,
                )?),
                Control::Rollback { id, label } => {
                    self.check_may_write()?;
                    let answer = manage::rollback(&self.place, &id, &label, &self.asker())?;
                    self.report(answer)
                }
                other => self.receive(other.into()),
            },
            Message::SignatureData(bytes) => match &mut self.signature {
                Some((_, part)) => Ok(part.push(&bytes)?),
                None => Err(malformed("signature").into()),
            },
            data => self.receive(data),
        }
    }

    /// Tells the snapshots, newest first; to a client that knows no parts as many as fit a message.
    fn tell_snapshots(&self) -> Result<(), ServeError> {
        let lines = manage::snapshots(&self.place)?;
        let mut parts = Vec::new();
        view::batches(lines, |part| {
            parts.push(part);
            Ok(())
        })?;
        // Empty, it ends the parts, or is the answer where there are none.
        parts.push(Vec::new());
        if !self.knows(handshake::PARTS) {
            parts.truncate(1);
        }
        for part in parts {
            self.outbox.send(Control::Snapshots(part))?;
        }
        Ok(())
    }

    /// Tells which files of the tree programs use.
    fn tell_users(&self) -> Result<(), ServeError> {
        let usages = match &self.place {
            Place::There(local) => users::usages(local, &self.scan),
            _ => Vec::new(),
        };
        view::batches(usages, |usages| self.outbox.send(Control::Users(usages)))?;
        Ok(self.outbox.send(Control::Users(Vec::new()))?)
    }

    /// Tells what undoing a snapshot would do.
    fn tell_rollback(&self, undo: &Undo) -> Result<(), ServeError> {
        if self.knows(handshake::ORIGIN) {
            self.outbox.send(Control::Origin(undo.origin()))?;
        }
        if self.knows(handshake::STAYING) {
            let staying = undo.staying().iter().cloned();
            view::batches(staying, |paths| self.outbox.send(Control::Staying(paths)))?;
        }
        self.tell_notes(undo.notes())?;
        let plan = |ops, more| Control::RollbackPlan {
            id: undo.id().to_string(),
            ops,
            more,
        };
        let mut left = undo.ops().count();
        if left == 0 {
            return Ok(self.outbox.send(plan(vec![], false))?);
        }
        Ok(view::batches(undo.ops(), |ops| {
            left -= ops.len();
            self.outbox.send(plan(ops, left > 0))
        })?)
    }

    /// Whether the client knows this feature.
    fn knows(&self, feature: &str) -> bool {
        self.hello.features.iter().any(|known| known == feature)
    }

    fn asker(&self) -> Asker<'_> {
        Asker {
            hello: &self.hello,
            machinery: self.machinery,
            attendance: self.attendance,
        }
    }

    fn check_may_write(&self) -> Result<(), ServeError> {
        if self.writes() && self.hello.purpose != Purpose::Pull {
            return Ok(());
        }
        let hint = "it is served read-only, or this session only looks";
        Err(ServeError::refused(
            RefusalKind::Usage,
            "the hub does not let itself be written",
            hint,
        ))
    }

    /// Scans and tells.
    fn look(&mut self) -> Result<(), ServeError> {
        let Place::There(local) = &self.place else {
            let tree = crate::model::Tree::default();
            let tombstones = crate::model::Tombstones::new();
            let now = Seen {
                generation: 0,
                view: tree.view_digest(),
                tombstones: tombstones_digest(&tombstones),
            };
            let telling = Telling {
                tree: &tree,
                tombstones: &tombstones,
                problems: &[],
                now,
                seen: None,
                changes: None,
                remains: vec![],
                kept: vec![],
            };
            return Ok(view::send(self.outbox, telling)?);
        };
        let options = ScanOptions {
            rules: &self.rules,
            newly_hidden: None,
            checksum: self.hello.checksum,
            now_secs: self.now_secs(),
            progress: &Progress::default(),
            interrupted: self.attendance.gone(),
        };
        let (scan, remembered) = observe::scan_at_rest(local, &options)?;
        self.scan = scan;
        let looked = (&self.scan, remembered);
        let rules = self.rules.digest();
        let now_secs = self.now_secs();
        let hub = match self.writes() {
            true => observe::observe(local, rules, looked, now_secs)?,
            false => {
                let writable = local.root.top().check_writable().is_ok();
                let could_note = writable && !self.policy.read_only;
                observe::recall(local, rules, looked, now_secs, could_note)?
            }
        };
        self.tell(&hub)?;
        // While the client plans.
        if self.writes() {
            local.keep_index(&self.scan);
        }
        Ok(())
    }

    fn tell(&self, hub: &Hub) -> Result<(), ServeError> {
        let tree = &self.scan.tree;
        let now = Seen {
            generation: hub.generation_shared(self.hello.seen),
            view: tree.view_digest(),
            tombstones: tombstones_digest(hub.tombstones()),
        };
        let seen = self.hello.seen;
        let outdated = seen.filter(|seen| seen.view != now.view);
        let changes = outdated.and_then(|seen| hub.changes_since(self.rules.digest(), seen, tree));
        let problems: &[Problem] = &self.scan.problems;
        let telling = Telling {
            tree,
            tombstones: hub.tombstones(),
            problems,
            now,
            seen,
            changes,
            remains: self.remains()?,
            kept: self.kept(),
        };
        Ok(view::send(self.outbox, telling)?)
    }

    /// What is here of contents that an interrupted push began, if this one can go on with them.
    fn remains(&self) -> Result<Vec<(Digest, u64)>, ServeError> {
        let knows = self.knows(handshake::AHEAD);
        let pushes = self.writes() && self.hello.purpose != Purpose::Pull;
        match &self.place {
            Place::There(local) if knows && pushes => {
                Ok(crate::transaction::remains(&local.root).map_err(LocalError::from)?)
            }
            _ => Ok(vec![]),
        }
    }

    /// The contents of before whose signatures are here, if this client may ask for deltas against them.
    fn kept(&self) -> Vec<Digest> {
        let knows = self.knows(handshake::KEPT);
        let pulls = matches!(self.hello.purpose, Purpose::Pull | Purpose::Sync);
        let state = match &self.place {
            Place::There(local) if knows && pulls => local.state.as_ref(),
            _ => None,
        };
        let kept = state.and_then(|state| signatures::kept(state).ok());
        let mut kept = kept.unwrap_or_default();
        if !kept.is_empty() {
            let now: HashSet<_> = (self.scan.tree.entries())
                .filter_map(|e| e.node.digest())
                .collect();
            kept.retain(|digest| !now.contains(digest));
        }
        kept
    }

    /// Takes note of the contents that the client has of items that it asks for next.
    fn note_bases(&mut self, bases: Vec<(u32, Digest)>) -> Result<(), ServeError> {
        if self.bases.len().saturating_add(bases.len()) > limits::TREE_ENTRIES {
            return Err(malformed("bases").into());
        }
        self.bases.extend(bases);
        Ok(())
    }

    fn supply_all(&mut self, wants: Vec<Want>) -> Result<(), ServeError> {
        let mut gathered = Gathered::default();
        for want in wants {
            if let Some(basis) = self.bases.remove(&want.id).filter(|_| want.delta) {
                // Lost meanwhile, it goes whole.
                let signature = self.recall(basis);
                self.supply(&want, signature.as_ref(), Some(basis), &mut gathered)?;
            } else if want.delta {
                if self.wants.len() >= limits::TREE_ENTRIES {
                    return Err(malformed("want").into());
                }
                self.wants.insert(want.id, want);
            } else {
                self.wants.remove(&want.id);
                self.supply(&want, None, None, &mut gathered)?;
            }
        }
        Ok(gathered.flush(self.outbox)?)
    }

    fn supply_delta(&mut self) -> Result<(), ServeError> {
        let (id, part) = self
            .signature
            .take()
            .ok_or_else(|| malformed("signature"))?;
        let want = self
            .wants
            .remove(&id)
            .ok_or_else(|| malformed("signature"))?;
        let signature = part.finish()?;
        let mut gathered = Gathered::default();
        self.supply(&want, Some(&signature), None, &mut gathered)?;
        Ok(gathered.flush(self.outbox)?)
    }

    fn supply(
        &self,
        want: &Want,
        signature: Option<&crate::delta::Signature>,
        basis: Option<Digest>,
        gathered: &mut Gathered,
    ) -> Result<(), ServeError> {
        let Place::There(local) = &self.place else {
            return Err(malformed("want").into());
        };
        // Only what the view told of can be asked for: nothing excluded, no state, no link.
        let Some(node @ Node::File { digest, .. }) = self.scan.tree.get(&want.path) else {
            let why = "the hub has no such file in scope".to_owned();
            gathered.flush(self.outbox)?;
            return Ok(self.outbox.send(Control::Changed { id: want.id, why })?);
        };
        let seen = self.scan.stat(&want.path);
        let item = Item {
            id: want.id,
            path: want.path.clone(),
            seen,
            skip_bytes: want.skip_bytes,
        };
        // For the next pull; of what goes whole, a push or the next change will do.
        let state = local.state.as_ref().filter(|_| self.writes());
        let state = state.filter(|_| signature.is_some());
        let mut keeper = state.and_then(|state| Keeper::of(node, basis, state));
        let mut supplier = Supplier::new(&local.root, self.heard, &self.supplied, gathered);
        if supplier.send(&item, signature, keeper.as_mut())?
            && let Some((keeper, state)) = keeper.zip(state)
        {
            keeper.keep(state, *digest);
        }
        Ok(())
    }

    fn recall(&self, basis: Digest) -> Option<crate::delta::Signature> {
        match &self.place {
            Place::There(local) => kept::recall(local.state.as_ref()?, basis),
            _ => None,
        }
    }

    fn begin_receiving(&mut self, plan: crate::model::Digest) -> Result<(), ServeError> {
        self.check_may_write()?;
        let receiving = self.receiving.get_or_insert_default();
        receiving.check_plan(plan)?;
        let was_missing = matches!(self.place, Place::Missing(_));
        let local = self.place.make()?;
        if was_missing {
            place::refuse_unforeseen(local, &receiving.ops)?;
        }
        receiving.begin(local, self.heard, &self.received)
    }

    fn receive(&mut self, message: Message) -> Result<(), ServeError> {
        let (Some(receiving), Place::There(local)) = (&mut self.receiving, &self.place) else {
            return Err(unexpected(&message, "a request").into());
        };
        receiving.take(local, &self.received, message)
    }

    fn commit(
        &mut self,
        plan: crate::model::Digest,
        snapshot: bool,
        label: &str,
    ) -> Result<(), ServeError> {
        self.check_may_write()?;
        let Some(receiving) = &mut self.receiving else {
            return Err(malformed("commit").into());
        };
        receiving.check_plan(plan)?;
        receiving.settle()?;
        let again = receiving.take_failed();
        if !again.is_empty() {
            return Ok(self.outbox.send(Control::Resend(again))?);
        }
        let (Some(receiving), Place::There(local)) = (self.receiving.take(), &self.place) else {
            return Err(malformed("commit").into());
        };
        let order = commit::Order {
            rules: self.rules.digest(),
            scan: &self.scan,
            keep_snapshot: snapshot,
            label,
            asker: self.asker(),
        };
        let commit::Outcome {
            answer,
            notes,
            after,
        } = commit::commit(local, receiving, &order)?;
        self.tell_notes(notes)?;
        self.report(answer)?;
        if let Some((tree, placed)) = after {
            self.scan = std::mem::take(&mut self.scan).followed_by(tree, &placed);
            // While the client takes note of it.
            local.keep_index(&self.scan);
        }
        Ok(())
    }

    /// Tells what people should know beside the next answer.
    fn tell_notes(&self, notes: Vec<String>) -> Result<(), ServeError> {
        if !self.knows(handshake::NOTES) {
            return Ok(());
        }
        let fit = |note: String| note.chars().take(limits::TEXT_BYTES / 4 - 1).collect();
        let notes = notes.into_iter().map(fit);
        Ok(view::batches(notes, |notes| {
            self.outbox.send(Control::Notes(notes))
        })?)
    }

    /// Answers with as many paths as fit, and says how many do not.
    fn report(&self, answer: Control) -> Result<(), ServeError> {
        let (answer, unnamed) = naming::fit(answer);
        if unnamed > 0 && self.knows(handshake::UNNAMED) {
            self.outbox.send(Control::Unnamed(unnamed))?;
        }
        Ok(self.outbox.send(answer)?)
    }

    /// Takes note of who was here. The session is over; what fails now changes nothing.
    fn say_goodbye(&self) {
        let Place::There(local) = &self.place else {
            return;
        };
        // Its client waits for no answer, so it counts as gone; what is noted is written all the same.
        let Ok(_change) = self.attendance.begin_change() else {
            return;
        };
        // Managing is no sync, and may have been a mere look at the snapshots.
        let synced = self.writes() && self.hello.purpose != Purpose::Manage;
        if let Some(state) = local.state.as_ref().filter(|_| synced) {
            let machine = Machine {
                id: self.hello.asking_root(),
                name: self.hello.machine.chars().take(128).collect(),
                last_secs: self.now_secs(),
                verb: format!("{:?}", self.hello.purpose).to_lowercase(),
            };
            drop(crate::state::hub::note_machine(state, machine));
            drop(signatures::prune_oldest(state));
        }
    }
}

/// The bytes of a path, in hex, for a Hello.
#[must_use]
pub fn path_hex(path: &Path) -> String {
    handshake::to_hex(path.as_os_str().as_bytes())
}
