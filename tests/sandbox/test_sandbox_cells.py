"""Sandbox: what a cell shows, and the answers it gives."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from divebell import (
    Limits,
    Sandbox,
)
from tests.support.cells import error_kind


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
    assert (cell.stdout, cell.stderr, error_kind(cell)) == ("out\n", "err\n", "ZeroDivisionError")
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
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    assert error_kind(cell) in ("SyntaxError", "IndentationError", "TabError", "ValueError")
    assert not cell.restored
    assert box.run("1").value == 1


def test_a_lone_surrogate_in_the_code_is_an_error_of_the_cell(box: Sandbox) -> None:
    assert error_kind(box.run("x = '\ud800'")) in ("UnicodeEncodeError", "SyntaxError")
    assert box.run("1").value == 1


@pytest.mark.parametrize("code", ["raise SystemExit", "import sys; sys.exit(1)", "exit()", "import os; os._exit(1)"])
def test_leaving_the_interpreter_ends_the_cell_only(box: Sandbox, code: str) -> None:
    cell = box.run(f"x = 1\nprint('before')\n{code}\nx = 2")
    assert cell.ok or error_kind(cell) == "NameError"
    assert cell.stdout == "before\n"
    assert not cell.restored
    assert box["x"] == 1


def test_code_that_is_too_long_is_an_error_of_the_cell(box: Sandbox) -> None:
    cell = box.run("#" * 4_000_001)
    assert error_kind(cell) == "ValueError"
    assert box.run("#" * 3_000_000 + "\n5").value == 5


def test_code_that_is_no_str_is_a_mistake_of_the_caller(box: Sandbox) -> None:
    with pytest.raises(TypeError):
        box.run(b"1")  # type: ignore[arg-type]


def test_a_large_cell_in_a_full_sandbox_is_an_error_of_the_cell() -> None:
    with Sandbox(limits=Limits(memory_bytes=1 << 20)) as box:
        box.run("hog = []\nwhile True: hog.append('x' * 10_000)")
        box.run("hog = []\ntry:\n    while True: hog.append(bytes(1_000_000))\nexcept MemoryError: hog.pop()")
        cell = box.run("#" * 3_900_000)
        assert cell.error is not None
        assert box.run("hog = None; 1").value == 1


def test_seconds_are_those_of_the_cell(box: Sandbox) -> None:
    assert box.run("import time; time.sleep(0.2)").seconds >= 0.2


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
    for spoil in (" = ".join(names[:-1]) + " = None", "del " + ", ".join(names)):
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
