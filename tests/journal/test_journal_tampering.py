"""A journal is a file, and whoever replays it may not have written it: what was changed in it shows, and the worst that
a hostile one does is an error."""

import base64
import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from divebell import RLM, BudgetExceeded, ConfigurationError, JournalError, ModelError, ReplayDivergedError, RunError
from divebell.journal import records
from divebell.journal.records import pack, read_journal, to_line, unpack
from divebell.testing import replay
from divebell_bridge.door import wire
from tests.support.journal_lines import without_checks
from tests.support.journal_runs import Provider, rlm_of

EXPECTED = (JournalError, ConfigurationError, BudgetExceeded, ModelError, RunError)
"""What may come of a hostile journal: the last three, where it says that the run failed so."""
FULL = bool(os.environ.get("DIVEBELL_FULL"))
Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Lines:
    journal = tmp_path_factory.mktemp("journal") / "journal"
    rlm_of(Provider(None, seconds=0.0)).run("hay " * 10, "What is it?", journal=journal)
    return [json.loads(line) for line in without_checks(journal.read_bytes()).decode().splitlines()]


def write(path: Path, changed: Lines) -> Path:
    path.write_bytes(b"".join(map(to_line, changed)))
    return path


def copied(lines: Lines) -> Lines:
    copy: Lines = json.loads(json.dumps(lines))
    return copy


def first(lines: Lines, kind: str, **fields: object) -> dict[str, Any]:
    return next(line for line in lines if line["kind"] == kind and fields.items() <= line.items())


def a_byte_of_a_completion(lines: Lines) -> None:
    call = first(lines, "call", name="sub-call 3", path="0")
    call["text"] = call["text"].replace("part", "pard")


def a_turn(lines: Lines) -> None:
    call = first(lines, "call", name="turn 2", path="0")
    call["text"] = call["text"].replace("range(6)", "range(5)")


def the_last_turn(lines: Lines) -> None:
    first(lines, "call", name="turn 5", path="0")["text"] = "FINAL(something else)"


def a_childs_completion(lines: Lines) -> None:
    call = first(lines, "call", name="sub-call 1", path="0.2")
    call["text"] += "!"


def a_cells_output(lines: Lines) -> None:
    cell = first(lines, "cell", number=2, path="0")
    cell["stdout"] = cell["stdout"].replace("async 3", "async 8")


def a_childs_output(lines: Lines) -> None:
    first(lines, "cell", path="0.1")["stdout"] += " "


def a_cells_error(lines: Lines) -> None:
    first(lines, "cell", number=1, path="0")["error"] = ["ValueError", "x", "ValueError: x"]


def what_the_guest_was_told(lines: Lines) -> None:
    door = first(lines, "door", op="query", path="0")
    told = unpack(door["answer"])
    told[0]["text"] = "other"
    door["answer"] = pack(told)


def which_calls_ended_first(lines: Lines) -> None:
    waits = [line for line in lines if line["kind"] == "door" and line["op"] == "wait" and line["path"] == "0"]
    one = next(line for line in waits if unpack(line["answer"]))
    told = unpack(one["answer"])
    told[0][0] += 1
    one["answer"] = pack(told)


def what_a_tool_gave(lines: Lines) -> None:
    first(lines, "tool", number=1)["outcome"] = pack({"value": {"n": 4}})


def the_budget_that_was_told(lines: Lines) -> None:
    first(lines, "door", op="budget")["answer"] = pack({"calls": 7})


def the_order_of_lines(lines: Lines) -> None:
    doors = [at for at, line in enumerate(lines) if line["kind"] == "door" and line["path"] == "0"]
    lines[doors[0]], lines[doors[1]] = lines[doors[1]], lines[doors[0]]


def the_seed(lines: Lines) -> None:
    lines[0]["settings"]["seed"] += 1


def a_setting(lines: Lines) -> None:
    lines[0]["settings"]["max_iterations"] -= 1


def a_limit(lines: Lines) -> None:
    lines[0]["settings"]["limits"]["output_characters"] = 50


def the_question(lines: Lines) -> None:
    lines[0]["query"] += "?"


def the_notes(lines: Lines) -> None:
    lines[0]["notes"] = ["It was read as Latin-1."]


def a_model(lines: Lines) -> None:
    lines[0]["models"]["levels"][0] = "other"


def a_tools_description(lines: Lines) -> None:
    lines[0]["settings"]["levels"][0]["tools"][0]["documentation"] = "Ask me."


def a_request(lines: Lines) -> None:
    first(lines, "call", name="turn 1", path="0")["request"] = "0" * 32


def the_answer(lines: Lines) -> None:
    first(lines, "answer", path="0")["text"] += "."


def a_childs_answer(lines: Lines) -> None:
    first(lines, "answer", path="0.1")["text"] = "other"


def a_cell_is_missing(lines: Lines) -> None:
    lines.remove(first(lines, "cell", number=4, path="0"))


def a_cell_more(lines: Lines) -> None:
    cell = first(lines, "cell", number=4, path="0")
    number = max(line["number"] for line in lines if line["kind"] == "cell" and line["path"] == "0") + 1
    lines.append({**cell, "number": number})


def a_call_is_missing(lines: Lines) -> None:
    lines.remove(first(lines, "call", name="sub-call 3", path="0"))


def a_turn_is_missing(lines: Lines) -> None:
    lines.remove(first(lines, "call", name="turn 3", path="0"))


CHANGES: tuple[Callable[[Lines], None], ...] = (
    a_byte_of_a_completion, a_turn, the_last_turn, a_childs_completion, a_cells_output, a_childs_output, a_cells_error,
    what_the_guest_was_told, which_calls_ended_first, what_a_tool_gave, the_budget_that_was_told, the_order_of_lines,
    the_seed, a_setting, a_limit, the_question, the_notes, a_model, a_tools_description, a_request, the_answer,
    a_childs_answer, a_cell_is_missing, a_cell_more, a_call_is_missing, a_turn_is_missing,
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_shows_as_the_first_difference(tmp_path: Path, lines: Lines, change: Callable[[Lines], None]) -> None:
    changed = copied(lines)
    change(changed)
    assert changed != lines
    with pytest.raises(ReplayDivergedError) as caught:
        replay(write(tmp_path / "journal", changed))
    assert "0" in str(caught.value)  # says where


def test_unchanged_it_is_the_same(tmp_path: Path, lines: Lines) -> None:
    assert replay(write(tmp_path / "journal", copied(lines))).answer == first(lines, "answer", path="0")["text"]


def test_the_context_itself_was_changed(tmp_path: Path, lines: Lines) -> None:
    changed = copied(lines)
    changed[0]["embedded"] = pack("straw " * 10)
    with pytest.raises(ConfigurationError, match="not the context"):
        replay(write(tmp_path / "journal", changed))


def test_a_newer_version(tmp_path: Path, lines: Lines) -> None:
    changed = copied(lines)
    changed[0]["version"] = 2
    with pytest.raises(JournalError, match="version 2; this Divebell reads 1"):
        replay(write(tmp_path / "journal", changed))


def test_a_difference_names_the_versions_where_they_are_two(tmp_path: Path, lines: Lines) -> None:
    changed = copied(lines)
    changed[0]["divebell"] = "9.9"
    a_request(changed)
    with pytest.raises(ReplayDivergedError, match=r"the journal is by Divebell 9\.9"):
        replay(write(tmp_path / "journal", changed))


def test_a_run_that_did_not_end(tmp_path: Path, lines: Lines) -> None:
    with pytest.raises(JournalError, match="did not end"):
        replay(write(tmp_path / "journal", lines[:-1]))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"no journal", "is not a journal: it is empty"),
        (b"no journal\n", "line 1 of the journal is not JSON"),
        (b"{}\n", "line 1 is not a journal record"),
        (b'{"kind":["header"]}\n', "line 1 is not a journal record"),
        (b'{"kind":"call"}\n', "does not begin as a journal"),
        (b"[" * 100_000 + b"\n", "line 1 of the journal is not JSON"),
        (b'{"kind":"header","version":' + b"1" * 5_000 + b"}\n", "line 1 of the journal is not JSON"),
        (b'{"kind":"header","version":1}\n', "no settings"),
        (b"\xff\xfe\n", "not JSON"),
    ],
)
def test_what_is_no_journal(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=says):
        replay(path)


def test_no_file_a_folder_a_pipe(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file"):
        replay(tmp_path / "none")
    with pytest.raises(JournalError, match=r"[Ii]s a directory|Permission"):
        replay(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(JournalError, match="is not a regular file"):
            replay(tmp_path / "pipe")


def test_a_line_that_would_fill_the_memory_is_not_parsed(tmp_path: Path, lines: Lines) -> None:
    """64 MB of empty lists would take gigabytes as Python objects."""
    resource = pytest.importorskip("resource")
    path = write(tmp_path / "journal", lines[:1])
    with path.open("ab") as file:
        file.write(b'{"kind":"fact","path":"0","name":"x","value":[' + b"[]," * (16 << 20) + b"[]]}\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(JournalError, match="past the limits"):
        replay(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KB


def test_a_line_too_long_and_too_many_lines(tmp_path: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "journal", lines)
    for name, value in (("MAX_LINE_BYTES", 1000), ("MAX_RECORDS", 20), ("MAX_JOURNAL_BYTES", 5000)):
        with monkeypatch.context() as patch:
            patch.setattr(records, name, value)
            with pytest.raises(JournalError, match="past the limits"):
                read_journal(path)


def test_a_long_text_full_of_what_looks_like_json_is_read(tmp_path: Path, lines: Lines) -> None:
    changed = copied(lines)
    changed.append({"kind": "fact", "path": "0", "name": "x", "value": '[{",\\"' * 500_000})
    assert read_journal(write(tmp_path / "journal", changed)).facts["0", "x"] == '[{",\\"' * 500_000


class Made:
    """The journal's lines. Their repr would be too long for hypothesis."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines


@pytest.fixture(scope="module")
def made(lines: Lines) -> Made:
    return Made(lines)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just("0"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


NUMBER = st.integers(0, 1 << 20)


def places(value: object, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something can be put in place of something else."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, each in inside for place in places(each, (*at, key)))]


@pytest.mark.slow
@settings(max_examples=1500 if FULL else 120, suppress_health_check=list(HealthCheck))
@given(edits=st.lists(st.tuples(st.just(0) | NUMBER, NUMBER, JSON), min_size=1, max_size=3))
def test_anything_in_any_field_is_at_worst_an_error(
    tmp_path: Path, made: Made, edits: list[tuple[int, int, Any]]
) -> None:
    changed = copied(made.lines)
    for line, place, value in edits:
        target: Any = changed[line % len(changed)]
        found = places(target)[1:]
        *into, last = found[place % len(found)]
        for key in into:
            target = target[key]
        target[last] = value
    with contextlib.suppress(*EXPECTED):
        replay(write(tmp_path / "journal", changed))


@pytest.mark.slow
@settings(max_examples=600 if FULL else 50, suppress_health_check=list(HealthCheck))
@given(number=NUMBER, told=JSON | st.binary(max_size=40), is_raw=st.booleans())
def test_anything_told_at_the_door_is_at_worst_an_error(
    tmp_path: Path, made: Made, number: int, told: Any, is_raw: bool
) -> None:
    changed = copied(made.lines)
    packed = [line for line in changed if line["kind"] in ("door", "tool")]
    line = packed[number % len(packed)]
    name = "answer" if line["kind"] == "door" else "outcome"
    if is_raw and isinstance(told, bytes):
        line[name] = base64.b64encode(told).decode()
    else:
        try:
            line[name] = pack(told)
        except wire.WireError:  # a whole number that is too long
            return
    with contextlib.suppress(*EXPECTED):
        replay(write(tmp_path / "journal", changed))


@pytest.mark.slow
@settings(max_examples=600 if FULL else 50, suppress_health_check=list(HealthCheck))
@given(edits=st.lists(st.tuples(NUMBER, st.sampled_from(["change", "cut", "double"]), NUMBER), min_size=1, max_size=4))
def test_bytes_changed_cut_or_doubled_are_at_worst_an_error(
    tmp_path: Path, made: Made, edits: list[tuple[int, str, int]]
) -> None:
    content = bytearray(b"".join(map(to_line, made.lines)))
    for place, how, number in edits:
        at = place % len(content)
        if how == "change":
            content[at] = number % 256
        elif how == "cut":
            del content[at : at + number % 200 + 1]
        else:
            content[at:at] = content[at : at + number % 2000]
    path = tmp_path / "journal"
    path.write_bytes(content)
    with contextlib.suppress(*EXPECTED):
        replay(path)


@settings(max_examples=200)
@given(text=st.text(st.characters(), max_size=30), data=st.binary(max_size=30))
def test_texts_and_bytes_come_back_as_they_were(text: str, data: bytes) -> None:
    """Lone surrogates too, and two that are no pair."""
    line = to_line({"kind": "fact", "text": text})
    assert line.count(b"\n") == 1
    assert records._parse_line(line, 1)["text"] == text
    assert unpack(pack({"text": text, "data": data})) == {"text": text, "data": data}


@pytest.mark.parametrize("text", ["\ud83d\ude00", "\ud800", "\udc80x", "\U0001f600", "a\u2028b\x00"])
def test_surrogates_in_what_models_and_cells_say(tmp_path: Path, text: str) -> None:
    from divebell.testing import ScriptedModel

    root = f"```repl\nprint({text!a}, llm_query('x'))\n```"
    model = ScriptedModel("m", [root, text, f"FINAL({text} done)"])
    made = RLM(model).run("hay", f"What? {text}", journal=tmp_path / "journal")
    again = replay(tmp_path / "journal")
    assert again.answer == made.answer
    assert again.turns[0].cells[0].stdout == made.turns[0].cells[0].stdout
    assert text in made.turns[0].cells[0].stdout or text == "a\u2028b\x00"
