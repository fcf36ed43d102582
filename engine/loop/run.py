"""The loop: root model, code, cells, observation, until there is an answer.

One `Run` is one RLM: the query's own, or a child's. Each has its own sandbox and its own meter, a child's with an
allotment of its parent's budget; they share the query's models. The history is append-only, so that a provider's prefix
cache serves every turn after the first.

A run whose turns are ended by a limit makes one last call, out of what was kept back for it, for the best answer so
far.
"""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import anyio
import anyio.to_thread

from divebell.bridge.meter import Meter
from divebell.cell import Cell
from divebell.context import Context
from divebell.engine import Engine
from divebell.errors import BudgetExceeded, ContextError, ModelError, RunError
from divebell.events import Event, EventListener
from divebell.limits import Limits
from divebell.loop import landing, observation
from divebell.loop.allotments import Allotments
from divebell.loop.calls import Call, Calls, patiently
from divebell.loop.prompts import render
from divebell.loop.replies import Final, parse_reply, strip_thinking
from divebell.loop.result import Result, Turn
from divebell.loop.services import RunServices
from divebell.loop.stop import Stop
from divebell.models.protocol import Message, Model, Request
from divebell.sandbox import Sandbox

MAX_QUERY_CHARACTERS = 100_000
ROOT_LEAST_OUTPUT_TOKENS = 1_024
"""How far a call's output limit is lowered where the budget has no room for more; under it the call is refused."""
SUB_LEAST_OUTPUT_TOKENS = 256


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
    seconds: float | None
    on_exhausted: str
    metadata: dict[str, str]
    sub_metadata: dict[str, str]


class Run:
    """One RLM at work. `path` is its place in the tree of runs, `depth` its level: 0 for the query's own."""

    def __init__(
        self,
        settings: Settings,
        calls: Calls,
        meter: Meter,
        *,
        context: Context,
        query: str,
        depth: int,
        started: float,
    ) -> None:
        self._settings = settings
        self._calls = calls
        self._meter = meter
        self._context = context
        self._query = query
        self._path = meter.path
        self._depth = depth
        self._started = started
        self._turn = 0
        self._children = 0
        self._allotments = Allotments(meter, concurrency=settings.child_concurrency)
        self._sub_calls = 0
        self._trace: list[Turn] = []

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
            text, stop = await self._to_the_end(box, services)
        finally:
            services.close()
            box.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(box.close, limiter=_threads())
        result = Result(
            answer=text,
            status="answered" if stop is None else "exhausted",
            stopped_by=stop,
            iterations=len(self._trace),
            seconds=time.monotonic() - began,
            spend=self._meter.summary(),
            trace=tuple(self._trace),
        )
        self._tell("answer", answer=text, status=result.status, stopped_by=stop, spend=result.spend)
        return result

    def _sandbox(self, services: RunServices) -> Sandbox:
        settings = self._settings
        return Sandbox(
            self._context, limits=settings.limits, seed=settings.seed, engine=settings.engine, services=services
        )

    async def _to_the_end(self, box: Sandbox, services: RunServices) -> tuple[str, Stop | None]:
        """The answer, and the limit that ended the turns, if one did."""
        settings = self._settings
        history: list[Message] = [
            {"role": "system", "content": self._system_prompt()},
            {"role": "user", "content": render("question", query=self._query)},
        ]
        opening = len(history)
        if settings.on_exhausted == "answer":
            await patiently(lambda: self._meter.keep_back(settings.root.name, *landing.reserve_tokens(history)))
        refusal: BudgetExceeded | None = None
        try:
            with anyio.fail_after(self._seconds_for_turns()):
                text = await self._turns(box, history)
            if text is not None:
                return text, None
            stop = Stop(limit="iterations", cap=settings.max_iterations, spent=self._turn, path=self._meter.where)
        except BudgetExceeded as error:
            refusal, stop = error, Stop.of(error)
        except TimeoutError:
            refusal = self._time_is_up()
            stop = Stop.of(refusal)
        if settings.on_exhausted == "raise":
            raise refusal or RunError(f"no answer after {settings.max_iterations} turns")
        services.close()
        self._tell("limit", limit=stop.limit, cap=stop.cap, spent=stop.spent, held=stop.held, account=stop.path)
        return await self._land(box, history, opening, refusal), stop

    def _seconds_for_turns(self) -> float | None:
        left, seconds = self._meter.seconds_left, self._settings.seconds
        if left is None or seconds is None:
            return None
        kept = landing.reserved_seconds(seconds, self._depth) if self._settings.on_exhausted == "answer" else 0.0
        return max(left - kept, 0.0)

    def _time_is_up(self) -> BudgetExceeded:
        seconds = self._settings.seconds
        spent = time.monotonic() - self._started
        return BudgetExceeded(
            f"the run has used its budget of {seconds:g} s",
            limit="seconds",
            cap=seconds,
            spent=spent,
            path=self._meter.where,
        )

    async def _turns(self, box: Sandbox, history: list[Message]) -> str | None:
        """The answer that the model gives by itself; None when its turns are over."""
        settings = self._settings
        for self._turn in range(1, settings.max_iterations + 1):
            began = time.monotonic()
            reply = await self._ask_root(history)
            history.append({"role": "assistant", "content": reply})
            parsed = parse_reply(reply)
            cells = await self._run_cells(box, parsed.code_blocks)
            self._trace.append(Turn(reply=reply, cells=tuple(cells), seconds=time.monotonic() - began))
            answer, problem = await self._answer_of(box, cells, parsed.final)
            if answer is not None:
                return answer
            if not cells:
                seen = problem or render("no_code")
            else:
                skipped = len(parsed.code_blocks) - len(cells)
                seen = observation.of_cells(cells, skipped, settings.observation_characters)
                seen = f"{seen}\n\n{problem}" if problem else seen
            turn = render("continue", observation=seen, turn=self._turn + 1, turns=settings.max_iterations)
            history.append({"role": "user", "content": turn if self._turn < settings.max_iterations else seen})
        return None

    async def _land(self, box: Sandbox, history: list[Message], opening: int, refusal: BudgetExceeded | None) -> str:
        """The best answer so far, for what was kept back. Raises the refusal if that is not enough for a call."""
        self._turn += 1
        for messages in landing.last_messages(history, opening, render("exhausted")):
            try:
                reply = await self._ask_root(messages, is_last=True)
            except BudgetExceeded as error:
                refusal = refusal or error
                continue
            except ModelError as error:
                if refusal is None:
                    raise
                raise refusal from error
            return await self._best_answer(box, reply)
        assert refusal is not None
        raise refusal

    async def _ask_root(self, history: list[Message], *, is_last: bool = False) -> str:
        settings = self._settings
        request = Request(
            messages=tuple(history), max_output_tokens=settings.root_output_tokens, metadata=settings.metadata
        )
        call = await self._calls(
            self._meter,
            settings.root,
            request,
            least_output_tokens=landing.LEAST_OUTPUT_TOKENS if is_last else ROOT_LEAST_OUTPUT_TOKENS,
            name=f"turn {self._turn}, {len(history)} messages" if is_last else f"turn {self._turn}",
            is_last=is_last,
        )
        reply = strip_thinking(call.completion.text)
        self._tell("reply", reply=reply, **_facts(call, settings.root.name))
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
        return {**self._meter.left(), "depth": self._settings.max_depth - self._depth}

    async def _sub_query(self, prompt: str, model: str | None) -> str:
        chosen = self._settings.sub if model is None else self._calls.model(model)
        self._sub_calls += 1
        number = self._sub_calls
        try:
            call = await self._calls(
                self._meter,
                chosen,
                Request(
                    messages=({"role": "user", "content": prompt},),
                    max_output_tokens=self._settings.sub_output_tokens,
                    metadata=self._settings.sub_metadata,
                ),
                least_output_tokens=SUB_LEAST_OUTPUT_TOKENS,
                name=f"sub-call {number}",
            )
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
        async with self._allotments.next(f"{self._path}.{number}") as meter:
            child = Run(
                self._child_settings(model),
                self._calls,
                meter,
                context=prepared,
                query=prompt,
                depth=self._depth + 1,
                started=self._started,
            )
            result = await child.answer()
        self._tell(
            "child",
            number=number,
            prompt=prompt,
            answer=result.answer,
            iterations=result.iterations,
            status=result.status,
            spend=result.spend,
        )
        return result.answer

    def _child_settings(self, model: str | None) -> Settings:
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
