//! Slots with stable numbers: half the memory of boxed nodes, and a clock hand can walk them.

/// Slots per page. Pages never move, so growing copies nothing while a lock is held.
const PAGE: usize = 256;

/// Values in numbered slots; a freed slot is used again first.
#[derive(Debug)]
pub(super) struct Slab<T> {
    pages: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    slots: usize,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self { pages: Vec::new(), free: Vec::new(), slots: 0 }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.slots - self.free.len()
    }

    /// How many slots there are, used and free: numbers run from 0 to this.
    pub(super) fn slots(&self) -> u32 {
        // `insert` keeps the count within 32 bits.
        self.slots as u32
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        let slot = slot as usize;
        self.pages.get(slot / PAGE)?.get(slot % PAGE)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let slot = slot as usize;
        self.pages.get_mut(slot / PAGE)?.get_mut(slot % PAGE)?.as_mut()
    }

    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            let at = slot as usize;
            self.pages[at / PAGE][at % PAGE] = Some(value);
            return slot;
        }
        if self.slots.is_multiple_of(PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let slot = self.slots as u32;
        self.pages[self.slots / PAGE].push(Some(value));
        self.slots += 1;
        slot
    }

    /// Empties a slot. The memory of the pages is given back when the last value goes.
    pub(super) fn remove(&mut self, slot: u32) -> Option<T> {
        let at = slot as usize;
        let value = self.pages.get_mut(at / PAGE)?.get_mut(at % PAGE)?.take()?;
        self.free.push(slot);
        if self.free.len() == self.slots {
            *self = Self::new();
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_stable_and_used_again() {
        let mut slab = Slab::new();
        let slots: Vec<u32> = (0..1000).map(|value| slab.insert(value)).collect();
        assert_eq!(slab.len(), 1000);
        assert_eq!(slab.remove(slots[300]), Some(300));
        assert_eq!(slab.remove(slots[300]), None);
        assert_eq!(slab.get(slots[300]), None);
        assert_eq!(slab.get(slots[999]), Some(&999));
        assert_eq!(slab.insert(7), slots[300]);
        assert_eq!((slab.len(), slab.slots()), (1000, 1000));
        for slot in slots {
            slab.remove(slot);
        }
        assert_eq!((slab.len(), slab.slots(), slab.pages.len()), (0, 0, 0));
        assert_eq!(slab.get(5), None);
    }
}
