//! Properties: nothing that somebody types makes the loader panic, and what it accepts survives
//! being written and read again.

use bindproxy::config::{self, Config, ConfigHash, Problem, Problems};
use proptest::prelude::*;
use serde_json::Value;

use crate::folder::{FULL, Folder};

/// The folder is only read by these tests, so that all cases share one.
fn folder() -> &'static Folder {
    static FOLDER: std::sync::OnceLock<Folder> = std::sync::OnceLock::new();
    FOLDER.get_or_init(Folder::furnished)
}

/// Loads `text` and checks what must hold whatever it is; returns its problems.
fn load_anything(text: &str) -> Result<Option<Problems>, TestCaseError> {
    match folder().load(text) {
        Ok(loaded) => {
            prop_assert_eq!(loaded.hash.as_str().len(), 16);
            prop_assert_eq!(loaded.material.server_tls.is_some(), loaded.config.server_tls.is_some());
            Ok(None)
        }
        Err(problems) => {
            prop_assert!(!problems.0.is_empty());
            for Problem { path: _, cause, remedy } in &problems.0 {
                prop_assert!(!cause.is_empty() && !remedy.is_empty(), "{:?}", problems);
                prop_assert!(!cause.contains('\n') && !remedy.contains('\n'), "one line each: {:?}", problems);
            }
            Ok(Some(problems))
        }
    }
}

/// Pieces that mean something to YAML or to the configuration.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "\n",
            "- ",
            ": ",
            "{",
            "}",
            "[",
            "]",
            "&a ",
            "*a",
            "!!str ",
            "<<: ",
            "---\n",
            "...\n",
            "\"",
            "'",
            "|\n",
            ">\n",
            "#",
            "?",
            "\t",
            "~",
            "null",
            "true",
            "yes",
            "0660",
            "1e400",
            ".nan",
            "-1",
            "99999999999999999999999",
            "listeners",
            "upstreams",
            "name",
            "tls",
            "cache",
            "ttlSeconds",
            "  ",
            "\u{feff}",
            "\u{0}",
            "é",
            "%YAML 1.2\n",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z0-9:/.,-]{0,8}",
    ]
}

/// A change of a text at some place.
fn mutated(text: &str, place: prop::sample::Index, removed: usize, inserted: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = place.index(characters.len());
    let after = (at + removed).min(characters.len());
    characters[..at].iter().copied().chain(inserted.chars()).chain(characters[after..].iter().copied()).collect()
}

/// The places of all nodes of a JSON tree, as pointers.
fn pointers(value: &Value, here: String, all: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                pointers(value, format!("{here}/{name}"), all);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, format!("{here}/{index}"), all);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    if !here.is_empty() {
        all.push(here);
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u32..100).prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no infinity", |number| number.is_finite()).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["", "LDAPS", "TLSv1.3", "127.0.0.1:1", "ca.crt", "/", "10.0.0.0/8"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-zA-Z]{0,8}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn full() -> Value {
    serde_json::to_value(folder().load(FULL).unwrap().config).unwrap()
}

/// Flow YAML with the fields of every mapping in an order that `seed` decides, and comments.
fn shuffled(value: &Value, seed: u64) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| {
                name.bytes().fold(seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
            });
            let fields: Vec<String> = fields
                .into_iter()
                .map(|(name, value)| format!("{name}: {}", shuffled(value, seed.rotate_left(7))))
                .collect();
            format!("{{ # a comment\n  {}}}", fields.join(",\n  "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|item| shuffled(item, seed)).collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        load_anything(&String::from_utf8_lossy(&octets))?;
    }

    #[test]
    fn random_yaml_never_panics(pieces in prop::collection::vec(piece(), 0..60)) {
        load_anything(&pieces.concat())?;
    }

    #[test]
    fn any_mutation_of_a_good_file_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..30, piece()), 1..4),
    ) {
        let mut text = FULL.to_owned();
        for (place, removed, inserted) in changes {
            text = mutated(&text, place, removed, &inserted);
        }
        load_anything(&text)?;
    }

    /// Whatever one value is replaced by, the shape check finds it before serde would: a problem
    /// without a path would be serde's.
    #[test]
    fn any_wrong_value_is_reported_with_its_path(place in any::<prop::sample::Index>(), value in any_value()) {
        let mut tree = full();
        let mut places = Vec::new();
        pointers(&tree, String::new(), &mut places);
        *tree.pointer_mut(place.get(&places).as_str()).unwrap() = value;
        let text = serde_saphyr::to_string(&tree).unwrap();
        if let Some(problems) = load_anything(&text)? {
            prop_assert!(problems.0.iter().all(|problem| !problem.path.is_empty()), "{}\n{}", problems, text);
        }
    }

    #[test]
    fn the_hash_does_not_see_order_or_comments(seed in any::<u64>()) {
        let text = shuffled(&full(), seed);
        let loaded = folder().load(&text).unwrap();
        prop_assert_eq!(loaded.hash, ConfigHash::of(&serde_json::from_value(full()).unwrap()));
    }

    /// Texts that YAML could take for something else come back as they were.
    #[test]
    fn written_and_read_again(
        diagnostic in prop_oneof!["\\PC{1,20}", prop::sample::select(vec!["yes", "null", "~", "0x10", "1e3", "- a", "a: b", "#", " x ", "'", "\"", "[", "true", "0660"]).prop_map(str::to_owned)],
        code in 1_u32..14,
        ttl in 10_u32..86_400,
        weight in 0_u32..1000,
        redact in any::<bool>(),
    ) {
        let mut config: Config = serde_json::from_value(full()).unwrap();
        config.cache.verdicts.rules[0].diagnostic_contains = Some(diagnostic);
        config.cache.verdicts.rules[0].code = code;
        config.cache.ttl_seconds = config::Seconds(ttl);
        config.upstreams[1].weight = weight;
        config.logging.redact_names = redact;
        let text = serde_saphyr::to_string(&config).unwrap();
        let loaded = folder().load(&text).map_err(|problems| TestCaseError::fail(format!("{problems}\n{text}")))?;
        prop_assert_eq!(&loaded.config, &config, "{}", text);
        prop_assert_eq!(loaded.hash, ConfigHash::of(&config));
    }
}

const SMALL: &str = "listeners: [{name: a, address: \"127.0.0.1:3389\"}]\nupstreams: [{name: b, host: dc1.example, tls: {mode: LDAPS, caFile: ca.crt}}]\n";

fn hash(text: &str) -> ConfigHash {
    folder().load(text).unwrap().hash
}

#[test]
fn the_hash_does_not_see_defaults_that_are_written_out() {
    let written = "\
# every default
upstreams:
- tls: {caFile: ca.crt, minVersion: TLSv1.2, mode: LDAPS, serverName: dc1.example}
  weight: 1
  priority: 0
  port: 636
  insecureAllowCleartext: false
  host: 'dc1.example'
  name: b
listeners:
- address: 127.0.0.1:3389
  tls: Disabled
  name: a
serverTLS: ~
cache: {ttlSeconds: 900, maxTTLSeconds: 86400, verdicts: {preset: auto, rules: []}}
drain:
limits: {}
";
    assert_eq!(hash(SMALL), hash(written));
}

#[test]
fn the_hash_sees_every_change_but_not_the_folder() {
    let changes = [
        SMALL.to_owned(),
        SMALL.replace("3389", "3390"),
        SMALL.replace("name: b", "name: c"),
        SMALL.replace("mode: LDAPS", "mode: StartTLS"),
        SMALL.replace("ca.crt", "./ca.crt"),
        format!("{SMALL}cache: {{ttlSeconds: 901}}\n"),
        format!("{SMALL}logging: {{level: debug}}\n"),
    ];
    let hashes: std::collections::BTreeSet<String> = changes.iter().map(|text| hash(text).to_string()).collect();
    assert_eq!(hashes.len(), changes.len());
    let elsewhere = Folder::new();
    assert_eq!(hash(SMALL), elsewhere.load(SMALL).unwrap().hash);
}

/// An operator and a pod of different releases compare this text, so it must not drift unseen.
#[test]
fn the_hash_of_a_known_configuration_is_pinned() {
    assert_eq!(hash(SMALL).as_str(), "88fc25d8f3a1dad1");
}
