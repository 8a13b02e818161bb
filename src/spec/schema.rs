//! The JSON schema of the whole file, for editors: draft 2020-12, with descriptions.
//!
//! It is derived from the same types that are read, and then brought in line with what the reader does beyond serde: the
//! options of a choice may be left out where all have defaults, and no struct takes unknown keys.

use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::Header;
use crate::graph::StageId;

/// The schema of a `pipeline.yaml` whose stages are of kinds `K`.
pub fn schema<K: JsonSchema>() -> Value {
    let mut generator = SchemaGenerator::default();
    let id = StageId::json_schema(&mut generator);
    let kind = generator.subschema_for::<K>();
    let stages = json!({
        "type": "object",
        "description": "The stages, by name. The key below a name is the stage's kind; edges follow from the names that its options hold.",
        "propertyNames": id,
        "additionalProperties": kind,
        "minProperties": 1,
    });
    let mut root = generator.into_root_schema_for::<Header>();
    root.insert("title".to_owned(), json!("pipeline.yaml"));
    insert_stages(&mut root, stages);
    let definitions = root.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    RecursiveTransform(|schema: &mut Schema| close(schema)).transform(&mut root);
    RecursiveTransform(|schema: &mut Schema| allow_bare_names(schema, &definitions)).transform(&mut root);
    root.to_value()
}

fn insert_stages(root: &mut Schema, stages: Value) {
    let object = root.ensure_object();
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("stages".to_owned(), stages);
    }
    if let Some(required) = object.get_mut("required").and_then(Value::as_array_mut) {
        required.push(json!("stages"));
    }
}

/// Refuses keys that a struct does not declare, as the reader does.
fn close(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut()
        && object.contains_key("properties")
        && !object.contains_key("additionalProperties")
    {
        object.insert("additionalProperties".to_owned(), json!(false));
    }
}

/// Adds the bare name to the alternatives of an enum for every variant whose options may all be left out.
fn allow_bare_names(schema: &mut Schema, definitions: &Map<String, Value>) {
    let Some(alternatives) = schema.get_mut("oneOf").and_then(Value::as_array_mut) else { return };
    let bare: Vec<Value> = alternatives.iter().filter_map(|alternative| bare_name(alternative, definitions)).collect();
    alternatives.extend(bare);
}

/// `{ "type": "string", "const": "relu" }` for an alternative `{ "relu": options }` whose options all have defaults.
fn bare_name(alternative: &Value, definitions: &Map<String, Value>) -> Option<Value> {
    let required = alternative.get("required")?.as_array()?;
    let properties = alternative.get("properties")?.as_object()?;
    let [name] = &required[..] else { return None };
    let mut options = properties.get(name.as_str()?)?;
    if properties.len() != 1 {
        return None;
    }
    if let Some(reference) = options.get("$ref").and_then(Value::as_str) {
        options = definitions.get(reference.strip_prefix("#/$defs/")?)?;
    }
    let is_struct = options.get("type")? == "object" && options.get("required").is_none();
    let is_open_map =
        options.get("properties").is_none() && options.get("additionalProperties").is_some_and(|more| more != false);
    let mut bare = json!({ "type": "string", "const": name });
    if let Some(description) = alternative.get("description") {
        bare["description"] = description.clone();
    }
    (is_struct && !is_open_map).then_some(bare)
}

/// The fields without which the struct called `name` cannot be read, if it occurs in `T` with exactly these `fields`.
pub(super) fn required_fields<T: JsonSchema>(name: &str, fields: &[&str]) -> Vec<String> {
    let root = SchemaGenerator::default().into_root_schema_for::<T>();
    let definition = root.get("$defs").and_then(|definitions| definitions.get(name));
    let Some(Value::Object(schema)) = definition else { return Vec::new() };
    let has_these = schema
        .get("properties")
        .and_then(Value::as_object)
        .is_some_and(|properties| properties.len() == fields.len() && fields.iter().all(|field| properties.contains_key(*field)));
    let required = schema.get("required").and_then(Value::as_array).filter(|_| has_these);
    required.into_iter().flatten().filter_map(|field| field.as_str().map(str::to_owned)).collect()
}

/// The schema of [`super::Version`].
pub(super) fn version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "const": 1 })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{GOOD, TestKind, read};
    use super::*;

    /// Whether `schema` accepts `value`. Knows the words that our schemas use, and fails on any other.
    fn accepts(root: &Value, schema: &Value, value: &Value) -> bool {
        let Some(schema) = schema.as_object() else { return *schema == json!(true) };
        let count = |list: &Value| list.as_array().unwrap().iter().filter(|schema| accepts(root, schema, value)).count();
        let name_fits = |pattern: &str, name: &str| {
            assert_eq!(pattern, "^[A-Za-z][A-Za-z0-9_-]*$");
            name.parse::<StageId>().is_ok()
        };
        schema.iter().all(|(word, argument)| match (word.as_str(), value) {
            ("$schema" | "title" | "description" | "default" | "format" | "$defs", _) => true,
            ("$ref", _) => accepts(root, root.pointer(&argument.as_str().unwrap()[1..]).unwrap(), value),
            ("type", _) => {
                let is = |name: &Value| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "number" => value.is_number(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "null" => value.is_null(),
                    other => panic!("type {other}"),
                };
                argument.as_array().map_or_else(|| is(argument), |names| names.iter().any(is))
            }
            ("const", _) => value == argument,
            ("enum", _) => argument.as_array().unwrap().contains(value),
            ("oneOf", _) => count(argument) == 1,
            ("anyOf", _) => count(argument) >= 1,
            ("minimum", Value::Number(number)) => number.as_f64() >= argument.as_f64(),
            ("maximum", Value::Number(number)) => number.as_f64() <= argument.as_f64(),
            ("exclusiveMinimum", Value::Number(number)) => number.as_f64() > argument.as_f64(),
            ("exclusiveMaximum", Value::Number(number)) => number.as_f64() < argument.as_f64(),
            ("pattern", Value::String(text)) if argument.as_str().unwrap().contains('/') => text.contains('/'),
            ("pattern", Value::String(text)) => name_fits(argument.as_str().unwrap(), text),
            ("required", Value::Object(object)) => {
                argument.as_array().unwrap().iter().all(|key| object.contains_key(key.as_str().unwrap()))
            }
            ("properties", Value::Object(object)) => {
                let fits = |(key, schema)| object.get(key).is_none_or(|value| accepts(root, schema, value));
                argument.as_object().unwrap().iter().all(fits)
            }
            ("additionalProperties", Value::Object(object)) => {
                let declared = schema.get("properties").and_then(Value::as_object);
                let mut more = object.iter().filter(|(key, _)| declared.is_none_or(|declared| !declared.contains_key(*key)));
                more.all(|(_, value)| accepts(root, argument, value))
            }
            ("propertyNames", Value::Object(object)) => object.keys().all(|key| accepts(root, argument, &json!(key))),
            ("minProperties", Value::Object(object)) => object.len() as u64 >= argument.as_u64().unwrap(),
            ("items", Value::Array(items)) => items.iter().all(|item| accepts(root, argument, item)),
            ("minItems", Value::Array(items)) => items.len() as u64 >= argument.as_u64().unwrap(),
            ("maxItems", Value::Array(items)) => items.len() as u64 <= argument.as_u64().unwrap(),
            ("minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "pattern" | "required" | "properties", _) => true,
            ("additionalProperties" | "propertyNames" | "minProperties" | "items" | "minItems" | "maxItems", _) => true,
            (other, _) => panic!("the word `{other}` is not known to this test"),
        })
    }

    /// Whether the reader and the schema both accept a file with this stage.
    fn check(stage: Value) -> (bool, bool) {
        let file = json!({ "version": 1, "stages": { "raw": "fetch", "a": stage } });
        let schema = schema::<TestKind>();
        (read(&file.to_string(), &[]).is_ok(), accepts(&schema, &schema, &file))
    }

    #[test]
    fn the_schema_accepts_what_the_reader_accepts_and_refuses_what_has_the_wrong_form() {
        let train = |options: Value| {
            let mut all = json!({ "data": "raw", "model": "basic", "epochs": 3 });
            all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
            json!({ "train": all })
        };
        for good in [
            json!("fetch"),
            json!({ "fetch": {} }),
            json!({ "fetch": { "pattern": ["a", "b"], "shift": [0, 9], "values": [1, "x", null] } }),
            train(json!({})),
            train(json!({ "model": { "basic": { "activation": "gelu" } } })),
            train(json!({ "model": { "layers": ["flatten", { "dense": { "units": 3 } }] } })),
            train(json!({ "schedule": "cosine" })),
            train(json!({ "schedule": "constant" })),
            train(json!({ "schedule": { "cosine": { "final_rate": null } } })),
            train(json!({ "schedule": { "step": { "every": 2, "factor": 1 } } })),
            train(json!({ "dropout": 0.5, "search": { "x.y": { "max": 1 } } })),
        ] {
            assert_eq!(check(good.clone()), (true, true), "{good}");
        }
        for bad in [
            json!("train"),
            json!("fetsh"),
            json!({ "fetch": null }),
            json!({ "fetch": {}, "train": {} }),
            json!({ "fetch": { "ofline": true } }),
            json!({ "fetch": { "shift": [1] } }),
            json!({ "fetch": { "shift": [1, 300] } }),
            train(json!({ "epochs": 0 })),
            train(json!({ "epochs": "3" })),
            train(json!({ "data": "1st" })),
            train(json!({ "dropout": 1.5 })),
            train(json!({ "schedule": "step" })),
            train(json!({ "schedule": { "constant": {} } })),
            train(json!({ "model": "layers" })),
            train(json!({ "model": { "layers": ["dense"] } })),
            train(json!({ "model": { "layers": [{ "dense": { "units": 3, "bias": true } }] } })),
            json!({ "train": { "model": "basic", "epochs": 3 } }),
            json!({ "score": { "model": "exported" } }),
        ] {
            assert_eq!(check(bad.clone()), (false, false), "{bad}");
        }
    }

    #[test]
    fn the_whole_file() {
        let schema = schema::<TestKind>();
        let good = json!({ "version": 1, "name": "x", "seed": 3, "artifacts": "out", "stages": { "raw": "fetch" } });
        assert!(accepts(&schema, &schema, &good));
        for (key, value) in [
            ("version", json!(2)),
            ("name", json!(3)),
            ("seed", json!(-1)),
            ("stages", json!({})),
            ("stages", json!({ "1st": "fetch" })),
            ("stage", json!({})),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            assert!(!accepts(&schema, &schema, &bad), "{bad}");
        }
        for key in ["version", "stages"] {
            let mut bad = good.clone();
            bad.as_object_mut().unwrap().shift_remove(key);
            assert!(!accepts(&schema, &schema, &bad), "{bad}");
        }
        assert!(read(GOOD, &[]).is_ok());
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }

    #[test]
    fn descriptions_reach_the_schema() {
        let schema = schema::<TestKind>();
        let of = |pointer: &str| schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {schema:#}")).clone();
        assert_eq!(of("/properties/artifacts/description"), "The folder for results.");
        assert_eq!(of("/properties/artifacts/default"), "artifacts");
        assert_eq!(of("/$defs/TrainOptions/properties/epochs/description"), "How often.");
    }

    #[test]
    fn required_fields_are_known_by_name_and_fields() {
        let fields = ["every", "factor"];
        assert_eq!(required_fields::<TestKind>("Step", &fields), fields);
        assert!(required_fields::<TestKind>("Step", &["every"]).is_empty());
        assert!(required_fields::<TestKind>("Nobody", &fields).is_empty());
        assert!(required_fields::<TestKind>("Cosine", &["final_rate"]).is_empty());
    }
}
