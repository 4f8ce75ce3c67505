//! The table of values in each chart's README, made from the `# --` lines of `values.yaml`.

use serde_json::Value;

use crate::generated::compare;
use crate::helm::Chart;

const BEGIN: &str = "<!-- The table is generated from values.yaml. -->\n";
const END: &str = "<!-- End of the table. -->\n";

/// A value that a user may set.
struct Row {
    name: String,
    default: String,
    description: String,
}

/// The rows of a `values.yaml`, and the names of leaves that no `# --` line describes.
fn rows(text: &str) -> (Vec<Row>, Vec<String>) {
    let values: Value = serde_saphyr::from_str(text).unwrap();
    let (mut rows, mut silent) = (Vec::<Row>::new(), Vec::new());
    // Keys above the current line with their indentation.
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut described: Option<String> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            if let Some(start) = comment.strip_prefix(" -- ") {
                described = Some(start.to_owned());
            } else if let Some(description) = &mut described {
                description.push(' ');
                description.push_str(comment.trim());
            }
            continue;
        }
        let Some((key, _)) = line.split_once(':').filter(|(key, _)| !key.starts_with(['-', '"', '{', '['])) else {
            continue;
        };
        above.retain(|(depth, _)| *depth < indent);
        above.push((indent, key.to_owned()));
        let name = above.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join(".");
        let value = values.pointer(&format!("/{}", name.replace('.', "/"))).unwrap_or_else(|| panic!("{name}"));
        // What is inside of a described map is part of that map's default.
        let inside = rows.iter().any(|row| name.starts_with(&format!("{}.", row.name)));
        match described.take() {
            Some(description) => rows.push(Row { name, default: value.to_string(), description }),
            None if !inside && !value.is_object() => silent.push(name),
            None => {}
        }
    }
    (rows, silent)
}

fn table(rows: &[Row]) -> String {
    let mut table = "| value | default | what it is |\n|---|---|---|\n".to_owned();
    for Row { name, default, description } in rows {
        table.push_str(&format!("| `{name}` | `{default}` | {} |\n", description.replace('|', "\\|")));
    }
    table
}

#[test]
fn every_value_is_in_the_readme() {
    for chart in Chart::ALL {
        let values = std::fs::read_to_string(chart.folder().join("values.yaml")).unwrap();
        let (rows, silent) = rows(&values);
        assert!(silent.is_empty(), "values of {} without a `# --` line above: {silent:?}", chart.name());
        let path = chart.folder().join("README.md");
        let readme = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = readme.split_once(BEGIN).expect("the line before the table");
        let (_, after) = rest.split_once(END).expect("the line after the table");
        compare(&path, &format!("{before}{BEGIN}\n{}\n{END}{after}", table(&rows)));
    }
}

/// The names of all values that a schema knows, as far as it names them.
fn names(schema: &Value, definitions: &Value, prefix: &str, into: &mut Vec<String>) {
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let property = match property["$ref"].as_str() {
            Some(reference) => &definitions[reference.rsplit('/').next().unwrap()],
            None => property,
        };
        if property["properties"].is_object() {
            names(property, definitions, &name, into);
        } else {
            into.push(name);
        }
    }
}

#[test]
fn every_value_of_the_schema_is_described_and_every_map_is_closed() {
    for chart in Chart::ALL {
        let values = std::fs::read_to_string(chart.folder().join("values.yaml")).unwrap();
        let (rows, _) = rows(&values);
        let text = std::fs::read_to_string(chart.folder().join("values.schema.json")).unwrap();
        let schema: Value = serde_json::from_str(&text).unwrap();
        let mut known = Vec::new();
        names(&schema, &schema["definitions"], "", &mut known);
        // Helm itself brings `global`.
        for name in known.iter().filter(|name| *name != "global") {
            let described = rows.iter().any(|row| name == &row.name || name.starts_with(&format!("{}.", row.name)));
            assert!(described, "{name} is in the schema of {}, but not in values.yaml", chart.name());
        }
        for row in &rows {
            let known = known.iter().any(|name| name == &row.name || name.starts_with(&format!("{}.", row.name)));
            assert!(known, "{} is in values.yaml of {}, but not in its schema", row.name, chart.name());
        }
        for (at, map) in text.match_indices("\"properties\": {").map(|(at, _)| (at, &text[..at])) {
            let opened = map.rfind("\"type\": \"object\"").map(|start| &text[start..at]);
            assert!(
                opened.is_some_and(|head| head.contains("\"additionalProperties\": false")),
                "an open map in the schema of {} at octet {at}",
                chart.name()
            );
        }
    }
}
