"""The outcome of a cell, as the host sees it. All of it is what the guest reports: untrusted, but bounded and typed."""

from dataclasses import dataclass
from typing import Any

from divebell.bounds import MAX_ERROR_CHARACTERS
from divebell.limits import Limits
from divebell.text import printable, quote

MAX_NOTICES = 50
MAX_NOTICE_CHARACTERS = 300


@dataclass(frozen=True, kw_only=True)
class CellError:
    """Why a cell failed. `kind` is the exception's name ("ValueError"), or how the guest was lost: "Killed",
    "StackOverflow", "Crash", "BrokenGuest" (see GuestError)."""

    kind: str
    message: str
    traceback: str

    def __str__(self) -> str:
        return self.traceback


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One executed cell."""

    stdout: str = ""
    stderr: str = ""
    value: object = None
    """The value of a last bare expression where it is plain data of up to 1 MB, else None; `repr` has its text."""
    repr: str | None = None
    error: CellError | None = None
    seconds: float = 0.0
    """Wall time of the cell, its waiting at the door included."""
    truncated: bool = False
    """Whether a part of stdout or stderr is missing; a line in the middle of the text says how much."""
    restored: bool = False
    """Whether the sandbox had to be put back to its state before this cell."""
    exit_status: int | None = None
    """What the code gave to sys.exit, if it called that: a number, or 1 for a message, which is in stderr then."""
    final: str | None = None
    """The answer that the code gave, as text: with FINAL, FINAL_VAR, `answer` or SUBMIT."""
    final_value: object = None
    """The data of what FINAL, FINAL_VAR or `answer` was given, of up to 16 MB, as the guest's answerable.py says; a
    text of up to 1 MB. None if there is none."""
    has_final_value: bool = False
    """Whether `final_value` is there: None may be the value."""
    submitted: dict[str, Any] | None = None
    """The fields that SUBMIT was given, of up to 16 MB, after `Host.check_answer` accepted them. One value without
    a name comes as {"answer": value}, unless it is a dict; several come as {wire.BY_POSITION: [values]}."""

    notices: tuple[str, ...] = ()
    """Messages for the author of the code: that a name of the sandbox was put back, for example."""

    def __repr__(self) -> str:
        parts = [
            "ok" if self.error is None else f"failed {quote(self.error.kind)}: {quote(self.error.message)}",
            *([f"stdout={quote(self.stdout)}"] if self.stdout else []),
            *([f"stderr={quote(self.stderr)}"] if self.stderr else []),
            *([] if self.repr is None else [f"value: {printable(self.repr[:60])}"]),
            *([] if self.final is None else [f"final={quote(self.final)}"]),
            *(["restored"] if self.restored else []),
            f"seconds={self.seconds:.3f}",
        ]
        return f"<Cell {', '.join(parts)}>"

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def output(self) -> str:
        """What a notebook would show: stdout, stderr, the value, the error; then the notices."""
        failure = self.error.traceback if self.error else ""
        parts = [self.stdout, self.stderr, self.repr or "", failure, *(f"[{notice}]" for notice in self.notices)]
        return "\n".join(part.rstrip("\n") for part in parts if part)


def _text(outcome: dict[str, Any], name: str, limit: int) -> str:
    text = outcome.get(name)
    return text[:limit] if type(text) is str else ""


def _is_fields(submitted: object) -> bool:
    return type(submitted) is dict and all(type(name) is str for name in submitted)


def _read_notices(notices: object) -> tuple[str, ...]:
    if not isinstance(notices, list):
        return ()
    return tuple(notice[:MAX_NOTICE_CHARACTERS] for notice in notices[:MAX_NOTICES] if type(notice) is str)


def cell_from_guest(outcome: object, limits: Limits, seconds: float) -> Cell:
    """Build a Cell from the guest's outcome. A field of a wrong type counts as absent, a text too long is cut."""
    if not isinstance(outcome, dict):
        outcome = {}
    # The guest's own bound, plus the line that says how much is missing.
    limit = limits.output_characters + 200
    error = outcome.get("error")
    missing = outcome.get("missing")
    final = outcome.get("final")
    exit_status = outcome.get("exit_status")
    submitted = outcome.get("submitted")
    return Cell(
        stdout=_text(outcome, "stdout", limit),
        stderr=_text(outcome, "stderr", limit),
        value=outcome.get("value"),
        repr=_text(outcome, "repr", 2 * limit) if outcome.get("repr") is not None else None,
        error=CellError(
            kind=_text(error, "kind", 200),
            message=_text(error, "message", MAX_ERROR_CHARACTERS),
            traceback=_text(error, "traceback", MAX_ERROR_CHARACTERS),
        )
        if isinstance(error, dict)
        else None,
        seconds=seconds,
        truncated=type(missing) is int and missing > 0,
        exit_status=exit_status if type(exit_status) is int and abs(exit_status) < 2**31 else None,
        final=final if type(final) is str else None,
        has_final_value="final_value" in outcome and type(final) is str,
        final_value=outcome.get("final_value") if type(final) is str else None,
        notices=_read_notices(outcome.get("notices")),
        submitted=submitted if _is_fields(submitted) and type(final) is str else None,
    )
