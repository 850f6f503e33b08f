"""What the hypervisor takes of a machine before a guest does anything: bytes, and time to its prompt."""

import os
import pty
import json
import re
import select
import signal
import statistics
import subprocess
import time

from . import counted, image, marks, tree
from .serial import Serial

MACHINES = [(smp, memory) for memory in ("512M", "2G") for smp in (1, 2)]
STARTS = 5
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
SMALL, LARGE = "hello-aarch64", "linux-aarch64"
# The board's, where the prompt is written.
UART = 0x0900_0000
# What boots of a small guest are called, their memory, and whether the device tree is the one `make run` gives.
BOOTS = [("-m 512M, QEMU's tree", "512M", False), ("-m 512M, trimmed tree", "512M", True), ("-m 2G, trimmed tree", "2G", True)]


def measure() -> dict:
    """All of it."""
    bare = counted.make_image("none", [])
    print("bench: time to the prompt", flush=True)
    prompts = {f"-smp {smp} -m {memory}": prompt(bare, smp, memory) for smp, memory in MACHINES}
    return {"image_bytes": bare.stat().st_size, "prompt_s": prompts, "vm_bytes": per_vm(), "boot": boots(), "make_run_s": make_run()}


def prompt(raw, smp: int, memory: str) -> float:
    """Wall time to the prompt, in seconds."""
    command = counted.machine(raw, smp, memory)
    seconds = []
    for _ in range(STARTS):
        started = time.monotonic()
        with Serial(command, counted.OUT / "prompt.log", 60, 1) as line:
            line.expect(counted.PROMPT, 0, 60)
            seconds.append(time.monotonic() - started)
    return round(statistics.median(seconds), 3)


def memory_in_use(line: Serial) -> int:
    """Guest memory and host heap in use, in bytes, as `host mem` has them."""
    line.type("host mem --json\r")
    value = json.loads(line.expect(re.compile(r"^\{.*\}", re.MULTILINE), 0, 10)[0])
    return value["guest_memory_bytes"] - value["free_bytes"] + value["host_heap_used_bytes"]


def per_vm() -> dict:
    """Host memory a VM takes beyond its RAM: once it is created, and while Linux runs in it."""
    guests = [counted.guest_named(name) for name in (SMALL, LARGE)]
    raw = counted.make_image("memory", guests, autostart=False)
    found = {}
    with Serial(counted.machine(raw, 1, "2G"), counted.OUT / "memory.log", 180, 1) as line:
        line.expect(counted.PROMPT, 0, 60)
        # The first command of its kind starts a thread, which stays and is no VM's.
        line.type(f"vm create {guests[0].name}\r")
        line.type(f"vm delete {guests[0].name}\r")
        line.expect(re.compile(f"deleted {guests[0].name}"), 0, 20)
        for guest in guests:
            before = memory_in_use(line)
            line.type(f"vm create {guest.name}\r")
            line.expect(re.compile(f"created {guest.name}"), 0, 20)
            ram = int(guest.memory[:-1]) * UNITS[f"{guest.memory[-1]}iB"]
            found[f"{guest.name}, created"] = memory_in_use(line) - before - ram
        line.type(f"vm start {guest.name}\r")
        line.expect(re.compile(f"started {guest.name}"), 0, 20)
        line.pause(8)
        found[f"{guest.name}, running"] = memory_in_use(line) - before - ram
    return found


def boots() -> dict[str, dict[str, int]]:
    """Instructions from reset to `main`, to the first entry into a small guest that starts by itself, and to the prompt."""
    guest = counted.guest_named(SMALL)
    raw = counted.make_image("first", [guest])
    elf = raw.with_suffix(".elf")
    found = {}
    for name, memory, trimmed in BOOTS:
        start, entry = image.symbols(elf, ["main", "axle_enter_guest"])
        watch = marks.watching(elf, start, entry)
        watch[1] += f",uart={UART:#x},said=axle> "
        log = counted.under_axle(guest, raw, 1, memory, trace=watch, trimmed=trimmed).log
        text = log.read_text(errors="replace")
        first = {passage.address: passage.total for passage in reversed(marks.passages(text.splitlines()))}
        said = marks.SAID.search(text)
        if not said or not {start, entry} <= first.keys():
            tree.die(f"the boot with {name} was not seen whole; the console is in {tree.shown(counted.OUT)}.")
        found[name] = {"main": first[start], "entry": first[entry], "prompt": int(said[1])}
        log.unlink()
    return found


def make_run() -> float:
    """Seconds of `make run` until the prompt, on a machine that is set up and a tree that is built."""
    print("bench: make run", flush=True)
    master, slave = pty.openpty()
    started = time.monotonic()
    run = subprocess.Popen(["make", "-C", str(tree.TOP), "run"], stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    said = b""
    try:
        while b"axle> " not in said and time.monotonic() < started + 600:
            if select.select([master], [], [], 1)[0]:
                said += os.read(master, 1 << 16)
        return round(time.monotonic() - started, 2)
    except OSError:
        tree.die(f"'make run' ended before the prompt: {said[-300:].decode(errors='replace')}")
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        os.close(master)
