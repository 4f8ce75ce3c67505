//! Search filters (RFC 4511 section 4.5.1.7), evaluated in three-valued logic.

use rasn_ldap::{Filter, SubstringChoice};

/// What an attribute's values are for a filter; `None` when the entry has no such attribute.
pub trait Values {
    /// The values of `attribute`, its options removed.
    fn values(&self, attribute: &str) -> Option<Vec<Vec<u8>>>;
}

/// Whether `filter` is true of `entry`; `None` is Undefined, which selects nothing.
#[must_use]
pub fn evaluate(filter: &Filter, entry: &impl Values) -> Option<bool> {
    match filter {
        Filter::And(all) => combine(all.iter().map(|part| evaluate(part, entry)), false),
        Filter::Or(any) => combine(any.iter().map(|part| evaluate(part, entry)), true),
        Filter::Not(inner) => evaluate(inner, entry).map(|value| !value),
        Filter::Present(attribute) => Some(entry.values(base_name(attribute)).is_some()),
        Filter::EqualityMatch(assertion) | Filter::ApproxMatch(assertion) => {
            any_value(entry, &assertion.attribute_desc, |value| value.eq_ignore_ascii_case(&assertion.assertion_value))
        }
        Filter::GreaterOrEqual(assertion) => {
            any_value(entry, &assertion.attribute_desc, |value| *value >= *assertion.assertion_value)
        }
        Filter::LessOrEqual(assertion) => {
            any_value(entry, &assertion.attribute_desc, |value| *value <= *assertion.assertion_value)
        }
        Filter::Substrings(parts) => any_value(entry, &parts.r#type, |value| has_substrings(value, &parts.substrings)),
        // Extensible matches, and whatever a later version of the decoder knows.
        _ => None,
    }
}

/// One `decisive` part decides; without one, an Undefined part leaves the whole Undefined.
fn combine(parts: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let mut whole = Some(!decisive);
    for part in parts {
        match part {
            Some(part) if part == decisive => return Some(decisive),
            Some(_) => {}
            None => whole = None,
        }
    }
    whole
}

fn any_value(entry: &impl Values, attribute: &str, test: impl Fn(&[u8]) -> bool) -> Option<bool> {
    Some(entry.values(base_name(attribute))?.iter().any(|value| test(value)))
}

/// An attribute description without its options (`cn;lang-de` is `cn`).
#[must_use]
pub fn base_name(description: &str) -> &str {
    description.split(';').next().unwrap_or(description)
}

fn has_substrings(value: &[u8], parts: &[SubstringChoice]) -> bool {
    let value = value.to_ascii_lowercase();
    let mut rest = value.as_slice();
    for part in parts {
        let after = match part {
            SubstringChoice::Initial(text) => rest.strip_prefix(text.to_ascii_lowercase().as_slice()),
            SubstringChoice::Any(text) => {
                let text = text.to_ascii_lowercase();
                let position = if text.is_empty() {
                    Some(0)
                } else {
                    rest.windows(text.len()).position(|window| window == text.as_slice())
                };
                position.map(|at| &rest[at + text.len()..])
            }
            SubstringChoice::Final(text) => {
                let text = text.to_ascii_lowercase();
                rest.ends_with(&text).then_some(&rest[rest.len()..])
            }
            _ => None,
        };
        match after {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use rasn_ldap::{AttributeValueAssertion, SubstringFilter};

    use super::*;

    struct Person;

    impl Values for Person {
        fn values(&self, attribute: &str) -> Option<Vec<Vec<u8>>> {
            let values: &[&[u8]] = match attribute.to_ascii_lowercase().as_str() {
                "uid" => &[b"alice"],
                "objectclass" => &[b"top", b"person"],
                _ => return None,
            };
            Some(values.iter().map(|value| value.to_vec()).collect())
        }
    }

    fn equal(attribute: &str, value: &str) -> Filter {
        Filter::EqualityMatch(AttributeValueAssertion::new(attribute.into(), value.as_bytes().to_vec().into()))
    }

    fn and(parts: Vec<Filter>) -> Filter {
        Filter::And(rasn::types::SetOf::from_vec(parts))
    }

    fn or(parts: Vec<Filter>) -> Filter {
        Filter::Or(rasn::types::SetOf::from_vec(parts))
    }

    #[test]
    fn presence_and_equality_ignore_case_and_options() {
        assert_eq!(evaluate(&Filter::Present("OBJECTCLASS".into()), &Person), Some(true));
        assert_eq!(evaluate(&Filter::Present("cn".into()), &Person), Some(false));
        assert_eq!(evaluate(&equal("UID", "ALICE"), &Person), Some(true));
        assert_eq!(evaluate(&equal("uid;lang-de", "alice"), &Person), Some(true));
        assert_eq!(evaluate(&equal("uid", "bob"), &Person), Some(false));
    }

    #[test]
    fn an_unknown_attribute_is_undefined_and_stays_so_under_not() {
        assert_eq!(evaluate(&equal("cn", "x"), &Person), None);
        assert_eq!(evaluate(&!equal("cn", "x"), &Person), None);
        assert_eq!(evaluate(&and(vec![equal("uid", "alice"), equal("cn", "x")]), &Person), None);
        assert_eq!(evaluate(&and(vec![equal("uid", "bob"), equal("cn", "x")]), &Person), Some(false));
        assert_eq!(evaluate(&or(vec![equal("uid", "alice"), equal("cn", "x")]), &Person), Some(true));
        assert_eq!(evaluate(&or(vec![equal("uid", "bob"), equal("cn", "x")]), &Person), None);
    }

    #[test]
    fn empty_and_is_true_and_empty_or_is_false() {
        assert_eq!(evaluate(&and(vec![]), &Person), Some(true));
        assert_eq!(evaluate(&or(vec![]), &Person), Some(false));
    }

    #[test]
    fn substrings_match_in_order() {
        let filter = |parts: Vec<SubstringChoice>| Filter::Substrings(SubstringFilter::new("uid".into(), parts));
        let text = |text: &str| rasn::types::OctetString::from(text.as_bytes().to_vec());
        let hit = filter(vec![
            SubstringChoice::Initial(text("A")),
            SubstringChoice::Any(text("i")),
            SubstringChoice::Final(text("CE")),
        ]);
        assert_eq!(evaluate(&hit, &Person), Some(true));
        // The final part may not overlap what an earlier one took.
        let overlap = filter(vec![SubstringChoice::Any(text("ice")), SubstringChoice::Final(text("ce"))]);
        assert_eq!(evaluate(&overlap, &Person), Some(false));
    }
}
