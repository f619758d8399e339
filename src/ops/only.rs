//! The part of the tree that a run is confined to has to be there: a name that is mistyped is no reason to be content.

use super::Failure;
use super::look::Look;
use crate::model::{Node, RelPath, Skip};
use crate::report::printable;

impl Look<'_> {
    /// Refuses paths that are excluded, or that neither side has, nor had as far as anybody remembers.
    ///
    /// # Errors
    /// Wrong usage, naming the first of them.
    pub(super) fn check_only(&self, only: &[RelPath]) -> Result<(), Failure> {
        let wrong = |path: &RelPath| self.why_not(path);
        match only.iter().find_map(wrong) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    fn why_not(&self, path: &RelPath) -> Option<Failure> {
        let trees = [&self.scan.tree, &self.view.tree, &self.base];
        let nodes = || trees.iter().filter_map(|tree| tree.get(path));
        let shown = printable::path(path);
        let is_excluded = |node: &Node| *node == Node::Skipped(Skip::Excluded);
        let is_excluded = nodes().any(is_excluded);
        let decision = (self.rules).decide(path, is_excluded || nodes().any(Node::is_dir));
        if !decision.included || is_excluded {
            let by = match decision.rule {
                Some(rule) => format!(" by {}", rule.origin),
                None => String::new(),
            };
            let message = format!("{shown} is excluded{by}");
            return Some(Failure::usage(message, "`rsyn why` names the rule"));
        }
        let mut deleted = self.view.tombstones.keys();
        if nodes().next().is_some() || deleted.any(|gone| gone.is_at_or_below(path)) {
            return None;
        }
        let is_link = |at: &RelPath| matches!(self.scan.tree.get(at), Some(Node::Symlink { .. }));
        let failure = match path.ancestors().find(is_link) {
            Some(link) => Failure::usage(
                format!("{shown} lies behind the link {}", printable::path(&link)),
                "links are not followed: name the place that it leads to",
            ),
            None => Failure::usage(
                format!("{shown} is neither here nor on the hub"),
                "is it spelled right? paths are taken from the current directory",
            ),
        };
        Some(failure)
    }
}
