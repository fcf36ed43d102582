"""The checks of a journal's lines: what was changed, torn, put in, taken out or moved is found, before anything is made of
it; and a journal from before there were checks is read, and gone on with, as it is."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from divebell import JournalError
from divebell.journal.records import has_begun, read_journal
from divebell.journal.seals import BEGIN, SealReader, seal
from divebell.testing import replay
from tests.support.journal_lines import without_checks
from tests.support.journal_runs import Provider, rlm_of

CONTEXT, QUERY = "hay " * 10, "What is it?"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    journal = tmp_path_factory.mktemp("journal") / "journal"
    rlm_of(Provider(None, seconds=0.0)).run(CONTEXT, QUERY, journal=journal)
    return journal.read_bytes()


def paid_less(lines: list[bytes]) -> None:
    at = next(at for at, line in enumerate(lines) if b'"kind":"call"' in line and b'"spent_picodollars":' in line)
    lines[at] = re.sub(rb'("spent_picodollars":)\d+', rb"\g<1>1", lines[at])


def paid_less_with_the_check_left_out(lines: list[bytes]) -> None:
    paid_less(lines)
    at = next(
        at for at, line in enumerate(lines) if b'"spent_picodollars":1,' in line or b'"spent_picodollars":1}' in line
    )
    lines[at] = without_checks(lines[at])


def a_call_that_was_not_sent(lines: list[bytes]) -> None:
    del lines[next(at for at, line in enumerate(lines) if b'"kind":"sent"' in line)]


def two_lines_changed_places(lines: list[bytes]) -> None:
    lines[4], lines[5] = lines[5], lines[4]


def a_line_twice(lines: list[bytes]) -> None:
    lines.insert(5, lines[5])


def a_line_that_was_never_written(lines: list[bytes]) -> None:
    lines.insert(5, b'{"kind":"fact","path":"0","name":"x","value":1}\n')


def a_line_with_a_check_of_its_own(lines: list[bytes]) -> None:
    lines.insert(5, seal(b'{"kind":"fact","path":"0","name":"x","value":1}\n', BEGIN)[0])


def a_torn_line_in_the_middle(lines: list[bytes]) -> None:
    lines[5] = lines[5][: len(lines[5]) // 2] + b"\n"


def a_torn_line_joined_to_the_next(lines: list[bytes]) -> None:
    lines[5] = lines[5][:-30]


def the_headers_check_left_out(lines: list[bytes]) -> None:
    lines[0] = without_checks(lines[0])


def another_journals_header(lines: list[bytes]) -> None:
    header = json.loads(without_checks(lines[0]))
    header["id"] = "0" * 32
    lines[0] = seal(json.dumps(header).encode() + b"\n", BEGIN)[0]


def capital_digits(lines: list[bytes]) -> None:
    lines[3] = re.sub(rb'[0-9a-f]{16}"\}\n$', lambda found: found[0].upper(), lines[3])


CHANGES = [
    paid_less, paid_less_with_the_check_left_out, a_call_that_was_not_sent, two_lines_changed_places, a_line_twice,
    a_line_that_was_never_written, a_line_with_a_check_of_its_own, a_torn_line_in_the_middle,
    a_torn_line_joined_to_the_next, the_headers_check_left_out, another_journals_header, capital_digits,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_journal_that_was_changed_is_refused_with_the_line(
    change: Callable[[list[bytes]], None], whole: bytes, tmp_path: Path
) -> None:
    lines = whole.splitlines(keepends=True)
    change(lines)
    path = tmp_path / "journal"
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match=r"line \d+ of the journal is not"):
        read_journal(path)
    with pytest.raises(JournalError, match=r"line \d+ of the journal is not"):
        replay(path)
    with pytest.raises(JournalError, match=r"line \d+ of the journal is not"):
        rlm_of(Provider(None, seconds=0.0)).run(CONTEXT, QUERY, resume=path)
    assert path.read_bytes() == b"".join(lines)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(place=st.integers(0, 1 << 20), byte=st.integers(0, 255))
def test_no_byte_can_be_changed_unnoticed(whole: bytes, place: int, byte: int, tmp_path: Path) -> None:
    """But for the last line end: without it, the last line is one that was being written as the process died."""
    changed = bytearray(whole)
    at = place % (len(whole) - 1)
    changed[at] = byte
    path = tmp_path / "journal"
    path.write_bytes(changed)
    if bytes(changed) == whole:
        read_journal(path)
        return
    with pytest.raises(JournalError):
        read_journal(path)


def test_a_journal_may_end_after_any_line_or_within_it(whole: bytes, tmp_path: Path) -> None:
    lines = whole.splitlines(keepends=True)
    path = tmp_path / "journal"
    for kept in range(1, len(lines) + 1):
        path.write_bytes(b"".join(lines[:kept]) + (lines[kept][:-1] if kept < len(lines) else b""))
        recorded = read_journal(path)
        assert recorded.complete_bytes == sum(map(len, lines[:kept]))


def test_a_run_that_is_resumed_goes_on_with_the_checks(whole: bytes, tmp_path: Path) -> None:
    lines = whole.splitlines(keepends=True)
    path = tmp_path / "journal"
    path.write_bytes(b"".join(lines[: len(lines) // 2]) + lines[len(lines) // 2][:20])
    answer = rlm_of(Provider(None, seconds=0.0)).run(CONTEXT, QUERY, resume=path).answer
    assert replay(path).answer == answer
    written = path.read_bytes().splitlines(keepends=True)
    reader = SealReader()
    for number, line in enumerate(written, 1):
        reader.check(line, number)
    assert reader.last == read_journal(path).last_seal != BEGIN
    assert len(written) >= len(lines)


def test_a_journal_without_checks_is_gone_on_with_as_it_is(whole: bytes, tmp_path: Path) -> None:
    lines = without_checks(whole).splitlines(keepends=True)
    path = tmp_path / "journal"
    path.write_bytes(b"".join(lines[: len(lines) // 2]))
    assert has_begun(path)
    answer = rlm_of(Provider(None, seconds=0.0)).run(CONTEXT, QUERY, resume=path).answer
    assert replay(path).answer == answer
    assert read_journal(path).last_seal is None
    assert b'"sum":"' not in path.read_bytes()


def test_a_text_that_looks_like_a_check_is_none(tmp_path: Path) -> None:
    line = b'{"kind":"fact","path":"0","name":"x","value":"","sum":"0123456789abcdef"}\n'
    sealed, check = seal(line, BEGIN)
    reader = SealReader()
    reader.check(sealed, 1)
    assert reader.last == check
