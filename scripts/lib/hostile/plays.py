"""How cases are played: what is typed, and what becomes the verdict."""

import re
import time
from pathlib import Path

from lib.gdbstub import Stub
from lib.isolation import account, compare

from . import invariants, machines
from .cases import Case
from .shell import Refused, Shell, Wrong

VM = "hostile"
# How long `vm stop` may take for whatever a guest does, in seconds.
STOP_S = 1.0


class Play:
    """One case being played."""

    def __init__(self, shell: Shell, case: Case, sabotage: bool, victims: list[str], machine: str = "",
                 stub: Path | None = None) -> None:
        self.shell = shell
        self.victims = victims
        self.machine = machine
        self.stub = stub
        self.case = case
        self.sabotage = sabotage
        self.arguments = case.arguments
        self.broken: list[str] = []
        self.notes: list[str] = []
        self.figures: dict = {}

    @property
    def factor(self) -> float:
        return self.shell.line.factor

    def create(self, guest: str = "hostile", case: str = "") -> None:
        """Creates the VM with the guest and its case on the command line."""
        words = [f"case={guest}", f"id={case or self.case.guest or self.case.id.partition('-')[0]}",
                 self.arguments, "sabotage=1" if self.sabotage else ""]
        options = [f'--cmdline "{" ".join(filter(None, words))}"', f"--cpus {self.case.cpus}"]
        if self.case.memory:
            options.append(f"--memory {self.case.memory}")
        self.shell.create(self.case.vm, "--name", VM, *options)

    def ended(self) -> str:
        """Waits until the VM has ended; gives its verdict. I3."""
        self.shell.wait("the end of the guest", lambda: self.shell.states()[VM] not in ("running", "stopping"),
                        self.case.limit_s)
        self.broken += invariants.explained(self.shell.show(VM))
        return self.verdict()

    def said(self) -> list[str]:
        """What the guest has written last."""
        return self.shell.log(VM)

    def verdict(self) -> str:
        """The last verdict in what the guest wrote."""
        lines = self.said()
        found = [at for at, line in enumerate(lines) if line.startswith("VERDICT ")]
        if not found:
            raise Wrong("the guest gave no verdict")
        last = lines[found[-1]]
        match = re.match(r"VERDICT \S+(?: \S+)? (PASS|FAIL)(.*)", last)
        if not match:
            raise Wrong(f"the guest's verdict is '{last}'")
        if match[1] == "FAIL":
            self.notes += lines[max(0, found[-1] - 1):found[-1] + 1]
        return match[1]

    def holds(self, what: str, true: bool) -> None:
        """Ends the case unless `true`."""
        if true == self.sabotage:
            raise Wrong(what)


def guest(play: Play) -> str:
    """The guest gives the verdict; booted a second time (I5), the same."""
    play.create()
    play.shell.start(VM)
    verdict = play.ended()
    if verdict == "PASS" and not play.case.once:
        play.shell.start(VM)
        again = play.ended()
        if again != verdict:
            play.broken.append(f"I5: the second run ended in {again}")
    return verdict


def wedged(play: Play) -> str:
    """The guest never ends, and is stopped within a second."""
    play.create()
    play.shell.start(VM)
    play.shell.wait("the guest to wedge itself", lambda: any("wedged" in line for line in play.said()), play.case.limit_s)
    play.shell.line.pause(1.0)
    if play.shell.states()[VM] != "running":
        return play.verdict()
    seconds = play.shell.stop(VM)
    play.figures["stop_s"] = round(seconds, 3)
    play.holds(f"it took {seconds:.2f} s to stop", seconds <= STOP_S * play.factor)
    play.broken += invariants.explained(play.shell.show(VM))
    play.shell.start(VM)
    play.shell.stop(VM)
    return "WEDGED"


def secret(play: Play) -> str:
    """One VM leaves something in its memory and is deleted; the next looks for it."""
    for part in ["leave", "find"]:
        play.create(case=play.case.values[part])
        play.shell.start(VM)
        if (verdict := play.ended()) != "PASS":
            return verdict
        play.shell.delete(VM)
    return "PASS"


def cycles(play: Play) -> str:
    """VMs come and go, so that every VMID is used again."""
    count = play.case.values["count"]
    for number in range(1, count + 1):
        play.create("hello")
        play.shell.start(VM)
        play.shell.wait("the end of the guest", lambda: play.shell.states()[VM] != "running", 20, 0.02)
        play.holds(f"cycle {number} said no hello", any("VERDICT hello PASS" in line for line in play.said()))
        play.shell.delete(VM)
    return "PASS"


def refused(play: Play) -> str:
    """`vm create` says why not, in a sentence that matches."""
    for file, pattern in play.case.values["files"].items():
        try:
            play.shell.create(file, "--name", VM)
        except Refused as error:
            play.holds(f"{file}: the error says '{error}'", re.search(pattern, str(error)) is not None)
        else:
            raise Wrong(f"{file} was taken")
    return "REJECT"


def dangerous(play: Play) -> str:
    """Refused without `unsafe`; with it the VM is made, and `vm show` says that it is."""
    verdict = refused(play)
    play.shell.create(play.case.vm, "--name", VM)
    kinds = [device["kind"] for device in play.shell.show(VM)["devices"]]
    play.holds(f"vm show says {kinds}", "host, unsafe" in kinds)
    return verdict


def not_loaded(play: Play) -> str:
    """`vm start` says why not; the VM is failed, says so, and goes."""
    for file, pattern in play.case.values["files"].items():
        play.shell.create(file, "--name", VM)
        for _ in range(2):
            try:
                play.shell.start(VM, 60)
            except Refused as error:
                play.holds(f"{file}: the error says '{error}'", re.search(pattern, str(error)) is not None)
            else:
                raise Wrong(f"{file} was started")
        show = play.shell.show(VM)
        play.holds(f"{file}: the VM is {show['state']}", show["state"] == "failed")
        play.broken += invariants.explained(show)
        play.shell.delete(VM)
    return "REJECT"


def resets(play: Play) -> str:
    """The guest resets itself, the operator resets it too; it comes up the same each time."""
    values = play.case.values
    play.create()
    play.shell.start(VM)
    def boots() -> int:
        return sum(line == values["word"] for line in play.shell.log(VM, 4000))
    play.shell.wait("boots of the guest", lambda: boots() >= values["count"] or play.shell.states()[VM] != "running"
                    and any("VERDICT" in line for line in play.said()), play.case.limit_s)
    for _ in range(values.get("by_operator", 0)):
        play.shell.ask(f"vm reset {VM}", rf"(?<!vm )reset {VM}\n|error: {VM} is (?:stopping|starting|stopped)[^\n]*\n", 20)
    if any("FAIL" in line for line in play.said()):
        return play.verdict()
    play.figures["boots"] = boots()
    play.holds("the guest did not boot again and again", boots() >= values["count"])
    try:
        play.shell.stop(VM)
    except Refused as error:
        # It is just between two runs, and then it does not start again.
        play.notes.append(str(error))
    play.shell.wait("the end", lambda: play.shell.states()[VM] == "stopped", 5)
    play.broken += invariants.explained(play.shell.show(VM))
    return "PASS"


def powers_off(play: Play) -> str:
    """The guest goes, and `vm show` says that it was itself."""
    play.create()
    play.shell.start(VM)
    play.shell.wait("the end of the guest", lambda: play.shell.states()[VM] == "stopped", play.case.limit_s)
    show = play.shell.show(VM)
    play.broken += invariants.explained(show)
    if any("VERDICT" in line for line in play.said()):
        return play.verdict()
    play.holds(f"the reason is '{show['reason']}'", show["reason"] == "the guest powered off")
    return "PASS"


def loaded(play: Play) -> str:
    """The guest takes what it can; meanwhile the shell is asked again and again, and the victims' latency is measured."""
    play.create()
    before = {victim: invariants.beat_of(play.shell.log(victim, 4)) for victim in play.victims}
    play.shell.start(VM)
    slowest = 0.0
    until = time.monotonic() + play.case.limit_s * play.factor
    while play.shell.states()[VM] == "running" and time.monotonic() < until:
        began = time.monotonic()
        play.shell.json("host cpus")
        slowest = max(slowest, time.monotonic() - began)
        play.shell.line.pause(0.1)
    late = {victim: invariants.late_between(before[victim], invariants.beat_of(play.shell.log(victim, 4)))
            for victim in play.victims}
    play.figures |= {"slowest_answer_s": round(slowest, 3), "late_under_load": late}
    play.holds(f"the shell answered after {slowest:.2f} s", slowest <= invariants.ANSWER_S * play.factor)
    for victim, counts in late.items():
        # QEMU's own threads wait for a CPU at times; a scheduler that let the victim wait would make many come late.
        play.holds(f"{counts[-1]} interrupts of {victim} came later than 100 ms: {counts}", counts[-1] * 20 <= sum(counts))
        play.holds(f"{victim} had {sum(counts)} interrupts only", sum(counts) >= play.case.values.get("beats", 30))
    return play.ended()


def paused(play: Play) -> str:
    """The guest is paused and resumed in whatever it does."""
    play.create()
    play.shell.start(VM)
    times = 0
    try:
        while times < play.case.values["count"]:
            play.shell.ask(f"vm pause {VM}", rf"paused {VM}\n", 10)
            play.shell.ask(f"vm resume {VM}", rf"resumed {VM}\n", 10)
            times += 1
    except Refused as error:
        play.notes.append(str(error))
    play.figures["pauses"] = times
    play.holds("hardly paused", times > 3)
    return play.ended()


def exhausted(play: Play) -> str:
    """VMs until memory ends: an error that says so, and the machine goes on."""
    made = 0
    try:
        while made < 100:
            play.shell.create(play.case.vm, "--name", f"big-{made}", "--memory", play.case.memory)
            made += 1
    except Refused as error:
        play.holds(f"the error says '{error}'", re.search(play.case.values["error"], str(error)) is not None)
    play.figures["vms"] = made
    play.holds("memory did not end", 0 < made < 100)
    play.holds("a small VM does not start", starts_small(play))
    for number in range(made):
        play.shell.delete(f"big-{number}")
    return "REJECT"


def starts_small(play: Play) -> bool:
    """Whether the last VM that fitted can be booted."""
    play.shell.start("big-0")
    play.shell.stop("big-0")
    return True


# What each command does to a VM in each state: the state after it, or None where it is refused.
STEPS = {
    "created": {"start": "running", "stop": None, "pause": None, "resume": None, "reset": None, "delete": "gone"},
    "running": {"start": None, "stop": "stopped", "pause": "paused", "resume": None, "reset": "running", "delete": None},
    "paused": {"start": None, "stop": "stopped", "pause": None, "resume": "running", "reset": "running", "delete": None},
    "stopped": {"start": "running", "stop": None, "pause": None, "resume": None, "reset": None, "delete": "gone"},
}
WAY = {"created": [], "running": ["start"], "paused": ["start", "pause"], "stopped": ["start", "stop"]}


def command(play: Play, verb: str) -> str | None:
    """Types `vm VERB`; None when it is done, else the error."""
    try:
        force = " --force" if verb == "stop" else ""
        play.shell.ask(f"vm {verb} {VM}{force}", rf"(?<!vm )(?:started|stopped|paused|resumed|reset|deleted) {VM}\n", 20)
    except Refused as error:
        return str(error)
    return None


def every_step(play: Play) -> str:
    """Every command in every state."""
    for state, steps in STEPS.items():
        for verb, expected in steps.items():
            play.create("spin")
            for step in WAY[state]:
                if error := command(play, step):
                    raise Wrong(f"{step} on the way to {state}: {error}")
            error = command(play, verb)
            after = play.shell.states().get(VM, "gone")
            wanted = expected or state
            play.holds(f"{verb} of a VM that is {state}: {error}, then it is {after}",
                       (error is None) == (expected is not None) and after == wanted)
            if after != "gone":
                play.shell.delete(VM)
    return "PASS"


def at_once(play: Play) -> str:
    """The operator and the guest both decide what becomes of the VM; every command is answered, and it goes at last."""
    play.create(case=play.case.values["case"])
    verbs = ["start", "pause", "reset", "resume", "stop", "start", "reset", "resume", "pause", "stop", "start", "resume"]
    refusals = 0
    for number in range(play.case.values["count"]):
        refusals += command(play, verbs[number * 7 % len(verbs)]) is not None
    play.figures["refusals"] = refusals
    play.holds("every command was refused", refusals < play.case.values["count"])
    play.shell.delete(VM)
    return "PASS"


def wild(play: Play) -> str:
    """Guests that run random code: whatever becomes of each, it can be stopped, shown and deleted."""
    seeds = range(play.case.values["seed"], play.case.values["seed"] + play.case.values["count"])
    ends: dict[str, int] = {}
    slowest = 0.0
    for seed in seeds:
        play.arguments = f"seed={seed}"
        play.create()
        play.shell.start(VM)
        play.shell.line.pause(play.case.values["seconds"])
        began = time.monotonic()
        try:
            play.shell.json(f"vm regs {VM} --pause")
            began = time.monotonic()
            play.shell.stop(VM)
        except Refused:
            # It had ended by itself.
            pass
        slowest = max(slowest, time.monotonic() - began)
        play.shell.wait(f"the end of seed {seed}", lambda: play.shell.states()[VM] == "stopped", 5)
        show = play.shell.show(VM)
        play.broken += [f"seed {seed}: {text}" for text in invariants.explained(show)]
        ends[show["reason"]] = ends.get(show["reason"], 0) + 1
        play.shell.delete(VM)
    play.figures |= {"ends": ends, "slowest_stop_s": round(slowest, 3), "seeds": [seeds[0], seeds[-1]]}
    play.holds(f"it took {slowest:.2f} s to stop", slowest <= STOP_S * play.factor)
    return "PASS"


def swept(play: Play) -> str:
    """The guest tells what every encoding does: what the account says, at both boots."""
    wanted = account.read()
    against = getattr(compare, play.case.values["against"])
    cpu, gic = machines.parts(play.machine)
    play.create()
    for _ in range(2):
        play.shell.start(VM)
        if (verdict := play.ended()) != "PASS":
            return verdict
        lines = play.shell.log(VM, 4000)
        # The log goes back to the boot before.
        boots = [at for at, line in enumerate(lines) if line.startswith("hostile ")]
        found = against(wanted, cpu, gic, lines[boots[-1]:] if boots else [])
        play.holds("; ".join(found[:20]) or "the account is right", not found)
    play.figures["encodings"] = compare.counts(wanted, cpu, gic)
    return "PASS"


def controls(play: Play) -> str:
    """While guests run, the controls of every CPU hold what the account says, and it has the features that are told of it."""
    wanted = account.read()
    cpu, gic = machines.parts(play.machine)
    play.create()
    play.shell.start(VM)
    play.shell.wait("the guest", lambda: any("wedged" in line for line in play.said()), play.case.limit_s)
    with Stub(play.stub) as stub:
        names = [control.name for control in wanted.controls] + list(wanted.ids)
        cpus = {thread: stub.registers(thread, names) for thread in stub.threads()}
    found = [f"CPU {thread}: {text}" for thread, registers in cpus.items()
             for text in compare.controlled(wanted, cpu, gic, registers) + compare.owned(wanted, cpu, registers)]
    play.holds("; ".join(found) or "the account is right", not found)
    play.shell.stop(VM)
    return "WEDGED"


PLAYS = {play.__name__: play for play in [
    guest, wedged, swept, controls, secret, cycles, refused, dangerous, not_loaded, resets, powers_off, loaded, paused, exhausted, every_step, at_once, wild]}
