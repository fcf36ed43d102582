"""The host of a run without the run: a function answers its sub-calls."""

import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from divebell.run.host import RunHost
from divebell.sandbox.tools import Tools
from divebell_bridge.door.requests import ChildQuery, Image, Query


class FunctionCalls:
    """Answers with `query(prompt, model)`, which gets `schema` and `images` where the code gave them. A child repeats
    its question."""

    def __init__(
        self, query: Callable[..., Awaitable[object]], check: Callable[[Any], str | None] | None = None
    ) -> None:
        self._query = query
        self._check = check
        self._numbers = itertools.count(1)

    def number(self, call: Query | ChildQuery) -> int:
        return next(self._numbers)

    async def query(
        self,
        prompt: str,
        model: str | None,
        schema: Mapping[str, Any] | None = None,
        images: tuple[Image, ...] = (),
        *,
        number: int,
    ) -> object:
        options: dict[str, object] = {} if schema is None else {"schema": schema}
        return await self._query(prompt, model, **options, **({"images": images} if images else {}))

    async def child(self, prompt: str, given: object, model: str | None, *, number: int) -> object:
        return f"child {prompt}"

    def left(self) -> dict[str, object]:
        return {"calls": 5}

    def check(self, fields: object) -> str | None:
        return None if self._check is None else self._check(fields)


def run_host(
    query: Callable[..., Awaitable[object]],
    *,
    check: Callable[[Any], str | None] | None = None,
    tools: Tools | None = None,
) -> RunHost:
    """A host whose sub-calls the function answers. On the event loop of its run."""
    calls = FunctionCalls(query, check)
    return RunHost(calls, calls, tools=tools)
