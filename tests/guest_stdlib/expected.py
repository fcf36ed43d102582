"""The list of what is expected, by test, with a reason for each failure: how it is read, compared and written.

Tests that pass are counted; each other test has a line. `Class.*` stands for all tests of a class that have the same
outcome for the same reason. The reason of a failure is a key of reasons.toml; that of a skip is CPython's own text.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .runner import WHOLE_MODULE, Outcome

EXPECTED_FILE = Path(__file__).with_name("expected.txt")
REASONS_FILE = Path(__file__).with_name("reasons.toml")
UNEXPLAINED = "unexplained"
OUTCOMES = ("pass", "skip", "fail", "error", "timeout", "crash")
MAX_SKIP_CHARACTERS = 100
_NO_TESTS = "no tests"

_HEADER = """\
# What CPython's own tests come to in the guest. Written by `./build.sh guest-stdlib --update`; see expected.py.
# The reason of each failure is one of reasons.toml.
"""


@dataclass(frozen=True)
class Line:
    """What is expected of one test, or of a class's."""

    outcome: str
    reason: str


@dataclass
class Expectation:
    """What is expected of one module."""

    counts: dict[str, int] = field(default_factory=dict)
    lines: dict[str, Line] = field(default_factory=dict)

    def of(self, test: str) -> Line:
        """What is expected of this test."""
        return self.lines.get(test) or self.lines.get(_all_of(test)) or Line("pass", "")


@dataclass(frozen=True)
class Reason:
    """Why tests fail: `why` says it, `matches` recognises it in "test_module.Class.test message"."""

    why: str
    matches: tuple[re.Pattern[str], ...]


def read_reasons() -> dict[str, Reason]:
    """The reasons by key, in the order in which they are tried."""
    with REASONS_FILE.open("rb") as file:
        tables = tomllib.load(file)
    return {
        key: Reason(table["why"], tuple(re.compile(pattern) for pattern in table.get("match", ())))
        for key, table in tables.items()
    }


def read_expected() -> dict[str, Expectation]:
    """The expectations by module; none where there is no list yet. Raises ValueError for a line that is none."""
    expected: dict[str, Expectation] = {}
    text = EXPECTED_FILE.read_text() if EXPECTED_FILE.exists() else ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        head, separator, tail = line.partition(": ")
        if not separator:
            raise ValueError(f"{EXPECTED_FILE.name}, line {number}: there is no ': ' in it")
        if line[0] != " ":
            parts = () if tail == _NO_TESTS else (part.split(" ") for part in tail.split(", "))
            counts = {outcome: int(count) for count, outcome in parts}
            module = expected[head] = Expectation(counts)
            continue
        outcome, test = head.split()
        module.lines[test] = Line(outcome, tail)
    return expected


def differences(module: str, expectation: Expectation, outcomes: Sequence[Outcome]) -> list[str]:
    """A sentence for each test that did not come out as expected."""
    found = []
    for one in outcomes:
        line = expectation.of(one.test)
        if one.outcome != line.outcome:
            told = f": {one.message}" if one.message else ""
            found.append(f"{module}.{one.test}: expected {line.outcome}, got {one.outcome}{told}")
    known = {name for one in outcomes for name in (one.test, _all_of(one.test))}
    found += [f"{module}.{test}: is in the list, but no test" for test in expectation.lines if test not in known]
    counts = Counter(one.outcome for one in outcomes)
    if not found and counts != expectation.counts:
        found.append(f"{module}: expected {_counted(expectation.counts)}, got {_counted(counts)}")
    return found


def expectation_of(
    module: str, outcomes: Sequence[Outcome], before: Expectation, reasons: Mapping[str, Reason], *, anew: bool = False
) -> Expectation:
    """The expectation that these outcomes meet. Reasons that were there are kept, unless they are wanted `anew`."""
    lines: dict[str, Line] = {}
    for one in outcomes:
        if one.outcome == "pass":
            continue
        old = before.of(one.test)
        if one.outcome == "skip":
            reason = one.message[:MAX_SKIP_CHARACTERS]
        elif old.outcome == one.outcome and old.reason in reasons and not anew:
            reason = old.reason
        else:
            reason = _reason_of(f"{module}.{one.test} {one.message}", reasons)
        lines[one.test] = Line(one.outcome, reason)
    return Expectation(dict(Counter(one.outcome for one in outcomes)), _folded(outcomes, lines))


def write_expected(expected: Mapping[str, Expectation]) -> None:
    """Write the list, sorted by module and test."""
    parts = [_HEADER]
    for module in sorted(expected):
        one = expected[module]
        parts.append(f"{module}: {_counted(one.counts)}\n")
        parts += [f"  {line.outcome} {test}: {line.reason}\n" for test, line in sorted(one.lines.items())]
    new = EXPECTED_FILE.with_suffix(".new")
    new.write_text("".join(parts))
    new.replace(EXPECTED_FILE)


def unexplained(expected: Mapping[str, Expectation], reasons: Mapping[str, Reason]) -> list[str]:
    """The failures in the list whose reason is none of the reasons."""
    return [
        f"{module}.{test}"
        for module, one in expected.items()
        for test, line in one.lines.items()
        if line.outcome not in ("pass", "skip") and line.reason not in reasons
    ]


def _reason_of(text: str, reasons: Mapping[str, Reason]) -> str:
    for key, reason in reasons.items():
        if any(pattern.search(text) for pattern in reason.matches):
            return key
    return UNEXPLAINED


def _folded(outcomes: Iterable[Outcome], lines: dict[str, Line]) -> dict[str, Line]:
    """One line in place of those of a class, where all its tests came to the same for the same reason."""
    classes: dict[str, set[Line]] = {}
    sizes: Counter[str] = Counter()
    for one in outcomes:
        classes.setdefault(_all_of(one.test), set()).add(lines.get(one.test) or Line("pass", ""))
        sizes[_all_of(one.test)] += 1
    folded: dict[str, Line] = {}
    for test, line in lines.items():
        name = _all_of(test)
        folded[name if len(classes[name]) == 1 and sizes[name] > 1 else test] = line
    return folded


def _all_of(test: str) -> str:
    return WHOLE_MODULE if test == WHOLE_MODULE else test.rpartition(".")[0] + ".*"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts.get(outcome)) or _NO_TESTS
