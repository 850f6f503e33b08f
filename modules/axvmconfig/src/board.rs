//! One board: `configs/boards/*.toml`.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    error::ConfigError,
    fields::{Fields, Key, key},
    kind::{Kind, Shape},
    node::Node,
    source::Source,
};

/// A machine that the hypervisor is built for and started on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardConfig {
    /// Its name: 1 to 32 letters, digits, `_` and `-`.
    pub name: String,
    /// Its architecture, such as `aarch64`.
    pub arch: String,
    /// The target triple the hypervisor is compiled for.
    pub target: String,
    /// The host platform layer; `dyn` finds the hardware at run time.
    pub platform: String,
    /// The VMs that are started at boot, by their name in the bundle.
    pub autostart: Vec<String>,
    /// What the host keeps of memory for itself, in bytes; 64 MiB by default.
    pub host_heap: usize,
    /// How QEMU shows the board; absent for real ones.
    pub qemu: Option<QemuConfig>,
}

/// The pieces of a QEMU command line: `[qemu]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QemuConfig {
    /// `-machine`.
    pub machine: String,
    /// `-cpu`.
    pub cpu: String,
    /// `-smp`: how many CPUs, 1 to 64; 1 by default.
    pub smp: usize,
    /// `-m`, in bytes.
    pub memory: usize,
    /// What else is on the line, one argument per item.
    pub args: Vec<String>,
    /// Paths of nodes, with `*`, that are left out of the device tree QEMU is given.
    pub trim: Vec<String>,
}

const KEYS: &[Key] = &[
    key("name", &[], Kind::Name, "Its name, which is that of its file."),
    key(
        "arch",
        &[],
        Kind::Name,
        "Its architecture, such as aarch64; it chooses configs/vms/*-ARCH.toml.",
    ),
    key("target", &[], Kind::Name, "The target triple the hypervisor is compiled for."),
    key(
        "platform",
        &[],
        Kind::Name,
        "The host platform layer; dyn finds the hardware at run time.",
    )
    .or("\"dyn\""),
    key(
        "autostart",
        &[],
        Kind::List(&Kind::Name),
        "The VMs that boot by themselves, by the names of their files or their own.",
    )
    .or("[]"),
    key("host_heap", &[], Kind::Size, "What the host keeps of memory for itself; 1 MiB or more.")
        .or("\"64M\""),
    key("qemu", &[], Kind::Table(&QEMU_SHAPE), "How QEMU shows the board; absent for real ones."),
];
/// A board's file.
pub(crate) const SHAPE: Shape =
    Shape { keys: KEYS, required: &[&["name"], &["arch"], &["target"]] };

const TEXT: Kind = Kind::Text { least: 1, most: 255 };
/// The most CPUs QEMU is asked for.
const MAX_SMP: usize = 64;
const QEMU_KEYS: &[Key] = &[
    key("machine", &[], TEXT, "-machine"),
    key("cpu", &[], TEXT, "-cpu"),
    key("smp", &[], Kind::Integer { least: 1, most: MAX_SMP }, "-smp: how many CPUs.").or("1"),
    key("memory", &[], Kind::Size, "-m: 1 MiB or more."),
    key(
        "args",
        &[],
        Kind::List(&TEXT),
        "What else is on QEMU's command line, an item for each argument.",
    )
    .or("[]"),
    key(
        "trim",
        &[],
        Kind::List(&TEXT),
        "Nodes of QEMU's device tree that make run leaves out, as paths with *.",
    )
    .or("[]"),
];
const QEMU_SHAPE: Shape =
    Shape { keys: QEMU_KEYS, required: &[&["machine"], &["cpu"], &["memory"]] };

impl BoardConfig {
    /// The board that `text` describes; `file_name` is for errors only.
    ///
    /// # Errors
    /// The first mistake in the file, with its place and what is allowed there.
    pub fn from_toml(file_name: &str, text: &str) -> Result<Self, ConfigError> {
        const HOST_HEAP: usize = 64 << 20;
        let source = Source::new(file_name, text);
        let tree = source.parse()?;
        let fields = Fields::of_file(&source, tree.get_ref(), KEYS)?;
        let word = |name, example| fields.require(name, example)?.name();
        let platform = fields.read("platform", Node::name)?;
        let vms = fields.read("autostart", Node::items)?.unwrap_or_default();
        Ok(Self {
            name: word("name", "name = \"qemu-aarch64\"")?,
            arch: word("arch", "arch = \"aarch64\"")?,
            target: word("target", "target = \"aarch64-unknown-none\"")?,
            platform: platform.unwrap_or_else(|| "dyn".into()),
            autostart: vms.iter().map(Node::name).collect::<Result<_, _>>()?,
            host_heap: fields.read("host_heap", memory)?.unwrap_or(HOST_HEAP),
            qemu: fields.read("qemu", read_qemu)?,
        })
    }
}

fn read_qemu(node: &Node<'_>) -> Result<QemuConfig, ConfigError> {
    let fields = Fields::of_table(node, QEMU_KEYS)?;
    let text = |name, example| fields.require(name, example)?.string(1, 255);
    let texts = |name| {
        let items = fields.read(name, Node::items)?.unwrap_or_default();
        let text = |item: &Node<'_>| item.string(1, 255).map(ToString::to_string);
        items.iter().map(text).collect::<Result<Vec<_>, ConfigError>>()
    };
    Ok(QemuConfig {
        machine: text("machine", "machine = \"virt,virtualization=on\"")?.into(),
        cpu: text("cpu", "cpu = \"cortex-a72\"")?.into(),
        smp: fields.read("smp", |node| node.integer_in(1..MAX_SMP + 1))?.unwrap_or(1),
        memory: memory(fields.require("memory", "memory = \"2G\"")?)?,
        args: texts("args")?,
        trim: texts("trim")?,
    })
}

/// An amount of memory: at least 1 MiB, at most 2^48 bytes.
fn memory(node: &Node<'_>) -> Result<usize, ConfigError> {
    let bytes = node.size()?;
    if (1 << 20..=1 << 48).contains(&bytes) {
        return Ok(bytes);
    }
    let message = alloc::format!("{} cannot be {bytes} bytes", node.key);
    Err(node.error(message, "allowed: 1 MiB to 256 TiB"))
}
