//! Whether the file has the shape of a configuration: known fields, right types, known choices.
//!
//! The shape is not written down a second time: it is read from the JSON schema that is
//! generated from [`Config`]. Whatever does not fit is reported and replaced by its default, so
//! that the rest can be read and checked in the same run.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde_json::{Map, Value};

use super::Config;
use super::problem::Problem;
use super::tree::{Node, element, field, quoted};

/// A tree that fits, and what had to be left out of it.
#[derive(Debug)]
pub(crate) struct Shaped {
    /// Deserialises as [`Config`].
    pub(crate) value: Value,
    /// What did not fit.
    pub(crate) problems: Vec<Problem>,
    /// Fields whose value in `value` is not what the author meant.
    pub(crate) unreadable: Vec<String>,
}

/// The schema of the file.
pub(crate) fn schema() -> Value {
    schemars::schema_for!(Config).to_value()
}

/// Fits `node` to the schema of the file.
pub(crate) fn fit(node: &Node) -> Shaped {
    let schema = schema();
    let mut walker = Walker { root: &schema, problems: Vec::new(), unreadable: Vec::new() };
    let value = walker.fit("", node, &schema).unwrap_or_else(|| walker.placeholder(&schema));
    Shaped { value, problems: walker.problems, unreadable: walker.unreadable }
}

struct Walker<'s> {
    root: &'s Value,
    problems: Vec<Problem>,
    unreadable: Vec<String>,
}

/// What a schema asks for, in the words of this file.
enum Kind<'s> {
    Object(&'s Map<String, Value>),
    List(&'s Value),
    Choice(Vec<&'s str>),
    Text { socket_address: bool },
    Integer { max: i128 },
    Bool,
}

impl<'s> Walker<'s> {
    /// The value for `node`, or nothing when it does not fit (which has then been reported).
    fn fit(&mut self, path: &str, node: &Node, schema: &'s Value) -> Option<Value> {
        match (self.kind(schema), node) {
            (Kind::Object(properties), Node::Map(fields)) => {
                Some(self.fit_object(path, fields, properties, self.required(schema)))
            }
            (Kind::List(items), Node::List(nodes)) => Some(Value::Array(
                nodes
                    .iter()
                    .enumerate()
                    .map(|(index, node)| {
                        self.fit(&element(path, index), node, items).unwrap_or_else(|| self.placeholder(items))
                    })
                    .collect(),
            )),
            (Kind::Choice(choices), Node::Text(text)) if choices.contains(&text.as_str()) => Some(text.as_str().into()),
            (Kind::Text { socket_address: false }, Node::Text(text)) => Some(text.as_str().into()),
            (Kind::Text { socket_address: true }, Node::Text(text)) => match text.parse::<SocketAddr>() {
                Ok(_) => Some(text.as_str().into()),
                Err(_) => {
                    let (cause, remedy) = explain_address(text);
                    self.refuse(path, cause, remedy)
                }
            },
            (Kind::Integer { max }, Node::Integer(number)) if (0..=max).contains(number) => {
                u64::try_from(*number).ok().map(Value::from)
            }
            (Kind::Bool, Node::Bool(value)) => Some((*value).into()),
            (kind, node) => {
                let (cause, remedy) = explain_mismatch(&kind, node);
                self.refuse(path, cause, remedy)
            }
        }
    }

    fn fit_object(
        &mut self,
        path: &str,
        fields: &[(String, Node)],
        properties: &'s Map<String, Value>,
        required: Vec<&'s str>,
    ) -> Value {
        let mut object = Map::new();
        let mut seen: BTreeMap<&str, bool> = BTreeMap::new();
        for (name, node) in fields {
            let here = field(path, name);
            if let Some(reported) = seen.get_mut(name.as_str()) {
                if !std::mem::replace(reported, true) {
                    // The first one stays readable: whatever else is wrong with it is worth knowing now.
                    self.problems.push(Problem::new(&here, "the field is given more than once", "keep one of them"));
                }
                if let Some(schema) = properties.get(name) {
                    drop(self.fit(&here, node, schema));
                }
                continue;
            }
            seen.insert(name, false);
            let Some(schema) = properties.get(name) else {
                self.unknown(path, name, properties);
                continue;
            };
            if *node == Node::Null {
                // A heading whose lines are all commented out means the default.
                if required.contains(&name.as_str()) {
                    let _ = self.refuse(&here, "the field has no value".into(), self.how_to_write(name, schema));
                    object.insert(name.clone(), self.placeholder(schema));
                }
                continue;
            }
            match self.fit(&here, node, schema) {
                Some(value) => drop(object.insert(name.clone(), value)),
                None if required.contains(&name.as_str()) => {
                    object.insert(name.clone(), self.placeholder(schema));
                }
                None => {}
            }
        }
        for name in required {
            if seen.contains_key(name) {
                continue;
            }
            if let Some(schema) = properties.get(name) {
                let _ = self.refuse(&field(path, name), "the field is missing".into(), self.how_to_write(name, schema));
                object.insert(name.to_owned(), self.placeholder(schema));
            }
        }
        Value::Object(object)
    }

    fn refuse(&mut self, path: &str, cause: String, remedy: String) -> Option<Value> {
        self.unreadable.push(path.to_owned());
        self.problems.push(Problem::new(path, cause, remedy));
        None
    }

    fn unknown(&mut self, path: &str, name: &str, properties: &Map<String, Value>) {
        let remedy = if let Some(near) = nearest(name, properties.keys().map(String::as_str)) {
            // The misspelt field is the one that rules would find missing.
            self.unreadable.push(field(path, near));
            format!("write `{near}`")
        } else if let Some(home) = self.home_of(name) {
            format!("move it to `{home}`")
        } else {
            let known: Vec<String> = properties.keys().map(|known| format!("`{known}`")).collect();
            format!("remove it, or write one of {}", known.join(", "))
        };
        let _ = self.refuse(&field(path, name), "no such field".into(), remedy);
    }

    /// Where in the file a field of exactly this name belongs, when there is just one place.
    fn home_of(&self, name: &str) -> Option<String> {
        let mut homes = Vec::new();
        self.find("", name, self.root, 0, &mut homes);
        if homes.len() == 1 { homes.pop() } else { None }
    }

    fn find(&self, path: &str, name: &str, schema: &'s Value, depth: usize, homes: &mut Vec<String>) {
        // The types are not recursive today; the bound keeps a future one from looping here.
        if depth > 8 {
            return;
        }
        match self.kind(schema) {
            Kind::Object(properties) => {
                for (known, schema) in properties {
                    let here = field(path, known);
                    if known == name {
                        homes.push(here.clone());
                    }
                    self.find(&here, name, schema, depth + 1, homes);
                }
            }
            Kind::List(items) => self.find(&format!("{path}[]"), name, items, depth + 1, homes),
            Kind::Choice(_) | Kind::Text { .. } | Kind::Integer { .. } | Kind::Bool => {}
        }
    }

    /// Follows references and drops the `null` of optional fields.
    fn resolve(&self, mut schema: &'s Value) -> &'s Value {
        loop {
            if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
                let Some(target) = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)) else {
                    return schema;
                };
                schema = target;
            } else if let Some(some) = schema
                .get("anyOf")
                .and_then(Value::as_array)
                .and_then(|any| any.iter().find(|one| one.get("type").and_then(Value::as_str) != Some("null")))
            {
                schema = some;
            } else {
                return schema;
            }
        }
    }

    fn kind(&self, schema: &'s Value) -> Kind<'s> {
        let schema = self.resolve(schema);
        if let Some(choices) = choices(schema) {
            return Kind::Choice(choices);
        }
        let is = |name: &str| match schema.get("type") {
            Some(Value::String(one)) => one == name,
            Some(Value::Array(several)) => several.iter().any(|one| one == name),
            _ => false,
        };
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            Kind::Object(properties)
        } else if let Some(items) = schema.get("items") {
            Kind::List(items)
        } else if is("integer") {
            let max = match schema.get("format").and_then(Value::as_str) {
                Some("uint16") => u16::MAX.into(),
                _ => u32::MAX.into(),
            };
            Kind::Integer { max }
        } else if is("boolean") {
            Kind::Bool
        } else {
            Kind::Text { socket_address: schema.get("format").and_then(Value::as_str) == Some("socket-address") }
        }
    }

    fn required(&self, schema: &'s Value) -> Vec<&'s str> {
        self.resolve(schema)
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default()
    }

    /// Some value that deserialises, in place of one that is missing or does not fit.
    fn placeholder(&self, schema: &'s Value) -> Value {
        match self.kind(schema) {
            Kind::Object(properties) => Value::Object(
                self.required(schema)
                    .into_iter()
                    .filter_map(|name| Some((name.to_owned(), self.placeholder(properties.get(name)?))))
                    .collect(),
            ),
            Kind::List(_) => Value::Array(Vec::new()),
            Kind::Choice(choices) => choices.first().copied().into(),
            Kind::Text { socket_address: true } => "127.0.0.1:0".into(),
            Kind::Text { socket_address: false } => "".into(),
            Kind::Integer { .. } => 0.into(),
            Kind::Bool => false.into(),
        }
    }

    fn how_to_write(&self, name: &str, schema: &'s Value) -> String {
        let value = match self.kind(schema) {
            Kind::Object(_) => "its fields below it".into(),
            Kind::List(_) => "a list below it".into(),
            Kind::Choice(choices) => one_of(&choices),
            Kind::Text { .. } => "a text".into(),
            Kind::Integer { .. } => "a whole number".into(),
            Kind::Bool => "`true` or `false`".into(),
        };
        match schema.get("description").and_then(Value::as_str) {
            Some(description) => {
                let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
                format!("write `{name}:` and {value} ({})", description.trim_end_matches('.'))
            }
            None => format!("write `{name}:` and {value}"),
        }
    }
}

/// The texts that an enumeration allows, in either form that the schema generator writes.
fn choices(schema: &Value) -> Option<Vec<&str>> {
    if let Some(Value::Array(names)) = schema.get("enum") {
        return Some(names.iter().filter_map(Value::as_str).collect());
    }
    if let Some(Value::String(name)) = schema.get("const") {
        return Some(vec![name]);
    }
    let Some(Value::Array(variants)) = schema.get("oneOf") else { return None };
    Some(variants.iter().filter_map(choices).flatten().collect())
}

fn one_of(choices: &[&str]) -> String {
    match choices {
        [only] => format!("`{only}`"),
        _ => {
            let names: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
            format!("one of {}", names.join(", "))
        }
    }
}

/// The known name that was probably meant.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().min(name.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn explain_mismatch(kind: &Kind<'_>, node: &Node) -> (String, String) {
    let found = node.describe();
    match (kind, node) {
        (Kind::Object(_), _) => {
            (format!("{found} stands where fields belong"), "write `field: value` lines below it".into())
        }
        (Kind::List(_), _) => (format!("{found} stands where a list belongs"), "begin every item with `- `".into()),
        (Kind::Choice(choices), Node::Text(text)) => {
            let remedy = match choices.iter().find(|choice| choice.eq_ignore_ascii_case(text)) {
                Some(choice) => format!("write `{choice}`; capital letters count"),
                None => format!("write {}", one_of(choices)),
            };
            (format!("{} is not known here", quoted(text)), remedy)
        }
        (Kind::Choice(choices), _) => (format!("{found} is not known here"), format!("write {}", one_of(choices))),
        (Kind::Text { .. }, Node::Bool(_) | Node::Integer(_) | Node::Float(_)) => {
            (format!("{found} stands where a text belongs"), "put the value in quotes".into())
        }
        (Kind::Text { .. }, _) => (format!("{found} stands where a text belongs"), "write one text".into()),
        (Kind::Integer { max }, Node::Integer(number)) => {
            (format!("{number} is out of range"), format!("write a whole number from 0 to {max}"))
        }
        (Kind::Integer { max }, Node::Text(text))
            if text.parse::<u32>().is_ok_and(|number| i128::from(number) <= *max) =>
        {
            let plain = text.trim_start_matches('0');
            let plain = if plain.is_empty() { "0" } else { plain };
            (format!("{found} stands where a number belongs"), format!("write {plain} without quotes or leading zeros"))
        }
        (Kind::Integer { max }, _) => (
            format!("{found} stands where a whole number belongs"),
            format!("write a whole number from 0 to {max}; the field's name says the unit"),
        ),
        (Kind::Bool, Node::Text(text)) => {
            let remedy = match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" | "true" => "write `true`",
                "no" | "off" | "n" | "false" => "write `false`",
                _ => "write `true` or `false`",
            };
            (format!("{found} is neither true nor false in YAML 1.2"), remedy.into())
        }
        (Kind::Bool, _) => (format!("{found} is neither true nor false"), "write `true` or `false`".into()),
    }
}

fn explain_address(text: &str) -> (String, String) {
    let port_of = |rest: &str| rest.parse::<u16>().ok();
    if let Some((address, port)) = text.rsplit_once(':')
        && let (Ok(address @ IpAddr::V6(_)), Some(port)) = (address.parse::<IpAddr>(), port_of(port))
    {
        let bracketed = SocketAddr::new(address, port);
        return (format!("{} lacks the brackets of an IPv6 address", quoted(text)), format!("write `\"{bracketed}\"`"));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        let with_port = SocketAddr::new(address, 3389);
        return (format!("{} has no port", quoted(text)), format!("write `\"{with_port}\"` with the port you want"));
    }
    if let Some(port) = text.strip_prefix(':').or_else(|| text.strip_prefix("*:")).and_then(port_of) {
        return (
            format!("{} has no IP address", quoted(text)),
            format!("write `\"[::]:{port}\"` for every interface or `\"127.0.0.1:{port}\"` for this host only"),
        );
    }
    if let Some(port) = text.strip_prefix("localhost:").and_then(port_of) {
        return (format!("{} is a name, not an IP address", quoted(text)), format!("write `\"127.0.0.1:{port}\"`"));
    }
    (
        format!("{} is no IP address with a port", quoted(text)),
        "write it as in `\"127.0.0.1:3389\"` or `\"[::]:3389\"`".into(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::tree::parse;
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let shaped = fit(&parse(text).unwrap());
        serde_json::from_value::<Config>(shaped.value).expect("what is left deserialises");
        shaped.problems.iter().map(Problem::to_string).collect()
    }

    const GOOD: &str =
        "listeners:\n- {name: a, address: \"127.0.0.1:3389\"}\nupstreams:\n- {name: b, host: localhost}\n";

    #[test]
    fn a_small_file_fits() {
        assert_eq!(problems(GOOD), Vec::<String>::new());
    }

    #[test]
    fn a_heading_with_nothing_below_means_the_default() {
        assert_eq!(problems(&format!("{GOOD}cache:\nserverTLS:\n")), Vec::<String>::new());
    }

    #[test]
    fn unknown_fields_name_the_nearest_or_their_home() {
        let found = problems(&format!("{GOOD}chache: {{ttl: 5}}\nttlSeconds: 3\nzzz: 1\nservertls: {{}}\n"));
        assert_eq!(found[0], "chache: no such field; write `cache`");
        assert_eq!(found[1], "ttlSeconds: no such field; move it to `cache.ttlSeconds`");
        assert!(found[2].starts_with("zzz: no such field; remove it, or write one of `admin`, `cache`"), "{found:?}");
        assert_eq!(found[3], "servertls: no such field; write `serverTLS`");
    }

    #[test]
    fn every_enum_is_listed_and_capitals_are_explained() {
        let found = problems("listeners: [{name: a, tls: ldaps}, {name: b, tls: Yes}]\nupstreams: []\n");
        assert_eq!(
            found,
            [
                "listeners[0].tls: \"ldaps\" is not known here; write `LDAPS`; capital letters count",
                "listeners[1].tls: \"Yes\" is not known here; write one of `Disabled`, `StartTLS`, `LDAPS`",
            ]
        );
    }

    #[test]
    fn numbers_that_cannot_be() {
        let text = format!(
            "{GOOD}limits: {{maxConnections: -1, idleTimeoutSeconds: 15m, maxMessageBytes: 1e9, maxPipelinedRequests: 99999999999999999999, handshakeTimeoutSeconds: \"10\"}}\n"
        );
        assert_eq!(
            problems(&text),
            [
                "limits.maxConnections: -1 is out of range; write a whole number from 0 to 4294967295",
                "limits.idleTimeoutSeconds: the text \"15m\" stands where a whole number belongs; write a whole number from 0 to 4294967295; the field's name says the unit",
                "limits.maxMessageBytes: the number 1000000000 stands where a whole number belongs; write a whole number from 0 to 4294967295; the field's name says the unit",
                "limits.maxPipelinedRequests: the number 100000000000000000000 stands where a whole number belongs; write a whole number from 0 to 4294967295; the field's name says the unit",
                "limits.handshakeTimeoutSeconds: the text \"10\" stands where a number belongs; write 10 without quotes or leading zeros",
            ]
        );
    }
}
