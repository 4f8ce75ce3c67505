//! What a PromQL expression names: metrics with their matchers, and labels that are grouped or
//! joined by. Not a parser: whether an expression is valid, `promtool` says.

/// One selector, `metric{label="value",...}`.
#[derive(Debug, PartialEq)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    pub(crate) matchers: Vec<Matcher>,
    /// Whether it ends in `$selector`.
    pub(crate) narrowed: bool,
}

/// `label="value"`, `!=`, `=~` or `!~`.
#[derive(Debug, PartialEq)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    pub(crate) regex: bool,
    pub(crate) value: String,
}

/// What an expression names.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Expression {
    pub(crate) selectors: Vec<Selector>,
    /// Labels of `by`, `without`, `on`, `ignoring`, `group_left` and `group_right`.
    pub(crate) labels: Vec<String>,
}

const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "atan2"];

impl Expression {
    /// Reads an expression. Every selector must have braces, so that a metric is told from a
    /// function and can be narrowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut found = Self::default();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            if matches!(first, '"' | '\'' | '`') {
                rest = quoted(rest)?.1;
            } else if first.is_ascii_digit() || first == '[' {
                // A number, a duration, or a range with its step.
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "[]:._$".contains(c)));
                rest = &rest[end.unwrap_or(rest.len())..];
            } else if is_name(first) {
                rest = found.name(rest)?;
            } else {
                rest = &rest[first.len_utf8()..];
            }
            rest = rest.trim_start();
        }
        Ok(found)
    }

    /// Reads a name and what belongs to it.
    fn name<'a>(&mut self, text: &'a str) -> Result<&'a str, String> {
        let (name, after) = split_name(text);
        let after = after.trim_start();
        if let Some(inside) = after.strip_prefix('{') {
            let (selector, rest) = matchers(name, inside)?;
            self.selectors.push(selector);
            return Ok(rest);
        }
        if LISTS.contains(&name) {
            let inside = after.strip_prefix('(').ok_or(format!("`{name}` without its list"))?;
            let (list, rest) = inside.split_once(')').ok_or(format!("the list of `{name}` has no end"))?;
            self.labels.extend(list.split(',').map(|label| label.trim().to_owned()));
            return Ok(rest);
        }
        let aggregates = LISTS[..2].iter().any(|list| split_name(after).0 == *list);
        if after.starts_with('(') || aggregates || OPERATORS.contains(&name) {
            return Ok(after);
        }
        Err(format!("write `{name}{{}}`, if that is a metric"))
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn split_name(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !(is_name(c) || c.is_ascii_digit() || c == ':')).unwrap_or(text.len()))
}

/// A literal and what follows it. None of ours has an escape.
fn quoted(text: &str) -> Result<(&str, &str), String> {
    let quote = &text[..1];
    text[1..].split_once(quote).ok_or(format!("{text} has no end"))
}

/// Reads what stands between braces.
fn matchers<'a>(metric: &str, inside: &'a str) -> Result<(Selector, &'a str), String> {
    let mut selector = Selector { metric: metric.to_owned(), matchers: Vec::new(), narrowed: false };
    let mut rest = inside.trim_start();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((selector, rest));
        }
        if let Some(end) = rest.strip_prefix("$selector") {
            selector.narrowed = true;
            let rest = end.strip_prefix('}').ok_or(format!("{metric}: $selector comes last"))?;
            return Ok((selector, rest));
        }
        let (label, after) = split_name(rest);
        let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| after.starts_with(operator));
        let operator = operator.ok_or(format!("{metric}: {rest} is no matcher"))?;
        let (value, after) = quoted(&after[operator.len()..])?;
        let regex = operator.ends_with('~');
        selector.matchers.push(Matcher { label: label.to_owned(), regex, value: value.to_owned() });
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
    }
}

#[test]
fn metrics_matchers_and_labels_are_found() {
    let expression = r#"histogram_quantile(0.99, sum by (pod, le) (rate(a_bucket{op="bind",le!~"1|2",$selector}[5m])))
        / on (pod) group_left (x) max_over_time(b{}[1d:5m]) > 1e3 and time() - c{d=~"\."} offset 1d >= 5"#;
    let found = Expression::parse(expression).expect("it can be read");
    let metrics: Vec<&str> = found.selectors.iter().map(|selector| selector.metric.as_str()).collect();
    assert_eq!(metrics, ["a_bucket", "b", "c"]);
    assert_eq!(found.labels, ["pod", "le", "pod", "x"]);
    assert_eq!(found.selectors.iter().map(|selector| selector.narrowed).collect::<Vec<_>>(), [true, false, false]);
    let matcher = Matcher { label: "le".to_owned(), regex: true, value: "1|2".to_owned() };
    assert_eq!(found.selectors[0].matchers[1], matcher);
}

#[test]
fn a_metric_without_braces_and_a_selector_in_the_middle_are_refused() {
    for wrong in
        ["sum(up)", "up == 0", "rate(a[5m])", r#"a{$selector,b="c"}"#, "a{b}", r#"a{b="c}"#, "sum by pod (a{})"]
    {
        assert!(Expression::parse(wrong).is_err(), "{wrong}");
    }
}
