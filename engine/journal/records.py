"""What a journal is made of: one JSON object a line. Reading believes nothing of it.

- `header`, the first line: what was asked, of what, with which settings.
- `call`: a completion, or how a sub-call failed; by the run's path and the call's name, with the request's digest.
- `tool`: what came of a tool call; by path and number.
- `fact`: something else that the run cannot work out again (what a tenant had left, why the turns ended).
- `door`: what the guest was told at the door where that depends on time or order; in order, by path.
- `cell`: what came of a cell, to compare with.

A line that is not whole is the last one of a process that died: it is left out. Any other fault is an error that names
its line.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from divebell.bridge import wire
from divebell.errors import JournalError

VERSION = 1
MAX_LINE_BYTES = 512 << 20
MAX_RECORDS = 5_000_000
KINDS = frozenset({"header", "call", "tool", "fact", "door", "cell", "answer"})

Record = dict[str, Any]


def digest(*parts: object) -> str:
    """What tells a request from another: of texts and plain data."""
    return sha256(json.dumps(parts, sort_keys=True, default=_as_json).encode()).hexdigest()[:32]


def _as_json(value: object) -> object:
    if isinstance(value, bytes):
        return {"bytes": sha256(value).hexdigest()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    return str(value)


def pack(value: object) -> str:
    """Plain data as text for a line."""
    return base64.b64encode(wire.encode(value)).decode("ascii")


def unpack(text: object) -> Any:
    """The plain data again. JournalError where it is none."""
    try:
        if not isinstance(text, str):
            raise ValueError("no text")
        return wire.decode_bounded(base64.b64decode(text, validate=True), wire.MAX_VALUE_BYTES)
    except ValueError as error:
        raise JournalError(f"a value of the journal cannot be read: {error}") from None


def to_line(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"


@dataclass
class Recorded:
    """A journal that was read. `whole_bytes` is where its last whole line ends."""

    header: Record
    calls: dict[tuple[str, str], Record] = field(default_factory=dict)
    tools: dict[tuple[str, int], Record] = field(default_factory=dict)
    facts: dict[tuple[str, str], Any] = field(default_factory=dict)
    doors: dict[str, list[Record]] = field(default_factory=dict)
    cells: dict[tuple[str, int], Record] = field(default_factory=dict)
    answer: Record | None = None
    whole_bytes: int = 0

    def add(self, record: Record) -> None:
        kind, path = record["kind"], record.get("path")
        if not isinstance(path, str):
            raise JournalError(f"a {kind} has no path")
        if kind == "door":
            self.doors.setdefault(path, []).append(record)
        elif kind == "answer":
            self.answer = record if path == "0" else self.answer
        elif kind in ("tool", "cell"):
            number = record.get("number")
            if type(number) is not int:
                raise JournalError(f"a {kind} has no number")
            (self.tools if kind == "tool" else self.cells)[path, number] = record
        else:
            name = record.get("name")
            if not isinstance(name, str):
                raise JournalError(f"a {kind} has no name")
            if kind == "call":
                self.calls[path, name] = record
            else:
                self.facts[path, name] = record.get("value")


def read(path: Path, *, until_turn: int | None = None) -> Recorded:
    """Read a journal. `until_turn`: only up to the end of that turn of the query's own run.

    Raises JournalError where the file cannot be read, is no journal, or is of a newer version.
    """
    recorded: Recorded | None = None
    try:
        for number, line, end in _lines(path):
            record = _record(line, number)
            if recorded is None:
                recorded = Recorded(_header(record, path))
            elif _is_after(record, until_turn):
                break
            else:
                recorded.add(record)
            recorded.whole_bytes = end
    except OSError as error:
        raise JournalError(f"cannot read the journal {path}: {error.strerror}") from None
    if recorded is None:
        raise JournalError(f"{path} is empty, or no journal")
    return recorded


def _is_after(record: Record, until_turn: int | None) -> bool:
    return (
        until_turn is not None
        and record["kind"] == "call"
        and record.get("path") == "0"
        and record.get("name") in (f"turn {until_turn + 1}", "last answer")
    )


def _lines(path: Path) -> Iterator[tuple[int, bytes, int]]:
    """The whole lines, with their numbers, and where each ends."""
    end = 0
    with path.open("rb") as file:
        for number in range(1, MAX_RECORDS + 2):
            line = file.readline(MAX_LINE_BYTES + 1)
            if len(line) > MAX_LINE_BYTES or number > MAX_RECORDS:
                raise JournalError(f"line {number} of {path} is past the limits of a journal")
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield number, line, end


def _record(line: bytes, number: int) -> Record:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise JournalError(f"line {number} of the journal is not JSON") from None
    if not isinstance(record, dict) or record.get("kind") not in KINDS:
        raise JournalError(f"line {number} of the journal is no record of one")
    return record


def _header(record: Record, path: Path) -> Record:
    if record["kind"] != "header" or not isinstance(record.get("settings"), dict):
        raise JournalError(f"{path} does not begin as a journal does")
    if record.get("version") != VERSION:
        raise JournalError(f"{path} is a journal of version {record.get('version')!r}; this Divebell reads {VERSION}")
    return record
