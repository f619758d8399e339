//! Hubs in this process: what a client starts in place of a program, with what shall befall the session.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::faults::{Fault, strike};
use super::link::link;
use crate::endpoint::PeerError;
use crate::endpoint::serve::{Machinery, Policy, serve};
use crate::transport::{StartError, Transport};

/// Where a link is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) to_hub: bool,
    pub(super) after_bytes: usize,
}

/// What shall befall the next session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Omens {
    pub(super) hub: Option<Fault>,
    pub(super) cut: Option<Cut>,
}

/// What befell the sessions of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ended {
    pub(super) struck: bool,
    pub(super) killed: bool,
    pub(super) cut: bool,
}

struct Running {
    thread: JoinHandle<(bool, bool)>,
    cuts: [Arc<AtomicBool>; 2],
}

thread_local! {
    static NOW_MS: Cell<i64> = const { Cell::new(0) };
    static OMENS: Cell<Omens> = const { Cell::new(Omens { hub: None, cut: None }) };
    static RUNNING: RefCell<Vec<Running>> = const { RefCell::new(vec![]) };
}

/// The clock of the world that this thread plays.
pub(super) fn clock() -> i64 {
    NOW_MS.get()
}

pub(super) fn set_clock(now_ms: i64) {
    NOW_MS.set(now_ms);
}

/// Arms the next session that this thread starts.
pub(super) fn arm(omens: Omens) {
    OMENS.set(omens);
}

/// Starts a hub, as [`crate::ops::look::World::hub_here`].
#[expect(
    clippy::unnecessary_wraps,
    reason = "a process may not start; a thread does"
)]
pub(super) fn start(_program: &Path) -> Result<Transport, StartError> {
    let Omens { hub, cut } = OMENS.take();
    let bytes_of = |to_hub| cut.filter(|c| c.to_hub == to_hub).map(|c| c.after_bytes);
    let (client_writes, hub_reads, cut_to_hub) = link(false, bytes_of(true));
    let (hub_writes, client_reads, cut_from_hub) = link(true, bytes_of(false));
    let now_ms = clock();
    let thread = std::thread::spawn(move || {
        set_clock(now_ms);
        let machinery = Machinery {
            home: "/".into(),
            machine: "hub".to_owned(),
            clock,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            leave: || (),
        };
        let struck = strike(hub, || {
            serve(hub_reads, hub_writes, &Policy::default(), &machinery)
        });
        if let Some(Err(PeerError::Protocol(e))) = &struck.result {
            panic!("the hub was told nonsense: {e}");
        }
        (struck.fired, struck.result.is_none())
    });
    let cuts = [cut_to_hub, cut_from_hub];
    RUNNING.with_borrow_mut(|running| running.push(Running { thread, cuts }));
    Ok(Transport::without_process(client_reads, client_writes))
}

/// Waits for the hubs that this thread started.
pub(super) fn wait() -> Ended {
    let mut ended = Ended::default();
    for Running { thread, cuts } in RUNNING.take() {
        let (struck, killed) = thread.join().expect("the hub panicked");
        ended.struck |= struck;
        ended.killed |= killed;
        ended.cut |= cuts.iter().any(|cut| cut.load(Ordering::Relaxed));
    }
    OMENS.take();
    ended
}
