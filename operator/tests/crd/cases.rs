//! The BindProxies below `tests/bindproxies`: objects with comments that say what becomes of them.
//!
//! `# refused: WORDS` is a part of the refusal, `# by: schema` says that no CEL rule is needed for it, and
//! `# before:` that the file has two documents: an object, and the change of it that the case is about.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// One file.
pub(crate) struct Case {
    /// Its folder and name.
    pub(crate) name: String,
    /// Parts of the refusal.
    pub(crate) words: Vec<String>,
    /// Whether types and bounds refuse it, before any rule is asked.
    pub(crate) by_schema: bool,
    /// The object that exists already.
    pub(crate) before: Option<Value>,
    /// The object that is applied.
    pub(crate) object: Value,
}

/// The cases of one folder: `accepted` or `refused`.
pub(crate) fn cases(folder: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/bindproxies").join(folder);
    let mut files: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files.iter().map(|file| case(folder, file)).collect()
}

fn case(folder: &str, file: &Path) -> Case {
    let name = format!("{folder}/{}", file.file_name().unwrap().to_string_lossy());
    let text = fs::read_to_string(file).unwrap();
    let mut documents: Vec<Value> = text
        .split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{name}: {error}")))
        .collect();
    let object = documents.pop().unwrap();
    let before = documents.pop();
    let changes = text.lines().any(|line| line.starts_with("# before:"));
    assert!(documents.is_empty() && before.is_some() == changes, "{name}: two documents and `# before:` go together");
    Case {
        words: text.lines().filter_map(|line| line.strip_prefix("# refused: ")).map(str::to_owned).collect(),
        by_schema: text.lines().any(|line| line == "# by: schema"),
        name,
        before,
        object,
    }
}
