"""Looks at the system registers of a machine in QEMU, through the stub it has for debuggers."""

import re
import socket
from pathlib import Path

REGISTER = re.compile(r'<reg name="([^"]+)"[^>]*?regnum="(\d+)"')
STOPPED_S = 10.0


class Stub:
    """A connection; the machine stands still while there is one. Use it in a `with`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> "Stub":
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(STOPPED_S)
        self.socket.connect(str(self.path))
        self.rest = b""
        # What QEMU calls the registers, and their numbers, it says only when it is asked for all the descriptions.
        text = self.read_file("target.xml")
        files = re.findall(r'href="([^"]+)"', text)
        self.numbers = {name: int(number) for file in files for name, number in REGISTER.findall(self.read_file(file))}
        return self

    def __exit__(self, *_) -> None:
        try:
            self.ask("D")
        finally:
            self.socket.close()

    def ask(self, text: str) -> str:
        """The answer to one packet."""
        data = text.encode()
        self.socket.sendall(b"$" + data + b"#%02x" % (sum(data) & 0xff))
        while not (match := re.match(rb"\+*\$([^#]*)#..", self.rest, re.DOTALL)):
            if not (more := self.socket.recv(1 << 16)):
                raise ConnectionError("QEMU has closed the stub")
            self.rest += more
        self.rest = self.rest[match.end():]
        self.socket.sendall(b"+")
        return re.sub(rb"\}(.)", lambda escaped: bytes([escaped[1][0] ^ 0x20]), match[1], flags=re.DOTALL).decode("latin-1")

    def read_file(self, name: str) -> str:
        """One of the descriptions."""
        text = ""
        while True:
            part = self.ask(f"qXfer:features:read:{name}:{len(text):x},ffb")
            text += part[1:]
            if part[0] != "m":
                return text

    def threads(self) -> list[str]:
        """The CPUs."""
        answer = self.ask("qfThreadInfo")
        found = []
        while answer.startswith("m"):
            found += answer[1:].split(",")
            answer = self.ask("qsThreadInfo")
        return found

    def registers(self, thread: str, names: list[str]) -> dict[str, int]:
        """The values of those of `names` that the CPU has."""
        self.ask(f"Hg{thread}")
        found = {}
        for name in names:
            answer = self.ask(f"p{self.numbers[name]:x}") if name in self.numbers else ""
            if answer and not answer.startswith("E"):
                found[name] = int.from_bytes(bytes.fromhex(answer), "little")
        return found
