//! Comparisons in octets: sums over what a member holds, and its leaves.

use crate::cluster::message::{Leaf, Sums};

use super::octets::{Octets, fields, put_records, short};
use super::{DecodeError, EncodeError};

/// Index and sum.
const SUM: usize = 1 + 8;
/// A node of the tree has so many children.
pub(super) const MAX_SUMS: usize = 256;

pub(super) fn at_most_a_node(count: usize) -> Result<usize, EncodeError> {
    if count > MAX_SUMS { Err(EncodeError::TooLong) } else { Ok(count) }
}

pub(super) fn put_sums(out: &mut Vec<u8>, Sums(sums): &Sums) -> Result<(), EncodeError> {
    put_records(out, SUM, at_most_a_node(sums.len())?)?;
    for (index, sum) in sums {
        fields(out, &[&[*index], &sum.to_le_bytes()])?;
    }
    Ok(())
}

pub(super) fn sums(octets: &mut Octets<'_>) -> Result<Sums, DecodeError> {
    let records = octets.records::<SUM>()?;
    if records.len() > MAX_SUMS {
        return Err(DecodeError::Value("a number of sums"));
    }
    let sum = |&[index, a, b, c, d, e, f, g, h]: &[u8; SUM]| (index, u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    Ok(Sums(records.iter().map(sum).collect()))
}

/// What one leaf takes.
pub(super) fn leaf_octets(leaf: &Leaf) -> usize {
    2 + 2 + 2 + 8 * leaf.fingerprints.len()
}

pub(super) fn put_leaves(out: &mut Vec<u8>, leaves: &[Leaf]) -> Result<(), EncodeError> {
    fields(out, &[&short(leaves.len())?.to_le_bytes()])?;
    for Leaf { index, fingerprints } in leaves {
        fields(out, &[&index.to_le_bytes()])?;
        put_records(out, 8, fingerprints.len())?;
        for fingerprint in fingerprints {
            out.extend_from_slice(&fingerprint.to_le_bytes());
        }
    }
    Ok(())
}

pub(super) fn leaves(octets: &mut Octets<'_>) -> Result<Vec<Leaf>, DecodeError> {
    let count = octets.u16()?;
    let mut leaves = Vec::new();
    for _ in 0..count {
        let index = octets.u16()?;
        let fingerprints = octets.records::<8>()?.iter().map(|octets| u64::from_le_bytes(*octets)).collect();
        leaves.push(Leaf { index, fingerprints });
    }
    Ok(leaves)
}
