"""What a journal is made of: one JSON object a line. Reading believes nothing of it.

- `header`, the first line: what was asked, of what, with which settings, and the journal's own id.
- `run`: a process begins or goes on; with the id under which the ledger knows it.
- `sent`: a call is about to leave, and holds so much; `paid`: what it cost, where no completion came of it.
- `call`: a completion and what it cost, or how a sub-call failed; by the run's path and the call's name, with the
  request's digest.
- `tool`: what came of a tool call; by path and number.
- `fact`: something else that the run cannot work out again (what a tenant had left, why the turns ended).
- `door`: what the guest was told at the door where that depends on time or order; in order, by path.
- `cell`: what came of a cell, to compare with.
- `answer`: what a run, or a child, answered.

Each ends with a check of itself and of the lines before it (seals.py). A line that is not whole is the last one of a
process that died: it is left out. Any other fault is an error that names its line.

Bounds: MAX_JOURNAL_BYTES in all, MAX_LINE_BYTES and MAX_LINE_ITEMS (lists' elements and maps' entries) a line,
MAX_RECORDS lines. So reading takes a few times the file's size in memory, whatever is in it.
"""

import base64
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
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

Record = dict[str, Any]

_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)


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
    """Surrogates stay as they are, each by itself: JSON's own way to write them would join two that are not a pair."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def numbers_of(tally: Tally) -> dict[str, int]:
    """A tally for a line: what is not nothing."""
    return {name: value for name in Tally.__slots__ if (value := getattr(tally, name))}


def tally_of(numbers: object) -> Tally:
    """The tally again. JournalError where these are no numbers, or such as would make money."""
    if not isinstance(numbers, dict) or not all(
        name in Tally.__slots__ and type(value) is int and 0 <= value <= MAX_COUNT for name, value in numbers.items()
    ):
        raise JournalError("what a call of the journal cost makes no sense")
    return Tally(**numbers)


def text_of(record: Record, name: str) -> str:
    """A text of a record. JournalError where there is none."""
    text = record.get(name)
    if not isinstance(text, str):
        raise JournalError(f"a {record.get('kind')} of the journal has no {name}")
    return text


@dataclass(frozen=True)
class Cost:
    """What one attempt at a call cost, or holds: `is_open` where nobody lived to say what became of it."""

    path: str
    name: str
    model: str
    tally: Tally
    is_open: bool = True


@dataclass
class Recorded:
    """A journal that was read. `whole_bytes` is where its last whole line ends, `last_check` that line's check, or None
    where the journal has none. `costs` are by the hold's id."""

    header: Record
    runs: list[str] = field(default_factory=list)
    costs: dict[str, Cost] = field(default_factory=dict)
    calls: dict[tuple[str, str], Record] = field(default_factory=dict)
    tools: dict[tuple[str, int], Record] = field(default_factory=dict)
    facts: dict[tuple[str, str], Any] = field(default_factory=dict)
    doors: dict[str, list[Record]] = field(default_factory=dict)
    cells: dict[tuple[str, int], Record] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    whole_bytes: int = 0
    last_check: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the run came to its answer, or failed."""
        return "0" in self.answers or ("0", "failed") in self.facts

    @property
    def turns(self) -> int:
        """How many turns of the query's own run have their completions here."""
        turn = 1
        while ("0", f"turn {turn}") in self.calls:
            turn += 1
        return turn - 1

    def add(self, record: Record) -> None:
        """Put a record in its place. JournalError where it is none."""
        kind = record["kind"]
        if kind == "header":
            raise JournalError("a journal has one header")
        if kind == "run":
            self.runs.append(text_of(record, "id"))
            return
        path = text_of(record, "path")
        if kind == "sent":
            cost = Cost(path, text_of(record, "name"), text_of(record, "model"), tally_of(record.get("holds")))
            self.costs[text_of(record, "hold")] = cost
        elif kind == "paid":
            self._paid(record)
        elif kind == "door":
            self.doors.setdefault(path, []).append(record)
        elif kind == "answer":
            self.answers[path] = text_of(record, "text")
        elif kind in ("tool", "cell"):
            number = record.get("number")
            if type(number) is not int:
                raise JournalError(f"a {kind} has no number")
            (self.tools if kind == "tool" else self.cells)[path, number] = record
        elif kind == "call":
            self.calls[path, text_of(record, "name")] = record
            if "hold" in record:
                self._paid(record)
            elif "memo" in record:
                remembered = Cost(path, record["name"], text_of(record, "memo"), Tally(memo_calls=1), is_open=False)
                self.costs[f"memo: {path}, {record['name']}"] = remembered
        else:
            self.facts[path, text_of(record, "name")] = record.get("value")

    def _paid(self, record: Record) -> None:
        hold = text_of(record, "hold")
        cost = self.costs.get(hold)
        if cost is None:
            raise JournalError("a call was paid that was not sent")
        self.costs[hold] = Cost(cost.path, cost.name, cost.model, tally_of(record.get("paid")), is_open=False)


def read(path: Path, *, until_turn: int | None = None) -> Recorded:
    """Read a journal. `until_turn`: only up to the end of that turn of the query's own run.

    Raises JournalError where the file cannot be read, is no journal, or is of a newer version.
    """
    recorded: Recorded | None = None
    seals = SealReader()
    try:
        for number, line, end in _lines(path):
            record = _record(line, number)
            if recorded is None:
                _header(record, path)  # first: one of another version may be checked in another way
            seals.check(line, number)
            record.pop("sum", None)
            if recorded is None:
                recorded = Recorded(record)
            elif _is_after(record, until_turn):
                break
            else:
                _add(recorded, record, number)
            recorded.whole_bytes, recorded.last_check = end, seals.last
    except OSError as error:
        raise JournalError(f"cannot read the journal {path}: {error.strerror}") from None
    if recorded is None:
        raise JournalError(f"{path} is not a journal: it is empty")
    return recorded


def has_begun(path: Path) -> bool:
    """Whether there is a journal with a whole header. One whose header is torn has nothing to go on from."""
    try:
        with _opened(path) as file:
            begin = file.read(len(_BEGIN))
            return bool(begin) and not (_BEGIN.startswith(begin) and b"\n" not in file.read(MAX_LINE_BYTES))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise JournalError(f"cannot read the journal {path}: {error.strerror}") from None


_BEGIN = b'{"kind":"header",'


def _add(recorded: Recorded, record: Record, number: int) -> None:
    try:
        recorded.add(record)
    except JournalError as error:
        raise JournalError(f"line {number} of the journal: {error}") from None


def _is_after(record: Record, until_turn: int | None) -> bool:
    if until_turn is None or record["kind"] not in ("call", "sent") or record.get("path") != "0":
        return False
    name = str(record.get("name"))
    return name == f"turn {until_turn + 1}" or name.startswith("last answer ")


def _opened(path: Path) -> BinaryIO:
    """The file, to be read. Not blocking, because a pipe of that name would be waited for."""
    not_blocking = getattr(os, "O_NONBLOCK", 0)
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | not_blocking))  # noqa: SIM115 (returned)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise JournalError(f"{path} is not a file")
    return file


def _lines(path: Path) -> Iterator[tuple[int, bytes, int]]:
    """The whole lines, with their numbers, and where each ends."""
    end = 0
    with _opened(path) as file:
        for number in range(1, MAX_RECORDS + 2):
            line = file.readline(MAX_LINE_BYTES + 1)
            if len(line) > MAX_LINE_BYTES or number > MAX_RECORDS or end + len(line) > MAX_JOURNAL_BYTES:
                raise JournalError(f"line {number} of {path} is past the limits of a journal")
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield number, line, end


def _record(line: bytes, number: int) -> Record:
    if _items(line) > MAX_LINE_ITEMS and _items(_TEXTS.sub(b"", line)) > MAX_LINE_ITEMS:
        raise JournalError(f"line {number} of the journal is past the limits of a journal")
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
        raise JournalError(f"line {number} of the journal is no record of one")
    return record


def _items(line: bytes) -> int:
    return line.count(b",") + line.count(b"[") + line.count(b"{")


def _header(record: Record, path: Path) -> Record:
    if record["kind"] != "header":
        raise JournalError(f"{path} does not begin as a journal does")
    version = record.get("version")
    if version != VERSION:
        raise JournalError(f"{path} is a journal of version {version!r:.40}; this Divebell reads {VERSION}")
    return record
