//! What a hub does before it tells of its tree: settles what was interrupted, scans at rest, takes note.

use std::sync::atomic::Ordering;

use super::attendance::Attendance;
use super::local::{Local, LocalError, ScanOptions};
use super::refusal::ServeError;
use super::serve::Machinery;
use crate::disk::{Activity, Holder, LockError};
use crate::model::{Digest, RelPath, Tombstone};
use crate::protocol::handshake::ClientHello;
use crate::scan::Scan;
use crate::state::Hub;
use crate::state::hub::machines;
use crate::state::layout::Mark;

/// How long a deletion is remembered.
const TOMBSTONE_SECS: i64 = 90 * 24 * 3600;
/// Lock attempts: another push's commit takes milliseconds.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Who holds the lock of a hub: the client on whose behalf.
pub(super) fn holder(hello: &ClientHello, machinery: &Machinery, verb: &str) -> Holder {
    Holder {
        pid: std::process::id(),
        machine: hello.machine.chars().take(128).collect(),
        verb: verb.to_owned(),
        since: (machinery.clock)().div_euclid(1000),
    }
}

/// Takes the lock; waits a little for another commit, as long as the client is there.
pub(super) fn lock(
    local: &Local,
    holder: &Holder,
    attendance: &Attendance,
) -> Result<crate::disk::Lock, ServeError> {
    let mut attempts = 0;
    loop {
        match local.lock(holder) {
            Err(LocalError::Lock(LockError::Held(_))) if attempts < LOCK_ATTEMPTS => {
                attempts += 1;
                std::thread::sleep(LOCK_PAUSE);
                attendance.check()?;
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
    attendance: &Attendance,
) -> Result<Option<String>, ServeError> {
    let holder = holder(hello, machinery, "recover");
    let lock = match local.lock(&holder) {
        Ok(lock) => lock,
        // Somebody commits just now; what the dead left is put away another time, unless it is in the way.
        Err(LocalError::Lock(LockError::Held(_))) if local.pending()?.is_none() => return Ok(None),
        Err(_) => lock(local, &holder, attendance)?,
    };
    Ok(local.recover(&lock, holder.since)?)
}

/// Takes note of the tree as it is, durably, if anything is new.
pub(super) fn observe(
    local: &Local,
    rules: Digest,
    (scan, remembered): (&Scan, Remembered),
    now_secs: i64,
) -> Result<Hub, ServeError> {
    let Some(state) = &local.state else {
        return recall(local, rules, (scan, remembered), now_secs, false);
    };
    let machine = "hub".to_owned();
    let holder = Holder {
        pid: std::process::id(),
        machine,
        verb: "look".to_owned(),
        since: now_secs,
    };
    // Somebody commits just now: what changed is told all the same, and noted next time.
    let Ok(_lock) = local.lock(&holder) else {
        return recall(local, rules, (scan, remembered), now_secs, false);
    };
    let mut hub = remembered.now(local)?;
    let is_at_home = hub.is_at_home(state);
    if !hub.settle(state, rules, &scan.tree) {
        let unsaved = hub.observe_unsaved(rules, &scan.tree, now_secs);
        unsaved.map_err(LocalError::from)?;
        return Ok(hub);
    }
    let expired = expire(&mut hub, local, now_secs);
    let observed = hub.observe(rules, &scan.tree, now_secs);
    if observed.map_err(LocalError::from)? || !expired.is_empty() || !is_at_home {
        hub.save(state).map_err(LocalError::from)?;
    }
    Ok(hub)
}

/// Forgets old deletions, and gives them. They were old when a machine was here last, too: a clock that leaps ahead makes none
/// of them old.
fn expire(hub: &mut Hub, local: &Local, now_secs: i64) -> Vec<RelPath> {
    if !hub.tombstones().values().any(|t| is_old(t, now_secs)) {
        return Vec::new();
    }
    let machines = local.state.as_ref().and_then(|state| machines(state).ok());
    let last_secs = machines.and_then(|machines| Some(machines.first()?.last_secs));
    hub.expire(now_secs.min(last_secs.unwrap_or(now_secs)), TOMBSTONE_SECS)
}

fn is_old(tombstone: &Tombstone, now_secs: i64) -> bool {
    tombstone.when_secs.saturating_add(TOMBSTONE_SECS) < now_secs
}

/// What a hub remembered before a scan. Read then, so that the file is out of memory when the tree comes into it.
pub(super) struct Remembered {
    hub: Hub,
    mark: Option<Mark>,
}

impl Remembered {
    fn of(local: &Local) -> Result<Self, LocalError> {
        // ORDER: the mark first. What is written before the file is read makes it read again, no more.
        let mark = Self::mark(local)?;
        let hub = local.state.as_ref().map(Hub::load).transpose()?;
        Ok(Self {
            hub: hub.unwrap_or_default(),
            mark,
        })
    }

    fn mark(local: &Local) -> Result<Option<Mark>, LocalError> {
        Ok(local.state.as_ref().map(Hub::mark).transpose()?)
    }

    /// Whether nothing was written since.
    fn is_up_to_date(&self, local: &Local) -> Result<bool, LocalError> {
        Ok(match (&self.mark, Self::mark(local)?) {
            (Some(before), Some(now)) => before.is_same(&now),
            _ => true,
        })
    }

    /// What the hub remembers now.
    fn now(self, local: &Local) -> Result<Hub, LocalError> {
        match self.is_up_to_date(local)? {
            true => Ok(self.hub),
            false => Ok(Self::of(local)?.hub),
        }
    }
}

/// Scans a root while nobody commits to it: a tree in the middle of a commit is neither the old nor the new.
pub(super) fn scan_at_rest(
    local: &Local,
    options: &ScanOptions<'_>,
) -> Result<(Scan, Remembered), LocalError> {
    let mut attempts = 0;
    loop {
        let remembered = Remembered::of(local)?;
        let scan = local.scan(options)?;
        let at_rest = remembered.is_up_to_date(local)? && local.pending()?.is_none();
        let is_wanted = !options.interrupted.load(Ordering::Relaxed);
        if at_rest || !is_wanted {
            return Ok((scan, remembered));
        }
        if attempts == LOCK_ATTEMPTS {
            return match local.activity()? {
                Activity::Running { holder, .. } => Err(LockError::Held(holder).into()),
                _ => Ok((scan, remembered)),
            };
        }
        attempts += 1;
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// As [`observe`], without writing anything: what a hub that could note it would say, or with the last generation
/// that was noted.
pub(super) fn recall(
    local: &Local,
    rules: Digest,
    (scan, remembered): (&Scan, Remembered),
    now_secs: i64,
    could_note: bool,
) -> Result<Hub, ServeError> {
    let mut hub = remembered.now(local)?;
    let is_settled = match &local.state {
        Some(state) => hub.settle(state, rules, &scan.tree),
        None => true,
    };
    expire(&mut hub, local, now_secs);
    let observed = match could_note && is_settled {
        true => hub.observe(rules, &scan.tree, now_secs).map(drop),
        false => hub.observe_unsaved(rules, &scan.tree, now_secs),
    };
    observed.map_err(LocalError::from)?;
    Ok(hub)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::filter::Rules;
    use crate::model::{Kind, Mode};
    use crate::scan::Progress;
    use crate::state::HubUpdate;
    use crate::state::hub::{Machine, note_machine};

    #[test]
    fn a_clock_that_leaps_ahead_forgets_no_deletion() {
        let temp = tempfile::tempdir().unwrap();
        let mut local = Local::open(temp.path()).unwrap();
        local.make_state().unwrap();
        let state = local.state.as_ref().unwrap();
        let path = RelPath::new(*b"gone").unwrap();
        let tombstone = Tombstone {
            kind: Kind::Dir,
            digest: None,
            machine: "a".to_owned(),
            when_secs: 1_000,
        };
        let push = HubUpdate {
            rules: Rules::new().digest(),
            changes: vec![(
                path.clone(),
                Some(crate::model::Node::Dir {
                    mode: Mode::from(0o755),
                }),
            )],
            deleted: vec![],
        };
        Hub::apply(state, "1", push.clone()).unwrap();
        let deleted = HubUpdate {
            changes: vec![(path.clone(), None)],
            deleted: vec![(path.clone(), tombstone)],
            ..push
        };
        Hub::apply(state, "2", deleted).unwrap();
        let visit = |last_secs| {
            let machine = Machine {
                id: "a".to_owned(),
                name: "a".to_owned(),
                last_secs,
                verb: "push".to_owned(),
            };
            note_machine(state, machine).unwrap();
        };
        let forgotten = |now| expire(&mut Hub::load(state).unwrap(), &local, now);
        visit(2_000);
        let later = 1_000 + TOMBSTONE_SECS + 1;
        assert_eq!(forgotten(later), []);
        visit(later);
        assert_eq!(forgotten(2_000), [], "the clock went back");
        assert_eq!(forgotten(later + 1), [path]);
    }

    #[test]
    fn what_a_hub_took_note_of_since_its_scan_is_known() {
        let temp = tempfile::tempdir().unwrap();
        let mut local = Local::open(temp.path()).unwrap();
        local.make_state().unwrap();
        let rules = Rules::new();
        let options = ScanOptions {
            rules: &rules,
            newly_hidden: None,
            checksum: false,
            now_secs: 0,
            progress: &Progress::default(),
            interrupted: &AtomicBool::new(false),
        };
        let (scan, remembered) = scan_at_rest(&local, &options).unwrap();
        assert!(remembered.is_up_to_date(&local).unwrap());
        assert_eq!(remembered.hub.generation(), 0);

        let push = HubUpdate {
            rules: rules.digest(),
            changes: vec![],
            deleted: vec![],
        };
        Hub::apply(local.state.as_ref().unwrap(), "push", push).unwrap();
        assert!(!remembered.is_up_to_date(&local).unwrap());
        let hub = recall(&local, rules.digest(), (&scan, remembered), 0, false).unwrap();
        assert!(hub.generation() > 0);
    }
}
