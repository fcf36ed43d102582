"""Wrote the files beside it of ledger version 2, journal version 1 and trace version 1 (Divebell 0.1.0, November 2026).

    python -m tests.earlier.make_files FOLDER

writes such files with the code as it is now, each with its figures (figures.py) beside it. The files that are in the
repository are never written again: that is what they are for. Where a format gets a new version, this program writes
files of it beside the old ones, and this first line says so.
"""

import asyncio
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from divebell import RLM, Budget, Completion, DivebellError, Limits, ModelError, ModelRequest, Rate, Usage
from divebell.testing import ScriptedModel, replay
from divebell_bridge.money.amounts import STOPPED, Amounts, Caps
from divebell_bridge.money.escrow import Fixed, HoldState
from divebell_bridge.money.sqlite import books as sqlite_books
from divebell_bridge.money.sqlite import ledger as sqlite_ledger
from divebell_bridge.money.sqlite.ledger import SQLiteLedger
from divebell_bridge.money.sqlite.schema import VERSION
from tests.earlier import figures
from tests.support.ledger_files import die

RATES = {"root": Rate.per_million("1", "2"), "sub": Rate.per_million("0.5", "1")}
CONTEXT = "Ann signed on 3 May.\nBob signed on 4 June.\nLone: \u00e9\u20ac\U0001f600\n" * 3
QUERY = "Who signed?"
LOOK = """import random, time, uuid
print(len(context), random.random(), time.time(), time.monotonic(), uuid.uuid4(), {"a", "b", "c"}, hash("a"))
found = llm_query_batched([f"part {n}" for n in range(3)])
print(found, llm_query("one more", model="sub"), budget())
print([m["role"] for m in history])"""
CONCURRENT = """import asyncio
from concurrent.futures import ThreadPoolExecutor
seen = []
async def one(n):
    seen.append((n, await allm_query(f"async {n}"), time.monotonic()))
async def many():
    await asyncio.gather(*[one(n) for n in range(4)])
asyncio.run(many())
with ThreadPoolExecutor(3) as pool:
    print(list(pool.map(llm_query, ["pool 0", "pool 1", "pool 2"])), seen)"""
CHILDREN = """found = rlm_query_batched(["child a", "child b"], [context[:40], "another text"])
print(found, rlm_query("child c"))"""
CHILD = "part = llm_query(f'of {context[:5]}')\nprint(part, random.random())\nFINAL_VAR(part)"
TOOLS = """print(plain(3), asynchronous(2))
try:
    failing(1)
except ToolError as error:
    print(repr(error))"""
TYPED = ("SUBMIT(name='Ann', count='many')", "SUBMIT(name='Ann', count=3)")
FAILING = """try:
    print(llm_query("fails"))
except ModelError as error:
    print(repr(error))
1 / 0"""
ENDLESS = "print('before')\nwhile True:\n    pass"


@dataclass
class Signed:
    """The answer of the typed run."""

    name: str
    count: int


def block(code: str) -> str:
    return f"I look.\n\n```repl\n{code}\n```"


def tools() -> dict[str, Callable[..., Any]]:
    def plain(n: int) -> dict[str, int]:
        """Says the number back."""
        return {"n": n}

    async def asynchronous(n: int) -> list[int]:
        await asyncio.sleep(0)
        return [n] * n

    def failing(n: int) -> None:
        raise ValueError(f"failed with {n}")

    return {"plain": plain, "asynchronous": asynchronous, "failing": failing}


def models(turns: list[str]) -> tuple[ScriptedModel, ScriptedModel]:
    """A root model that gives these replies, and a sub-model that also plays the children."""

    async def root(request: ModelRequest) -> Completion:
        turn = sum(message["role"] == "assistant" for message in request.messages)
        if turn >= len(turns):
            raise ModelError("the endpoint is down", model="root")
        return Completion(text=turns[turn], usage=Usage(input_tokens=100 + turn, output_tokens=20))

    async def sub(request: ModelRequest) -> Completion:
        text = str(request.messages[-1]["content"])
        if text == "fails":
            raise ModelError("no such prompt", model="sub", never_ran=True)
        if request.messages[0]["role"] == "system":
            return Completion(text=block(CHILD), usage=Usage(input_tokens=50, output_tokens=10))
        return Completion(text=f"<{text[-20:]}>", usage=Usage(input_tokens=10, output_tokens=3, cached_input_tokens=4))

    return ScriptedModel("root", root), ScriptedModel("sub", sub)


def rlm(*turns: str, **options: Any) -> RLM:
    return RLM(*models(list(turns)), rates=RATES, **options)


RUNS: dict[str, Callable[[], RLM]] = {
    "plain": lambda: rlm(
        block(LOOK), block("print(found)"), "FINAL_VAR(found)", budget=Budget(dollars="0.50", tokens=500_000),
        instructions="Answer briefly.", metadata={"customer": "acme"},
    ),
    "concurrent": lambda: rlm(block("import time\n" + CONCURRENT), "FINAL_VAR(seen)"),
    "children": lambda: rlm(block(CHILDREN), "FINAL_VAR(found)", child_instructions="Say one word."),
    "tools": lambda: rlm(block(TOOLS), "FINAL(done)", tools=tools()),
    "typed": lambda: rlm(*[block(code) for code in TYPED], output=Signed),
    "caught": lambda: rlm(block(FAILING), "FINAL(caught)"),
    "endless": lambda: rlm(block(ENDLESS), "FINAL(ended)", limits=Limits(cell_seconds=0.5, grace_seconds=0.3)),
    "exhausted": lambda: rlm(block(LOOK), block(CHILDREN), "FINAL(best)", budget=Budget(calls=6)),
    "failed_later": lambda: rlm(block(LOOK)),
}  # fmt: skip


def make_journals(folder: Path) -> None:
    for name, make in RUNS.items():
        path = folder / f"{name}.journal"
        result = make().run(CONTEXT, QUERY, journal=path)
        check_and_keep(path, figures.result_figures(replay(path)), figures.result_figures(result))
    make_resumed(folder / "resumed.journal")
    make_raised(folder / "raised.journal")


def make_resumed(path: Path) -> None:
    """A run that failed in its second turn, and then went on from what it had."""
    first = rlm(block(LOOK)).run(CONTEXT, QUERY, journal=path)
    assert first.status == "failed"
    result = rlm(block(LOOK), block(CONCURRENT), "FINAL_VAR(seen)").run(CONTEXT, QUERY, resume=path)
    check_and_keep(path, figures.result_figures(replay(path)), figures.result_figures(result))


def make_raised(path: Path) -> None:
    """A run whose budget ended it with an exception."""
    messages = []
    for again in (
        lambda: rlm(block(LOOK), block(LOOK), budget=Budget(calls=6), on_exhausted="raise").run(
            CONTEXT, QUERY, journal=path
        ),
        lambda: replay(path),
    ):
        with pytest.raises(DivebellError) as raised:
            again()
        messages.append(f"{type(raised.value).__name__}: {raised.value}")
    check_and_keep(path, messages[1], messages[0])


def check_and_keep(path: Path, read: Any, written: Any) -> None:
    if isinstance(written, dict) and written["value"] not in (None, written["answer"]):
        written["value"] = read["value"]  # a replay has the plain data, not the application's class
    assert read == written, (path, read, written)
    figures.keep(path, read)


def make_traces(folder: Path) -> None:
    turns = block(LOOK), block(CHILDREN), block(TOOLS), block(FAILING), "FINAL_VAR(found)"
    for level in ("full", "redacted"):
        with tempfile.TemporaryDirectory() as written:
            tracing = rlm(*turns, tools=tools(), trace=level, trace_folder=written, budget=Budget(dollars="0.5"))
            kept = tracing.run(CONTEXT, QUERY).trace_file
            assert kept is not None
            shutil.copy(kept, folder / f"{level}.trace")
        figures.keep(folder / f"{level}.trace", figures.trace_figures(folder / f"{level}.trace"))
    with tempfile.TemporaryDirectory() as written:
        asking = rlm(
            block("kept = len(context)"), "FINAL_VAR(kept)", "FINAL(again)", trace="full", trace_folder=written
        )
        with asking.session(CONTEXT) as session:
            session.ask("How long is it?")
            second = session.ask("And again?").trace_file
        assert second is not None
        shutil.copy(second, folder / "session.trace")
    figures.keep(folder / "session.trace", figures.trace_figures(folder / "session.trace"))


CALL = Fixed(Amounts(5_000_000, 300, 1))
COST = Amounts(3_000_000, 210, 1)


def use(ledger: SQLiteLedger, day: str | None, name: str, *, close: bool) -> None:
    """A run with a child; calls that are settled, refunded, of unknown cost, and, if it stays open, in flight."""
    caps = Caps(100_000_000, 10_000, 50)
    ledger.open(name, kind="run", label="0", parent=day, wanted=caps)
    ledger.open(f"{name}.1", kind="child", label="0.1", parent=name, wanted=Caps(20_000_000, None, 5))
    ledger.hold(name, f"{name} reserve", CALL, model="root", reserve=True)
    for account in (name, f"{name}.1"):
        ends: dict[HoldState, Amounts] = {"settled": COST, "refunded": Amounts(), "uncertain": CALL.amounts(0)}
        for state, cost in ends.items():
            ledger.hold(account, f"{account} {state}", CALL, model="sub")
            ledger.settle(f"{account} {state}", cost, state=state)
    if close:
        ledger.close_account(name)
    else:
        ledger.hold(name, f"{name} in flight", CALL, model="root")


def make_ledger(path: Path) -> None:
    """Tenants with caps and days, closed and open runs, calls of dead processes, posted and not yet posted; what was
    forgotten; and an account that a provider overdrew."""
    with pytest.MonkeyPatch.context() as long_ago:
        for module in (sqlite_books, sqlite_ledger):
            long_ago.setattr(module, "now_text", lambda: "2020-01-01T00:00:00.000+00:00")
        with SQLiteLedger(path) as ledger:
            day = ledger.tenant(
                "acme", total=Caps(10**12, None, 1_000), per_day=Caps(10**11, 10**6, None), today=date(2020, 1, 1)
            )
            use(ledger, day, "forgotten", close=True)
    die(path, "globex")  # its calls are posted as of unknown cost when the next one opens the file
    with SQLiteLedger(path) as ledger:
        day = ledger.tenant("acme", today=date(2026, 11, 25))
        use(ledger, day, "closed", close=True)
        use(ledger, None, "of nobody", close=True)
        ledger.open("overdrawn", kind="run", label="0", parent=day, wanted=Caps(10_000_000, None, None))
        ledger.hold("overdrawn", "overdraws", CALL, model="root")
        ledger.settle("overdraws", Amounts(12_000_000, 900, 1), overrun=True)
        ledger.tenant("stopped", total=STOPPED, today=date(2026, 11, 25))
    leave_open(path)
    plain = sqlite3.connect(path)
    plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    plain.execute("VACUUM")
    plain.close()
    figures.keep(path, figures.ledger_figures(path))
    for beside in path.parent.glob(f"{path.name}-*"):
        beside.unlink()


def leave_open(path: Path) -> None:
    """A process dies with a run of acme and a call in flight, and waits in line."""
    ledger = SQLiteLedger(path)
    day = ledger.tenant("acme", today=date(2026, 11, 25))
    use(ledger, day, "left open", close=False)
    ledger.stand_in_line(day)
    assert ledger._process_lock is not None
    ledger._process_lock.forget()
    ledger._db.close()


def main(folder: str) -> None:
    for name, make in (("journals", make_journals), ("traces", make_traces)):
        (Path(folder) / name).mkdir(parents=True, exist_ok=True)
        make(Path(folder) / name)
    (Path(folder) / "ledgers").mkdir(exist_ok=True)
    make_ledger(Path(folder) / "ledgers" / f"version_{VERSION}.db")


if __name__ == "__main__":
    main(*sys.argv[1:])
