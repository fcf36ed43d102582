"""A run with all that a journal has to get right, as a program that may be killed at any moment.

    python -m tests.support.journal_runs JOURNAL COUNTER [LEDGER]

begins the run, or resumes it, and prints its answer. COUNTER is the provider's own book: a line `begin KEY` when a
request reaches it, and `end KEY` when it has replied.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from divebell import RLM, Budget, Engine, ModelRequest, Rate
from divebell.testing import ScriptedModel

BATCH = """```repl
import random, time, uuid, asyncio
print(random.random(), time.time(), uuid.uuid4(), {"a", "b", "c", "d"}, id(object()))
found = llm_query_batched([f"part {n}" for n in range(6)])
print(found, budget()["calls"])
```"""
ASYNC = """```repl
order = []
async def one(n):
    reply = await allm_query(f"async {n}")
    order.append((n, reply, round(time.monotonic(), 9)))
    return reply
async def many():
    tasks = [asyncio.create_task(one(n)) for n in range(6)]
    given_up = asyncio.create_task(one(99))
    first = [await each for each in asyncio.as_completed(tasks[:4])]
    given_up.cancel()
    return first, await asyncio.gather(*tasks[4:], return_exceptions=True)
print(asyncio.run(many()), order)
```"""
CHILDREN = """```repl
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    asked = [pool.submit(llm_query, f"pool {n}") for n in range(4)]
    children = rlm_query_batched(["child a", "child b", "child c"])
    print(children, [each.result() for each in asked])
```"""
TOOLS = """```repl
print(plain(3), await_me(4))
try:
    broken(1)
except ToolError as error:
    print(error)
told = repr((found, order, children, random.random(), str(uuid.uuid4())))
print(told)
```"""
CHILD = """```repl
part = llm_query(f"of {context[:5]}" )
print(part, random.random())
```"""
TURNS = (BATCH, ASYNC, CHILDREN, TOOLS, "FINAL_VAR(told)")
RATES = {"root": Rate.per_million("1", "1"), "sub": Rate.per_million("1", "1")}


def turn_of(request: ModelRequest) -> int:
    """Which turn is asked for, from 0."""
    return sum(message["role"] == "assistant" for message in request.messages)


def last_text(request: ModelRequest) -> str:
    return str(request.messages[-1]["content"])


class Provider:
    """Two models with random delays, and a book of what reached them."""

    def __init__(self, book: Path | None, *, seconds: float = 0.01) -> None:
        self._book = None if book is None else os.open(book, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._seconds = seconds
        self._random = random.Random(os.urandom(8))  # another order each time
        self.root = ScriptedModel("root", self._root)
        self.sub = ScriptedModel("sub", self._sub)

    def _note(self, what: str, request: ModelRequest) -> None:
        if self._book is not None:
            os.write(self._book, f"{what} {request.metadata['call']}\n".encode())

    async def _delayed(self, request: ModelRequest, reply: str) -> str:
        self._note("begin", request)
        await asyncio.sleep(self._random.uniform(0, 2 * self._seconds))
        self._note("end", request)
        return reply

    async def _root(self, request: ModelRequest) -> str:
        return await self._delayed(request, TURNS[turn_of(request)])

    async def _sub(self, request: ModelRequest) -> str:
        text = last_text(request)
        if "child " in "".join(str(m["content"]) for m in request.messages[:2]) and len(request.messages) > 1:
            return await self._delayed(request, (CHILD, "FINAL_VAR(part)")[min(turn_of(request), 1)])
        return await self._delayed(request, f"<{text[-40:]}>")


def tools() -> Mapping[str, Any]:
    def plain(n: int) -> dict[str, int]:
        time.sleep(0.002)
        return {"n": n}

    async def await_me(n: int) -> list[int]:
        await asyncio.sleep(0.002)
        return [n] * n

    def broken(n: int) -> None:
        raise ValueError(f"broken {n}")

    return {"plain": plain, "await_me": await_me, "broken": broken}


def rlm_of(provider: Provider, **more: Any) -> RLM:
    return RLM(provider.root, provider.sub, tools=tools(), rates=RATES, **more)


def main(journal: str, book: str, ledger: str | None = None) -> None:
    provider = Provider(Path(book))
    if ledger is None:
        result = rlm_of(provider).run("hay " * 1000, "What is it?", resume=journal)
    else:
        with Engine(ledger=ledger) as engine:
            rlm = rlm_of(provider, engine=engine, budget=Budget(dollars="0.60"))
            result = rlm.run("hay " * 1000, "What is it?", resume=journal)
    print(result.answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
