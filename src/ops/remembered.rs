//! What this machine remembers of a hub, and when it may be relied on: whether the hub that answered is the one that is
//! remembered, whether it went back in time, whether the memory tells of the tree beside it.

use super::connect::Hub;
use super::look::{Look, no_such_hub};
use super::sync::Request;
use super::{Failure, FailureKind};
use crate::endpoint::local::Local;
use crate::model::{Entry, Node, RelPath, Tombstones, Tree};
use crate::plan::Direction;
use crate::protocol::handshake::ServerHello;
use crate::state::base::Remotes;
use crate::state::{Base, RootId, State};
use crate::transaction;

/// What is remembered of a hub.
#[derive(Default)]
pub(super) struct Known {
    pub(super) id: Option<RootId>,
    pub(super) base: Option<Base>,
    pub(super) damaged: bool,
}

impl Known {
    fn of(state: &State, id: RootId) -> Result<Self, Failure> {
        let (base, damaged) = Base::load(state, &id)?;
        Ok(Self {
            id: Some(id),
            base,
            damaged,
        })
    }

    /// The hub as it was seen last: its tree and tombstones. `here` is the tree at hand.
    pub(super) fn remembered(&self, here: &Tree) -> Result<(Tree, Tombstones), Failure> {
        let Some(base) = &self.base else {
            return Ok(Default::default());
        };
        let agreed = base.agreed(here)?;
        Ok((base.remote(&agreed), base.tombstones().clone()))
    }

    /// What is remembered of the hub that answered, if it is none that this remote led to before, and known all the same.
    pub(super) fn met_under_another_name(
        &self,
        local: &Local,
        hello: &ServerHello,
    ) -> Result<Option<Self>, Failure> {
        let found = RootId::parse(&hello.root_id).filter(|found| Some(found) != self.id.as_ref());
        let knows_another = self.base.as_ref().is_some_and(|base| !base.is_empty());
        let (Some(found), Some(state), false) = (found, &local.state, knows_another) else {
            return Ok(None);
        };
        let met = Self::of(state, found)?;
        Ok(Some(met).filter(|met| met.base.is_some() || met.damaged))
    }
}

/// What is remembered of the hub that this remote led to last time.
pub(super) fn known_hub(local: &Local, hub: &Hub) -> Result<Known, Failure> {
    let id = match &local.state {
        Some(state) => Remotes::hub_of(state, &hub.name)?,
        None => None,
    };
    match (&local.state, id) {
        (Some(state), Some(id)) => Known::of(state, id),
        _ => Ok(Known::default()),
    }
}

impl Look<'_> {
    /// Finds the base that belongs to the hub that answered, and holds the guard of its identity.
    pub(super) fn adopt_base(
        &mut self,
        expected: Option<&RootId>,
        base: Option<Base>,
        request: &Request,
    ) -> Result<(), Failure> {
        let hello = &self.client.hello;
        let base = match (expected, &self.hub_id, base) {
            (Some(expected), Some(found), base) if expected == found => base,
            (Some(_), _, Some(base)) if !base.is_empty() && !request.force => {
                return Err(another_root(&self.hub, hello.root_exists));
            }
            (_, Some(found), _) => match &self.local.state {
                Some(state) => {
                    let (base, damaged) = Base::load(state, found)?;
                    self.base_damaged = damaged;
                    base
                }
                None => None,
            },
            _ => None,
        };
        if !hello.root_exists
            && request.directions.first() == Some(&Direction::Pull)
            && request.directions.len() == 1
        {
            return Err(no_such_hub(&self.hub));
        }
        if let Some(words) = &hello.recovered {
            self.warnings.push(format!("on the hub: {words}"));
        }
        if hello.recovery_pending {
            self.warnings.push(
                "an interrupted sync waits on the hub: the next real run recovers it first"
                    .to_owned(),
            );
        }
        if self.base_damaged {
            let words =
                "what was remembered of the last sync is damaged: nothing is deleted in this run";
            self.warnings.push(words.to_owned());
        }
        let went_back = self.went_back(base.as_ref(), request)?;
        if self.client.hello.recovery_pending && self.lock.is_some() {
            let message =
                "an interrupted sync waits on the hub, and this session may not recover it";
            let hint = "run `rsyn recover` on the hub, or a pull that may write there";
            return Err(Failure::new(FailureKind::Busy, message, hint));
        }
        if self.lock.is_some()
            && base.is_none()
            && !transaction::has_full_guarantee(&self.local.root)?
        {
            let pulls = request.directions.contains(&Direction::Pull);
            if pulls && !transaction::can_replace(&self.local.root)? {
                return Err(irreplaceable());
            }
            let words = "this file system cannot swap two files in one step: a file that another program \
                saves in the very moment of a pull can be lost";
            self.warnings.push(words.to_owned());
        }
        let mut base = base.map(|base| self.bring_home(base)).transpose()?;
        self.known_tombstones = base
            .as_ref()
            .map(|b| b.tombstones().clone())
            .unwrap_or_default();
        if went_back && request.directions != [Direction::Pull] {
            base = base.map(|base| self.outlive(base)).transpose()?;
            // What was deleted there before is no news of what was made again since.
            self.known_tombstones.clone_from(&self.view.tombstones);
        }
        self.base_seen = base.as_ref().and_then(Base::seen);
        self.synced_at = base.as_ref().map(Base::synced_at);
        let agreed = base.map(|b| b.agreed(&self.scan.tree)).transpose()?;
        self.base = agreed.unwrap_or_default();
        Ok(())
    }

    /// Settles what a base counts for that was not written here: it was copied, moved, or brought back from a backup.
    /// Unless all that it tells stands here, it tells of another tree. Then what is missing was never here, and what
    /// is older than the sync that it tells of was not changed since: on both it is as if nothing had been agreed. The
    /// root gets an id of its own, and no deletion is known to it.
    fn bring_home(&mut self, base: Base) -> Result<Base, Failure> {
        if self.local.state.as_ref().is_none_or(|s| base.is_at_home(s)) {
            return Ok(base);
        }
        let agreed = base.agreed(&self.scan.tree)?;
        let other = |Entry { path, node }: &Entry| match self.scan.tree.get(path) {
            None => true,
            Some(here) => !here.same_version(node) && is_older(here, base.synced_at()),
        };
        let others: Vec<_> = agreed.entries().filter(|entry| other(entry)).collect();
        let forgotten: Vec<_> = others.into_iter().map(|entry| entry.path.clone()).collect();
        if !forgotten.is_empty() {
            self.warnings.push(format!(
                "what is remembered of the last sync was brought here from elsewhere, and tells of another tree: \
                what it knows and this tree does not have counts as never here, not as deleted ({} paths)",
                forgotten.len()
            ));
            if let Some(state) = &mut self.local.state {
                state.renew_id(self.lock.is_some())?;
            }
            return self.forget(base.without_tombstones(), forgotten);
        }
        self.forget(base, forgotten)
    }

    /// What a hub that went back in time lacks, or holds in another version, was neither deleted nor changed there: it is
    /// as if nothing had been agreed on it.
    fn outlive(&self, base: Base) -> Result<Base, Failure> {
        let agreed = base.agreed(&self.scan.tree)?;
        let stands = |entry: &Entry| {
            let there = self.view.tree.get(&entry.path);
            there.is_some_and(|there| there.same_version(&entry.node))
        };
        let other = agreed.entries().filter(|entry| !stands(entry));
        self.forget(base, other.map(|entry| entry.path.clone()).collect())
    }

    /// `base` without some paths, from now on; in a dry run only until its end.
    fn forget(&self, base: Base, paths: Vec<RelPath>) -> Result<Base, Failure> {
        let Some(state) = &self.local.state else {
            return Ok(base);
        };
        let base = base.without(paths, state)?;
        if self.lock.is_some() {
            base.save(state)?;
        }
        Ok(base)
    }

    /// Whether the hub may lack what both sides agreed on though nobody deleted it: it went back in time, as from a
    /// backup, or does not remember the last sync.
    ///
    /// # Errors
    /// It may, and the user does not force the run.
    fn went_back(&self, base: Option<&Base>, request: &Request) -> Result<bool, Failure> {
        let then = base.and_then(Base::seen).map_or(0, |seen| seen.generation);
        let now = self.view.seen.map_or(0, |seen| seen.generation);
        let Some(base) = base.filter(|_| now < then) else {
            return Ok(false);
        };
        let forgot = now == 0;
        if forgot && self.holds_what_was_seen(base)? {
            return Ok(false);
        }
        if request.force {
            return Ok(true);
        }
        let name = self.hub.name.escape_debug();
        let message = match forgot {
            true => format!(
                "{name} does not know the state that it had at the last sync, and holds other files than then: \
                was it restored from a backup, or copied?"
            ),
            false => format!(
                "{name} is older than at the last sync (generation {now}, it was {then}): was it restored from a backup?"
            ),
        };
        let hint = "`rsyn push --force` gives it this machine's work; `rsyn pull --force` takes it as it is";
        Err(Failure::new(FailureKind::Guard, message, hint))
    }

    /// Whether all that the hub held at the last sync stands there now.
    fn holds_what_was_seen(&self, base: &Base) -> Result<bool, Failure> {
        let seen = base.remote(&base.agreed(&self.scan.tree)?);
        let stands = |entry: &Entry| {
            let now = self.view.tree.get(&entry.path);
            entry.node.is_skipped() || now.is_some_and(|now| now.same_version(&entry.node))
        };
        Ok(seen.entries().all(stands))
    }
}

fn another_root(hub: &Hub, exists: bool) -> Failure {
    let name = hub.name.escape_debug();
    let message = match exists {
        true => format!("{name} is not the hub that this project was synced with"),
        false => format!("{name} does not exist, but this project was synced with it before"),
    };
    let hint = "is the path right, is the disk mounted? `--force` takes it as a new hub";
    Failure::new(FailureKind::Guard, message, hint)
}

/// Whether a file or link was changed last before the second `secs`.
fn is_older(node: &Node, secs: i64) -> bool {
    node.mtime().is_some_and(|mtime| mtime.secs < secs)
}

/// A working copy on such a disk could be made, and no file in it replaced afterwards.
fn irreplaceable() -> Failure {
    let message = "the disk here can neither swap two names nor give a file a second one, so that no file on it \
        could be replaced safely";
    let hint = "put the project on a disk that can (ext4, APFS, NTFS; exFAT cannot)";
    Failure::new(FailureKind::Usage, message, hint)
}
