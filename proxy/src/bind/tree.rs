//! Sums over everything that a member holds, so that two members find what they do not share
//! without telling each other all of it.

/// Sums over the branches: 256 of them, with 256 leaves each.
const BRANCHES: usize = 256;
const LEAVES: usize = BRANCHES * 256;

/// The sums of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    root: u64,
    branches: Box<[u64]>,
    leaves: Box<[u64]>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { root: 0, branches: vec![0; BRANCHES].into(), leaves: vec![0; LEAVES].into() }
    }

    /// Adds one fact.
    pub(super) fn add(&mut self, leaf: u16, fingerprint: u64) {
        for sum in [&mut self.root, &mut self.branches[usize::from(leaf >> 8)], &mut self.leaves[usize::from(leaf)]] {
            *sum = sum.wrapping_add(fingerprint);
        }
    }

    /// The sum of everything.
    #[must_use]
    pub fn root(&self) -> u64 {
        self.root
    }

    /// The sum of 256 leaves.
    #[must_use]
    pub fn branch(&self, branch: u8) -> u64 {
        self.branches[usize::from(branch)]
    }

    /// The sum of one leaf: branch times 256 plus its place there.
    #[must_use]
    pub fn leaf(&self, leaf: u16) -> u64 {
        self.leaves[usize::from(leaf)]
    }
}
