//! JSON schemas of the config files, for editors: made of the tables that the reader goes by.
//!
//! JSON Schema draft 7, which is what editors read for TOML. A schema knows less than the reader: what
//! values have to do with each other (one vCPU, one item; no two things at one address) it does not say.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    fields::Key,
    json::{Json, object},
    kind::{Kind, Shape},
    node::MAX_ITEMS,
};

/// The schema of `configs/vms/*.toml`.
#[must_use]
pub fn vm() -> String {
    file("A virtual machine", &crate::keys::SHAPE)
}

/// The schema of `configs/boards/*.toml`.
#[must_use]
pub fn board() -> String {
    file("A board that the hypervisor is built for", &crate::board::SHAPE)
}

/// The schema of a file whose keys may stand at the top or in their sections.
fn file(title: &str, shape: &Shape) -> String {
    let definitions = shape.keys.iter().map(|key| (key.name, setting(key)));
    let schema = object([("$schema", Json::from("http://json-schema.org/draft-07/schema#"))])
        .with("title", title)
        .with("type", "object")
        .with("additionalProperties", false)
        .with("properties", top(shape))
        .with("allOf", shape.required.iter().map(|group| given(shape, group)).collect::<Json>())
        .with("definitions", object(definitions));
    format!("{schema}\n")
}

/// What may stand at the top of a file: keys in all spellings, and sections.
fn top(shape: &Shape) -> Json {
    let sections = sections(shape);
    let mut members = Vec::new();
    for (name, key) in spellings(shape.keys) {
        // `kernel` is a file or the section of that name.
        let value = if sections.contains(&name) {
            object([("anyOf", Json::List(Vec::from([reference(key), section(shape, name)])))])
        } else {
            reference(key)
        };
        members.push((name, value));
    }
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let others = sections.iter().filter(|name| !names.contains(name));
    members.extend(others.map(|name| (*name, section(shape, name))));
    object(members)
}

/// The sections in the order of their first keys.
fn sections(shape: &Shape) -> Vec<&'static str> {
    let mut sections = Vec::new();
    for key in shape.keys {
        if !key.section.is_empty() && !sections.contains(&key.section) {
            sections.push(key.section);
        }
    }
    sections
}

/// A section with its keys in all spellings.
fn section(shape: &Shape, name: &str) -> Json {
    let keys = spellings(shape.keys).filter(|(_, key)| key.section == name);
    object([("type", Json::from("object"))])
        .with("additionalProperties", false)
        .with("properties", object(keys.map(|(name, key)| (name, reference(key)))))
}

/// Each way to write each key.
fn spellings(keys: &'static [Key]) -> impl Iterator<Item = (&'static str, &'static Key)> {
    keys.iter().flat_map(|key| key.names().map(move |name| (name, key)))
}

/// Where a file says what a key is.
fn reference(key: &Key) -> Json {
    object([("$ref", Json::Text(format!("#/definitions/{}", key.name)))])
}

/// That one of the keys in `group` is there, in one of its places and spellings.
fn given(shape: &Shape, group: &[&str]) -> Json {
    let keys = shape.keys.iter().filter(|key| group.contains(&key.name));
    let mut ways = Vec::new();
    for key in keys {
        for name in key.names() {
            ways.push(if sections(shape).contains(&name) {
                has(name).with("properties", object([(name, reference(key))]))
            } else {
                has(name)
            });
            if !key.section.is_empty() {
                let within = object([(key.section, has(name).with("type", "object"))]);
                ways.push(has(key.section).with("properties", within));
            }
        }
    }
    object([("anyOf", Json::List(ways))])
}

/// That an object has the member `name`.
fn has(name: &str) -> Json {
    object([("required", Json::List(Vec::from([Json::from(name)])))])
}

/// A key's value, what it means and what it is if it is not there.
fn setting(key: &Key) -> Json {
    let kind = kind(&key.kind).with("description", key.about);
    match key.default {
        "" => kind,
        default => kind.with("default", Json::Raw(default.to_string())),
    }
}

/// What `kind` allows.
fn kind(kind: &Kind) -> Json {
    let of_type = |name: &str| object([("type", Json::from(name))]);
    match kind {
        Kind::Integer { least, most: usize::MAX } => of_type("integer").with("minimum", *least),
        Kind::Integer { least, most } => {
            of_type("integer").with("minimum", *least).with("maximum", *most)
        }
        Kind::Size => any([
            of_type("integer").with("minimum", 0),
            of_type("string").with("pattern", "^[0-9]+([KkMmGg]|[KMG]iB)?$"),
        ]),
        Kind::Text { least, most } => {
            of_type("string").with("minLength", *least).with("maxLength", *most)
        }
        Kind::Name => of_type("string").with("pattern", "^[A-Za-z0-9_-]{1,32}$"),
        Kind::Boolean => of_type("boolean"),
        Kind::Choice(words) => choice(words),
        Kind::List(item) => {
            of_type("array").with("maxItems", MAX_ITEMS).with("items", self::kind(item))
        }
        Kind::Either(kinds) => any(kinds.iter().map(self::kind)),
        Kind::Table(shape) => table(shape),
        Kind::Record { shape, row, optional } => {
            any([table(shape), self::row(shape, row, *optional)])
        }
    }
}

fn any(ways: impl IntoIterator<Item = Json>) -> Json {
    object([("anyOf", ways.into_iter().collect())])
}

/// Words, those that are told of first, then numbers.
fn choice(words: &fn() -> Vec<crate::kind::Word>) -> Json {
    let mut words = words();
    words.sort_by_key(|word| !word.advertised);
    let texts = words.iter().map(|word| Json::from(word.word));
    let numbers = words.iter().filter_map(|word| word.number).map(Json::from);
    object([("enum", texts.chain(numbers).collect())])
}

/// A table with the keys of `shape`.
fn table(shape: &Shape) -> Json {
    let keys = spellings(shape.keys).map(|(name, key)| (name, setting(key)));
    let required = shape.required.iter().map(|group| given(shape, group));
    let table = object([("type", Json::from("object"))])
        .with("additionalProperties", false)
        .with("properties", object(keys));
    if shape.required.is_empty() { table } else { table.with("allOf", required.collect::<Json>()) }
}

/// The values of the keys in `row`, in a list.
fn row(shape: &Shape, row: &[&str], optional: usize) -> Json {
    let key = |name: &&str| shape.keys.iter().find(|key| key.name == *name);
    let items =
        row.iter().filter_map(key).map(|key| kind(&key.kind).with("description", key.about));
    object([("type", Json::from("array"))])
        .with("items", items.collect::<Json>())
        .with("minItems", row.len().saturating_sub(optional))
        .with("additionalItems", false)
}
