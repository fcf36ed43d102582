"""A sandbox whose model waits until enough calls are in flight."""

from collections.abc import Iterator

import pytest

from divebell import Limits, Sandbox
from tests.support.meeting import Meeting


@pytest.fixture
def meeting() -> Meeting:
    return Meeting()


@pytest.fixture
def box(meeting: Meeting) -> Iterator[Sandbox]:
    with Sandbox("the context", llm=meeting, limits=Limits(cell_seconds=5)) as made:
        yield made
