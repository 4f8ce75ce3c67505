//! Finding what push missed: two members compare sums over all they hold, go down where the sums differ, and
//! exchange what one of them lacks. What travels is in proportion to the difference.
//!
//! The side that begins remembers where it is; the other one only keeps its sums until it is asked for them.

use std::collections::{BTreeMap, HashMap, HashSet};

use rand::RngExt;

use crate::bind::{Fact, Tree};
use crate::clock::Tick;

use super::super::event::{Count, LinkId, Waiting};
use super::super::members::Beat;
use super::super::message::{Leaf, Message, Standing, Sums, SyncId};
use super::clock::BOUND;
use super::push::send_facts;
use super::{Node, Step};

/// Beats between two comparisons with a member chosen at random: 10 s.
const EVERY: u64 = 20;
/// Beats after which a comparison that goes nowhere is given up: 10 s.
const PATIENCE: u64 = 20;
/// What began within the last 3 s may still be on its way by push, and is not compared without a reason.
const YOUNG: std::time::Duration = std::time::Duration::from_secs(3);
/// Facts that one exchange of leaves should bring.
const BATCH: usize = 4096;
/// Octets of fingerprints in one message, reckoned generously.
const LEAVES_OCTETS: usize = 160 * 1024;
/// Leaves of the tree.
const LEAVES: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Syncs {
    /// Connections at whose other end somebody may lack something, and how much is compared there.
    wanted: BTreeMap<LinkId, Extent>,
    active: Option<Active>,
    /// Sums that others compare with.
    lent: HashMap<LinkId, Lent>,
    last_id: u32,
    /// How many entries had made room when this was last looked at.
    evicted: u64,
}

/// How much is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Extent {
    /// What push has had the time to bring.
    Settled,
    /// Everything: what was learned a moment ago could not be pushed, or found no room.
    All,
}

#[derive(Debug)]
struct Active {
    link: LinkId,
    sync: SyncId,
    cut: Tick,
    tree: Tree,
    since: Beat,
    /// Leaves that differ.
    differing: Vec<u16>,
    /// What is still to be shown.
    to_show: Vec<Leaf>,
}

#[derive(Debug)]
struct Lent {
    sync: SyncId,
    tree: Tree,
    since: Beat,
}

impl Syncs {
    /// Compare everything with whoever is there.
    pub(super) fn want(&mut self, link: LinkId) {
        self.wanted.insert(link, Extent::All);
    }

    pub(super) fn forget(&mut self, link: LinkId) {
        self.wanted.remove(&link);
        self.lent.remove(&link);
        self.active.take_if(|active| active.link == link);
    }

    /// Whether nothing more is to come of comparing there.
    pub(super) fn is_over(&self, link: LinkId) -> bool {
        !self.wanted.contains_key(&link) && self.active.as_ref().is_none_or(|active| active.link != link)
    }

    fn active(&mut self, link: LinkId, sync: SyncId) -> Option<&mut Active> {
        self.active.as_mut().filter(|active| active.link == link && active.sync == sync)
    }
}

impl Node {
    pub(super) fn sync_with_everybody(&mut self) {
        for link in self.members.dialled_links() {
            self.syncs.want(link);
        }
    }

    /// Once in a while somebody is compared with, whatever seems to be missing.
    pub(super) fn schedule_sync<W: Waiting>(&mut self, step: &mut Step<'_, W>, random: &mut impl rand::Rng) {
        let beat = self.beat;
        self.syncs.active.take_if(|active| beat.since(active.since) > PATIENCE);
        self.syncs.lent.retain(|_, lent| beat.since(lent.since) <= PATIENCE);
        if !beat.0.is_multiple_of(EVERY) || self.standing != Standing::Joined {
            return;
        }
        let evicted = step.guard.stats().evicted;
        if std::mem::replace(&mut self.syncs.evicted, evicted) != evicted {
            // A full store gives up what others keep; fetching it back would push out something else.
            return;
        }
        let keys = self.settings.keys;
        let links: Vec<LinkId> = self.members.iter().filter_map(|member| member.owner_channel(&keys)).collect();
        if !links.is_empty() {
            let link = links[random.random_range(0..links.len())];
            self.syncs.wanted.entry(link).or_insert(Extent::Settled);
        }
    }

    /// Begins the next comparison when none is under way.
    pub(super) fn go_on_syncing<W: Waiting>(&mut self, step: &mut Step<'_, W>) {
        if self.syncs.active.is_some() {
            return;
        }
        let keys = self.settings.keys;
        while let Some((link, extent)) = self.syncs.wanted.pop_first() {
            let talks = self.members.at(link).is_some_and(|member| member.channel(&keys) == Some(link));
            if !talks {
                continue;
            }
            self.syncs.last_id = self.syncs.last_id.wrapping_add(1);
            let sync = SyncId(self.syncs.last_id);
            let cut = match extent {
                // A purge reaches a little into the future.
                Extent::All => step.now.after(BOUND),
                Extent::Settled => Tick(step.now.0.saturating_sub(u64::try_from(YOUNG.as_millis()).unwrap_or(0))),
            };
            let tree = step.guard.tree(cut, step.now);
            let root = tree.root();
            let since = self.beat;
            self.syncs.active =
                Some(Active { link, sync, cut, tree, since, differing: Vec::new(), to_show: Vec::new() });
            return self.say(step, vec![link], Message::Compare { sync, cut, root });
        }
    }

    /// The other side's turn: do we hold the same?
    pub(super) fn compare<W: Waiting>(
        &mut self,
        step: &mut Step<'_, W>,
        link: LinkId,
        sync: SyncId,
        cut: Tick,
        root: u64,
    ) {
        let tree = step.guard.tree(cut, step.now);
        if tree.root() == root {
            return self.say(step, vec![link], Message::Same { sync });
        }
        let sums = sums((0..=u8::MAX).map(|branch| (branch, tree.branch(branch))));
        let since = self.beat;
        self.syncs.lent.insert(link, Lent { sync, tree, since });
        self.say(step, vec![link], Message::Branches { sync, sums });
    }

    pub(super) fn same<W: Waiting>(&mut self, step: &mut Step<'_, W>, link: LinkId, sync: SyncId) {
        if self.syncs.active(link, sync).is_some() {
            self.syncs.active = None;
            step.count(Count::SyncSame);
        }
    }

    pub(super) fn branches<W: Waiting>(&mut self, step: &mut Step<'_, W>, link: LinkId, sync: SyncId, theirs: &Sums) {
        let Some(active) = self.syncs.active(link, sync) else { return };
        let branches = differing(theirs, |branch| active.tree.branch(branch));
        let cut = active.cut;
        step.count(Count::SyncDiffered);
        if branches.is_empty() {
            self.syncs.active = None;
            return;
        }
        self.say(step, vec![link], Message::Descend { sync, cut, branches });
    }

    pub(super) fn descend<W: Waiting>(
        &mut self,
        step: &mut Step<'_, W>,
        link: LinkId,
        sync: SyncId,
        cut: Tick,
        branches: &[u8],
    ) {
        let tree = match self.syncs.lent.remove(&link) {
            Some(Lent { sync: lent, tree, since: _ }) if lent == sync => tree,
            _ => step.guard.tree(cut, step.now),
        };
        for (place, &branch) in branches.iter().enumerate() {
            let leaf = |low: u8| u16::from(branch) << 8 | u16::from(low);
            let sums = sums((0..=u8::MAX).map(|low| (low, tree.leaf(leaf(low)))));
            let last = place + 1 == branches.len();
            self.say(step, vec![link], Message::LeafSums { sync, branch, sums, last });
        }
    }

    pub(super) fn leaf_sums<W: Waiting>(
        &mut self,
        step: &mut Step<'_, W>,
        link: LinkId,
        sync: SyncId,
        branch: u8,
        theirs: &Sums,
        last: bool,
    ) {
        let beat = self.beat;
        let Some(active) = self.syncs.active(link, sync) else { return };
        active.since = beat;
        let leaf = |low: u8| u16::from(branch) << 8 | u16::from(low);
        let low = differing(theirs, |low| active.tree.leaf(leaf(low)));
        active.differing.extend(low.into_iter().map(leaf));
        if !last {
            return;
        }
        let mut leaves: HashMap<u16, Vec<u64>> = HashMap::new();
        for (leaf, fingerprint, _) in step.guard.on_leaves(&active.differing, active.cut, step.now) {
            leaves.entry(leaf).or_default().push(fingerprint);
        }
        active.to_show = active
            .differing
            .drain(..)
            .map(|index| {
                let mut fingerprints = leaves.remove(&index).unwrap_or_default();
                fingerprints.sort_unstable();
                Leaf { index, fingerprints }
            })
            .collect();
        self.show_leaves(step, link);
    }

    /// Shows the next leaves, or ends the comparison.
    fn show_leaves<W: Waiting>(&mut self, step: &mut Step<'_, W>, link: LinkId) {
        let Some(active) = &mut self.syncs.active else { return };
        if active.to_show.is_empty() {
            self.syncs.active = None;
            return;
        }
        // As many leaves as bring about a batch of facts, if the other side holds as much as this one.
        let stats = step.guard.stats();
        let on_each = (stats.live + stats.names) / LEAVES + 1;
        let most = (BATCH / on_each).max(1);
        let mut octets = 0;
        let fits = |leaf: &&Leaf| {
            octets += 8 + 8 * leaf.fingerprints.len();
            octets <= LEAVES_OCTETS
        };
        let count = active.to_show.iter().take(most).take_while(fits).count().max(1);
        let rest = active.to_show.split_off(count);
        let leaves = std::mem::replace(&mut active.to_show, rest);
        let (sync, cut) = (active.sync, active.cut);
        self.say(step, vec![link], Message::Leaves { sync, cut, leaves });
    }

    /// The other side's turn: what it lacks, and what this side lacks.
    pub(super) fn leaves<W: Waiting>(
        &mut self,
        step: &mut Step<'_, W>,
        link: LinkId,
        sync: SyncId,
        cut: Tick,
        leaves: &[Leaf],
    ) {
        let indexes: Vec<u16> = leaves.iter().map(|leaf| leaf.index).collect();
        let mut mine: HashMap<u16, Vec<(u64, Fact)>> = HashMap::new();
        for (leaf, fingerprint, fact) in step.guard.on_leaves(&indexes, cut, step.now) {
            mine.entry(leaf).or_default().push((fingerprint, fact));
        }
        let mut lacking = Vec::new();
        let mut wanted = Vec::new();
        for Leaf { index, fingerprints } in leaves {
            let theirs: HashSet<u64> = fingerprints.iter().copied().collect();
            let held = mine.remove(index).unwrap_or_default();
            let held_prints: HashSet<u64> = held.iter().map(|(fingerprint, _)| *fingerprint).collect();
            lacking.extend(held.into_iter().filter(|(print, _)| !theirs.contains(print)).map(|(_, fact)| fact));
            let fingerprints: Vec<u64> =
                fingerprints.iter().copied().filter(|print| !held_prints.contains(print)).collect();
            if !fingerprints.is_empty() {
                wanted.push(Leaf { index: *index, fingerprints });
            }
        }
        send_facts(step, &[link], lacking);
        self.say(step, vec![link], Message::Want { sync, leaves: wanted });
    }

    pub(super) fn wanted<W: Waiting>(&mut self, step: &mut Step<'_, W>, link: LinkId, sync: SyncId, leaves: &[Leaf]) {
        let beat = self.beat;
        let Some(active) = self.syncs.active(link, sync) else { return };
        active.since = beat;
        if !leaves.is_empty() {
            let wanted: HashSet<u64> = leaves.iter().flat_map(|leaf| &leaf.fingerprints).copied().collect();
            let indexes: Vec<u16> = leaves.iter().map(|leaf| leaf.index).collect();
            let held = step.guard.on_leaves(&indexes, active.cut, step.now).into_iter();
            let facts = held.filter(|(_, print, _)| wanted.contains(print)).map(|(_, _, fact)| fact).collect();
            send_facts(step, &[link], facts);
        }
        self.show_leaves(step, link);
    }
}

/// The sums that are not zero.
fn sums(all: impl Iterator<Item = (u8, u64)>) -> Sums {
    Sums(all.filter(|&(_, sum)| sum != 0).collect())
}

/// Where the other side's sums are not this side's.
fn differing(theirs: &Sums, mine: impl Fn(u8) -> u64) -> Vec<u8> {
    let mut sums = [0_u64; 256];
    for &(index, sum) in &theirs.0 {
        sums[usize::from(index)] = sum;
    }
    (0..=u8::MAX).filter(|&index| sums[usize::from(index)] != mine(index)).collect()
}
