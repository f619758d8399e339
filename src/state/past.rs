//! [`Past`]: which generations a hub had. A machine that saw another generation saw another hub: one that went back in
//! time since, as from a backup.

use serde::{Deserialize, Serialize};

use crate::model::Digest;

/// So many generations are remembered; 128 KiB.
const MOST: usize = 65_536;

/// The numbers of a hub's generations, from the oldest that it remembers to the newest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Past {
    oldest: u64,
    newest: u64,
    /// From each generation to the next, less 1, in two bytes each.
    #[serde(with = "serde_bytes")]
    strides: Vec<u8>,
}

/// What a hub knows of a generation that a machine saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It had that generation.
    Had,
    /// It never had it.
    Never,
    /// It does not remember so far back.
    Forgotten,
}

impl Past {
    /// The generation now; 0 before the first.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Begins the generation whose tree has the digest `view`. The digest decides its number, so that two ways to go on
    /// from one generation do not meet in one number.
    pub(super) fn begin(&mut self, view: Digest) {
        let number = self.newest.to_le_bytes();
        let Digest([a, b, ..]) = Digest::of(&[&number[..], &view.0].concat());
        self.newest = self.newest.saturating_add(stride([a, b]));
        self.strides.extend([a, b]);
        let kept = self.strides.len().min(2 * MOST);
        let dropped = self.strides.drain(..self.strides.len() - kept);
        let steps = dropped
            .as_slice()
            .chunks_exact(2)
            .map(|s| stride([s[0], s[1]]));
        self.oldest = steps.fold(self.oldest, u64::saturating_add);
    }

    /// Forgets all generations before the one of now.
    pub(super) fn forget(&mut self) {
        self.oldest = self.newest;
        self.strides.clear();
    }

    /// What is known of the generation `number`.
    pub(super) fn standing(&self, number: u64) -> Standing {
        if number < self.oldest {
            Standing::Forgotten
        } else if self.numbers().any(|had| had == number) {
            Standing::Had
        } else {
            Standing::Never
        }
    }

    /// The newest remembered generation before `number`; 0 if none is.
    pub(super) fn newest_before(&self, number: u64) -> u64 {
        self.numbers()
            .take_while(|had| *had < number)
            .last()
            .unwrap_or(0)
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        let steps = self.strides.chunks_exact(2).map(|s| stride([s[0], s[1]]));
        let later = steps.scan(self.oldest, |number, step| {
            *number = number.saturating_add(step);
            Some(*number)
        });
        std::iter::once(self.oldest).chain(later)
    }
}

fn stride(bytes: [u8; 2]) -> u64 {
    1 + u64::from(u16::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(generations: usize) -> Past {
        let mut past = Past::default();
        for n in 0..generations {
            past.begin(Digest::of(&n.to_le_bytes()));
        }
        past
    }

    #[test]
    fn each_generation_that_a_hub_had_is_known_and_no_other() {
        let past = past(300);
        let had: Vec<_> = past.numbers().collect();
        assert_eq!((had.len(), had[0], had[300]), (301, 0, past.newest()));
        for number in 0..=past.newest() + 1 {
            let expected = if had.contains(&number) {
                Standing::Had
            } else {
                Standing::Never
            };
            assert_eq!(past.standing(number), expected);
        }
        assert_eq!(past.newest_before(had[7]), had[6]);
        assert_eq!(past.newest_before(0), 0);
    }

    #[test]
    fn what_is_older_than_the_memory_is_unknown() {
        let mut all = past(MOST);
        assert_eq!(
            all.standing(1),
            Standing::Never,
            "from the first on nothing is forgotten"
        );
        let (first, second) = (all.numbers().nth(1).unwrap(), all.numbers().nth(2).unwrap());
        all.begin(Digest([0; 32]));
        all.begin(Digest([1; 32]));
        assert_eq!(all.strides.len(), 2 * MOST);
        assert_eq!(all.standing(first), Standing::Forgotten);
        assert_eq!(all.standing(second), Standing::Had);

        let mut copy = past(3);
        let seen = copy.newest();
        copy.forget();
        assert_eq!(copy.standing(seen), Standing::Had);
        copy.begin(Digest([0; 32]));
        copy.forget();
        assert_eq!(copy.standing(seen), Standing::Forgotten);
    }
}
