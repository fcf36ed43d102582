"""A hostile cell and how it may end, as a row of a table."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from divebell import Cell

FINE = None  # among the kinds of error: the cell may also end without one
LOST = frozenset({"Killed", "Crash", "StackOverflow", "BrokenGuest"})  # the instance died, the state was restored
IN_TIME = frozenset({"TimeoutError", "Killed"})

Attack = Callable[..., Cell]


@dataclass(frozen=True)
class Threat:
    """`ends` are the kinds of error that the cell may end with."""

    name: str
    code: str
    ends: frozenset[str | None] = frozenset({FINE})


def ending(*kinds: str | None) -> frozenset[str | None]:
    return frozenset(kinds)


def threats(*listed: Threat) -> pytest.MarkDecorator:
    assert len({threat.name for threat in listed}) == len(listed)
    return pytest.mark.parametrize("threat", [pytest.param(threat, id=threat.name) for threat in listed])
