//! A plan as the hub is told it: which content travels, in which form, and the digest that both sides compare.

use std::borrow::Borrow;
use std::collections::HashMap;

use super::transfer::TransferOptions;
use crate::model::{Digest, Node, total_bytes};
use crate::plan::moves::Placing;
use crate::plan::{Action, Direction, Plan, Source, Verb};
use crate::protocol::message::{Form, Op, OpSource};

/// Less content than this is not worth a signature.
const SMALL_BYTES: u64 = 4 * 1024;
/// Content of at least this many bytes always is.
const LARGE_BYTES: u64 = 64 * 1024;
/// More files between the two are read faster than they are compared.
const MANY_SMALL: usize = 4096;
/// So much content between the two is worth the round trip for the signatures in a push; a pull sends them with its
/// request.
const MUCH_SMALL_BYTES: u64 = 1024 * 1024;
/// Lengths that differ by more than this factor share little.
const DELTA_RATIO: u64 = 8;

/// Whether an action puts a new object in place, rather than changing permission bits of what is there.
#[must_use]
pub fn needs_slot(verb: Verb, old: Option<&Node>, new: &Node) -> bool {
    verb != Verb::Meta && !(new.is_dir() && old.is_some_and(Node::is_dir))
}

/// Of which changes of content only the difference is sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deltas {
    /// From this length on; `None` is never.
    from_bytes: Option<u64>,
}

impl Deltas {
    /// What suits the whole of `plan`.
    pub(super) fn of(plan: &Plan, options: TransferOptions) -> Self {
        if options.whole_file {
            return Self::default();
        }
        let common = |action: &Action| common_bytes(action.old.as_ref(), action.new.as_ref()?);
        let common = plan.actions.iter().filter_map(common);
        let small: Vec<_> = common
            .filter(|bytes| (SMALL_BYTES..LARGE_BYTES).contains(bytes))
            .collect();
        let is_free = plan.direction == Direction::Pull;
        let pays = is_free || total_bytes(small.iter().copied()) >= MUCH_SMALL_BYTES;
        let from_bytes = match pays && small.len() <= MANY_SMALL {
            true => SMALL_BYTES,
            false => LARGE_BYTES,
        };
        Self {
            from_bytes: Some(from_bytes),
        }
    }

    /// Whether of `new` only the difference to `old` is sent.
    pub(super) fn want(self, old: Option<&Node>, new: &Node) -> bool {
        let common = common_bytes(old, new);
        common.is_some_and(|bytes| self.from_bytes.is_some_and(|from| bytes >= from))
    }
}

/// The length of the shorter of two contents that may have something in common.
fn common_bytes(old: Option<&Node>, new: &Node) -> Option<u64> {
    let (Some(Node::File { size: old, .. }), Node::File { size: new, .. }) = (old, new) else {
        return None;
    };
    let (short, long) = (*old.min(new), *old.max(new));
    (long / DELTA_RATIO <= short).then_some(short)
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

/// Where the hub gets the content of each action of a plan from.
#[must_use]
pub fn sources(plan: &Plan, options: TransferOptions, ahead: Ahead<'_>) -> Vec<OpSource> {
    let mut sent: HashMap<Digest, u32> = HashMap::with_capacity(plan.actions.len());
    let deltas = Deltas::of(plan, options);
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
                let first = *sent.entry(*digest).or_insert(id);
                if first != id {
                    return OpSource::SameAs(first);
                }
                let delta = *from == action.path && deltas.want(action.old.as_ref(), new);
                ahead.source(action, delta)
            }
            _ => OpSource::Nothing,
        }
    };
    let numbered = (0..).zip(&plan.actions);
    numbered.map(|(id, action)| source(id, action)).collect()
}

/// The operations of a plan, as the hub is told them.
pub fn ops<'a>(plan: &'a Plan, sources: &'a [OpSource]) -> impl Iterator<Item = Op> + 'a {
    let op = |(action, source): (&Action, &OpSource)| Op {
        path: action.path.clone(),
        old: action.old.clone(),
        new: action.new.clone(),
        source: source.clone(),
    };
    plan.actions.iter().zip(sources).map(op)
}

/// So many bytes of operations are hashed at once.
const HASHED_BYTES: usize = 64 * 1024;

/// The digest that both sides compare before a commit.
#[must_use]
pub fn digest_of(ops: impl Iterator<Item = impl Borrow<Op>>) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("rsyn 2026 plan digest v1");
    // Many at once are hashed faster than one by one.
    let mut encoded = Vec::with_capacity(2 * HASHED_BYTES);
    for op in ops {
        // What cannot be encoded, and no operation of ours is that, cannot be sent either.
        encoded = postcard::to_extend(op.borrow(), encoded).unwrap_or_default();
        if encoded.len() >= HASHED_BYTES {
            hasher.update(&encoded);
            encoded.clear();
        }
    }
    hasher.update(&encoded);
    hasher.finalize().into()
}

impl<'a> From<&'a Op> for Placing<'a> {
    fn from(op: &'a Op) -> Self {
        Self {
            path: &op.path,
            old: op.old.as_ref(),
            new: op.new.as_ref(),
            ours: match &op.source {
                OpSource::Yours(from) => Some(from),
                _ => None,
            },
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mode, Mtime, RelPath};
    use crate::plan::Reason;

    const KIB: u64 = 1024;

    fn file(size: u64) -> Node {
        Node::File {
            size,
            digest: Digest::of(&size.to_le_bytes()),
            mode: Mode::from(0o644),
            mtime: Mtime { secs: 0, nanos: 0 },
        }
    }

    /// A plan that updates so many files of `size` bytes.
    fn plan(direction: Direction, many: usize, size: u64) -> Plan {
        let action = |n| Action {
            path: RelPath::new(format!("f{n}").into_bytes()).unwrap(),
            verb: Verb::Update,
            reason: Reason::Undo,
            old: Some(file(size)),
            new: Some(file(size)),
            source: Source::Nothing,
            conflict: None,
        };
        Plan {
            actions: (0..many).map(action).collect(),
            ..Plan::nothing(direction)
        }
    }

    /// From which length on files go as deltas beside so many of `size` bytes.
    fn from_bytes(direction: Direction, many: usize, size: u64) -> Option<u64> {
        let options = TransferOptions {
            whole_file: false,
            asks_users: false,
        };
        let deltas = Deltas::of(&plan(direction, many, size), options);
        let lengths = [1, 4 * KIB - 1, 4 * KIB, 64 * KIB - 1, 64 * KIB];
        let want = |len: &u64| deltas.want(Some(&file(*len)), &file(*len));
        lengths.into_iter().find(want)
    }

    #[test]
    fn small_files_go_as_deltas_in_a_pull_and_where_they_are_much_in_a_push() {
        use Direction::{Pull, Push};
        for (direction, many, size, from) in [
            (Pull, 1, 10 * KIB, 4 * KIB),
            (Pull, 4096, 10 * KIB, 4 * KIB),
            (Pull, 4097, 10 * KIB, 64 * KIB),
            (Pull, 5000, KIB, 4 * KIB),
            (Pull, 5000, 100 * KIB, 4 * KIB),
            (Push, 1, 10 * KIB, 64 * KIB),
            (Push, 102, 10 * KIB, 64 * KIB),
            (Push, 103, 10 * KIB, 4 * KIB),
            (Push, 5000, 3 * KIB, 64 * KIB),
            (Push, 20, 100 * KIB, 64 * KIB),
            (Push, 4097, 10 * KIB, 64 * KIB),
        ] {
            let found = from_bytes(direction, many, size);
            assert_eq!(found, Some(from), "{direction:?}, {many} of {size}");
        }
    }

    #[test]
    fn lengths_that_differ_much_and_whole_files_are_no_deltas() {
        let plan = plan(Direction::Pull, 1, 10 * KIB);
        let deltas = Deltas::of(
            &plan,
            TransferOptions {
                whole_file: false,
                asks_users: false,
            },
        );
        let want = |old, new| deltas.want(Some(&file(old)), &file(new));
        assert!(want(10 * KIB, 80 * KIB) && want(80 * KIB, 10 * KIB));
        assert!(!want(10 * KIB, 90 * KIB) && !want(90 * KIB, 10 * KIB));
        assert!(!deltas.want(None, &file(10 * KIB)));
        let whole = Deltas::of(
            &plan,
            TransferOptions {
                whole_file: true,
                asks_users: false,
            },
        );
        assert!(!whole.want(Some(&file(KIB * KIB)), &file(KIB * KIB)));
    }
}
