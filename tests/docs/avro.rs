//! Avro schemas: they know what the JSON Schemas know, hold every example and read what the last
//! released ones wrote.

use std::collections::{BTreeMap, BTreeSet};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::{Map, Value, json};

use crate::package::{RECORDS, examples, files, json as read, text};
use crate::schemas::members_of_schema;

/// Record types by name: Avro refers to them once they have been defined.
pub(crate) type Named = BTreeMap<String, Value>;

#[test]
fn avro_knows_what_json_schema_knows() {
    for record in RECORDS {
        let mut in_json = BTreeSet::new();
        members_of_schema(
            &read(&format!("schemas/{record}.schema.json")),
            &mut in_json,
        );
        // Avro's names have no hyphens.
        let in_json: BTreeSet<_> = in_json.iter().map(|name| name.replace('-', "_")).collect();
        let mut in_avro = BTreeSet::new();
        for definition in named(&read(&format!("schemas/{record}.avsc"))).values() {
            in_avro.extend(fields(definition).flat_map(names_of));
        }
        assert_eq!(in_json, in_avro, "{record}");
    }
}

#[test]
fn examples_fit_and_come_back() {
    for record in RECORDS {
        let source = read(&format!("schemas/{record}.avsc"));
        let schema = Schema::parse(&source).unwrap_or_else(|error| panic!("{record}: {error}"));
        for (name, example) in examples(record) {
            let value = to_avro(&example, &source, &named(&source))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(value.validate(&schema), "{name}: {value:#?}");
            let writer = GenericDatumWriter::builder(&schema).build().unwrap();
            let bytes = writer.write_value_to_vec(value.clone()).unwrap();
            let reader = GenericDatumReader::builder(&schema).build().unwrap();
            assert_eq!(reader.read_value(&mut &bytes[..]).unwrap(), value, "{name}");
        }
    }
}

#[test]
fn what_was_released_can_still_be_read() {
    let released = files("schemas/released", ".avsc");
    assert!(!released.is_empty());
    for name in released {
        let file = name.rsplit('/').next().unwrap();
        let compatible = reads(&text(&format!("schemas/{file}")), &text(&name));
        assert_eq!(compatible, Ok(()), "{name}");
    }
}

#[test]
fn a_change_that_breaks_readers_is_noticed() {
    let released = text("schemas/notice.avsc");
    let change = |edit: &dyn Fn(&mut Vec<Value>)| {
        let mut schema = read("schemas/notice.avsc");
        edit(schema["fields"].as_array_mut().unwrap());
        reads(&schema.to_string(), &released)
    };
    let text_or_null = json!(["null", "string"]);
    let with_default = json!({"name": "more", "type": text_or_null, "default": null});
    assert_eq!(change(&|fields| fields.push(with_default.clone())), Ok(()));
    assert!(change(&|fields| fields.push(json!({"name": "more", "type": "string"}))).is_err());
    assert!(change(&|fields| fields[0]["type"] = json!("int")).is_err());
    assert!(change(&|fields| fields[0]["name"] = json!("sort")).is_err());
}

/// Whether data that was written with one schema can always be read with another.
fn reads(reader: &str, writer: &str) -> Result<(), String> {
    let parse = |text: &str| Schema::parse_str(text).map_err(|error| error.to_string());
    match SchemaCompatibility::can_read(&parse(writer)?, &parse(reader)?) {
        Ok(Compatibility::Full) => Ok(()),
        Ok(Compatibility::Partial) => Err("only some data can be read".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A JSON value in the form that an Avro schema gives it; what the schema does not know is refused.
pub(crate) fn to_avro(value: &Value, schema: &Value, named: &Named) -> Result<Avro, String> {
    let refused = || Err(format!("{value} is not {schema}"));
    let kind = schema.get("type").unwrap_or(schema);
    match (kind, value) {
        (Value::Array(branches), _) => branches
            .iter()
            .enumerate()
            .find_map(|(index, branch)| {
                let inner = to_avro(value, branch, named).ok()?;
                Some(Avro::Union(u32::try_from(index).ok()?, Box::new(inner)))
            })
            .map_or_else(refused, Ok),
        (Value::Object(_), _) => to_avro(value, kind, named),
        (Value::String(kind), _) => match (&**kind, value) {
            ("null", Value::Null) => Ok(Avro::Null),
            ("string", Value::String(text)) => Ok(Avro::String(text.clone())),
            ("boolean", Value::Bool(switch)) => Ok(Avro::Boolean(*switch)),
            ("double", Value::Number(number)) => {
                number.as_f64().map(Avro::Double).map_or_else(refused, Ok)
            }
            ("long", _) => whole(value).map(Avro::Long).map_or_else(refused, Ok),
            ("int", _) => whole(value)
                .and_then(|number| i32::try_from(number).ok())
                .map(Avro::Int)
                .map_or_else(refused, Ok),
            ("array", Value::Array(entries)) => entries
                .iter()
                .map(|entry| to_avro(entry, &schema["items"], named))
                .collect::<Result<_, _>>()
                .map(Avro::Array),
            ("map", Value::Object(members)) => members
                .iter()
                .map(|(name, entry)| Ok((name.clone(), to_avro(entry, &schema["values"], named)?)))
                .collect::<Result<_, String>>()
                .map(Avro::Map),
            ("record", Value::Object(members)) => record(members, schema, named),
            (name, _) => match named.get(name).filter(|_| schema.is_string()) {
                Some(definition) => to_avro(value, definition, named),
                None => refused(),
            },
        },
        (Value::Null | Value::Bool(_) | Value::Number(_), _) => refused(),
    }
}

fn record(members: &Map<String, Value>, schema: &Value, named: &Named) -> Result<Avro, String> {
    let mut rest: BTreeMap<String, &Value> = members
        .iter()
        .map(|(name, value)| (name.replace('-', "_"), value))
        .collect();
    let mut filled = Vec::new();
    for field in fields(schema) {
        let given = names_of(field).iter().find_map(|name| rest.remove(name));
        // Members that may be any JSON value are its text.
        let as_text = given
            .filter(|_| field["json"] == true)
            .map(Value::to_string);
        let value = match (as_text, given) {
            (Some(text), _) => text.into(),
            (None, Some(value)) => value.clone(),
            (None, None) => field
                .get("default")
                .ok_or_else(|| format!("{} is missing", field["name"]))?
                .clone(),
        };
        let name = field["name"].as_str().unwrap_or_default().to_owned();
        filled.push((name, to_avro(&value, &field["type"], named)?));
    }
    match rest.keys().next() {
        None => Ok(Avro::Record(filled)),
        Some(unknown) => Err(format!("{unknown} is not known")),
    }
}

/// A whole number; those in headers are text.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn fields(record: &Value) -> impl Iterator<Item = &Value> {
    record["fields"].as_array().into_iter().flatten()
}

/// A field's name and its aliases.
fn names_of(field: &Value) -> Vec<String> {
    let aliases = field["aliases"].as_array().into_iter().flatten();
    [&field["name"]]
        .into_iter()
        .chain(aliases)
        .filter_map(|name| Some(name.as_str()?.to_owned()))
        .collect()
}

/// All records of a schema by their names.
pub(crate) fn named(schema: &Value) -> Named {
    let mut found = Named::new();
    let inner: Vec<&Value> = match schema {
        Value::Array(branches) => branches.iter().collect(),
        Value::Object(members) => members.values().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    found.extend(inner.into_iter().flat_map(named));
    if let (Some(name), Some("record")) = (schema["name"].as_str(), schema["type"].as_str()) {
        found.insert(name.to_owned(), schema.clone());
    }
    found
}

#[test]
fn members_that_avro_does_not_know_are_noticed() {
    let schema = read("schemas/notice.avsc");
    let mut notice = examples("notice")[0].1.clone();
    notice["more"] = json!(1);
    assert!(to_avro(&notice, &schema, &named(&schema)).is_err());
    notice.as_object_mut().unwrap().remove("more");
    assert!(to_avro(&notice, &schema, &named(&schema)).is_ok());
    notice.as_object_mut().unwrap().remove("type");
    assert!(to_avro(&notice, &schema, &named(&schema)).is_err());
}
