//! The brakes before a plan is carried out: undecided conflicts, too many deletions, too little room.

use std::collections::HashSet;
use std::io::Read;

use super::in_use::speaks_for;
use super::look::Look;
use super::sync::Request;
use super::{Failure, FailureKind};
use crate::endpoint::operations::needs_slot;
use crate::model::{Mode, RelPath, Skip, total_bytes};
use crate::plan::moves::{Placing, renames};
use crate::plan::{self, Action, Direction, Guard, Kept, Plan, Policy, Source, guard, key_content};
use crate::report::printable;

impl Look<'_> {
    /// Refuses a plan that must not be carried out without a word from the user.
    ///
    /// # Errors
    /// [`Failure`] of the first brake that holds.
    pub(super) fn check_guards(&self, plan: &Plan, request: &Request) -> Result<(), Failure> {
        if let [first, ..] = plan.undecided.as_slice() {
            return Err(undecided(first, plan.undecided.len() - 1));
        }
        self.refuse_unwritable(plan)?;
        if request.force {
            return Ok(());
        }
        self.refuse_strangers(plan, request)?;
        let (ours, theirs) = match plan.direction {
            Direction::Pull => (&self.scan.tree, &self.view.tree),
            Direction::Push => (&self.view.tree, &self.scan.tree),
        };
        let limits = match request.max_delete {
            Some(limit) => vec![limit],
            None => self.world.project.max_delete()?,
        };
        for limit in limits {
            guard::check(plan, ours, theirs, &self.base, limit)
                .map_err(|e| guard_failure(&e, plan.direction))?;
        }
        guard::check_disk(plan, theirs).map_err(|e| guard_failure(&e, plan.direction))?;
        if !request.mirror {
            guard::check_written(plan, ours, theirs, &self.base)
                .map_err(|e| guard_failure(&e, plan.direction))?;
        }
        self.refuse_taking_back(plan)?;
        self.refuse_altered(plan)?;
        self.refuse_exposed(plan, request)?;
        self.check_space(plan)
    }

    /// A hub that would refuse the push is not sent any.
    fn refuse_unwritable(&self, plan: &Plan) -> Result<(), Failure> {
        let hello = &self.client.hello;
        if plan.direction == Direction::Pull || plan.actions.is_empty() || hello.writable {
            return Ok(());
        }
        let message = match hello.root_exists {
            true => "the hub does not let itself be written",
            false => "the hub cannot be made: its parent directory is missing or not writable",
        };
        let hint = "is the path right? is it served read-only? `rsyn setup` looks closer";
        Err(Failure::new(FailureKind::Usage, message, hint))
    }

    /// What was undone here is not taken from everybody unasked.
    fn refuse_taking_back(&self, plan: &Plan) -> Result<(), Failure> {
        let taken = self.taken_back(plan);
        let [first, others @ ..] = taken.as_slice() else {
            return Ok(());
        };
        if self.world.talk.can_ask() {
            return Ok(());
        }
        let named = format!("{first:?}{}", and_more(others.len()));
        Err(Failure::new(
            FailureKind::Guard,
            format!(
                "a pull of {named} was undone here, and this push would take it from the hub and from everybody"
            ),
            "`rsyn rollback` once more brings it back here (`rsyn snapshots` has the id); on a terminal a push asks; \
            `--force` takes it from everybody",
        ))
    }

    /// What changed behind the back of its stat is not carried to the other side.
    fn refuse_altered(&self, plan: &Plan) -> Result<(), Failure> {
        let (theirs, problems, side) = match plan.direction {
            Direction::Pull => (&self.view.tree, &self.view.problems, "on the hub"),
            Direction::Push => (&self.scan.tree, &self.scan.problems, "here"),
        };
        let mut altered: HashSet<RelPath> = problems
            .iter()
            .filter(|p| p.skip == Skip::Altered)
            .filter_map(|p| RelPath::new(p.path.as_slice()).ok())
            .collect();
        altered.extend(
            plan::altered(&self.base, theirs)
                .into_iter()
                .map(|a| a.path),
        );
        let carried =
            |a: &&Action| matches!(&a.source, Source::Theirs(from) if altered.contains(from));
        let mut carried: Vec<_> = plan.actions.iter().filter(carried).collect();
        if !carried.is_empty() {
            let usages = self.usages(plan.direction.read())?;
            carried.retain(|action| !speaks_for(usages, &action.path));
        }
        let [first, ..] = carried.as_slice() else {
            return Ok(());
        };
        let (path, more) = (printable::path(&first.path), and_more(carried.len() - 1));
        let flag = if side == "here" { "" } else { " --remote" };
        let touched = carried
            .iter()
            .any(|action| self.was_touched(plan.direction, &action.path));
        let but = match touched {
            true => "; something was done to it since",
            false => "",
        };
        Err(Failure::new(
            FailureKind::Integrity,
            format!(
                "{path}{more} {side} has another content than at the last sync, though its size and time are the same{but}"
            ),
            format!(
                "if a program changed it, `touch` it; `rsyn verify{flag}` names all; if it is damage, `rsyn verify{flag} --repair` \
                brings the old content back, and names the command that undoes it"
            ),
        ))
    }

    /// Whether the system says that a file here was changed, or only its attributes, after the last sync.
    fn was_touched(&self, direction: Direction, path: &RelPath) -> bool {
        let stat = match direction {
            Direction::Push => self.scan.stat(path),
            Direction::Pull => None,
        };
        let synced_at = self.synced_at.unwrap_or(i64::MAX);
        stat.is_some_and(|stat| stat.ctime.secs > synced_at)
    }

    /// A key must not lie where other users of the hub can read it.
    fn refuse_exposed(&self, plan: &Plan, request: &Request) -> Result<(), Failure> {
        let root_mode = self.client.hello.root_mode;
        let (Direction::Push, Some(mode)) = (plan.direction, root_mode) else {
            return Ok(());
        };
        let mut exposed = plan::exposed(plan, &self.view.tree, Mode::from(mode));
        if exposed.is_empty() {
            return Ok(());
        }
        let public = self.world.project.public(&request.public)?;
        exposed.retain(|path| public.decide(path, false).included && !self.holds_no_key(path));
        let [first, ..] = exposed.as_slice() else {
            return Ok(());
        };
        let named = format!("{}{}", printable::path(first), and_more(exposed.len() - 1));
        let message =
            format!("{named} is named like a key, and other users of the hub could read it there");
        let hint = "close it (`chmod o-r`), close the hub's root (`chmod o-rx` there) or exclude it; if it is none, say `--public PATTERN`, \
            or `public = [\"PATTERN\"]` under [safety] in .rsyn/config.toml";
        Err(Failure::new(FailureKind::Guard, message, hint))
    }

    /// Whether the file here at `path` was read and holds no key.
    fn holds_no_key(&self, path: &RelPath) -> bool {
        let content = self.local.root.open_file(path).ok().and_then(|(file, _)| {
            let mut content = Vec::new();
            let read = file
                .take(key_content::MAX_BYTES as u64 + 1)
                .read_to_end(&mut content);
            read.ok().map(|_| content)
        });
        content.is_some_and(|content| key_content::holds_no_key(path, &content))
    }

    fn check_space(&self, plan: &Plan) -> Result<(), Failure> {
        let renamed = renames(plan.actions.iter().map(Placing::from));
        let staged = (0..)
            .zip(&plan.actions)
            .filter(|(id, _)| !renamed.contains(id));
        let needed = total_bytes(staged.filter_map(|(_, action)| staged_bytes(action)));
        let (free, side) = match plan.direction {
            Direction::Pull => (
                crate::disk::space::space(self.local.root.top())?.free_bytes,
                "here",
            ),
            Direction::Push => (self.client.hello.free_bytes, "on the hub"),
        };
        if needed <= free {
            return Ok(());
        }
        Err(Failure::new(
            FailureKind::Guard,
            format!("{needed} bytes are needed and {free} are free {side}"),
            "make room, or sync a part with `--only PATH`",
        ))
    }
}

/// Conflicts that nobody decided: `first`, and so many `others`.
fn undecided(first: &Kept, others: usize) -> Failure {
    let named = format!("{:?}{}", first.path, and_more(others));
    let is_both = first
        .conflict
        .as_ref()
        .is_some_and(|c| c.policy == Policy::Both);
    let (why, hint) = match is_both {
        true => (
            "and a copy of it would have a longer name than a file system takes",
            "`--dry-run` names all; give it a shorter name, or decide with `--on-conflict local` or `remote`",
        ),
        false => (
            "and the policy leaves that to you",
            "`--dry-run` names all; decide with `--on-conflict local`, `remote` or `both`, or on a terminal",
        ),
    };
    let message = format!("both sides changed {named}, {why}");
    Failure::new(FailureKind::Conflict, message, hint)
}

/// What follows the first of several names.
fn and_more(others: usize) -> String {
    match others {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

/// Bytes that an action stages on the written side.
fn staged_bytes(action: &Action) -> Option<u64> {
    let new = action.new.as_ref()?;
    let staged =
        needs_slot(action.verb, action.old.as_ref(), new) && action.source != Source::Nothing;
    staged.then(|| new.size())
}

fn guard_failure(guard: &Guard, direction: Direction) -> Failure {
    let hint = match guard {
        Guard::Emptied { side } if *side == direction.written() => {
            "is the disk mounted, is the path right? `--mirror` brings all of it back, `--force` takes it for deleted"
        }
        Guard::WrongDisk { .. } => {
            "put it on a disk that can; `--force` leaves them out, and deletes nothing for it"
        }
        Guard::TooManyDeletes { .. } => {
            "look with `--dry-run`; `--max-delete` sets the limit, `--force` lifts it"
        }
        Guard::Emptied { .. } => {
            "is the disk mounted, is the path right? `--force` goes on all the same"
        }
    };
    Failure::new(FailureKind::Guard, guard.to_string(), hint)
}
