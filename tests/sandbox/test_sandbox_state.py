"""Sandbox: variables, snapshots, forks, randomness."""

import math
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divebell import (
    Cell,
    ConfigurationError,
    Limits,
    NotPlainDataError,
    Sandbox,
    SandboxError,
)
from tests.support.cells import error_kind, value_of

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=200),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=5) | st.integers(-(2**60) + 1, 2**60 - 1), inner, max_size=5)
    ),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def long_lived() -> Any:
    with Sandbox() as made:
        yield made


@given(value=plain)
@settings(max_examples=150)
def test_plain_data_goes_in_and_comes_out_the_same(long_lived: Sandbox, value: object) -> None:
    long_lived["x"] = value
    got = long_lived["x"]
    assert got == value
    assert repr(got) == repr(value)
    assert long_lived.run("x").value == value


def test_special_values_go_in_and_come_out_the_same(box: Sandbox) -> None:
    for value in (
        math.inf,
        -math.inf,
        -0.0,
        2**64,
        -(2**63) - 1,
        "\ud800",
        "\0",
        "\U0001f92f",
        b"\xff\0",
        1e308,
        5e-324,
        {1: {2.5: None}},
    ):
        box["x"] = value
        assert repr(box["x"]) == repr(value)
    box["x"] = math.nan
    assert math.isnan(box["x"])
    box["x"] = (1, (2,))
    assert box["x"] == [1, [2]]


def test_a_value_of_many_megabytes_goes_in_and_comes_out(box: Sandbox) -> None:
    value = "näh" * 5_000_000
    box["x"] = value
    assert box["x"] == value


@pytest.mark.slow
@pytest.mark.parametrize("source", [None, "a context"], ids=["without_context", "with_context"])
@pytest.mark.parametrize("megabytes", [1, 11, 12, 13, 14, 30, 40])
def test_long_messages_work_wherever_the_heap_puts_them(source: str | None, megabytes: int) -> None:
    """Both ways and both sides: buffers of such sizes lie across whatever boundaries the guest's memory has."""
    size = megabytes << 20
    with Sandbox(source, llm=lambda prompt: "r" * size) as box:
        assert box.run("len(llm_query('x'))").value == size
        box["x"] = "v" * size
        assert box.run("len(x)").value == size
    with Sandbox(source, llm=lambda prompt: str(len(prompt))) as box:
        assert box.run(f"llm_query('p' * {size})").value == str(size)
        assert box.run(f"x = 'v' * {size - 1000}").ok
        assert len(box["x"]) == size - 1000


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, Decimal(1), len, [object()], {"a": {1}}, 1 << 40_000, iter(b"x")], ids=lambda value: type(value).__name__
)  # fmt: skip
def test_other_data_is_refused_on_its_way_in(box: Sandbox, value: object) -> None:
    with pytest.raises(NotPlainDataError):
        box["x"] = value
    assert box.run("1").value == 1


def test_data_nested_too_deep_or_in_a_circle_is_refused_on_its_way_in(box: Sandbox) -> None:
    circle: list[object] = []
    circle.append(circle)
    deep: object = 1
    for _ in range(100):
        deep = [deep]
    for value in (circle, deep):
        with pytest.raises(NotPlainDataError):
            box["x"] = value


@pytest.mark.parametrize(
    "code", ["x = object()", "x = {1, 2}", "x = 1 + 2j", "def x(): pass", "x = [[object()]]", "import re as x"]
)
def test_other_data_is_refused_on_its_way_out(box: Sandbox, code: str) -> None:
    box.run(code)
    with pytest.raises(NotPlainDataError, match="x"):
        box["x"]
    assert box.run("1").value == 1


@pytest.mark.parametrize("name", ["nonesuch", "", "a b", "1x", "x.y", "x['y']"])
def test_an_unknown_name_is_a_key_error(box: Sandbox, name: str) -> None:
    with pytest.raises(KeyError):
        box[name]


@pytest.mark.parametrize("name", ["", "a b", "1x", "x.y"])
def test_what_is_no_name_cannot_be_set(box: Sandbox, name: str) -> None:
    with pytest.raises(KeyError):
        box[name] = 1


def test_setting_a_variable_too_large_for_the_sandbox_is_refused() -> None:
    with Sandbox(limits=Limits(memory_bytes=1 << 20)) as box:
        with pytest.raises(SandboxError):
            box["x"] = "x" * (60 << 20)
        assert box.run("1").value == 1


def test_a_fork_and_its_origin_are_independent() -> None:
    with Sandbox("shared context") as box:
        box.run("x = [1, 2, 3]")
        with box.fork() as twin:
            twin.run("x.append('twin'); y = 1")
            box.run("x.append('origin')")
            assert twin["x"] == [1, 2, 3, "twin"]
            assert box["x"] == [1, 2, 3, "origin"]
            assert twin.run("context").value == "shared context"
            assert error_kind(box.run("y")) == "NameError"
        assert box.run("x").value == [1, 2, 3, "origin"]


def test_a_fork_outlives_its_origin() -> None:
    box = Sandbox("text")
    box.run("x = 'kept'")
    twin = box.fork()
    box.close()
    assert twin.run("x, context").value == ["kept", "text"]
    twin.close()


def test_a_fork_of_a_sandbox_that_ran_nothing_works() -> None:
    with Sandbox("text") as box, box.fork() as twin:
        assert twin.run("context").value == "text"


def test_forks_sleep_on_their_own_time(short_limits: Limits) -> None:
    with Sandbox(limits=short_limits) as box:
        box.run("import time")
        with box.fork() as twin:
            cells: list[Cell] = []
            sleeper = threading.Thread(
                target=lambda: cells.append(box.run("for _ in range(8): time.sleep(0.05)\n'slept'"))
            )
            sleeper.start()
            for _ in range(40):
                cell = twin.run("time.sleep(0.01); 'fine'")
                assert cell.value == "fine", cell
            sleeper.join()
            assert cells[0].value == "slept", cells


@pytest.mark.slow
def test_a_fork_that_is_closed_while_its_origin_sleeps_does_no_harm(alone: Callable[..., str]) -> None:
    script = """
from divebell import Limits, Sandbox
forks = []
def llm(prompt):
    twin = forks.pop()
    twin.run("1")
    twin.close()
    return "ok"
box = Sandbox(llm=llm, limits=Limits(cell_seconds=0.5, grace_seconds=0.3))
box.run("import time")
forks.append(box.fork())
cell = box.run("llm_query('x')\\ntime.sleep(5)")
print(cell.error.kind, box.run("6 * 7").value)
"""
    assert alone(script).split() == ["TimeoutError", "42"]


def test_a_snapshot_can_be_restored_many_times() -> None:
    with Sandbox("context") as box:
        box.run("x = {'a': [1]}; import json")
        snapshot = box.snapshot()
        box.run("x = 'changed'")
        for _ in range(3):
            with Sandbox.restore(snapshot, "context") as restored:
                assert restored["x"] == {"a": [1]}
                assert restored.run("x['b'] = 2; json.dumps(x), context").value == ['{"a": [1], "b": 2}', "context"]
        assert box["x"] == "changed"
    assert snapshot.bytes > 0


def test_a_snapshot_keeps_megabytes_exactly() -> None:
    with Sandbox("c" * 70_000) as box:
        box.run(
            "import random, hashlib\nrandom.seed(1)\nx = random.randbytes(20_000_000)\nd = hashlib.sha256(x).hexdigest()"
        )
        with Sandbox.restore(box.snapshot(), "c" * 70_000) as restored:
            assert restored.run("hashlib.sha256(x).hexdigest() == d and context.count('c')").value == 70_000


def test_a_snapshot_of_another_engine_is_refused() -> None:
    from divebell import Engine

    with Sandbox() as box:
        box.run("x = 1")
        with pytest.raises(SandboxError, match="engine"):
            Sandbox.restore(box.snapshot(), engine=Engine())


@pytest.mark.slow
@pytest.mark.parametrize("other", ["'y' * 50_000_000", "None", "b'bytes'", "['a list']"])
def test_a_snapshot_with_another_context_is_refused_and_harmless(alone: Callable[..., str], other: str) -> None:
    script = f"""
from divebell import DivebellError, Sandbox
box = Sandbox("x" * 10)
box.run("grown = list(range(1_000_000))")
try:
    restored = Sandbox.restore(box.snapshot(), {other})
except DivebellError:
    print("refused")
else:
    print(restored.run("len(context)"))
"""
    assert alone(script).strip() == "refused"


def test_state_after_a_crash_is_the_state_before_it_even_after_many_crashes(box: Sandbox) -> None:
    for n in range(5):
        assert box.run(f"x = {n}; y = list(range(1000))").ok
        cell = box.run("x = 'lost'; import os; os.abort()")
        assert (error_kind(cell), cell.restored) == ("Crash", True)
        assert box.run("x, len(y)").value == [n, 1000]


def test_the_first_cell_may_crash() -> None:
    with Sandbox("text") as box:
        assert box.run("import os; os.abort()").restored
        assert box.run("context").value == "text"


DRAWS = """
import random, uuid, os, secrets, time, datetime
[random.random(), str(uuid.uuid4()), os.urandom(8), secrets.token_hex(4), random.sample(range(100), 5),
 list({'a', 'b', 'c', 'd', 'e', 'f'}), hash('x'), time.time(), time.monotonic(), str(datetime.datetime.now()), str(uuid.uuid1())]
"""


def test_a_seed_repeats_everything() -> None:
    def draws(seed: int) -> object:
        with Sandbox("text", seed=seed) as box:
            return [box.run(DRAWS).value, error_kind(box.run("time.sleep(1000)")), box.run(DRAWS).value]

    assert draws(7) == draws(7)
    assert draws(7) != draws(8)


@pytest.mark.slow
def test_a_seed_repeats_in_another_process(alone: Callable[..., str]) -> None:
    script = f"from divebell import Sandbox\nprint(Sandbox(seed=7).run({DRAWS!r}).repr)"
    with Sandbox(seed=7) as box:
        assert alone(script).strip() == box.run(DRAWS).repr


def test_without_a_seed_everything_is_fresh() -> None:
    seen: list[object] = []
    for _ in range(3):
        with Sandbox() as box:
            seen += [
                str(x)
                for x in value_of(box.run("import random, uuid, os\nrandom.random(), str(uuid.uuid4()), os.urandom(8)"))
            ]
    assert len(set(seen)) == 9


def test_a_fork_draws_other_numbers_than_its_origin_unless_seeded() -> None:
    draw = "import random, uuid, os\nrandom.random(), str(uuid.uuid4()), os.urandom(8)"
    with Sandbox() as box:
        box.run("1")
        with box.fork() as one, box.fork() as other:
            results = [tuple(map(str, value_of(b.run(draw)))) for b in (box, one, other)]
            assert len({x for result in results for x in result}) == 9
    with Sandbox(seed=1) as box:
        box.run("1")
        with box.fork() as one, box.fork() as other:
            assert one.run(draw).value == other.run(draw).value


def test_seeded_forks_have_clocks_of_their_own() -> None:
    with Sandbox(seed=1) as box:
        box.run("import time")
        with box.fork() as one, box.fork() as other:
            first = one.run("[time.time() for _ in range(5)]").value
            assert other.run("[time.time() for _ in range(5)]").value == first


@pytest.mark.parametrize("seed", ["7", 1.5, True, b"x"])
def test_a_seed_is_a_whole_number(seed: object) -> None:
    with pytest.raises(ConfigurationError):
        Sandbox(seed=seed)  # type: ignore[arg-type]
