//! Replays the committed fuzz corpus: every input that was ever interesting is read again by the
//! very checks that the fuzzer runs.

#![allow(clippy::unwrap_used, reason = "a check fails by panicking")]

use std::path::Path;

#[expect(unreachable_pub, reason = "public for the fuzz targets")]
#[path = "../fuzz/src/lib.rs"]
mod checks;

#[test]
fn the_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut files = 0;
    for (target, check) in checks::CHECKS {
        let inputs: Vec<_> =
            std::fs::read_dir(corpus.join(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "no corpus for {target}");
        for path in inputs {
            let input = std::fs::read(&path).unwrap();
            // Shown only when the check panics.
            println!("{target}: {}", path.display());
            check(&input);
            // Every truncation is an input of its own: a socket delivers them all.
            for end in 0..input.len().min(256) {
                check(&input[..end]);
            }
            files += 1;
        }
    }
    assert!(files <= 330, "{files} files: minimise the corpus (cargo fuzz cmin) before committing it");
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names = |folder: &str| {
        let mut names: Vec<String> = std::fs::read_dir(root.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let mut known: Vec<_> = checks::CHECKS.iter().map(|(name, _)| (*name).to_owned()).collect();
    known.sort();
    assert_eq!(names("fuzz_targets"), known);
    assert_eq!(names("corpus"), known);
}
