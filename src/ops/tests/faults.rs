//! What befalls a process: it is killed before one of its changes of the disk, or one of them is refused.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use super::random::Random;
use crate::disk::fault::{Hook, with_hook};

/// One fault, at a call that changes the disk, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The process ends there.
    Kill { at: usize },
    /// The call fails, and all after it if `forever`.
    Refuse {
        at: usize,
        errno: i32,
        forever: bool,
    },
}

/// What unwinds a thread that plays a killed process.
struct Dead;

/// What became of a process.
pub(super) struct Struck<T> {
    /// `None` if it was killed.
    pub(super) result: Option<T>,
    /// Whether the fault came.
    pub(super) fired: bool,
}

const ENOSPC: i32 = 28;
const EIO: i32 = 5;
const EACCES: i32 = 13;

impl Fault {
    pub(super) fn random(random: &mut Random) -> Self {
        // Short runs have some ten calls, long ones beyond a hundred.
        let limit = *random.of(&[12, 40, 120]);
        let at = random.below(limit);
        if random.below(3) > 0 {
            return Self::Kill { at };
        }
        Self::Refuse {
            at,
            errno: *random.of(&[ENOSPC, EIO, EACCES]),
            forever: random.one_in(2),
        }
    }

    fn at(self) -> usize {
        match self {
            Self::Kill { at } | Self::Refuse { at, .. } => at,
        }
    }

    /// The answer to call number `call`. A process that was killed changes nothing any more while it unwinds.
    fn answer(self, call: usize) -> io::Result<()> {
        match self {
            Self::Kill { at } if call >= at => {
                if !std::thread::panicking() {
                    resume_unwind(Box::new(Dead));
                }
                Err(io::Error::other("this process is dead"))
            }
            Self::Refuse { at, errno, forever } if call == at || (forever && call > at) => {
                Err(io::Error::from_raw_os_error(errno))
            }
            _ => Ok(()),
        }
    }
}

/// Runs `body` as a process that `fault` befalls.
pub(super) fn strike<T>(fault: Option<Fault>, body: impl FnOnce() -> T) -> Struck<T> {
    let Some(fault) = fault else {
        return Struck {
            result: Some(body()),
            fired: false,
        };
    };
    let calls = Rc::new(Cell::new(0));
    let seen = Rc::clone(&calls);
    let hook: Hook = Box::new(move |_, _| fault.answer(seen.replace(seen.get() + 1)));
    let result = match catch_unwind(AssertUnwindSafe(|| with_hook(hook, body))) {
        Ok(result) => Some(result),
        Err(dead) if dead.is::<Dead>() => None,
        Err(panic) => resume_unwind(panic),
    };
    Struck {
        result,
        fired: calls.get() > fault.at(),
    }
}
