//! Connections between processes: in order, with a latency; they break, stall and lose what is on the way.

use std::collections::BTreeMap;

use bindproxy::cluster::event::LinkId;

use super::plan::{Micros, SLOTS};

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) slot: usize,
    pub(super) run: u32,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    /// Who dialled, and who accepted.
    pub(super) ends: [End; 2],
    /// Whether that end has it open.
    pub(super) open: [bool; 2],
    /// What was sent by that end arrives no earlier than what it sent before.
    pub(super) last: [Micros; 2],
    /// What was sent by that end while octets stopped: it is sent again when they flow.
    stalled: [Vec<Parcel>; 2],
    /// Whether facts were dropped at that end's queue since it was empty last.
    pub(super) overflowed: [bool; 2],
    /// How many ends know that it is up.
    pub(super) up: u8,
    /// Nothing arrives any more.
    pub(super) broken: bool,
}

/// What travels: something for the other end.
#[derive(Clone, Debug)]
pub(super) enum Parcel {
    Message(Box<bindproxy::cluster::message::Message>),
    /// The other end closed.
    Close,
}

#[derive(Debug)]
pub(super) struct Network {
    next: u64,
    pub(super) links: BTreeMap<LinkId, Link>,
    /// How many troubles stop octets from the first slot to the second.
    blocked: [[u32; SLOTS]; SLOTS],
}

impl Network {
    pub(super) fn new() -> Self {
        Self { next: 0, links: BTreeMap::new(), blocked: [[0; SLOTS]; SLOTS] }
    }

    pub(super) fn flows(&self, from: usize, to: usize) -> bool {
        self.blocked[from][to] == 0
    }

    pub(super) fn block(&mut self, from: usize, to: usize) {
        self.blocked[from][to] += 1;
    }

    /// Returns what was held up, if octets flow again.
    pub(super) fn unblock(&mut self, from: usize, to: usize) -> Vec<(LinkId, usize, Parcel)> {
        self.blocked[from][to] -= 1;
        if !self.flows(from, to) {
            return Vec::new();
        }
        let mut held = Vec::new();
        for (&id, link) in &mut self.links {
            for end in 0..2 {
                if link.ends[end].slot == from && link.ends[1 - end].slot == to {
                    held.extend(link.stalled[end].drain(..).map(|parcel| (id, end, parcel)));
                }
            }
        }
        held
    }

    pub(super) fn connect(&mut self, dialler: End, accepter: End) -> LinkId {
        let id = LinkId(self.next);
        self.next += 1;
        let link = Link {
            ends: [dialler, accepter],
            open: [true; 2],
            last: [0; 2],
            stalled: [Vec::new(), Vec::new()],
            overflowed: [false; 2],
            up: 0,
            broken: false,
        };
        self.links.insert(id, link);
        id
    }

    /// Which end of a connection a process is, if it has it open.
    pub(super) fn end_of(&self, link: LinkId, run: u32) -> Option<usize> {
        let link = self.links.get(&link)?;
        (0..2).find(|&end| link.ends[end].run == run && link.open[end])
    }

    /// Holds a parcel back, if octets do not flow.
    pub(super) fn stall(&mut self, id: LinkId, end: usize, parcel: Parcel) -> Option<Parcel> {
        let link = self.links.get_mut(&id)?;
        let (from, to) = (link.ends[end].slot, link.ends[1 - end].slot);
        if self.blocked[from][to] == 0 && link.stalled[end].is_empty() {
            return Some(parcel);
        }
        link.stalled[end].push(parcel);
        None
    }

    /// When what this end sends now arrives, given the time on the way.
    pub(super) fn arrival(&mut self, id: LinkId, end: usize, now: Micros, takes: Micros) -> Micros {
        let Some(link) = self.links.get_mut(&id) else { return now + takes };
        link.last[end] = (now + takes).max(link.last[end] + 1);
        link.last[end]
    }

    /// The connections of a run that it has open.
    pub(super) fn of_run(&self, run: u32) -> Vec<(LinkId, usize)> {
        let ends = |(&id, link): (&LinkId, &Link)| {
            (0..2).find(|&end| link.ends[end].run == run && link.open[end]).map(|end| (id, end))
        };
        self.links.iter().filter_map(ends).collect()
    }

    /// The connections between two slots.
    pub(super) fn between(&self, one: usize, other: usize) -> Vec<LinkId> {
        let joins = |link: &Link| {
            let slots = [link.ends[0].slot, link.ends[1].slot];
            slots == [one, other] || slots == [other, one]
        };
        self.links.iter().filter(|(_, link)| joins(link)).map(|(&id, _)| id).collect()
    }

    /// Forgets connections that neither end has open.
    pub(super) fn forget_closed(&mut self, id: LinkId) {
        if self.links.get(&id).is_some_and(|link| link.open == [false; 2]) {
            self.links.remove(&id);
        }
    }
}
