"""Sandbox: what `run` promises, and what is promised around it."""

import asyncio
import math
import re
import signal
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from divebell import (
    Cell,
    ConfigurationError,
    Context,
    ContextError,
    DivebellError,
    Limits,
    NotPlainData,
    Sandbox,
    SandboxClosed,
    SandboxError,
)


@pytest.fixture
def box() -> Any:
    with Sandbox() as made:
        yield made


def kind_of(cell: Cell) -> str | None:
    return cell.error.kind if cell.error else None


# Cells


def test_state_persists_from_cell_to_cell(box: Sandbox) -> None:
    box.run("import math\nx = [1]\ndef double(n): return 2 * n\nclass C:\n    y = 5")
    box.run("x.append(double(C.y))")
    assert box.run("x, math.floor(2.5)").value == [[1, 10], 2]


def test_the_last_expression_is_the_value_and_its_repr_is_shown(box: Sandbox) -> None:
    cell = box.run("1\n'a' + 'b'")
    assert (cell.value, cell.repr, cell.stdout, cell.output) == ("ab", "'ab'", "", "'ab'")


@pytest.mark.parametrize(
    "code", ["", "# only a comment", "x = 5", "None", "print", "if 1:\n    5", "5;None", "for x in (): x"]
)
def test_a_cell_without_a_plain_last_expression_has_no_value(box: Sandbox, code: str) -> None:
    cell = box.run(code)
    assert cell.ok
    assert cell.value is None
    assert (cell.repr is None) == (code != "print")


def test_an_object_as_value_comes_back_as_its_repr(box: Sandbox) -> None:
    cell = box.run("class C:\n    def __repr__(self): return 'a C'\nC()")
    assert (cell.value, cell.repr) == (None, "a C")


def test_a_large_value_comes_back_as_a_shortened_repr() -> None:
    with Sandbox(limits=Limits(output_characters=1000)) as box:
        cell = box.run("'x' * 3_000_000")
        assert cell.value is None
        assert cell.repr is not None
        assert len(cell.repr) < 1300
        assert "2,999,000 more" in cell.repr


def test_stdout_stderr_value_and_error_are_told_apart(box: Sandbox) -> None:
    cell = box.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\n1 / 0")
    assert (cell.stdout, cell.stderr, kind_of(cell)) == ("out\n", "err\n", "ZeroDivisionError")
    assert cell.output.startswith("out\nerr\nTraceback")
    assert not cell.ok


def test_output_of_one_cell_does_not_appear_in_the_next(box: Sandbox) -> None:
    box.run("print('one')")
    assert box.run("print('two')").stdout == "two\n"


def test_what_a_cell_printed_before_its_error_is_kept(box: Sandbox) -> None:
    assert box.run("print('kept')\nraise ValueError").stdout == "kept\n"


def test_long_output_keeps_its_head_and_tail_and_counts_the_middle() -> None:
    with Sandbox(limits=Limits(output_characters=1000)) as box:
        cell = box.run("for i in range(1000): print(i)")
        assert cell.truncated
        assert cell.stdout.startswith("0\n1\n2\n")
        assert cell.stdout.endswith("998\n999\n")
        missing = re.search(r"\n\[\.\.\. ([\d,]+) characters not shown \.\.\.\]\n", cell.stdout)
        assert missing is not None
        assert int(missing[1].replace(",", "")) == sum(len(f"{i}\n") for i in range(1000)) - 1000
        assert not box.run("print('x' * 999)").truncated
        assert not box.run("print('x' * 999)\nimport sys; sys.stderr.write('y' * 1000)").truncated
        assert box.run("print('x' * 1000)").truncated


@given(st.lists(st.text(alphabet="ab\n", max_size=40), max_size=30), st.integers(1, 60))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_truncation_never_loses_the_ends_or_the_count(pieces: list[str], limit: int) -> None:
    with Sandbox(limits=Limits(output_characters=limit)) as box:
        box["pieces"] = pieces
        cell = box.run("import sys\nfor p in pieces: sys.stdout.write(p)")
        whole, half = "".join(pieces), max(limit // 2, 1)
        if not cell.truncated:
            assert cell.stdout == whole
        else:
            missing = len(whole) - 2 * half
            assert cell.stdout == f"{whole[:half]}\n[... {missing:,} characters not shown ...]\n{whole[-half:]}"


def test_a_traceback_shows_the_cells_own_lines_and_not_this_packages_frames(box: Sandbox) -> None:
    box.run("def inner():\n    return 1 / 0")
    cell = box.run("def outer():\n    inner()\n\nouter()")
    assert cell.error is not None
    text = cell.error.traceback
    assert 'File "<cell 2>", line 4, in <module>' in text
    assert 'File "<cell 1>", line 2, in inner' in text
    assert "return 1 / 0" in text
    assert "outer()" in text
    assert "divebell_guest" not in text
    assert text.rstrip().endswith("ZeroDivisionError: division by zero")
    assert cell.error.message == "division by zero"
    assert str(cell.error) == text


@pytest.mark.parametrize(
    "code", ["def f(:", "x = (", "'abc", "\tx = 1\n  y = 2", "return 5", "x = 1 1", "\0", "é = \u20ac"]
)
def test_a_syntax_error_is_an_error_of_the_cell(box: Sandbox, code: str) -> None:
    cell = box.run(code)
    assert kind_of(cell) in ("SyntaxError", "IndentationError", "TabError", "ValueError")
    assert not cell.restored
    assert box.run("1").value == 1


def test_a_lone_surrogate_in_the_code_is_an_error_of_the_cell(box: Sandbox) -> None:
    assert kind_of(box.run("x = '\ud800'")) in ("UnicodeEncodeError", "SyntaxError")
    assert box.run("1").value == 1


@pytest.mark.parametrize("code", ["raise SystemExit", "import sys; sys.exit(1)", "exit()", "import os; os._exit(1)"])
def test_leaving_the_interpreter_ends_the_cell_only(box: Sandbox, code: str) -> None:
    cell = box.run(f"x = 1\nprint('before')\n{code}\nx = 2")
    assert cell.ok or kind_of(cell) == "NameError"
    assert cell.stdout == "before\n"
    assert not cell.restored
    assert box["x"] == 1


def test_code_that_is_too_long_is_an_error_of_the_cell(box: Sandbox) -> None:
    cell = box.run("#" * 4_000_001)
    assert kind_of(cell) == "ValueError"
    assert box.run("#" * 3_000_000 + "\n5").value == 5


def test_code_that_is_no_str_is_a_mistake_of_the_caller(box: Sandbox) -> None:
    with pytest.raises(TypeError):
        box.run(b"1")  # type: ignore[arg-type]


def test_a_large_cell_in_a_full_sandbox_is_an_error_of_the_cell() -> None:
    with Sandbox(limits=Limits(memory_bytes=1 << 20)) as box:
        box.run("hog = []\nwhile True: hog.append('x' * 10_000)")
        box.run("hog = []\ntry:\n    while True: hog.append(bytes(3_000_000))\nexcept MemoryError: pass")
        cell = box.run("#" * 3_900_000)
        assert cell.error is not None
        assert box.run("hog = None; 1").value == 1


def test_seconds_are_those_of_the_cell(box: Sandbox) -> None:
    assert 0.2 <= box.run("import time; time.sleep(0.2)").seconds < 30


def test_contract_names_come_back_after_a_cell_overwrote_or_deleted_them(box: Sandbox) -> None:
    names = [
        "llm_query",
        "llm_query_batched",
        "llm_batch",
        "rlm_query",
        "FINAL",
        "FINAL_VAR",
        "SHOW_VARS",
        "budget",
        "answer",
    ]
    for spoil in (" = ".join(names) + " = None", "del " + ", ".join(names)):
        assert box.run(spoil).ok
        assert box.run(f"[callable(x) for x in [{', '.join(names[:-1])}]], type(answer).__name__").value == [
            [True] * 8,
            "dict",
        ]


def test_the_context_comes_back_after_a_cell_overwrote_it() -> None:
    for source in ("text", b"bytes", ["a"], {"a": 1}, ""):
        with Sandbox(source) as box:
            box.run("context = None")
            assert box.run("context").value == source
            box.run("del context")
            assert box.run("context").value == source


# Answers


@pytest.mark.parametrize(
    ("code", "final"),
    [
        ("FINAL('done')", "done"),
        ("FINAL(42)", "42"),
        ("FINAL(None)", "None"),
        ("x = 'in full'; FINAL_VAR('x')", "in full"),
        ("x = [1, 2]; FINAL_VAR('x')", "[1, 2]"),
        ("x = 5; FINAL_VAR(x)", "5"),
        ("FINAL('one'); FINAL('two')", "two"),
        ("answer['content'] = 'yes'; answer['ready'] = True", "yes"),
        ("answer = {'content': 'yes', 'ready': True}", "yes"),
        ("answer['content'] = 'not yet'", None),
        ("FINAL('no'); 1 / 0", None),
        ("FINAL_VAR('nonesuch')", None),
        ("answer['content'] = 'no'; answer['ready'] = True; 1 / 0", None),
        ("1 + 1", None),
        ("x = 'y' * 500_000; FINAL_VAR('x')", "y" * 500_000),
    ],
)
def test_the_answer_that_a_cell_gives(box: Sandbox, code: str, final: str | None) -> None:
    assert box.run(code).final == final
    assert box.run("1 + 1").final is None


def test_a_new_answer_dictionary_counts_in_the_cell_that_made_it_and_not_later(box: Sandbox) -> None:
    assert box.run("answer = {'content': 'yes', 'ready': True}").final == "yes"
    assert box.run("1").final is None


def test_an_answer_before_exit_counts_in_its_own_cell_or_not_at_all(box: Sandbox) -> None:
    assert box.run("FINAL('x'); exit()" if box.run("exit").ok else "FINAL('x'); raise SystemExit").final in ("x", None)
    assert box.run("1").final is None


def test_final_variable_is_the_full_text_and_an_unknown_name_says_which_there_are(box: Sandbox) -> None:
    box.run("long = 'z' * 3_000_000; pair = (1, 'a')")
    assert box.final_variable("long") == "z" * 3_000_000
    assert box.final_variable(" 'pair' ") == "(1, 'a')"
    with pytest.raises(KeyError, match="long, pair"):
        box.final_variable("nonesuch")


# Variables

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
@settings(max_examples=150, deadline=None)
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
    with pytest.raises(NotPlainData):
        box["x"] = value
    assert box.run("1").value == 1


def test_data_nested_too_deep_or_in_a_circle_is_refused_on_its_way_in(box: Sandbox) -> None:
    circle: list[object] = []
    circle.append(circle)
    deep: object = 1
    for _ in range(100):
        deep = [deep]
    for value in (circle, deep):
        with pytest.raises(NotPlainData):
            box["x"] = value


@pytest.mark.parametrize(
    "code", ["x = object()", "x = {1, 2}", "x = 1 + 2j", "def x(): pass", "x = [[object()]]", "import re as x"]
)
def test_other_data_is_refused_on_its_way_out(box: Sandbox, code: str) -> None:
    box.run(code)
    with pytest.raises(NotPlainData, match="x"):
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


# Snapshots and forks


def test_a_fork_and_its_origin_are_independent() -> None:
    with Sandbox("shared context") as box:
        box.run("x = [1, 2, 3]")
        with box.fork() as twin:
            twin.run("x.append('twin'); y = 1")
            box.run("x.append('origin')")
            assert twin["x"] == [1, 2, 3, "twin"]
            assert box["x"] == [1, 2, 3, "origin"]
            assert twin.run("context").value == "shared context"
            assert kind_of(box.run("y")) == "NameError"
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
        assert (kind_of(cell), cell.restored) == ("Crash", True)
        assert box.run("x, len(y)").value == [n, 1000]


def test_the_first_cell_may_crash() -> None:
    with Sandbox("text") as box:
        assert box.run("import os; os.abort()").restored
        assert box.run("context").value == "text"


# Randomness


DRAWS = """
import random, uuid, os, secrets, time, datetime
[random.random(), str(uuid.uuid4()), os.urandom(8), secrets.token_hex(4), random.sample(range(100), 5),
 list({'a', 'b', 'c', 'd', 'e', 'f'}), hash('x'), time.time(), time.monotonic(), str(datetime.datetime.now()), str(uuid.uuid1())]
"""


def test_a_seed_repeats_everything() -> None:
    def draws(seed: int) -> object:
        with Sandbox("text", seed=seed) as box:
            return [box.run(DRAWS).value, kind_of(box.run("time.sleep(1000)")), box.run(DRAWS).value]

    assert draws(7) == draws(7)
    assert draws(7) != draws(8)


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
                for x in box.run("import random, uuid, os\nrandom.random(), str(uuid.uuid4()), os.urandom(8)").value
            ]
    assert len(set(seen)) == 9


def test_a_fork_draws_other_numbers_than_its_origin_unless_seeded() -> None:
    draw = "import random, uuid, os\nrandom.random(), str(uuid.uuid4()), os.urandom(8)"
    with Sandbox() as box:
        box.run("1")
        with box.fork() as one, box.fork() as other:
            results = [tuple(map(str, b.run(draw).value)) for b in (box, one, other)]
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


# Ending


def test_cancel_ends_a_running_cell_from_another_thread(box: Sandbox) -> None:
    box.run("x = 1")
    threading.Timer(0.3, box.cancel).start()
    started = time.monotonic()
    cell = box.run("x = 2\nwhile True: pass")
    assert time.monotonic() - started < 8  # the limit is 10 s
    assert cell.restored
    assert box["x"] == 1


def test_cancel_ends_a_sleeping_cell(box: Sandbox) -> None:
    threading.Timer(0.3, box.cancel).start()
    started = time.monotonic()
    assert box.run("import time\ntry: time.sleep(100)\nexcept BaseException: time.sleep(100)").error is not None
    assert time.monotonic() - started < 8
    assert box.run("1").value == 1


def test_cancel_of_an_idle_sandbox_does_nothing(box: Sandbox) -> None:
    box.cancel()
    assert box.run("1").value == 1


def test_close_ends_a_running_cell_and_can_be_repeated() -> None:
    box = Sandbox()
    threading.Timer(0.3, box.close).start()
    assert box.run("while True: pass").error is not None
    box.close()
    box.close()
    for use in (lambda: box.run("1"), lambda: box["x"], lambda: box.__setitem__("x", 1), box.snapshot, box.fork):
        with pytest.raises(SandboxClosed):
            use()
    box.cancel()


def test_a_sandbox_that_is_dropped_without_close_gives_its_memory_back() -> None:
    import gc

    def mappings() -> int:
        with open("/proc/self/maps") as maps:
            return len(maps.readlines())

    for _ in range(3):
        Sandbox().run("1")
    gc.collect()
    before = mappings()
    for _ in range(30):
        Sandbox("x").run("1")
    gc.collect()
    assert mappings() < before + 60


# The door function


def test_llm_query_reaches_the_function() -> None:
    with Sandbox(llm=lambda prompt: f"<{prompt}>") as box:
        assert box.run("llm_query('hello')").value == "<hello>"
        assert box.run("llm_query(prompt='a\\ud800\\0é')").value == "<a\ud800\0é>"


def test_the_function_may_take_the_models_name() -> None:
    def llm(prompt: str, model: str | None) -> str:
        return f"{prompt} by {model}"

    with Sandbox(llm=llm) as box:
        assert box.run("llm_query('a'), llm_query('a', model='big'), llm_query('a', 'small')").value == [
            "a by None", "a by big", "a by small",
        ]  # fmt: skip


def test_an_optional_parameter_that_is_not_called_model_is_left_alone() -> None:
    def llm(prompt: str, temperature: float = 0.5) -> str:
        return f"{prompt} {temperature}"

    with Sandbox(llm=llm) as box:
        assert box.run("llm_query('a')").value == "a 0.5"


def test_the_function_may_be_async_and_batches_run_at_once() -> None:
    running, most = 0, 0

    async def llm(prompt: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        return prompt.upper()

    with Sandbox(llm=llm) as box:
        assert box.run("llm_query('a')").value == "A"
        assert box.run("llm_query_batched([c for c in 'abcdefgh'])").value == list("ABCDEFGH")
    assert most > 1


def test_an_async_function_works_inside_a_running_event_loop() -> None:
    async def llm(prompt: str) -> str:
        return prompt.upper()

    async def main() -> object:
        with Sandbox(llm=llm) as box:
            return box.run("llm_query('a'), llm_query_batched(['b', 'c'])").value

    assert asyncio.run(main()) == ["A", ["B", "C"]]


def test_a_callable_object_with_an_async_call_works() -> None:
    class Llm:
        async def __call__(self, prompt: str) -> str:
            return prompt.upper()

    with Sandbox(llm=Llm()) as box:
        assert box.run("llm_query('a')").value == "A"


def test_batches_run_at_once_and_keep_their_order() -> None:
    barrier = threading.Barrier(4, timeout=20)

    def llm(prompt: str) -> str:
        barrier.wait()
        time.sleep(0.01 * (4 - int(prompt)))
        return f"answer {prompt}"

    with Sandbox(llm=llm) as box:
        for name in ("llm_query_batched", "llm_batch", "batch_llm_query"):
            assert box.run(f"{name}(['0', '1', '2', '3'])").value == [f"answer {n}" for n in range(4)]
        assert box.run("llm_query_batched([])").value == []


def test_one_failure_does_not_lose_the_batch() -> None:
    def llm(prompt: str) -> str:
        if prompt == "bad":
            raise ValueError("no such luck")
        return prompt.upper()

    with Sandbox(llm=llm) as box:
        cell = box.run(
            "r = llm_query_batched(['a', 'bad', 'c'])\nr[0], r[2], type(r[1]).__name__, r[1].kind, 'no such luck' in r[1]"
        )
        assert cell.value == ["A", "C", "FailedCall", "ModelError", True]
        assert kind_of(box.run("llm_query_batched(['bad', 'bad'])")) == "ModelError"
        cell = box.run("llm_query('bad')")
        assert cell.error is not None
        assert (cell.error.kind, cell.error.message) == ("ModelError", "ValueError: no such luck")
        assert box.run("try: llm_query('bad')\nexcept ModelError as e: print('caught')").stdout == "caught\n"


@pytest.mark.parametrize("reply", [None, 5, b"bytes", ["list"], object()])
def test_a_reply_that_is_no_str_is_an_error_in_the_cell(reply: object) -> None:
    with Sandbox(llm=lambda prompt: reply) as box:
        assert kind_of(box.run("llm_query('a')")) == "ModelError"


def test_without_a_function_llm_query_says_how_to_give_one(box: Sandbox) -> None:
    cell = box.run("llm_query('a')")
    assert cell.error is not None
    assert cell.error.kind == "Unavailable"
    assert "Sandbox(llm=" in cell.error.message


@pytest.mark.parametrize(
    "call", ["llm_query(5)", "llm_query(['a'])", "llm_query_batched('a')", "llm_query_batched([1])", "llm_query()"]
)
def test_wrong_arguments_are_type_errors_in_the_cell(call: str) -> None:
    with Sandbox(llm=lambda prompt: prompt) as box:
        assert kind_of(box.run(call)) == "TypeError"


def test_waiting_at_the_door_does_not_count_as_computing(short_limits: Limits) -> None:
    def llm(prompt: str) -> str:
        time.sleep(1.2)
        return prompt

    with Sandbox(llm=llm, limits=short_limits) as box:
        assert box.run("llm_query('a')").value == "a"


@pytest.mark.parametrize("raised", [KeyboardInterrupt, asyncio.CancelledError, SystemExit])
def test_an_interruption_of_the_function_passes_on_to_the_caller(raised: type[BaseException]) -> None:
    def llm(prompt: str) -> str:
        if prompt == "stop":
            raise raised
        return prompt

    with Sandbox(llm=llm) as box:
        box.run("x = 1")
        with pytest.raises(raised):
            box.run("llm_query('stop')")
        assert box.run("llm_query('a'), x").value == ["a", 1]


def test_a_sandbox_inside_the_function_of_another() -> None:
    def llm(prompt: str) -> str:
        with Sandbox(prompt, llm=lambda inner: inner[::-1]) as nested:
            return str(nested.run("llm_query(context) + str(len(context))").value)

    with Sandbox(llm=llm) as box:
        assert box.run("llm_query('abc')").value == "cba3"
        assert box.run("llm_query_batched(['abc', 'de'])").value == ["cba3", "ed2"]


def test_sandboxes_nest_several_levels_deep() -> None:
    def llm(prompt: str) -> str:
        if len(prompt) >= 6:
            return prompt
        with Sandbox(prompt, llm=llm) as nested:
            return str(nested.run("llm_query(context + 'x')").value)

    with Sandbox(llm=llm) as box:
        assert box.run("llm_query('')").value == "xxxxxx"


def test_a_crash_of_the_inner_sandbox_leaves_the_outer_one_alone(short_limits: Limits) -> None:
    def llm(prompt: str) -> str:
        with Sandbox(limits=short_limits) as nested:
            cell = nested.run(prompt)
            return cell.error.kind if cell.error else "fine"

    with Sandbox(llm=llm) as box:
        for code, kind in (
            ("import os; os.abort()", "Crash"),
            ("sum(iter(int, 1))", "Killed"),
            ("[" * 9000, "MemoryError|SyntaxError|StackOverflow|RecursionError"),
        ):
            assert box.run(f"llm_query({code!r})").value in kind.split("|")
        assert box.run("1").value == 1


USE_INSIDE = {
    "run": "box.run('y = 1').value",
    "get": "box['x']",
    "set": "box.__setitem__('x', 5)",
    "snapshot": "box.snapshot().bytes",
    "fork": "box.fork()",
    "close": "box.close()",
}


@pytest.mark.parametrize("how", USE_INSIDE)
def test_using_a_sandbox_inside_its_own_function_is_refused_or_works_and_never_crashes(
    alone: Callable[..., str], how: str
) -> None:
    script = f"""
from divebell import DivebellError, Sandbox
said = []
def llm(prompt):
    try:
        {USE_INSIDE[how]}
    except DivebellError as error:
        said.append(type(error).__name__)
    return "reply"
box = Sandbox("some text", llm=llm)
box.run("x = 1")
cell = box.run("x = 2\\nr = llm_query('a')\\nprint(r)")
try:
    box.run("import os; os.abort()")
    print(box.run("x in (2, 5), context, 'fine'").value)
except DivebellError:
    print("closed")
"""
    assert alone(script).strip() in ("[True, 'some text', 'fine']", "closed")


def test_using_a_sandbox_inside_its_own_batch_does_not_hang(alone: Callable[..., str]) -> None:
    script = """
from divebell import DivebellError, Sandbox
def llm(prompt):
    try:
        return str(box["x"])
    except DivebellError as error:
        return type(error).__name__
box = Sandbox(llm=llm)
box.run("x = 1")
print(len(box.run("llm_query_batched(['a', 'b'])").value))
"""
    assert alone(script, seconds=15).strip() == "2"


# Threads and signals


def test_a_sandbox_works_on_a_thread_with_a_small_stack() -> None:
    results: list[object] = []

    def use() -> None:
        with Sandbox("text", llm=lambda prompt: prompt) as box:
            results.append(box.run("llm_query(context)").value)
            cell = box.run("[" * 100_000 + "]" * 100_000)
            results.append(cell.error is not None)
            cell = box.run("x = []\nfor _ in range(200_000): x = [x]\nrepr(x)")
            results.append(cell.error is not None)
            results.append(box.run("1").value)

    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=use)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert results == ["text", True, True, 1]


def test_cells_of_one_sandbox_from_many_threads_run_one_after_another(box: Sandbox) -> None:
    box.run("n = 0")
    threads = [
        threading.Thread(target=lambda: [box.run("m = n\nfor _ in range(100): pass\nn = m + 1") for _ in range(20)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert box["n"] == 160


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_an_interrupt_from_the_keyboard_while_the_guest_calls_the_host_is_not_lost(alone: Callable[..., str]) -> None:
    script = """
import os, signal, threading, time
from divebell import Limits, Sandbox
box = Sandbox(limits=Limits(cell_seconds=3, grace_seconds=0.5))
box.run("import time; x = 1")
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
started = time.monotonic()
try:
    box.run("while True: time.time()")
    print("lost")
except KeyboardInterrupt:
    print("passed on")
print(box.run("x").value)
"""
    assert alone(script).split("\n")[:2] == ["passed on", "1"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_interrupts_at_any_moment_neither_hang_nor_crash(alone: Callable[..., str]) -> None:
    """Each lands somewhere in the host's half of a door call. The runaway at the end of the cell must still be stopped."""
    script = """
import signal, time
from divebell import Limits, Sandbox
box = Sandbox(limits=Limits(cell_seconds=1, grace_seconds=0.3))
box.run("import time; x = 1")
signal.signal(signal.SIGALRM, signal.default_int_handler)
for n in range(15):
    signal.setitimer(signal.ITIMER_REAL, 0.0101 + 0.0013 * n)
    try:
        box.run("for _ in range(3000): time.time()\\\\nwhile True: pass")
    except KeyboardInterrupt:
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert box.run("x").value == 1
print("fine")
"""
    assert alone(script, seconds=50).strip() == "fine"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_an_interrupt_from_the_keyboard_while_a_nested_sandbox_runs_does_no_harm(alone: Callable[..., str]) -> None:
    script = """
import os, signal, threading
from divebell import Limits, Sandbox
def llm(prompt):
    with Sandbox(limits=Limits(cell_seconds=2, grace_seconds=0.5)) as nested:
        return str(nested.run("while True: pass").error)
box = Sandbox(llm=llm)
box.run("x = 1")
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    box.run("llm_query('a')")
except KeyboardInterrupt:
    print("passed on")
print(box.run("x").value)
"""
    assert alone(script).split("\n")[:2] == ["passed on", "1"]


def test_a_forked_process_has_an_engine_of_its_own(alone: Callable[..., str]) -> None:
    script = """
import os
from divebell import Sandbox
box = Sandbox("text")
box.run("x = 1")
child = os.fork()
if child == 0:
    with Sandbox("in the child") as mine:
        os._exit(0 if mine.run("context").value == "in the child" else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), box.run("x, context").value)
"""
    assert alone(script).strip() == "0 [1, 'text']"


# What the constructor refuses


def test_a_context_that_cannot_be_bound_in_time_is_a_documented_error() -> None:
    rows = [[str(i)] * 3 for i in range(200_000)]
    try:
        with Sandbox(rows, limits=Limits(cell_seconds=0.01, grace_seconds=0.01)) as box:
            assert box.run("1").value in (1, None)
    except DivebellError:
        pass


def test_a_list_that_does_not_fit_into_the_sandbox_is_a_context_error() -> None:
    with pytest.raises(ContextError):
        Sandbox(["x" * 1_000_000 + str(i) for i in range(100)], limits=Limits(memory_bytes=1 << 20))


def test_a_shared_context_serves_sandboxes_with_and_without_a_seed() -> None:
    context = Context.of("text " * 1000)
    with Sandbox(context, seed=1) as one, Sandbox(context) as other:
        assert one.run("context").value == other.run("context").value
