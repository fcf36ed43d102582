"""An application that uses everything: checked by mypy --strict and pyright (`./build.sh check`), and run as a test.

`assert_type` says what both must know. What they must refuse is in wrong_uses.py.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Optional, TypedDict, Union, assert_type

import pydantic

import divebell
from divebell import events
from divebell.testing import ScriptedModel, replay
from divebell.trace import read_trace

log = logging.getLogger("application")


class Invoice(pydantic.BaseModel):
    number: str
    cents: int


@dataclass
class Place:
    city: str
    zip: int


class Row(TypedDict):
    name: str


class EchoModel:
    """A model of the application's own: any class with a name and `complete`."""

    def __init__(self, name: str, *replies: str) -> None:
        self.name = name
        self._replies = deque(replies)

    async def complete(self, request: divebell.ModelRequest) -> divebell.Completion:
        if not self._replies:
            raise divebell.ModelError("nothing more to say", model=self.name, never_ran=True)
        self._replies.rotate(-1)
        usage = divebell.Usage(input_tokens=len(request.messages), output_tokens=5)
        return divebell.Completion(text=self._replies[-1], usage=usage)


def block(code: str) -> str:
    return f"```repl\n{code}\n```"


def count_words(text: str) -> int:
    """How many words a text has."""
    return len(text.split())


async def look_up(name: str, limit: int = 3) -> list[str]:
    """Names that are like this one."""
    await asyncio.sleep(0)
    return [name] * limit


class Watcher:
    """A listener."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def __call__(self, event: divebell.Event) -> None:
        self.kinds.append(event.kind)
        match event:
            case events.CallEnded(usage=None):
                log.warning("a sub-call failed: %s", event.error)
            case events.RunEnded():
                assert_type(event.answer, str)
            case _:
                pass
        log.debug("%s %s %s", event.run_id, event.path, event.metadata.get("customer"))


RATES: Mapping[str, divebell.Rate] = {
    "echo": divebell.Rate.per_million("0.25", "2.00"),
    "root": divebell.Rate.per_million("1.25", "10"),
}
SHARED: divebell.RLMOptions = {"rates": RATES, "max_iterations": 5, "budget": divebell.Budget(dollars="0.30", depth=2)}
TOOLS = divebell.Tools({"count_words": count_words, "look_up": look_up})


def typed_answers(context: divebell.Source) -> None:
    """The type of the value follows from `output`."""
    text = divebell.RLM(EchoModel("echo", "FINAL(yes)"), **SHARED)
    assert_type(text, divebell.RLM[str])
    assert_type(text.completion(context, "q"), str)
    assert_type(text.run(context, "q").value, str)

    invoice = divebell.RLM(EchoModel("echo", block("SUBMIT(number='7', cents=250)")), output=Invoice).run(context, "q")
    assert_type(invoice, divebell.Result[Invoice])
    assert invoice.raise_if_failed().value.cents == 250

    place = divebell.RLM(EchoModel("echo", block("SUBMIT(city='Bern', zip=3000)")), output=Place).run(context, "q")
    assert place.value.city == "Bern"
    rows = divebell.RLM(EchoModel("echo", 'FINAL([{"name": "a"}])'), output=list[Row]).run(context, "q")
    assert_type(rows.value, list[Row])
    assert rows.value[0]["name"] == "a"
    assert_type(
        divebell.RLM(EchoModel("echo", "FINAL([1])"), output=tuple[int, ...]).run(context, "q").value, tuple[int, ...]
    )

    # What checkers cannot read from a value is said beside it.
    maybe: divebell.RLM[int | None] = divebell.RLM(EchoModel("echo", "FINAL(3)"), output=int | None)
    assert_type(maybe.run(context, "q").value, int | None)
    older: divebell.RLM[Invoice | None] = divebell.RLM(EchoModel("echo"), output=Optional[Invoice])  # noqa: UP045
    either: divebell.RLM[int | Place] = divebell.RLM(EchoModel("echo", "FINAL(3)"), output=Union[int, Place])  # noqa: UP007
    color: divebell.RLM[Literal["red", "blue"]] = divebell.RLM(
        EchoModel("echo", "FINAL(red)"), output=Literal["red", "blue"]
    )
    assert color.run(context, "q").value == "red"
    schema: dict[str, object] = {"type": "object", "properties": {"n": {"type": "integer"}}}
    free = divebell.RLM(EchoModel("echo", block("SUBMIT(n=3)")), output=schema).run(context, "q")
    assert free.value["n"] == 3
    show(older, either)


def show(*rlms: divebell.RLM) -> None:
    """`RLM` by itself is one of any answer."""
    log.info("%r", rlms)


def report(result: divebell.Result) -> dict[str, Any]:
    assert_type(result.value, object)
    stop: divebell.Stop | None = result.stopped_by
    cells: list[divebell.Cell] = [cell for turn in result.turns for cell in turn.cells]
    log.info("%s %s %s", result.run_id, stop.limit if stop else "", [cell.error.kind for cell in cells if cell.error])
    return result.to_dict(turns=True)


def contexts(folder: Path) -> None:
    """Lists and dicts of texts are contexts, whatever their exact types."""
    (folder / "a.txt").write_text("a text")
    texts: list[str] = ["a", "b"]
    by_name: dict[str, str] = {"a": "x"}
    records: list[Row] = [{"name": "a"}]
    frozen: Sequence[str] = ("a", "b")
    mapping: Mapping[str, list[int]] = {"a": [1]}
    prepared = divebell.Context.of(folder / "a.txt")
    sources: list[divebell.Source] = [
        texts,
        by_name,
        records,
        frozen,
        mapping,
        prepared,
        b"bytes",
        "text",
        folder,
        deque("ab"),
    ]
    rlm = divebell.RLM(EchoModel("echo", "FINAL(yes)"))
    for source in (*sources, texts, by_name):
        assert rlm.run(source, "q").answer == "yes"
    assert rlm.run(texts, "q").answer == rlm.run(by_name, "q").answer == rlm.run(mapping, "q").answer


def tenants_and_money(ledger: Path) -> None:
    with divebell.Engine(models={"echo": EchoModel("echo", "FINAL(yes)")}, ledger=ledger, rates=RATES) as engine:
        acme = engine.tenant("acme", budget=divebell.Budget(dollars="0.05"), per_day=divebell.Budget(dollars="1.00"))
        rlm = acme.rlm(
            "echo",
            output=str,
            memo="tenant",
            max_concurrent_calls=4,
            on_exhausted="raise",
            metadata={"customer": "acme"},
        )
        assert_type(rlm, divebell.RLM[str])
        assert_type(engine.rlm(output=list[int], temperature=0.0), divebell.RLM[list[int]])
        assert_type(acme.rlm(), divebell.RLM[str])
        assert rlm.run("c", "q", metadata={"request": "7"}).metadata == {"customer": "acme", "request": "7"}
        assert rlm.cost_summary()["calls"] == 1
        rlm.reset()
        poor = acme.rlm("echo", budget=divebell.Budget(calls=0))
        try:
            poor.run("c", "q")
        except divebell.BudgetExceeded as refusal:
            log.info("%s of %s, held %s", refusal.spent, refusal.cap, refusal.held)
        except (divebell.ModelError, divebell.RunError, divebell.ContextError, divebell.LedgerError) as error:
            raise AssertionError from error


async def asynchronously() -> None:
    level = divebell.Level(model=EchoModel("echo", "FINAL(leaf)"), tools={}, max_output_tokens=1_000, temperature=0.5)
    rlm = divebell.RLM(
        models=[ScriptedModel("root", [block("print(count_words('a b'))\nFINAL(rlm_query('?', 'x'))")] * 3), level],
        tools=TOOLS,
    )
    watcher = Watcher()
    result = await rlm.arun(["a"], "q", on_event=watcher)
    assert (result.answer, watcher.kinds[-1]) == ("leaf", "answer")
    async with rlm.stream({"a": "b"}, "q", metadata={"via": "stream"}) as stream:
        async for event in stream:
            assert_type(event, divebell.Event)
    assert_type(stream.result, divebell.Result[str])
    async with divebell.Engine(models={"echo": EchoModel("echo", "FINAL(yes)")}) as engine:
        careful = engine.rlm(retries=divebell.Retries(attempts=2), call_seconds=30, instructions="Answer in French.")
        assert (await careful.arun("c", "q")).raise_if_failed().answer == "yes"
    many = await asyncio.gather(
        *(divebell.RLM(EchoModel("echo", "FINAL(4)"), output=int).arun("c", "q") for _ in range(3))
    )
    assert sum(one.value for one in many) == 12


def conversation() -> None:
    rlm = divebell.RLM(EchoModel("echo", "FINAL([1, 2])"), output=list[int])
    with rlm.session(("a", "b"), metadata={"talk": "1"}) as session:
        assert_type(session, divebell.Session[list[int]])
        assert sum(session.ask("How many?", on_event=Watcher()).value) == 3
        messages: list[divebell.Message] = session.history
        assert messages[0]["role"] in ("system", "user")


def repeat(folder: Path) -> None:
    rlm = divebell.RLM(EchoModel("echo", block("FINAL(1)")), seed=7, trace="full", trace_folder=folder / "traces")
    result = rlm.run("c", "q", journal=folder / "run.journal")
    assert replay(folder / "run.journal").run_id == result.run_id
    assert rlm.run("c", "q", resume=str(folder / "run.journal")).answer == result.answer
    assert result.trace_file is not None
    assert read_trace(result.trace_file).settings["run_id"] == result.run_id
    assert json.loads(json.dumps(report(result)))["answer"] == "1"


def sandbox() -> None:
    limits = divebell.Limits(memory_bytes=64 << 20, cell_seconds=30, tool_seconds=5.0)
    with divebell.Sandbox(["one", "two"], limits=limits, llm=lambda prompt: prompt.upper(), tools=TOOLS, seed=1) as box:
        cell: divebell.Cell = box.run("n = len(context); n")
        assert (cell.value, cell.ok, cell.error) == (2, True, None)
        box["more"] = {"a": [1, 2.5, None]}
        snapshot: divebell.Snapshot = box.snapshot()
        with box.fork() as twin, divebell.Sandbox.restore(snapshot, ["one", "two"], tools=TOOLS) as old:
            assert twin["n"] == old["n"] == 2
    try:
        box.run("1")
    except divebell.SandboxClosedError:
        pass
    except divebell.DivebellError as error:
        raise AssertionError from error


def main(folder: Path) -> None:
    typed_answers(["a text", "another"])
    contexts(folder)
    tenants_and_money(folder / "ledger.db")
    asyncio.run(asynchronously())
    conversation()
    repeat(folder)
    sandbox()
