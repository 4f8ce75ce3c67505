//! Which upstream to ask, and which after it. Pure: health, load and chance are arguments.

use rand::{Rng, RngExt};

use crate::config::Strategy;

/// What the choice knows of one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Lower is asked first.
    pub priority: u32,
    /// Share among equals; 0 = last resort.
    pub weight: u32,
    /// Whether it is believed to answer.
    pub up: bool,
    /// Connections open to it.
    pub connections: u32,
}

/// The candidates that may be tried, best first, by index.
///
/// Those with weight 0 come after every other one. Those that are down are left out, so that an
/// outage is answered at once; [`super::health`] lets one attempt through now and then.
pub fn order(strategy: Strategy, candidates: &[Candidate], turn: u64, rng: &mut impl Rng) -> Vec<usize> {
    let mut chosen: Vec<(u64, u64, usize)> = Vec::with_capacity(candidates.len());
    for (index, candidate) in candidates.iter().enumerate() {
        if candidate.up && candidate.weight > 0 {
            let (major, minor) = match strategy {
                Strategy::Priority => (u64::from(candidate.priority), weighted_lot(candidate.weight, rng)),
                // The rotation below gives the first place; the others keep their order.
                Strategy::RoundRobin => (0, index as u64),
                Strategy::LeastConnections => (
                    // Scaled, so that 3 connections of weight 2 beat 2 of weight 1.
                    u64::from(candidate.connections) * 65_536 / u64::from(candidate.weight),
                    weighted_lot(candidate.weight, rng),
                ),
            };
            chosen.push((major, minor, index));
        }
    }
    chosen.sort_unstable();
    let mut order: Vec<usize> = chosen.into_iter().map(|(_, _, index)| index).collect();
    if strategy == Strategy::RoundRobin {
        let total: u64 = order.iter().map(|&index| u64::from(candidates[index].weight)).sum();
        if total > 0 {
            let mut place = turn % total;
            let first = order.iter().position(|&index| {
                let weight = u64::from(candidates[index].weight);
                let here = place < weight;
                place = place.saturating_sub(weight);
                here
            });
            order.rotate_left(first.unwrap_or(0));
        }
    }
    let mut last_resorts: Vec<usize> =
        (0..candidates.len()).filter(|&index| candidates[index].up && candidates[index].weight == 0).collect();
    last_resorts.sort_by_key(|&index| candidates[index].priority);
    order.extend(last_resorts);
    order
}

/// A draw whose smallest value falls to each candidate in proportion to its weight
/// (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006).
fn weighted_lot(weight: u32, rng: &mut impl Rng) -> u64 {
    let uniform: f64 = rng.random_range(f64::MIN_POSITIVE..1.0);
    // -ln(u)/w is exponentially distributed with rate w; the minimum of several belongs to each
    // with probability proportional to its rate. At most 745/1, so the scaling cannot overflow.
    (-uniform.ln() / f64::from(weight) * 1e12) as u64
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn candidate(priority: u32, weight: u32, up: bool, connections: u32) -> Candidate {
        Candidate { priority, weight, up, connections }
    }

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    #[test]
    fn priority_comes_before_weight_and_down_ones_are_left_out() {
        let all = [candidate(1, 100, true, 0), candidate(0, 1, true, 9), candidate(0, 1, false, 0)];
        assert_eq!(order(Strategy::Priority, &all, 0, &mut rng()), [1, 0]);
    }

    #[test]
    fn last_resorts_come_last_in_every_strategy() {
        let all = [candidate(0, 0, true, 0), candidate(5, 1, true, 50)];
        for strategy in [Strategy::Priority, Strategy::RoundRobin, Strategy::LeastConnections] {
            assert_eq!(order(strategy, &all, 3, &mut rng()), [1, 0], "{strategy:?}");
        }
    }

    #[test]
    fn equal_priorities_share_by_weight() {
        let all = [candidate(0, 3, true, 0), candidate(0, 1, true, 0)];
        let mut rng = rng();
        let first = (0..10_000).filter(|_| order(Strategy::Priority, &all, 0, &mut rng)[0] == 0).count();
        assert!((7_300..7_700).contains(&first), "{first} of 10,000 for weight 3 of 4");
    }

    #[test]
    fn round_robin_gives_each_its_weight_in_turns() {
        let all = [candidate(0, 2, true, 0), candidate(9, 1, true, 0)];
        let firsts: Vec<usize> = (0..6).map(|turn| order(Strategy::RoundRobin, &all, turn, &mut rng())[0]).collect();
        assert_eq!(firsts, [0, 0, 1, 0, 0, 1]);
    }

    #[test]
    fn least_connections_weighs_the_load() {
        let all = [candidate(0, 2, true, 3), candidate(0, 1, true, 2)];
        assert_eq!(order(Strategy::LeastConnections, &all, 0, &mut rng()), [0, 1]);
    }
}
