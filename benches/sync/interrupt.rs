//! Ctrl-C and a polite kill end the benchmark as a failure does: with everything cleared away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static ASKED_TO_END: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From now on a signal is only noted.
pub fn note_signals() {
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&ASKED_TO_END)).unwrap();
    }
}

/// # Panics
/// There was a signal.
pub fn check() {
    assert!(!ASKED_TO_END.load(Ordering::Relaxed), "interrupted");
}
