//! A user who works on while rsyn shows its plan and waits for the answer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::random::Random;
use super::tree::{self, Tree};
use super::user::{self, Memory};
use crate::ops::talk::{Meter, Preview, Step, Talk};
use crate::plan::{Choice, Kept};

/// What such a user will do, and what came of it.
pub(super) struct Meddler {
    pub(super) root: PathBuf,
    pub(super) memory: Memory,
    pub(super) random: Random,
    pub(super) now_ms: i64,
    /// The edits in words, and the tree with them; `None` as long as nobody asked.
    pub(super) done: Option<(String, Tree)>,
}

impl Meddler {
    fn act(&mut self) {
        if self.done.is_some() {
            return;
        }
        let edits = 1 + self.random.below(3);
        let words: Vec<_> = (0..edits)
            .filter_map(|_| user::edit(&self.root, &mut self.memory, &mut self.random, self.now_ms))
            .collect();
        self.done = Some((words.join(", "), tree::read(&self.root)));
    }
}

/// Confirms everything, at once or after a meddler has done his work.
#[derive(Default)]
pub(super) struct Listener(pub(super) Mutex<Option<Meddler>>);

impl Talk for Listener {
    fn step(&self, _: Step, _: &Arc<Meter>) {}
    fn warn(&self, _: &str) {}
    fn agree(&self, _: &str) -> Option<bool> {
        None
    }
    fn names_all(&self) -> bool {
        true
    }
    fn can_ask(&self) -> bool {
        false
    }
    fn confirm(&self, _: &Preview<'_>) -> bool {
        if let Some(meddler) = &mut *self.0.lock().unwrap() {
            meddler.act();
        }
        true
    }
    fn decide(&self, _: &Kept, _: &str) -> Option<Choice> {
        None
    }
}
