"""What a line of a trace file contains, and how much of the bodies it keeps.

A trace is a file of JSON lines. The first is a header: schema, version, divebell, started (wall time, UTC), level and
settings. Every other is an event: id (from 1, rising), parent (the id of the event that it belongs to, or null), kind,
path, turn, seconds (since the query began) and data. Money is an exact decimal string, in dollars.

Everything that a model, a guest or a context wrote is a *body*. Guaranteed, by the level:

full: bodies are written as they are, up to MAX_BODY_CHARACTERS. One that was cut is {"text", "missing"}.
redacted: a body is {"length", "hmac"}: a keyed hash, under a random key that is stored nowhere. Equal bodies in one
    file can be recognised as equal, and a guessed body cannot be confirmed. Lengths, times and costs are kept, and they
    reveal something as well.
off: bodies are left out.

Anything that is not known to be a fact counts as a body, so that a new field is never written by accident. No event
carries a key; if `secrets` are given, they are replaced in every string, whatever the level.
"""

import builtins
import hmac
import json
import math
import re
import secrets as randomness
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from itertools import islice
from typing import Any, Literal, get_args

from divebell.cell import Cell
from divebell.errors import ConfigurationError
from divebell.models.secret_texts import MIN_SECRET_CHARACTERS, SecretTexts
from divebell_bridge.money.dollars import dollars

SCHEMA = "divebell.trace"
VERSION = 1
TraceDetail = Literal["full", "redacted", "off"]
"""How much of the bodies a trace keeps. A file's header has it as `level`."""
LEVELS: tuple[str, ...] = get_args(TraceDetail)

MAX_BODY_CHARACTERS = 1 << 20
MAX_EVENT_CHARACTERS = 4 << 20
"""The limit of all bodies of an event together; what exceeds it is cut."""
MAX_FACT_CHARACTERS = 1_000
MAX_ITEMS = 1_000
MAX_NESTING = 6
MAX_LINE_BYTES = 64 << 20
"""No writer makes a longer line: a character takes up to 12 bytes in JSON."""

FACTS = frozenset({
    "account", "context_type", "error_type", "finish_reason", "limit", "media_type", "model", "name", "path", "role",
    "run_id", "status", "tenant", "type",
})  # fmt: skip
METADATA = "metadata"
"""In the header's settings: the application's own words (RLM(metadata=...)), which are facts."""
_BODIES = frozenset({"arguments", "keyword_arguments", "result"})
"""Bodies whatever their type: a tool's result may be a number that nobody may read."""
_WALKED = frozenset({"spend", "stopped_by", "messages", "models", "settings"})
ERROR_KINDS = frozenset(
    {name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)}
    | {"Killed", "StackOverflow", "Crash", "BrokenGuest"}
)


_SIZES = re.compile(r"an? [a-z]{1,20} of [\d,]{1,20} [a-z]{1,20}")


class Recorder:
    """Turns what events carry into plain JSON data, by the level. Not thread-safe: it belongs to one writer."""

    def __init__(self, level: str, secrets: Iterable[str] = ()) -> None:
        if level not in LEVELS:
            raise ConfigurationError(f"the level of a trace must be one of {', '.join(LEVELS)}, not {level!r}")
        known_secrets = tuple(secrets)
        self._secrets = SecretTexts(known_secrets)
        if isinstance(secrets, str) or any(len(secret) < MIN_SECRET_CHARACTERS for secret in known_secrets):
            raise ConfigurationError(
                f"secrets must be a list of strings of at least {MIN_SECRET_CHARACTERS} characters each"
            )
        self.level = level
        self._key = randomness.token_bytes(32)
        self._left = MAX_EVENT_CHARACTERS

    def data(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The data of a line: an event's record, with its bodies as the level has them."""
        self._left = MAX_EVENT_CHARACTERS
        line_data = self._mapping(record, 0)
        if record.get("error"):
            line_data["ok"] = False
        described = record.get("context")
        if isinstance(described, str) and (sizes := _SIZES.match(described)):
            line_data["context_type"] = sizes[0]
        return line_data

    def _mapping(self, values: Mapping[str, Any], nesting: int) -> dict[str, Any]:
        fields_kept: dict[str, Any] = {}
        for key, value in islice(values.items(), MAX_ITEMS):
            name = self._fact(str(key))
            if type(value) is int and name.endswith("picodollars"):
                fields_kept[name.replace("picodollars", "dollars")] = f"{dollars(value):f}"
            elif isinstance(value, Cell):
                fields_kept.update(self._cell(value))
            elif (plain := self._value(name, value, nesting)) is not _LEFT_OUT:
                fields_kept[name] = plain
        return fields_kept

    def _value(self, name: str, value: Any, nesting: int) -> Any:
        if name in _BODIES and nesting == 0:
            return self._body(value if isinstance(value, str) else _as_text(value))
        if value is None or type(value) is bool:
            return value
        if type(value) is int:
            return value if -(2**63) < value < 2**63 else str(Decimal(value))
        if type(value) is float:
            return value if math.isfinite(value) else None
        if isinstance(value, Decimal):
            return f"{value:f}"[:MAX_FACT_CHARACTERS]
        if isinstance(value, str):
            return self._fact(value) if name in FACTS else self._body(value)
        if name not in _WALKED and nesting == 0:
            return self._body(_as_text(value))
        if nesting >= MAX_NESTING:
            return None
        if is_dataclass(value) and not isinstance(value, type):
            return self._mapping({field.name: getattr(value, field.name) for field in fields(value)}, nesting + 1)
        if isinstance(value, Mapping):
            if name == METADATA and nesting == 1:  # of the settings, which the application wrote
                return {self._fact(str(key)): self._fact(str(item)) for key, item in islice(value.items(), MAX_ITEMS)}
            return self._mapping(value, nesting + 1)
        if isinstance(value, (list, tuple)):
            items = (self._value(name, item, nesting + 1) for item in value[-MAX_ITEMS:])
            return [item for item in items if item is not _LEFT_OUT]
        return self._body(_as_text(value))

    def _cell(self, cell: Cell) -> dict[str, Any]:
        error = cell.error
        cell_data: dict[str, Any] = {
            "cell_seconds": cell.seconds,
            "truncated": cell.truncated,
            "restored": cell.restored,
            "exit_status": cell.exit_status,
            "ok": cell.ok,
        }
        bodies = {
            "stdout": cell.stdout,
            "stderr": cell.stderr,
            "repr": cell.repr,
            "traceback": None if error is None else error.traceback,
            "final": cell.final,
            "submitted": None if cell.submitted is None else _as_text(cell.submitted),
        }
        for name, text in bodies.items():
            if text and (body := self._body(text)) is not _LEFT_OUT:
                cell_data[name] = body
        if error is not None:  # the guest chose the name: only a well-known one is a fact
            kind = error.kind if error.kind in ERROR_KINDS else self._body(error.kind)
            if kind is not _LEFT_OUT:
                cell_data["error_kind"] = kind
        return cell_data

    def _fact(self, text: str) -> str:
        if self._secrets:
            text = self._secrets.clean(text)
        return text if len(text) <= MAX_FACT_CHARACTERS else text[:MAX_FACT_CHARACTERS]

    def _body(self, text: str) -> Any:
        if self.level == "off":
            return _LEFT_OUT
        text = self._secrets.clean(text)
        if self.level == "redacted":
            digest = hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")
            return {"length": len(text), "hmac": digest.hex()[:32]}
        room = min(MAX_BODY_CHARACTERS, self._left)
        self._left -= min(len(text), room)
        return text if len(text) <= room else {"text": text[:room], "missing": len(text) - room}


class _LeftOut:
    pass


_LEFT_OUT = _LeftOut()


def _as_text(value: Any) -> str:
    """Structured data, a tool's arguments for example, as one body."""
    if isinstance(value, (bytes, bytearray)):
        return f"[{len(value):,} bytes]"
    try:
        return json.dumps(value, ensure_ascii=False, default=lambda other: f"[{type(other).__name__}]")
    except (TypeError, ValueError, RecursionError):
        return f"[{type(value).__name__}]"


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def line(entry: Mapping[str, Any]) -> bytes:
    """One line of the file, with its end. Invalid Unicode is escaped, and so is what other readers may take for the end
    of a line."""
    text = _encode(entry)
    for character in "\x85\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(entry, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def body_text(value: Any) -> str | None:
    """A body as text to show, at any level; None if it was left out. It is still untrusted."""
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            return f"{value['text']}\n[{_count(value, 'missing')} more characters were not kept]"
        if "hmac" in value:
            return f"[{_count(value, 'length')} characters, redacted: {str(value['hmac'])[:32]}]"
    return _as_text(value)


def _count(value: dict[str, Any], name: str) -> str:
    number = value.get(name)
    return f"{number:,}" if type(number) is int else "?"
