//! The brake at a first meeting: two projects that have nothing to do with each other are not merged.

use super::look::Look;
use super::project::CONFIG_FILE;
use super::sync::Request;
use super::{Failure, FailureKind};
use crate::config::remote::without_password;
use crate::endpoint::place::EXCLUDE_FILE;
use crate::model::{Node, RelPath, Tree};
use crate::plan::{Action, Plan};
use crate::state::base::Remotes;

/// How much of a tree another one lacks.
#[derive(Clone, Copy)]
enum Lack {
    /// A path.
    Path,
    /// A path, or its version.
    Version,
}

impl Look<'_> {
    /// Refuses to merge two sides that never met, if something says that they are two projects.
    ///
    /// # Errors
    /// It does, or what is remembered of hubs cannot be read.
    pub(super) fn refuse_strangers(&self, plan: &Plan, request: &Request) -> Result<(), Failure> {
        let is_typed = request.reach.remote.is_some() && self.world.talk.can_ask();
        let has_met = self.synced_at.is_some() || self.base_damaged;
        if has_met || is_typed || plan.actions.is_empty() || !self.both_lack(Lack::Version) {
            return Ok(());
        }
        let Some(sign) = self.sign_of_a_stranger(plan, request)? else {
            return Ok(());
        };
        let hub = without_password(&self.hub.name);
        let message = format!(
            "this machine and {hub} never synced, each holds what the other does not, and {sign}: \
            are they one project?"
        );
        let hint = "`--dry-run` shows what would be merged; `--force` goes on, and so does naming the remote on a terminal";
        Err(Failure::new(FailureKind::Guard, message, hint))
    }

    /// Why two sides that never met may be two projects; `None` if nothing says so.
    fn sign_of_a_stranger(
        &self,
        plan: &Plan,
        request: &Request,
    ) -> Result<Option<String>, Failure> {
        let settings = &self.world.project.settings;
        let written = [&settings.written, &settings.proposed]
            .into_iter()
            .flatten();
        let mut others = written.filter(|setting| setting.value != self.hub.name);
        if let Some(other) = others.next() {
            let url = without_password(&other.value);
            return Ok(Some(format!("{} names another hub, {url}", other.origin)));
        }
        if let Some(state) = &self.local.state
            && Remotes::knows_another(state, self.hub_id.as_ref())?
        {
            return Ok(Some(
                "this machine synced with another hub before".to_owned(),
            ));
        }
        let is_settled = |a: &&Action| a.conflict.is_some() && a.old.is_some();
        let unasked = match request.on_conflict {
            None => plan.actions.iter().filter(is_settled).count(),
            Some(_) => 0,
        };
        let words = match unasked {
            0 => return Ok(None),
            1 => "there are two versions of a path, of which one would go".to_owned(),
            paths => format!("there are two versions of {paths} paths, and one of each would go"),
        };
        Ok(self.both_lack(Lack::Path).then_some(words))
    }

    /// Whether each side lacks so much of the other. What `rsyn init` writes does not count.
    fn both_lack(&self, lack: Lack) -> bool {
        let (here, there) = (&self.scan.tree, &self.view.tree);
        lacks(here, there, lack) && lacks(there, here, lack)
    }
}

fn lacks(ours: &Tree, theirs: &Tree, lack: Lack) -> bool {
    theirs.entries().any(|entry| {
        let counts = matches!(entry.node, Node::File { .. } | Node::Symlink { .. });
        let is_lacking = match (ours.get(&entry.path), lack) {
            (None, _) => true,
            (Some(_), Lack::Path) => false,
            (Some(node), Lack::Version) => !node.same_content(&entry.node),
        };
        counts && is_lacking && !is_of_init(&entry.path)
    })
}

fn is_of_init(path: &RelPath) -> bool {
    [CONFIG_FILE, EXCLUDE_FILE]
        .map(str::as_bytes)
        .contains(&path.as_bytes())
}
