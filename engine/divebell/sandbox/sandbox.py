"""The sandbox: one sealed Python with one context, whose state persists from cell to cell.

A cell is a transaction. Whatever it does, `run` returns a Cell and the sandbox can be used again: an exception leaves
the state as the cell left it, and after a crash or a kill the sandbox is put back to its state before the cell. What
the cell did through the door (model calls, money) is not undone.
"""

import copy
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Never

from divebell.bounds import MAX_CODE_CHARACTERS
from divebell.cell import Cell, CellError, cell_from_guest
from divebell.context import Context, Source
from divebell.context.paths import warn_if_a_path
from divebell.errors import ConfigurationError, NotPlainDataError, SandboxClosedError, SandboxError
from divebell.limits import Limits
from divebell.options import refuse_unknown
from divebell.resources import EngineResources, default_engine
from divebell.runtime.base import GuestSpec
from divebell.sandbox.clock import Clock
from divebell.sandbox.host import CallableHost, SandboxHost
from divebell.sandbox.recovery import RecoverableGuest, Restored
from divebell.sandbox.snapshot import Snapshot, form_of
from divebell.sandbox.tools import Tools
from divebell.sandbox.variables import Variable, check_name, read_variables, reason_of, variable_error
from divebell_bridge.door import wire

_Reply = str | Awaitable[str]
AnswerFunction = Callable[[str], _Reply] | Callable[[str, str | None], _Reply]
"""What Sandbox(llm=...) takes: a function of the prompt, or of the prompt and the model's name; plain or async."""
_RENAMED = {"services": "host"}


class Sandbox:
    """A Python sandbox with `context` in it.

    context: see Context.of; None for a sandbox without one.
    limits: of memory, time, output and calls; by default the engine's. See Limits.
    llm: answers llm_query: a function of the prompt, or of prompt and model name; a plain or an async one. Batches call
        it from several threads (at most 16), or concurrently if it is async.
    tools: functions that code may call, by name; see Tools. Plain or async; plain ones run on threads of their own.
    replace: functions that stand in for the sandbox's own `llm_query` and others, by those names; see Tools.
    seed: makes randomness, hash order and the clock repeat from sandbox to sandbox; by default all are fresh.
    engine: by default the process's own.
    host: answers at the door in place of `llm` and `tools`; see SandboxHost.

    Thread-safe: cells of one sandbox run one after another, those of different sandboxes at once. A sandbox holds no
    thread between cells. Use it as a context manager, or `close` it.
    """

    def __init__(
        self,
        context: Source | None = None,
        *,
        limits: Limits | None = None,
        llm: AnswerFunction | None = None,
        tools: "Tools | Mapping[str, Callable[..., Any]] | None" = None,
        replace: "Mapping[str, Callable[..., Any]] | None" = None,
        seed: int | None = None,
        engine: EngineResources | None = None,
        host: SandboxHost | None = None,
        **unknown: Never,
    ) -> None:
        refuse_unknown("Sandbox", unknown, _RENAMED)
        if host is not None and (tools is not None or replace is not None):
            raise ConfigurationError("give the tools to the host: a sandbox with a host takes none itself")
        self._lock = threading.RLock()
        self._closed = False
        self._engine = engine or default_engine()
        self.limits = limits or self._engine.limits
        self._seed = _check_seed(seed)
        # Before the context is read: what makes mapping its files safe comes with the guest (runtime/sigbus.py).
        self._engine.runtime.warm(is_reproducible=seed is not None)
        warn_if_a_path(context)
        self._context = None if context is None else Context.of(context)
        self._clock = Clock(seeded=seed is not None)
        self._host: SandboxHost = host or CallableHost(
            llm, tools=Tools.of(tools, replace), tool_seconds=self.limits.tool_seconds
        )
        self._door = self._host.open_door(self._clock, tool_calls=self.limits.tool_calls)
        self._cells = 0
        pages, bound = None, {}
        if self._context is not None:
            pages = self._context.shared
            bound = {"context": self._context.value} if pages is None else {}
        self._guest = RecoverableGuest(
            self._engine.runtime,
            GuestSpec(limits=self.limits, context=pages, is_reproducible=seed is not None),
            seed=seed,
            bound=bound,
            tools=self._host.tool_descriptions(),
        )

    def __repr__(self) -> str:
        context_text = "no context" if self._context is None else repr(self._context)
        return f"<Sandbox {context_text}, cells={self._cells}, {'closed' if self._closed else 'open'}>"

    def run(self, code: str) -> Cell:
        """Run Python code. Never raises for anything the code does: the Cell reports the outcome.

        Raises SandboxClosedError, or KeyboardInterrupt if that came while the host answered the code.
        """
        if not isinstance(code, str):
            raise TypeError(f"code must be a str, not {type(code).__name__}")
        if len(code) > MAX_CODE_CHARACTERS:
            message = f"the code has {len(code):,} characters; a cell may have {MAX_CODE_CHARACTERS:,}"
            return Cell(error=CellError(kind="ValueError", message=message, traceback=f"ValueError: {message}"))
        with self._exclusively():
            self._guest.save()
            self._cells += 1
            started = time.perf_counter()
            try:
                answer = self._run_cell(code)
            except Restored as loss:
                return Cell(error=loss.error, seconds=time.perf_counter() - started, restored=True)
            except MemoryError as error:
                failure = CellError(kind="MemoryError", message=str(error), traceback=f"MemoryError: {error}")
                return Cell(error=failure, seconds=time.perf_counter() - started)
            finally:
                self._pass_on_interruption()
            return cell_from_guest(answer["ok"], self.limits, time.perf_counter() - started)

    def _run_cell(self, code: str) -> dict[str, Any]:
        with self._opened_door():
            answer = self._guest.ask(
                wire.RUN,
                self._door.answer,
                code=code,
                number=self._cells,
                output_characters=self.limits.output_characters,
                limit=self.limits.time_sentence,
            )
        if "ok" not in answer:
            raise self._guest.undo(answer)
        return answer

    def __getitem__(self, name: str) -> Any:
        """A variable's value, as plain data. KeyError if there is none, NotPlainDataError if it is something else."""
        with self._exclusively():
            self._guest.save()
            answer = self._ask(wire.GET, name=check_name(name))
            if "ok" in answer:
                return answer["ok"]
            raise variable_error(name, answer)

    def __setitem__(self, name: str, value: object) -> None:
        """Set a variable to plain data: None, bool, int, float, str, bytes, list, tuple, dict."""
        with self._exclusively():
            self._guest.save()
            try:
                answer = self._ask(wire.SET, name=check_name(name), value=value)
            except wire.WireError as error:
                raise NotPlainDataError(f"{name} cannot be set: {error}") from None
            if "ok" not in answer:
                raise variable_error(name, answer)

    def bind(self, name: str, value: object) -> None:
        """Set a name, such as `history`, to plain data that is restored whenever a cell overwrites it, as `context`
        is."""
        self._bind(wire.BIND, name, {"value": value})
        self._guest.bound[name] = value

    def append(self, name: str, items: list[object]) -> None:
        """Append items to a bound list; only they are sent to the guest. KeyError if the name is not bound to a
        list."""
        bound = self._guest.bound.get(name)
        if not isinstance(bound, list):
            raise KeyError(f"{name!r} is not bound to a list")
        self._bind(wire.APPEND, name, {"items": items})
        self._guest.bound[name] = [*bound, *items]

    def _bind(self, op: str, name: str, arguments: dict[str, object]) -> None:
        with self._exclusively():
            self._guest.save()
            try:
                answer = self._ask(op, name=check_name(name), **arguments)
            except wire.WireError as error:
                raise NotPlainDataError(f"{name} cannot be bound: {error}") from None
            if "ok" not in answer:
                raise variable_error(name, answer)

    def final_variable(self, name: str) -> str:
        """A variable as text, at full length, as FINAL_VAR(name) gives it. KeyError, which lists the names that
        exist."""
        with self._exclusively():
            self._guest.save()
            answer = self._ask(wire.FINAL_VARIABLE, name=str(name)[:1000])
            if "ok" in answer and type(answer["ok"]) is str:
                return str(answer["ok"])
            raise KeyError(reason_of(answer))

    def variables(self) -> tuple[Variable, ...]:
        """The variables that code has made so far (and `box["x"] = ...`), in order; at most 10,000."""
        with self._exclusively():
            self._guest.save()
            return read_variables(self._ask(wire.VARIABLES).get("ok"))

    def draft(self) -> str | None:
        """What `answer` holds at this moment, as text: an answer that was not given yet. A list or dict is JSON.
        None if it is empty, or not plain data."""
        with self._exclusively():
            self._guest.save()
            draft = self._ask(wire.DRAFT).get("ok")
            return draft if type(draft) is str and draft else None

    def set_tools(
        self,
        tools: "Tools | Mapping[str, Callable[..., Any]] | None",
        *,
        replace: "Mapping[str, Callable[..., Any]] | None" = None,
    ) -> None:
        """Replace the tools from the next cell on. Earlier forks keep theirs."""
        new_tools = Tools.of(tools, replace)
        with self._exclusively():
            self._guest.save()
            self._send_tools(new_tools.descriptions)
            self._host.set_tools(new_tools)

    def _send_tools(self, tools: list[dict[str, object]]) -> None:
        answer = self._ask(wire.TOOLS, tools=tools)
        if "ok" not in answer:
            raise SandboxError(f"the tools do not fit into the sandbox: {reason_of(answer)}")
        self._guest.tools = tools

    def is_set_on_purpose(self, name: str) -> bool:
        """Whether the latest cell that bound the variable did so by an assignment: not as a loop's variable, and not as
        a function, a class or a module. The guest reports this, and its code can change that."""
        with self._exclusively():
            self._guest.save()
            return self._ask(wire.ON_PURPOSE, name=str(name)[:1000]).get("ok") is True

    def serve(self, host: SandboxHost) -> None:
        """Let another host answer at the door from the next cell on, with its own tools."""
        with self._exclusively():
            if host.tool_descriptions() != self._guest.tools:
                self._guest.save()
                self._send_tools(host.tool_descriptions())
            self._host = host
            self._door = host.open_door(self._clock, tool_calls=self.limits.tool_calls)

    def snapshot(self) -> Snapshot:
        """Save the current state. `restore` can use it any number of times."""
        with self._exclusively():
            return Snapshot(
                self._guest.save(),
                self._guest.image_id,
                self._cells,
                self.limits,
                self._seed,
                form_of(self._context),
                self._clock.virtual_nanoseconds,
                dict(self._guest.bound),
            )

    @classmethod
    def restore(
        cls,
        snapshot: Snapshot,
        context: Source | None = None,
        *,
        llm: AnswerFunction | None = None,
        tools: "Tools | Mapping[str, Callable[..., Any]] | None" = None,
        replace: "Mapping[str, Callable[..., Any]] | None" = None,
        engine: EngineResources | None = None,
        host: SandboxHost | None = None,
        **unknown: Never,
    ) -> "Sandbox":
        """A new sandbox in the snapshot's state. Give it the same `context` as the first one, and the same `llm` and
        `tools` if its code is to find them."""
        box = cls(
            context,
            limits=snapshot.limits,
            llm=llm,
            tools=tools,
            replace=replace,
            seed=snapshot.seed,
            engine=engine,
            host=host,
            **unknown,
        )
        try:
            box._take_over(snapshot)
        except BaseException:
            box.close()
            raise
        return box

    def fork(self) -> "Sandbox":
        """A twin with the same state, context and door, independent from now on. Its randomness is fresh, unless the
        sandbox is seeded."""
        with self._exclusively():
            twin = Sandbox.restore(self.snapshot(), self._context, engine=self._engine, host=copy.copy(self._host))
            twin._clock.continue_from(self._clock)
            return twin

    def _take_over(self, snapshot: Snapshot) -> None:
        if snapshot.image_id != self._guest.image_id:
            raise SandboxError("the snapshot was taken in another process, or with another engine")
        if snapshot.context != form_of(self._context):
            raise SandboxError("the snapshot was taken with another context: give the same one again")
        self._clock.virtual_nanoseconds = snapshot.virtual_nanoseconds
        self._guest.bound.update(snapshot.bound)
        if snapshot.state is None:
            return
        self._guest.go_to(snapshot.state)
        self._cells = snapshot.cells
        if self._guest.tools:
            self._send_tools(self._guest.tools)

    def cancel(self) -> None:
        """End the running cell as soon as possible, from any thread. Its guest is lost, and the state restored."""
        self._guest.cancel()
        self._door.stop()

    def close(self) -> None:
        """End a running cell, and release the guest."""
        self._refuse_from_inside()
        self.cancel()
        with self._lock:
            self._closed = True
            self._guest.close()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _frames: TracebackType | None
    ) -> None:
        self.close()

    def _refuse_from_inside(self) -> None:
        if id(self) in _inside.get():
            raise SandboxError("a sandbox cannot be used by its own llm function while its cell waits; fork it before")

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Lock the sandbox for one operation, with a living guest. Other threads wait; the sandbox's own llm function
        is refused, because it would wait for ever."""
        self._refuse_from_inside()
        with self._lock:
            if self._closed:
                raise SandboxClosedError("the sandbox is closed")
            self._guest.revive()
            yield

    @contextmanager
    def _opened_door(self) -> Iterator[None]:
        """Open the door for the guest. The time that it waits there is charged to its cell."""
        cell_time = self._guest.time
        self._door.charge_seconds = cell_time.spend
        self._clock.cell_time = cell_time
        token = _inside.set(_inside.get() | {id(self)})
        self._door.begin_cell()
        try:
            yield
        finally:
            self._door.end_cell()
            _inside.reset(token)
            interruption = self._guest.take_interruption()
            if interruption is not None:
                self._door.interrupted = interruption

    def _ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Ask the guest for anything but a cell. SandboxError if it could not answer."""
        with self._opened_door():
            return self._guest.ask_or_raise(op, self._door.answer, **arguments)

    def _pass_on_interruption(self) -> None:
        interruption, self._door.interrupted = self._door.interrupted, None
        if interruption is not None:
            raise interruption


_inside: ContextVar[frozenset[int]] = ContextVar("divebell_inside", default=frozenset())
"""The sandboxes (by id) whose cells wait for the code that runs in this context."""


def _check_seed(seed: int | None) -> int | None:
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
        raise ConfigurationError(f"seed must be a whole number or None, not {seed!r}")
    return seed
