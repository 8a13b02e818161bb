//! The reference for people: Markdown made from the JSON schema, so that it cannot drift from what is read.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// A Markdown page on every stage kind and option, from the schema that [`super::schema`] makes.
pub fn reference(schema: &Value) -> String {
    let none = Map::new();
    let definitions = schema.get("$defs").and_then(Value::as_object).unwrap_or(&none);
    Page { definitions, text: String::new(), wanted: VecDeque::new(), seen: BTreeSet::new() }.write(schema)
}

struct Page<'a> {
    definitions: &'a Map<String, Value>,
    text: String,
    /// Types that were linked to and wait for their section.
    wanted: VecDeque<String>,
    seen: BTreeSet<String>,
}

impl Page<'_> {
    fn write(mut self, schema: &Value) -> String {
        self.text.push_str("## The file\n\n");
        self.options(schema);
        let kinds = schema.pointer("/properties/stages/additionalProperties").cloned().unwrap_or_default();
        for alternative in alternatives(self.resolve(&kinds)) {
            let Some((name, options)) = variant(&alternative) else { continue };
            let _ = writeln!(self.text, "## `{name}`\n\n{}\n", description(&alternative));
            let options = self.resolve(options).clone();
            self.options(&options);
        }
        self.text.push_str("## Types\n\n");
        while let Some(name) = self.wanted.pop_front() {
            let definition = self.definitions[&name].clone();
            let _ = writeln!(self.text, "### {name}\n\n{}\n", description(&definition));
            if definition.get("properties").is_some() {
                self.options(&definition);
            } else {
                self.choices(&definition);
            }
        }
        self.text
    }

    /// A table of the fields of a struct.
    fn options(&mut self, schema: &Value) {
        let Some(fields) = schema.get("properties").and_then(Value::as_object).filter(|fields| !fields.is_empty()) else {
            self.text.push_str("No options.\n\n");
            return;
        };
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        self.text.push_str("| option | value | default | |\n|---|---|---|---|\n");
        for (name, field) in fields {
            let default = match field.get("default") {
                Some(Value::Null) => "none".to_owned(),
                Some(value) => format!("`{}`", yaml(value)),
                None if required.contains(&name.as_str()) => "**required**".to_owned(),
                None => "none".to_owned(),
            };
            let value = self.value(field);
            let _ = writeln!(self.text, "| `{name}` | {value} | {default} | {} |", description(field));
        }
        self.text.push('\n');
    }

    /// A table of the variants of an enum.
    fn choices(&mut self, schema: &Value) {
        let mut rows = String::new();
        for alternative in alternatives(schema) {
            if let Some((name, options)) = variant(&alternative) {
                let value = self.value(&options.clone());
                let _ = writeln!(rows, "| `{name}:` {value} | {} |", description(&alternative));
            } else if let Some(name) = alternative.get("const").and_then(Value::as_str) {
                // The bare form of a variant stands beside the form with options.
                if !rows.contains(&format!("| `{name}:`")) {
                    let _ = writeln!(rows, "| `{name}` | {} |", description(&alternative));
                }
            } else {
                let value = self.value(&alternative);
                let _ = writeln!(rows, "| {value} | {} |", description(&alternative));
            }
        }
        let _ = writeln!(self.text, "| choice | |\n|---|---|\n{rows}");
    }

    /// What may stand as a value, in a few words; structs and enums become links.
    fn value(&mut self, schema: &Value) -> String {
        if let Some(name) = referenced(schema) {
            let Some(definition) = self.definitions.get(name).cloned() else { return name.to_owned() };
            let is_empty = definition.get("properties").and_then(Value::as_object).is_none_or(Map::is_empty);
            let is_choice = alternatives(&definition).len() > 1;
            if is_empty && !is_choice {
                return self.plain(&definition);
            }
            if self.seen.insert(name.to_owned()) {
                self.wanted.push_back(name.to_owned());
            }
            return format!("[{name}](#{})", name.to_lowercase());
        }
        self.plain(schema)
    }

    fn plain(&mut self, schema: &Value) -> String {
        if referenced(schema) == Some("StageId") {
            return "name of a stage".to_owned();
        }
        if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
            let names: Vec<String> = choices.iter().map(|choice| format!("`{}`", yaml(choice))).collect();
            return names.join(", ");
        }
        if let Some(constant) = schema.get("const") {
            return format!("`{}`", yaml(constant));
        }
        let several = alternatives(schema);
        if !several.is_empty() {
            let parts: Vec<String> = several
                .iter()
                .filter(|part| part.get("type") != Some(&Value::from("null")))
                .map(|part| self.value(part))
                .collect();
            return parts.join(" or ");
        }
        let kind = match schema.get("type") {
            Some(Value::String(kind)) => kind.clone(),
            Some(Value::Array(kinds)) => {
                let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect();
                kinds.join(" or ")
            }
            _ => return "any".to_owned(),
        };
        match kind.as_str() {
            "array" => {
                let items = schema.get("items").map_or_else(|| "any".to_owned(), |items| self.value(&items.clone()));
                format!("list of {items}")
            }
            "object" => match schema.get("additionalProperties").filter(|value| value.is_object()) {
                Some(values) => format!("map to {}", self.value(&values.clone())),
                None => "`{}`".to_owned(),
            },
            "string" => "text".to_owned(),
            "boolean" => "`true`, `false`".to_owned(),
            number => format!("{}{}", if number == "integer" { "whole number" } else { number }, range(schema)),
        }
    }

    fn resolve<'b>(&'b self, schema: &'b Value) -> &'b Value {
        referenced(schema).and_then(|name| self.definitions.get(name)).unwrap_or(schema)
    }
}

fn referenced(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

fn alternatives(schema: &Value) -> Vec<Value> {
    ["oneOf", "anyOf"].into_iter().find_map(|key| schema.get(key)?.as_array().cloned()).unwrap_or_default()
}

/// The name and options of an externally tagged variant.
fn variant(schema: &Value) -> Option<(&str, &Value)> {
    let fields = schema.get("properties")?.as_object()?;
    let (name, options) = fields.iter().next()?;
    let is_tagged = fields.len() == 1 && schema.get("required").and_then(Value::as_array).is_some_and(|names| names.len() == 1);
    is_tagged.then_some((name.as_str(), options))
}

fn description(schema: &Value) -> String {
    schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}

fn range(schema: &Value) -> String {
    let bound = |key: &str| schema.get(key).filter(|value| value.is_number());
    let low = bound("minimum").map(|low| format!("≥ {low}")).or(bound("exclusiveMinimum").map(|low| format!("> {low}")));
    let high = bound("maximum").map(|high| format!("≤ {high}")).or(bound("exclusiveMaximum").map(|high| format!("< {high}")));
    let parts: Vec<String> = [low, high].into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { format!(" {}", parts.join(", ")) }
}

/// A value as it would be written in the file.
fn yaml(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {}", yaml(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(yaml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_kind_gets_a_table_and_every_type_a_section() {
        let schema = json!({
            "properties": { "seed": { "type": "integer", "minimum": 0, "default": 0, "description": "Where randomness\nbegins." },
                "stages": { "additionalProperties": { "$ref": "#/$defs/Kind" } } },
            "$defs": {
                "Kind": { "oneOf": [{ "description": "Trains.", "properties": { "train": { "$ref": "#/$defs/Train" } }, "required": ["train"] }] },
                "Train": { "properties": {
                    "rate": { "$ref": "#/$defs/Positive", "default": 0.1, "description": "The rate." },
                    "schedule": { "$ref": "#/$defs/Schedule" } }, "required": ["schedule"] },
                "Positive": { "type": "number", "exclusiveMinimum": 0 },
                "Schedule": { "description": "How it changes.", "oneOf": [
                    { "const": "constant", "description": "It does not." },
                    { "properties": { "step": { "$ref": "#/$defs/Step" } }, "required": ["step"], "description": "It falls." }] },
                "Step": { "properties": { "every": { "type": ["integer", "null"] } } },
            }
        });
        insta::assert_snapshot!(reference(&schema), @r"
        ## The file

        | option | value | default | |
        |---|---|---|---|
        | `seed` | whole number ≥ 0 | `0` | Where randomness begins. |
        | `stages` | any | none |  |

        ## `train`

        Trains.

        | option | value | default | |
        |---|---|---|---|
        | `rate` | number > 0 | `0.1` | The rate. |
        | `schedule` | [Schedule](#schedule) | **required** |  |

        ## Types

        ### Schedule

        How it changes.

        | choice | |
        |---|---|
        | `constant` | It does not. |
        | `step:` [Step](#step) | It falls. |

        ### Step



        | option | value | default | |
        |---|---|---|---|
        | `every` | whole number | none |  |
        ");
    }
}
