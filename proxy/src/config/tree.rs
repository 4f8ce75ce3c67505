//! The file as it was written: an ordered tree, before anybody asks what its fields mean.
//!
//! Reading into a tree first is what makes it possible to report every mistake at once: a typed
//! deserialiser stops at the first.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

use super::problem::Problem;

/// The longest file that is read; a configuration with a thousand upstreams has a tenth of it.
pub(crate) const MAX_TEXT_BYTES: usize = 4 << 20;

/// Deeper than any configuration and shallow enough for every stack.
const MAX_DEPTH: usize = 64;

/// One YAML node. Repeated keys of a mapping are kept, for they are mistakes to report.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false` (YAML 1.2: `yes` and `on` are texts).
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(String, Node)>),
}

/// Reads one YAML document.
///
/// # Errors
/// One problem with line and column when the text is not YAML, is empty, or is not a mapping.
pub(crate) fn parse(text: &str) -> Result<Node, Problem> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(Problem::new(
            "",
            format!("the file has {} bytes", text.len()),
            format!("write at most {MAX_TEXT_BYTES} bytes"),
        ));
    }
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        leading_zero_numbers_as_strings: true,
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
    };
    let node: Node = serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax(&error))?;
    match node {
        Node::Null => Err(Problem::new("", "the file is empty", "write at least `listeners` and `upstreams`")),
        Node::Map(_) => Ok(node),
        other => Err(Problem::new(
            "",
            format!("the file holds {}", other.describe()),
            "write fields, as in `listeners:`, at the left margin",
        )),
    }
}

fn syntax(error: &serde_saphyr::Error) -> Problem {
    if let serde_saphyr::Error::MultipleDocuments { location, .. } = error {
        let cause = format!("a second document begins in line {}", location.line());
        return Problem::new("", cause, "keep one document; remove the `---` before the other");
    }
    let place = error
        .location()
        .map(|location| format!(" in line {}, column {}", location.line(), location.column()))
        .unwrap_or_default();
    // The library puts its own place at the end of the first line; ours replaces it.
    let message = error.to_string();
    let message = message.lines().next().unwrap_or_default();
    let message = message.split(" at line ").next().unwrap_or(message);
    Problem::new(
        "",
        format!("this is not YAML{place}: {message}"),
        "correct the text there; quote a text that holds `: ` or ` #`",
    )
}

impl Node {
    /// What it is, for a message: `the text "abc"`, `a list`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Node::Null => "nothing".into(),
            Node::Bool(value) => value.to_string(),
            Node::Integer(value) => format!("the number {value}"),
            Node::Float(value) => format!("the number {value}"),
            Node::Text(value) => format!("the text {}", quoted(value)),
            Node::List(_) => "a list".into(),
            Node::Map(_) => "a mapping".into(),
        }
    }

    /// The position of every field path in the order of the file.
    pub(crate) fn order(&self) -> BTreeMap<String, usize> {
        let mut order = BTreeMap::new();
        self.number("", &mut order);
        order
    }

    fn number(&self, path: &str, order: &mut BTreeMap<String, usize>) {
        let position = order.len();
        order.entry(path.to_owned()).or_insert(position);
        match self {
            Node::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.number(&element(path, index), order);
                }
            }
            Node::Map(fields) => {
                for (name, value) in fields {
                    value.number(&field(path, name), order);
                }
            }
            Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Float(_) | Node::Text(_) => {}
        }
    }
}

/// The path of a field of `parent`.
pub(crate) fn field(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

/// The path of an element of `parent`.
pub(crate) fn element(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// A text in quotes, short enough for one line and without control characters.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Node, E> {
        Ok(Node::Text(String::from_utf8_lossy(value).into_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some((Key(name), value)) = access.next_entry()? {
            fields.push((name, value));
        }
        Ok(Node::Map(fields))
    }
}

/// A key, whatever scalar it was written as, so that `1: x` is an unknown field and no abort.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Node::deserialize(deserializer)? {
            Node::Null => Key("null".into()),
            Node::Bool(value) => Key(value.to_string()),
            Node::Integer(value) => Key(value.to_string()),
            Node::Float(value) => Key(value.to_string()),
            Node::Text(value) => Key(value),
            Node::List(_) => Key("(a list)".into()),
            Node::Map(_) => Key("(a mapping)".into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Vec<(String, Node)> {
        match parse(text).unwrap() {
            Node::Map(fields) => fields,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keeps_order_and_repeated_keys() {
        let fields = map("b: 1\na: 2\nb: 3\n");
        assert_eq!(
            fields,
            [("b".into(), Node::Integer(1)), ("a".into(), Node::Integer(2)), ("b".into(), Node::Integer(3))]
        );
    }

    #[test]
    fn speaks_yaml_1_2() {
        let fields = map("a: yes\nb: 0660\nc: on\nd: True\ne: ~\nf: 1.5\ng: -3\nh: \"7\"\ni: .inf\n");
        let values: Vec<Node> = fields.into_iter().map(|(_, value)| value).collect();
        assert_eq!(
            values,
            [
                Node::Text("yes".into()),
                Node::Text("0660".into()),
                Node::Text("on".into()),
                Node::Bool(true),
                Node::Null,
                Node::Float(1.5),
                Node::Integer(-3),
                Node::Text("7".into()),
                Node::Text(".inf".into()),
            ]
        );
    }

    #[test]
    fn a_syntax_error_names_line_and_column() {
        let problem = parse("listeners:\n- {name: a\nupstreams: [\n").unwrap_err();
        assert!(problem.cause.starts_with("this is not YAML in line "), "{problem}");
        assert!(problem.cause.contains(", column "), "{problem}");
    }

    #[test]
    fn empty_scalar_and_list_files_are_explained() {
        assert_eq!(parse("# nothing\n").unwrap_err().cause, "the file is empty");
        assert_eq!(parse("- a\n").unwrap_err().cause, "the file holds a list");
        assert_eq!(parse("hello\n").unwrap_err().cause, "the file holds the text \"hello\"");
    }

    #[test]
    fn an_alias_bomb_and_deep_nesting_are_errors() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..9 {
            let previous = format!("*a{},", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{previous}]\n"));
        }
        assert!(parse(&bomb).is_err());
        assert!(parse(&format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000))).is_err());
    }
}
