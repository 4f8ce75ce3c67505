//! Going: nothing new is granted, what was learned is handed over, and everybody is told.

use super::super::event::{Effect, LinkId, Waiting};
use super::super::members::Beat;
use super::super::message::{Message, Standing};
use super::{Node, Step};

/// The barrier that a leaving node waits for; gathers count from 0 and never get here.
pub(super) const BARRIER: u64 = u64::MAX;
/// Beats that the others have to take in what is handed over: 2 s.
const PATIENCE: u64 = 4;

#[derive(Debug, Default)]
pub(super) struct Leaving {
    since: Option<Beat>,
    /// Connections whose other end has not taken in everything yet.
    waiting: Vec<LinkId>,
    done: bool,
}

impl Leaving {
    /// Nothing is to be waited for there: it has taken in everything, or is gone.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.waiting.retain(|&waiting| waiting != link);
    }
}

impl Node {
    pub(super) fn leave<W: Waiting>(&mut self, step: &mut Step<'_, W>) {
        if self.leaving.since.is_some() {
            return;
        }
        self.standing = Standing::Leaving;
        self.leaving.since = Some(self.beat);
        self.leaving.waiting = self.members.dialled_links();
        self.tell_standing(step);
        let links = self.leaving.waiting.clone();
        self.say(step, links, Message::Barrier { number: BARRIER });
    }

    pub(super) fn go_on_leaving<W: Waiting>(&mut self, step: &mut Step<'_, W>) {
        let Some(since) = self.leaving.since else { return };
        let over = self.leaving.waiting.is_empty() || self.beat.since(since) >= PATIENCE;
        if over && !std::mem::replace(&mut self.leaving.done, true) {
            step.effects.push(Effect::Left);
        }
    }
}
