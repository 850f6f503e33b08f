"""Where the tree's parts are, and with which Rust they are built."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NoReturn

TOP = Path(__file__).resolve().parents[2]
OUT = TOP / "target"
CARGO_OUT = Path(os.environ.get("CARGO_TARGET_DIR") or OUT)
TRIPLE = "aarch64-unknown-none-softfloat"
ELF = CARGO_OUT / TRIPLE / "release" / "axle"
DEFAULT_BOARD = "qemu-aarch64"


def die(sentence: str) -> NoReturn:
    """One sentence that says what to do, and the end."""
    sys.exit(f"{Path(sys.argv[0]).name}: {sentence}")


def shown(path: Path) -> str:
    """`path` as a person in the top folder would write it."""
    return str(path.relative_to(TOP)) if path.is_relative_to(TOP) else str(path)


def run(command: list[str | Path], **options) -> subprocess.CompletedProcess:
    """Runs a program; ends with a sentence when it fails."""
    words = [str(word) for word in command]
    try:
        return subprocess.run(words, check=True, **options)
    except FileNotFoundError:
        die(f"{words[0]} is not installed; run 'make setup'.")
    except subprocess.CalledProcessError as failed:
        die(f"'{' '.join(words[:4])} ...' failed with status {failed.returncode}.")


def cargo() -> tuple[list[str], dict[str, str]]:
    """The cargo that setup chose, and the environment that goes with it; the same for host and bare metal."""
    chosen = OUT / "setup" / "toolchain"
    if not chosen.exists():
        die("no Rust has been chosen yet; run 'make setup'.")
    name = chosen.read_text().strip()
    env = dict(os.environ) | {"CARGO_FUTURE_INCOMPAT_REPORT_FREQUENCY": "never"}
    if name == "debian":
        # The library is built from source, which a release compiler does only when asked by this variable.
        system = "/usr/bin:" + env["PATH"]
        env |= {"RUSTC_BOOTSTRAP": "1", "RUSTC": "/usr/bin/rustc", "RUSTDOC": "/usr/bin/rustdoc", "PATH": system}
        return ["/usr/bin/cargo"], env
    return [shutil.which("rustup") or "rustup", "run", name, "cargo"], env


def board(name: str) -> dict:
    """What configs/boards/NAME.toml says."""
    path = TOP / "configs" / "boards" / f"{name}.toml"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.toml"))) or "none"
        die(f"there is no board {name}; known boards: {known}.")
    return tomllib.loads(path.read_text())
