"""The format of a journal, and reading one: a JSON object on each line. Reading trusts nothing in the file.

- `header`, the first line: what was asked, about which context, with which settings, and the journal's own id.
- `run`: a process begins the run or resumes it; with the id under which the ledger knows it.
- `sent`: a call is about to leave, and the most that it can cost; `paid`: what it cost, if no completion came of it.
- `call`: a completion and its cost, or how a sub-call failed; by the run's path and the call's name, with the
  request's digest.
- `tool`: the outcome of a tool call; by path and number.
- `fact`: anything else that the run cannot recompute (what a tenant had left, why the turns ended).
- `door`: what the guest was answered at the door, where that depends on time or order; in order, by path.
- `cell`: the outcome of a cell, to compare with.
- `answer`: the answer of a run, or of a child.

Each line ends with a seal over itself and the lines before it (seals.py). An incomplete last line was written by a
process that died, and is left out. Any other fault is an error that names its line. Writing is entries.py's.

Bounds: MAX_JOURNAL_BYTES for the file; MAX_LINE_BYTES and MAX_LINE_ITEMS (lists' elements and maps' entries) for a
line; MAX_RECORDS lines. So reading takes a few times the file's size in memory, whatever the file holds.
"""

import base64
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from divebell.errors import JournalError
from divebell.journal.seals import SealReader
from divebell_bridge.door import wire
from divebell_bridge.money.tally import Tally

VERSION = 1
MAX_JOURNAL_BYTES = 4 << 30
MAX_LINE_BYTES = 512 << 20
MAX_LINE_ITEMS = 1_000_000
MAX_RECORDS = 5_000_000
MAX_COUNT = 1 << 62
KINDS = frozenset({"header", "run", "sent", "paid", "call", "tool", "fact", "door", "cell", "answer"})

QUERY_PATH = "0"
"""The path of the query's own run. A child's is its parent's, with a dot and the child's number."""

FAILED, STOP, STOP_CELLS = "failed", "stop", "cells at stop"
"""The names of facts: how a run failed as a whole, what ended its turns, and after how many cells."""

LAST_ANSWER = "last answer 1"
"""The name of the first call that a run makes after a limit has ended its turns."""

Record = dict[str, Any]

_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)


def given_up_name(call: str) -> str:
    """The name of the fact that the guest gave a call up."""
    return f"given up: {call}"


def check_name(number: int) -> str:
    """The name of the fact whether the run's answer of that number fits the schema."""
    return f"check {number}"


def pack(value: object) -> str:
    """Plain data as text, for a line."""
    return base64.b64encode(wire.encode(value)).decode("ascii")


def unpack(text: object) -> Any:
    """The plain data again. JournalError if the text does not hold plain data."""
    try:
        if not isinstance(text, str):
            raise ValueError("it is not text")
        return wire.decode_bounded(base64.b64decode(text, validate=True), wire.MAX_VALUE_BYTES)
    except ValueError as error:
        raise JournalError(f"a value in the journal cannot be read: {error}") from None


def to_line(record: Record) -> bytes:
    """The bytes of a record's line. Surrogates are written as they are: JSON's escapes would join two of them that are
    not a pair."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def numbers_of(tally: Tally) -> dict[str, int]:
    """A tally for a line: its counts that are not 0."""
    return {name: value for name in Tally.__slots__ if (value := getattr(tally, name))}


def tally_of(numbers: object) -> Tally:
    """The tally again. JournalError if a count is malformed, or negative and so would add to the budget."""
    if not isinstance(numbers, dict) or not all(
        name in Tally.__slots__ and type(value) is int and 0 <= value <= MAX_COUNT for name, value in numbers.items()
    ):
        raise JournalError("the journal has a malformed cost of a call")
    return Tally(**numbers)


def text_of(record: Record, name: str) -> str:
    """A record's field that must be text. JournalError if it is missing, or is something else."""
    text = record.get(name)
    if not isinstance(text, str):
        raise JournalError(f"a {record.get('kind')} record in the journal has no {name}")
    return text


@dataclass(frozen=True)
class Cost:
    """What one attempt at a call cost. `is_open`: the process died before the call ended, and this is the most that it
    can have cost."""

    path: str
    name: str
    model: str
    tally: Tally
    is_open: bool = True


@dataclass
class JournalContents:
    """What a journal holds. `costs` are by the hold's id, the other maps by path, or by path and name or number.

    complete_bytes: where its last complete line ends.
    last_seal: that line's seal; None if the journal has no seals.
    """

    header: Record
    runs: list[str] = field(default_factory=list)
    costs: dict[str, Cost] = field(default_factory=dict)
    calls: dict[tuple[str, str], Record] = field(default_factory=dict)
    tools: dict[tuple[str, int], Record] = field(default_factory=dict)
    facts: dict[tuple[str, str], Any] = field(default_factory=dict)
    doors: dict[str, list[Record]] = field(default_factory=dict)
    cells: dict[tuple[str, int], Record] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    complete_bytes: int = 0
    last_seal: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the run came to its answer, or failed."""
        return QUERY_PATH in self.answers or (QUERY_PATH, FAILED) in self.facts

    @property
    def turns(self) -> int:
        """How many turns of the query's own run have their completions here."""
        turn = 1
        while (QUERY_PATH, f"turn {turn}") in self.calls:
            turn += 1
        return turn - 1

    def add(self, record: Record) -> None:
        """Add a record. JournalError if it is malformed."""
        kind = record["kind"]
        if kind == "header":
            raise JournalError("it is a second header")
        if kind == "run":
            self.runs.append(text_of(record, "id"))
            return
        path = text_of(record, "path")
        if kind == "sent":
            cost = Cost(path, text_of(record, "name"), text_of(record, "model"), tally_of(record.get("holds")))
            self.costs[text_of(record, "hold")] = cost
        elif kind == "paid":
            self._add_cost(record)
        elif kind == "door":
            self.doors.setdefault(path, []).append(record)
        elif kind == "answer":
            self.answers[path] = text_of(record, "text")
        elif kind in ("tool", "cell"):
            number = record.get("number")
            if type(number) is not int:
                raise JournalError(f"a {kind} record has no number")
            (self.tools if kind == "tool" else self.cells)[path, number] = record
        elif kind == "call":
            self.calls[path, text_of(record, "name")] = record
            if "hold" in record:
                self._add_cost(record)
            elif "memo" in record:
                memo_cost = Cost(path, record["name"], text_of(record, "memo"), Tally(memo_calls=1), is_open=False)
                self.costs[f"memo: {path}, {record['name']}"] = memo_cost
        else:
            self.facts[path, text_of(record, "name")] = record.get("value")

    def _add_cost(self, record: Record) -> None:
        hold = text_of(record, "hold")
        cost = self.costs.get(hold)
        if cost is None:
            raise JournalError("it is the cost of a call that was not sent")
        self.costs[hold] = Cost(cost.path, cost.name, cost.model, tally_of(record.get("paid")), is_open=False)


def read_journal(path: Path, *, until_turn: int | None = None) -> JournalContents:
    """Read a journal; with `until_turn`, only up to the end of that turn of the query's own run.

    Raises JournalError if the file cannot be read, is not a journal, or has a newer version.
    """
    contents: JournalContents | None = None
    seals = SealReader()
    try:
        for number, line, end in _read_lines(path):
            record = _parse_line(line, number)
            if contents is None:
                _check_is_header(record, path)  # first: another version may have other seals
            seals.check(line, number)
            record.pop("sum", None)
            if contents is None:
                contents = JournalContents(record)
            elif _is_past_turn(record, until_turn):
                break
            else:
                _add(contents, record, number)
            contents.complete_bytes, contents.last_seal = end, seals.last
    except OSError as error:
        raise JournalError(f"cannot read the journal {path}: {error.strerror}") from None
    if contents is None:
        raise JournalError(f"{path} is not a journal: it is empty")
    return contents


def has_begun(path: Path) -> bool:
    """Whether there is a journal with a complete header. If its header is incomplete, there is nothing to resume."""
    try:
        with _open_to_read(path) as file:
            begin = file.read(len(_BEGIN))
            return bool(begin) and not (_BEGIN.startswith(begin) and b"\n" not in file.read(MAX_LINE_BYTES))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise JournalError(f"cannot read the journal {path}: {error.strerror}") from None


_BEGIN = b'{"kind":"header",'


def _add(contents: JournalContents, record: Record, number: int) -> None:
    try:
        contents.add(record)
    except JournalError as error:
        raise JournalError(f"line {number} of the journal: {error}") from None


def _is_past_turn(record: Record, until_turn: int | None) -> bool:
    if until_turn is None or record["kind"] not in ("call", "sent") or record.get("path") != QUERY_PATH:
        return False
    name = str(record.get("name"))
    return name == f"turn {until_turn + 1}" or name.startswith("last answer ")


def _open_to_read(path: Path) -> BinaryIO:
    """Open the file for reading, without blocking: opening a pipe would wait for its other end."""
    not_blocking = getattr(os, "O_NONBLOCK", 0)
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | not_blocking))  # noqa: SIM115 (returned)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise JournalError(f"{path} is not a regular file")
    return file


def _read_lines(path: Path) -> Iterator[tuple[int, bytes, int]]:
    """The complete lines, each with its number and where it ends."""
    end = 0
    with _open_to_read(path) as file:
        for number in range(1, MAX_RECORDS + 2):
            line = file.readline(MAX_LINE_BYTES + 1)
            if len(line) > MAX_LINE_BYTES or number > MAX_RECORDS or end + len(line) > MAX_JOURNAL_BYTES:
                raise JournalError(f"line {number} of {path} is past the limits of a journal")
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield number, line, end


def _parse_line(line: bytes, number: int) -> Record:
    if _count_items(line) > MAX_LINE_ITEMS and _count_items(_TEXTS.sub(b"", line)) > MAX_LINE_ITEMS:
        raise JournalError(f"line {number} is past the limits of a journal")
    try:
        record = json.loads(line.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        raise JournalError(f"line {number} of the journal is not JSON") from None
    if number == 1 and isinstance(record, dict) and record.get("schema") == "divebell.trace":
        raise JournalError(
            "this is a trace, which shows what happened (divebell trace FILE) and cannot be run again: give the run's "
            "journal, the file that --journal or journal= named"
        )
    if not isinstance(record, dict) or not isinstance(record.get("kind"), str) or record["kind"] not in KINDS:
        raise JournalError(f"line {number} is not a journal record")
    return record


def _count_items(line: bytes) -> int:
    return line.count(b",") + line.count(b"[") + line.count(b"{")


def _check_is_header(record: Record, path: Path) -> None:
    if record["kind"] != "header":
        raise JournalError(f"{path} does not begin as a journal does: its first line is not a header")
    version = record.get("version")
    if version != VERSION:
        raise JournalError(f"{path} is a journal of version {version!r:.40}; this Divebell reads {VERSION}")
