//! The committed frames: what members of a released version write. They are read by every later one.
//!
//! A file is never changed once it has been released. A message that gets a field behind those it has keeps
//! its old file, which must still be read, and gets a second sample under another name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bindproxy::cluster::message::Message;
use bindproxy::cluster::wire;

use crate::samples;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cluster-v1")
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    wire::encode(message, &mut out).unwrap();
    out
}

/// Frames of new samples are written beside the others, once.
#[test]
fn every_frame_ever_written_is_still_read() {
    let mut missing = Vec::new();
    for (name, message) in samples::all() {
        let path = folder().join(format!("{name}.bin"));
        let Ok(frame) = fs::read(&path) else {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&path, encoded(&message)).unwrap();
            missing.push(name);
            continue;
        };
        assert_eq!(wire::frame_length(&frame), Ok(Some(frame.len())), "{name}");
        assert_eq!(wire::decode(&frame[wire::LENGTH_OCTETS..]).as_ref(), Ok(&message), "{name}");
    }
    assert!(
        missing.is_empty(),
        "{missing:?}.bin in {} were missing and have been written; look at them, commit them, and run \
         `cargo test -p bindproxy --test cluster_wire golden` again",
        folder().display()
    );
}

#[test]
fn what_is_written_now_is_what_was_written_then() {
    for (name, message) in samples::all() {
        let golden = fs::read(folder().join(format!("{name}.bin"))).unwrap_or_default();
        assert!(
            golden == encoded(&message),
            "{name}: members of the released version read something else than this one writes. If the change is meant \
             and {name}.bin was never released, delete the file and run this test again; if it was, keep it"
        );
    }
}

#[test]
fn every_kind_and_only_what_is_known_has_a_frame() {
    let written: BTreeSet<u8> = samples::all().iter().map(|(_, message)| encoded(message)[4]).collect();
    // Without a gap: a kind of which there is no sample would leave one.
    assert_eq!(written, (0x01..=0x17).collect());
    assert_eq!(wire::decode(&[0x18, 0]), Err(wire::DecodeError::Kind(0x18)), "a new kind needs a sample");
    let named: BTreeSet<String> = samples::all().iter().map(|(name, _)| format!("{name}.bin")).collect();
    let found: BTreeSet<String> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, named);
}
