"""The bundle: the VM configurations and the images they name, as one tar file the hypervisor reads.

Layout: `index.toml` first, then `vms/NAME.toml` and `scripts/NAME.axsh` word for word, then `blobs/N-BASENAME`, each content
once. The same input always gives the same bytes.
"""

import hashlib
import io
import tarfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from . import tree

LIMIT_MIB = 110
SCRIPTS = tree.TOP / "configs" / "scripts"
IMAGE_KEYS = ["kernel", "kernel_path", "ramdisk", "ramdisk_path", "dtb", "dtb_path", "bios", "bios_path",
              "disk", "disk_path"]


@dataclass
class Vm:
    """One configuration: its name in the bundle, its text, and the files it names."""

    name: str
    text: bytes
    autostart: bool
    files: dict[str, Path] = field(default_factory=dict)


def config_path(word: str) -> Path:
    """A VM is given as a name in configs/vms or as a path to a TOML file."""
    named = tree.TOP / "configs" / "vms" / f"{word}.toml"
    if named.exists():
        return named
    path = Path(word)
    if path.suffix == ".toml" and path.exists():
        return path.resolve()
    if path.suffix == ".toml":
        tree.die(f"there is no file {word}.")
    known = ", ".join(sorted(file.stem for file in named.parent.glob("*.toml"))) or "none"
    tree.die(f"there is no VM {word} in configs/vms; known: {known}; a path to a .toml file works too.")


def image_words(config: dict) -> list[str]:
    """The image paths a configuration names, as written."""
    kernel = config.get("kernel")
    tables = [config, kernel if isinstance(kernel, dict) else {}]
    words = [table.get(key) for table in tables for key in IMAGE_KEYS]
    return [word for word in words if isinstance(word, str) and word]


def guest_of(file: Path) -> str | None:
    """The guest in scripts/guests that `file` is part of, when it is one that setup does not fetch."""
    folder = (tree.OUT / "guests").resolve()
    parts = file.relative_to(folder).parts if file.is_relative_to(folder) else ()
    return parts[1] if len(parts) == 3 else None


def fetched(file: Path) -> bool:
    """Whether `file` is there, once what can be fetched has been."""
    if not file.is_file() and (guest := guest_of(file)):
        tree.run([tree.TOP / "scripts" / "guests", guest])
    return file.is_file()


def read_vm(word: str, autostart: list[str], broken: bool) -> Vm:
    """Reads one configuration. A `broken` one goes in as it is: the hypervisor is what must refuse it."""
    path = config_path(word)
    text = path.read_bytes()
    try:
        config = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        if not broken:
            tree.die(f"{tree.shown(path)} is not TOML: {error}.")
        config = {}
    own_name = config.get("name") or config.get("base", {}).get("name")
    vm = Vm(path.stem, text, path.stem in autostart or own_name in autostart)
    for image in image_words(config):
        file = (path.parent / image).resolve()
        if file.is_file() if broken else fetched(file):
            vm.files[image] = file
        elif not broken:
            tree.die(f"{tree.shown(path)} names {image}, and there is no file {tree.shown(file)}; "
                     "build or fetch it ('make build' makes the guests of this tree).")
    return vm


def quoted(text: str) -> str:
    """`text` as a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04X}" for c in escaped) + '"'


def index(board: str, vms: list[Vm], blob_of: dict[Path, str]) -> bytes:
    lines = [f"board = {quoted(board)}"]
    for vm in vms:
        lines += ["", "[[vm]]", f"name = {quoted(vm.name)}", f"config = {quoted(f'vms/{vm.name}.toml')}",
                  f"autostart = {str(vm.autostart).lower()}", "[vm.files]"]
        lines += [f"{quoted(word)} = {quoted(blob_of[file])}" for word, file in vm.files.items()]
    return ("\n".join(lines) + "\n").encode()


def blobs(vms: list[Vm]) -> tuple[dict[Path, str], dict[str, bytes]]:
    """Which blob each file is in, and what is in each blob."""
    blob_of: dict[Path, str] = {}
    by_hash: dict[bytes, str] = {}
    content: dict[str, bytes] = {}
    for file in [file for vm in vms for file in vm.files.values()]:
        if file in blob_of:
            continue
        data = file.read_bytes()
        name = by_hash.setdefault(hashlib.sha256(data).digest(), f"blobs/{len(content)}-{file.name}")
        blob_of[file] = name
        content[name] = data
    return blob_of, content


def pack(entries: dict[str, bytes]) -> bytes:
    """An ustar file without times, owners or order of the machine it is made on."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o444
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def on_demand(path: Path) -> bool:
    """Whether the configuration at `path` needs a guest that setup does not fetch."""
    try:
        words = image_words(tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return False
    return any(guest_of((path.parent / word).resolve()) for word in words)


def default_vms(board: str) -> list[str]:
    """Every VM in configs/vms for the board's architecture whose guest is there after setup."""
    pattern = f"*-{tree.board(board)['arch']}.toml"
    files = sorted((tree.TOP / "configs" / "vms").glob(pattern))
    return [file.stem for file in files if not on_demand(file)]


def make(board: str, words: list[str], broken: bool = False, autostart: list[str] | None = None) -> bytes:
    """The bundle of the VMs `words` for `board`; the board says which of them start by themselves, unless `autostart` does."""
    if autostart is None:
        autostart = tree.board(board).get("autostart", [])
    vms = [read_vm(word, autostart, broken) for word in dict.fromkeys(words)]
    names = [vm.name for vm in vms]
    for name in names:
        if names.count(name) > 1:
            tree.die(f"two configurations are called {name}; rename one of the files.")
    blob_of, content = blobs(vms)
    entries = {"index.toml": index(board, vms, blob_of)}
    entries |= {f"vms/{vm.name}.toml": vm.text for vm in vms}
    entries |= {f"scripts/{file.name}": file.read_bytes() for file in sorted(SCRIPTS.glob("*.axsh"))}
    bundle = pack(entries | content)
    if len(bundle) > LIMIT_MIB << 20:
        tree.die(f"the bundle is {len(bundle) >> 20} MiB and an image carries at most {LIMIT_MIB}; give it fewer VMs.")
    return bundle
