//! Names that were hashed a moment ago: a device that hammers presents the same octets each time.
//!
//! Folding and hashing a name is two thirds of what it costs to recognise a cached bind. One memo
//! belongs to one core, so nothing is locked; it holds names, which are no secret, and their keyed
//! hashes, never anything of a password.

/// Slots, each the last name that fell into it: about 110 KB for a core when all are taken.
const SLOTS: usize = 1_024;
/// Longer names are hashed each time.
const MAX_NAME: usize = 128;

/// The keyed hashes of the names that a core saw last.
#[derive(Debug, Default)]
pub struct NameMemo {
    /// Which keys the hashes were made with; other keys empty the memo.
    generation: u64,
    slots: Vec<Option<Remembered>>,
}

#[derive(Clone, Debug)]
struct Remembered {
    name: Box<[u8]>,
    hash: [u8; 32],
}

impl NameMemo {
    /// The hash of `name` under the keys `generation`: as remembered, or as `compute` says.
    pub(super) fn hash_of(&mut self, name: &[u8], generation: u64, compute: impl FnOnce() -> [u8; 32]) -> [u8; 32] {
        if name.len() > MAX_NAME {
            return compute();
        }
        if self.generation != generation || self.slots.is_empty() {
            self.generation = generation;
            self.slots.clear();
            self.slots.resize(SLOTS, None);
        }
        let slot = &mut self.slots[slot_of(name)];
        match slot {
            Some(remembered) if *remembered.name == *name => remembered.hash,
            Some(_) | None => {
                let hash = compute();
                *slot = Some(Remembered { name: name.into(), hash });
                hash
            }
        }
    }
}

/// Where a name is remembered. Names that are made to share a slot only cost their hashing.
fn slot_of(name: &[u8]) -> usize {
    let (words, rest) = name.as_chunks::<8>();
    let mixed = words.iter().fold(name.len() as u64, |mixed, word| mix(mixed, u64::from_le_bytes(*word)));
    let mixed = rest.iter().fold(mixed, |mixed, &octet| mix(mixed, u64::from(octet)));
    (mixed >> 40) as usize % SLOTS
}

fn mix(state: u64, word: u64) -> u64 {
    (state.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_octets_under_the_same_keys_are_remembered() {
        let mut memo = NameMemo::default();
        let computed = std::cell::Cell::new(0_u8);
        let mut ask = |name: &[u8], generation| {
            memo.hash_of(name, generation, || {
                computed.set(computed.get() + 1);
                [computed.get(); 32]
            })
        };
        assert_eq!(ask(b"uid=alice", 1), [1; 32]);
        assert_eq!(ask(b"uid=alice", 1), [1; 32]);
        assert_eq!(ask(b"uid=Alice", 1), [2; 32]);
        assert_eq!(ask(b"uid=alice", 2), [3; 32]);
        assert_eq!(ask(&[b'x'; MAX_NAME + 1], 2), [4; 32]);
        assert_eq!(ask(&[b'x'; MAX_NAME + 1], 2), [5; 32]);
    }

    #[test]
    fn names_that_differ_anywhere_spread() {
        let slots: std::collections::HashSet<usize> =
            (0..SLOTS).map(|number| slot_of(format!("uid=user{number:05},ou=people").as_bytes())).collect();
        assert!(slots.len() > SLOTS / 2, "{} slots", slots.len());
    }
}
