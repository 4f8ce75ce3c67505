//! The schema of the committed resource definition, and what is in it.

use serde_json::Value;

/// The schema of a whole BindProxy.
pub(crate) fn schema() -> Value {
    let definition = serde_json::to_value(bindproxy_operator::crd::crd().unwrap()).unwrap();
    definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap().clone()
}

/// Every schema of a field or of the items of a list, with its path.
pub(crate) fn fields(schema: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), schema)];
    while let Some((path, schema)) = open.pop() {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            open.extend(properties.iter().map(|(name, field)| (format!("{path}.{name}"), field)));
        }
        open.extend(schema.get("items").map(|items| (format!("{path}[]"), items)));
        open.extend(
            schema
                .get("additionalProperties")
                .filter(|field| field.is_object())
                .map(|field| (format!("{path}{{}}"), field)),
        );
        found.push((path, schema));
    }
    found
}

/// The parts whose schemas are Kubernetes' own.
fn borrowed(path: &str) -> bool {
    ["affinity", "dnsConfig", "resources", "tolerations", "topologySpreadConstraints"]
        .iter()
        .any(|field| path.starts_with(&format!(".spec.pod.{field}")))
        || [".spec.networkPolicy.ingressFrom", ".spec.networkPolicy.metricsFrom", ".status.conditions[]"]
            .iter()
            .any(|field| path.starts_with(field))
}

#[test]
fn every_field_of_ours_is_explained() {
    let schema = schema();
    for (path, field) in fields(&schema) {
        // The items of a list of strings, and the values of a map, are explained where the list is.
        let part = (path.ends_with(']') || path.ends_with('}')) && field.get("properties").is_none();
        if path.is_empty() || borrowed(&path) || part {
            continue;
        }
        let description = field.get("description").and_then(Value::as_str).unwrap_or_default();
        assert!(description.ends_with('.'), "{path} needs a sentence for `kubectl explain`: {description:?}");
    }
}

#[test]
fn every_number_text_and_list_of_the_spec_has_a_bound() {
    let schema = schema();
    for (path, field) in fields(&schema) {
        // The texts of a verdict rule are the proxy's own type, which only the size of a request bounds.
        let diagnostic = path.starts_with(".spec.cache.verdicts.rules[].diagnostic");
        if !path.starts_with(".spec") || borrowed(&path) || path.ends_with("{}") || diagnostic {
            continue;
        }
        let bounded = match field.get("type").and_then(Value::as_str) {
            Some("integer") => field.get("maximum").is_some() && field.get("minimum").is_some(),
            Some("string") => ["maxLength", "enum", "pattern"].iter().any(|bound| field.get(bound).is_some()),
            Some("array") => field.get("maxItems").is_some(),
            _ => true,
        };
        assert!(bounded, "{path} has no bound");
    }
}

#[test]
fn no_format_is_unknown_to_an_api_server() {
    let schema = schema();
    for (path, field) in fields(&schema) {
        let format = field.get("format").and_then(Value::as_str).unwrap_or("int32");
        assert!(["int32", "int64", "date-time"].contains(&format), "{path}: {format}");
    }
}
