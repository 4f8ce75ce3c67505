//! The cluster as one node sees it, in the words of the admin API.

use crate::admin::cluster::{ClusterReport, MemberReport, MemberStanding, MemberState};

use super::members::{Member, State};
use super::message::Standing;
use super::node::Node;

/// What `node` sees.
#[must_use]
pub(super) fn of(node: &Node) -> ClusterReport {
    let settings = node.settings();
    ClusterReport {
        name: settings.cluster.clone(),
        node: settings.name.clone(),
        joined: node.standing() != Standing::Joining,
        members: node.members().map(member).collect(),
    }
}

fn member(member: &Member) -> MemberReport {
    MemberReport {
        name: member.name.clone(),
        state: match member.state() {
            State::Alive => MemberState::Alive,
            State::Suspect => MemberState::Suspect,
            State::Left => MemberState::Left,
        },
        standing: match member.standing {
            Standing::Joining => MemberStanding::Joining,
            Standing::Joined => MemberStanding::Joined,
            Standing::Leaving => MemberStanding::Leaving,
        },
        entries: u64::from(member.entries),
    }
}
