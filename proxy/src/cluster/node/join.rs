//! The start of a run: everything that the others know, before clients are served.
//!
//! A snapshot from one member, a comparison with a second one for what the first did not have, and the node
//! has joined. Nobody is waited for longer than [`PATIENCE`].

use crate::bind::Fact;

use super::super::event::{Effect, LinkId, Waiting};
use super::super::members::{self, Beat, Member};
use super::super::message::{Message, Standing};
use super::{Node, Step};

/// Beats until a node goes on with what it has: 10 s.
const PATIENCE: u64 = 20;
/// Beats until it no longer waits for the members that it dialled to dial it back: 2 s.
pub(super) const DIALLED_BACK: u64 = 4;
/// Facts of one step through the guard.
const EXPORT: usize = 512;
/// Octets of one fact in a part of a snapshot, reckoned generously; a failure's verdict comes on top.
const FACT_OCTETS: usize = 128;
/// Octets of one part of a snapshot, reckoned in the same way; a frame holds 256 KiB.
const PART_OCTETS: usize = 192 * 1024;

#[derive(Debug, Default)]
pub(super) struct Joining {
    /// How many others there should be; unknown until discovery has looked once.
    others: Option<usize>,
    stage: Stage,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Searching,
    Snapshot(LinkId),
    /// The first member has given all it has.
    Complete {
        from: LinkId,
    },
    Comparing(LinkId),
}

impl Joining {
    pub(super) fn discovered(&mut self, others: usize) {
        self.others = Some(others);
    }

    /// A connection broke: what was to come from there is looked for elsewhere.
    pub(super) fn forget(&mut self, link: LinkId) {
        match self.stage {
            Stage::Snapshot(from) if from == link => self.stage = Stage::Searching,
            Stage::Comparing(with) if with == link => self.stage = Stage::Complete { from: link },
            Stage::Searching | Stage::Snapshot(_) | Stage::Complete { .. } | Stage::Comparing(_) => {}
        }
    }
}

impl Node {
    /// Takes the next step of joining, if there is one.
    pub(super) fn go_on_joining<W: Waiting>(&mut self, step: &mut Step<'_, W>) {
        if self.standing != Standing::Joining {
            return;
        }
        let keys = self.settings.keys;
        let has_everything = match self.joining.stage {
            Stage::Searching => {
                let serving = self.members.iter().find_map(|member| member.owner_channel(&keys));
                if let Some(link) = serving {
                    self.joining.stage = Stage::Snapshot(link);
                    return self.say(step, vec![link], Message::SnapshotRequest { cursor: 0 });
                }
                // All there are have nothing to give either: the first start of a cluster.
                let met = self.members.dialled_links().len();
                let nobody = !self
                    .members
                    .iter()
                    .any(|member| member.standing == Standing::Joined && members::share_a_key(&keys, &member.keys));
                nobody && self.joining.others.is_some_and(|others| met >= others)
            }
            Stage::Complete { from } => {
                let second =
                    self.members.iter().filter_map(|member| member.owner_channel(&keys)).find(|&link| link != from);
                if let Some(link) = second {
                    self.joining.stage = Stage::Comparing(link);
                    self.syncs.want(link);
                }
                second.is_none()
            }
            Stage::Comparing(link) => self.syncs.is_over(link),
            Stage::Snapshot(_) => false,
        };
        // Who has no connection to this node asks it for no lease, and would let its clients go beside this node's.
        let not_heard = |member: &Member| member.dialled.is_some() && member.accepted.is_none();
        let is_heard = self.beat.0 >= DIALLED_BACK || !self.members.iter().any(not_heard);
        if has_everything && is_heard {
            return self.join(step, true);
        }
        if self.beat.since(Beat::default()) >= PATIENCE {
            self.join(step, false);
        }
    }

    fn join<W: Waiting>(&mut self, step: &mut Step<'_, W>, complete: bool) {
        self.standing = Standing::Joined;
        self.tell_standing(step);
        step.effects.extend([Effect::Joined { complete }, Effect::MembersChanged]);
        // What a member learned while it had no connection to this one is in no other member's snapshot.
        self.sync_with_everybody();
    }

    /// Takes in a part of what a member knows.
    pub(super) fn take_snapshot<W: Waiting>(
        &mut self,
        step: &mut Step<'_, W>,
        link: LinkId,
        facts: &[Fact],
        next: Option<u64>,
    ) {
        if self.joining.stage != Stage::Snapshot(link) {
            return;
        }
        match next {
            // Asked for before this part is merged, so that the other side works meanwhile.
            Some(cursor) => self.say(step, vec![link], Message::SnapshotRequest { cursor }),
            None => self.joining.stage = Stage::Complete { from: link },
        }
        self.merge(step, link, facts);
    }

    /// Gives a part of what this node knows.
    pub(super) fn send_snapshot<W: Waiting>(&mut self, step: &mut Step<'_, W>, link: LinkId, cursor: u64) {
        let mut facts = Vec::new();
        let mut octets = 0;
        let mut next = Some(cursor);
        while let Some(cursor) = next {
            let slice = step.guard.export(cursor, EXPORT, step.now);
            let more: usize = slice.facts.iter().map(reckoned).sum();
            if !facts.is_empty() && octets + more > PART_OCTETS {
                break;
            }
            octets += more;
            facts.extend(slice.facts);
            next = slice.next;
        }
        let sent = step.now;
        self.say(step, vec![link], Message::SnapshotPart { sent, facts, next });
    }
}

/// How many octets a fact may take on the wire.
fn reckoned(fact: &Fact) -> usize {
    match fact {
        Fact::Failure(failure) => FACT_OCTETS + failure.verdict.len(),
        Fact::Name(_) | Fact::FlushedAll(_) => FACT_OCTETS,
    }
}
