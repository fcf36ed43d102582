"""The writer: what is in the file, what must not be, and that it harms no run whatever happens to it."""

import json
import os
import stat
import threading
import time
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from divebell import RLM, Cell, CellError, ConfigurationError, DivebellError, Event, ScriptedModel
from divebell.errors import TraceError
from divebell.stop import Stop
from divebell.trace import TraceWriter, read_trace
from divebell.trace.buffer import Buffer
from divebell.trace.pump import Pump
from divebell.trace.schema import MAX_BODY_CHARACTERS, MAX_EVENT_CHARACTERS
from tests.support.traces import Novelty, facts, hostile, lively, make_event, with_facts, write

SECRET_TEXT = "the patient's name is Ada"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def written(path: Path, *events: Event, **options: Any) -> list[dict[str, Any]]:
    """The lines of the events alone, without header and end."""
    return lines(write(path, events, **options))[1:-1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def test_a_real_run_is_written_with_its_parents_and_its_costs(file: Path) -> None:
    code = "```repl\nprint(llm_query_batched(['one', 'two']))\nprint(rlm_query('three', context='small'))\n```"
    root = ScriptedModel("root", [code, "FINAL(done)"])
    sub = ScriptedModel("sub", lambda request: "FINAL(deep)" if request.messages[0]["role"] == "system" else "plain")
    with TraceWriter(file, settings={"model": "root", "budget": {"dollars": Decimal("0.30")}, "seed": 7}) as writer:
        RLM(root, sub, on_event=writer).run("hay " * 10, "where?")
    header, *events, end = lines(file)
    assert (header["schema"], header["version"], header["level"]) == ("divebell.trace", 1, "full")
    assert header["settings"] == {"model": "root", "budget": {"dollars": "0.30"}, "seed": 7}
    by_id = {event["id"]: event for event in events}
    shape = [(event["kind"], event["path"], by_id.get(event["parent"], {}).get("kind")) for event in events]
    assert shape == [
        ("run", "0", None),
        ("reply", "0", "run"),
        ("code", "0", "reply"),
        ("call", "0", "code"),
        ("call", "0", "code"),
        ("run", "0.1", "code"),
        ("reply", "0.1", "run"),
        ("code", "0.1", "reply"),
        ("cell", "0.1", "code"),
        ("answer", "0.1", "run"),
        ("child", "0", "code"),
        ("cell", "0", "code"),
        ("reply", "0", "run"),
        ("code", "0", "reply"),
        ("cell", "0", "code"),
        ("answer", "0", "run"),
    ]
    assert {event["data"]["prompt"] for event in events if event["kind"] == "call"} == {"one", "two"}
    assert "code" not in events[-2]["data"], "the cell's code is in the event of its beginning"
    assert end["data"] == {"events": len(events), "dropped": 0}


def test_money_is_an_exact_decimal_string(file: Path) -> None:
    call, spend, none = written(
        file,
        make_event("call", **facts("m", 0.1, 1, 1, 1_234_500_000_000_000_001)),
        make_event("answer", spend={"dollars": Decimal("0.000000000001")}),
        make_event("call", picodollars=0),
    )
    assert call["data"]["dollars"] == "1234500.000000000001"
    assert spend["data"]["spend"] == {"dollars": "0.000000000001"}
    assert none["data"]["dollars"] == "0"


def test_a_field_and_a_kind_that_are_new_are_carried_along(file: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class BrandNew(Event):
        kind = "brand_new"
        shade: str
        level: int
        cells: list[dict[str, int]]
        stop: str | None
        left_out: str | None = None

    (event,) = written(file, BrandNew(shade="green", level=3, cells=[{"a": 1}], stop=None))
    assert event["kind"] == "brand_new"
    assert event["data"] == {"shade": "green", "level": 3, "cells": '[{"a": 1}]', "stop": None}


def test_an_event_with_nothing_in_it_is_fine(file: Path) -> None:
    events = written(
        file, *(make_event(kind) for kind in ("reply", "code", "cell", "call", "child", "limit", "answer", "run"))
    )
    assert [event["kind"] for event in events][-2:] == ["answer", "run"]
    assert len(read_trace(file).events) == 9


def test_objects_that_the_loop_tells_are_written_as_data(file: Path) -> None:
    error = CellError(kind="ValueError", message="no", traceback="Traceback\nValueError: no")
    (cell, answer) = written(
        file,
        make_event("cell", cell=Cell(stdout="out", stderr="err", repr="1", error=error, seconds=0.5)),
        make_event("answer", stopped_by=Stop(limit="dollars", cap=Decimal("0.3"), spent=Decimal("0.2"), path="run")),
    )
    data = cell["data"]
    assert (data["stdout"], data["stderr"], data["repr"], data["traceback"]) == ("out", "err", "1", error.traceback)
    assert (data["error_kind"], data["ok"], data["cell_seconds"]) == ("ValueError", False, 0.5)
    assert answer["data"]["stopped_by"]["cap"] == "0.3"


def test_images_are_noted_not_copied(file: Path) -> None:
    part = {"type": "image", "media_type": "image/png", "data": b"\x89PNG" * 1000}
    (event,) = written(file, make_event("reply", messages=[{"role": "user", "content": [part]}]))
    assert event["data"]["messages"][0]["content"][0]["data"] == "[4,000 bytes]"


@pytest.mark.parametrize("level", ["redacted", "off"])
def test_no_body_is_in_a_redacted_trace(file: Path, level: str) -> None:
    events = [with_facts(event, "a fact") for event in hostile(SECRET_TEXT)]
    events[-1] = replace(events[-1], stopped_by=None, spend={})  # type: ignore[call-arg]  # of a RunEnded
    write(file, [*events, Novelty(novelty={"deep": [SECRET_TEXT, 4711], "numbers": [4711]})], level=level)
    text = file.read_text()
    assert "Ada" not in text
    assert "4711" not in text
    assert "a fact" in text


def test_redacted_bodies_can_be_compared_within_a_file_but_not_guessed(tmp_path: Path) -> None:
    first = written(
        tmp_path / "1",
        make_event("call", prompt="yes"),
        make_event("call", prompt="yes"),
        make_event("call", prompt="no"),
        level="redacted",
    )
    second = written(tmp_path / "2", make_event("call", prompt="yes"), level="redacted")
    marks = [event["data"]["prompt"]["hmac"] for event in [*first, *second]]
    assert marks[0] == marks[1]
    assert len(set(marks)) == 3, "the same guess has another mark in another file: no table of hashes helps"
    assert first[0]["data"]["prompt"]["length"] == 3


def test_off_keeps_times_tokens_and_money(file: Path) -> None:
    (event,) = written(
        file, make_event("call", prompt="p", reply="r", number=3, **facts("m", 0.25, 7, 5, 10**12)), level="off"
    )
    assert event["data"] == {
        "number": 3, "model": "m", "call_seconds": 0.25, "input_tokens": 7, "output_tokens": 5, "dollars": "1",
        "attempts": 1, "cached_input_tokens": 0, "memo": False, "uncertain": False, "unpriced": False,
        "finish_reason": "stop", "output_limit_tokens": 0, "schema": False, "repair": 0, "images": 0,
    }  # fmt: skip


@pytest.mark.parametrize("level", ["full", "redacted", "off"])
def test_a_key_that_a_model_repeats_is_not_written(file: Path, level: str) -> None:
    key = "sk-0123456789abcdef"
    long = "x" * (MAX_BODY_CHARACTERS - 5) + key  # the cut goes through the key
    write(
        file,
        [*hostile(f"my key is {key}"), make_event("call", prompt=long)],
        level=level,
        secrets=[key],
        settings={"k": key},
    )
    text = file.read_text()
    assert key not in text
    assert key[:5] not in text


@pytest.mark.parametrize("secrets", ["sk-0123456789", ["short"], [""]])
def test_secrets_that_would_wipe_out_everything_are_refused(file: Path, secrets: Any) -> None:
    with pytest.raises(ConfigurationError, match="secrets must be a list"):
        TraceWriter(file, secrets=secrets)
    assert not file.exists()


def test_an_error_class_that_the_guest_named_is_a_body(file: Path) -> None:
    error = CellError(kind=SECRET_TEXT, message="", traceback="")
    assert "Ada" not in json.dumps(written(file, make_event("cell", cell=Cell(error=error)), level="redacted"))


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_the_file_is_its_owners_alone_whatever_the_umask_says(file: Path) -> None:
    before = os.umask(0)
    try:
        TraceWriter(file).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="links as an attacker makes them on POSIX")
def test_neither_a_file_nor_a_link_is_written_over(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("precious")
    (tmp_path / "link").symlink_to(there)
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    for name in ("there", "link", "dangling"):
        with pytest.raises(TraceError, match="already exists"):
            TraceWriter(tmp_path / name)
    assert there.read_text() == "precious"
    assert not (tmp_path / "elsewhere").exists()


def test_a_path_that_cannot_be_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be created: No such file"):
        TraceWriter(tmp_path / "nowhere" / "run.jsonl")
    assert issubclass(TraceError, DivebellError)


def test_a_long_body_is_cut_and_says_so(file: Path) -> None:
    (event,) = written(file, make_event("call", prompt="p" * (MAX_BODY_CHARACTERS + 7)))
    assert event["data"]["prompt"] == {"text": "p" * MAX_BODY_CHARACTERS, "missing": 7}


def test_all_bodies_of_an_event_share_a_bound(file: Path) -> None:
    messages = [{"role": "user", "content": "m" * MAX_BODY_CHARACTERS} for _ in range(9)]
    (event,) = written(file, make_event("reply", messages=messages, reply="r" * 10))
    kept = [message["content"] for message in event["data"]["messages"]]
    assert sum(len(body) for body in kept if isinstance(body, str)) == MAX_EVENT_CHARACTERS
    assert event["data"]["reply"] == {"text": "", "missing": 10}


def test_data_nested_without_end_and_odd_values_are_written_somehow(file: Path) -> None:
    loop: dict[str, Any] = {}
    loop["spend"] = loop

    @dataclass(frozen=True, kw_only=True)
    class Odd(Event):
        kind = "odd"
        arguments: object
        n: float
        big: int
        o: object

    events = written(
        file, make_event("answer", spend=loop), Odd(arguments=loop, n=float("nan"), big=10**40, o=object())
    )
    assert events[1]["data"] == {"arguments": "[dict]", "n": None, "big": str(10**40), "o": '"[object]"'}


def test_text_that_is_no_valid_unicode_survives(file: Path) -> None:
    texts = ["\ud800 alone", "line\u2028separator\nand\r\x00\x1b[2J", "\U0001f52d"]
    events = written(file, *(make_event("call", prompt=text) for text in texts))
    assert [event["data"]["prompt"] for event in events] == texts
    assert [event.data.get("prompt") for event in read_trace(file).events[:-1]] == texts


def test_a_file_at_its_bound_leaves_out_bodies_then_events(file: Path) -> None:
    with TraceWriter(file, max_bytes=3_000) as writer:
        for number in range(100):
            writer(make_event("call", prompt="p" * 400, number=number))
    kinds = [entry.get("kind") for entry in lines(file)]
    assert kinds.count("bodies_left_out") == 1
    assert file.stat().st_size < 2 * 3_000 + 1_000
    assert writer.dropped > 0
    assert read_trace(file).dropped == writer.dropped
    assert "prompt" not in lines(file)[kinds.index("bodies_left_out") + 1]["data"]


class Stuck:
    """A consumer that does not come back until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.seen: list[Event] = []

    def __call__(self, events: list[Event], dropped: int) -> None:
        self.go.wait(300)
        self.seen += events


def test_a_stuck_disk_holds_up_nobody_and_loses_calls_first() -> None:
    stuck = Stuck()
    pump = Pump(stuck, name="stuck", buffer=Buffer(max_events=100))
    pump.put(make_event("run"))
    deadline = time.monotonic() + 300
    while len(pump._buffer) and time.monotonic() < deadline:
        time.sleep(0.005)
    for _ in range(1_000):
        pump.put(make_event("call"))
    for _ in range(60):
        pump.put(make_event("reply"))
    assert pump.dropped == 1_000 - 50 + 10
    stuck.go.set()
    assert pump.close()
    assert [event.kind for event in stuck.seen] == ["run", *["call"] * 50, *["reply"] * 50]


def test_closing_does_not_wait_for_ever_for_a_stuck_disk(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    writer = TraceWriter(file)
    monkeypatch.setattr(writer, "_append", lambda made: go.wait(300))
    writer(make_event("run"))
    writer.close(seconds=0.05)
    go.set()
    writer.close()


def test_queued_text_is_bounded_too() -> None:
    buffer = Buffer(max_characters=1_150)
    for _ in range(10):
        buffer.put(make_event("reply", reply="r" * 300))
    assert (len(buffer), buffer.dropped) == (3, 7)


def test_lost_events_are_told_in_the_file(file: Path) -> None:
    writer = TraceWriter(file)
    writer._pump._buffer = Buffer(max_events=4)
    with writer._pump._condition:  # the thread cannot take any
        for number in range(6):
            writer._pump._buffer.put(make_event("reply", turn=number))
    writer(make_event("reply"))
    writer.close()
    assert [entry["data"] for entry in lines(file) if entry.get("kind") == "dropped"] == [{"events": 3}]
    assert read_trace(file).dropped == 3


def test_a_full_disk_ends_the_trace_not_the_run(file: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    writer = TraceWriter(file)
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    result = RLM(ScriptedModel("root", ["```repl\nprint(1)\n```", "FINAL(done)"]), on_event=writer).run("hay", "where?")
    writer.close()
    monkeypatch.setattr(os, "write", real)
    assert result.answer == "done"
    assert "No space left" in (writer.problem or "")
    assert writer.dropped > 0
    assert "the run goes on" in caplog.text
    assert not read_trace(file).complete


def test_an_idle_engine_has_no_thread(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("divebell.trace.pump.IDLE_SECONDS", 0.02)

    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "divebell-trace"]

    with TraceWriter(file) as writer:
        assert threads() == []
        for number in range(3):
            writer(make_event("call", number=number))
            deadline = time.monotonic() + 300
            while threads() and time.monotonic() < deadline:
                time.sleep(0.005)
            assert threads() == []
    assert [event.data.get("number") for event in read_trace(file).events[:-1]] == [0, 1, 2]


def test_events_of_many_threads_all_arrive(file: Path) -> None:
    with TraceWriter(file) as writer:
        workers = [
            threading.Thread(
                target=lambda name=name: [writer(make_event("call", number=name * 1000 + at)) for at in range(300)]
            )
            for name in range(8)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    numbers = {event.data["number"] for event in read_trace(file).events if event.kind == "call"}
    assert len(numbers) == 8 * 300 - writer.dropped
    assert writer.dropped == 0


@pytest.mark.slow
def test_what_waits_is_written_when_the_process_ends_without_close(alone: Any, file: Path) -> None:
    script = "import sys\nfrom divebell.events import ChildEnded\nfrom divebell.trace import TraceWriter\nw = TraceWriter(sys.argv[1] if len(sys.argv) > 1 else PATH)\n[w(ChildEnded(number=n, prompt='', answer='', status='answered')) for n in range(500)]"
    alone(f"PATH = {str(file)!r}\n{script}")
    assert [event.data["number"] for event in read_trace(file).events] == list(range(500))


def test_an_event_after_the_end_is_counted_not_written(file: Path) -> None:
    writer = TraceWriter(file)
    writer.close()
    size = file.stat().st_size
    writer(make_event("run"))
    writer.close()
    assert (writer.dropped, file.stat().st_size) == (1, size)


def test_a_long_run_is_whole(file: Path) -> None:
    write(file, lively(3_000))
    trace = read_trace(file)
    assert trace.complete
    assert sum(event.kind == "call" for event in trace.events) == 3_000


def test_what_came_of_a_tool_is_its_result_or_its_error(file: Path) -> None:
    outcomes: list[dict[str, Any]] = [
        {"result": {"price": 3}}, {"result": "three"}, {"error": "no such item", "error_type": "tool_error"},
    ]  # fmt: skip
    events = [make_event("tool", number=1, name="lookup", arguments=["a"], **each) for each in outcomes]
    made = written(file, *events)
    assert [event["data"].get("result") for event in made] == ['{"price": 3}', "three", None]
    assert made[2]["data"] | {"error": "no such item", "error_type": "tool_error", "ok": False} == made[2]["data"]
    assert made[0]["data"]["arguments"] == '["a"]'


def test_a_failure_is_seen_without_its_text(file: Path) -> None:
    (event,) = written(file, make_event("call", error=SECRET_TEXT), level="off")
    assert event["data"]["ok"] is False
    assert SECRET_TEXT not in json.dumps(event)


def test_a_context_is_described_by_its_sizes_without_its_names(file: Path) -> None:
    described = "a dict of 1,204 entries: text under 'Ada', ..."
    (event,) = written(file, make_event("run", context=described), level="redacted")
    assert event["data"]["context_type"] == "a dict of 1,204 entries"
    assert "Ada" not in json.dumps(event)
