//! What users have the engine do, and what it did.

use super::random::Random;
use crate::model::RelPath;
use crate::ops::connect::{Compress, Reach};
use crate::ops::look::World;
use crate::ops::restore::{self, Target};
use crate::ops::sync::{self, Request};
use crate::ops::undo::{self, Where};
use crate::ops::{Failure, verify};
use crate::plan::{Direction, Plan, Policy};

/// What a user has the engine do.
#[derive(Clone)]
pub(super) enum Task {
    Sync(Box<Request>),
    Rollback(Where),
}

/// What it did, or would do.
pub(super) struct Report {
    pub(super) plans: Vec<Plan>,
    pub(super) refusal: Option<Failure>,
}

/// How a world's machines reach their hub: in some, all travels compressed.
pub(super) fn reach(compressed: bool) -> Reach {
    Reach {
        compress: if compressed {
            Compress::On
        } else {
            Compress::Off
        },
        ..Reach::default()
    }
}

impl Task {
    /// Both directions without any flag.
    pub(super) fn whole_sync(force: bool, reach: Reach) -> Self {
        Self::Sync(Box::new(Request {
            force,
            reach,
            ..Request::of(vec![Direction::Pull, Direction::Push])
        }))
    }

    /// A sync with random flags; as a clone does it if the machine `is_bare`.
    pub(super) fn random_sync(random: &mut Random, reach: Reach, is_bare: bool) -> Self {
        let (pull, push) = (Direction::Pull, Direction::Push);
        let mut directions = random
            .of(&[vec![pull], vec![push], vec![pull, push]])
            .clone();
        let policies = [
            None,
            None,
            Some(Policy::Local),
            Some(Policy::Remote),
            Some(Policy::Newer),
            Some(Policy::Both),
            Some(Policy::Block),
        ];
        let only = random
            .one_in(8)
            .then(|| RelPath::new(b"d".as_slice()).unwrap());
        let own_rules = is_bare && random.one_in(2);
        if own_rules {
            directions = vec![pull];
        }
        let mirror = directions.len() == 1 && random.one_in(10);
        Self::Sync(Box::new(Request {
            mirror,
            own_rules,
            on_conflict: *random.of(&policies),
            no_delete: random.one_in(8),
            only: only.into_iter().collect(),
            force: random.one_in(12),
            checksum: random.one_in(8),
            whole_file: random.one_in(8),
            reach,
            ..Request::of(directions)
        }))
    }

    /// Whether a meddler's work can be told from that of the task: it writes one side.
    pub(super) fn writes_one_side(&self) -> bool {
        match self {
            Self::Sync(request) => request.directions.len() == 1,
            Self::Rollback(_) => true,
        }
    }

    pub(super) fn run(
        &self,
        world: &World<'_>,
        reach: &Reach,
        dry_run: bool,
    ) -> Result<Report, Failure> {
        match self {
            Self::Sync(request) => {
                let request = Request {
                    dry_run,
                    ..(**request).clone()
                };
                let report = sync::run(world, &request)?;
                if let (false, Some(failure)) = (dry_run, &report.refusal) {
                    return Err(failure.clone());
                }
                Ok(Report {
                    plans: report.legs.into_iter().map(|leg| leg.plan).collect(),
                    refusal: report.refusal,
                })
            }
            Self::Rollback(at) => {
                let report = undo::rollback(world, *at, reach, None, dry_run)?;
                Ok(Report {
                    plans: vec![report.plan],
                    refusal: None,
                })
            }
        }
    }

    pub(super) fn words(&self) -> String {
        match self {
            Self::Rollback(at) => format!("rollback {at:?}"),
            Self::Sync(request) => {
                let Request {
                    on_conflict,
                    mirror,
                    own_rules,
                    no_delete,
                    only,
                    force,
                    checksum,
                    ..
                } = &**request;
                format!(
                    "{} {on_conflict:?} mirror {mirror} own_rules {own_rules} no_delete {no_delete} only {only:?} \
                     force {force} checksum {checksum}",
                    request.verb()
                )
            }
        }
    }
}

/// Brings the newest older version of a path back; gives what changed.
pub(super) fn restore(world: &World<'_>, path: &[u8]) -> Result<Plan, Failure> {
    let path = RelPath::new(path).unwrap();
    restore::restore(world, &path, None, Target::Place).map(|report| report.plan)
}

/// Reads all again; gives how many files are not what they were.
pub(super) fn verify(
    world: &World<'_>,
    at: Where,
    reach: &Reach,
    repair: bool,
) -> Result<usize, Failure> {
    verify::verify(world, at, reach, repair).map(|report| report.findings.len())
}
