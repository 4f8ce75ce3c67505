//! Who keeps presenting dead passwords, merged over the members: each one's ranking as it travels, and the whole.
//!
//! As with the sketches of cores, a member that does not list a pair may have suppressed it up to `unlisted` times, so
//! the whole keeps the promise of [`crate::bind::offenders`]. While members hash with different keys, a pair whose name
//! could not be opened stands apart from its like.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rand::TryCryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::admin::api::{Offender, Offenders};
use crate::bind::offenders::{MAX_NAME, Ranking};
use crate::bind::{NameKey, NameSeal, ShortHash};
use crate::clock::Tick;
use crate::logging::Escaped;

use super::milliseconds;
use super::query::{self, Hex};

/// Pairs that one member tells; as many as the API shows at most.
pub(super) const MAX_PAIRS: usize = 1000;

/// One member's ranking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pairs: Vec<Named>,
    unlisted: u64,
    truncated: bool,
}

/// A pair, with its name if it could be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    name: Option<Vec<u8>>,
    pair: Pair,
}

/// A member's ranking as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reply {
    pairs: Vec<Pair>,
    unlisted: u64,
    truncated: bool,
    /// The names of the pairs in their order, sealed and in base64. Empty when there were no random numbers for a nonce.
    names: String,
}

/// A pair of name and source as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pair {
    key: Hex,
    source: String,
    listener: String,
    suppressed: u64,
    overcount: u64,
    first_seen_milliseconds_ago: u64,
    last_seen_milliseconds_ago: u64,
}

impl View {
    pub(super) fn of(ranking: &Ranking, now: Tick) -> Self {
        let Ranking { pairs, unlisted, truncated } = ranking;
        let pairs = pairs.iter().map(|offender| Named {
            name: Some(offender.name.to_vec()),
            pair: Pair {
                key: Hex(offender.key.0),
                source: offender.source.to_string(),
                listener: offender.listener.to_string(),
                suppressed: offender.suppressed,
                overcount: offender.overcount,
                first_seen_milliseconds_ago: milliseconds(now.since(offender.first_seen)),
                last_seen_milliseconds_ago: milliseconds(now.since(offender.last_seen)),
            },
        });
        Self { pairs: pairs.collect(), unlisted: *unlisted, truncated: *truncated }
    }

    /// For another member: within what a reply may hold, and no name in clear.
    pub(super) fn sealed(mut self, seal: &NameSeal, random: &mut impl TryCryptoRng) -> Reply {
        let travelling: Vec<&Pair> = self.pairs.iter().map(|named| &named.pair).collect();
        let name_length = |at: usize| self.pairs[at].name.as_ref().map_or(0, Vec::len);
        let fitting = query::fitting(&travelling, |at| (name_length(at) + 2).div_ceil(3) * 4);
        if let Some(cut) = self.pairs.get(fitting) {
            self.unlisted = self.unlisted.max(cut.pair.suppressed);
            self.truncated = true;
        }
        self.pairs.truncate(fitting);
        let mut names = Zeroizing::new(Vec::new());
        let mut pairs = Vec::with_capacity(self.pairs.len());
        for Named { name, pair } in self.pairs {
            let name = name.unwrap_or_default();
            let name = &name[..name.len().min(MAX_NAME)];
            names.extend_from_slice(&(name.len() as u16).to_be_bytes());
            names.extend_from_slice(name);
            pairs.push(pair);
        }
        let names = seal.seal(&about(&pairs), names, random).map(|sealed| STANDARD_NO_PAD.encode(sealed));
        Reply { pairs, unlisted: self.unlisted, truncated: self.truncated, names: names.unwrap_or_default() }
    }
}

impl Reply {
    /// With the names that can be opened.
    pub(super) fn opened(self, seal: &NameSeal) -> View {
        let Self { mut pairs, mut unlisted, mut truncated, names } = self;
        let sealed = STANDARD_NO_PAD.decode(names).unwrap_or_default();
        let opened = seal.open(&about(&pairs), &sealed).ok();
        if let Some(cut) = pairs.get(MAX_PAIRS) {
            // This version never sends so many.
            (unlisted, truncated) = (unlisted.max(cut.suppressed), true);
            pairs.truncate(MAX_PAIRS);
        }
        let mut rest = opened.as_ref().map_or(&[][..], |octets| octets);
        let mut named = Vec::with_capacity(pairs.len());
        for pair in pairs {
            named.push(Named { name: next_name(&mut rest), pair });
        }
        View { pairs: named, unlisted, truncated }
    }
}

/// What the names are sealed together with: whose they are, so that nobody can exchange them.
fn about(pairs: &[Pair]) -> Vec<u8> {
    pairs.iter().flat_map(|pair| pair.key.0).collect()
}

fn next_name(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (name, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = after;
    Some(name.to_vec())
}

/// The rankings of the members that answered, by node name, as one. `key_of` hashes a name with this member's key, so
/// that views under different keys meet.
pub(super) fn merged(
    views: &[(String, View)],
    missing: Vec<String>,
    key_of: impl Fn(&[u8]) -> NameKey,
    limit: usize,
) -> Offenders {
    let mut sums: HashMap<(NameKey, &str), Sum<'_>> = HashMap::new();
    let mut unlisted = 0_u64;
    let mut truncated = false;
    for (at, (_, view)) in views.iter().enumerate() {
        unlisted = unlisted.saturating_add(view.unlisted);
        truncated |= view.truncated;
        for Named { name, pair } in &view.pairs {
            let key = match name {
                // A longer one was cut, and its hash is that of the whole.
                Some(name) if name.len() < MAX_NAME => key_of(name),
                Some(_) | None => NameKey(pair.key.0),
            };
            sums.entry((key, &pair.source)).or_insert_with(|| Sum::empty(pair)).add(at, view, name.as_deref(), pair);
        }
    }
    let mut offenders: Vec<Offender> =
        sums.into_iter().map(|((key, source), sum)| sum.offender(key, source, unlisted, views)).collect();
    // The last two keys only make the order of equals the same every time.
    offenders.sort_by(|a, b| {
        let order = b.suppressed.cmp(&a.suppressed).then(a.last_seen_seconds_ago.cmp(&b.last_seen_seconds_ago));
        order.then_with(|| a.name.cmp(&b.name)).then_with(|| a.source.cmp(&b.source))
    });
    truncated |= offenders.len() > limit;
    offenders.truncate(limit);
    let answered = views.iter().map(|(node, _)| node.clone()).collect();
    Offenders { offenders, truncated, answered, missing }
}

/// One pair over all members.
struct Sum<'a> {
    name: Option<&'a [u8]>,
    listener: &'a str,
    suppressed: u64,
    overcount: u64,
    first_milliseconds: u64,
    last_milliseconds: u64,
    /// What those who list it might have had at most if they did not.
    unlisted: u64,
    nodes: Vec<usize>,
}

impl<'a> Sum<'a> {
    fn empty(pair: &'a Pair) -> Self {
        Self {
            name: None,
            listener: &pair.listener,
            suppressed: 0,
            overcount: 0,
            first_milliseconds: 0,
            last_milliseconds: u64::MAX,
            unlisted: 0,
            nodes: Vec::new(),
        }
    }

    fn add(&mut self, node: usize, view: &View, name: Option<&'a [u8]>, pair: &'a Pair) {
        self.name = self.name.or(name);
        if pair.last_seen_milliseconds_ago < self.last_milliseconds {
            self.listener = &pair.listener;
        }
        self.suppressed = self.suppressed.saturating_add(pair.suppressed);
        self.overcount = self.overcount.saturating_add(pair.overcount);
        self.first_milliseconds = self.first_milliseconds.max(pair.first_seen_milliseconds_ago);
        self.last_milliseconds = self.last_milliseconds.min(pair.last_seen_milliseconds_ago);
        // After a rotation one member may list a name under both keys.
        if self.nodes.last() != Some(&node) {
            self.nodes.push(node);
            self.unlisted = self.unlisted.saturating_add(view.unlisted);
        }
    }

    fn offender(self, key: NameKey, source: &str, unlisted: u64, views: &[(String, View)]) -> Offender {
        let short = ShortHash(key.short()).to_string();
        let elsewhere = unlisted.saturating_sub(self.unlisted);
        Offender {
            // The report is for people who hold the token and have to find the device, so it shows
            // the name even where the log does not.
            name: self.name.map_or_else(|| short.clone(), |name| Escaped(name).to_string()),
            short_hash: short,
            source: source.to_owned(),
            listener: self.listener.to_owned(),
            suppressed: self.suppressed.saturating_add(elsewhere),
            overcount: self.overcount.saturating_add(elsewhere),
            first_seen_seconds_ago: self.first_milliseconds / 1000,
            last_seen_seconds_ago: self.last_milliseconds / 1000,
            nodes: self.nodes.iter().filter_map(|&at| views.get(at)).map(|(node, _)| node.clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use rand::SeedableRng as _;

    use super::*;
    use crate::bind::offenders::merge;
    use crate::bind::{self, HashKey, Keys, Source};

    fn keys(current: u8, previous: Option<u8>) -> Keys {
        let key = |octet| HashKey::from_bytes([octet; 32]);
        Keys::new(&key(current), previous.map(key).as_ref(), true)
    }

    fn name(number: u32) -> String {
        format!("cn=user {number},dc=example")
    }

    fn source(host: u32) -> Source {
        Source::from(IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + host)))
    }

    fn record(sketch: &mut bind::Offenders, keys: &Keys, name: &str, host: u32, now: u64) {
        let key = keys.name_keys(name.as_bytes()).current;
        sketch.record(key, name.as_bytes(), source(host), &Arc::from("ldap"), Tick(now));
    }

    fn view(sketch: &bind::Offenders) -> View {
        View::of(&merge([sketch], MAX_PAIRS), Tick(60_000))
    }

    /// As another member gets it.
    fn travelled(view: View, from: &Keys, to: &Keys) -> View {
        let mut random = rand_chacha::ChaCha20Rng::seed_from_u64(1);
        let octets = query::encoded(&view.sealed(&from.name_seal(), &mut random));
        query::decoded::<Reply>(&octets).expect("a reply").opened(&to.name_seal())
    }

    fn whole(views: &[(&str, View)], keys: &Keys) -> Offenders {
        let views: Vec<_> = views.iter().map(|(node, view)| ((*node).to_owned(), view.clone())).collect();
        merged(&views, Vec::new(), |name| keys.name_keys(name).current, 20)
    }

    #[test]
    fn members_views_of_a_pair_add_up() {
        let keys = keys(1, None);
        let [mut one, mut two] = [(); 2].map(|()| bind::Offenders::new(10));
        (0..5).for_each(|now| record(&mut one, &keys, &name(1), 1, now * 1000));
        record(&mut two, &keys, "CN=User 1, DC=example", 1, 50_000);
        (0..9).for_each(|now| record(&mut two, &keys, &name(2), 2, now * 1000));
        let whole = whole(&[("corp-0", view(&one)), ("corp-1", travelled(view(&two), &keys, &keys))], &keys);
        let shown: Vec<_> = whole
            .offenders
            .iter()
            .map(|o| {
                (&*o.name, &*o.source, o.suppressed, o.overcount, o.first_seen_seconds_ago, o.last_seen_seconds_ago)
            })
            .collect();
        assert_eq!(shown, [(&*name(2), "10.0.0.2", 9, 0, 60, 52), (&*name(1), "10.0.0.1", 6, 0, 60, 10)]);
        assert_eq!(whole.offenders[0].nodes, ["corp-1"]);
        assert_eq!(whole.offenders[1].nodes, ["corp-0", "corp-1"]);
        assert_eq!(whole.answered, ["corp-0", "corp-1"]);
        assert!(!whole.truncated);
    }

    #[test]
    fn during_a_rotation_names_meet_where_they_can_be_opened() {
        let (old, new) = (keys(1, None), keys(2, Some(1)));
        let [mut at_old, mut at_new] = [(); 2].map(|()| bind::Offenders::new(10));
        record(&mut at_old, &old, &name(1), 1, 0);
        record(&mut at_new, &new, &name(1), 1, 0);
        let met = whole(&[("new", view(&at_new)), ("old", travelled(view(&at_old), &old, &new))], &new);
        assert_eq!((met.offenders.len(), met.offenders[0].suppressed), (1, 2));
        let apart = whole(&[("old", view(&at_old)), ("new", travelled(view(&at_new), &new, &old))], &old);
        assert_eq!(apart.offenders.len(), 2);
        let hidden = apart.offenders.iter().find(|offender| offender.nodes == ["new"]).unwrap();
        let short = ShortHash(new.name_keys(name(1).as_bytes()).current.short()).to_string();
        assert_eq!((&hidden.name, &hidden.short_hash), (&short, &short));
    }

    #[test]
    fn no_name_is_in_a_reply_and_no_tick() {
        let keys = keys(1, None);
        let mut sketch = bind::Offenders::new(10);
        record(&mut sketch, &keys, "cn=Alice Secretname,dc=example", 1, 59_999);
        let reply = view(&sketch).sealed(&keys.name_seal(), &mut rand_chacha::ChaCha20Rng::seed_from_u64(1));
        let text = String::from_utf8(query::encoded(&reply)).unwrap();
        for part in ["Alice", "alice", "Secretname", "example", "59999", &STANDARD_NO_PAD.encode("cn=Alice Secr")] {
            assert!(!text.contains(part), "{part}: {text}");
        }
        let printed = format!("{reply:?}");
        assert!(!printed.contains("Secretname"), "{printed}");
    }

    #[test]
    fn a_reply_is_bounded_and_says_what_was_cut() {
        let keys = keys(1, None);
        let mut sketch = bind::Offenders::new(2000);
        for number in 0..1500 {
            let long = format!("{}{number}", "x".repeat(600));
            let times = if number < 50 { 3 } else { 1 };
            (0..times).for_each(|now| record(&mut sketch, &keys, &long, number, now));
        }
        let reply = view(&sketch).sealed(&keys.name_seal(), &mut rand_chacha::ChaCha20Rng::seed_from_u64(1));
        assert!(reply.truncated && reply.unlisted == 1 && reply.pairs.len() > 100, "{}", reply.pairs.len());
        let length = query::encoded(&reply).len();
        assert!(length < query::LIST_BYTES + 200, "{length}");
        let opened = reply.opened(&keys.name_seal());
        assert!(opened.pairs.iter().all(|named| named.name.as_ref().is_some_and(|name| name.len() == MAX_NAME)));
    }

    proptest! {
        /// What [`crate::bind::offenders`] promises of one member's cores holds over all members, with
        /// whatever cut each made on its way.
        #[test]
        fn counts_are_right_to_within_the_stated_error(
            streams in vec((1_usize..10, 1_usize..12, vec((0_u32..16, 0_u32..3), 0..200)), 1..4),
        ) {
            let keys = keys(1, None);
            let mut truth: HashMap<(String, String), u64> = HashMap::new();
            let mut views = Vec::new();
            for (capacity, told, stream) in &streams {
                let mut sketch = bind::Offenders::new(*capacity);
                for (number, host) in stream {
                    let name = name(number * number / 16);
                    record(&mut sketch, &keys, &name, *host, 0);
                    *truth.entry((name, source(*host).to_string())).or_default() += 1;
                }
                let told = View::of(&merge([&sketch], *told), Tick(0));
                views.push((views.len().to_string(), travelled(told, &keys, &keys)));
            }
            let whole = merged(&views, Vec::new(), |name| keys.name_keys(name).current, usize::MAX);
            let unlisted: u64 = views.iter().map(|(_, view)| view.unlisted).sum();
            for ((name, source), &times) in &truth {
                match whole.offenders.iter().find(|seen| (&seen.name, &seen.source) == (name, source)) {
                    Some(seen) => {
                        prop_assert!(seen.suppressed - seen.overcount <= times && times <= seen.suppressed);
                    }
                    None => prop_assert!(times <= unlisted),
                }
            }
        }

        #[test]
        fn garbage_does_no_harm(names in "[A-Za-z0-9+/=]{0,80}", cut in 0_usize..400) {
            let keys = keys(1, None);
            let mut sketch = bind::Offenders::new(10);
            record(&mut sketch, &keys, &name(1), 1, 0);
            let mut random = rand_chacha::ChaCha20Rng::seed_from_u64(1);
            let reply = view(&sketch).sealed(&keys.name_seal(), &mut random);
            let opened = Reply { names, ..reply.clone() }.opened(&keys.name_seal());
            prop_assert!(opened.pairs.iter().all(|named| named.name.is_none()));
            let mut octets = query::encoded(&reply);
            octets.truncate(cut.min(octets.len() - 1));
            prop_assert_eq!(query::decoded::<Reply>(&octets), None);
        }
    }
}
