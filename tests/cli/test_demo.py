"""`divebell demo`: finds the number offline, and prints plain lines into a pipe."""

import re

import pytest

from tests.support.command import Done, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done() -> Done:
    return run("demo", "--lines", "20000")


def test_finds_the_number(done: Done) -> None:
    assert (done.status, done.stderr) == (0, "")
    assert re.search(r"^answer: \d{7}$", done.stdout, re.MULTILINE)
    assert re.search(r"^correct: it was hidden in line [\d,]+$", done.stdout, re.MULTILINE)


def test_prints_plain_lines_into_a_pipe(done: Done) -> None:
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.stdout)
    assert all(len(line) < 1000 for line in done.stdout.splitlines())


def test_shows_the_turns_the_calls_and_the_cost(done: Done) -> None:
    assert "20,000 lines" in done.stdout
    assert "llm_query_batched" in done.stdout
    assert re.search(r"4 turns, 4\d model calls, [\d,]+ \+ [\d,]+ tokens, \$0\.\d+", done.stdout)


def test_another_seed_hides_another_number(done: Done) -> None:
    other = run("demo", "--lines", "20000", "--seed", "8")
    assert other.status == 0
    assert _answer(other) != _answer(done)


def _answer(done: Done) -> str:
    found = re.search(r"^answer: (\d+)$", done.stdout, re.MULTILINE)
    assert found is not None
    return found[1]


def test_a_small_haystack() -> None:
    assert run("demo", "--lines", "100").status == 0


def test_too_small_a_budget_ends_with_one_sentence_and_its_own_status() -> None:
    done = run("demo", "--lines", "100", "--budget", "0.000001")
    assert done.status == 3
    assert "of $0.000001" in done.sentence


def test_a_budget_that_is_no_number() -> None:
    done = run("demo", "--lines", "100", "--budget", "much")
    assert done.status == 2
    assert "'much'" in done.sentence


def test_too_few_lines() -> None:
    done = run("demo", "--lines", "99")
    assert done.status == 2
    assert "--lines" in done.stderr
