//! A push: sends a plan and the content that it needs, and has the hub commit it.

use std::collections::HashMap;

use super::PeerError;
use super::client::{Answer, Client};
use super::connection::unexpected;
use super::gathered::Gathered;
use super::kept::Keeper;
use super::local::Local;
use super::operations::{Ahead, digest_of, ops, sources};
use super::receive::ReceiveError;
use super::supply::{Item, Supplier};
use super::transfer::{Counters, Pushed, TransferError, TransferOptions};
use super::{kept, signatures, view};
use crate::delta::Signature;
use crate::model::{Digest, Node};
use crate::plan::{Plan, Source};
use crate::protocol::message::{Control, Form, Message, OpSource};
use crate::scan::Scan;
use crate::state::State;

/// How often content that did not verify is sent again.
const RESENDS: usize = 2;

/// How a push is committed.
#[derive(Clone, Copy)]
pub struct Commit<'a> {
    /// Whether displaced content is kept.
    pub keep_snapshot: bool,
    /// For the hub's log.
    pub label: &'a str,
    /// What this side does while the hub commits.
    pub meanwhile: &'a dyn Fn(),
}

impl Client {
    /// Sends `plan` and all content it needs to the hub and has it committed.
    ///
    /// # Errors
    /// [`TransferError`]; the hub's tree was not touched.
    pub fn push(
        &self,
        plan: &Plan,
        (local, scan): (&Local, &Scan),
        remains: &HashMap<Digest, u64>,
        commit: Commit<'_>,
        options: TransferOptions,
        counters: &Counters,
    ) -> Result<Pushed, TransferError> {
        let is_kept = |digest| {
            let state = local.state.as_ref().filter(|_| self.sends_ahead());
            state.is_some_and(|state| kept::recall(state, digest).is_some())
        };
        let ahead = Ahead {
            is_kept: &is_kept,
            remains,
        };
        let sources = sources(plan, options, ahead);
        let digest = digest_of(ops(plan, &sources));
        view::batches(ops(plan, &sources), |batch| {
            self.outbox.send(Control::Ops(batch))
        })?;
        self.outbox.send(Control::OpsEnd { plan: digest })?;
        let mut sending = Sending {
            client: self,
            sources: &sources,
            plan,
            local,
            scan,
            counters,
        };
        sending.send_all().map_err(|e| self.with_reason(e))?;
        let mut asked = Asked::default();
        loop {
            // From the order on the user is not heard: it must not wait behind content.
            self.outbox.written()?;
            self.outbox.send(Control::Commit {
                plan: digest,
                snapshot: commit.keep_snapshot,
                label: commit.label.to_owned(),
            })?;
            (commit.meanwhile)();
            let Answer {
                control,
                unnamed,
                notes,
            } = self.answer()?;
            match control {
                Control::Committed(report) => {
                    return Ok(Pushed {
                        report,
                        unnamed,
                        notes,
                    });
                }
                Control::Stale(paths) => return Err(TransferError::Changed { paths, unnamed }),
                Control::Resend(ids) if !ids.is_empty() => match asked.too_often(&ids) {
                    None => sending.send_again(&ids)?,
                    Some(id) => return Err(sending.never_verifies(id)),
                },
                other => return Err(unexpected(&other.into(), "committed").into()),
            }
        }
    }
}

impl Client {
    /// The reason why the hub is gone, if it said one: a hub that refuses does so at once, whatever is on its way to it.
    fn with_reason(&self, error: TransferError) -> TransferError {
        let TransferError::Receive(ReceiveError::Peer(PeerError::Closed)) = error else {
            return error;
        };
        loop {
            match self.inbox.receive() {
                Ok(_) => {}
                Err(reason @ PeerError::Refused(_)) => return reason.into(),
                Err(_) => return error,
            }
        }
    }
}

/// How often each item was asked for again. Where many are, not all of them fit one message.
#[derive(Default)]
struct Asked(HashMap<u32, usize>);

impl Asked {
    /// Takes note that `ids` are asked for again; gives one that was so too often.
    fn too_often(&mut self, ids: &[u32]) -> Option<u32> {
        ids.iter().copied().find(|id| {
            let times = self.0.entry(*id).or_default();
            *times += 1;
            *times > RESENDS
        })
    }
}

struct Sending<'a> {
    client: &'a Client,
    sources: &'a [OpSource],
    plan: &'a Plan,
    local: &'a Local,
    scan: &'a Scan,
    counters: &'a Counters,
}

impl Sending<'_> {
    /// Sends what waits for nothing at once, then what waits for a signature, as signatures come.
    fn send_all(&mut self) -> Result<(), TransferError> {
        let client = self.client;
        let mut gathered = Gathered::default();
        let mut supplier = self.supplier(&mut gathered);
        let mut waiting = 0_usize;
        for (id, source) in (0..).zip(self.sources) {
            match source {
                OpSource::Whole
                | OpSource::Sent {
                    form: Form::Whole, ..
                } => self.send_one(&mut supplier, id, None, skip_bytes(source))?,
                OpSource::Sent {
                    form: Form::Ahead, ..
                } => {
                    let basis = self.kept_basis(id);
                    self.send_one(&mut supplier, id, basis.as_ref(), skip_bytes(source))?;
                }
                OpSource::Delta
                | OpSource::Sent {
                    form: Form::Delta, ..
                } => waiting += 1,
                OpSource::Nothing | OpSource::Yours(_) | OpSource::SameAs(_) => {}
            }
        }
        while waiting > 0 {
            supplier.flush()?;
            match client.inbox.receive()? {
                Message::Control(Control::Signature {
                    id,
                    basis_bytes,
                    block_bytes,
                    strong_bytes,
                    key,
                }) => {
                    let head = signatures::Head {
                        basis_bytes,
                        block_bytes,
                        strong_bytes,
                        key,
                    };
                    let signature = signatures::receive(&client.inbox, head)?;
                    let skip_bytes = self.sources.get(id as usize).map_or(0, skip_bytes);
                    self.send_one(&mut supplier, id, Some(&signature), skip_bytes)?;
                    waiting -= 1;
                }
                // The hub cannot read its basis.
                Message::Control(Control::Resend(ids)) => {
                    for id in &ids {
                        self.send_one(&mut supplier, *id, None, 0)?;
                    }
                    waiting = waiting.saturating_sub(ids.len());
                }
                Message::Control(Control::Stale(paths)) => {
                    return Err(TransferError::changed(paths));
                }
                other => return Err(unexpected(&other, "signature").into()),
            }
        }
        Ok(supplier.flush()?)
    }

    fn supplier<'a>(&'a self, gathered: &'a mut Gathered) -> Supplier<'a> {
        let (root, outbox) = (&self.local.root, &self.client.outbox);
        Supplier::new(root, outbox, &self.counters.supplied, gathered)
    }

    fn send_again(&mut self, ids: &[u32]) -> Result<(), TransferError> {
        let mut gathered = Gathered::default();
        let mut supplier = self.supplier(&mut gathered);
        for id in ids {
            self.send_one(&mut supplier, *id, None, 0)?;
        }
        Ok(supplier.flush()?)
    }

    fn never_verifies(&self, id: u32) -> TransferError {
        match self.plan.actions.get(id as usize) {
            Some(action) => TransferError::Integrity(action.path.clone()),
            None => unexpected(&Control::Resend(vec![id]).into(), "an item of the plan").into(),
        }
    }

    fn send_one(
        &self,
        supplier: &mut Supplier<'_>,
        id: u32,
        basis: Option<&Signature>,
        skip_bytes: u64,
    ) -> Result<(), TransferError> {
        // The hub may ask only for what the plan has.
        let action = self.plan.actions.get(id as usize);
        let source = action.and_then(|a| match &a.source {
            Source::Theirs(from) => Some((a, from)),
            // The hub's own copy changed meanwhile; the same content is here at the path itself.
            Source::Ours(_) if a.conflict.is_none() => Some((a, &a.path)),
            Source::Ours(_) | Source::Nothing => None,
        });
        let Some((action, from)) = source else {
            return Err(
                unexpected(&Control::Resend(vec![id]).into(), "an item of the plan").into(),
            );
        };
        let item = Item {
            id,
            path: from.clone(),
            seen: self.scan.stat(from),
            skip_bytes,
        };
        let new = action.new.as_ref();
        let mut keeper = new.and_then(|new| self.keeper(action.old.as_ref(), new));
        if !supplier.send(&item, basis, keeper.as_mut().map(|(_, keeper)| keeper))? {
            return Err(TransferError::changed(vec![action.path.clone()]));
        }
        // What was read is what the scan found there, or the hub will not verify it and it is read again.
        if let Some(((digest, state), keeper)) = keeper {
            keeper.keep(state, digest);
        }
        Ok(())
    }

    /// Keeps the signature of a large file for the next push.
    fn keeper(&self, old: Option<&Node>, new: &Node) -> Option<((Digest, &State), Keeper)> {
        let state = self.local.state.as_ref()?;
        let keeper = Keeper::of(new, old.and_then(Node::digest), state)?;
        Some(((new.digest()?, state), keeper))
    }

    /// The signature of what stands at the path of an item on the hub. Lost meanwhile, everything is literal.
    fn kept_basis(&self, id: u32) -> Option<Signature> {
        let action = self.plan.actions.get(id as usize)?;
        let basis = action.old.as_ref().and_then(Node::digest)?;
        kept::recall(self.local.state.as_ref()?, basis)
    }
}

/// Bytes that the hub has of a new content.
fn skip_bytes(source: &OpSource) -> u64 {
    match source {
        OpSource::Sent { skip_bytes, .. } => *skip_bytes,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_sent_again_twice_however_many_messages_ask_for_others() {
        let mut asked = Asked::default();
        for ids in [&[0, 1][..], &[2], &[3], &[0], &[1, 2, 3]] {
            assert_eq!(asked.too_often(ids), None);
        }
        assert_eq!(asked.too_often(&[4, 3, 0]), Some(3));
    }
}
