//! A plan as the hub is told it: which content travels, in which form, and the digest that both sides compare.

use std::collections::{BTreeMap, HashMap};

use super::transfer::TransferOptions;
use crate::model::{Digest, Node};
use crate::plan::{Action, Plan, Source, Verb};
use crate::protocol::message::{Form, Op, OpSource};

/// Content of at least this many bytes is worth a signature.
const DELTA_BYTES: u64 = 64 * 1024;
/// Lengths that differ by more than this factor share little.
const DELTA_RATIO: u64 = 8;

/// Whether an action puts a new object in place, rather than changing permission bits of what is there.
#[must_use]
pub fn needs_slot(verb: Verb, old: Option<&Node>, new: &Node) -> bool {
    verb != Verb::Meta && !(new.is_dir() && old.is_some_and(Node::is_dir))
}

/// Whether of a change of content only the difference is worth sending.
pub(super) fn wants_delta(old: Option<&Node>, new: &Node, options: TransferOptions) -> bool {
    let (Some(Node::File { size: old, .. }), Node::File { size: new, .. }) = (old, new) else {
        return false;
    };
    let (small, large) = (*old.min(new), *old.max(new));
    !options.whole_file && small >= DELTA_BYTES && large / DELTA_RATIO <= small
}

/// What the hub need not ask for, or has already; nothing, if it does not know that feature.
#[derive(Clone, Copy)]
pub struct Ahead<'a> {
    /// Whether the signature of a content was kept.
    pub is_kept: &'a dyn Fn(Digest) -> bool,
    /// Bytes that the hub has of contents that an earlier attempt began.
    pub remains: &'a HashMap<Digest, u64>,
}

impl Ahead<'_> {
    /// How the new content of `action` is sent, as a delta or not.
    fn source(&self, action: &Action, delta: bool) -> OpSource {
        let Some(Node::File { digest, size, .. }) = action.new else {
            return OpSource::Nothing;
        };
        let basis = action.old.as_ref().and_then(Node::digest);
        let form = match delta {
            false => Form::Whole,
            true if basis.is_some_and(self.is_kept) => Form::Ahead,
            true => Form::Delta,
        };
        let remains = self.remains.get(&digest).copied();
        let skip_bytes = remains.filter(|here| *here <= size).unwrap_or(0);
        match (form, skip_bytes) {
            (Form::Whole, 0) => OpSource::Whole,
            (Form::Delta, 0) => OpSource::Delta,
            (form, skip_bytes) => OpSource::Sent { skip_bytes, form },
        }
    }
}

/// The operations of a plan, as the hub is told them.
#[must_use]
pub fn ops(plan: &Plan, options: TransferOptions, ahead: Ahead<'_>) -> Vec<Op> {
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
                let delta = *from == action.path && wants_delta(action.old.as_ref(), new, options);
                ahead.source(action, delta)
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

/// What an operation does to its path.
#[must_use]
pub fn verb(op: &Op) -> Verb {
    match (&op.old, &op.new) {
        (_, None) => Verb::Delete,
        (None, Some(_)) => Verb::Create,
        (Some(old), Some(new)) if old.same_content(new) => Verb::Meta,
        (Some(_), Some(_)) => Verb::Update,
    }
}
