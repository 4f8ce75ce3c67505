//! Equal answers share one allocation: a directory says "wrong password" in very few ways.

use std::collections::HashSet;
use std::sync::Arc;

use super::effect::NotRecorded;
use super::verdict::Verdict;

/// How many different answers are kept.
const CAPACITY: usize = 1024;
/// The longest answer that is kept, in octets.
const MAX_OCTETS: usize = 4096;

/// The answers that entries share. Entries hold the `Arc`s; this only finds equal ones.
#[derive(Debug, Default)]
pub(super) struct Interner {
    verdicts: HashSet<Arc<Verdict>>,
}

impl Interner {
    /// The shared form of `verdict`, or why it cannot be kept.
    pub(super) fn intern(&mut self, verdict: &Arc<Verdict>) -> Result<Arc<Verdict>, NotRecorded> {
        if verdict.len() > MAX_OCTETS {
            return Err(NotRecorded::TooLarge);
        }
        if let Some(known) = self.verdicts.get(verdict) {
            return Ok(Arc::clone(known));
        }
        if self.verdicts.len() >= CAPACITY {
            // No entry refers to an answer that only this table holds.
            self.verdicts.retain(|verdict| Arc::strong_count(verdict) > 1);
            if self.verdicts.len() >= CAPACITY {
                return Err(NotRecorded::TooManyVerdicts);
            }
        }
        self.verdicts.insert(Arc::clone(verdict));
        Ok(Arc::clone(verdict))
    }

    /// How many different answers are kept.
    pub(super) fn len(&self) -> usize {
        self.verdicts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::tests::verdict;
    use super::*;

    #[test]
    fn equal_answers_share_one_allocation() {
        let mut interner = Interner::default();
        let first = interner.intern(&Arc::new(verdict(49, b"x"))).unwrap();
        let second = interner.intern(&Arc::new(verdict(49, b"x"))).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(interner.intern(&Arc::new(verdict(49, &[b'x'; 5000]))), Err(NotRecorded::TooLarge));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_what_no_entry_uses() {
        let mut interner = Interner::default();
        let numbered = |number: usize| Arc::new(verdict(49, number.to_string().as_bytes()));
        let mut held: Vec<_> = (0..CAPACITY).map(|number| interner.intern(&numbered(number)).unwrap()).collect();
        assert_eq!(interner.intern(&numbered(CAPACITY)), Err(NotRecorded::TooManyVerdicts));
        held.truncate(10);
        interner.intern(&numbered(CAPACITY)).unwrap();
        assert_eq!(interner.len(), 11);
    }
}
