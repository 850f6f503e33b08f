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

from . import counted, tree
from .serial import Serial

MACHINES = [(smp, memory) for memory in ("512M", "2G") for smp in (1, 2)]
STARTS = 5
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
SMALL, LARGE = "hello-aarch64", "linux-aarch64"
# QEMU's trace: characters that leave by the UART's data register, and what the guest's counter is measured from.
DATA = re.compile(r"pl011_write addr 0x0+ value 0x0*([0-9a-f]+)")
DEADLINE = re.compile(r"gt_cval_write: timer 2 value 0x0*([0-9a-f]+)")
OFFSET = re.compile(r"gt_cntvoff_write: value 0x0*([0-9a-f]+)")


def measure() -> dict:
    """All of it."""
    bare = counted.make_image("none", [])
    print("bench: time to the prompt", flush=True)
    prompts = {f"-smp {smp} -m {memory}": prompt(bare, smp, memory) for smp, memory in MACHINES}
    return {"image_bytes": bare.stat().st_size, "prompt": prompts, "vm_bytes": per_vm(), "first_entry": first_entry(),
            "make_run_s": make_run()}


def prompt(raw, smp: int, memory: str) -> dict:
    """Wall time to the prompt, and virtual time to within one tick of the host's timer."""
    command = counted.machine(raw, smp, memory)
    log = counted.OUT / "prompt.log"
    seconds = []
    for _ in range(STARTS):
        started = time.monotonic()
        with Serial(command, log, 60, 1) as line:
            line.expect(counted.PROMPT, 0, 60)
            seconds.append(time.monotonic() - started)
    trace = counted.OUT / "prompt.qemu"
    watch = ["-trace", "pl011_write", "-trace", "arm_gt_cval_write", "-D", str(trace)]
    with Serial(command + counted.CLOCK + watch, log, 60, 1) as line:
        line.expect(counted.PROMPT, 0, 60)
    at_most = deadline_at_prompt(trace)
    trace.unlink()
    return {"wall_s": round(statistics.median(seconds), 3), "virtual_ns_at_most": at_most}


def deadline_at_prompt(trace) -> int:
    """The host's next timer deadline when the prompt is written: the prompt came before it."""
    said, deadline = "", 0
    with trace.open(errors="replace") as lines:
        for text in lines:
            if found := DATA.search(text):
                said = (said + chr(int(found[1], 16) & 0x7f))[-6:]
                if said == "axle> ":
                    return deadline
            elif (found := DEADLINE.search(text)) and int(found[1], 16) < 1 << 62:
                deadline = int(found[1], 16)
    tree.die("the prompt did not appear in QEMU's trace of the UART.")


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


def first_entry() -> int:
    """Instructions from reset to the boot of a small guest that starts by itself, its image already loaded."""
    guest = counted.guest_named(SMALL)
    run = counted.under_axle(guest, counted.make_image("first", [guest]), 1, "512M", trace=["-trace", "arm_gt_cntvoff_write"])
    offsets = [int(value, 16) for value in OFFSET.findall(run.log.read_text(errors="replace"))]
    run.log.unlink()
    return max(offsets)


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
