//! What commands show: named values in sections, as text for people and as JSON for programs.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::json;
use crate::{table, units};

/// One value; `None` where it is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A count.
    Number(Option<u64>),
    /// Bytes.
    Size(Option<u64>),
    /// A time in ns.
    Time(Option<u64>),
    /// A share, 1000 for the whole.
    Share(Option<u32>),
    /// An address or a register.
    Hex(u64),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(u64::try_from(number).ok())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(Some(number))
    }
}

impl Value {
    /// As a person reads it; `-` when it is not known.
    fn text(&self) -> String {
        let known = match self {
            Self::Text(text) => Some(text.clone()),
            Self::Number(number) => number.map(|number| number.to_string()),
            Self::Size(bytes) => bytes.map(units::size),
            Self::Time(ns) => ns.map(units::time),
            Self::Share(permille) => permille.map(units::percent),
            Self::Hex(value) => Some(format!("{value:#x}")),
        };
        known.unwrap_or_else(|| "-".into())
    }

    /// As JSON. Addresses are strings, because readers of JSON round large numbers.
    fn json(&self) -> String {
        let known = match self {
            Self::Text(text) => Some(json::text(text)),
            Self::Number(number) | Self::Size(number) | Self::Time(number) => {
                number.map(|number| number.to_string())
            }
            Self::Share(permille) => permille.map(|permille| permille.to_string()),
            Self::Hex(value) => Some(format!("\"{value:#x}\"")),
        };
        known.unwrap_or_else(|| "null".into())
    }

    /// What the name of such a value ends with in JSON.
    fn unit(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Number(_) | Self::Hex(_) => "",
            Self::Size(_) => "_bytes",
            Self::Time(_) => "_ns",
            Self::Share(_) => "_permille",
        }
    }
}

/// One named value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// What it is.
    pub name: String,
    /// Its value.
    pub value: Value,
}

impl Field {
    /// `name` with `value`.
    pub fn new(name: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    /// `name` with a number of bytes.
    pub fn size(name: impl Into<String>, bytes: u64) -> Self {
        Self::new(name, Value::Size(Some(bytes)))
    }

    /// `name` with a time in ns.
    pub fn time(name: impl Into<String>, ns: Option<u64>) -> Self {
        Self::new(name, Value::Time(ns))
    }

    /// `name` with an address or a register.
    pub fn hex(name: impl Into<String>, value: u64) -> Self {
        Self::new(name, Value::Hex(value))
    }

    fn json(&self) -> String {
        let key = json::key(&self.name);
        let unit = Some(self.value.unit()).filter(|unit| !key.ends_with(unit)).unwrap_or("");
        format!("{}:{}", json::text(&(key + unit)), self.value.json())
    }
}

/// What a section holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// One value per line.
    Fields(Vec<Field>),
    /// One record per line; all have the same names.
    Table(Vec<Vec<Field>>),
}

/// Values under a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The heading; empty for none.
    pub title: String,
    /// The values, in the order shown.
    pub body: Body,
}

impl Section {
    /// A section of one value per line.
    pub fn fields(title: impl Into<String>, fields: Vec<Field>) -> Self {
        Self { title: title.into(), body: Body::Fields(fields) }
    }

    /// A section of one record per line.
    pub fn table(title: impl Into<String>, rows: Vec<Vec<Field>>) -> Self {
        Self { title: title.into(), body: Body::Table(rows) }
    }

    /// Its lines as text.
    fn text(&self) -> String {
        let indent = if self.title.is_empty() { "" } else { "  " };
        let body = match &self.body {
            Body::Fields(fields) => lines_of(fields),
            Body::Table(rows) => table_of(rows),
        };
        let mut text = String::new();
        if !self.title.is_empty() {
            text = format!("{}\n", self.title);
        }
        for line in body.lines() {
            text += indent;
            text += line;
            text.push('\n');
        }
        text
    }
}

/// `sections` as lines of text.
pub(crate) fn text(sections: &[Section]) -> String {
    sections.iter().map(Section::text).collect()
}

/// `sections` as one JSON value: an array when they are one table without a title, else an object in which the
/// fields of sections without a title stand beside the others.
pub(crate) fn json(sections: &[Section]) -> String {
    if let [Section { title, body: Body::Table(rows) }] = sections
        && title.is_empty()
    {
        return array(rows);
    }
    let mut members = Vec::new();
    for section in sections {
        let key = || json::text(&json::key(&section.title));
        match &section.body {
            Body::Fields(fields) if section.title.is_empty() => {
                members.extend(fields.iter().map(Field::json));
            }
            Body::Fields(fields) => members.push(format!("{}:{}", key(), object(fields))),
            Body::Table(rows) => members.push(format!("{}:{}", key(), array(rows))),
        }
    }
    format!("{{{}}}", members.join(","))
}

fn object(fields: &[Field]) -> String {
    format!("{{{}}}", fields.iter().map(Field::json).collect::<Vec<_>>().join(","))
}

fn array(rows: &[Vec<Field>]) -> String {
    format!("[{}]", rows.iter().map(|row| object(row)).collect::<Vec<_>>().join(","))
}

/// Columns of a terminal.
const COLUMNS: usize = 80;
/// More registers than this stand side by side.
const IN_A_COLUMN: usize = 8;

fn lines_of(fields: &[Field]) -> String {
    let is_register = |field: &Field| matches!(field.value, Value::Hex(_));
    if fields.len() > IN_A_COLUMN && fields.iter().all(is_register) {
        return grid_of(fields);
    }
    let row = |field: &Field| [field.name.clone(), field.value.text()].into();
    table::table(&[], &fields.iter().map(row).collect::<Vec<_>>())
}

/// Registers, as many in a line as there is room for.
fn grid_of(fields: &[Field]) -> String {
    let longest = fields.iter().map(|field| field.name.chars().count()).max().unwrap_or(0);
    // Two blanks behind the name and the value, which has at most 18 characters; two before the line.
    let per_line = (COLUMNS - 2).checked_div(longest.saturating_add(22)).unwrap_or(0).max(1);
    let cells = |field: &Field| [field.name.clone(), field.value.text()];
    let rows = fields.chunks(per_line).map(|line| line.iter().flat_map(cells).collect());
    table::table(&[], &rows.collect::<Vec<_>>())
}

fn table_of(rows: &[Vec<Field>]) -> String {
    let head: Vec<String> = rows
        .first()
        .map(|row| row.iter().map(|field| field.name.to_uppercase()).collect())
        .unwrap_or_default();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let row = |row: &Vec<Field>| row.iter().map(|field| field.value.text()).collect();
    table::table(&head, &rows.iter().map(row).collect::<Vec<Vec<String>>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections() -> Vec<Section> {
        let row =
            |name: &str, bytes| Vec::from([Field::new("name", name), Field::size("size", bytes)]);
        Vec::from([
            Section::fields("", Vec::from([Field::new("exits/s", 7u64), Field::time("up", None)])),
            Section::table("two words", Vec::from([row("a\"b", 1 << 20), row("c", 3)])),
            Section::fields("regs", Vec::from([Field::hex("PC", u64::MAX)])),
        ])
    }

    #[test]
    fn text_has_titles_heads_and_a_dash_for_what_is_not_known() {
        let expected = "exits/s  7\nup       -\ntwo words\n  NAME  SIZE\n  a\"b   1M\n  c     3\n\
                        regs\n  PC  0xffffffffffffffff\n";
        assert_eq!(text(&sections()), expected);
    }

    #[test]
    fn many_registers_stand_side_by_side() {
        let fields = (0..31).map(|n| Field::hex(format!("x{n}"), u64::MAX)).collect();
        let shown = text(&[Section::fields("vcpu 0", fields)]);
        assert_eq!(shown.lines().count(), 12);
        assert!(shown.lines().all(|line| line.len() < COLUMNS), "{shown}");
        assert!(shown.ends_with("\n  x30  0xffffffffffffffff\n"), "{shown}");
    }

    #[test]
    fn json_keys_carry_their_units_and_addresses_are_strings() {
        let expected = "{\"exits_per_s\":7,\"up_ns\":null,\"two_words\":[{\"name\":\"a\\\"b\",\"size_bytes\":1048576},\
                        {\"name\":\"c\",\"size_bytes\":3}],\"regs\":{\"pc\":\"0xffffffffffffffff\"}}";
        assert_eq!(json(&sections()), expected);
        assert_eq!(json(&[Section::table("", Vec::new())]), "[]");
        assert_eq!(json(&[]), "{}");
    }
}
