//! A push as the hub receives it: its operations, the content that is at hand, and what it has to ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::PeerError;
use super::connection::Outbox;
use super::local::{Local, LocalCopy, LocalError, stage_plain};
use super::operations::{digest_of, needs_slot, verb};
use super::receive::{self, Awaited, Basis, Destination, ReceiveError, Received, Receiver};
use super::refusal::{ServeError, malformed};
use crate::model::{Digest, Node, RelPath};
use crate::plan::moves::{Placing, renames};
use crate::protocol::bounded::Budget;
use crate::protocol::message::{Control, Form, Message, Op, OpSource, RefusalKind};
use crate::transaction::{StageError, Staging};

/// Items that one message asks for again: at five bytes each, the most that a number takes, they fit.
const RESEND_ITEMS: usize = 200_000;

/// A push that is being received.
#[derive(Default)]
pub(super) struct Receiving {
    pub(super) ops: Vec<Op>,
    /// Of these operations, once it was asked for.
    plan: Option<Digest>,
    pub(super) staging: Option<Staging>,
    /// What the client may still ask for.
    budget: Option<Budget>,
    receiver: Receiver,
    /// Items that have to come again, whole.
    again: Vec<u32>,
    signer: Option<Signing>,
}

/// The thread that signs bases.
struct Signing {
    thread: std::thread::JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl Receiving {
    pub(super) fn add(&mut self, ops: Vec<Op>) -> Result<(), PeerError> {
        if self.staging.is_some() {
            return Err(malformed("ops"));
        }
        let budget = self
            .budget
            .get_or_insert_with(|| Budget::of_tree("changes"));
        budget.take(&ops)?;
        self.ops.extend(ops);
        self.plan = None;
        Ok(())
    }

    pub(super) fn check_plan(&mut self, plan: Digest) -> Result<(), ServeError> {
        let ops = &self.ops;
        if *self.plan.get_or_insert_with(|| digest_of(ops.iter())) == plan {
            return Ok(());
        }
        let hint = "run it again";
        Err(ServeError::refused(
            RefusalKind::Integrity,
            "the plan arrived damaged",
            hint,
        ))
    }

    /// Stages what is at hand and asks for the rest; once.
    pub(super) fn begin(
        &mut self,
        local: &Local,
        outbox: &Outbox,
        counters: &Received,
    ) -> Result<(), ServeError> {
        if self.staging.is_some() {
            return Err(malformed("ops-end").into());
        }
        let staging = Staging::begin(&local.root).map_err(LocalError::from)?;
        let (mut copies, mut sign) = (Vec::new(), Vec::new());
        let mut ops = std::mem::take(&mut self.ops);
        ops.shrink_to_fit();
        staging.arrange((0..).zip(&ops).filter_map(|(slot, op)| {
            let new = op.new.as_ref().filter(|_| op.old.is_none())?;
            Some((slot, &op.path, new))
        }));
        let renamed = renames(ops.iter().map(Placing::from));
        for (id, op) in (0..).zip(&ops) {
            let Some(new) = &op.new else { continue };
            if !needs_slot(verb(op), op.old.as_ref(), new)
                || stage_plain(&staging, id, new).map_err(staging_error)?
            {
                continue;
            }
            match &op.source {
                OpSource::Whole => self.await_file(id, new, None),
                OpSource::Delta => {
                    self.await_file(id, new, Some(Basis::new(&op.path, op.old.as_ref())));
                    sign.push((id, op.path.clone()));
                }
                OpSource::Sent { skip_bytes, form } => {
                    let basis = || Basis::new(&op.path, op.old.as_ref());
                    let basis = (*form != Form::Whole).then(basis);
                    self.await_file(id, new, basis);
                    let to = destination(local, &staging, counters);
                    let resumed = self.receiver.resume_at(&to, id, *skip_bytes);
                    resumed.map_err(staging_error)?;
                    if *form == Form::Delta {
                        sign.push((id, op.path.clone()));
                    }
                }
                OpSource::Yours(from) => copies.push(LocalCopy {
                    slot: id,
                    from,
                    to: &op.path,
                    node: new,
                    is_rename: renamed.contains(&id),
                }),
                OpSource::SameAs(_) | OpSource::Nothing => {}
            }
        }
        for (LocalCopy { slot, node, .. }, _) in local.stage_copies(&staging, &copies) {
            self.await_file(*slot, node, None);
            self.again.push(*slot);
        }
        drop(copies);
        self.ops = ops;
        self.staging = Some(staging);
        self.sign(local, outbox, sign)
    }

    /// Signs bases on a thread of its own: the client sends whole files meanwhile, and this end must not
    /// stop reading them.
    fn sign(
        &mut self,
        local: &Local,
        outbox: &Outbox,
        items: Vec<(u32, RelPath)>,
    ) -> Result<(), ServeError> {
        if items.is_empty() {
            return Ok(());
        }
        let root = Arc::clone(&local.root);
        let outbox = outbox.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for (id, path) in items {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let sent = match receive::send_signature(&root, &outbox, id, &path) {
                    Ok(true) => Ok(()),
                    Ok(false) => outbox.send(Control::Resend(vec![id])),
                    Err(e) => Err(e),
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        self.signer = Some(Signing { thread, stop });
        Ok(())
    }

    /// Ends the signing; nothing of it is sent afterwards. The client must be reading.
    pub(super) fn stop_signing(&mut self) {
        if let Some(Signing { thread, stop }) = self.signer.take() {
            stop.store(true, Ordering::Relaxed);
            // A signer that panicked sends nothing more either.
            drop(thread.join());
        }
    }

    /// Gives the push up; what was received is kept for the next attempt.
    pub(super) fn give_up(mut self) {
        self.stop_signing();
    }

    pub(super) fn take(
        &mut self,
        local: &Local,
        counters: &Received,
        message: Message,
    ) -> Result<(), ServeError> {
        let Some(staging) = &self.staging else {
            return Err(malformed("content").into());
        };
        let to = destination(local, staging, counters);
        let taken = self.receiver.take(&to, message);
        self.again.extend(self.receiver.take_failed());
        taken.map_err(|e| self.name_damage(e))
    }

    /// Goes on staging while nothing comes.
    pub(super) fn catch_up(&mut self) -> Result<(), ServeError> {
        self.stage(Receiver::catch_up)
    }

    /// Waits until all that came is staged.
    pub(super) fn settle(&mut self) -> Result<(), ServeError> {
        self.stage(Receiver::settle)
    }

    fn stage(
        &mut self,
        stage: fn(&mut Receiver, &Staging) -> Result<(), ReceiveError>,
    ) -> Result<(), ServeError> {
        let Some(staging) = &self.staging else {
            return Ok(());
        };
        let staged = stage(&mut self.receiver, staging);
        self.again.extend(self.receiver.take_failed());
        staged.map_err(|e| self.name_damage(e))
    }

    /// Content that did not verify, by the name of its path.
    fn name_damage(&self, error: ReceiveError) -> ServeError {
        let ReceiveError::Stage(StageError::Integrity { slot, .. }) = &error else {
            return receive_error(error);
        };
        let path = self
            .ops
            .get(*slot as usize)
            .map(|op| format!("{:?}", op.path));
        let message = format!(
            "content of {} is not what the scan found there",
            path.unwrap_or_else(|| "a file".to_owned())
        );
        ServeError::refused(
            RefusalKind::Integrity,
            message,
            "run it again with `-c` to read every file",
        )
    }

    fn await_file(&mut self, id: u32, node: &Node, basis: Option<Basis>) {
        if let Some(file) = Awaited::of(node, basis) {
            self.receiver.await_file(id, file);
        }
    }

    /// Items that have to come again, whole: as many as fit a message. The others are for the next call.
    pub(super) fn take_failed(&mut self) -> Vec<u32> {
        let named = self.again.len().min(RESEND_ITEMS);
        let later = self.again.split_off(named);
        std::mem::replace(&mut self.again, later)
    }
}

/// Where received content goes.
fn destination<'a>(
    local: &'a Local,
    staging: &'a Staging,
    counters: &'a Received,
) -> Destination<'a> {
    Destination {
        root: &local.root,
        staging,
        counters,
        signatures: local.state.as_ref(),
    }
}

/// Why content could not be staged, as the client is told.
pub(super) fn staging_error(error: StageError) -> ServeError {
    receive_error(error.into())
}

fn receive_error(error: ReceiveError) -> ServeError {
    match error {
        ReceiveError::Peer(e) => e.into(),
        ReceiveError::Disk(e) => LocalError::from(e).into(),
        ReceiveError::Stage(StageError::Disk(e)) => LocalError::from(e).into(),
        ReceiveError::Stage(e) => {
            let message = format!("content did not verify on the hub: {e}");
            ServeError::refused(
                RefusalKind::Integrity,
                message,
                "nothing was changed; run it again",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame;

    #[test]
    fn items_are_asked_for_again_in_messages_that_they_fit() {
        let all: Vec<u32> = (u32::MAX - 450_000..u32::MAX).collect();
        let mut receiving = Receiving {
            again: all.clone(),
            ..Receiving::default()
        };
        let mut asked: Vec<u32> = Vec::new();
        loop {
            let part = receiving.take_failed();
            if part.is_empty() {
                break;
            }
            asked.extend(&part);
            frame::encode(&Control::Resend(part).into(), &mut Vec::new()).unwrap();
        }
        assert_eq!(asked, all);
    }
}
