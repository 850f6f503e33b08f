"""One machine with two victims, on which cases are played one after the other."""

import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from lib.case import EVERYWHERE_REFUSED
from lib.serial import Failed, Serial

from . import invariants, machines, plays
from .cases import Case
from .shell import Refused, Shell, Wrong

VICTIMS = ["victim-0", "victim-1"]
HOST_BROKEN = [*EVERYWHERE_REFUSED, "fault in the hypervisor"]


@dataclass
class Result:
    """How one case went on one machine."""

    machine: str
    case: str
    what: str
    expected: str
    verdict: str
    seconds: float
    broken: list[str] = field(default_factory=list)
    detail: str = ""
    figures: dict = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.verdict == self.expected and not self.broken


class Arena:
    """A running machine, its shell and its victims."""

    def __init__(self, line: Serial, stub: Path | None = None) -> None:
        self.line = line
        self.stub = stub
        self.shell = Shell(line)
        self.beats: dict[str, invariants.Beat] = {}
        self.baseline: dict = {}
        self.playing: plays.Play | None = None

    def prepare(self) -> None:
        """Starts the victims and waits until each has said how it is."""
        for pattern in HOST_BROKEN:
            self.line.refuse(re.compile(re.escape(pattern)))
        self.line.expect(re.compile("axle> "), 0, 60)
        for victim in VICTIMS:
            self.shell.create(victim)
            self.shell.start(victim)
        for victim in VICTIMS:
            self.beats[victim] = self.shell.wait(f"a heartbeat of {victim}", lambda: self.beat(victim), 20)
        # The shell's memory of what was typed is full from here on.
        for number in range(64):
            self.shell.ask(f"echo {number:<60}.", r"^\d+ \.\n|^.*\n")
        self.baseline = self.shell.json("host mem")

    def beat(self, victim: str) -> invariants.Beat | None:
        return invariants.beat_of(self.shell.log(victim, 4))

    def answers(self) -> tuple[dict[str, str], list[str]]:
        """The states of all VMs, and I1."""
        began = time.monotonic()
        states = self.shell.states()
        return states, invariants.answered(time.monotonic() - began, self.line.factor)

    def victims(self, states: dict[str, str]) -> list[str]:
        """I2; what the victims said is what is compared with next time."""
        found = []
        for victim, before in self.beats.items():
            def later() -> invariants.Beat | None:
                beat = self.beat(victim)
                return beat if beat and beat.beat > before.beat else None
            try:
                after = self.shell.wait("a heartbeat", later, 5)
            except Wrong:
                after = None
            found += invariants.undisturbed(victim, states.get(victim, "gone"), before, after)
            self.beats[victim] = after or before
        return found

    def leftovers(self) -> list[str]:
        """I4: nothing of the case is left, and the machine has what it had."""
        for name in self.shell.states():
            if name not in VICTIMS:
                self.shell.delete(name)
        found = ["never looked"]
        until = time.monotonic() + 3 * self.line.factor
        while found and time.monotonic() < until:
            found = invariants.given_back(self.baseline, self.shell.json("host mem"))
            if found:
                self.line.pause(0.2)
        return found

    def play(self, case: Case, sabotage: bool, machine: str) -> Result:
        """Plays `case` and checks I1 to I5. An invariant that needs the VM is checked by the play."""
        began = time.monotonic()
        result = Result(machine, case.id, case.what, case.verdict, "FAIL", 0.0)
        play = self.playing = plays.Play(self.shell, case, sabotage, VICTIMS, machine, self.stub)
        before = dict(self.beats)
        try:
            result.verdict = plays.PLAYS[case.play](play)
        except Refused as refused:
            result.detail = f"error: {refused}"
        except Wrong as wrong:
            result.detail = str(wrong)
        result.broken += play.broken
        states, slow = self.answers()
        result.broken += slow + self.victims(states) + self.leftovers()
        result.figures = play.figures | {"late": {
            victim: invariants.late_between(before[victim], self.beats[victim]) for victim in VICTIMS}}
        result.detail = "; ".join(filter(None, [result.detail or "; ".join(play.notes), play.arguments]))
        result.seconds = time.monotonic() - began
        return result


def run(machine: str, image: Path, cases: list[Case], log: Path, factor: float, sabotage: bool, tell) -> list[Result]:
    """Plays `cases` on one machine; one that a case has broken is started anew for those after it."""
    results: list[Result] = []
    left = list(cases)
    starts = 0
    while left:
        starts += 1
        path = log if starts == 1 else log.with_name(f"{log.stem}-{starts}{log.suffix}")
        # The path of a socket has to be short.
        with TemporaryDirectory() as folder, Serial(machines.command(machine, image, stub := Path(folder) / "gdb"), path,
                                                    3600, factor) as line:
            arena = Arena(line, stub)
            case = None
            began = time.monotonic()
            try:
                arena.prepare()
                while left:
                    case = left.pop(0)
                    began = time.monotonic()
                    line.note(f"case {case.id}: {case.what}")
                    results.append(arena.play(case, sabotage, machine))
                    tell(results[-1])
                    line.text, line.read_to, line.refused = "", 0, [(pattern, 0) for pattern, _ in line.refused]
            except Failed as failed:
                if case is None:
                    raise
                # The emulator's translator has been seen to give up on random code, without Axle as well.
                own = re.findall(r"qemu-system-\S+: .*Assertion.*", line.text)
                results.append(Result(machine, case.id, case.what, case.verdict, "FAIL", time.monotonic() - began,
                                      [f"I1: {failed}", *own], arena.playing.arguments if arena.playing else ""))
                tell(results[-1])
    return results
