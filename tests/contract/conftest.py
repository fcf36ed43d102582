"""A model that counts how many of its calls are in flight: what proves that calls run at once, without measuring time."""

import threading
from collections.abc import Iterator

import pytest

from divebell import Cell, Limits, Sandbox


class Meeting:
    """Answers with the prompt in capitals, once so many calls are in flight as `party` says (or 5 s have passed)."""

    def __init__(self) -> None:
        self.party = 1
        self.most = 0
        self.prompts: list[str] = []
        self._in_flight = 0
        self._changed = threading.Condition()

    def __call__(self, prompt: str) -> str:
        with self._changed:
            self.prompts.append(prompt)
            self._in_flight += 1
            self.most = max(self.most, self._in_flight)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self.party, timeout=5)
        # The others must not have left before the last of a party has come.
        with self._changed:
            self._in_flight -= 1
        if prompt == "bad":
            raise ValueError("no such luck")
        return prompt.upper()


@pytest.fixture
def meeting() -> Meeting:
    return Meeting()


@pytest.fixture
def box(meeting: Meeting) -> Iterator[Sandbox]:
    with Sandbox("the context", llm=meeting, limits=Limits(cell_seconds=5)) as made:
        yield made


def value(cell: Cell) -> object:
    """The cell's value; a cell that failed fails the test with what it said."""
    assert cell.error is None, cell.error
    return cell.value


def kind(cell: Cell) -> str | None:
    return cell.error.kind if cell.error else None
