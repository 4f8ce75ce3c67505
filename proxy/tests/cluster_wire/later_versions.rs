//! What a later version may do without this one closing the connection, and what it may not.

use std::sync::Arc;

use bindproxy::bind::Fact;
use bindproxy::cluster::message::Message;
use bindproxy::cluster::wire::{self, DecodeError, LENGTH_OCTETS};

use crate::samples;

fn frame(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    wire::encode(message, &mut out).unwrap();
    out[LENGTH_OCTETS..].to_vec()
}

/// Facts as another version writes them: no verdicts but one, then these runs.
fn facts(runs: &[(u8, u16, &[Vec<u8>])]) -> Result<Message, DecodeError> {
    let verdict = samples::verdict(49, "");
    let mut frame = [&[0x03, 0][..], &samples::SENT.0.to_le_bytes(), &[1, 0]].concat();
    frame.extend_from_slice(&(verdict.len() as u16).to_le_bytes());
    frame.extend_from_slice(verdict.octets());
    frame.extend_from_slice(&(runs.len() as u16).to_le_bytes());
    for (kind, size, records) in runs {
        frame.push(*kind);
        frame.extend_from_slice(&size.to_le_bytes());
        frame.extend_from_slice(&(records.len() as u16).to_le_bytes());
        frame.extend(records.iter().flatten());
    }
    wire::decode(&frame)
}

/// One fact, and its record as this version writes it.
fn one(fact: Fact, size: usize) -> (Fact, Vec<u8>) {
    let frame = frame(&Message::Facts { sent: samples::SENT, facts: vec![fact.clone()] });
    (fact, frame[frame.len() - size..].to_vec())
}

fn appended(record: &[u8]) -> Vec<u8> {
    [record, &[0xEE; 7]].concat()
}

#[test]
fn records_with_more_fields_are_read_as_far_as_they_are_known() {
    let verdict = samples::verdict(49, "");
    let (first, first_record) = one(samples::failure(1, &verdict), 51);
    let (second, second_record) = one(samples::failure(2, &Arc::clone(&verdict)), 51);
    let (name, name_record) = one(samples::name(), 104);
    let read = facts(&[
        (1, 58, &[appended(&first_record), appended(&second_record)]),
        (2, 111, &[appended(&name_record)]),
        (3, 15, &[appended(&[1, 0, 0, 0, 0, 0, 0, 0])]),
    ]);
    let flushed = Fact::FlushedAll(bindproxy::bind::Past::at(bindproxy::clock::Tick(0)));
    assert_eq!(read, Ok(Message::Facts { sent: samples::SENT, facts: vec![first, second, name, flushed] }));
}

#[test]
fn records_that_lack_a_field_are_refused() {
    for (kind, needed) in [(1, 51), (2, 104), (3, 8)] {
        let short = vec![0; needed - 1];
        let size = short.len();
        assert_eq!(facts(&[(kind, size as u16, &[short])]), Err(DecodeError::ShortRecord { size, needed }));
    }
}

#[test]
fn facts_of_an_optional_kind_are_skipped_and_others_are_not() {
    let (fact, record) = one(samples::failure(1, &samples::verdict(49, "")), 51);
    let read = facts(&[(0x84, 3, &[vec![1, 2, 3], vec![4, 5, 6]]), (1, 51, &[record])]);
    assert_eq!(read, Ok(Message::Facts { sent: samples::SENT, facts: vec![fact] }));
    assert_eq!(facts(&[(0x04, 3, &[vec![1, 2, 3]])]), Err(DecodeError::Value("a kind of facts")));
}

#[test]
fn whatever_stands_behind_a_message_is_skipped() {
    for (name, message) in samples::all() {
        for more in [&[0][..], &[0xFF; 300]] {
            let longer = [&frame(&message), more].concat();
            assert_eq!(wire::decode(&longer).as_ref(), Ok(&message), "{name}");
        }
    }
}

#[test]
fn flags_mean_nothing_yet() {
    for (name, message) in samples::all() {
        let mut frame = frame(&message);
        assert_eq!(std::mem::replace(&mut frame[1], 0xFF), 0, "{name}");
        assert_eq!(wire::decode(&frame).as_ref(), Ok(&message), "{name}");
    }
}

#[test]
fn kinds_that_may_be_skipped_have_their_highest_bit_set() {
    assert_eq!(wire::decode(&[0xC2, 0, 1, 2, 3]), Ok(Message::Unknown(0xC2)));
    assert_eq!(wire::decode(&[0x80, 0]), Ok(Message::Unknown(0x80)));
    for kind in (0x18..0x80).chain([0]) {
        assert_eq!(wire::decode(&[kind, 0]), Err(DecodeError::Kind(kind)));
    }
    let mut out = vec![1];
    assert_eq!(wire::encode(&Message::Unknown(0xC2), &mut out), Err(wire::EncodeError::Unknown));
    assert_eq!(out, [1]);
}
