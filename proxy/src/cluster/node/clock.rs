//! One time for all members.
//!
//! Every member's clock runs by its own monotonic clock and is only ever raised to what another member says,
//! so all run within a network delay of the fastest, whatever their wall clocks say. A joiner, which knows
//! nothing, takes over the time of the first member it meets, even backwards.

use std::time::Duration;

use crate::clock::Tick;

use super::super::event::{Count, Effect, Waiting};
use super::super::message::Standing;
use super::{Node, Step};

/// A clock that is further behind than this cannot tell which of two facts was first: 5 s.
pub(super) const BOUND: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Alignment {
    /// Whether another member's time was taken over while joining.
    adopted: bool,
}

impl Node {
    /// Takes note of the time that a member says it is.
    pub(super) fn align<W: Waiting>(&mut self, step: &mut Step<'_, W>, standing: Standing, theirs: Tick) {
        if standing == Standing::Joining {
            // Its clock is its machine's, and will be ours.
            return;
        }
        let adopt = self.standing == Standing::Joining && !std::mem::replace(&mut self.clock.adopted, true);
        if !adopt && theirs <= step.now {
            return;
        }
        if !adopt && step.now.until(theirs) > BOUND {
            // Two clusters that had never met, or a machine that slept: which facts are older than which
            // cannot be told. What forgives stays, as of now; what refuses goes, which costs attempts and
            // never a right password.
            if step.guard.leap(theirs) > 0 {
                step.count(Count::ClockJumped);
            }
            self.sync_with_everybody();
        }
        step.now = theirs;
        step.effects.push(Effect::SetClock(theirs));
    }
}
