//! Every rule takes what it should and refuses what it should, in the words that the case has.

use std::collections::BTreeSet;

use kube_cel::{ErrorKind, ValidationError, Validator};
use serde_json::Value;

use crate::cases::{Case, cases};
use crate::schema::{fields, schema};

/// What the rules have against a case. Defaults are filled in first, as an API server does.
fn refusals(validator: &Validator, schema: &Value, case: &Case) -> Vec<ValidationError> {
    let errors = validator.validate(schema, &case.object, case.before.as_ref()).err().map(|errors| errors.into_vec());
    let errors = errors.unwrap_or_default();
    for error in &errors {
        assert_eq!(
            error.kind,
            ErrorKind::ValidationFailure,
            "{}: the rule {} did not work: {error}",
            case.name,
            error.rule
        );
    }
    errors
}

fn shown(errors: &[ValidationError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn rules_take_every_accepted_case() {
    let (schema, validator) = (schema(), Validator::new());
    for case in cases("accepted") {
        let errors = refusals(&validator, &schema, &case);
        assert!(errors.is_empty(), "{}: {}", case.name, shown(&errors));
        assert!(case.words.is_empty() && !case.by_schema, "{}: nothing is refused here", case.name);
    }
}

#[test]
fn the_operator_reads_every_accepted_case() {
    for case in cases("accepted") {
        let read: Result<bindproxy_operator::crd::BindProxy, _> = serde_json::from_value(case.object);
        assert!(read.is_ok(), "{}: {}", case.name, read.unwrap_err());
    }
}

#[test]
fn rules_refuse_with_the_field_and_the_remedy() {
    let (schema, validator) = (schema(), Validator::new());
    for case in cases("refused") {
        assert!(!case.words.is_empty(), "{}: write what the refusal says, as `# refused: WORDS`", case.name);
        if case.by_schema {
            continue;
        }
        let errors = refusals(&validator, &schema, &case);
        assert_eq!(errors.len(), 1, "{}: one fault and one refusal: {}", case.name, shown(&errors));
        let refusal = shown(&errors);
        for words in &case.words {
            assert!(refusal.contains(words.as_str()), "{}: {words:?} is missing in {refusal:?}", case.name);
        }
    }
}

/// What an API server would be asked, by rule and message: the same rule may guard several fields.
#[test]
fn every_rule_refuses_some_case() {
    let (schema, validator) = (schema(), Validator::new());
    let mut told = BTreeSet::new();
    for case in cases("refused").iter().filter(|case| !case.by_schema) {
        told.extend(refusals(&validator, &schema, case).into_iter().map(|error| (error.rule, error.message)));
    }
    let mut rules = 0;
    for (path, field) in fields(&schema) {
        for rule in field.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
            let (rule, message) = (text(rule, "rule"), text(rule, "message"));
            assert!(message.contains(':') || message.contains("must"), "{path}: a message names a remedy: {message}");
            assert!(
                told.contains(&(rule.clone(), message.clone())),
                "no case in tests/bindproxies/refused is refused by the rule of {path:?}: {rule}\n{message}"
            );
            rules += 1;
        }
    }
    assert!(rules >= 25, "only {rules} rules were found: is the schema walked whole?");
}

fn text(rule: &Value, field: &str) -> String {
    rule.get(field).and_then(Value::as_str).expect("every rule has a text and a message").to_owned()
}
