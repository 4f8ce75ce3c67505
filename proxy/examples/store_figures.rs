//! Measures the failed-bind store: `cargo run --release --example store_figures`.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bindproxy::bind::{
    Credential, Decision, Digest, Guard, HashKey, Keys, NameKey, Outcome, Policy, Source, Verdict, VerdictRules,
};
use bindproxy::clock::Tick;
use bindproxy::codec::{build, frame};
use bindproxy::config::Verdicts;

const ENTRIES: u32 = 1_000_000;
/// A little more than [`ENTRIES`], because names fall unevenly into shards.
const ROOM: u32 = 1_100_000;
const START: Tick = Tick(3_600_000);

fn main() -> Result<()> {
    let keys = Keys::new(&HashKey::from_bytes([7; 32]), None, true);
    hashing(&keys);

    let policy = |keys: Keys| Policy {
        ttl: Duration::from_secs(900),
        max_ttl: Duration::from_secs(86_400),
        first_ttl: Duration::from_secs(10),
        forgiveness: Duration::ZERO,
        rules: VerdictRules::new(&Verdicts::default()),
        keys,
    };
    let verdict = refusal()?;

    let guard: Guard<()> = Guard::new(ROOM, policy(keys.clone()));
    let before = resident()?;
    let seconds = timed(|| (0..ENTRIES).for_each(|number| fail(&guard, &made_up(number), number, &verdict)));
    let grown = resident()? - before;
    let stats = guard.stats();
    println!("{} live entries of distinct names", stats.live);
    println!("  RSS growth            {:>8.1} MB, {} octets for each", mb(grown), grown / stats.live);
    println!("  decide and settle     {:>8.0} ns (a new failure, from lease to entry)", each(seconds));
    let found = timed(|| (0..ENTRIES).for_each(|number| look_up(&guard, scattered(number))));
    println!("  decide, hit           {:>8.0} ns (names in random order)", each(found));
    let hot = timed(|| (0..ENTRIES).for_each(|number| look_up(&guard, number % 1000)));
    println!("  decide, hit           {:>8.0} ns (a thousand names)", each(hot));
    let missed = timed(|| (0..ENTRIES).for_each(|number| settle_fault(&guard, &made_up(ENTRIES + number))));
    println!("  decide, miss          {:>8.0} ns (with the lease taken and given back)", each(missed));
    exchange(&guard, policy(keys.clone()))?;
    let mut longest = Duration::ZERO;
    for second in 0..8 {
        let at = START.after(Duration::from_secs(900 + second));
        longest = longest.max(timed(|| guard.sweep(at, bindproxy::bind::SWEEP_SLOTS)));
    }
    println!(
        "  sweep                 {:>8.1} ms at most for a call, {} live left",
        longest.as_secs_f64() * 1e3,
        guard.stats().live
    );
    drop(guard);

    let guard: Guard<()> = Guard::new(ENTRIES, policy(keys.clone()));
    (0..ENTRIES).for_each(|number| fail(&guard, &made_up(number), number, &verdict));
    let hammering = keys.credential(b"uid=alice,ou=people,dc=example,dc=org", b"stale");
    fail(&guard, &hammering, 1, &verdict);
    let before = resident()?;
    let mut refused = 0_u32;
    let seconds = timed(|| {
        for number in 0..ENTRIES {
            fail(&guard, &made_up(2 * ENTRIES + number), number, &verdict);
            if number % 1000 == 0 {
                refused += u32::from(answered(&guard, &hammering));
            }
        }
    });
    println!("spray of {ENTRIES} random names from as many sources into a full store");
    println!("  decide and settle     {:>8.0} ns (with an eviction each)", each(seconds));
    println!(
        "  hammering entry       answered {refused} of {} times, and now: {}",
        ENTRIES / 1000,
        answered(&guard, &hammering)
    );
    println!("  RSS growth            {:>8.1} MB", mb(resident()?.saturating_sub(before)));
    let stats = guard.stats();
    println!("  entries               {} of {}, {} evicted", stats.live + stats.dormant, stats.capacity, stats.evicted);
    Ok(())
}

/// What the members of a cluster do with a full store.
fn exchange(guard: &Guard<()>, policy: Policy) -> Result<()> {
    let now = START.after(Duration::from_secs(1));
    let mut facts = Vec::new();
    let exported = timed(|| {
        let mut cursor = Some(0);
        while let Some(at) = cursor {
            let part = guard.export(at, 1000, now);
            facts.extend(part.facts);
            cursor = part.next;
        }
    });
    println!("{} facts", facts.len());
    println!("  export                {:>8.0} ns each", each(exported));
    let peer: Guard<()> = Guard::new(ROOM, policy);
    let before = resident()?;
    let taken = timed(|| facts.iter().for_each(|fact| drop(black_box(peer.merge(fact, now)))));
    let grown = resident()? - before;
    println!("  merge, new            {:>8.0} ns each", each(taken));
    println!("  RSS growth            {:>8.1} MB, {} octets for each", mb(grown), grown / peer.stats().live);
    let known = timed(|| facts.iter().for_each(|fact| drop(black_box(peer.merge(fact, now)))));
    println!("  merge, known          {:>8.0} ns each", each(known));
    let mut roots = [0, 0];
    let summed = timed(|| roots = [guard, &peer].map(|guard| guard.tree(now, now).root()));
    println!(
        "  tree                  {:>8.1} ms for each of two, roots equal: {}",
        ms(summed) / 2.0,
        roots[0] == roots[1]
    );
    let mut found = 0;
    let leaves = timed(|| found = peer.on_leaves(&[1, 2, 3, 4], now, now).len());
    println!("  on_leaves             {:>8.1} ms for {found} facts of four leaves", ms(leaves));
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn hashing(keys: &Keys) {
    let rounds = 1_000_000_u32;
    let name = b"uid=alice.liddell,ou=people,dc=example,dc=org";
    let mut password = *b"correct horse 00";
    let seconds = timed(|| {
        for number in 0..rounds {
            password[14] = number as u8;
            black_box(keys.credential(black_box(name), black_box(&password)));
        }
    });
    println!("credential() of a DN    {:>8.0} ns", seconds.as_nanos() as f64 / f64::from(rounds));
    let rotating = Keys::new(&HashKey::from_bytes([8; 32]), Some(&HashKey::from_bytes([7; 32])), true);
    let seconds = timed(|| {
        for _ in 0..rounds {
            black_box(rotating.credential(black_box(name), black_box(&password)));
        }
    });
    println!("  with a previous key   {:>8.0} ns", seconds.as_nanos() as f64 / f64::from(rounds));
}

fn fail(guard: &Guard<()>, credential: &Credential, host: u32, verdict: &Verdict) {
    let source = Source::from(IpAddr::V4(Ipv4Addr::from_bits(host)));
    if let Decision::Lead(lease) = guard.decide(credential, source, START, || ()) {
        let _ = black_box(guard.settle(lease, Outcome::Verdict(verdict.clone()), START));
    }
}

fn settle_fault(guard: &Guard<()>, credential: &Credential) {
    if let Decision::Lead(lease) = guard.decide(credential, Source::local(), START, || ()) {
        let _ = black_box(guard.settle(lease, Outcome::Fault, START));
    }
}

fn look_up(guard: &Guard<()>, number: u32) {
    assert!(answered(guard, &made_up(number)), "{number} is stored");
}

fn answered(guard: &Guard<()>, credential: &Credential) -> bool {
    match guard.decide(credential, Source::local(), START, || ()) {
        Decision::Answer(_) => true,
        Decision::Wait => false,
        Decision::Lead(lease) => {
            let _ = guard.settle(lease, Outcome::Fault, START);
            false
        }
    }
}

/// A credential without the cost of hashing: the store is measured here.
fn made_up(number: u32) -> Credential {
    let mix = |seed: u64| {
        let mut bits = (u64::from(number) << 8 | seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ bits >> 31).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits ^ bits >> 29
    };
    let wide = |seed| {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&mix(seed).to_le_bytes());
        octets[8..].copy_from_slice(&mix(seed + 1).to_le_bytes());
        octets
    };
    Credential { name: NameKey(wide(1)), digest: Digest(wide(3)), previous: None }
}

/// The numbers below [`ENTRIES`] in an order without locality.
fn scattered(number: u32) -> u32 {
    (u64::from(number) * 611_953 % u64::from(ENTRIES)) as u32
}

fn refusal() -> Result<Verdict> {
    let bytes = build::bind_response(1, 49, "");
    let Ok(Some(peek)) = frame::peek(&bytes, 1000) else { bail!("a BindResponse of our own can be read") };
    Ok(Verdict::from_response(&bytes, &peek)?)
}

fn resident() -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status").context("reading the process's own status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in the status")?;
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().context("VmRSS is a number of kB")?;
    Ok(kilobytes * 1024)
}

fn mb(octets: usize) -> f64 {
    octets as f64 / 1e6
}

fn each(total: Duration) -> f64 {
    total.as_nanos() as f64 / f64::from(ENTRIES)
}

/// How long this thread was on a core meanwhile: other programs of the machine do not count.
fn timed(work: impl FnOnce()) -> Duration {
    let began = on_core();
    work();
    on_core().saturating_sub(began)
}

fn on_core() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}
