"""The hypervisor's shell as a program sees it: commands, their answers, what VMs wrote to their consoles."""

import json
import re
import time

from lib.serial import Serial

ERROR = r"error: (?P<error>[^\n]*)\n"


class Wrong(Exception):
    """A case did not go as it should, in one sentence."""


class Refused(Exception):
    """The shell answered a command with an error, which this is."""


class Shell:
    """Commands, typed one after the other."""

    def __init__(self, line: Serial) -> None:
        self.line = line

    def ask(self, command: str, answer: str, within_s: float = 20.0) -> re.Match:
        """Types `command` and waits for `answer`, a regular expression; an error instead is Refused."""
        self.line.note(command)
        self.line.read_to = len(self.line.text)
        self.line.type(command + "\r")
        found = self.line.expect(re.compile(f"(?:{answer})|{ERROR}", re.MULTILINE), 0, within_s)
        if found["error"]:
            raise Refused(found["error"])
        return found

    def json(self, command: str, within_s: float = 10.0) -> list | dict:
        """The answer to `command --json`."""
        return json.loads(self.ask(f"{command} --json", r"^(?P<json>[\[{].*[\]}])\n", within_s)["json"])

    def log(self, vm: str, lines: int = 40) -> list[str]:
        """The last lines that `vm` wrote."""
        return [line["line"] for line in self.json(f"vm log {vm} -n {lines}")]

    def states(self) -> dict[str, str]:
        """The state of each VM."""
        return {vm["name"]: vm["state"] for vm in self.json("vm list")}

    def show(self, vm: str) -> dict:
        """What `vm show` says."""
        answer = self.json(f"vm show {vm}")
        return answer[0] if isinstance(answer, list) else answer

    def create(self, file: str, *options: str, within_s: float = 30.0) -> str:
        """Creates a VM; gives its name."""
        return self.ask(" ".join(["vm create", file, *options]), r"created (?P<name>\S+)\n", within_s)["name"]

    def start(self, vm: str, within_s: float = 30.0) -> None:
        self.ask(f"vm start {vm}", rf"started {vm}\n", within_s)

    def stop(self, vm: str, within_s: float = 10.0) -> float:
        """Stops `vm`; gives how many seconds that took."""
        began = time.monotonic()
        self.ask(f"vm stop {vm} --force", rf"stopped {vm}\n", within_s)
        return time.monotonic() - began

    def delete(self, vm: str, within_s: float = 20.0) -> None:
        self.ask(f"vm delete {vm} --force", rf"deleted {vm}\n", within_s)

    def wait(self, what: str, holds, within_s: float, every_s: float = 0.1):
        """Asks `holds` again and again until it gives something; that, or a failure that names `what`."""
        until = time.monotonic() + within_s * self.line.factor
        while True:
            if found := holds():
                return found
            if time.monotonic() > until:
                raise Wrong(f"{what} not within {within_s * self.line.factor:g} s")
            self.line.pause(every_s)
