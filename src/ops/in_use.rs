//! What a plan leaves as it is for the sake of programs at work, and what it carries all the same: both are said.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use super::look::Look;
use super::{Failure, taken};
use crate::endpoint::users::usages;
use crate::model::database::{has_size_of_one, main_of, sidecars};
use crate::model::{Node, RelPath, Tree};
use crate::plan::{Action, Hold, Holds, KeptReason, Plan, Program, Side, Source, Verb};
use crate::protocol::message::Usage;
use crate::report::text;

/// The usages of both sides, each asked for once in a look.
#[derive(Default)]
pub(super) struct Usages {
    here: OnceCell<Vec<Usage>>,
    on_hub: OnceCell<Vec<Usage>>,
}

impl Look<'_> {
    /// The usages of the files of a side.
    ///
    /// # Errors
    /// The hub cannot be asked.
    pub(super) fn usages(&self, side: Side) -> Result<&[Usage], Failure> {
        Ok(match side {
            Side::Local => self
                .usages
                .here
                .get_or_init(|| usages(&self.local, &self.scan)),
            Side::Remote => match self.usages.on_hub.get() {
                Some(known) => known,
                None => {
                    let told = self.client.usages()?;
                    self.usages.on_hub.get_or_init(|| told)
                }
            },
        })
    }

    /// The same as far as no question to the hub needs a round trip that a real run does without: then what it told already.
    fn usages_known(&self, side: Side) -> Result<&[Usage], Failure> {
        if side == Side::Local || self.asks_hub {
            return self.usages(side);
        }
        Ok(
            match (self.usages.on_hub.get(), self.client.take_usages()) {
                (Some(known), _) => known,
                (None, Some(told)) => self.usages.on_hub.get_or_init(|| told),
                (None, None) => &[],
            },
        )
    }

    /// The paths that `plan` would take from programs, and those that kept changing.
    ///
    /// # Errors
    /// The hub cannot be asked.
    pub(super) fn holds(&self, plan: &Plan) -> Result<Holds, Failure> {
        let mut holds = self.changing.clone();
        if plan.actions.iter().any(takes) {
            let usages = self.usages_known(plan.direction.written())?;
            let in_use = usages.iter().filter(|usage| usage.is_in_use());
            holds.extend(in_use.map(|usage| (usage.path.clone(), hold(usage))));
        }
        Ok(holds)
    }

    /// From now on these paths, and those that are not what they were in one of the trees of the look before, are left as they
    /// are by this direction.
    pub(super) fn hold_changing(&mut self, paths: Vec<RelPath>, before: [&Tree; 2]) {
        let mut changing: BTreeSet<RelPath> = paths.into_iter().collect();
        for (before, now) in before.into_iter().zip([&self.scan.tree, &self.view.tree]) {
            let files = now.entries().filter(|entry| !entry.node.is_dir());
            let changed = files.filter(|entry| before.get(&entry.path) != Some(&entry.node));
            changing.extend(changed.map(|entry| entry.path.clone()));
        }
        let hold = Hold {
            reason: KeptReason::Changing,
            program: None,
        };
        self.changing
            .extend(changing.into_iter().map(|path| (path, hold.clone())));
    }

    /// Says what the look that `plan` was made from skipped, and `words` about the plan itself.
    pub(super) fn tell(&mut self, words: Vec<String>) {
        self.note_problems();
        let told = |line: &String| self.warnings.contains(line) || self.uncarried.contains(line);
        let mut news: Vec<_> = words.into_iter().filter(|line| !told(line)).collect();
        self.uncarried.append(&mut news);
    }

    /// What a plan leaves for the sake of programs, and which databases it carries in a state that may be none.
    ///
    /// # Errors
    /// The hub cannot be asked.
    pub(super) fn words_of(&self, plan: &Plan) -> Result<Vec<String>, Failure> {
        let (written, read) = (plan.direction.written(), plan.direction.read());
        let unusual = |reason| matches!(reason, KeptReason::InUse | KeptReason::Changing);
        let kept = plan.kept.iter().filter(|kept| unusual(kept.reason));
        let mut lines: Vec<_> = kept
            .map(|kept| {
                let words = text::kept_words(kept, plan.direction);
                format!("{:?} stays as it is {}: {words}", kept.path, place(written))
            })
            .collect();
        lines.extend(taken::words(plan, self.world.talk.names_all()));
        if carries_database(plan) {
            lines.extend(torn(plan, self.usages_known(read)?, read));
        }
        if plan.actions.iter().any(takes) {
            lines.extend(stale(plan, self.usages_known(written)?, written));
        }
        Ok(lines)
    }
}

/// Whether something at the path of an action could be taken from a program by it.
fn takes(action: &Action) -> bool {
    let was_file = matches!(action.old, Some(Node::File { .. }));
    was_file && action.verb != Verb::Meta || main_of(&action.path).is_some()
}

fn hold(usage: &Usage) -> Hold {
    Hold {
        reason: KeptReason::InUse,
        program: Some(Box::new(program(usage))),
    }
}

fn program(usage: &Usage) -> Program {
    Program {
        name: usage.program.clone(),
        pid: usage.pid,
    }
}

/// Where a side is, in words.
fn place(side: Side) -> &'static str {
    match side {
        Side::Local => "here",
        Side::Remote => "on the hub",
    }
}

/// Whether a plan carries what may be a database, or what belongs to one.
pub(super) fn carries_database(plan: &Plan) -> bool {
    plan.actions.iter().any(may_carry_database)
}

/// Whether an action carries what may be a database, or what belongs to one.
fn may_carry_database(action: &Action) -> bool {
    let size = carried(action).map(Node::size);
    size.is_some_and(|size| has_size_of_one(size) || main_of(&action.path).is_some())
}

/// The file whose content an action carries.
fn carried(action: &Action) -> Option<&Node> {
    let is_file = |node: &&Node| matches!(node, Node::File { .. });
    let travels = matches!(action.source, Source::Theirs(_));
    action.new.as_ref().filter(|node| travels && is_file(node))
}

/// That databases are carried while a program has them open, or without what is beside them.
fn torn<'a>(plan: &'a Plan, usages: &'a [Usage], side: Side) -> impl Iterator<Item = String> + 'a {
    let carried = plan
        .actions
        .iter()
        .filter(|action| carried(action).is_some());
    let carried: BTreeSet<RelPath> = carried
        .flat_map(|action| {
            [
                Some(action.path.clone()),
                main_of(&action.path).map(|(main, _)| main),
            ]
        })
        .flatten()
        .collect();
    let mains = usages
        .iter()
        .filter(|usage| usage.is_database && main_of(&usage.path).is_none());
    mains.filter(move |usage| carried.contains(&usage.path)).filter_map(move |usage| {
        let (path, at) = (&usage.path, place(side));
        if usage.is_in_use() {
            let user = text::user(&program(usage));
            return Some(format!(
                "the database {path:?} {at} is open in {user}: its copy may be torn or stale; close it there and run this again"
            ));
        }
        usage.is_unfinished.then(|| {
            format!(
                "the database {path:?} {at} has changes in a log or journal beside it: without that its copy is stale or torn; \
                open and close it with its program and run this again"
            )
        })
    })
}

/// That a database is replaced beside a log or journal that belongs to the old one.
fn stale<'a>(plan: &'a Plan, usages: &'a [Usage], side: Side) -> impl Iterator<Item = String> + 'a {
    let replaced: BTreeSet<&RelPath> = plan.actions.iter().map(|action| &action.path).collect();
    let unfinished = usages
        .iter()
        .filter(|usage| usage.is_unfinished && !usage.is_in_use());
    let keeps_its_log = move |main: &RelPath, replaced: &BTreeSet<&RelPath>| {
        let stands = |path: &RelPath| usages.iter().any(|usage| usage.path == *path);
        sidecars(main).any(|beside| stands(&beside) && !replaced.contains(&beside))
    };
    unfinished.filter(move |usage| replaced.contains(&usage.path) && keeps_its_log(&usage.path, &replaced)).map(move |usage| {
        let (path, at) = (&usage.path, place(side));
        format!(
            "the database {path:?} {at} was replaced, or is to be, while changes of the old one are in a log or journal beside it: \
            its program may take them for changes of the new one"
        )
    })
}

/// Whether a program speaks for a file that changed though its size and time did not: it uses it, or it belongs to a database.
pub(super) fn speaks_for(usages: &[Usage], path: &RelPath) -> bool {
    let usage = usages.iter().find(|usage| usage.path == *path);
    usage.is_some_and(|usage| usage.is_in_use() || usage.is_database && main_of(path).is_some())
}
