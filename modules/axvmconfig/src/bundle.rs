//! The index of a bundle: which VMs it carries and where their files are in it.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use crate::{
    error::ConfigError,
    fields::{Fields, Key, key},
    kind::{Kind, PATH, Shape},
    node::Node,
    source::{Source, quoted},
};

/// What a bundle holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleIndex {
    /// The board the bundle was made for.
    pub board: String,
    /// The VMs, in the order of the file; their names are distinct.
    pub vms: Vec<BundleVm>,
}

/// One VM of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleVm {
    /// The bundle's name for it.
    pub name: String,
    /// The bundle entry that holds its TOML.
    pub config: String,
    /// Whether it is started at boot; not by default.
    pub autostart: bool,
    /// From a path as its TOML writes it to the bundle entry that holds the file.
    pub files: BTreeMap<String, String>,
}

const KEYS: &[Key] = &[
    key("board", &[], Kind::Name, "The board the bundle was made for."),
    key("vm", &[], Kind::List(&Kind::Table(&VM_SHAPE)), "Its VMs."),
];
const VM_KEYS: &[Key] = &[
    key("name", &[], Kind::Name, "The bundle's name for it."),
    key("config", &[], PATH, "The entry that holds its TOML."),
    key("autostart", &[], Kind::Boolean, "Whether it is started at boot.").or("false"),
    key(
        "files",
        &[],
        Kind::Table(&FILES),
        "From a path as its TOML writes it to the entry that holds the file.",
    ),
];
const VM_SHAPE: Shape = Shape { keys: VM_KEYS, required: &[&["name"], &["config"]] };
/// Its keys are free.
const FILES: Shape = Shape { keys: &[], required: &[] };

impl BundleIndex {
    /// The index that `text` describes.
    ///
    /// # Errors
    /// The first mistake, with its place; the file is called `bundle index`.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let source = Source::new("bundle index", text);
        let tree = source.parse()?;
        let fields = Fields::of_file(&source, tree.get_ref(), KEYS)?;
        let board = fields.require("board", "board = \"qemu-aarch64\"")?.name()?;
        let mut vms: Vec<BundleVm> = Vec::new();
        for item in fields.read("vm", Node::items)?.unwrap_or_default() {
            let vm = read_vm(&item)?;
            if vms.iter().any(|other| other.name == vm.name) {
                let message = format!("two VMs are called {}", quoted(&vm.name));
                return Err(item.error(message, "allowed: a different name for each"));
            }
            vms.push(vm);
        }
        Ok(Self { board, vms })
    }

    /// The VM of that name.
    #[must_use]
    pub fn vm(&self, name: &str) -> Option<&BundleVm> {
        self.vms.iter().find(|vm| vm.name == name)
    }
}

impl BundleVm {
    /// The bundle entry that holds the file its TOML calls `path`.
    #[must_use]
    pub fn entry(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }
}

fn read_vm(item: &Node<'_>) -> Result<BundleVm, ConfigError> {
    let fields = Fields::of_table(item, VM_KEYS)?;
    Ok(BundleVm {
        name: fields.require("name", "name = \"linux-aarch64\"")?.name()?,
        config: fields.require("config", "config = \"vms/linux-aarch64.toml\"")?.path()?,
        autostart: fields.read("autostart", Node::boolean)?.unwrap_or(false),
        files: fields.read("files", files)?.unwrap_or_default(),
    })
}

fn files(node: &Node<'_>) -> Result<BTreeMap<String, String>, ConfigError> {
    let entry = |(path, value): (String, Node<'_>)| Ok((path, value.path()?));
    node.entries()?.into_iter().map(entry).collect()
}
