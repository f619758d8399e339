//! The quick way to the first rule that matches: names and extensions are looked up, the rest is tried.
//!
//! Most rules of most lists are a bare name (`node_modules/`) or an extension (`*.o`). Those are found
//! by hash, however many they are; only the others are compared one by one, and only as long as they
//! stand before the rule already found.

use std::collections::HashMap;

use super::glob::Meter;
use super::pattern::{Form, Pattern, Subject, Text};

/// The numbers of rules, found by the name of an entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    names: HashMap<Box<[u8]>, First>,
    /// The key has its dot.
    extensions: HashMap<Box<[u8]>, First>,
    /// Ascending.
    others: Vec<usize>,
}

/// The first rules of one name or extension.
#[derive(Debug, Clone, Copy, Default)]
struct First {
    any: Option<usize>,
    dir: Option<usize>,
}

impl Index {
    /// Adds the rule `number`, which is greater than all before.
    pub(super) fn push(&mut self, number: usize, pattern: &Pattern) {
        let first = match pattern.form() {
            Form::Name(Text::Literal(name)) => self.names.entry(name.clone()).or_default(),
            Form::Name(Text::Suffix(end)) if is_extension(end) => {
                self.extensions.entry(end.clone()).or_default()
            }
            _ => return self.others.push(number),
        };
        let slot = if pattern.is_dir_only() {
            &mut first.dir
        } else {
            &mut first.any
        };
        slot.get_or_insert(number);
    }

    /// The number of the first rule that matches; `pattern_of` gives the pattern of a number.
    ///
    /// # Errors
    /// The number of the rule at which the steps of the meter were spent.
    pub(super) fn first_match<'a>(
        &self,
        subject: Subject<'_>,
        pattern_of: impl Fn(usize) -> &'a Pattern,
        meter: &mut impl Meter,
    ) -> Result<Option<usize>, usize> {
        let found = self.look_up(subject);
        let earlier = self
            .others
            .iter()
            .take_while(|at| found.is_none_or(|found| **at < found));
        for at in earlier.copied() {
            let is_it = pattern_of(at).matches(subject, meter);
            if meter.is_spent() {
                return Err(at);
            }
            if is_it {
                return Ok(Some(at));
            }
        }
        Ok(found)
    }

    fn look_up(&self, subject: Subject<'_>) -> Option<usize> {
        let name = subject.name();
        let by_name = self.names.get(name);
        let by_extension = extension(name).and_then(|end| self.extensions.get(end));
        let firsts = by_name.into_iter().chain(by_extension);
        let numbers = firsts.flat_map(|first| [first.any, first.dir.filter(|_| subject.is_dir())]);
        numbers.flatten().min()
    }
}

/// Whether names with this end are those with this extension: a dot and no other.
fn is_extension(end: &[u8]) -> bool {
    end.strip_prefix(b".")
        .is_some_and(|rest| !rest.contains(&b'.'))
}

/// The last dot of a name and what follows it.
fn extension(name: &[u8]) -> Option<&[u8]> {
    name.iter()
        .rposition(|b| *b == b'.')
        .map(|dot| &name[dot..])
}
