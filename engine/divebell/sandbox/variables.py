"""A sandbox's variables, as the host sees them: their names, and what the guest reports about them, checked."""

from dataclasses import dataclass
from typing import Any

from divebell.errors import NotPlainDataError, SandboxError
from divebell_bridge.door.bounds import MAX_LISTED_VARIABLES, MAX_VARIABLE_NAME_CHARACTERS

MAX_REASON_CHARACTERS = 2_000


@dataclass(frozen=True)
class Variable:
    """A variable that code in a sandbox has made. All three fields are what the guest reports, and untrusted.

    type: the name of its type. length: of a str, bytes, list, tuple, dict or set, in characters, bytes or items; None
    for anything else.
    """

    name: str
    type: str
    length: int | None


def read_variables(listed: object) -> tuple[Variable, ...]:
    """Read the variables that the guest lists. Malformed entries are left out."""
    variables: list[Variable] = []
    for one in listed[:MAX_LISTED_VARIABLES] if isinstance(listed, list) else ():
        if not isinstance(one, list) or len(one) != 3:
            continue
        name, kind, length = one
        if type(name) is str and len(name) <= MAX_VARIABLE_NAME_CHARACTERS and type(kind) is str:
            is_length = type(length) is int and 0 <= length < 1 << 40
            variables.append(Variable(name, kind[:MAX_VARIABLE_NAME_CHARACTERS], length if is_length else None))
    return tuple(variables)


def check_name(name: object) -> str:
    """The name, if a variable can have it; KeyError if not."""
    if not isinstance(name, str) or not name.isidentifier():
        raise KeyError(f"{name!r} is not a variable's name")
    return name


def reason_of(answer: dict[str, Any]) -> str:
    """Why the guest refused a request."""
    error = answer.get("error")
    text = error.get("message") if isinstance(error, dict) else None
    return text[:MAX_REASON_CHARACTERS] if type(text) is str else "the guest gave no reason"


def kind_of(answer: dict[str, Any]) -> object:
    """The kind of error in the guest's answer; None if it has none."""
    error = answer.get("error")
    return error.get("kind") if isinstance(error, dict) else None


def variable_error(name: str, answer: dict[str, Any]) -> Exception:
    """The exception to raise if the guest could not get or set a variable."""
    kind = kind_of(answer)
    if kind == "NameError":
        return KeyError(name)
    if kind == "WireError":
        return NotPlainDataError(f"{name}: {reason_of(answer)}")
    return SandboxError(f"{name}: {reason_of(answer)}")
