"""How cases are played: what is typed, and what becomes the verdict."""

import re

from . import invariants
from .cases import Case
from .shell import Refused, Shell

VM = "hostile"
# How long `vm stop` may take for whatever a guest does, in seconds.
STOP_S = 1.0


class Wrong(Exception):
    """The case did not go as it should, in one sentence."""


class Play:
    """One case being played."""

    def __init__(self, shell: Shell, case: Case, sabotage: bool) -> None:
        self.shell = shell
        self.case = case
        self.sabotage = sabotage
        self.broken: list[str] = []
        self.notes: list[str] = []
        self.figures: dict = {}

    @property
    def factor(self) -> float:
        return self.shell.line.factor

    def create(self, arguments: str = "", case: str = "") -> None:
        """Creates the VM with the case on its command line."""
        words = ["case=hostile", f"id={case or self.case.id}", arguments or self.case.arguments,
                 "sabotage=1" if self.sabotage else ""]
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


PLAYS = {"guest": guest, "wedged": wedged}
