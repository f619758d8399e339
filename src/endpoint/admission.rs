//! What a hub does with a Hello: finds the root that is meant, sees what the session may do, answers.

use super::attendance::Attendance;
use super::place::{self, Place};
use super::refusal::{ServeError, no_common_protocol};
use super::serve::{Machinery, Policy};
use super::{observe, overlap};
use crate::model::{Abilities, Folding};
use crate::protocol::handshake::{self, ClientHello, ProtocolRange, Purpose, ServerHello};
use crate::protocol::message::{Refusal, RefusalKind};

/// The Hello of a hub that knows nothing of a root yet.
pub(super) fn server_hello(machinery: &Machinery, refusal: Option<Refusal>) -> ServerHello {
    ServerHello {
        protocol: ProtocolRange::OURS,
        features: handshake::FEATURES
            .iter()
            .map(|f| (*f).to_owned())
            .collect(),
        version: machinery.version.clone(),
        root_id: String::new(),
        machine: machinery.machine.clone(),
        platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
        clock_ms: (machinery.clock)(),
        root_exists: false,
        root_mode: None,
        writable: false,
        case_sensitive: true,
        folding: Folding::NONE,
        holds: Abilities::ALL,
        free_bytes: 0,
        recovered: None,
        recovery_pending: false,
        refusal,
    }
}

/// Opens the root that was asked for and puts it in order.
pub(super) fn prepare(
    hello: &ClientHello,
    policy: &Policy,
    machinery: &Machinery,
    attendance: &Attendance,
) -> Result<(ServerHello, Place), Refusal> {
    let refusal = |e: ServeError| {
        let unknown = Refusal {
            kind: RefusalKind::Failed,
            message: e.to_string(),
            hint: String::new(),
        };
        e.as_refusal().unwrap_or(unknown)
    };
    if ProtocolRange::OURS.common(hello.protocol).is_none() {
        let client = (hello.version.as_str(), hello.protocol);
        let hub = (machinery.version.as_str(), ProtocolRange::OURS);
        return Err(no_common_protocol(client, hub));
    }
    let writes = writes(hello.purpose) && !policy.read_only;
    let Some(asked) = handshake::from_hex(&hello.root).filter(|root| !root.is_empty()) else {
        let message = "the client names no root".to_owned();
        return Err(Refusal {
            kind: RefusalKind::Usage,
            message,
            hint: "update rsyn there".to_owned(),
        });
    };
    let path = place::resolve(&asked, &machinery.home);
    overlap::refuse(&path, hello.standing.as_ref()).map_err(refusal)?;
    let makes_state = writes && hello.purpose != Purpose::Manage;
    let place = Place::open(&path, policy.restrict.as_deref(), makes_state).map_err(refusal)?;
    let mut answer = server_hello(machinery, None);
    match &place {
        Place::Missing(vacancy) => {
            answer.writable = vacancy.is_writable() && !policy.read_only;
            answer.free_bytes = vacancy.free_bytes();
        }
        Place::There(local) => {
            answer.root_exists = true;
            answer.root_mode = local.root.top().own_stat().ok().map(|s| s.mode);
            answer.writable = local.root.top().check_writable().is_ok() && !policy.read_only;
            answer.root_id = place::identity(local);
            answer.free_bytes =
                crate::disk::space::space(local.root.top()).map_or(0, |s| s.free_bytes);
            answer.folding = place::folding(local);
            answer.holds = place::holds(local);
            answer.case_sensitive = !answer.folding.ascii_case;
            if makes_state && answer.writable {
                answer.recovered = {
                    let recovered = observe::recover(local, hello, machinery, attendance);
                    recovered.map_err(refusal)?
                };
            } else {
                // A look may come back; what a pull takes from a tree in the middle of a commit it would keep.
                let pending = match hello.purpose {
                    Purpose::Look => local.is_interrupted(),
                    _ => local.pending().map(|pending| pending.is_some()),
                };
                answer.recovery_pending = pending.map_err(|e| refusal(e.into()))?;
            }
        }
    }
    Ok((answer, place))
}

/// Whether a session for this purpose may write state on the hub.
pub(super) fn writes(purpose: Purpose) -> bool {
    match purpose {
        Purpose::Look => false,
        Purpose::Pull | Purpose::Push | Purpose::Sync | Purpose::Manage => true,
    }
}
