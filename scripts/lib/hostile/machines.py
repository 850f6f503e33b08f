"""The machines by their names: CPU-gicVERSION, with `-counted` behind it one whose time is instructions."""

from pathlib import Path

from lib import qemu


def parts(name: str) -> tuple[str, str]:
    """QEMU's name for the CPU, and the version of the GIC."""
    cpu, _, gic = name.partition("-counted")[0].rpartition("-gic")
    return {"a72": "cortex-a72", "n1": "neoverse-n1"}.get(cpu, cpu), gic


def command(name: str, image: Path, stub: Path) -> list[str]:
    """QEMU's command line, with a stub for debuggers at a socket."""
    cpu, gic = parts(name)
    time = ["-icount", "shift=0,sleep=off"] if name.endswith("-counted") else []
    return [*qemu.command(image, qemu.Machine(cpu=cpu, gic=gic, smp="2")), *time, "-gdb", f"unix:{stub},server=on,wait=off"]
