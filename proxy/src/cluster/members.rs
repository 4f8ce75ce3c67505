//! Who the other members are, as far as this node's own connections tell.
//!
//! A member is one run of a process ([`NodeId`]). It is alive while connections to it and from it are up,
//! suspect when one of them is missing, and left when it said goodbye; it is forgotten a minute after the last
//! one broke, or at once when its successor of the same name shows up.

use std::collections::BTreeMap;

use super::event::{Direction, LinkId};
use super::message::{Hello, KeyIds, NodeId, Standing};

/// Half seconds of a node's life: its own timers count these, so that a clock that is set disturbs none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Beat(pub u64);

impl Beat {
    /// How many beats ago `earlier` was.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A member is forgotten this long after its last connection broke: 60 s.
pub const FORGET_AFTER: u64 = 120;

/// What is known of a member's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Both connections are up: it hears and is heard.
    Alive,
    /// One of them is missing, or both broke without a word.
    Suspect,
    /// It said goodbye.
    Left,
}

/// Another member.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its run.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// How far it is.
    pub standing: Standing,
    /// Its hashing keys.
    pub keys: KeyIds,
    /// Failed binds that it held when it was heard of last.
    pub entries: u32,
    /// The connection that this node dialled.
    pub dialled: Option<LinkId>,
    /// The connection that the member dialled.
    pub accepted: Option<LinkId>,
    /// It let a deadline pass and has not been heard of since.
    pub unresponsive: bool,
    /// When its last connection broke.
    gone: Option<Beat>,
}

impl Member {
    /// What is known of its life.
    #[must_use]
    pub fn state(&self) -> State {
        match self.standing {
            Standing::Leaving => State::Left,
            Standing::Joining | Standing::Joined if self.dialled.is_some() && self.accepted.is_some() => State::Alive,
            Standing::Joining | Standing::Joined => State::Suspect,
        }
    }

    /// The connection for facts and questions, if the member can be told anything and our hashes mean
    /// something to it.
    #[must_use]
    pub fn channel(&self, mine: &KeyIds) -> Option<LinkId> {
        self.dialled.filter(|_| share_a_key(mine, &self.keys))
    }

    /// The connection to one that serves, answers, and may own names.
    #[must_use]
    pub fn owner_channel(&self, mine: &KeyIds) -> Option<LinkId> {
        self.channel(mine).filter(|_| self.standing == Standing::Joined && !self.unresponsive)
    }
}

/// Whether facts of one are of use to the other.
#[must_use]
pub fn share_a_key(one: &KeyIds, other: &KeyIds) -> bool {
    one.accepts(other.current) || other.previous.is_some_and(|key| one.accepts(key))
}

/// All other members, and which connection leads to whom.
#[derive(Debug, Default)]
pub struct Members {
    by_node: BTreeMap<NodeId, Member>,
    links: BTreeMap<LinkId, NodeId>,
}

impl Members {
    /// A connection is up. Returns one that it replaces, to be closed.
    pub fn linked(&mut self, link: LinkId, direction: Direction, hello: &Hello) -> Option<LinkId> {
        let Hello {
            oldest: _,
            newest: _,
            features: _,
            cluster: _,
            node,
            name,
            keys,
            now: _,
            standing,
            entries,
            port: _,
        } = hello;
        // The run before this one is over, however its connections ended.
        self.by_node.retain(|other, member| other == node || member.name != *name || member.gone.is_none());
        let member = self.by_node.entry(*node).or_insert_with(|| Member {
            node: *node,
            name: name.clone(),
            standing: *standing,
            keys: *keys,
            entries: *entries,
            dialled: None,
            accepted: None,
            unresponsive: false,
            gone: None,
        });
        // A greeting may be older than what was heard on another connection.
        member.standing = member.standing.max(*standing);
        member.keys = *keys;
        member.entries = *entries;
        member.unresponsive = false;
        member.gone = None;
        let place = match direction {
            Direction::Dialled => &mut member.dialled,
            Direction::Accepted => &mut member.accepted,
        };
        let replaced = place.replace(link);
        self.links.insert(link, *node);
        if let Some(replaced) = replaced {
            self.links.remove(&replaced);
        }
        replaced
    }

    /// A connection is gone. Returns whose it was and which way it went.
    pub fn unlinked(&mut self, link: LinkId, beat: Beat) -> Option<(NodeId, Direction)> {
        let node = self.links.remove(&link)?;
        let member = self.by_node.get_mut(&node)?;
        let direction = if member.dialled == Some(link) {
            member.dialled = None;
            Direction::Dialled
        } else {
            member.accepted = None;
            Direction::Accepted
        };
        if member.dialled.is_none() && member.accepted.is_none() {
            member.gone = Some(beat);
        }
        Some((node, direction))
    }

    /// Forgets those who are gone for long. Whether there were any.
    pub fn forget(&mut self, beat: Beat) -> bool {
        let before = self.by_node.len();
        self.by_node.retain(|_, member| member.gone.is_none_or(|gone| beat.since(gone) < FORGET_AFTER));
        self.by_node.len() != before
    }

    /// Who is at the other end.
    #[must_use]
    pub fn at(&self, link: LinkId) -> Option<&Member> {
        self.by_node.get(self.links.get(&link)?)
    }

    /// Who is at the other end.
    pub fn at_mut(&mut self, link: LinkId) -> Option<&mut Member> {
        self.by_node.get_mut(self.links.get(&link)?)
    }

    /// A member by its run.
    #[must_use]
    pub fn get(&self, node: NodeId) -> Option<&Member> {
        self.by_node.get(&node)
    }

    /// A member by its run.
    pub fn get_mut(&mut self, node: NodeId) -> Option<&mut Member> {
        self.by_node.get_mut(&node)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_node.values()
    }

    /// All connections, of both directions.
    #[must_use]
    pub fn all_links(&self) -> Vec<LinkId> {
        self.links.keys().copied().collect()
    }

    /// The connections that this node dialled.
    #[must_use]
    pub fn dialled_links(&self) -> Vec<LinkId> {
        self.iter().filter_map(|member| member.dialled).collect()
    }
}
