"""A machine in QEMU and the text on its serial line: what was typed, what must and must not appear."""

import os
import re
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import IO

# Control sequences of a terminal: a person sees their effect, not them. A cut one waits for its end.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][0-9A-B]|\x1b[=>78]|[\r\x07\0]")
CUT = re.compile(r"\x1b(\[[0-9;?]*[ -/]*)?$|\x1b[()]$")


LONGEST_REFUSED = 256


class Failed(Exception):
    """What was expected did not happen, in one sentence."""


class Serial:
    """One running QEMU. Use it in a `with`: whatever happens, no QEMU is left behind."""

    def __init__(self, command: list[str], log: Path, limit_s: float, factor: float) -> None:
        self.command = command
        self.log_path = log
        self.factor = factor
        self.end = time.monotonic() + limit_s * factor
        self.limit_s = limit_s * factor
        self.text = ""
        self.rest = ""
        self.read_to = 0
        self.typed_at = time.monotonic()
        self.refused: list[tuple[re.Pattern, int]] = []

    def __enter__(self) -> "Serial":
        self.log: IO[bytes] = self.log_path.open("wb")
        # The kernel ends QEMU should this process die without cleaning up.
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        # The first serial port is ours; further ones are the command's.
        program, *words = self.command
        self.process = subprocess.Popen(
            [*leash, program, "-chardev", "stdio,id=line,signal=off", "-serial", "chardev:line", "-monitor", "none",
             *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, bufsize=0)
        os.set_blocking(self.process.stdin.fileno(), False)
        return self

    def __exit__(self, *_) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.log.close()

    def refuse(self, pattern: re.Pattern) -> None:
        """Behind what was matched last, `pattern` fails the case."""
        self.refused.append((pattern, self.read_to))
        self._check()

    def type(self, text: str) -> None:
        """Sends `text` as if typed."""
        self.typed_at = time.monotonic()
        left = text.encode()
        while left:
            # The machine may be waiting for its own output to be read.
            self._read(0)
            try:
                left = left[os.write(self.process.stdin.fileno(), left):]
            except BlockingIOError:
                self._read(0.02)
            except BrokenPipeError:
                raise Failed("QEMU has ended, and there was more to type") from None

    def pause(self, seconds: float) -> None:
        """Reads on for `seconds` and types nothing."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not self._read(left):
                return

    def expect(self, pattern: re.Pattern, least_s: float, most_s: float, whole: bool = False) -> re.Match:
        """Waits for `pattern` behind what was matched before; `least_s` counts from what was typed last. A `whole` match has
        something behind it, so that more of the same, a number's last digits, cannot still be on the way."""
        until = time.monotonic() + most_s * self.factor
        while not (match := pattern.search(self.text, self.read_to)) or whole and match.end() == len(self.text):
            if time.monotonic() >= until:
                raise Failed(f"did not appear within {most_s * self.factor:g} s")
            if not self._read(until - time.monotonic()):
                raise Failed("did not appear, and QEMU has ended")
        passed = time.monotonic() - self.typed_at
        if passed < least_s:
            raise Failed(f"appeared after {passed:.2f} s, sooner than {least_s:g} s")
        self.read_to = match.end()
        return match

    def note(self, text: str) -> None:
        """A line of the log that the machine did not write."""
        self.log.write(f"\n--- {text}\n".encode())
        self.log.flush()

    def _read(self, wait_s: float) -> bool:
        """Takes what has come within `wait_s`; False when QEMU has closed the line."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise Failed(f"the case took longer than its {self.limit_s:g} s")
        ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, min(wait_s, left)))
        if not ready:
            return True
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        self.log.write(data)
        self.log.flush()
        self._take(data.decode(errors="replace"))
        return bool(data)

    def _take(self, new: str) -> None:
        new = self.rest + new
        cut = CUT.search(new)
        self.rest = new[cut.start():] if cut else ""
        before = len(self.text)
        self.text += CONTROL.sub("", new[:cut.start()] if cut else new)
        self._check(before)

    def _check(self, since: int = 0) -> None:
        # What was looked at already is not looked at again, but for what a match could begin in.
        for pattern, start in self.refused:
            if found := pattern.search(self.text, max(start, since - LONGEST_REFUSED)):
                raise Failed(f"'{found.group()}' appeared, which must not")
