"""What the package logs: what happens at DEBUG, without a word of what was said; what its owner should know at WARNING."""

import asyncio
import contextlib
import logging
from pathlib import Path

import pytest

from divebell import (
    RLM,
    Budget,
    Completion,
    Event,
    Limits,
    ModelError,
    ModelRequest,
    Rate,
    Retries,
    Sandbox,
    ScriptedModel,
    Usage,
)
from divebell.calls import spending
from tests.support.scripts import answering, block

WORK = block("lookup('SECRET')\nprint(llm_query('SECRET prompt'), rlm_query('SECRET child?'))\nx = 'SECRET value'\n1/0")


def working() -> RLM[str]:
    def policy(request: object) -> str:
        return "FINAL(SECRET)" if "child?" in str(request) else WORK

    root, sub = ScriptedModel("root", [WORK, "FINAL(SECRET answer)"]), ScriptedModel("sub\n\x1b[31m", policy)
    return RLM(root, sub, tools={"lookup": lambda name: "SECRET found"})


def test_what_happens_is_logged_at_debug_and_nothing_that_was_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "divebell")
    result = working().run("SECRET context", "SECRET question")
    lines = [record.getMessage() for record in caplog.records if record.name == "divebell.run"]
    assert all(line.startswith(f"run {result.run_id}/") for line in lines)
    assert all(line.isprintable() for line in lines), "nobody may write lines of his own into a log"
    text = "\n".join(lines)
    assert "SECRET" not in text
    for expected in (
        "/0 turn 0: begins, root model 'root'", "/0 turn 1: root call of 'root': ", "sub-call of 'sub",
        "tool 'lookup' ended", "child number ", "cell failed with 'ZeroDivisionError' in ", "/0 turn 2: ends, answered",
    ):  # fmt: skip
        assert expected in text, expected


def test_nothing_is_logged_of_a_run_that_goes_well(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "divebell")
    working().run("c", "q")
    assert [record for record in caplog.records if record.name != "divebell.cache"] == []


def warnings_of(caplog: pytest.LogCaptureFixture, name: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == name and record.levelno == logging.WARNING]


def test_a_listener_that_raises_is_named_once_with_what_it_raised(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError("the queue is full")

    other: list[Event] = []
    rlm = RLM(answering(block("FINAL(1)")), on_event=broken)
    for _ in range(3):
        rlm.run("c", "q", on_event=other.append)
    assert len(other) > 9, "what one raises keeps nothing from the others"
    [warning] = warnings_of(caplog, "divebell.events")
    assert "test_a_listener_that_raises" in warning.getMessage()
    assert warning.exc_info is not None
    assert "the queue is full" in str(warning.exc_info[1])


def test_each_listener_is_named_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __call__(self, event: Event) -> None:
            raise LookupError

    async def asks() -> None:
        rlm = RLM(answering(), on_event=Broken())
        await rlm.arun("c", "q", on_event=Broken())
        assert [event.kind async for event in rlm.stream("c", "q", on_event=Broken())][-1] == "answer"

    asyncio.run(asks())
    assert len(warnings_of(caplog, "divebell.events")) == 3, "the RLM's own, and one for each run"


@pytest.mark.parametrize(
    ("given", "is_named"),
    [
        ("notes.txt", True), ("./notes.txt", True), ("folder/", True), ("WORD", True), ("folder", False), ("other.txt", False),
        ("notes.txt\n", False), ("See notes.txt", False), ("x" * 5000, False), ("a\0b.txt", False), ("", False),
    ],
)  # fmt: skip
def test_a_text_that_is_the_name_of_a_file_stays_a_text_and_is_pointed_out(
    given: str, is_named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "notes.txt").write_text("what is in the file")
    (tmp_path / "WORD").write_text("what is in the file")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with Sandbox(given) as box:
        assert box["context"] == given
    if given:
        assert RLM(answering(block("FINAL(context)"))).run(given, "q").answer == given
    said = [record.getMessage() for record in warnings_of(caplog, "divebell.context")]
    assert len(said) == (2 if is_named else 0)
    assert all("pathlib.Path(...)" in line for line in said)


def test_what_a_guest_calls_a_context_is_looked_up_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "notes.txt").write_text("what is in the file")
    monkeypatch.chdir(tmp_path)
    root = ScriptedModel("root", [block("FINAL(rlm_query('what?', 'notes.txt'))")])
    child = ScriptedModel("child", lambda request: block("FINAL(context)"))
    assert RLM(root, child, limits=Limits(cell_seconds=60)).run("c", "q").answer == "notes.txt"
    assert warnings_of(caplog, "divebell.context") == []


class Failing:
    """Fails so many times with an error that a retry may help, or may not, then answers."""

    name = "root"

    def __init__(self, times: int, *, may_retry: bool = True) -> None:
        self._left = times
        self._may_retry = may_retry

    async def complete(self, request: ModelRequest) -> Completion:
        self._left -= 1
        if self._left >= 0:
            raise ModelError("the endpoint\nsays \x1b[31m500", model="root", may_retry=self._may_retry)
        return Completion(text="FINAL(yes)", usage=Usage(input_tokens=1, output_tokens=1))


@pytest.mark.parametrize(
    ("model", "tries", "level"),
    [
        (Failing(2), 2, None),
        (Failing(99), 3, logging.WARNING),
        (Failing(99, may_retry=False), 0, logging.DEBUG),
    ],
    ids=["mended", "given up", "not worth a retry"],
)
def test_each_try_is_logged_and_a_call_that_retries_did_not_mend_is_a_warning(
    model: Failing, tries: int, level: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "divebell")
    with contextlib.suppress(ModelError):
        RLM(model, retries=Retries(first_seconds=0.001)).run("c", "q")
    said = [record for record in caplog.records if record.name == "divebell.calls"]
    assert [record.levelno for record in said if "the next one in" in record.getMessage()] == [logging.DEBUG] * tries
    assert [record.levelno for record in said if "for good" in record.getMessage()] == ([level] if level else [])
    assert all(record.getMessage().isprintable() for record in said)


def test_a_call_that_waits_for_money_says_once_for_what(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "divebell")
    root = ScriptedModel("root", [block("print(len(llm_query_batched(['a'] * 3)))\nFINAL('done')")])

    async def slow(request: ModelRequest) -> str:
        await asyncio.sleep(0.2)
        return "x"

    sub = ScriptedModel("sub", slow)
    rates = {"root": Rate.per_million("0", "0"), "sub": Rate.per_million("0", "1000")}
    budget = Budget(dollars="0.011")  # holds one call of 10 tokens, not two; each costs a tenth of that
    rlm = RLM(root, sub, rates=rates, budget=budget, sub_max_output_tokens=10, on_exhausted="raise")
    assert rlm.run("c", "q").answer == "done"
    waits = [record.getMessage() for record in caplog.records if "waits for what others hold" in record.getMessage()]
    assert 1 <= len(waits) <= 2, "once a call, however long it waits"


class Local:
    """A model of the application's own, which is on no rate card."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(self, request: ModelRequest) -> Completion:
        return Completion(text="FINAL(yes)", usage=Usage(input_tokens=1, output_tokens=1))


def test_a_price_that_is_not_known_is_said_once_for_each_name(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spending, "_warned", set())
    rlm = RLM(Local("home-grown\n1"), Local("home-grown 2"))
    results = [rlm.run("c", "q") for _ in range(3)]
    RLM(Local("home-grown 3"), rates={"home-grown 3": Rate.per_million("0", "0")}).run("c", "q")
    RLM(answering()).run("c", "q")
    said = [record.getMessage() for record in warnings_of(caplog, "divebell.prices")]
    assert ["home-grown\\n1" in said[0], "home-grown 2" in said[1], len(said)] == [True, True, 2]
    assert all("rates=" in line for line in said)
    assert "price unknown" in repr(results[0])
