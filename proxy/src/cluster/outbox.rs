//! What is to be written to one connection: bounded, so that a member that reads slowly costs
//! memory up to a bound and never anybody's time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::Notify;

/// Octets of facts that may wait. What is over that is repaired by comparison.
pub(super) const BOUND: usize = 4 * 1024 * 1024;
/// What is left to messages that must not be lost, when facts fill the rest.
const RESERVE: usize = 1024 * 1024;
/// So much is taken for one write, and whole frames.
const ONE_WRITE: usize = 64 * 1024;

/// One encoded message; the same one goes to several connections.
pub(super) type Frame = Rc<[u8]>;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It will be written.
    Queued,
    /// There was no room for it, and a comparison can repair that.
    Dropped,
    /// There was no room for it, and nothing makes up for it.
    Overflowed,
}

/// Frames that wait for one connection's writer.
#[derive(Default)]
pub(super) struct Outbox {
    frames: RefCell<VecDeque<Frame>>,
    octets: Cell<usize>,
    dropped: Cell<bool>,
    closing: Cell<bool>,
    changed: Notify,
}

impl Outbox {
    /// Puts a frame at the end. `repairable` is one whose loss a comparison makes up for.
    pub(super) fn push(&self, frame: &Frame, repairable: bool) -> Pushed {
        let bound = if repairable { BOUND } else { BOUND + RESERVE };
        let octets = self.octets.get() + frame.len();
        if octets > bound {
            self.dropped.set(true);
            return if repairable { Pushed::Dropped } else { Pushed::Overflowed };
        }
        self.octets.set(octets);
        self.frames.borrow_mut().push_back(frame.clone());
        self.changed.notify_one();
        Pushed::Queued
    }

    /// Says that nothing more comes: what waits is still written.
    pub(super) fn close(&self) {
        self.closing.set(true);
        self.changed.notify_one();
    }

    /// Fills `octets` with what is to be written next, as soon as there is something; `false` when
    /// nothing more will come. Its octets count as waiting until [`Self::written`].
    pub(super) async fn take(&self, octets: &mut Vec<u8>) -> bool {
        loop {
            while octets.len() < ONE_WRITE {
                let Some(frame) = self.frames.borrow_mut().pop_front() else { break };
                octets.extend_from_slice(&frame);
            }
            if !octets.is_empty() {
                return true;
            }
            if self.closing.get() {
                return false;
            }
            self.changed.notified().await;
        }
    }

    /// So many octets are with the kernel now. `true` when the queue is empty and something was
    /// dropped since it was empty last.
    pub(super) fn written(&self, octets: usize) -> bool {
        self.octets.set(self.octets.get().saturating_sub(octets));
        self.octets.get() == 0 && self.dropped.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(octets: usize) -> Frame {
        vec![7_u8; octets].into()
    }

    #[tokio::test]
    async fn facts_over_the_bound_are_dropped_and_the_rest_still_finds_room() {
        let outbox = Outbox::default();
        let quarter = frame(BOUND / 4);
        for _ in 0..4 {
            assert_eq!(outbox.push(&quarter, true), Pushed::Queued);
        }
        assert_eq!(outbox.push(&frame(1), true), Pushed::Dropped);
        assert_eq!(outbox.push(&frame(1), false), Pushed::Queued);
        assert_eq!(outbox.push(&frame(RESERVE), false), Pushed::Overflowed);
        let (mut taken, mut octets, mut drained) = (0, Vec::new(), Vec::new());
        while taken < BOUND + 1 {
            octets.clear();
            assert!(outbox.take(&mut octets).await);
            taken += octets.len();
            drained.push(outbox.written(octets.len()));
        }
        assert_eq!(taken, BOUND + 1);
        assert!(drained.pop().unwrap_or_default(), "the last write empties a queue that has dropped");
        assert!(!drained.contains(&true));
        assert_eq!(outbox.push(&frame(1), true), Pushed::Queued);
        octets.clear();
        assert!(outbox.take(&mut octets).await && !outbox.written(1), "nothing was dropped since");
    }

    #[tokio::test]
    async fn small_frames_share_a_write_and_a_closed_outbox_is_emptied_first() {
        let outbox = Outbox::default();
        for _ in 0..10 {
            outbox.push(&frame(100), true);
        }
        outbox.close();
        let mut octets = Vec::new();
        assert!(outbox.take(&mut octets).await);
        assert_eq!(octets.len(), 1_000);
        outbox.written(1_000);
        octets.clear();
        assert!(!outbox.take(&mut octets).await);
    }
}
