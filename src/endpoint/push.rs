//! A push: sends a plan and the content that it needs, and has the hub commit it.

use super::PeerError;
use super::client::Client;
use super::connection::unexpected;
use super::local::Local;
use super::operations::{digest_of, ops};
use super::signatures;
use super::supply::{Item, Supplier};
use super::transfer::{Counters, TransferError, TransferOptions};
use super::view;
use crate::plan::{Plan, Source};
use crate::protocol::message::{CommitReport, Control, Message, Op, OpSource};
use crate::scan::Scan;

/// How often content that did not verify is asked for again.
const RESEND_ROUNDS: usize = 2;

/// Words that go with a commit.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// Whether displaced content is kept.
    pub keep_snapshot: bool,
    /// For the hub's log.
    pub label: &'a str,
}

impl Client {
    /// Sends `plan` and all content it needs to the hub and has it committed.
    ///
    /// # Errors
    /// [`TransferError`]; the hub's tree was not touched.
    pub fn push(
        &self,
        plan: &Plan,
        local: &Local,
        scan: &Scan,
        commit: Commit<'_>,
        options: TransferOptions,
        counters: &Counters,
    ) -> Result<CommitReport, TransferError> {
        let ops = ops(plan, options);
        let digest = digest_of(&ops);
        view::batches(
            ops.iter().cloned(),
            |op| op.path.as_bytes().len(),
            |batch| self.outbox.send(Control::Ops(batch)),
        )?;
        self.outbox.send(Control::OpsEnd { plan: digest })?;
        let mut sending = Sending {
            client: self,
            ops: &ops,
            plan,
            local,
            scan,
            counters,
        };
        sending.send_all()?;
        for _ in 0..=RESEND_ROUNDS {
            self.outbox.send(Control::Commit {
                plan: digest,
                snapshot: commit.keep_snapshot,
                label: commit.label.to_owned(),
            })?;
            match self
                .inbox
                .verdict("committed")
                .map_err(TransferError::Unheard)?
            {
                Control::Committed(report) => return Ok(report),
                Control::Stale(paths) => return Err(TransferError::Changed(paths)),
                Control::Resend(ids) => sending.send_again(&ids)?,
                other => return Err(unexpected(&other.into(), "committed").into()),
            }
        }
        let path = ops.first().map(|op| op.path.clone());
        path.map_or_else(
            || Err(PeerError::Closed.into()),
            |path| Err(TransferError::Integrity(path)),
        )
    }
}

struct Sending<'a> {
    client: &'a Client,
    ops: &'a [Op],
    plan: &'a Plan,
    local: &'a Local,
    scan: &'a Scan,
    counters: &'a Counters,
}

impl Sending<'_> {
    /// Sends what travels whole at once, then what waits for a signature, as signatures come.
    fn send_all(&mut self) -> Result<(), TransferError> {
        let client = self.client;
        let mut supplier = Supplier::new(&self.local.root, &client.outbox, &self.counters.supplied);
        for (id, op) in (0..)
            .zip(self.ops)
            .filter(|(_, op)| op.source == OpSource::Whole)
        {
            let _: &Op = op;
            self.send_one(&mut supplier, id, None)?;
        }
        let mut waiting = self
            .ops
            .iter()
            .filter(|op| op.source == OpSource::Delta)
            .count();
        while waiting > 0 {
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
                    self.send_one(&mut supplier, id, Some(&signature))?;
                    waiting -= 1;
                }
                // The hub cannot read its basis.
                Message::Control(Control::Resend(ids)) => {
                    for id in &ids {
                        self.send_one(&mut supplier, *id, None)?;
                    }
                    waiting = waiting.saturating_sub(ids.len());
                }
                Message::Control(Control::Stale(paths)) => {
                    return Err(TransferError::Changed(paths));
                }
                other => return Err(unexpected(&other, "signature").into()),
            }
        }
        Ok(())
    }

    fn send_again(&mut self, ids: &[u32]) -> Result<(), TransferError> {
        let mut supplier = Supplier::new(
            &self.local.root,
            &self.client.outbox,
            &self.counters.supplied,
        );
        ids.iter()
            .try_for_each(|id| self.send_one(&mut supplier, *id, None))
    }

    fn send_one(
        &self,
        supplier: &mut Supplier<'_>,
        id: u32,
        basis: Option<&crate::delta::Signature>,
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
            skip_bytes: 0,
        };
        match supplier.send(&item, basis)? {
            true => Ok(()),
            false => Err(TransferError::Changed(vec![action.path.clone()])),
        }
    }
}
