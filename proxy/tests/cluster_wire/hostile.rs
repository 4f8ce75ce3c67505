//! Octets that no member writes.

use bindproxy::cluster::message::Message;
use bindproxy::cluster::wire::{self, DecodeError, LENGTH_OCTETS, MAX_FRAME_OCTETS, MAX_QUERY_OCTETS};

use crate::samples;

fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let frame = |message| {
        let mut out = Vec::new();
        wire::encode(&message, &mut out).unwrap();
        out[LENGTH_OCTETS..].to_vec()
    };
    samples::all().into_iter().map(|(name, message)| (name, frame(message))).collect()
}

/// Reads `frame`; nothing that comes out of it holds more than the frame has octets for.
fn read(frame: &[u8]) -> Result<Message, DecodeError> {
    let message = wire::decode(frame)?;
    match &message {
        Message::Facts { facts, .. } | Message::SnapshotPart { facts, .. } => {
            assert!(facts.len() * 8 <= frame.len());
            assert!(facts.capacity() * 8 <= 2 * frame.len().max(64), "{} for {}", facts.capacity(), frame.len());
        }
        Message::Leaves { leaves, .. } | Message::Want { leaves, .. } => {
            let fingerprints: usize = leaves.iter().map(|leaf| leaf.fingerprints.capacity()).sum();
            assert!(leaves.len() * 6 + fingerprints * 8 <= 2 * frame.len().max(64));
        }
        Message::Query { body, .. } | Message::Reply { body, .. } => assert!(body.capacity() <= frame.len()),
        _ => {}
    }
    Ok(message)
}

#[test]
fn no_truncation_is_a_message() {
    for (name, frame) in frames() {
        for end in 0..frame.len() {
            let error = read(&frame[..end]).expect_err(name);
            assert!(matches!(error, DecodeError::Truncated | DecodeError::Length(0 | 1)), "{name}: {error}");
        }
    }
}

#[test]
fn every_flipped_bit_is_an_error_or_a_message() {
    let mut messages = 0;
    for (_, frame) in frames() {
        for bit in 0..frame.len() * 8 {
            let mut frame = frame.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            let Ok(message) = read(&frame) else { continue };
            messages += 1;
            let mut out = Vec::new();
            if matches!(message, Message::Unknown(_)) {
                continue;
            }
            // Whatever was read can be written, and means the same.
            wire::encode(&message, &mut out).unwrap();
            assert_eq!(wire::decode(&out[LENGTH_OCTETS..]).as_ref(), Ok(&message));
        }
    }
    assert!(messages > 1_000, "{messages}: most flips change a value and nothing else");
}

#[test]
fn lengths_are_judged_before_anything_is_read() {
    assert_eq!(wire::frame_length(&[]), Ok(None));
    assert_eq!(wire::frame_length(&[2, 0, 0]), Ok(None));
    assert_eq!(wire::frame_length(&[2, 0, 0, 0]), Ok(Some(6)));
    assert_eq!(wire::frame_length(&[0, 0, 4, 0]), Ok(Some(MAX_FRAME_OCTETS + 4)));
    for (length, octets) in
        [(0, [0; 4]), (1, [1, 0, 0, 0]), (MAX_FRAME_OCTETS + 1, [1, 0, 4, 0]), (0xFFFF_FFFF, [255; 4])]
    {
        assert_eq!(wire::frame_length(&octets), Err(DecodeError::Length(length)));
    }
    assert_eq!(wire::decode(&[]), Err(DecodeError::Length(0)));
    assert_eq!(wire::decode(&vec![0x81; MAX_FRAME_OCTETS + 1]), Err(DecodeError::Length(MAX_FRAME_OCTETS + 1)));
}

#[test]
fn counts_that_promise_more_than_there_is() {
    let sent = [0; 8];
    let facts = |rest: &[u8]| wire::decode(&[&[0x03, 0][..], &sent, rest].concat());
    // 65,535 verdicts; 65,535 runs; 65,535 records of 65,535 octets.
    assert_eq!(facts(&[255, 255]), Err(DecodeError::Truncated));
    assert_eq!(facts(&[0, 0, 255, 255]), Err(DecodeError::Truncated));
    assert_eq!(facts(&[0, 0, 1, 0, 1, 255, 255, 255, 255]), Err(DecodeError::Truncated));
    // A failure without a verdict to refer to.
    let record = [0; 51];
    let one = [&[0, 0, 1, 0, 1, 51, 0, 1, 0][..], &record].concat();
    assert_eq!(facts(&one), Err(DecodeError::Value("the number of a verdict")));
    let query = [&[0x13, 0][..], &[0; 8], &u32::MAX.to_le_bytes()].concat();
    assert_eq!(wire::decode(&query), Err(DecodeError::Value("a question or answer of such a length")));
    let mut longest = [&[0x13, 0][..], &[0; 8], &(MAX_QUERY_OCTETS as u32).to_le_bytes()].concat();
    assert_eq!(wire::decode(&longest), Err(DecodeError::Truncated));
    longest.resize(longest.len() + MAX_QUERY_OCTETS, b' ');
    assert_eq!(wire::decode(&longest), Ok(Message::Query { number: 0, body: vec![b' '; MAX_QUERY_OCTETS] }));
    let sums = [&[0x08, 0][..], &[0; 4], &9_u16.to_le_bytes(), &257_u16.to_le_bytes(), &[0; 9 * 257]].concat();
    assert_eq!(wire::decode(&sums), Err(DecodeError::Value("a number of sums")));
}

#[test]
fn a_member_gone_mad_lets_nobody_in_and_lives_end() {
    let lease = |verdict: &[u8]| {
        let length = (verdict.len() as u16).to_le_bytes();
        wire::decode(&[&[0x0E, 0][..], &[0; 8], &[3], &length, verdict].concat())
    };
    assert!(lease(&[0x61, 7, 0x0A, 1, 49, 4, 0, 4, 0]).is_ok());
    assert!(matches!(lease(&[0x61, 7, 0x0A, 1, 0, 4, 0, 4, 0]), Err(DecodeError::Verdict(_))), "success");
    assert!(matches!(lease(&[0x61, 7, 0x0A, 1, 14, 4, 0, 4, 0]), Err(DecodeError::Verdict(_))), "goes on");
    assert!(matches!(lease(b"hello"), Err(DecodeError::Verdict(_))));
    assert!(matches!(lease(&[]), Err(DecodeError::Verdict(_))));

    let batch = Message::Facts { sent: samples::SENT, facts: vec![samples::failure(1, &samples::verdict(49, ""))] };
    let mut frame = Vec::new();
    wire::encode(&batch, &mut frame).unwrap();
    let life = frame.len() - 51 + 40;
    for (remaining, expected) in [(i64::MAX, (1 << 44) - 1), (i64::MIN, 0), (-1, samples::SENT.0 - 1)] {
        frame[life..life + 8].copy_from_slice(&remaining.to_le_bytes());
        let Ok(Message::Facts { facts, .. }) = wire::decode(&frame[LENGTH_OCTETS..]) else { panic!("{remaining}") };
        let [bindproxy::bind::Fact::Failure(failure)] = facts.as_slice() else { panic!("{facts:?}") };
        assert_eq!(failure.expires.0, expected, "{remaining}");
    }
}

#[test]
fn nothing_that_goes_wrong_quotes_a_digest() {
    for (name, message) in samples::all() {
        // The keys of the samples count upwards: 40, 41, 42 in hexadecimal or 64, 65, 66 in decimal.
        let printed = format!("{message:?}");
        for run in ["404142", "41424344", "64, 65, 66", "65, 66, 67", "20212223", "32, 33, 34"] {
            assert!(!printed.contains(run), "{name}: {printed}");
        }
    }
}
