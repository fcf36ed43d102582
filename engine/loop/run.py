"""The loop: root model, code, cells, observation, until there is an answer.

One `Run` is one RLM: the query's own, or a child's. They share the query's meter and models; each has its own sandbox.
The history is append-only, so that a provider's prefix cache serves every turn after the first.
"""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

import anyio
import anyio.to_thread

from divebell.cell import Cell
from divebell.context import Context
from divebell.engine import Engine
from divebell.errors import ContextError, ModelError
from divebell.events import Event, EventListener
from divebell.limits import Limits
from divebell.loop import observation
from divebell.loop.calls import Call, Calls
from divebell.loop.prompts import render
from divebell.loop.replies import Final, parse_reply, strip_thinking
from divebell.loop.result import Result, Turn
from divebell.loop.services import RunServices
from divebell.models.protocol import Message, Model
from divebell.sandbox import Sandbox

MAX_QUERY_CHARACTERS = 100_000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the loop works; one for a query and all its children."""

    root: Model
    sub: Model
    models: Mapping[str, Model]
    max_iterations: int
    max_depth: int
    root_output_tokens: int
    sub_output_tokens: int
    observation_characters: int
    sub_characters: int
    child_concurrency: int
    limits: Limits
    seed: int | None
    engine: Engine
    listener: EventListener | None


class Run:
    """One RLM at work. `path` is its place in the tree of runs, `depth` its level: 0 for the query's own."""

    def __init__(
        self, settings: Settings, calls: Calls, *, context: Context, query: str, path: str, depth: int, started: float
    ) -> None:
        self._settings = settings
        self._calls = calls
        self._context = context
        self._query = query
        self._path = path
        self._depth = depth
        self._started = started
        self._turn = 0
        self._children = 0
        self._sub_calls = 0

    def _tell(self, kind: str, **data: object) -> None:
        listener = self._settings.listener
        if listener is not None:
            event = Event(
                kind=kind, path=self._path, turn=self._turn, seconds=time.monotonic() - self._started, data=data
            )
            with contextlib.suppress(Exception):
                listener(event)

    async def answer(self) -> Result:
        """Run to the end. Raises BudgetExceeded or ModelError where the root model cannot go on."""
        began = time.monotonic()
        self._tell("run", query=self._query, context=describe(self._context), depth=self._depth)
        settings = self._settings
        services = RunServices(
            self._sub_query,
            self._child,
            self._left,
            seeded=settings.seed is not None,
            child_concurrency=settings.child_concurrency,
        )
        box = await anyio.to_thread.run_sync(self._sandbox, services, limiter=_threads())
        try:
            text, status, trace = await self._turns(box)
        finally:
            services.close()
            box.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(box.close, limiter=_threads())
        result = Result(
            answer=text,
            status=status,
            iterations=len(trace),
            seconds=time.monotonic() - began,
            spend=self._calls.meter.summary(),
            trace=tuple(trace),
        )
        self._tell("answer", answer=text, status=status, spend=result.spend)
        return result

    def _sandbox(self, services: RunServices) -> Sandbox:
        settings = self._settings
        return Sandbox(
            self._context, limits=settings.limits, seed=settings.seed, engine=settings.engine, services=services
        )

    async def _turns(self, box: Sandbox) -> tuple[str, str, list[Turn]]:
        settings = self._settings
        history: list[Message] = [
            {"role": "system", "content": self._system_prompt()},
            {"role": "user", "content": render("question", query=self._query)},
        ]
        trace: list[Turn] = []
        for self._turn in range(1, settings.max_iterations + 1):
            began = time.monotonic()
            reply = await self._ask_root(history)
            history.append({"role": "assistant", "content": reply})
            parsed = parse_reply(reply)
            cells = await self._run_cells(box, parsed.code_blocks)
            trace.append(Turn(reply=reply, cells=tuple(cells), seconds=time.monotonic() - began))
            answer, problem = await self._answer_of(box, cells, parsed.final)
            if answer is not None:
                return answer, "answered", trace
            if not cells:
                seen = problem or render("no_code")
            else:
                skipped = len(parsed.code_blocks) - len(cells)
                seen = observation.of_cells(cells, skipped, settings.observation_characters)
                seen = f"{seen}\n\n{problem}" if problem else seen
            turn = render("continue", observation=seen, turn=self._turn + 1, turns=settings.max_iterations)
            history.append({"role": "user", "content": turn if self._turn < settings.max_iterations else seen})
        history[-1] = {"role": "user", "content": f"{history[-1]['content']}\n\n{render('exhausted')}"}
        return await self._best_answer(box, await self._ask_root(history)), "exhausted", trace

    async def _ask_root(self, history: list[Message]) -> str:
        call = await self._calls(self._settings.root, history, self._settings.root_output_tokens)
        reply = strip_thinking(call.completion.text)
        self._tell("reply", reply=reply, **_facts(call, self._settings.root.name))
        return reply

    async def _run_cells(self, box: Sandbox, blocks: tuple[str, ...]) -> list[Cell]:
        """All blocks in order, up to the first that fails."""
        cells: list[Cell] = []
        for code in blocks:
            self._tell("code", code=code)
            try:
                cell = await anyio.to_thread.run_sync(box.run, code, abandon_on_cancel=True, limiter=_threads())
            except anyio.get_cancelled_exc_class():
                box.cancel()
                raise
            cells.append(cell)
            self._tell("cell", code=code, cell=cell)
            if not cell.ok:
                break
        return cells

    async def _answer_of(self, box: Sandbox, cells: list[Cell], final: Final | None) -> tuple[str | None, str]:
        """The answer that this turn gave, or None and what to say of an attempt that did not count.

        An answer in the reply's text counts only if all of its code ran without an error.
        """
        if any(not cell.ok for cell in cells):
            return None, ""
        given = [cell.final for cell in cells if cell.final is not None]
        if given:
            return given[-1], ""
        if final is None:
            return None, ""
        if final.kind == "text":
            return final.value, ""
        try:
            return await anyio.to_thread.run_sync(box.final_variable, final.value, limiter=_threads()), ""
        except KeyError as error:
            return None, render("no_variable", reason=str(error.args[0]))

    async def _best_answer(self, box: Sandbox, reply: str) -> str:
        """The last reply as an answer: what its FINAL says, or else all of it."""
        final = parse_reply(reply).final
        if final is None:
            return reply.strip()
        answer, _ = await self._answer_of(box, [], final)
        return reply.strip() if answer is None else answer

    def _system_prompt(self) -> str:
        settings = self._settings
        return render(
            "system",
            context_description=describe(self._context),
            child_lines=render("children") + "\n" if self._depth < settings.max_depth else "",
            sub_characters=f"{settings.sub_characters:,}",
            limits_line=f"A block may compute for {settings.limits.cell_seconds:g} seconds.",
            observation_characters=f"{settings.observation_characters:,}",
        )

    def _left(self) -> dict[str, object]:
        return {**self._calls.meter.left(), "depth": self._settings.max_depth - self._depth}

    async def _sub_query(self, prompt: str, model: str | None) -> str:
        chosen = self._settings.sub if model is None else self._calls.model(model)
        self._sub_calls += 1
        number = self._sub_calls
        try:
            call = await self._calls(chosen, [{"role": "user", "content": prompt}], self._settings.sub_output_tokens)
        except Exception as error:
            self._tell("call", number=number, model=chosen.name, prompt=prompt, error=str(error))
            raise
        self._tell("call", number=number, prompt=prompt, reply=call.completion.text, **_facts(call, chosen.name))
        return strip_thinking(call.completion.text)

    async def _child(self, prompt: str, context: object, model: str | None) -> str:
        if self._depth >= self._settings.max_depth:
            return await self._sub_query(prompt if context is None else f"{prompt}\n\n{context}", model)
        if model is not None:
            self._calls.model(model)
        self._children += 1
        number = self._children
        try:
            prepared = self._context if context is None else Context.of(context)  # type: ignore[arg-type]
        except ContextError as error:
            raise ModelError(f"the child cannot have this context: {error}") from None
        child = Run(
            self._child_settings(model),
            self._calls,
            context=prepared,
            query=prompt,
            path=f"{self._path}.{number}",
            depth=self._depth + 1,
            started=self._started,
        )
        result = await child.answer()
        self._tell("child", number=number, prompt=prompt, answer=result.answer, iterations=result.iterations)
        return result.answer

    def _child_settings(self, model: str | None) -> Settings:
        from dataclasses import replace

        root = self._settings.sub if model is None else self._calls.model(model)
        return replace(self._settings, root=root)


def describe(context: Context) -> str:
    """What the root model is told of the context: its type and its size, and nothing that is in it."""
    unit = {"str": "characters", "bytes": "bytes", "list": "items", "dict": "entries"}[context.type_name]
    return f"a {context.type_name} of {context.length:,} {unit}"


def _facts(call: Call, model: str) -> dict[str, object]:
    return {
        "model": model,
        "call_seconds": call.seconds,
        "input_tokens": call.booked.input_tokens,
        "output_tokens": call.booked.output_tokens,
        "picodollars": call.booked.spent_picodollars,
    }


_limiter: anyio.CapacityLimiter | None = None


def _threads() -> anyio.CapacityLimiter:
    """Guests have threads of their own, not anyio's 40: a parent keeps its thread while its children run, so a bound
    here could starve them. What bounds them is child_concurrency and the depth."""
    global _limiter
    if _limiter is None:
        _limiter = anyio.CapacityLimiter(float("inf"))
    return _limiter
