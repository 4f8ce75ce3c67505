//! What a seed chooses: how many nodes, which network, which troubles and when.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::super::directory::{Kind, Settings};
use super::super::oracle::Lives;

/// Virtual time in microseconds since the start.
pub(super) type Micros = u64;

pub(super) const MILLISECOND: Micros = 1_000;
pub(super) const SECOND: Micros = 1_000_000;

/// The most nodes at a time.
pub(super) const SLOTS: usize = 6;

/// `coordination` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coordination {
    Lease,
    Strict,
    Local,
}

/// How often things go wrong by themselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    /// The directory loses requests and answers, and is slow; clients hang up.
    pub(super) directory: bool,
    /// Facts find no room in the queue of a connection, this often.
    pub(super) overflow: f64,
}

/// A trouble of the cluster.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// Octets between these slots and the others stop, in both directions or only outwards.
    Partition { side: Vec<usize>, both: bool, lasts: Micros },
    /// Octets between two slots stop, though both reach the others.
    Split { between: (usize, usize), both: bool, lasts: Micros },
    /// All connections of a pair of slots break.
    Break { between: (usize, usize) },
    /// The process ends without a word; `silent` when not even its connections tell. Another run
    /// follows, if at all.
    Kill { slot: usize, silent: bool, again: Option<Micros> },
    /// The process hands over and ends. Another run follows, if at all.
    Leave { slot: usize, again: Option<Micros> },
    /// A slot that was empty gets a process.
    Join { slot: usize },
    /// The process is stopped, and goes on later.
    Hang { slot: usize, lasts: Micros },
    /// Every process gets the next hashing key, one after the other.
    Rotate { pause: Micros },
    /// Every process is replaced, one after the other.
    Roll { pause: Micros },
}

/// Something that is done to an account.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    Change { through: bool },
    Unlock,
    Flush,
    FlushAll,
}

/// A device, program or person.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) name: usize,
    /// A password of its own, or whatever is right when it presents it.
    pub(super) password: Option<u32>,
    pub(super) every: Micros,
    /// How many binds at once.
    pub(super) at_once: u32,
    /// Whether those go to different nodes.
    pub(super) spread: bool,
}

/// Everything that is decided before a run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) duration: Micros,
    pub(super) lives: Lives,
    pub(super) directory: Settings,
    pub(super) names: usize,
    pub(super) clients: Vec<Client>,
    pub(super) deeds: Vec<(Micros, usize, Deed)>,
    /// Slots that have a process from the start.
    pub(super) first: usize,
    /// Whether these start one after the other (a StatefulSet) or at once.
    pub(super) staggered: bool,
    /// Whether every slot is listed for ever, as in a static list, or as long as it has a process.
    pub(super) static_list: bool,
    pub(super) troubles: Vec<(Micros, Trouble)>,
    pub(super) faults: Faults,
    pub(super) coordination: Coordination,
    /// One-way latency for each ordered pair of slots, and how much it varies.
    pub(super) latency: [[Micros; SLOTS]; SLOTS],
    pub(super) jitter: Micros,
    /// How wrong each slot's wall clock is, and how fast it runs (parts per million too fast).
    pub(super) skew: [Micros; SLOTS],
    pub(super) drift: [i64; SLOTS],
    /// From a session to the node's thread.
    pub(super) hop: Micros,
    /// How long the node's thread gathers before it flushes.
    pub(super) batch: Micros,
    /// Whether messages are written in octets and read again.
    pub(super) octets: bool,
    /// Whether facts arrive once more, late and out of order. A connection does no such thing, but nothing may rest on that.
    pub(super) echoes: bool,
    /// How long everything is left in peace at the end.
    pub(super) peace: Micros,
}

impl Plan {
    pub(super) fn new(seed: u64, random: &mut ChaCha8Rng) -> Self {
        let ttl = [3, 8, 20][random.random_range(0..3)];
        let lives = Lives {
            ttl: Duration::from_secs(ttl),
            max_ttl: Duration::from_secs(ttl * [1, 4, 16][random.random_range(0..3)]),
            first_ttl: Duration::from_secs([1, 2][random.random_range(0..2)]),
        };
        let duration = random.random_range(25..70) * SECOND;
        let slots = [1, 2, 2, 3, 3, 3, 3, 4, 4, 5, 6][random.random_range(0..11)];
        let names = random.random_range(1..4);
        let (slowest, jitter) = [
            (300, 50),
            (2 * MILLISECOND, 500),
            (20 * MILLISECOND, 5 * MILLISECOND),
            (200 * MILLISECOND, 20 * MILLISECOND),
        ][[0, 0, 1, 1, 1, 2, 2, 3][random.random_range(0..8)]];
        let mut latency = [[0; SLOTS]; SLOTS];
        latency.iter_mut().flatten().for_each(|latency| *latency = random.random_range(100..=slowest));
        let first = if random.random_bool(0.7) { slots } else { random.random_range(1..=slots) };
        let mut plan = Self {
            duration,
            lives,
            directory: directory(random),
            names,
            clients: Vec::new(),
            deeds: Vec::new(),
            first,
            staggered: random.random_bool(0.5),
            static_list: random.random_bool(0.3),
            troubles: Vec::new(),
            faults: Faults {
                directory: random.random_bool(0.3),
                overflow: if random.random_bool(0.15) { 0.2 } else { 0.0 },
            },
            coordination: [
                Coordination::Lease,
                Coordination::Lease,
                Coordination::Lease,
                Coordination::Lease,
                Coordination::Strict,
                Coordination::Local,
            ][random.random_range(0..6)],
            latency,
            jitter,
            skew: std::array::from_fn(|_| random.random_range(0..3_600 * SECOND)),
            drift: std::array::from_fn(|_| random.random_range(-100..=100)),
            hop: random.random_range(5..100),
            batch: random.random_range(0..200),
            octets: seed.is_multiple_of(8),
            echoes: seed % 8 == 5,
            peace: if random.random_bool(0.1) { 75 * SECOND } else { 30 * SECOND },
        };
        plan.populate(random);
        if slots > 1 && random.random_bool(0.7) {
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(12 * SECOND..duration);
                let trouble = plan.trouble(slots, random);
                plan.troubles.push((at, trouble));
            }
        }
        for slot in first..slots {
            plan.troubles.push((random.random_range(5 * SECOND..duration), Trouble::Join { slot }));
        }
        plan
    }

    fn populate(&mut self, random: &mut ChaCha8Rng) {
        let changes = random.random_bool(0.5);
        for name in 0..self.names {
            for _ in 0..random.random_range(1..4) {
                // Passwords 0 to 4: 0 is the right one at first, others may become it.
                let password = random.random_bool(0.75).then(|| random.random_range(0..5));
                let every = self.duration / random.random_range(4..30);
                let at_once = if random.random_bool(0.4) { random.random_range(2..9) } else { 1 };
                self.clients.push(Client { name, password, every, at_once, spread: random.random_bool(0.8) });
            }
            for _ in 0..if changes { random.random_range(0..3) } else { 0 } {
                let deed = Deed::Change { through: random.random_bool(0.6) };
                self.deeds.push((random.random_range(0..self.duration), name, deed));
            }
            if random.random_bool(0.2) {
                self.deeds.push((random.random_range(0..self.duration), name, Deed::Unlock));
            }
            if random.random_bool(0.3) {
                let deed = if random.random_bool(0.3) { Deed::FlushAll } else { Deed::Flush };
                self.deeds.push((random.random_range(8 * SECOND..self.duration), name, deed));
            }
        }
    }

    fn trouble(&self, slots: usize, random: &mut ChaCha8Rng) -> Trouble {
        let slot = random.random_range(0..slots);
        let other = (slot + random.random_range(1..slots)) % slots;
        let again = random.random_bool(0.75).then(|| random.random_range(50 * MILLISECOND..8 * SECOND));
        let lasts = if random.random_bool(0.4) {
            random.random_range(100 * MILLISECOND..5 * SECOND)
        } else {
            random.random_range(5 * SECOND..40 * SECOND)
        };
        let both = random.random_bool(0.6);
        match random.random_range(0..12) {
            0..=2 => {
                let side = (0..slots).filter(|&other| other == slot || random.random_bool(0.4)).collect();
                Trouble::Partition { side, both, lasts }
            }
            3 => Trouble::Split { between: (slot, other), both, lasts },
            4 => Trouble::Break { between: (slot, other) },
            5 | 6 => Trouble::Kill { slot, silent: random.random_bool(0.5), again },
            7 => Trouble::Leave { slot, again },
            8 => Trouble::Hang { slot, lasts: lasts.min(12 * SECOND) },
            9 => Trouble::Rotate { pause: random.random_range(100 * MILLISECOND..4 * SECOND) },
            _ => Trouble::Roll { pause: random.random_range(SECOND..6 * SECOND) },
        }
    }

    /// The longest time that anything is on its way in a healthy network, with what threads add.
    pub(super) fn slowest(&self) -> Micros {
        let latency = self.latency.iter().flatten().max().copied().unwrap_or(0);
        latency + self.jitter + self.hop + self.batch + MILLISECOND
    }

    /// Whether an owner's answer surely comes before the deadline.
    pub(super) fn owners_answer_in_time(&self) -> bool {
        self.coordination == Coordination::Strict || 2 * self.slowest() < 90 * MILLISECOND
    }
}

fn directory(random: &mut ChaCha8Rng) -> Settings {
    let window = Duration::from_secs([30, 600][random.random_range(0..2)]);
    let kind = match random.random_range(0..4) {
        0 => Kind::OpenLdap { window: None },
        1 => Kind::OpenLdap { window: Some(window) },
        2 => Kind::ActiveDirectory { window },
        _ => Kind::DirectoryServer389 { window },
    };
    let lock = [None, Some(Duration::from_secs(10)), Some(Duration::from_secs(900))][random.random_range(0..3)];
    Settings { kind, threshold: random.random_range(3..11), lock }
}
