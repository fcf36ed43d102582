"""The list of expected outcomes: what is compared, what is said, and what an update keeps."""

import re
from pathlib import Path

import pytest

from . import expected
from .expected import Expectation, Line, Reason
from .runner import Outcome, run_module

REASONS = {
    "no-files": Reason("no files", (re.compile("No such file"),)),
    "by-name": Reason("this one", (re.compile(r"^test_x\.A\.b "),)),
}


def outcomes(*rows: tuple[str, str, str]) -> list[Outcome]:
    return [Outcome(*row) for row in rows]


def made(*rows: tuple[str, str, str]) -> Expectation:
    return expected.expectation_of("test_x", outcomes(*rows), Expectation(), REASONS)


ROWS = (
    ("A.a", "pass", ""),
    ("A.b", "fail", "odd"),
    ("B.a", "error", "No such file: 'x'"),
    ("B.b", "error", "No such file"),
)


def test_a_reason_is_found_by_message_or_by_name_and_a_class_is_one_line() -> None:
    assert made(*ROWS) == Expectation(
        {"pass": 1, "fail": 1, "error": 2}, {"A.b": Line("fail", "by-name"), "B.*": Line("error", "no-files")}
    )


def test_a_failure_that_no_reason_fits_is_unexplained() -> None:
    expectation = made(("A.c", "timeout", "Killed: slow"), ("A.d", "skip", "needs a disk"))
    assert expectation.lines == {"A.c": Line("timeout", "unexplained"), "A.d": Line("skip", "needs a disk")}
    assert expected.unexplained({"test_x": expectation}, REASONS) == ["test_x.A.c"]


def test_a_reason_that_was_given_by_hand_is_kept_until_it_is_wanted_anew() -> None:
    before = Expectation({}, {"B.*": Line("error", "by-name")})
    kept = expected.expectation_of("test_x", outcomes(*ROWS), before, REASONS)
    assert kept.lines["B.*"].reason == "by-name"
    anew = expected.expectation_of("test_x", outcomes(*ROWS), before, REASONS, anew=True)
    assert anew.lines["B.*"].reason == "no-files"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS, []),
        ((("A.a", "fail", "oh"), *ROWS[1:]), ["test_x.A.a: expected pass, got fail: oh"]),
        ((ROWS[0], ("A.b", "pass", ""), *ROWS[2:]), ["test_x.A.b: expected fail, got pass"]),
        ((*ROWS[:3], ("B.b", "crash", "Crash: trap")), ["test_x.B.b: expected error, got crash: Crash: trap"]),
        (ROWS[:2], ["test_x.B.*: is in the list, but no test"]),
        ((ROWS[0], *ROWS[2:]), ["test_x.A.b: is in the list, but no test"]),
        (ROWS[1:], ["test_x: expected 1 pass, 1 fail, 2 error, got 1 fail, 2 error"]),
        ((*ROWS, ("C.a", "pass", "")), ["test_x: expected 1 pass, 1 fail, 2 error, got 2 pass, 1 fail, 2 error"]),
    ],
)
def test_each_difference_is_said(rows: tuple[tuple[str, str, str], ...], said: list[str]) -> None:
    assert expected.differences("test_x", made(*ROWS), outcomes(*rows)) == said


def test_what_is_written_is_read_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(expected, "EXPECTED_FILE", tmp_path / "expected.txt")
    whole = {"test_y.test_z": made(("*", "skip", "requires: a network")), "test_x": made(*ROWS), "test_a": made()}
    expected.write_expected(whole)
    assert expected.read_expected() == whole
    text = expected.EXPECTED_FILE.read_text()
    assert (
        text.index("test_a: no tests")
        < text.index("test_x: 1 pass, 1 fail, 2 error")
        < text.index("  skip *: requires")
    )


def test_a_line_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(expected, "EXPECTED_FILE", tmp_path / "expected.txt")
    expected.EXPECTED_FILE.write_text("test_x: 1 pass\n  fail A.b no reason\n")
    with pytest.raises(ValueError, match="line 2"):
        expected.read_expected()


GUEST_TESTS = b"""
import sys, unittest

class A(unittest.TestCase):
    def test_1_passes(self): pass
    def test_2_fails(self): self.assertEqual(1, 2)
    def test_3_raises(self): raise ValueError("two\\nlines")
    def test_4_skips(self): self.skipTest("no reason")
    def test_5_has_a_part_that_fails(self):
        for number in range(3):
            with self.subTest(number=number): self.assertNotEqual(number, 1)
    def test_6_has_a_part_that_is_skipped(self):
        with self.subTest(): self.skipTest("a part")
    @unittest.expectedFailure
    def test_7_is_expected_to_fail(self): self.fail()
    def test_8_exits(self): raise SystemExit(3)

class B(unittest.TestCase):
    def test_1_never_ends(self):
        while True:
            try:
                while True: pass
            except BaseException: pass
    def test_2_passes(self): pass
    def test_3_takes_all_memory(self): [bytes(1 << 24) for _ in range(1000)]

class C(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise unittest.SkipTest("the class is not wanted")
    def test_1(self): pass
"""


@pytest.fixture
def own_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    from divebell import Context

    from . import runner

    files = {
        "test/__init__.py": b"",
        "test/support.py": b"",
        "test/test_own.py": GUEST_TESTS,
        "test/test_gone.py": b"import gone",
    }
    files["test/test_whole.py"] = b"import unittest\nraise unittest.SkipTest('not here')"
    monkeypatch.setattr(runner, "_context", lambda: Context.of(dict(files)))
    monkeypatch.setattr(runner, "CELL_SECONDS", 5)  # of which what takes all memory needs half a second


@pytest.mark.slow
@pytest.mark.usefixtures("own_tests")
def test_every_way_to_end_is_an_outcome() -> None:
    found = {one.test: (one.outcome, one.message) for one in run_module("test_own")}
    assert found == {
        "A.test_1_passes": ("pass", ""),
        "A.test_2_fails": ("fail", "AssertionError: 1 != 2"),
        "A.test_3_raises": ("error", "ValueError: two lines"),
        "A.test_4_skips": ("skip", "no reason"),
        "A.test_5_has_a_part_that_fails": ("fail", "AssertionError: 1 == 1"),
        "A.test_6_has_a_part_that_is_skipped": ("skip", "a part"),
        "A.test_7_is_expected_to_fail": ("pass", "as CPython expects, it failed"),
        "A.test_8_exits": ("error", "SystemExit: 3"),
        "B.test_1_never_ends": ("timeout", found["B.test_1_never_ends"][1]),
        "B.test_2_passes": ("pass", ""),
        "B.test_3_takes_all_memory": ("error", "MemoryError:"),
        "C.test_1": ("skip", "the class is not wanted"),
    }


@pytest.mark.usefixtures("own_tests")
def test_a_module_that_cannot_be_loaded_is_one_outcome() -> None:
    assert [(one.test, one.outcome) for one in run_module("test_gone")] == [("*", "error")]
    assert run_module("test_whole") == [Outcome("*", "skip", "not here")]
    assert "does not exist" not in run_module("test_nothing")[0].message
