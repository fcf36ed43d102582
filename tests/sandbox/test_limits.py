"""Limits, by the threat that each is for."""

import dataclasses

import pytest

from divebell import ConfigurationError, Limits, Sandbox
from tests.support.names import name_value


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, "1", None, True, float("nan"), float("inf"), 10**30, [1]], ids=name_value)
def test_a_limit_outside_its_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=field):
        Limits(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["memory_bytes", "output_characters", "door_calls"])
def test_a_count_is_a_whole_number(field: str) -> None:
    with pytest.raises(ConfigurationError):
        Limits(**{field: 1000.5})  # type: ignore[arg-type]


def test_limits_cannot_be_changed_later() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().cell_seconds = 5  # type: ignore[misc]


@pytest.mark.slow
def test_a_memory_hog_gets_a_memory_error_and_the_rest_of_its_memory_back() -> None:
    with Sandbox(limits=Limits(memory_bytes=32 << 20)) as box:
        for _ in range(3):
            cell = box.run("x = []\ntry:\n    while True: x.append(bytes(1 << 20))\nfinally: n = len(x); x = None\nn")
            assert cell.error is not None
            assert cell.error.kind == "MemoryError"
            assert 20 < box["n"] < 60


@pytest.mark.slow
@pytest.mark.parametrize("source", [None, "some context " * 1000], ids=["without_context", "with_context"])
@pytest.mark.parametrize("megabytes", [*range(60, 90, 3), 100, 300])
def test_an_allocation_around_the_limit_is_a_memory_error_and_not_a_crash(source: str | None, megabytes: int) -> None:
    with Sandbox(source, limits=Limits(memory_bytes=64 << 20)) as box:
        cell = box.run(f"x = bytes({megabytes} << 20); len(x)")
        assert cell.value == megabytes << 20 or (cell.error is not None and cell.error.kind == "MemoryError"), cell


def test_memory_that_one_sandbox_may_use_does_not_depend_on_another() -> None:
    with Sandbox(limits=Limits(memory_bytes=8 << 20)) as small, Sandbox(limits=Limits(memory_bytes=256 << 20)) as large:
        assert large.run("x = bytes(200 << 20); len(x)").value == 200 << 20
        assert small.run("x = bytes(200 << 20)").error is not None
        assert large.run("len(x)").value == 200 << 20


@pytest.mark.slow
def test_a_slow_cell_is_interrupted_and_its_state_survives() -> None:
    with Sandbox(limits=Limits(cell_seconds=0.3, grace_seconds=5)) as box:
        cell = box.run("n = 0\nwhile True: n += 1")
        assert cell.error is not None
        assert cell.error.kind == "TimeoutError"
        assert "0.3 s" in cell.error.message
        assert box["n"] > 0


@pytest.mark.slow
def test_the_clock_starts_anew_with_each_cell() -> None:
    with Sandbox(limits=Limits(cell_seconds=0.6, grace_seconds=0.3)) as box:
        for _ in range(4):
            assert box.run("import time\nt = time.perf_counter()\nwhile time.perf_counter() < t + 0.25: pass").ok


def test_a_deaf_cell_is_killed_after_its_grace() -> None:
    with Sandbox(limits=Limits(cell_seconds=0.2, grace_seconds=0.4)) as box:
        cell = box.run("sum(iter(int, 1))")
        assert cell.error is not None
        assert cell.error.kind == "Killed"


def test_a_cell_that_ends_within_its_grace_keeps_what_it_did() -> None:
    with Sandbox(limits=Limits(cell_seconds=0.2, grace_seconds=10)) as box:
        cell = box.run("try:\n    while True: pass\nexcept TimeoutError:\n    x = 'saved'")
        assert cell.ok
        assert box["x"] == "saved"


def test_chatter_at_the_door_is_cut_off() -> None:
    with Sandbox(llm=lambda prompt: prompt, limits=Limits(door_calls=50)) as box:
        cell = box.run("n = 0\nwhile True:\n    llm_query('x'); n += 1")
        assert cell.error is not None
        assert cell.error.kind == "RuntimeError"
        assert box["n"] == 50


def test_reading_the_clock_too_often_stops_the_clock_and_harms_nothing() -> None:
    with Sandbox(limits=Limits(door_calls=50)) as box:
        assert box.run("import time\nx = [time.time() for _ in range(500)]\nlen(set(x)) <= 51").value is True
        assert box.run("time.time() > x[-1]").value is True


def test_a_flood_of_output_is_cut_in_stdout_stderr_and_value_alike() -> None:
    with Sandbox(limits=Limits(output_characters=100)) as box:
        cell = box.run("import sys\nprint('a' * 10_000)\nsys.stderr.write('b' * 10_000)\n'c' * 10_000")
        assert cell.truncated
        assert max(len(cell.stdout), len(cell.stderr), len(cell.repr or "")) < 400


def test_an_error_message_is_cut() -> None:
    with Sandbox() as box:
        cell = box.run("raise ValueError('x' * 1_000_000)")
        assert cell.error is not None
        assert len(cell.error.message) <= 50_000
        assert len(cell.error.traceback) <= 50_000
