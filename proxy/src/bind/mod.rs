//! The bind decision: answer from the cache, wait on a lease, or forward; and what is learned.
//!
//! Pure: no task, no clock, no randomness. [`Guard`] is the one type that the shell talks to:
//! [`Guard::decide`] before a bind is forwarded and [`Guard::settle`] when its outcome is known.
//! What a verdict means stands in [`rules`], how names and passwords become keys in [`key`] and
//! [`name`], how long an entry lives in `life`, what is stored in `entries` (failed binds) and
//! `memory` (what is remembered of a name besides), who makes room in `eviction`, attempts that
//! are under way in `flight`, and every step over them in `shard`. What members of a cluster tell each
//! other are [`fact`]s: how they merge stands in `join`, how a guard takes and gives them in
//! `exchange`, and the sums by which two members find what they do not share in `tree`.

mod effect;
mod entries;
mod eviction;
mod exchange;
mod explain;
pub mod fact;
mod flight;
mod guard;
mod intern;
mod join;
pub mod key;
mod life;
mod memo;
mod memory;
pub mod name;
pub mod offenders;
pub mod rules;
mod seal;
mod shard;
mod slab;
mod source;
mod tree;
pub mod verdict;

pub use effect::{Effect, NotRecorded, PurgeCause};
pub use exchange::{Export, Merged};
pub use explain::{EntryExplanation, Explanation, NameQuery};
pub use fact::{Fact, FailureFact, NameFacts, Origin, Stamp, Success};
pub use flight::{Conclusion, Lease, Release};
pub use guard::{Decision, FlushScope, Flushed, Guard, Outcome, Policy, SWEEP_SLOTS, Settled, Stats};
pub use key::{Credential, Digest, HashKey, Keys, NameKey, NameKeys, NoShortHash, ShortHash};
pub use life::Past;
pub use memo::NameMemo;
pub use offenders::{Offender, Offenders};
pub use rules::{Class, VerdictRules};
pub use seal::{NameSeal, SealError};
pub use source::Source;
pub use tree::Tree;
pub use verdict::{PolicyError, Verdict};
