"""The places in the sources that a program can still panic at: each panic's message names one, which the program holds.

`core::panic::Location` is the file's name (where and how long), the line and the column; the name's address is filled in
when the program is loaded, so the table of relocations says where such records are.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECTION = struct.Struct("<IIQQQQIIQQ")
RELOCATION = struct.Struct("<QQq")
REST_OF_LOCATION = struct.Struct("<QII")
# ELF for AArch64: sections of relocations, sections without bytes in the file, R_AARCH64_RELATIVE.
RELA, NOBITS, RELATIVE = 4, 8, 1027
# What else could be taken for one has larger numbers.
LONGEST_NAME, LAST_LINE, LAST_COLUMN = 200, 20_000, 400


@dataclass(frozen=True, order=True)
class Location:
    file: str
    line: int


@dataclass
class Section:
    kind: int
    address: int
    content: bytes


def sections(elf: bytes) -> list[Section]:
    (start,) = struct.unpack_from("<Q", elf, 40)
    size, count = struct.unpack_from("<HH", elf, 58)
    headers = [SECTION.unpack_from(elf, start + number * size) for number in range(count)]
    return [Section(kind, address, elf[offset:offset + length])
            for _, kind, _, address, offset, length, *_ in headers if kind != NOBITS]


def read(path: Path) -> list[Location]:
    """All of the program at `path`, those of its libraries too, in order."""
    return sorted(set(find(sections(path.read_bytes()))))


def find(parts: list[Section]) -> Iterator[Location]:
    def bytes_at(address: int, length: int) -> bytes:
        part = next((part for part in parts if 0 < part.address <= address < part.address + len(part.content)), None)
        return part.content[address - part.address:][:length] if part else b""

    for relocation in (one for part in parts if part.kind == RELA for one in RELOCATION.iter_unpack(part.content)):
        record, kind, name = relocation
        rest = bytes_at(record + 8, REST_OF_LOCATION.size)
        if kind != RELATIVE or len(rest) < REST_OF_LOCATION.size:
            continue
        length, line, column = REST_OF_LOCATION.unpack(rest)
        if length <= LONGEST_NAME and 0 < line <= LAST_LINE and 0 < column <= LAST_COLUMN:
            file = bytes_at(name, length)
            if file.endswith(b".rs"):
                yield Location(file.decode(), line)


def self_check() -> list[str]:
    """What is wrong with the above, by three relocations of which one is a location's."""
    name = b"modules/x/src/lib.rs"
    relocations = [(0x100, RELATIVE, 0x200), (0x120, RELATIVE, 0x200), (0x100, RELATIVE + 1, 0x200)]
    parts = [Section(RELA, 0, b"".join(RELOCATION.pack(*one) for one in relocations)),
             Section(1, 0x100, bytes(8) + REST_OF_LOCATION.pack(len(name), 7, 9) + bytes(64)),
             Section(1, 0x200, name)]
    found = list(find(parts))
    return [] if found == [Location(name.decode(), 7)] else [f"scripts/lib/locations.py finds {found}"]
