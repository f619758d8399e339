//! The ways to break the protocol of a commit.

/// A text of a source file, and what takes its place.
pub type Edit = (&'static str, &'static str, &'static str);

/// A way to break the program, by its name.
pub struct Mutant {
    pub name: &'static str,
    pub edits: &'static [Edit],
}

const STAGE: &str = "src/transaction/stage.rs";
const CARRIED: &str = "src/transaction/carried.rs";
const RENAMED: &str = "src/transaction/renamed.rs";
const SETTLE: &str = "src/transaction/settle.rs";
const PARTIAL: &str = "src/transaction/partial.rs";
const STAGED_FILE: &str = "src/transaction/staged_file.rs";
const STAGER: &str = "src/transaction/stager.rs";
const COMMIT: &str = "src/transaction/commit.rs";
const WORK: &str = "src/transaction/work.rs";
const APPLY: &str = "src/transaction/apply.rs";
const FINISH: &str = "src/transaction/finish.rs";
const RECOVER: &str = "src/transaction/recover.rs";
const UNDO: &str = "src/transaction/undo.rs";
const PLACE: &str = "src/transaction/place.rs";
const CHECK: &str = "src/transaction/check.rs";
const ORDER: &str = "src/transaction/order.rs";
const JOURNAL: &str = "src/transaction/journal.rs";
const DURABLE: &str = "src/disk/durable.rs";
const LOCK: &str = "src/disk/lock.rs";
const BASE: &str = "src/state/base.rs";

const fn mutant(name: &'static str, edits: &'static [Edit]) -> Mutant {
    Mutant { name, edits }
}

/// What is broken in each.
pub const MUTANTS: &[Mutant] = &[
    // A sync is dropped.
    mutant(
        "staged files are not synced",
        &[(
            STAGE,
            "                .try_for_each(|object| self.sync_object(object))?;",
            "                .try_for_each(|object| { drop(object); Ok::<(), DiskError>(()) })?;",
        )],
    ),
    mutant(
        "many staged files are not synced",
        &[(
            STAGE,
            "            self.home.sync_filesystem()?;\n        } else {",
            "        } else {",
        )],
    ),
    mutant(
        "the directory of staged files is not synced",
        &[(
            STAGE,
            "        self.new.sync()?;\n        self.synced",
            "        self.synced",
        )],
    ),
    mutant(
        "state files and the plan are not synced",
        &[(
            DURABLE,
            "    write(&mut file)?;\n    Ok(file.sync()?)\n}",
            "    write(&mut file)\n}",
        )],
    ),
    mutant(
        "the name of a replaced state file is not synced",
        &[(
            DURABLE,
            "`sweep` finds what stays.\n        drop(dir.remove_file(&temp));\n        return Err(e);\n    }\n    Ok(dir.sync()?)\n}",
            "`sweep` finds what stays.\n        drop(dir.remove_file(&temp));\n        return Err(e);\n    }\n    Ok(())\n}",
        )],
    ),
    mutant(
        "PREPARED is not synced",
        &[(COMMIT, "    marker.sync()?;\n", "")],
    ),
    mutant(
        "the name of PREPARED is not synced",
        &[(
            COMMIT,
            "    marker.sync()?;\n    inner.home.sync()?;\n",
            "    marker.sync()?;\n",
        )],
    ),
    mutant(
        "the name of the plan is not synced before PREPARED",
        &[(
            COMMIT,
            "    // undoes.\n    inner.home.sync()?;\n",
            "    // undoes.\n",
        )],
    ),
    mutant(
        "the name of the transaction is not synced",
        &[(COMMIT, "    inner.area.txn.sync()?;\n", "")],
    ),
    mutant(
        "touched directories are not synced",
        &[(
            WORK,
            "                    if each {\n                        dir.sync()?;\n                    }",
            "                    drop(dir);",
        )],
    ),
    mutant(
        "many touched directories are not synced",
        &[(
            WORK,
            "            return Ok(work.home.sync_filesystem()?);",
            "            return Ok(());",
        )],
    ),
    mutant(
        "changed permission bits are not synced",
        &[(
            WORK,
            "            return Ok(work.home.sync_filesystem()?);\n        }\n        self.remoded\n            .iter()\n            .try_for_each(|path| sync_object(work, path))?;",
            "            return Ok(work.home.sync_filesystem()?);\n        }",
        )],
    ),
    mutant(
        "the directory of displaced objects is not synced",
        &[(WORK, "        Ok(work.old.sync()?)", "        Ok(())")],
    ),
    mutant(
        "the name of a snapshot is not synced",
        &[(
            FINISH,
            "            .rename_noreplace(id.name(), &area.snap, id.name())?;\n        area.snap.sync()?;",
            "            .rename_noreplace(id.name(), &area.snap, id.name())?;",
        )],
    ),
    mutant(
        "an undo is not synced",
        &[(
            UNDO,
            "    touched.sync_what_is_there(work)?;\n    // ORDER: only",
            "    drop(touched);\n    // ORDER: only",
        )],
    ),
    // Steps are swapped or left out.
    mutant(
        "PREPARED before the plan",
        &[
            (COMMIT, "    write_plan(&inner.home, plan)?;\n", ""),
            (
                COMMIT,
                "    marker.sync()?;\n",
                "    marker.sync()?;\n    write_plan(&inner.home, plan)?;\n",
            ),
        ],
    ),
    mutant(
        "no plan is written",
        &[(COMMIT, "    write_plan(&inner.home, plan)?;\n", "")],
    ),
    mutant(
        "moves before PREPARED",
        &[
            (
                COMMIT,
                "    let marker = inner.home.create_file(PREPARED)?;\n    marker.sync()?;\n",
                "    let marker = inner.home.create_file(b\"later\")?;\n",
            ),
            (
                COMMIT,
                "    let all = work.plan.body.steps.len();\n",
                "    let all = work.plan.body.steps.len();\n    let late = |()| { inner.home.create_file(PREPARED)?.sync() };\n",
            ),
            (
                COMMIT,
                "    applied\n        .touched\n",
                "    late(()).map_err(|e| take_back(work, inner, all, e.into()))?;\n    applied\n        .touched\n",
            ),
        ],
    ),
    mutant(
        "decided before the moves are synced",
        &[(
            COMMIT,
            "    applied\n        .touched\n",
            "    drop(write_committed(work.home, &applied.kept));\n    applied\n        .touched\n",
        )],
    ),
    mutant(
        "decided without a marker",
        &[(
            COMMIT,
            "    match write_committed(work.home, &applied.kept) {",
            "    match Ok::<(), DiskError>(()) {",
        )],
    ),
    mutant(
        "the base before the decision",
        &[(
            COMMIT,
            "    let kept = carry_out(",
            "    drop(finish(&inner.id, &plan.body.payload));\n    let kept = carry_out(",
        )],
    ),
    mutant(
        "the snapshot before the base",
        &[
            (FINISH, "    finish(id, &work.plan.body.payload)?;\n", ""),
            (
                FINISH,
                "    area.txn.sync()?;\n    Ok(match stays",
                "    area.txn.sync()?;\n    finish(id, &work.plan.body.payload)?;\n    Ok(match stays",
            ),
        ],
    ),
    mutant(
        "a failed decision is not withdrawn",
        &[(
            COMMIT,
            "    let gone = match work.home.remove_file(COMMITTED) {",
            "    let gone = match Ok::<(), DiskError>(()) {",
        )],
    ),
    mutant(
        "deleted instead of displaced",
        &[(
            APPLY,
            "        place(parent, leaf, self.work.old, &aside)?;\n        let is_known",
            "        parent.remove_file(leaf)?;\n        if index < u32::MAX {\n            return Ok(true);\n        }\n        let is_known",
        )],
    ),
    mutant(
        "overwritten instead of swapped",
        &[(
            PLACE,
            "    match new.exchange(name, tree, tree_name) {",
            "    match new.rename_over(name, tree, tree_name) {",
        )],
    ),
    mutant(
        "directories leave before their children",
        &[(
            ORDER,
            "    steps.extend(goes);\n    steps[at..].reverse();",
            "    steps.extend(goes);",
        )],
    ),
    mutant(
        "an undo in the order of the moves",
        &[(
            UNDO,
            "    for step in steps.iter().rev() {",
            "    for step in &steps {",
        )],
    ),
    mutant(
        "an undo that believes the tree alone",
        &[(UNDO, "self.work.parent_wherever(", "self.work.parent(")],
    ),
    mutant(
        "an undo that ends its journal first",
        &[(
            COMMIT,
            "    let undone = undo(work, tried).and_then(|attention| {\n        end_undone(work)?;\n        Ok(attention)\n    });",
            "    let undone = end_undone(work).and_then(|()| undo(work, tried));",
        )],
    ),
    mutant(
        "a recovery that ends the journal first",
        &[(
            RECOVER,
            "    let attention = undo(&work, plan.body.steps.len())?;\n    end_undone(&work)?;",
            "    end_undone(&work)?;\n    let attention = undo(&work, plan.body.steps.len())?;",
        )],
    ),
    mutant(
        "a recovery that does nothing",
        &[(
            RECOVER,
            "        recover_one(root, &area, (&id, &home, kind), finish, &mut recovery)?;",
            "        let _ = (&id, &home, kind, &mut *finish, &mut recovery, recover_one);",
        )],
    ),
    mutant(
        "a recovery that undoes what was decided",
        &[(
            RECOVER,
            "        return Ok(Some(PendingKind::Finish));",
            "        return Ok(Some(PendingKind::Undo));",
        )],
    ),
    mutant(
        "a recovery that throws away what was displaced",
        &[
            (
                RECOVER,
                "            recovery.attention.extend(undo_prepared(root, home)?);",
                "            end_undone_of(home)?;\n            let _ = undo_prepared;",
            ),
            (
                RECOVER,
                "fn undo_prepared(",
                "fn end_undone_of(home: &Dir) -> Result<(), DiskError> {\n    home.remove_file(PREPARED)\n}\n\nfn undo_prepared(",
            ),
        ],
    ),
    mutant(
        "a journal that knows its disk by number",
        &[(
            JOURNAL,
            "?.on_device(home.dev()))",
            "?.on_device(home.dev() ^ 1))",
        )],
    ),
    // A look is skipped.
    mutant(
        "a replaced object is not looked at",
        &[(
            APPLY,
            "        self.is_as_seen(change, before, (self.work.new, name), false)",
            "        Ok(true)",
        )],
    ),
    mutant(
        "a deleted object is not looked at",
        &[(
            APPLY,
            "        self.is_as_seen(change, before, (self.work.old, aside), is_known)",
            "        Ok(true)",
        )],
    ),
    mutant(
        "a displaced content is not read",
        &[(
            APPLY,
            "        match content::still_has_content(dir, name, &unread.before.node)? {",
            "        match true {",
        )],
    ),
    // Each look alone stands for the other: without the first one, the second puts the directory back.
    mutant(
        "a directory with strangers is moved",
        &[
            (
                APPLY,
                "        if !parent.open_dir(leaf)?.is_empty()? {\n            return self.keep(index, before, parent, leaf);\n        }\n",
                "",
            ),
            (
                APPLY,
                "        if !old.open_dir(aside)?.is_empty()? {",
                "        if false {",
            ),
        ],
    ),
    mutant(
        "staged content is not verified",
        &[(
            STAGED_FILE,
            "        if got != self.digest || self.position() != self.size {",
            "        if self.position() != self.size {",
        )],
    ),
    mutant(
        "staged content at hand is not verified",
        &[(
            STAGER,
            "        if got != digest || bytes != size {",
            "        if bytes != size {",
        )],
    ),
    mutant(
        "resumed content is not hashed",
        &[(STAGE, "        staged.hash_what_is_there()?;\n", "")],
    ),
    mutant(
        "preconditions are not looked at",
        &[(
            CHECK,
            "    if !stale.is_empty() {\n        return Err(CommitError::Stale { paths: stale });\n    }\n",
            "",
        )],
    ),
    mutant(
        "an undo throws away what others wrote",
        &[(
            UNDO,
            "        settle::settle(work, step, &mut touched, &mut attention)?;",
            "        let _ = (&mut touched, &mut attention, step, settle::settle);",
        )],
    ),
    mutant(
        "what comes late into a directory that was taken back is thrown away",
        &[(
            UNDO,
            "        settle::remove_dir(work, step, &mut touched, &mut attention)?;",
            "        let _ = (&mut touched, &mut attention, step, settle::remove_dir);",
        )],
    ),
    mutant(
        "late writes are not told",
        &[(
            COMMIT,
            "filter(|d| d.was_written().unwrap_or(false));",
            "filter(|d| d.was_written().is_err());",
        )],
    ),
    mutant(
        "an interrupted sync is not noticed",
        &[(
            COMMIT,
            "    if recover::pending(root)?.is_some() {",
            "    if recover::pending(root)?.is_none() && false {",
        )],
    ),
    // A lock is not taken.
    mutant(
        "a commit without the lock",
        &[(
            COMMIT,
            "    if !lock.is_exclusive() {",
            "    if false && !lock.is_exclusive() {",
        )],
    ),
    // New directories that are moved with all that is inside.
    mutant(
        "an undo judges only what was tried, not what came with its directory",
        &[(
            UNDO,
            ".filter(|(n, step)| *n < tried || step.action == Action::Carried)",
            ".filter(|(n, _)| *n < tried)",
        )],
    ),
    mutant(
        "an undo leaves in a staged directory what is inside",
        &[(
            UNDO,
            "if step.action == Action::Carried && self.take_out(change)? {",
            "if step.action == Action::Carried && false && self.take_out(change)? {",
        )],
    ),
    mutant(
        "what is not planned comes with its directory",
        &[(COMMIT, "    inner.settle_carried(&request.changes)?;\n", "")],
    ),
    mutant(
        "what is not planned is taken out, and what nobody knows is not",
        &[(
            CARRIED,
            "                    open_up_and_remove(&dir, &entry.name)?;",
            "                    drop(open_up_and_remove);",
        )],
    ),
    mutant(
        "a staged directory is not synced again after something was removed from it",
        &[(CARRIED, "                    self.note_change();\n", "")],
    ),
    mutant(
        "staged directories are not synced",
        &[(
            STAGE,
            "            Node::Dir { .. } => dir.open_dir(&name)?.sync(),",
            "            Node::Dir { .. } => Ok(()),",
        )],
    ),
    mutant(
        "what was staged inside directories is lost to the next attempt",
        &[(
            PARTIAL,
            "salvage_dir(&inside, partial, digest_of_content, depth)?;",
            "false;",
        )],
    ),
    mutant(
        "a renamed file keeps its old name in the snapshot",
        &[(
            COMMIT,
            "    part(&work).map_err(|e| unfinished(e.into()))?;\n",
            "",
        )],
    ),
    mutant(
        "a renamed file keeps its old name in the snapshot after a recovery",
        &[(
            RECOVER,
            "    part(&work).map_err(|e| unfinished(e.into()))?;\n",
            "",
        )],
    ),
    mutant(
        "a file with other names stays in the snapshot",
        &[(COMMIT, "    linked::take_copies(work)\n", "    Ok(())\n")],
    ),
    mutant(
        "the old name of a renamed file goes though it is the last one",
        &[(RENAMED, "stat.nlink > 1) {", "stat.nlink > 0) {")],
    ),
    mutant(
        "that the old names of renamed files are gone is not synced",
        &[(
            RENAMED,
            "        true => work.old.sync(),",
            "        true => Ok(()),",
        )],
    ),
    mutant(
        "renamed files are looked at before their old names go",
        &[
            (
                COMMIT,
                "    part(&work).map_err(|e| unfinished(e.into()))?;\n",
                "    let placed = placed(&work, lock, now);\n    part(&work).map_err(|e| unfinished(e.into()))?;\n",
            ),
            (
                COMMIT,
                "which has set its ctime.\n    let placed = placed(&work, lock, now);\n",
                "which has set its ctime.\n",
            ),
        ],
    ),
    mutant(
        "a renamed file is not read",
        &[(
            RENAMED,
            "    let same = content::still_has_content(dir, name, node)?;",
            "    let same = true;",
        )],
    ),
    mutant(
        "a renamed file may have more names",
        &[
            (RENAMED, "stat.nlink == 1 && looks_like", "looks_like"),
            (RENAMED, "same && stat.nlink == 2 && ", "same && "),
        ],
    ),
    mutant(
        "a renamed file need not go from its place",
        &[(
            RENAMED,
            "        after.is_none() && before",
            "        before",
        )],
    ),
    mutant(
        "a young renamed file is not read again",
        &[(
            APPLY,
            "        if !(is_known || is_large) || stat",
            "        if is_known { return Ok(true); }\n        if !is_large || stat",
        )],
    ),
    mutant(
        "an edit of a renamed file is put beside what came back",
        &[(
            SETTLE,
            "matches!(action, Action::Rename { .. }) && stat.nlink > 1;",
            "false;",
        )],
    ),
    mutant(
        "the lock is not taken",
        &[(
            LOCK,
            "        match flock(&file, how) {",
            "        match Ok::<_, Errno>(drop(how)) {",
        )],
    ),
    mutant(
        "a staging is not claimed",
        &[(
            STAGE,
            "        if lock::claim(&home)? && area",
            "        if area",
        )],
    ),
    mutant(
        "a base that is written again moves on",
        &[(
            BASE,
            "        if old.as_ref().is_some_and(|b| b.transaction == transaction) {",
            "        if old.as_ref().is_some_and(|b| b.transaction == transaction && false) {",
        )],
    ),
];
