//! One message of every kind, and more of those that have several forms. The golden frames hold the same.

use std::sync::Arc;

use bindproxy::bind::{
    Conclusion, Digest, Fact, FailureFact, NameFacts, NameKey, Origin, Past, Stamp, Success, Verdict,
};
use bindproxy::clock::Tick;
use bindproxy::cluster::message::{
    AskId, Hello, KeyId, KeyIds, Leaf, LeaseAnswer, Message, NodeId, Refusal, Standing, Sums, SyncId,
};
use bindproxy::codec::{build, edit, frame};

pub(crate) const SENT: Tick = Tick(27_993_600_000);

/// A refusal as a directory writes it.
pub(crate) fn verdict(code: u32, diagnostic: &str) -> Arc<Verdict> {
    answer(&build::bind_response(3, code, diagnostic))
}

fn answer(message: &[u8]) -> Arc<Verdict> {
    let peek = frame::peek(message, message.len()).unwrap().unwrap();
    Arc::new(Verdict::from_response(message, &peek).unwrap())
}

/// A refusal with the password policy's control (accountLocked) in front of another one.
pub(crate) fn verdict_with_controls() -> Arc<Verdict> {
    let control = |oid: &[u8], value: &[u8]| {
        let mut control = vec![0x30, (4 + oid.len() + value.len()) as u8, 4, oid.len() as u8];
        control.extend_from_slice(oid);
        control.extend_from_slice(&[4, value.len() as u8]);
        control.extend_from_slice(value);
        control
    };
    let controls = [control(b"1.3.6.1.4.1.42.2.27.8.5.1", &[0x30, 3, 0x81, 1, 1]), control(b"1.2.3", b"x")];
    let operation = [0x61, 7, 0x0A, 1, 49, 4, 0, 4, 0];
    answer(&edit::assemble(7, &operation, controls.iter().map(Vec::as_slice)))
}

fn key(first: u8) -> [u8; 16] {
    std::array::from_fn(|index| first.wrapping_add(index as u8))
}

pub(crate) fn failure(number: u8, verdict: &Arc<Verdict>) -> Fact {
    let at = Tick(SENT.0 - 1_000 * u64::from(number));
    Fact::Failure(FailureFact {
        name: NameKey(key(number)),
        digest: Digest(key(0x40 + number)),
        stamp: Stamp::new(at, Origin::new(0xA_BCDE)),
        expires: Tick(at.0 + 900_000),
        level: number,
        verdict: Arc::clone(verdict),
    })
}

pub(crate) fn name() -> Fact {
    Fact::Name(NameFacts {
        name: NameKey(key(1)),
        successes: [
            Success { digest: Digest(key(2)), at: Past::at(Tick(27_000_000_000)) },
            Success { digest: Digest(key(3)), at: Past::NEVER },
        ],
        purged: Past::at(Tick(0)),
        last_good_ended: Past::NEVER,
        others_purged: Past::at(Tick(26_000_000_000)),
        others_except: Digest(key(4)),
    })
}

fn facts() -> Vec<Fact> {
    let (wrong, locked) = (verdict(49, ""), verdict_with_controls());
    let mut dormant = failure(9, &wrong);
    if let Fact::Failure(failure) = &mut dormant {
        failure.expires = Tick(SENT.0 - 86_400_000);
    }
    vec![
        failure(1, &wrong),
        failure(2, &locked),
        failure(3, &wrong),
        name(),
        Fact::FlushedAll(Past::at(Tick(25_000_000_000))),
        dormant,
        failure(
            5,
            &verdict(53, "80090308: LdapErr: DSID-0C090449, comment: AcceptSecurityContext error, data 775, v4563"),
        ),
    ]
}

fn keys(previous: Option<u64>) -> KeyIds {
    KeyIds { current: KeyId(0x0123_4567_89AB_CDEF), previous: previous.map(KeyId) }
}

fn hello() -> Hello {
    Hello {
        oldest: 1,
        newest: 2,
        features: 0x8000_0000_0000_0001,
        cluster: "mail/corp".to_owned(),
        node: NodeId(0x1122_3344_5566_7788),
        name: "corp-0".to_owned(),
        keys: keys(Some(0xFEDC_BA98_7654_3210)),
        now: SENT,
        standing: Standing::Joining,
        entries: 1_000_000,
        port: 7946,
    }
}

fn leaves() -> Vec<Leaf> {
    vec![
        Leaf { index: 0x0102, fingerprints: vec![1, 0xFFFF_FFFF_FFFF_FFFF] },
        Leaf { index: 0xFFFF, fingerprints: Vec::new() },
    ]
}

/// The golden frame's name and its message.
pub(crate) fn all() -> Vec<(&'static str, Message)> {
    let (sync, ask, cut) = (SyncId(0x0A0B_0C0D), AskId(0x0102_0304_0506_0708), Tick(27_993_000_000));
    let sums = Sums(vec![(0, 7), (255, 0xFFFF_FFFF_FFFF_FFFF)]);
    let answer = |answer| Message::Answer { ask, answer };
    let concluded = |conclusion| Message::Concluded { ask, conclusion };
    vec![
        ("hello", Message::Hello(hello())),
        ("refused", Message::Refused(Refusal::OtherCluster)),
        ("refused-later", Message::Refused(Refusal::Other(0x1234))),
        ("facts", Message::Facts { sent: SENT, facts: facts() }),
        ("facts-none", Message::Facts { sent: SENT, facts: Vec::new() }),
        ("snapshot-request", Message::SnapshotRequest { cursor: 0x1000_0000_0000_0001 }),
        ("snapshot-part", Message::SnapshotPart { sent: SENT, facts: facts(), next: Some(77) }),
        ("snapshot-part-last", Message::SnapshotPart { sent: SENT, facts: vec![name()], next: None }),
        ("compare", Message::Compare { sync, cut, root: 0x0F0E_0D0C_0B0A_0908 }),
        ("same", Message::Same { sync }),
        ("branches", Message::Branches { sync, sums: sums.clone() }),
        ("descend", Message::Descend { sync, cut, branches: vec![0, 7, 255] }),
        ("leaf-sums", Message::LeafSums { sync, branch: 7, sums, last: true }),
        ("leaves", Message::Leaves { sync, cut, leaves: leaves() }),
        ("want", Message::Want { sync, leaves: leaves() }),
        ("ask", Message::Ask { ask, key: KeyId(5), name: NameKey(key(0x10)), digest: Digest(key(0x20)) }),
        ("answer-granted", answer(LeaseAnswer::Granted)),
        ("answer-free", answer(LeaseAnswer::Free)),
        ("answer-waiting", answer(LeaseAnswer::Waiting)),
        ("answer-verdict", answer(LeaseAnswer::Verdict(verdict(49, "no")))),
        ("answer-unable", answer(LeaseAnswer::Unable)),
        ("concluded-verdict", concluded(Conclusion::Verdict(verdict_with_controls()))),
        ("concluded-success", concluded(Conclusion::Success)),
        ("concluded-fault", concluded(Conclusion::Fault)),
        ("withdraw", Message::Withdraw { ask }),
        ("barrier", Message::Barrier { number: 1 }),
        ("passed", Message::Passed { number: 2 }),
        ("query", Message::Query { number: 3, body: b"{\"explain\":\"~1a2b3c4d\"}".to_vec() }),
        ("reply", Message::Reply { number: 3, body: b"{}".to_vec() }),
        ("ping", Message::Ping { now: SENT, number: 4 }),
        ("pong", Message::Pong { now: SENT, number: 4, entries: 12 }),
        ("update", Message::Update { standing: Standing::Leaving, keys: keys(None) }),
    ]
}
