"""The sandbox: one sealed Python with one context, whose state persists from cell to cell.

A cell is a transaction. Whatever it does, `run` returns a Cell and the sandbox can be used again: an exception leaves
the state as the cell left it, and after a crash or a kill the sandbox is put back to its state before the cell. What
the cell did through the door (model calls, money) is not undone.
"""

import copy
import hashlib
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from divebell.cell import Cell, CellError, cell_from_guest
from divebell.context import Context, Source
from divebell.context.paths import warn_if_a_path
from divebell.errors import ConfigurationError, ContextError, NotPlainData, SandboxClosed, SandboxError
from divebell.limits import Limits
from divebell.resources import EngineResources, default_engine
from divebell.runtime.instance import Checkpoint, Instance, InstanceLost
from divebell.sandbox.clock import Clock
from divebell.sandbox.host import CallableHost, SandboxHost
from divebell.sandbox.snapshot import Snapshot, form_of
from divebell.sandbox.tools import Tools
from divebell.sandbox.variables import Variable, check_name, kind_of, read_variables, reason_of, variable_error
from divebell_bridge.door import wire

_Reply = str | Awaitable[str]
AnswerFunction = Callable[[str], _Reply] | Callable[[str, str | None], _Reply]
"""What Sandbox(llm=...) takes: a function of the prompt, or of the prompt and the model's name; plain or async."""

MAX_CODE_CHARACTERS = 4_000_000


class Sandbox:
    """A Python sandbox with `context` in it.

    context: see Context.of; None for a sandbox without one.
    limits: what the sandbox may use; see Limits.
    llm: answers llm_query: a function of the prompt, or of prompt and model name; a plain or an async one. Batches call
        it from several threads (at most 16), or concurrently if it is async.
    tools: functions that code may call, by name; see Tools. Plain or async; plain ones run on threads of their own.
    replace: functions that stand in for the sandbox's own `llm_query` and others, by those names; see Tools.
    seed: makes randomness, hash order and the clock repeat from sandbox to sandbox; by default all are fresh.
    engine: by default the process's own.

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
    ) -> None:
        if host is not None and (tools is not None or replace is not None):
            raise ConfigurationError("give the tools to the host: a sandbox with a host takes none itself")
        self._lock = threading.RLock()
        self._instance: Instance | None = None
        self._closed = False
        self.limits = limits or Limits()
        self._seed = _checked_seed(seed)
        self._engine = engine or default_engine()
        self._image = self._engine.image(reproducible=seed is not None)
        warn_if_a_path(context)
        self._context = None if context is None else Context.of(context)
        self._clock = Clock(seeded=seed is not None)
        self._host: SandboxHost = host or CallableHost(
            llm, tools=Tools.of(tools, replace), tool_seconds=self.limits.tool_seconds
        )
        self._tools = self._host.tool_descriptions()
        self._door = self._host.open_door(self._clock, tool_calls=self.limits.tool_calls)
        self._saved: Checkpoint | None = None
        self._changed = False  # since _saved was taken
        self._cells = 0
        self._bound: dict[str, object] = {}
        if self._context is not None and self._context.shared is None:
            self._bound["context"] = self._context.value
        self._instance = self._start(None)

    def _start(self, state: Checkpoint | None) -> Instance:
        """A living instance with the context and, where there is one, an earlier state."""
        shared = self._context.shared if self._context is not None else None
        instance = Instance(self._image, self._engine.watchdog, self.limits, shared, epochs=self._engine.epochs)
        try:
            if state is not None:
                instance.restore(state)
                return instance
            instance.seed(_random_key(self._seed))
            instance.attach()
            for name, value in self._bound.items():
                answer = instance.request(wire.BIND, name=name, value=value)
                if "ok" not in answer:
                    raise ContextError(f"{name} does not fit into the sandbox: {reason_of(answer)}")
            if self._tools:
                answer = instance.request(wire.TOOLS, tools=self._tools)
                if "ok" not in answer:
                    raise ContextError(f"the tools do not fit into the sandbox: {reason_of(answer)}")
        except InstanceLost as lost:
            instance.close()
            raise ContextError(f"the context does not fit into the sandbox: {lost}") from None
        except MemoryError as error:
            instance.close()
            raise ContextError(f"the context does not fit into the sandbox's memory limit: {error}") from None
        except BaseException:
            instance.close()
            raise
        return instance

    def __repr__(self) -> str:
        about = "no context" if self._context is None else repr(self._context)
        return f"<Sandbox {about}, cells={self._cells}, {'closed' if self._closed else 'open'}>"

    def run(self, code: str) -> Cell:
        """Run Python code. Never raises for anything the code does; the Cell says what came of it.

        Raises SandboxClosed, or KeyboardInterrupt if that came while the host answered the code.
        """
        if not isinstance(code, str):
            raise TypeError(f"code must be a str, not {type(code).__name__}")
        if len(code) > MAX_CODE_CHARACTERS:
            message = f"the code has {len(code):,} characters; a cell may have {MAX_CODE_CHARACTERS:,}"
            return Cell(error=CellError(kind="ValueError", message=message, traceback=f"ValueError: {message}"))
        with self._alone():
            before = self._saved
            self._save()
            self._cells += 1
            started = time.perf_counter()
            try:
                answer = self._ask(
                    wire.RUN,
                    code=code,
                    number=self._cells,
                    output_characters=self.limits.output_characters,
                    limit=self.limits.time_sentence,
                )
                if "ok" not in answer:
                    raise self._broken(before, answer)
            except _Restored as lost:
                return Cell(error=lost.error, seconds=time.perf_counter() - started, restored=True)
            except MemoryError as error:
                failure = CellError(kind="MemoryError", message=str(error), traceback=f"MemoryError: {error}")
                return Cell(error=failure, seconds=time.perf_counter() - started)
            finally:
                self._pass_on_interruption()
            return cell_from_guest(answer["ok"], self.limits, time.perf_counter() - started)

    def __getitem__(self, name: str) -> Any:
        """A variable's value, as plain data. KeyError if there is none, NotPlainData if it is something else."""
        with self._alone():
            self._save()
            answer = self._ask_or_raise(wire.GET, name=check_name(name))
            if "ok" in answer:
                return answer["ok"]
            raise variable_error(name, answer)

    def __setitem__(self, name: str, value: object) -> None:
        """Set a variable to plain data: None, bool, int, float, str, bytes, list, tuple, dict."""
        with self._alone():
            self._save()
            try:
                answer = self._ask_or_raise(wire.SET, name=check_name(name), value=value)
            except wire.WireError as error:
                raise NotPlainData(f"{name} cannot be set: {error}") from None
            if "ok" not in answer:
                raise variable_error(name, answer)
            self._changed = True

    def bind(self, name: str, value: object) -> None:
        """Set a name that is put back if a cell overwrites it, as `context` is: `history`, for one. Plain data."""
        self._bind(wire.BIND, name, {"value": value})
        self._bound[name] = value

    def append(self, name: str, items: list[object]) -> None:
        """Put items at the end of a bound list, without sending again what is there. KeyError if it is not bound."""
        bound = self._bound.get(name)
        if not isinstance(bound, list):
            raise KeyError(f"{name!r} is not bound to a list")
        self._bind(wire.APPEND, name, {"items": items})
        self._bound[name] = [*bound, *items]

    def _bind(self, op: str, name: str, arguments: dict[str, object]) -> None:
        with self._alone():
            self._save()
            try:
                answer = self._ask_or_raise(op, name=check_name(name), **arguments)
            except wire.WireError as error:
                raise NotPlainData(f"{name} cannot be bound: {error}") from None
            self._changed = True
            if "ok" not in answer:
                raise variable_error(name, answer)

    def final_variable(self, name: str) -> str:
        """A variable as text, at full length: what FINAL_VAR(name) gives. KeyError, with the names there are."""
        with self._alone():
            self._save()
            answer = self._ask_or_raise(wire.FINAL_VARIABLE, name=str(name)[:1000])
            if "ok" in answer and type(answer["ok"]) is str:
                return str(answer["ok"])
            raise KeyError(reason_of(answer))

    def variables(self) -> tuple[Variable, ...]:
        """The variables that code has made so far (and `box["x"] = ...`), in order; at most 10,000."""
        with self._alone():
            self._save()
            return read_variables(self._ask_or_raise(wire.VARIABLES).get("ok"))

    def draft(self) -> str | None:
        """What `answer` holds at this moment, as text: an answer that has not been given yet. A list or dict is JSON.
        None if there is nothing in it, or no plain data."""
        with self._alone():
            self._save()
            draft = self._ask_or_raise(wire.DRAFT).get("ok")
            return draft if type(draft) is str and draft else None

    def set_tools(
        self,
        tools: "Tools | Mapping[str, Callable[..., Any]] | None",
        *,
        replace: "Mapping[str, Callable[..., Any]] | None" = None,
    ) -> None:
        """Give code other tools from the next cell on: these and no others. Forks that were made before keep theirs."""
        given = Tools.of(tools, replace)
        with self._alone():
            self._save()
            self._send_tools(given.descriptions)
            self._host.set_tools(given)

    def _send_tools(self, tools: list[dict[str, object]]) -> None:
        answer = self._ask_or_raise(wire.TOOLS, tools=tools)
        if "ok" not in answer:
            raise SandboxError(f"the tools do not fit into the sandbox: {reason_of(answer)}")
        self._tools = tools
        self._changed = True

    def is_set_on_purpose(self, name: str) -> bool:
        """Whether the latest cell that bound the variable did so by an assignment: not as a loop's variable, and not as
        a function, a class or a module. The sandbox's own word, which its code can change."""
        with self._alone():
            self._save()
            return self._ask_or_raise(wire.ON_PURPOSE, name=str(name)[:1000]).get("ok") is True

    def serve(self, host: SandboxHost) -> None:
        """Have another host answer at the door from the next cell on, with its tools."""
        with self._alone():
            if host.tool_descriptions() != self._tools:
                self._save()
                self._send_tools(host.tool_descriptions())
            self._host = host
            self._door = host.open_door(self._clock, tool_calls=self.limits.tool_calls)

    def snapshot(self) -> Snapshot:
        """The state now. It can be given to `restore` any number of times."""
        with self._alone():
            self._save()
            return Snapshot(
                self._saved,
                id(self._image),
                self._cells,
                self.limits,
                self._seed,
                form_of(self._context),
                self._clock.virtual_nanoseconds,
                dict(self._bound),
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
    ) -> "Sandbox":
        """A new sandbox in the snapshot's state. `context` must be what the first one was given, and so must `llm` and
        `tools` be if its code is to find them."""
        box = cls(
            context,
            limits=snapshot.limits,
            llm=llm,
            tools=tools,
            replace=replace,
            seed=snapshot.seed,
            engine=engine,
            host=host,
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
        with self._alone():
            twin = Sandbox.restore(self.snapshot(), self._context, engine=self._engine, host=copy.copy(self._host))
            twin._clock.continue_from(self._clock)
            return twin

    def _take_over(self, snapshot: Snapshot) -> None:
        if snapshot.image_id != id(self._image):
            raise SandboxError("the snapshot was taken in another process, or with another engine")
        if snapshot.context != form_of(self._context):
            raise SandboxError("the snapshot was taken with another context: give the same one again")
        self._clock.virtual_nanoseconds = snapshot.virtual_nanoseconds
        self._bound.update(snapshot.bound)
        if snapshot.state is None:
            return
        before = self._instance
        self._instance = self._start(snapshot.state)
        if before is not None:
            before.close()
        self._saved, self._changed, self._cells = snapshot.state, False, snapshot.cells
        if self._tools:
            self._send_tools(self._tools)
        if self._seed is None:
            self._instance.seed(_random_key(None))
            self._ask_or_raise(wire.RESEED)
            self._changed = True

    def cancel(self) -> None:
        """End the running cell as soon as can be, from any thread. Its instance is lost, and the state restored."""
        instance = self._instance
        if instance is not None:
            instance.cancel()
            self._door.stop()

    def close(self) -> None:
        """Give everything back. A running cell is ended first."""
        self._refuse_from_inside()
        self.cancel()
        with self._lock:
            self._closed = True
            if self._instance is not None:
                self._instance.close()
                self._instance = None

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
    def _alone(self) -> Iterator[None]:
        """Hold the sandbox, alive, for one operation. Others wait; its own llm function is refused, as it would wait
        for ever."""
        self._refuse_from_inside()
        with self._lock:
            self._alive()
            yield

    def _alive(self) -> None:
        if self._closed:
            raise SandboxClosed("the sandbox is closed")
        if self._instance is None:  # an earlier restore failed half-way
            self._instance = self._start(self._saved)

    def _save(self) -> None:
        """Remember the state, if it has changed, so that it can be put back after a crash."""
        if self._changed:
            assert self._instance is not None
            self._saved = self._instance.checkpoint()
            self._changed = False

    def _ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Ask the guest; if that kills it, put the saved state back and raise _Restored."""
        instance = self._instance
        assert instance is not None
        self._door.charge = instance.guard.spend
        self._clock.guard = instance.guard
        token = _inside.set(_inside.get() | {id(self)})
        self._door.begin_cell()
        if op == wire.RUN:
            self._changed = True  # now, because Ctrl-C may come before the answer is here
        try:
            answer = instance.request(op, self._door.answer, **arguments)
        except InstanceLost as lost:
            raise self._restored(lost.kind, f"{lost}; the sandbox is back in its state before this cell") from None
        finally:
            self._door.end_cell()
            _inside.reset(token)
            if instance.interrupted is not None:
                self._door.interrupted, instance.interrupted = instance.interrupted, None
        return answer

    def _restored(self, kind: str, message: str) -> "_Restored":
        """Put the saved state back into a new instance; returns what tells of it."""
        if self._instance is not None:
            self._instance.close()
            self._instance = None
        self._instance = self._start(self._saved)
        self._changed = False
        return _Restored(CellError(kind=kind, message=message, traceback=f"{kind}: {message}"))

    def _broken(self, before: Checkpoint | None, answer: dict[str, Any]) -> "_Restored":
        """The guest could not say what came of the cell: its memory was used up to the last, or this cell, or the one
        before, broke the guest's own machinery. Undo as much as makes it work."""
        kind, reason = "BrokenGuest", f"cells broke the sandbox's own code ({reason_of(answer)[:200]}); undone"
        if kind_of(answer) == "MemoryError":
            kind, reason = (
                "MemoryError",
                "the cell used up the sandbox's memory; it is back in its state before the cell",
            )
        for state in (self._saved, before, None):
            self._saved = state
            restored = self._restored(kind, reason)
            if self._works():
                break
        self._bind_again()
        return restored

    def _bind_again(self) -> None:
        """An older state has older values of the bound names. A guest that cannot take them is as good as broken."""
        assert self._instance is not None
        with suppress(InstanceLost, MemoryError):
            self._instance.request(wire.TOOLS, tools=self._tools)
            for name, value in self._bound.items():
                self._instance.request(wire.BIND, name=name, value=value)
                self._changed = True

    def _works(self) -> bool:
        """Whether the guest runs an empty cell."""
        assert self._instance is not None
        arguments: dict[str, Any] = {"code": "", "number": 0, "output_characters": 1, "limit": ""}
        try:
            outcome = self._instance.request(wire.RUN, **arguments).get("ok")
        except InstanceLost:
            return False
        return isinstance(outcome, dict) and outcome.get("error") is None

    def _ask_or_raise(self, op: str, **arguments: Any) -> dict[str, Any]:
        try:
            return self._ask(op, **arguments)
        except _Restored as lost:
            raise SandboxError(lost.error.message) from None
        except MemoryError as error:
            raise SandboxError(str(error)) from None

    def _pass_on_interruption(self) -> None:
        interruption, self._door.interrupted = self._door.interrupted, None
        if interruption is not None:
            raise interruption


_inside: ContextVar[frozenset[int]] = ContextVar("divebell_inside", default=frozenset())
"""The sandboxes (by id) whose cells wait for the code that runs in this context."""


class _Restored(Exception):
    """The instance died and the saved state is back. `error` tells of it."""

    def __init__(self, error: CellError) -> None:
        super().__init__(error.message)
        self.error = error


def _checked_seed(seed: int | None) -> int | None:
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
        raise ConfigurationError(f"seed must be a whole number or None, not {seed!r}")
    return seed


def _random_key(seed: int | None) -> bytes:
    return os.urandom(32) if seed is None else hashlib.sha256(f"divebell seed {seed}".encode()).digest()
