"""A Result as data and as a line: JSON of every type of answer, the run's id wherever the run is, no megabytes shown."""

import asyncio
import datetime
import enum
import json
import uuid
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypedDict

import pydantic
import pytest

from divebell import RLM, Budget, Cell, Engine, Event, ModelError, Rate, Result, Sandbox, ScriptedModel
from divebell.journal.records import read_journal
from divebell.plain import to_plain
from divebell.testing import replay
from divebell.trace import read_trace
from divebell_bridge.money.meter import account_id_of
from tests.support.scripts import answering, block


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Invoice(pydantic.BaseModel):
    total: Decimal
    due: datetime.date
    color: Color = Color.RED


@dataclass
class Line:
    name: str
    amounts: list[Decimal]


class Place(TypedDict):
    city: str
    zip: int


@pytest.mark.parametrize(
    ("output", "reply", "value"),
    [
        (None, "FINAL(words)", "words"),
        (str, "FINAL(words)", "words"),
        (int, "FINAL(12)", 12),
        (float, "FINAL(1.5)", 1.5),
        (bool, "FINAL(true)", True),
        (Decimal, "FINAL('0.1')", "0.1"),
        (list[int], "FINAL([1, 2])", [1, 2]),
        (dict[str, float], 'FINAL({"a": 1.5})', {"a": 1.5}),
        (tuple[int, str], 'FINAL([1, "a"])', [1, "a"]),
        (set[int], "FINAL([3])", [3]),
        (datetime.datetime, 'FINAL("2026-01-02T03:04:05")', "2026-01-02T03:04:05"),
        (uuid.UUID, 'FINAL("12345678-1234-5678-1234-567812345678")', "12345678-1234-5678-1234-567812345678"),
        (Literal["a", "b"], 'FINAL("a")', "a"),
        (int | None, "FINAL(7)", 7),
        (Color, 'FINAL("red")', "red"),
        (Place, block("SUBMIT(city='Bern', zip=3000)"), {"city": "Bern", "zip": 3000}),
        (Line, block("SUBMIT(name='x', amounts=['1.10', '2'])"), {"name": "x", "amounts": ["1.10", "2"]}),
        (Invoice, block("SUBMIT(total='9.99', due='2026-12-31')"), {"total": "9.99", "due": "2026-12-31", "color": "red"}),
        (list[Invoice], 'FINAL([{"total": "1", "due": "2026-12-31"}])', [{"total": "1", "due": "2026-12-31", "color": "red"}]),
        ({"type": "object", "properties": {"n": {"type": "integer"}}}, block("SUBMIT(n=3)"), {"n": 3}),
    ],
    ids=str,
)  # fmt: skip
def test_every_kind_of_answer_becomes_json(output: Any, reply: str, value: object) -> None:
    result = RLM(answering(reply), output=output, rates={"root": Rate.per_million("1", "2")}).run("c", "q")
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["value"] == value
    assert Decimal(data["spend"]["dollars"]) == result.spend["dollars"] > 0
    assert (data["run_id"], data["status"], data["answer"]) == (result.run_id, "answered", result.answer)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (float("nan"), None), (float("-inf"), None), (Decimal("1E-9"), "0.000000001"), (Decimal("0E-999999999"), "0E-999999999"),
        (Decimal("1E+999999999"), "1E+999999999"), (Decimal("NaN"), "NaN"), (2**60, 2**60), (-(2**20_000), hex(-(2**20_000))),
        (b"\xff\x00", "/wA="), (bytearray(b"a"), "YQ=="), (Level.HIGH, 3), (Path("a/b"), "a/b"), (ValueError("no"), "no"),
        ({1: "a", None: "b", Color.RED: "c"}, {"1": "a", "None": "b", "red": "c"}), (frozenset({1}), [1]),
        (datetime.timedelta(1), "P1D"), ("\ud800", "\ud800"), (True, True), (object, "<class 'object'>"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_json_has_no_words_for_is_text(value: object, plain: object) -> None:
    assert to_plain(value) == plain
    json.dumps(to_plain(value), allow_nan=False)


def test_a_value_without_an_end_is_an_error() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="nests more than 100 deep"):
        to_plain(endless)


def test_a_draft_is_data_too_and_may_be_refused() -> None:
    drafting = ScriptedModel("root", [block("answer['content'] = 'a draft'")])
    result = RLM(drafting).run("c", "q")
    data = json.loads(json.dumps(result.to_dict()))
    assert (data["status"], data["answer"], data["value"]) == ("failed", "a draft", None)
    assert data["error"] == str(result.error)
    with pytest.raises(ModelError):
        result.raise_if_failed()
    done = RLM(answering()).run("c", "q")
    assert done.raise_if_failed() is done


def test_the_turns_are_there_when_they_are_wanted() -> None:
    result = RLM(answering(block("print('seen')\nFINAL(3)"))).run("c", "q")
    assert "turns" not in result.to_dict()
    [turn] = json.loads(json.dumps(result.to_dict(turns=True)))["turns"]
    assert turn["cells"][0]["stdout"] == "seen\n"


@pytest.mark.slow
def test_the_id_of_a_run_is_the_same_wherever_the_run_is(tmp_path: Path) -> None:
    events: list[Event] = []
    code = block("FINAL(rlm_query('child?', 'a text'))")
    root = ScriptedModel("root", lambda request: "FINAL(leaf)" if "child?" in str(request.messages) else code)
    with Engine(rates={"root": Rate.per_million("0", "0")}, ledger=tmp_path / "ledger.db") as engine:
        rlm = engine.rlm(
            root,
            on_event=events.append,
            metadata={"app": "test", "who": "rlm"},
            trace="redacted",
            trace_folder=tmp_path / "t",
        )
        result = rlm.run("c", "q", journal=tmp_path / "j", metadata={"who": "run"})
        assert engine.ledger.account(account_id_of(result.run_id)) is not None
    assert result.metadata == {"app": "test", "who": "run"}
    assert {event.path for event in events} == {"0", "0.1"}
    assert {event.run_id for event in events} == {result.run_id}
    assert all(event.metadata == result.metadata for event in events)
    assert result.trace_file is not None
    settings = read_trace(result.trace_file).settings
    assert (settings["run_id"], settings["metadata"]) == (result.run_id, result.metadata)
    recorded = read_journal(tmp_path / "j")
    assert recorded.runs == [result.run_id]
    assert recorded.header["metadata"] == result.metadata
    again = replay(tmp_path / "j")
    assert (again.run_id, again.metadata) == (result.run_id, result.metadata)


def test_each_run_has_an_id_of_its_own_and_its_own_metadata() -> None:
    rlm = RLM(answering())
    first, second = rlm.run("c", "q", metadata={"n": "1"}), rlm.run("c", "q")
    assert first.run_id != second.run_id
    assert (first.metadata, second.metadata) == ({"n": "1"}, {})
    with rlm.session("c", metadata={"talk": "7"}) as session:
        assert session.ask("q", metadata={"n": "2"}).metadata == {"talk": "7", "n": "2"}
        assert session.ask("q").metadata == {"talk": "7"}


def test_metadata_is_sent_to_no_model() -> None:
    seen: list[str] = []

    def policy(request: Any) -> str:
        seen.append(repr(request))
        return block("FINAL(llm_query('a'))") if len(seen) == 1 else "x"

    RLM(ScriptedModel("root", policy), metadata={"customer": "acme-4711"}).run("c", "q")
    assert len(seen) == 2
    assert "acme-4711" not in str(seen)


def test_a_stream_has_the_result_when_it_is_over() -> None:
    async def read_on() -> tuple[list[str], Result[int]]:
        stream = RLM(answering("FINAL(12)"), output=int).stream("c", "q", metadata={"a": "b"})
        with pytest.raises(ValueError, match="read its events to the end first"):
            _ = stream.result
        async with stream as events:
            kinds = [event.kind async for event in events]
        return kinds, stream.result

    kinds, result = asyncio.run(read_on())
    assert kinds[-1] == "answer"
    assert (result.value, result.metadata) == (12, {"a": "b"})


def test_a_session_streams_too() -> None:
    async def ask() -> str:
        with RLM(answering()).session("c") as session:
            stream = session.stream("q")
            assert [event.kind async for event in stream][-1] == "answer"
            return stream.result.answer

    assert asyncio.run(ask()) == "yes"


HUGE = "x" * 1_000_000
HOSTILE = "\x1b[31mred\r\n\u202egnp"


def things() -> list[object]:
    engine = Engine(models={"root": answering()})
    tenant = engine.tenant("acme", budget=Budget(dollars="0.30"))
    rlm = tenant.rlm(
        answering(block(f"print({HOSTILE!r} * 100_000)\nFINAL('x' * 10**6)")), budget=Budget(calls=5),
        api_key="sk-secret-0123456789", output=str, rates={"root": Rate.per_million("0", "0")}, metadata={"k": HUGE[:500]},
    )  # fmt: skip
    events: list[Event] = []
    result = rlm.run(HUGE, "q", on_event=events.append)
    session, box = rlm.session(HUGE), Sandbox(HUGE)
    box.close()
    broken = Cell(repr=HOSTILE * 1000, stdout=HOSTILE)
    return [engine, tenant, rlm, result, result.turns[0], result.turns[0].cells[0], session, box, broken, *events]


def test_what_is_shown_of_things_is_short_printable_and_has_no_key() -> None:
    for thing in things():
        shown = repr(thing)
        assert len(shown) < 700, type(thing)
        assert shown.isprintable(), type(thing)
        assert "sk-secret" not in shown
        assert "object at 0x" not in shown


def test_it_says_what_one_wants_to_know() -> None:
    result = RLM(answering()).run("c", "q")
    assert "answered 'yes'" in repr(result)
    assert result.run_id in repr(result)
    assert "list[str]" in repr(RLM(answering(), output=list[str]))
    assert "Invoice" in repr(RLM(answering(), output=Invoice))
    assert "JSON Schema" in repr(RLM(answering(), output={"type": "string"}))
    assert repr(Budget(dollars="0.30", calls=3)) == "Budget(dollars='0.30', calls=3, depth=1)"
    assert "'acme', budget=Budget(dollars='0.30', depth=1)" in repr(things()[1])


def test_a_result_is_still_a_dataclass() -> None:
    assert asdict(RLM(answering()).run("c", "q"))["answer"] == "yes"
