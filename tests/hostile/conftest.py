"""How a hostile cell is judged: it ends, its sandbox goes on with the state from before, its neighbour notices nothing."""

from collections.abc import Iterator

import pytest

from divebell import Cell, Context, Limits, Sandbox
from tests.support.threat import FINE, LOST, Attack, Threat

TEXT = "The combination is 31-8-24. " * 400


@pytest.fixture(scope="session")
def shared_context() -> Context:
    return Context.of(TEXT)


@pytest.fixture
def hostile_limits() -> Limits:
    return Limits(cell_seconds=0.5, grace_seconds=0.3, memory_bytes=128 << 20, output_characters=10_000)


@pytest.fixture
def attack(shared_context: Context, hostile_limits: Limits) -> Iterator[Attack]:
    """Run a hostile cell beside a neighbour that shares its context, and check what it must leave as it was."""
    with (
        Sandbox(shared_context, limits=hostile_limits, llm=lambda prompt: f"{len(prompt)} characters") as box,
        Sandbox(shared_context) as neighbour,
    ):
        box["kept"] = ["from", "before"]
        neighbour["kept"] = "the neighbour's"

        def run(threat: "Threat | str", *ends: str | None, before: str = "") -> Cell:
            if isinstance(threat, str):
                threat = Threat("", threat, frozenset(ends or {FINE}))
            if before:
                assert box.run(before).error is None
            cell = box.run(threat.code)  # the time limit of tests tells an end from a hang
            kind = cell.error.kind if cell.error else FINE
            assert kind in threat.ends, cell
            assert cell.restored == (kind in LOST) or kind == "MemoryError"  # used up to the last byte: restored too
            assert len(cell.output) < 200_000
            after = box.run("1 + 1")
            assert (after.value, after.error) == (2, None)
            assert box["kept"] == ["from", "before"]
            assert box.run("context.count('31-8-24'), len(context)").value == [400, len(TEXT)]
            assert neighbour.run("kept, 20 + 22").value == ["the neighbour's", 42]
            assert neighbour.run("context.count('31-8-24'), len(context)").value == [400, len(TEXT)]
            return cell

        yield run
