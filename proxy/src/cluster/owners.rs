//! Who grants the lease for a name: rendezvous hashing (Thaler and Ravishankar, 1998) of the name's key over
//! the members that serve. When one goes, only its own names find another owner.

use std::sync::Arc;

use crate::bind::{Credential, Digest, NameKey};

use super::message::{KeyId, KeyIds, NodeId};

/// Who owns a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This node.
    Myself,
    /// Another member.
    Other(NodeId),
}

/// A view of the members that grant leases. Cheap to clone; every core has one at hand.
#[derive(Clone, Debug)]
pub struct Owners {
    myself: NodeId,
    others: Arc<[NodeId]>,
    keys: KeyIds,
    /// Some member does not have the current hashing key yet, so names are found by the previous one.
    by_previous: bool,
}

/// An attempt under the hashing key that all owners have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Which key.
    pub key: KeyId,
    /// Whose.
    pub name: NameKey,
    /// Of which password.
    pub digest: Digest,
}

impl Owners {
    /// The view of `myself` with `keys`, among `others` of which all have the hashing key that is current
    /// here, or `by_previous` not.
    #[must_use]
    pub fn new(myself: NodeId, others: impl IntoIterator<Item = NodeId>, keys: KeyIds, by_previous: bool) -> Self {
        Self { myself, others: others.into_iter().collect(), keys, by_previous }
    }

    /// Who owns the name of an attempt.
    #[must_use]
    pub fn owner_of(&self, credential: &Credential) -> Owner {
        let name = self.shared(credential).name;
        let mut best = (score(self.myself, &name), self.myself);
        for &node in self.others.iter() {
            best = best.max((score(node, &name), node));
        }
        if best.1 == self.myself { Owner::Myself } else { Owner::Other(best.1) }
    }

    /// The attempt as other members know it.
    #[must_use]
    pub fn shared(&self, credential: &Credential) -> Shared {
        // The guard hashes with the key that all have ([`crate::bind::Guard::set_by_previous`]).
        let key = self.keys.previous.filter(|_| self.by_previous).unwrap_or(self.keys.current);
        Shared { key, name: credential.name, digest: credential.digest }
    }
}

/// The weight of a node for a name: all members compute the same. The name's key is a keyed hash already, so
/// a multiply-mix (the finaliser of MurmurHash3) spreads it well enough.
fn score(node: NodeId, name: &NameKey) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = name.0;
    let mut x = u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ node.0.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    x = (x ^ (x >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    x ^ (x >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(number: u32) -> Credential {
        let hash = blake3::hash(&number.to_le_bytes());
        let half = |at: usize| {
            let mut half = [0; 16];
            half.copy_from_slice(&hash.as_bytes()[at..at + 16]);
            half
        };
        Credential {
            name: NameKey(half(0)),
            digest: Digest(half(16)),
            previous: Some((NameKey(half(8)), Digest(half(4)))),
        }
    }

    fn view(myself: u64, others: &[u64], by_previous: bool) -> Owners {
        let keys = KeyIds { current: KeyId(2), previous: Some(KeyId(1)) };
        Owners::new(NodeId(myself), others.iter().map(|&node| NodeId(node)), keys, by_previous)
    }

    fn owner(view: &Owners, myself: u64, credential: &Credential) -> NodeId {
        match view.owner_of(credential) {
            Owner::Myself => NodeId(myself),
            Owner::Other(node) => node,
        }
    }

    #[test]
    fn all_members_agree_and_share_the_names_evenly() {
        let nodes = [11, 22, 33, 44, 55];
        let mut counts = std::collections::BTreeMap::new();
        for number in 0..10_000 {
            let owners: Vec<NodeId> = nodes
                .iter()
                .map(|&myself| {
                    let others: Vec<u64> = nodes.iter().copied().filter(|&node| node != myself).collect();
                    owner(&view(myself, &others, false), myself, &credential(number))
                })
                .collect();
            assert!(owners.iter().all(|node| *node == owners[0]));
            *counts.entry(owners[0]).or_insert(0) += 1;
        }
        assert!(counts.len() == 5 && counts.values().all(|&count| (1_800..2_200).contains(&count)), "{counts:?}");
    }

    #[test]
    fn only_the_names_of_one_who_went_move() {
        let (before, after) = (view(1, &[2, 3, 4], false), view(1, &[2, 4], false));
        for number in 0..2_000 {
            let was = owner(&before, 1, &credential(number));
            if was != NodeId(3) {
                assert_eq!(owner(&after, 1, &credential(number)), was);
            }
        }
    }

    #[test]
    fn while_a_key_rolls_names_are_found_by_the_one_that_all_have() {
        // One member has only the old key, for which the attempt's `previous` is the current hash.
        let new = credential(7);
        let (name, digest) = new.previous.unwrap();
        let old = Credential { name, digest, previous: None };
        let rolled = Credential { name, digest, previous: Some((new.name, new.digest)) };
        let keys = KeyIds { current: KeyId(1), previous: None };
        let behind = Owners::new(NodeId(9), [NodeId(1), NodeId(2)], keys, false);
        let ahead = view(1, &[2, 9], true);
        assert_eq!(owner(&behind, 9, &old), owner(&ahead, 1, &rolled));
        assert_eq!(behind.shared(&old), ahead.shared(&rolled));
        assert_eq!(view(1, &[2], false).shared(&new).key, KeyId(2));
    }
}
