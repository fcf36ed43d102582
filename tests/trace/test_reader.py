"""Reading traces of hostile origin, and the tree that is made of them."""

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from divebell.errors import TraceError
from divebell.trace import Span, build_tree, read_trace, walk
from divebell.trace import reader as reader_module
from divebell.trace.schema import body_text
from tests.support.traces import lively, small, write

HEADER = {
    "schema": "divebell.trace",
    "version": 1,
    "divebell": "0.1.0",
    "started": "2026-11-25T00:00:00Z",
    "level": "full",
    "settings": {},
}
EVENT: dict[str, Any] = {"id": 1, "parent": None, "kind": "run", "path": "0", "turn": 0, "seconds": 0.5, "data": {}}


def file_of(path: Path, *entries: Any, end: bytes = b"\n") -> Path:
    lines = [entry if isinstance(entry, bytes) else json.dumps(entry).encode() for entry in entries]
    path.write_bytes(b"\n".join(lines) + end)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def test_what_was_written_is_read(file: Path) -> None:
    trace = read_trace(write(file, small(), settings={"seed": 7}, level="redacted"))
    assert (trace.level, trace.settings, trace.complete, trace.torn, trace.dropped) == (
        "redacted",
        {"seed": 7},
        True,
        False,
        0,
    )
    assert [event.kind for event in trace.events] == ["run", "reply", "answer", "end"]
    assert trace.events[1].data["dollars"] == "0.00115"


@pytest.mark.parametrize("seed", range(5))
def test_every_beginning_of_a_trace_can_be_read(file: Path, seed: int) -> None:
    """A crash can cut a file anywhere after its header."""
    whole = write(file, lively(20)).read_bytes()
    first = whole.index(b"\n") + 1
    chance = random.Random(seed)
    for cut in [first, first + 1, len(whole) - 1, *(chance.randrange(first, len(whole)) for _ in range(40))]:
        file.write_bytes(whole[:cut])
        trace = read_trace(file)
        assert len(trace.events) in (whole[:cut].count(b"\n") - 1, whole[:cut].count(b"\n"))
        build_tree(trace.events)


def test_a_torn_last_line_is_left_out_and_said(file: Path) -> None:
    trace = read_trace(file_of(file, HEADER, EVENT, b'{"id":2,"parent":1,"ki', end=b""))
    assert (trace.torn, trace.complete, len(trace.events)) == (True, False, 1)
    assert read_trace(file_of(file, HEADER, EVENT, b"\0" * 4096, end=b"")).torn


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"id": 0}, "id is not a number above"),
        ({"id": True}, "id is not a number above"),
        ({"id": 10**16}, "id is not a number above"),
        ({"id": "1"}, "id is not a number above"),
        ({"parent": 1}, "parent is not an event before it"),
        ({"parent": "0"}, "parent is not an event before it"),
        ({"kind": "Run"}, "kind is not a word"),
        ({"kind": "<script>"}, "kind is not a word"),
        ({"kind": "k" * 41}, "kind is not a word"),
        ({"path": "../../etc"}, "path is not like"),
        ({"path": "0" + ".1" * 41}, "path is not like"),
        ({"turn": -1}, "turn is not a number"),
        ({"turn": 10**7}, "turn is not a number"),
        ({"seconds": -1}, "seconds is not a number"),
        ({"seconds": 1e300}, "seconds is not a number"),
        ({"seconds": "1"}, "seconds is not a number"),
        ({"seconds": None}, "seconds is not a number"),
        ({"data": []}, "data is not an object"),
        ({"data": {"input_tokens": 1.5}}, "input_tokens is not a whole number"),
        ({"data": {"output_tokens": -1}}, "output_tokens is not a whole number"),
        ({"data": {"output_tokens": 10**16}}, "output_tokens is not a whole number"),
        ({"data": {"call_seconds": -0.1}}, "call_seconds is not a number"),
        ({"data": {"dollars": 0.1}}, "dollars are not an amount"),
        ({"data": {"dollars": "1e99"}}, "dollars are not an amount"),
        ({"data": {"dollars": "9" * 13}}, "dollars are not an amount"),
        ({"data": {"model": 7}}, "model is not a name"),
    ],
)
def test_a_bad_event_is_refused_with_its_line(file: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(TraceError, match=f"line 2: .*{says}") as caught:
        read_trace(file_of(file, HEADER, {**EVENT, **change}))
    assert caught.value.line == 2


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b"7",
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"id": ' + b"9" * 5000 + b"}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"",
    ],
    ids=[
        "words",
        "list",
        "number",
        "not-utf8",
        "nan",
        "huge-number",
        "deep-list",
        "deep-object",
        "deeper-than-any",
        "empty",
    ],
)
def test_a_line_that_is_no_event_is_refused(file: Path, line: bytes) -> None:
    with pytest.raises(TraceError, match="line 3: this is not a line of a trace"):
        read_trace(file_of(file, HEADER, EVENT, line))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "other"}, "this is not a trace of Divebell"),
        ({"version": 2}, "the trace has version 2, this Divebell reads version 1"),
        ({"version": True}, "the trace has version true"),
        ({"version": None}, "the trace has version null"),
        ({"started": 7}, "started is not a short text"),
        ({"divebell": "v" * 101}, "divebell is not a short text"),
        ({"level": "some"}, "level is not one of full, redacted, off"),
        ({"settings": []}, "settings are not an object"),
    ],
)
def test_a_bad_header_is_refused(file: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(TraceError, match=f"line 1: .*{says}"):
        read_trace(file_of(file, {**HEADER, **change}))


def test_no_trace_at_all(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(TraceError, match="is empty"):
        read_trace(tmp_path / "empty")
    with pytest.raises(TraceError, match="No such file"):
        read_trace(tmp_path / "missing")
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(tmp_path)
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace("nul\0byte")


def test_a_line_without_end_is_refused_before_it_fills_the_memory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "MAX_LINE_BYTES", 1_000)
    with pytest.raises(TraceError, match="line 2: the line is longer than any line of a trace"):
        read_trace(file_of(file, HEADER, b'{"a":"' + b"x" * 2_000 + b'"}'))


def test_too_many_events_and_too_large_files_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [{**EVENT, "id": number} for number in range(1, 12)]
    file_of(file, HEADER, *events)
    with pytest.raises(TraceError, match="line 12: there are more than 10 events"):
        read_trace(file, max_events=10)
    monkeypatch.setattr(reader_module, "MAX_READ_BYTES", 300)
    with pytest.raises(TraceError, match="larger than 300 bytes"):
        read_trace(file)


def test_events_inside_events_without_end_are_refused(file: Path) -> None:
    events = [{**EVENT, "id": number, "parent": number - 1 or None} for number in range(1, 200)]
    with pytest.raises(TraceError, match="nested more than 128 deep"):
        read_trace(file_of(file, HEADER, *events))


def test_ids_must_rise_so_that_no_event_is_inside_itself(file: Path) -> None:
    with pytest.raises(TraceError, match=r"line 3: .*above those before it"):
        read_trace(file_of(file, HEADER, {**EVENT, "id": 5}, {**EVENT, "id": 5}))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_event = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers(1, 30) | _json, "parent": st.none() | st.integers(1, 30) | _json,
        "kind": st.sampled_from(["run", "reply", "code", "cell", "call", "child", "answer", "limit", "tool", "end", "dropped"]) | _json,
        "path": st.sampled_from(["0", "0.1", "0.1.1"]) | _json, "turn": st.integers(0, 3) | _json,
        "seconds": st.floats(0, 9) | _json,
        "data": st.dictionaries(st.sampled_from(["number", "model", "dollars", "ok", "error", "code", "events", "reply"]), _json, max_size=4) | _json,
    },
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_event | _json, max_size=6))
def test_whatever_is_in_a_file_it_is_read_or_refused(file: Path, entries: list[Any]) -> None:
    file_of(file, HEADER, *entries)
    with contextlib.suppress(TraceError):
        spans = list(walk(build_tree(read_trace(file).events)))
        assert len({id(span) for span, _ in spans}) == len(spans)


def tree_of(path: Path, events: Any) -> list[Span]:
    return build_tree(read_trace(write(path, events)).events)


def test_the_tree_of_a_run(file: Path) -> None:
    (run,) = tree_of(file, lively(20))
    assert [child.kind for child in run.children] == ["turn"] * 5
    (cell,) = run.children[1].children
    assert {child.kind for child in cell.children} == {"call", "run"}
    assert (cell.failed, run.failed, run.is_open) == (True, False, False)
    (inner,) = [child for child in cell.children if child.kind == "run"]
    assert (inner.path, [child.kind for child in inner.children]) == ("0.1", ["turn", "turn"])
    assert "31 contracts" in run.data["answer"]
    assert body_text(cell.data["stdout"]) == "5 parts, 31 contracts\n"
    assert cell.data["code"].startswith("# Read every contract")


def test_costs_add_up_exactly_and_once(file: Path) -> None:
    events = list(lively(200))
    (run,) = tree_of(file, events)
    called = [event for event in events if event.kind in ("reply", "call")]
    assert run.totals.picodollars == sum(event.data.get("picodollars", 0) for event in called)
    assert run.totals.calls == len(called)
    assert run.totals.input_tokens == sum(event.data.get("input_tokens", 0) for event in called)
    assert run.totals.errors == 2 + sum("error" in event.data for event in called)


def test_times_nest(file: Path) -> None:
    (run,) = tree_of(file, lively(40))
    for span, _ in walk([run]):
        assert 0 <= span.start <= span.end
        assert all(child.end <= span.end for child in span.children)
    turn = run.children[0]
    assert turn.end == pytest.approx(turn.children[0].end)
    assert turn.children[0].start - turn.start == pytest.approx(turn.data["call_seconds"] + 0.002, abs=1e-6)


def test_a_run_that_was_cut_off_is_open(file: Path) -> None:
    events = list(lively(20))[:5]
    (run,) = tree_of(file, events)
    (turn,) = run.children
    assert (run.is_open, turn.children[0].is_open) == (True, True)


def test_events_without_a_run_stand_alone(file: Path) -> None:
    roots = tree_of(file, list(lively(20))[3:6])
    assert [root.kind for root in roots] == ["call"]
    assert [child.kind for child in roots[0].children] == ["call", "call"]
