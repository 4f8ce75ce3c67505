//! Whatever is written is read as it was, and whatever is cut fits.

use std::sync::Arc;

use bindproxy::bind::{
    Conclusion, Digest, Fact, FailureFact, NameFacts, NameKey, Past, Stamp, Success, Verdict, verdict,
};
use bindproxy::clock::Tick;
use bindproxy::cluster::message::{
    AskId, Hello, KeyId, KeyIds, Leaf, LeaseAnswer, Message, NodeId, Refusal, Standing, Sums, SyncId,
};
use bindproxy::cluster::wire::{self, EncodeError, LENGTH_OCTETS, MAX_QUERY_OCTETS, PUSH_OCTETS, SNAPSHOT_OCTETS};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::samples;

/// What a stamp has room for.
const LATEST: u64 = (1 << 44) - 1;

fn tick() -> impl Strategy<Value = Tick> {
    prop_oneof![0..=LATEST, Just(0), Just(LATEST)].prop_map(Tick)
}

fn past() -> impl Strategy<Value = Past> {
    prop_oneof![Just(Past::NEVER), tick().prop_map(Past::at)]
}

fn name_key() -> impl Strategy<Value = NameKey> {
    any::<[u8; 16]>().prop_map(NameKey)
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 16]>().prop_map(Digest)
}

/// Few enough that facts share them, in part through one allocation.
fn any_verdict() -> impl Strategy<Value = Arc<Verdict>> {
    let shared: Vec<_> = (0..6).map(|number| samples::verdict(49, &"x".repeat(number))).collect();
    prop_oneof![
        4 => prop::sample::select(shared),
        2 => (1_u32..14, "[a-z]{0,2}").prop_map(|(code, text)| samples::verdict(code, &text)),
        1 => Just(samples::verdict_with_controls()),
        1 => (3_900_usize..4_080).prop_map(|length| samples::verdict(49, &"y".repeat(length))),
    ]
}

fn failure() -> impl Strategy<Value = Fact> {
    (name_key(), digest(), any::<u64>(), tick(), any::<u8>(), any_verdict()).prop_map(
        |(name, digest, stamp, expires, level, verdict)| {
            let stamp = Stamp::from_bits(stamp);
            Fact::Failure(FailureFact { name, digest, stamp, expires, level, verdict })
        },
    )
}

fn name_facts() -> impl Strategy<Value = Fact> {
    let success = || (digest(), past()).prop_map(|(digest, at)| Success { digest, at });
    (name_key(), [success(), success()], past(), past(), past(), digest()).prop_map(
        |(name, successes, purged, last_good_ended, others_purged, others_except)| {
            Fact::Name(NameFacts { name, successes, purged, last_good_ended, others_purged, others_except })
        },
    )
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    vec(prop_oneof![4 => failure(), 2 => name_facts(), 1 => past().prop_map(Fact::FlushedAll)], 0..40)
}

fn keys() -> impl Strategy<Value = KeyIds> {
    (any::<u64>(), option::of(any::<u64>()))
        .prop_map(|(current, previous)| KeyIds { current: KeyId(current), previous: previous.map(KeyId) })
}

fn standing() -> impl Strategy<Value = Standing> {
    prop::sample::select(vec![Standing::Joining, Standing::Joined, Standing::Leaving])
}

fn hello() -> impl Strategy<Value = Message> {
    // A text of at most 255 octets.
    let text = || "\\PC{0,63}";
    let protocol = (any::<u16>(), any::<u16>(), any::<u64>(), any::<u16>());
    let member = (text(), any::<u64>(), text(), keys());
    (protocol, member, tick(), standing(), any::<u32>()).prop_map(
        |((oldest, newest, features, port), (cluster, node, name, keys), now, standing, entries)| {
            let node = NodeId(node);
            Message::Hello(Hello { oldest, newest, features, cluster, node, name, keys, now, standing, entries, port })
        },
    )
}

fn sums() -> impl Strategy<Value = Sums> {
    vec(any::<(u8, u64)>(), 0..=256).prop_map(Sums)
}

fn leaves() -> impl Strategy<Value = Vec<Leaf>> {
    let leaf = (any::<u16>(), vec(any::<u64>(), 0..40)).prop_map(|(index, fingerprints)| Leaf { index, fingerprints });
    vec(leaf, 0..40)
}

fn sync() -> impl Strategy<Value = SyncId> {
    any::<u32>().prop_map(SyncId)
}

fn ask() -> impl Strategy<Value = AskId> {
    any::<u64>().prop_map(AskId)
}

fn refusal() -> impl Strategy<Value = Refusal> {
    let known = vec![Refusal::OtherCluster, Refusal::Protocol, Refusal::Myself, Refusal::TooMany];
    prop_oneof![prop::sample::select(known), (5..=u16::MAX).prop_map(Refusal::Other)]
}

fn answer() -> impl Strategy<Value = LeaseAnswer> {
    prop_oneof![
        Just(LeaseAnswer::Granted),
        Just(LeaseAnswer::Free),
        Just(LeaseAnswer::Waiting),
        any_verdict().prop_map(LeaseAnswer::Verdict),
        Just(LeaseAnswer::Unable),
    ]
}

fn conclusion() -> impl Strategy<Value = Conclusion> {
    prop_oneof![any_verdict().prop_map(Conclusion::Verdict), Just(Conclusion::Success), Just(Conclusion::Fault)]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![9 => vec(any::<u8>(), 0..100), 1 => Just(vec![b'x'; MAX_QUERY_OCTETS])]
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        hello(),
        refusal().prop_map(Message::Refused),
        (tick(), facts()).prop_map(|(sent, facts)| Message::Facts { sent, facts }),
        any::<u64>().prop_map(|cursor| Message::SnapshotRequest { cursor }),
        (tick(), facts(), option::of(any::<u64>())).prop_map(|(sent, facts, next)| Message::SnapshotPart {
            sent,
            facts,
            next
        }),
        (sync(), tick(), any::<u64>()).prop_map(|(sync, cut, root)| Message::Compare { sync, cut, root }),
        sync().prop_map(|sync| Message::Same { sync }),
        (sync(), sums()).prop_map(|(sync, sums)| Message::Branches { sync, sums }),
        (sync(), tick(), vec(any::<u8>(), 0..=256)).prop_map(|(sync, cut, branches)| Message::Descend {
            sync,
            cut,
            branches
        }),
        (sync(), any::<u8>(), sums(), any::<bool>()).prop_map(|(sync, branch, sums, last)| Message::LeafSums {
            sync,
            branch,
            sums,
            last
        }),
        (sync(), tick(), leaves()).prop_map(|(sync, cut, leaves)| Message::Leaves { sync, cut, leaves }),
        (sync(), leaves()).prop_map(|(sync, leaves)| Message::Want { sync, leaves }),
        (ask(), any::<u64>(), name_key(), digest()).prop_map(|(ask, key, name, digest)| Message::Ask {
            ask,
            key: KeyId(key),
            name,
            digest
        }),
        (ask(), answer()).prop_map(|(ask, answer)| Message::Answer { ask, answer }),
        (ask(), conclusion()).prop_map(|(ask, conclusion)| Message::Concluded { ask, conclusion }),
        ask().prop_map(|ask| Message::Withdraw { ask }),
        any::<u64>().prop_map(|number| Message::Barrier { number }),
        any::<u64>().prop_map(|number| Message::Passed { number }),
        (any::<u64>(), body()).prop_map(|(number, body)| Message::Query { number, body }),
        (any::<u64>(), body()).prop_map(|(number, body)| Message::Reply { number, body }),
        (tick(), any::<u64>()).prop_map(|(now, number)| Message::Ping { now, number }),
        (tick(), any::<u64>(), any::<u32>()).prop_map(|(now, number, entries)| Message::Pong { now, number, entries }),
        (standing(), keys()).prop_map(|(standing, keys)| Message::Update { standing, keys }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_message_is_read_as_it_was_written(message in message(), before in vec(any::<u8>(), 0..4)) {
        let mut out = before.clone();
        wire::encode(&message, &mut out).unwrap();
        prop_assert_eq!(&out[..before.len()], &before[..]);
        let frame = &out[before.len()..];
        prop_assert_eq!(wire::frame_length(frame), Ok(Some(frame.len())));
        prop_assert_eq!(wire::decode(&frame[LENGTH_OCTETS..]), Ok(message));
    }

    #[test]
    fn any_octets_are_an_error_or_a_message(kind in 0_u8..0x20, octets in vec(any::<u8>(), 0..300)) {
        let frame = [&[kind, 0][..], &octets].concat();
        if let Ok(message) = wire::decode(&frame) {
            let mut out = Vec::new();
            wire::encode(&message, &mut out).unwrap();
            prop_assert_eq!(wire::decode(&out[LENGTH_OCTETS..]), Ok(message));
        }
    }

    /// As many as fit and not one more, whatever the facts are.
    #[test]
    fn facts_are_cut_where_the_frame_ends(facts in vec(facts(), 0..6), budget in 5_000_usize..80_000) {
        let facts = facts.concat();
        let fitting = wire::facts_that_fit(&facts, budget);
        let length = |count: usize| {
            let mut out = Vec::new();
            let next = Some(1);
            let part = Message::SnapshotPart { sent: Tick(0), facts: facts[..count].to_vec(), next };
            wire::encode(&part, &mut out).map(|()| out.len())
        };
        prop_assert!(length(fitting).unwrap() <= budget);
        if fitting < facts.len() {
            prop_assert!(length(fitting + 1).unwrap() > budget);
        }
    }
}

#[test]
fn a_great_many_facts_are_cut_into_frames_that_can_be_written() {
    let verdict = samples::verdict(49, "wrong");
    let facts: Vec<Fact> = (0..20_000).map(|number| samples::failure((number % 100) as u8, &verdict)).collect();
    for budget in [PUSH_OCTETS, SNAPSHOT_OCTETS] {
        let (mut rest, mut read) = (&facts[..], Vec::new());
        while !rest.is_empty() {
            let (part, others) = rest.split_at(wire::facts_that_fit(rest, budget));
            let mut out = Vec::new();
            wire::encode(&Message::Facts { sent: samples::SENT, facts: part.to_vec() }, &mut out).unwrap();
            assert!(out.len() <= budget && (others.is_empty() || out.len() > budget - 100), "{}", out.len());
            let Ok(Message::Facts { facts, .. }) = wire::decode(&out[LENGTH_OCTETS..]) else { panic!() };
            read.extend(facts);
            rest = others;
        }
        assert!(read == facts, "{budget}");
    }
    let mut out = Vec::new();
    let too_many = Message::Facts { sent: samples::SENT, facts };
    assert_eq!(wire::encode(&too_many, &mut out), Err(EncodeError::TooLong));
    assert!(out.is_empty(), "nothing is left of what did not fit");
}

#[test]
fn leaves_are_cut_where_the_frame_ends() {
    let leaves: Vec<Leaf> =
        (0..40_000).map(|index| Leaf { index: index as u16, fingerprints: vec![7; index % 20] }).collect();
    let length = |leaves: &[Leaf]| {
        let mut out = Vec::new();
        let message = Message::Leaves { sync: SyncId(1), cut: Tick(1), leaves: leaves.to_vec() };
        wire::encode(&message, &mut out).map(|()| out.len())
    };
    let fitting = wire::leaves_that_fit(&leaves, SNAPSHOT_OCTETS);
    assert!(length(&leaves[..fitting]).unwrap() <= SNAPSHOT_OCTETS);
    assert!(length(&leaves[..fitting + 1]).map_or(true, |length| length > SNAPSHOT_OCTETS));
    assert_eq!(wire::leaves_that_fit(&[], SNAPSHOT_OCTETS), 0);
    let huge = [Leaf { index: 1, fingerprints: vec![7; 40_000] }];
    assert_eq!(wire::leaves_that_fit(&huge, SNAPSHOT_OCTETS), 0);
    assert_eq!(length(&huge), Err(EncodeError::TooLong));
}

#[test]
fn what_is_too_long_to_travel() {
    let long = samples::verdict(49, &"z".repeat(verdict::MAX_OCTETS));
    let encoded = |message: &Message| {
        let mut out = Vec::new();
        wire::encode(message, &mut out).map(|()| wire::decode(&out[LENGTH_OCTETS..]).unwrap())
    };
    let ask = AskId(1);
    let facts = Message::Facts { sent: samples::SENT, facts: vec![samples::failure(1, &long)] };
    assert_eq!(encoded(&facts), Err(EncodeError::Verdict));
    let concluded = Message::Concluded { ask, conclusion: Conclusion::Verdict(Arc::clone(&long)) };
    assert_eq!(encoded(&concluded), Ok(Message::Concluded { ask, conclusion: Conclusion::Fault }));
    let answer = Message::Answer { ask, answer: LeaseAnswer::Verdict(long) };
    assert_eq!(encoded(&answer), Ok(Message::Answer { ask, answer: LeaseAnswer::Free }));
    let body = vec![0; MAX_QUERY_OCTETS + 1];
    assert_eq!(encoded(&Message::Query { number: 1, body }), Err(EncodeError::TooLong));
    let Some((_, Message::Hello(mut hello))) = samples::all().into_iter().next() else {
        panic!("the first is a hello")
    };
    hello.name = "n".repeat(255);
    assert!(encoded(&Message::Hello(hello.clone())).is_ok());
    hello.name.push('n');
    assert_eq!(encoded(&Message::Hello(hello)), Err(EncodeError::LongText));
}
