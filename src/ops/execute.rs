//! Carries a plan out: content into a staging, a commit on the side that is written, and the memory of it.

use std::cell::OnceCell;
use std::sync::atomic::Ordering;

use super::Failure;
use super::in_use::carries_database;
use super::look::Look;
use super::sync::Request;
use super::talk::Step;
use crate::endpoint::kept::KEPT_BYTES;
use crate::endpoint::local::LocalError;
use crate::endpoint::operations::needs_slot;
use crate::endpoint::push::Commit;
use crate::endpoint::transfer::{Pushed, TransferError, TransferOptions};
use crate::model::{Digest, Entry, Node, RelPath, Tree, total_bytes};
use crate::plan::{Action, Direction, Plan};
use crate::protocol::handshake::Seen;
use crate::scan::Scan;
use crate::state::base::{Remotes, difference};
use crate::state::hub::tombstones_digest;
use crate::state::{Base, BaseUpdate, Payload, RootId, signatures};
use crate::transaction::{self, Change, CommitError, Expected, Label, NewNode, Staging};

/// Why one attempt ended.
pub(super) enum Attempt {
    /// Files changed meanwhile; some of them.
    Changed(Failure, Vec<RelPath>),
    /// For good.
    Failed(Failure),
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Attempt> for Failure {
    fn from(attempt: Attempt) -> Self {
        let (Attempt::Changed(failure, _) | Attempt::Failed(failure)) = attempt;
        failure
    }
}

impl From<TransferError> for Attempt {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Changed { ref paths, .. } => {
                let paths = paths.clone();
                Self::Changed(error.into(), paths)
            }
            other => Self::Failed(other.into()),
        }
    }
}

impl From<CommitError> for Attempt {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Stale { ref paths } => {
                let paths = paths.clone();
                Self::Changed(error.into(), paths)
            }
            CommitError::InUse { ref held } => {
                let paths = held.iter().map(|held| held.path.clone()).collect();
                Self::Changed(error.into(), paths)
            }
            other => Self::Failed(other.into()),
        }
    }
}

impl From<LocalError> for Attempt {
    fn from(error: LocalError) -> Self {
        Self::Failed(error.into())
    }
}

const OUT_OF_SCOPE: &str = "something out of scope is inside";

impl Look<'_> {
    /// Carries a plan out. On `Err(None)` files changed meanwhile and a new look may do.
    pub(super) fn execute(
        &mut self,
        plan: &Plan,
        request: &Request,
    ) -> Result<Option<String>, Attempt> {
        self.meter.total_bytes.store(
            total_bytes(plan.actions.iter().map(Action::travelling_bytes)),
            Ordering::Relaxed,
        );
        self.world.talk.step(Step::Transfer, &self.meter);
        match plan.direction {
            Direction::Pull => self.execute_pull(plan, request),
            Direction::Push => self.execute_push(plan, request),
        }
    }

    fn execute_pull(&mut self, plan: &Plan, request: &Request) -> Result<Option<String>, Attempt> {
        let after = self.scan.tree.with_changes(plan.changes());
        let agreed = self.agreed_after(plan);
        let update = self.base_update(plan, &agreed, (&after, &self.view.tree), self.view.seen);
        let payload = update.map_or(Payload::Nothing, Payload::Base);
        if plan.actions.is_empty() {
            self.remember(payload, "")?;
            return Ok(None);
        }
        let staging = Staging::begin(&self.local.root).map_err(Failure::from)?;
        staging.arrange((0..).zip(&plan.actions).filter_map(|(slot, action)| {
            let new = action.new.as_ref().filter(|_| action.old.is_none())?;
            Some((slot, &action.path, new))
        }));
        let options = TransferOptions {
            whole_file: request.whole_file,
            asks_users: carries_database(plan),
        };
        let (kept, counters) = (&self.view.kept, &self.meter.counters);
        self.client
            .fetch(plan, &self.local, &staging, kept, options, counters)?;
        staging.sync().map_err(Failure::from)?;
        self.world.talk.step(Step::Commit, &self.meter);
        let Some(lock) = &self.lock else {
            return Err(Failure::interrupted().into());
        };
        let interrupted = || self.world.interrupted.load(Ordering::Relaxed);
        let wanted = transaction::Request {
            changes: (0..)
                .zip(&plan.actions)
                .map(|(slot, a)| change(a, slot, &self.scan))
                .collect(),
            payload: payload.encode().map_err(Failure::from)?,
            label: self.label(if request.repair {
                request.verb()
            } else {
                "pull"
            }),
            keep_snapshot: !request.no_snapshot,
            consumes: None,
            interrupted: &interrupted,
        };
        let local = &self.local;
        let committed =
            transaction::commit(&local.root, lock, staging, wanted, &mut |id, payload| {
                local.remember(id.as_str(), payload)
            })?;
        let words = self.local.prune(lock, self.world.now_secs());
        self.warnings.extend(words);
        let words = crowded_words(&committed.kept_dirs, "here", OUT_OF_SCOPE);
        self.warnings.extend(words);
        let words = late_words(&committed.late_writes, "here");
        self.warnings.extend(words);
        self.remember_remote()?;
        self.base = agreed;
        self.prune_signatures();
        let scan = std::mem::take(&mut self.scan);
        self.scan = scan.followed_by(after, &committed.placed);
        self.local.keep_index(&self.scan);
        Ok(committed.snapshot.map(|id| id.to_string()))
    }

    fn execute_push(&mut self, plan: &Plan, request: &Request) -> Result<Option<String>, Attempt> {
        if plan.actions.is_empty() {
            let agreed = self.agreed_after(plan);
            let trees = (&self.scan.tree, &self.view.tree);
            let update = self.base_update(plan, &agreed, trees, self.view.seen);
            self.remember(update.map_or(Payload::Nothing, Payload::Base), "")?;
            return Ok(None);
        }
        let options = TransferOptions {
            whole_file: request.whole_file,
            asks_users: false,
        };
        let machine = self.world.project.machine(self.world.environment);
        // The hub puts the verb before it, and knows pushes alone.
        let label = match request.repair {
            true => format!("{machine} (verify --repair)"),
            false => machine,
        };
        let after = OnceCell::new();
        let commit = Commit {
            keep_snapshot: !request.no_snapshot,
            label: &label,
            meanwhile: &|| {
                after.get_or_init(|| self.after_push(plan));
            },
        };
        let Pushed {
            report,
            unnamed,
            notes,
        } = self.client.push(
            plan,
            (&self.local, &self.scan),
            &self.view.remains,
            commit,
            options,
            &self.meter.counters,
        )?;
        // From here on the hub is new. What fails now is mended by the next run, which finds both sides equal.
        let words = crowded_words(&report.kept_dirs, "on the hub", OUT_OF_SCOPE);
        self.warnings.extend(words);
        let words = late_words(&report.late_writes, "on the hub");
        self.warnings.extend(words);
        self.warnings.extend(unnamed_words(unnamed));
        self.warnings.extend(noted_words(notes));
        self.hub_id = RootId::parse(&report.root_id).or_else(|| self.hub_id.clone());
        let (remote, agreed) = after.into_inner().unwrap_or_else(|| self.after_push(plan));
        let known_exactly = remote.view_digest() == report.view && report.kept_dirs.is_empty();
        let before = self.view.seen;
        // A hub that cannot read its memory after the commit still had the generation of before.
        let generation = match report.generation {
            0 => before.map_or(0, |seen| seen.generation),
            generation => generation,
        };
        let nothing = Digest::of(b"");
        let seen = Seen {
            generation,
            // Where the hub holds more than this machine knows, it tells all of it next time.
            view: if known_exactly { report.view } else { nothing },
            tombstones: before.map_or(nothing, |seen| seen.tombstones),
        };
        let update = self.base_update(plan, &agreed, (&self.scan.tree, &remote), Some(seen));
        let remembered = self.remember(
            update.map_or(Payload::Nothing, Payload::Base),
            &report.transaction,
        );
        if let Err(failure) = remembered {
            self.warnings.push(format!(
                "the hub is new, but this machine could not take note of it: {failure}"
            ));
        }
        self.base = agreed;
        self.prune_signatures();
        self.view.tree = remote;
        self.view.seen = Some(seen);
        Ok(report.snapshot)
    }

    /// Signatures of contents that are in step with the hub no longer are of no use. Housekeeping: the sync stands
    /// whatever comes of it.
    fn prune_signatures(&self) {
        let large = |entry: &Entry| match entry.node {
            Node::File { size, digest, .. } if size >= KEPT_BYTES => Some(digest),
            _ => None,
        };
        if let Some(state) = &self.local.state {
            let wanted = self.base.entries().filter_map(large).collect();
            drop(signatures::prune(state, &wanted));
        }
    }

    /// The hub's tree after a push, and what both sides agree on then. Mostly both are the tree here, and share it.
    fn after_push(&self, plan: &Plan) -> (Tree, Tree) {
        let here = &self.scan.tree;
        let shared = |tree: Tree| match tree == *here {
            true => here.clone(),
            false => tree,
        };
        let remote = shared(self.view.tree.with_changes(plan.changes()));
        (remote, shared(self.agreed_after(plan)))
    }

    /// What both sides agree on after `plan`.
    fn agreed_after(&self, plan: &Plan) -> Tree {
        self.base.with_changes(plan.base.iter().cloned())
    }

    /// The step of the base that goes with `plan`, after which both sides agree on `agreed` and the trees are `here` and
    /// `remote`; `None` if nothing is new.
    fn base_update(
        &self,
        plan: &Plan,
        agreed: &Tree,
        (here, remote): (&Tree, &Tree),
        seen: Option<Seen>,
    ) -> Option<BaseUpdate> {
        let hub = self.hub_id.clone()?;
        let tombstones = self.tombstones_followed(here);
        let seen = seen.map(|seen| match tombstones == self.view.tombstones {
            true => seen,
            // The hub tells all of them again next time.
            false => Seen {
                tombstones: tombstones_digest(&tombstones),
                ..seen
            },
        });
        if plan.base.is_empty() && seen.is_some() && seen == self.base_seen {
            return None;
        }
        let changes = plan.base.clone();
        let rules = self.lasting_rules.as_ref().unwrap_or(&self.rules);
        let (now, rules) = (self.world.now_secs(), rules.encode());
        let remote = difference(agreed, remote);
        Some(BaseUpdate {
            hub,
            synced_at: now,
            rules,
            seen,
            changes,
            remote,
            tombstones,
        })
    }

    /// Remembers what was agreed where no transaction does it.
    fn remember(&self, payload: Payload, transaction: &str) -> Result<(), Failure> {
        if let (Some(state), Payload::Base(update)) = (&self.local.state, payload) {
            let id = if transaction.is_empty() {
                format!("look {}", (self.world.clock)())
            } else {
                transaction.to_owned()
            };
            Base::apply(state, &id, update)?;
        }
        self.remember_remote()
    }

    fn remember_remote(&self) -> Result<(), Failure> {
        if let (Some(state), Some(hub)) = (&self.local.state, &self.hub_id) {
            Remotes::remember(state, &self.hub.name, hub)?;
            // The sync is done; another hub that arrives later is asked about all the same.
            drop(super::trust::keep_remote(state, &self.hub));
        }
        Ok(())
    }

    fn label(&self, verb: &str) -> Label {
        Label {
            verb: verb.to_owned(),
            peer: self.hub.name.clone(),
            machine: self.world.project.machine(self.world.environment),
            when: self.world.now_secs(),
            root: self.local.own_id(),
        }
    }
}

/// That directories stay, and why.
pub(super) fn crowded_words<'a>(
    dirs: &'a [RelPath],
    side: &'a str,
    why: &'a str,
) -> impl Iterator<Item = String> + 'a {
    dirs.iter()
        .map(move |dir| format!("{dir:?} stays {side}: {why}"))
}

/// That programs went on writing to what was replaced.
pub(super) fn late_words<'a>(
    paths: &'a [RelPath],
    side: &'a str,
) -> impl Iterator<Item = String> + 'a {
    let words = "a program went on writing to the old version; its bytes are in the snapshot";
    paths
        .iter()
        .map(move |path| format!("{path:?} {side}: {words}"))
}

/// What a hub says for people, which cannot pass for lines of ours.
pub(super) fn noted_words(notes: Vec<String>) -> impl Iterator<Item = String> {
    let words = |note: String| format!("on the hub: {}", crate::report::printable::line(&note));
    notes.into_iter().map(words)
}

/// That a hub had no room for more names.
pub(super) fn unnamed_words(unnamed: u64) -> Option<String> {
    (unnamed > 0).then(|| format!("{unnamed} more like these on the hub are not named"))
}

fn change(action: &Action, slot: u32, scan: &Scan) -> Change {
    let slot_of = |new: &Node| needs_slot(action.verb, action.old.as_ref(), new).then_some(slot);
    Change {
        path: action.path.clone(),
        old: action
            .old
            .as_ref()
            .map(|node| Expected::new(node.clone(), scan.stat(&action.path))),
        new: action.new.as_ref().map(|node| NewNode {
            node: node.clone(),
            slot: slot_of(node),
        }),
    }
}
