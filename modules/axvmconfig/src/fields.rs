//! The keys of one table, each known by one name however the file spells it.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::ops::Range;

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use crate::{
    error::ConfigError,
    kind::Kind,
    node::Node,
    source::{Source, quoted},
    suggest::nearest,
};

/// A key that a table may have.
pub(crate) struct Key {
    /// The name it is asked for by.
    pub(crate) name: &'static str,
    /// Other ways to write it.
    pub(crate) aliases: &'static [&'static str],
    /// The section it may stand in besides the top of the file; empty for a key of a plain table.
    pub(crate) section: &'static str,
    /// What its value is.
    pub(crate) kind: Kind,
    /// What it means, in one sentence.
    pub(crate) about: &'static str,
    /// Its value if it is not there, as JSON; empty if it then has none, or one that depends on others.
    pub(crate) default: &'static str,
}

/// A key of a plain table.
pub(crate) const fn key(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    about: &'static str,
) -> Key {
    key_of("", name, aliases, kind, about)
}

/// A key of the section `section`.
pub(crate) const fn key_of(
    section: &'static str,
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    about: &'static str,
) -> Key {
    Key { name, aliases, section, kind, about, default: "" }
}

impl Key {
    /// The same key with a default.
    pub(crate) const fn or(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    fn is_called(&self, written: &str) -> bool {
        self.name == written || self.aliases.contains(&written)
    }

    fn fits(&self, section: &str) -> bool {
        section.is_empty() || self.section == section
    }

    /// Each way to write it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        core::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// The values that were found, by the name of their key.
pub(crate) struct Fields<'s> {
    pub(crate) source: &'s Source<'s>,
    /// The key of the table itself; empty for the file.
    path: String,
    /// Where a missing key is reported.
    place: Range<usize>,
    found: BTreeMap<&'static str, Node<'s>>,
}

impl<'s> Fields<'s> {
    /// The keys at the top of a file and in its sections.
    pub(crate) fn of_file(
        source: &'s Source<'s>,
        file: &'s DeTable<'s>,
        keys: &'static [Key],
    ) -> Result<Self, ConfigError> {
        let mut fields = Self::empty(source, String::new(), 0..0);
        fields.add_table(file, "", keys)?;
        Ok(fields)
    }

    /// The keys of the table `node`; or the items of the list `node`, which are the keys named in `row`, in order.
    ///
    /// The last `optional` items of the row may be left out.
    pub(crate) fn of_record(
        node: &Node<'s>,
        keys: &'static [Key],
        row: &[&'static str],
        optional: usize,
    ) -> Result<Self, ConfigError> {
        if node.value.is_table() {
            return Self::of_table(node, keys);
        }
        let mut fields = Self::empty(node.source, node.key.clone(), node.span.clone());
        let items = node.items()?;
        if !(row.len().saturating_sub(optional)..=row.len()).contains(&items.len()) {
            let message = format!("{} has {} items", node.key, items.len());
            return Err(node.error(message, format!("allowed: [{}]", row.join(", "))));
        }
        for (name, mut item) in row.iter().zip(items) {
            item.key = format!("{}.{name}", node.key);
            fields.found.insert(name, item);
        }
        Ok(fields)
    }

    /// The keys of the table `node`.
    pub(crate) fn of_table(node: &Node<'s>, keys: &'static [Key]) -> Result<Self, ConfigError> {
        let mut fields = Self::empty(node.source, node.key.clone(), node.span.clone());
        fields.add_table(node.table()?, "", keys)?;
        Ok(fields)
    }

    fn empty(source: &'s Source<'s>, path: String, place: Range<usize>) -> Self {
        Self { source, path, place, found: BTreeMap::new() }
    }

    /// Takes up the entries of `table`, in the order of the file, so that the first mistake is the one reported.
    fn add_table(
        &mut self,
        table: &'s DeTable<'s>,
        section: &str,
        keys: &'static [Key],
    ) -> Result<(), ConfigError> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(written, _)| written.span().start);
        for (written, value) in entries {
            let name: &str = written.get_ref();
            let is_section = section.is_empty()
                && !name.is_empty()
                && keys.iter().any(|key| key.section == name);
            if let (true, DeValue::Table(inner)) = (is_section, value.get_ref()) {
                self.add_table(inner, name, keys)?;
            } else {
                self.add_entry(written, value, section, keys)?;
            }
        }
        Ok(())
    }

    fn add_entry(
        &mut self,
        written: &Spanned<DeString<'s>>,
        value: &'s Spanned<DeValue<'s>>,
        section: &str,
        keys: &'static [Key],
    ) -> Result<(), ConfigError> {
        let name: &str = written.get_ref();
        let path = if self.path.is_empty() {
            name.escape_debug().to_string()
        } else {
            format!("{}.{}", self.path, name.escape_debug())
        };
        let mut known = keys.iter();
        let Some(key) = known.find(|key| key.is_called(name) && key.fits(section)) else {
            let hint = what_was_meant(name, section, keys);
            let message = format!("unknown key {}", quoted(name));
            return Err(self.source.error(written.span(), &path, message, hint));
        };
        self.insert(key.name, written.span(), Node::new(self.source, path, value))
    }

    fn insert(
        &mut self,
        name: &'static str,
        written: Range<usize>,
        node: Node<'s>,
    ) -> Result<(), ConfigError> {
        let Some(earlier) = self.found.get(name) else {
            self.found.insert(name, node);
            return Ok(());
        };
        let line = self.source.line_of(earlier.span.start);
        let message = format!("{} says what {} said before", node.key, earlier.key);
        let hint = format!("{} is on line {line}: keep one of the two", earlier.key);
        Err(self.source.error(written, &node.key, message, hint))
    }

    /// The key of the table itself.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// An error at the table itself.
    pub(crate) fn error(&self, message: impl Into<String>, hint: impl Into<String>) -> ConfigError {
        self.source.error(self.place.clone(), &self.path, message, hint)
    }

    /// The value of the key, if the file has it.
    pub(crate) fn get(&self, name: &str) -> Option<&Node<'s>> {
        self.found.get(name)
    }

    /// What `read` makes of the key's value, if the file has it.
    pub(crate) fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Node<'s>) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        self.get(name).map(read).transpose()
    }

    /// The value of a key that has to be there; `example` says what to write.
    pub(crate) fn require(&self, name: &str, example: &str) -> Result<&Node<'s>, ConfigError> {
        self.get(name).ok_or_else(|| self.missing(name, example))
    }

    /// The error of a key that has to be there and is not.
    pub(crate) fn missing(&self, name: &str, example: &str) -> ConfigError {
        let message = if self.path.is_empty() {
            format!("{name} is missing")
        } else {
            format!("{} has no {name}", self.path)
        };
        let hint = format!("write: {example}");
        self.source.error(self.place.clone(), name, message, hint)
    }

    /// Refuses the first of the two keys if both are there.
    pub(crate) fn exclude(&self, name: &str, other: &str) -> Result<(), ConfigError> {
        let (Some(node), Some(earlier)) = (self.get(name), self.get(other)) else {
            return Ok(());
        };
        let line = self.source.line_of(earlier.span.start);
        let message = format!("{} and {} cannot both be given", node.key, earlier.key);
        Err(node.error(message, format!("{} is on line {line}", earlier.key)))
    }
}

/// What to say about the unknown key `written`.
fn what_was_meant(written: &str, section: &str, keys: &'static [Key]) -> String {
    if let Some(key) = keys.iter().find(|key| key.is_called(written)) {
        return format!("it belongs in [{}]", key.section);
    }
    let here = || keys.iter().filter(|key| key.fits(section));
    if let Some(near) = nearest(written, here().flat_map(Key::names)) {
        return format!("did you mean \"{near}\"?");
    }
    let mut names: Vec<&str> = here().map(|key| key.name).collect();
    names.sort_unstable();
    format!("allowed: {}", names.join(", "))
}
