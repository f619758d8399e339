//! A pull: asks the hub for what a plan needs and stages what comes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::PeerError;
use super::client::Client;
use super::connection::{Interrupted, Outbox, unexpected};
use super::local::{Local, LocalCopy, stage_plain};
use super::operations::{Deltas, needs_slot};
use super::receive::{self, Awaited, Basis, Destination, ReceiveError, Receiver};
use super::transfer::{Counters, TransferError, TransferOptions};
use super::view;
use crate::model::{Digest, Node, RelPath};
use crate::plan::moves::{Placing, renames};
use crate::plan::{Action, Plan, Source};
use crate::protocol::limits;
use crate::protocol::message::{Control, Message, Want};
use crate::transaction::{StageError, Staging};

impl Client {
    /// Fetches all content that `plan` needs from the hub into `staging`; the slot of an action is its place
    /// in the plan. `kept` are contents whose signatures the hub has.
    ///
    /// # Errors
    /// [`TransferError`]; the tree was not touched.
    pub fn fetch(
        &self,
        plan: &Plan,
        local: &Local,
        staging: &Staging,
        kept: &HashSet<Digest>,
        options: TransferOptions,
        counters: &Counters,
    ) -> Result<(), TransferError> {
        let mut fetch = Fetch {
            deltas: Deltas::of(plan, options),
            ..Fetch::default()
        };
        fetch.renamed = renames(plan.actions.iter().map(Placing::from));
        for (id, action) in (0..).zip(&plan.actions) {
            fetch.prepare(id, action, staging)?;
        }
        let copies = std::mem::take(&mut fetch.copies);
        for (LocalCopy { slot, node, .. }, error) in local.stage_copies(staging, &copies) {
            // It changed meanwhile, but the hub has it as well, if it is not the user's own version.
            match plan.actions.get(*slot as usize) {
                Some(action) if action.conflict.is_none() => {
                    fetch.want(*slot, action, (&action.path, node));
                }
                _ => return Err(error.into()),
            }
        }
        let Fetch {
            awaited,
            mut wants,
            mut bases,
            doubles,
            ..
        } = fetch;
        bases.retain(|_, digest| kept.contains(digest));
        let to = Destination {
            root: &local.root,
            staging,
            counters: &counters.received,
            signatures: local.state.as_ref(),
        };
        let mut receiver = Receiver::new(awaited);
        for want in &mut wants {
            want.skip_bytes = receiver.resume(&to, want.id)?;
            // A hub without that feature begins a delta at the start.
            want.delta = want.delta && (want.skip_bytes == 0 || self.sends_ahead());
            if !want.delta {
                bases.remove(&want.id);
            }
        }
        let asks_users = options.asks_users && self.knows_users();
        let stop = Interrupted::default();
        let outbox = self.outbox.until(Arc::clone(&stop));
        std::thread::scope(|scope| {
            // Asking and signing on one thread, receiving on another: neither direction waits for the other.
            let asking = scope.spawn(|| {
                ask(&outbox, &wants, &bases, local)?;
                // ORDER: the answer comes behind the content, on its way with that.
                match asks_users {
                    true => outbox.send(Control::AskUsers),
                    false => Ok(()),
                }
            });
            let received = self.receive_all(&mut receiver, &to, &wants);
            let received = received.and_then(|told| match asks_users && !told {
                true => Ok(self.receive_users()?),
                false => Ok(()),
            });
            // What is not received any more is not asked for: a hub that waits to send takes nothing.
            stop.store(received.is_err(), Ordering::Relaxed);
            match asking.join() {
                Ok(asked) => received.and(asked.map_err(TransferError::from)),
                Err(_) => Err(PeerError::Closed.into()),
            }
        })
        .map_err(|e| name_damage(e, plan))?;
        if !receiver.changed().is_empty() {
            let path_of = |id: &u32| plan.actions.get(*id as usize).map(|a| a.path.clone());
            return Err(TransferError::changed(
                receiver.changed().keys().filter_map(path_of).collect(),
            ));
        }
        for (from, to, node) in doubles {
            if let Node::File { mode, mtime, .. } = node {
                staging.duplicate(from, to, mode, mtime)?;
            }
        }
        Ok(())
    }

    /// Receives what is wanted; says whether an answer to the question for users came in between.
    fn receive_all(
        &self,
        receiver: &mut Receiver,
        to: &Destination<'_>,
        wants: &[Want],
    ) -> Result<bool, TransferError> {
        let mut told = false;
        loop {
            if self.inbox.is_idle() {
                receiver.catch_up(to.staging)?;
            }
            let is_done = receiver.is_done(to.staging)?;
            for id in receiver.take_failed() {
                let again = wants.iter().find(|w| w.id == id);
                let whole = again.map(|w| Want {
                    delta: false,
                    skip_bytes: 0,
                    ..w.clone()
                });
                self.outbox
                    .send(Control::Want(whole.into_iter().collect()))?;
            }
            if is_done {
                return Ok(told);
            }
            match self.inbox.receive()? {
                Message::Control(Control::Users(first)) if !told => {
                    self.receive_users_after(first)?;
                    told = true;
                }
                message => receiver.take(to, message)?,
            }
        }
    }

    /// The contents of files of the hub, for a preview; `None` for one that cannot be had. None of them is
    /// longer than `limit` bytes: longer ones must not be asked for.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn contents(
        &self,
        paths: &[RelPath],
        limit: usize,
    ) -> Result<Vec<Option<Vec<u8>>>, PeerError> {
        let want = |(id, path): (u32, &RelPath)| Want {
            id,
            path: path.clone(),
            skip_bytes: 0,
            delta: false,
        };
        let wants: Vec<_> = (0..).zip(paths).map(want).collect();
        let mut contents = vec![None; paths.len()];
        // One at a time: what is shown to a person is little.
        for want in wants {
            let id = want.id;
            self.outbox.send(Control::Want(vec![want]))?;
            let mut content = Vec::new();
            let whole = loop {
                match self.inbox.receive()? {
                    Message::Whole {
                        id: found,
                        content: all,
                    } if found == id => {
                        content = all;
                        break true;
                    }
                    Message::Control(Control::Start { id: found }) if found == id => {}
                    Message::Data(bytes) if content.len() + bytes.len() <= limit => {
                        content.extend_from_slice(&bytes);
                    }
                    Message::Control(Control::End) => break true,
                    Message::Control(Control::Changed { .. }) => break false,
                    other => return Err(unexpected(&other, "content")),
                }
            };
            if let Some(slot) = contents.get_mut(id as usize).filter(|_| whole) {
                *slot = Some(content);
            }
        }
        Ok(contents)
    }
}

/// Asks for `wants`, and sends the signatures of what is here of them, but for those `bases` whose the hub has kept.
fn ask(
    outbox: &Outbox,
    wants: &[Want],
    bases: &HashMap<u32, Digest>,
    local: &Local,
) -> Result<(), PeerError> {
    let known: Vec<_> = bases.iter().map(|(id, digest)| (*id, *digest)).collect();
    for batch in known.chunks(limits::LIST_ITEMS) {
        outbox.send(Control::Bases(batch.to_vec()))?;
    }
    view::batches(wants.iter().cloned(), |batch| {
        outbox.send(Control::Want(batch))
    })?;
    let signed = |want: &&Want| want.delta && !bases.contains_key(&want.id);
    for want in wants.iter().filter(signed) {
        if !receive::send_signature(&local.root, outbox, want.id, &want.path)? {
            let whole = Want {
                delta: false,
                ..want.clone()
            };
            outbox.send(Control::Want(vec![whole]))?;
        }
    }
    Ok(())
}

/// Content that did not verify, by the name of its path.
fn name_damage(error: TransferError, plan: &Plan) -> TransferError {
    if let TransferError::Receive(ReceiveError::Stage(StageError::Integrity { slot, .. })) = &error
        && let Some(action) = plan.actions.get(*slot as usize)
    {
        return TransferError::Integrity(action.path.clone());
    }
    error
}

/// What a pull has to fetch.
#[derive(Default)]
struct Fetch<'a> {
    deltas: Deltas,
    awaited: HashMap<u32, Awaited>,
    wants: Vec<Want>,
    /// Contents that are here, at other paths.
    copies: Vec<LocalCopy<'a>>,
    /// Items that only move a file.
    renamed: HashSet<u32>,
    /// What is here of the items that are wanted as deltas.
    bases: HashMap<u32, Digest>,
    /// The first item that asks for a content.
    first: HashMap<Digest, u32>,
    /// Contents that are needed more than once: from slot, to slot.
    doubles: Vec<(u32, u32, Node)>,
}

impl<'a> Fetch<'a> {
    /// Stages what needs no content for one action and notes what has to be copied or asked for.
    fn prepare(
        &mut self,
        id: u32,
        action: &'a Action,
        staging: &Staging,
    ) -> Result<(), TransferError> {
        let Some(new) = action
            .new
            .as_ref()
            .filter(|n| needs_slot(action.verb, action.old.as_ref(), n))
        else {
            return Ok(());
        };
        if stage_plain(staging, id, new)? {
            return Ok(());
        }
        match &action.source {
            Source::Ours(from) => self.copies.push(LocalCopy {
                slot: id,
                from,
                to: &action.path,
                node: new,
                is_rename: self.renamed.contains(&id),
            }),
            Source::Theirs(from) => self.want(id, action, (from, new)),
            Source::Nothing => {}
        }
        Ok(())
    }

    /// Notes that the hub is asked for what it has at `theirs`, or that it comes with another item.
    fn want(&mut self, id: u32, action: &Action, (theirs, new): (&RelPath, &Node)) {
        if let Some(digest) = new.digest() {
            if let Some(first) = self.first.get(&digest) {
                self.doubles.push((*first, id, new.clone()));
                return;
            }
            self.first.insert(digest, id);
        }
        let delta = *theirs == action.path && self.deltas.want(action.old.as_ref(), new);
        let basis = Basis::new(&action.path, action.old.as_ref());
        let basis_digest = basis.digest.filter(|_| delta);
        self.awaited
            .extend(Awaited::of(new, Some(basis).filter(|_| delta)).map(|a| (id, a)));
        self.bases.extend(basis_digest.map(|digest| (id, digest)));
        self.wants.push(Want {
            id,
            path: theirs.clone(),
            skip_bytes: 0,
            delta,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::disk::Root;
    use crate::endpoint::admission::server_hello;
    use crate::endpoint::connection::SendOptions;
    use crate::endpoint::opening::{OpenOptions, open};
    use crate::endpoint::serve::Machinery;
    use crate::model::{Mode, Mtime};
    use crate::plan::{Direction, Reason, Verb};
    use crate::protocol::codec::Encoder;
    use crate::protocol::frame;
    use crate::protocol::handshake::{ClientHello, MAGIC, ProtocolRange, Purpose, encode_hello};
    use crate::transport::Transport;

    fn client_hello() -> ClientHello {
        ClientHello {
            protocol: ProtocolRange::OURS,
            features: vec![],
            version: String::new(),
            root: String::new(),
            expected_root_id: None,
            machine_id: String::new(),
            machine: String::new(),
            purpose: Purpose::Pull,
            repair: false,
            own_rules: true,
            checksum: false,
            create_root: false,
            seen: None,
            bytes_per_second: 0,
            compress: false,
            standing: None,
        }
    }

    /// A hub's Hello and a content that nobody can want.
    fn words_of_a_hub() -> Vec<u8> {
        let machinery = Machinery {
            home: "/".into(),
            machine: String::new(),
            clock: || 0,
            version: String::new(),
            leave: || (),
        };
        let mut words = [MAGIC.as_slice(), &[1]].concat();
        words.extend(encode_hello(&server_hello(&machinery, None)).unwrap());
        let content = b"wrong".to_vec();
        let mut message = Vec::new();
        frame::encode(&Message::Whole { id: 0, content }, &mut message).unwrap();
        let mut encoder = Encoder::new();
        encoder.chunk(&message, None, &mut words).unwrap();
        words
    }

    /// Asking for it fills all buffers on the way.
    fn large_plan() -> Plan {
        let action = |n: u32| Action {
            path: RelPath::new(format!("{n:0>240}").as_bytes()).unwrap(),
            verb: Verb::Create,
            reason: Reason::Undo,
            old: None,
            new: Some(Node::File {
                size: 5,
                digest: Digest::of(&n.to_le_bytes()),
                mode: Mode::from(0o644),
                mtime: Mtime { secs: 0, nanos: 0 },
            }),
            source: Source::Theirs(RelPath::new(format!("{n:0>240}").as_bytes()).unwrap()),
            conflict: None,
        };
        Plan {
            actions: (0..60_000).map(action).collect(),
            ..Plan::nothing(Direction::Pull)
        }
    }

    #[test]
    fn what_cannot_be_staged_ends_a_fetch_at_once_though_the_hub_takes_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(temp.path()).unwrap());
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&words_of_a_hub()).unwrap();
        let transport = Transport::without_process(ours.try_clone().unwrap(), ours);
        let options = OpenOptions {
            send: SendOptions {
                compress: false,
                bytes_per_second: None,
            },
            timeout: Duration::from_secs(20),
            interrupted: Interrupted::default(),
        };
        let opening = open(transport, &client_hello(), None, options).unwrap();
        let client = opening.wait().unwrap();
        let staging = Staging::begin(&root).unwrap();
        let local = Local { root, state: None };
        let options = TransferOptions {
            whole_file: false,
            asks_users: false,
        };
        let start = Instant::now();

        let fetched = client.fetch(
            &large_plan(),
            &local,
            &staging,
            &HashSet::new(),
            options,
            &Counters::default(),
        );

        assert!(matches!(fetched, Err(TransferError::Integrity(_))));
        assert!(start.elapsed() < Duration::from_secs(10));
        drop(theirs);
    }
}
