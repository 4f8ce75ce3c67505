//! Folding of names: what is one name, what stays apart, and that nothing else ever merges.

use bindproxy::bind::name::FoldedName;
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

fn fold(name: impl AsRef<[u8]>) -> Vec<u8> {
    FoldedName::new(name.as_ref()).as_bytes().to_vec()
}

fn same(one: &str, other: &str) -> bool {
    fold(one) == fold(other)
}

#[test]
fn spellings_of_one_dn() {
    let plain = "uid=alice,ou=people,dc=example,dc=org";
    for other in [
        "UID=Alice,OU=People,DC=Example,DC=Org",
        " uid = alice , ou = people , dc=example,  dc=org ",
        "uid=  alice,ou=people,dc=example,dc=org",
        "uid=\\61lice,ou=people,dc=example,dc=org",
        "uid=\\41lice,ou=people,dc=example,dc=org",
    ] {
        assert!(same(plain, other), "{other}: {:?}", String::from_utf8_lossy(&fold(other)));
    }
    assert!(same("cn=Smith\\, John,o=x", "cn=smith\\2C john,o=x"));
    assert!(same("cn=a\\+b", "cn=a\\2bb"));
    assert!(same("cn=a\\=b", "cn=a=b"));
    assert!(same("cn=\\#a", "cn=\\23a"));
    assert!(same("cn=a\\20b", "cn=a b"));
    assert!(same(r"cn=a\20\20 ,o=x", r"cn=a \ ,o=x"));
    assert!(same("cn=caf\u{e9}", "cn=caf\\c3\\a9"));
    assert!(same("cn=a+uid=b,o=x", "UID=b + CN=a,o=x"));
    assert!(same("uid=#0405616C", "uid=#0405616c"));
    assert!(same("2.5.4.3=a", "2.5.4.3 = A"));
    assert_eq!(fold("CN = a\\20 , O=x"), b"cn=a\\20,o=x");
}

#[test]
fn what_directories_differ_about_stays_apart() {
    let plain = "uid=alice,dc=org";
    for other in [
        "userid=alice,dc=org",
        "0.9.2342.19200300.100.1.1=alice,dc=org",
        "OID.0.9.2342.19200300.100.1.1=alice,dc=org",
        "uid=\"alice\",dc=org",
        "uid=alice;dc=org",
        "uid=#0405616c696365,dc=org",
        "uid=alice\\20,dc=org",
        "uid=\\20alice,dc=org",
        "uid=ali ce,dc=org",
        "uid=al\\+uid=ice,dc=org",
        "uid=alice+dc=org",
        "uid=alice,dc=org,",
        ",uid=alice,dc=org",
        "dc=org,uid=alice",
        "uid=alice\0,dc=org",
        "uid=alice,dc=\u{f6}rg",
    ] {
        assert!(!same(plain, other), "{other}");
    }
    assert!(!same("cn=a b", "cn=a  b"));
    assert!(!same("cn=\u{e9}", "cn=\u{c9}"), "only ASCII is folded");
    assert!(!same("cn=a\\,o=x", "cn=a,o=x"));
    assert!(!same("cn=#aa", "cn=\\#aa"));
}

#[test]
fn what_is_no_dn_is_folded_in_case_only() {
    assert!(same("EXAMPLE\\Alice", "example\\ALICE"));
    assert!(same("Alice@Example.test", "alice@example.test"));
    assert!(same("<GUID=9E37>", "<guid=9e37>"));
    assert!(!same("alice @example.test", "alice@example.test"));
    assert!(!same("<GUID= 9e37>", "<GUID=9e37>"));
    for odd in [
        "", "=", "cn", "cn=a,", "cn=a+", "=a", "c n=a", "1=a", "1.=a", "-a=b", "cn=\\", "cn=\\4", "cn=\\zz", "cn=#",
        "cn=#abc", "cn=#xy", "cn=a\"b", "cn=a;b", "cn=a<b",
    ] {
        assert_eq!(fold(odd.to_uppercase()), odd.to_ascii_lowercase().into_bytes(), "{odd}");
    }
}

#[test]
fn long_names_fold_like_short_ones() {
    for length in [200, 250, 255, 256, 257, 300, 5000] {
        let value = "V".repeat(length);
        assert_eq!(fold(format!("CN={value} , O=X")), format!("cn={},o=x", value.to_lowercase()).into_bytes());
        assert_eq!(fold(format!("{value}@X")), format!("{}@x", value.to_lowercase()).into_bytes());
        // Folding fails at the very end, after the stack buffer was left.
        assert_eq!(fold(format!("CN={value} , O=X;")), format!("cn={} , o=x;", value.to_lowercase()).into_bytes());
        assert_eq!(fold(format!("cn={value}+a=b")), format!("a=b+cn={}", value.to_lowercase()).into_bytes());
        // Spaces that are taken away again where the buffer spills.
        assert_eq!(
            fold(format!("cn={}{}", "x".repeat(240), " ".repeat(length))),
            format!("cn={}", "x".repeat(240)).into_bytes()
        );
    }
}

/// A DN as a structure: RDNs of (type, value octets).
type Dn = Vec<Vec<(String, Vec<u8>)>>;

fn attribute_type() -> impl Strategy<Value = String> {
    prop_oneof![Just("cn".to_owned()), Just("uid".to_owned()), Just("x-y".to_owned()), Just("2.5.4.3".to_owned())]
}

/// Values made of what is special in DNs.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![
        Just(b' '),
        Just(b','),
        Just(b'+'),
        Just(b'\\'),
        Just(b'"'),
        Just(b'#'),
        Just(b';'),
        Just(b'='),
        Just(b'<'),
        Just(0_u8),
        Just(b'a'),
        Just(b'A'),
        Just(b'2'),
        Just(b'c'),
        Just(0xC3_u8),
        any::<u8>()
    ];
    prop::collection::vec(octet, 0..6)
}

fn dn() -> impl Strategy<Value = Dn> {
    prop::collection::vec(prop::collection::vec((attribute_type(), value()), 1..4), 1..4)
}

/// One of the ways to write a DN; `choices` decides which.
fn write(dn: &Dn, choices: &[u8]) -> Vec<u8> {
    let mut choices = choices.iter().copied().cycle();
    let mut choose = move |count: u8| choices.next().map_or(0, |choice| choice % count);
    let mut out = Vec::new();
    for (index, rdn) in dn.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let mut parts: Vec<_> = rdn.iter().collect();
        let first = usize::from(choose(3)) % parts.len();
        parts.rotate_left(first);
        for (index, (name, value)) in parts.into_iter().enumerate() {
            if index > 0 {
                out.push(b'+');
            }
            out.extend(std::iter::repeat_n(b' ', choose(2).into()));
            out.extend(name.bytes().map(|octet| if choose(2) == 0 { octet } else { octet.to_ascii_uppercase() }));
            out.extend(std::iter::repeat_n(b' ', choose(2).into()));
            out.push(b'=');
            out.extend(std::iter::repeat_n(b' ', choose(2).into()));
            for (at, &octet) in value.iter().enumerate() {
                let edge = at == 0 || at + 1 == value.len();
                let octet = if choose(2) == 0 { octet } else { flip_case(octet) };
                match octet {
                    b' ' if edge || choose(3) == 0 => {
                        out.extend_from_slice(if choose(2) == 0 { b"\\ " } else { b"\\20" })
                    }
                    b' ' => out.push(b' '),
                    b'#' if at == 0 => out.extend_from_slice(if choose(2) == 0 { b"\\#" } else { b"\\23" }),
                    b',' | b'+' | b'\\' | b'"' | b';' | b'<' | b'>' if choose(2) == 0 => out.extend([b'\\', octet]),
                    b',' | b'+' | b'\\' | b'"' | b';' | b'<' | b'>' | 0 => out.extend(format!("\\{octet:02X}").bytes()),
                    other if choose(4) == 0 => out.extend(format!("\\{other:02x}").bytes()),
                    other => out.push(other),
                }
            }
            out.extend(std::iter::repeat_n(b' ', choose(2).into()));
        }
    }
    out
}

fn flip_case(octet: u8) -> u8 {
    if octet.is_ascii_uppercase() { octet.to_ascii_lowercase() } else { octet.to_ascii_uppercase() }
}

/// What two spellings of one name have in common, by the letter of the rules.
fn reference(dn: &Dn) -> Dn {
    let mut dn: Dn = dn
        .iter()
        .map(|rdn| rdn.iter().map(|(name, value)| (name.clone(), value.to_ascii_lowercase())).collect())
        .collect();
    dn.iter_mut().for_each(|rdn: &mut Vec<_>| rdn.sort());
    dn
}

proptest! {
    #[test]
    fn folding_is_idempotent_and_never_panics(name in prop::collection::vec(any::<u8>(), 0..400)) {
        let once = fold(&name);
        prop_assert_eq!(fold(&once), once);
    }

    #[test]
    fn folding_what_looks_like_a_dn_is_idempotent(name in "[a-cA-C=,+ \\\\#;\"2\u{0}]{0,30}") {
        let once = fold(&name);
        prop_assert_eq!(fold(&once), once);
    }

    #[test]
    fn every_spelling_of_a_dn_is_one_name(dn in dn(), one: Vec<u8>, other: Vec<u8>) {
        let (one, other) = (write(&dn, &one), write(&dn, &other));
        prop_assert_eq!(fold(&one), fold(&other), "{:?} {:?}", one.escape_ascii().to_string(), other.escape_ascii().to_string());
    }

    #[test]
    fn different_dns_never_merge(one in dn(), other in dn(), choices: Vec<u8>) {
        let same = reference(&one) == reference(&other);
        prop_assert_eq!(fold(write(&one, &choices)) == fold(write(&other, &[])), same);
    }

    #[test]
    fn one_octet_more_or_less_is_another_dn(dn in dn(), at: usize, octet: u8, choices: Vec<u8>) {
        let mut other = dn.clone();
        let (rdn, part) = (at % dn.len(), at / 7);
        let part = part % dn[rdn].len();
        other[rdn][part].1.push(octet);
        prop_assert!(fold(write(&dn, &choices)) != fold(write(&other, &choices)));
    }

    #[test]
    fn names_that_are_no_dn_merge_in_case_only(one in "[a-b=,\\\\;@ ]{0,6}", other in "[A-B=,\\\\;@ ]{0,6}") {
        // Whatever is merged is either equal but for case, or a DN in both spellings.
        if fold(&one) == fold(&other) && !one.eq_ignore_ascii_case(&other) {
            prop_assert!(one.contains('=') && other.contains('='));
        }
    }
}
