"""What holds after every case: I1 to I4 of docs/threat-model.md, as sentences about what does not."""

import re
from dataclasses import dataclass, field

# How long the shell may take to answer `vm list`, in seconds.
ANSWER_S = 1.0
# The host's threads give their stacks back late and in any order, so its heap moves by this much by itself. The baseline is one
# for all cases of a machine: what each of them loses adds up.
HEAP_SLACK = 512 << 10

BEAT = re.compile(r"VICTIM beat=(?P<beat>\d+) sum=(?P<sum>0x[0-9a-f]+) bad=(?P<bad>\d+) "
                  r"late=(?P<late>[\d,]+) max_us=(?P<max>\d+)$")

# What `vm show` has to say of each vCPU of a VM that has stopped.
PLACES = ["pc", "syndrome", "fault_address"]


@dataclass
class Beat:
    """What a victim said last; `late` counts interrupts by how late they came, up to LIMITS_US and later."""

    beat: int
    sum: str
    bad: int
    late: list[int] = field(default_factory=list)
    max_us: int = 0


LIMITS_US = [100, 300, 1_000, 3_000, 10_000, 100_000]


def beat_of(lines: list[str]) -> Beat | None:
    """The last of `lines` in which a victim says how it is."""
    found = [match for line in lines if (match := BEAT.search(line))]
    if not found:
        return None
    last = found[-1]
    return Beat(int(last["beat"]), last["sum"], int(last["bad"]), [int(n) for n in last["late"].split(",")], int(last["max"]))


def late_between(before: Beat, after: Beat) -> list[int]:
    """The interrupts that came between two lines, by how late they were."""
    return [new - old for old, new in zip(before.late, after.late)]


def answered(seconds: float, factor: float = 1.0) -> list[str]:
    """I1: the shell answered `vm list` in `seconds`."""
    limit = ANSWER_S * factor
    return [] if seconds <= limit else [f"I1: the shell answered after {seconds:.2f} s, and {limit:g} s is the limit"]


def undisturbed(name: str, state: str, before: Beat, after: Beat | None) -> list[str]:
    """I2: victim `name` runs as it did before."""
    if state != "running":
        return [f"I2: {name} is {state}"]
    if after is None or after.beat <= before.beat:
        return [f"I2: {name} has no heartbeat"]
    found = []
    if after.sum != before.sum:
        found.append(f"I2: the memory of {name} sums to {after.sum}, and to {before.sum} before")
    if after.bad != before.bad:
        found.append(f"I2: {name} found {after.bad - before.bad} registers or interrupts that are not its own")
    return found


def explained(show: dict) -> list[str]:
    """I3: `vm show` says why a VM stopped, and where."""
    if show.get("state") not in ("stopped", "failed"):
        return [f"I3: the VM is {show.get('state')}"]
    found = [] if show.get("reason") else ["I3: vm show has no reason"]
    if show["state"] == "failed":
        # It never ran.
        return found
    ran = [vcpu for vcpu in show.get("vcpus", []) if vcpu.get("exits")]
    for vcpu in ran:
        found += [f"I3: vm show has no {place} of vCPU {vcpu.get('vcpu')}" for place in PLACES if vcpu.get(place) is None]
    return found if ran else found + ["I3: vm show has no vCPU that ran"]


def given_back(before: dict, after: dict) -> list[str]:
    """I4: `host mem` says what it said before; in bytes and numbers."""
    found = []
    for what in ["free_bytes", "largest_free_block_bytes", "vmids_in_use", "interrupts_in_use"]:
        if before[what] != after[what]:
            found.append(f"I4: {what} is {after[what]}, and was {before[what]}")
    grown = after["host_heap_used_bytes"] - before["host_heap_used_bytes"]
    if grown > HEAP_SLACK:
        found.append(f"I4: the host's heap grew by {grown} bytes")
    return found
