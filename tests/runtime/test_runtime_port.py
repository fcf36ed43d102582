"""The port between a sandbox and what runs its guest is enough: a sandbox works on another runtime than ours.

The runtime here has no interpreter. Its guests answer requests from a script, as one in a worker process would from its
socket: bytes in, bytes out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from divebell import Engine, Limits, Sandbox, SandboxError
from divebell.errors import GuestError
from divebell.runtime.base import RANDOM_KEY_BYTES, Checkpoint, DoorFunction, Guest, GuestSpec, Runtime
from divebell.runtime.in_process import InProcessRuntime
from divebell_bridge.door import wire

Script = Callable[["ScriptedGuest", str, DoorFunction], dict[str, Any]]


@dataclass
class Account:
    """A CellTime that counts."""

    left_seconds: float = 10.0
    interrupts: int = 0

    def spend(self, seconds: float) -> None:
        self.left_seconds -= seconds

    def interrupt(self) -> None:
        self.interrupts += 1


@dataclass(frozen=True)
class Variables:
    """A checkpoint."""

    items: tuple[tuple[str, object], ...]

    @property
    def bytes(self) -> int:
        return len(self.items)


class ScriptedGuest:
    """Keeps variables, and does with a cell what the script says."""

    image_id = "scripted"

    def __init__(self, script: Script, variables: dict[str, object]) -> None:
        self.script = script
        self.variables = variables
        self.time = Account()
        self.interruption: BaseException | None = None
        self.cancelled = self.closed = False

    def call(self, request: bytes, door: DoorFunction | None = None) -> bytes:
        arguments: Any = wire.decode_bounded(request)
        match arguments["op"]:
            case wire.RUN:
                answer: object = self.script(self, arguments["code"], door or (lambda _: b""))
            case wire.SET | wire.BIND:
                self.variables[arguments["name"]] = arguments["value"]
                answer = None
            case wire.GET:
                answer = self.variables[arguments["name"]]
            case _:
                answer = None
        return wire.success(answer)

    def take_interruption(self) -> BaseException | None:
        interruption, self.interruption = self.interruption, None
        return interruption

    def checkpoint(self) -> Variables:
        return Variables(tuple(self.variables.items()))

    def cancel(self) -> None:
        self.cancelled = True

    def close(self) -> None:
        self.closed = True


@dataclass
class ScriptedRuntime:
    script: Script
    guests: list[ScriptedGuest] = field(default_factory=list)
    specs: list[GuestSpec] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)

    def warm(self, *, is_reproducible: bool = False) -> None:
        pass

    def spawn(self, spec: GuestSpec, *, state: Checkpoint | None = None, random_key: bytes | None = None) -> Guest:
        assert state is None or isinstance(state, Variables)
        guest = ScriptedGuest(self.script, dict(state.items) if state is not None else {})
        self.guests.append(guest)
        self.specs.append(spec)
        self.keys.append(random_key)
        return guest


def play(guest: ScriptedGuest, code: str, door: DoorFunction) -> dict[str, Any]:
    """The script of most tests: the code is one word and its argument."""
    word, _, rest = code.partition(" ")
    if word == "keep":
        guest.variables["kept"] = rest
    elif word == "ask":
        request = wire.encode({"v": wire.VERSION, "op": wire.QUERY, "prompts": [rest], "model": None})
        answer: Any = wire.decode_bounded(door(request))
        return {"stdout": answer["ok"][0]["text"]}
    elif word == "crash":
        guest.variables["kept"] = "of a cell that crashed"
        raise GuestError("the script says so", kind="Crash")
    elif word == "interrupt":
        guest.interruption = KeyboardInterrupt()
    return {"stdout": "", "error": None}


@pytest.fixture
def runtime() -> ScriptedRuntime:
    return ScriptedRuntime(play)


@pytest.fixture
def engine(runtime: ScriptedRuntime) -> Iterator[Engine]:
    with Engine() as engine:
        engine.runtime = runtime
        yield engine


def test_a_sandbox_runs_cells_and_keeps_variables(engine: Engine, runtime: ScriptedRuntime) -> None:
    limits = Limits(memory_bytes=1 << 20)
    with Sandbox(limits=limits, engine=engine) as box:
        assert box.run("keep this").ok
        assert box["kept"] == "this"
        box["other"] = [1, 2]
        assert box["other"] == [1, 2]
    assert runtime.specs[0].limits == limits
    assert runtime.guests[0].closed


def test_a_context_comes_as_pages_and_not_as_a_message(engine: Engine, runtime: ScriptedRuntime) -> None:
    with Sandbox("x" * 100_000, engine=engine):
        [spec] = runtime.specs
        assert spec.context is not None
        assert spec.context.length == 100_000
        assert "context" not in runtime.guests[0].variables


def test_what_the_guest_asks_reaches_the_llm_function(engine: Engine) -> None:
    with Sandbox(llm=lambda prompt: prompt.upper(), engine=engine) as box:
        assert box.run("ask something").stdout == "SOMETHING"


def test_a_lost_guest_is_replaced_by_one_in_the_state_before(engine: Engine, runtime: ScriptedRuntime) -> None:
    with Sandbox(engine=engine) as box:
        box.run("keep before")
        cell = box.run("crash")
        assert cell.restored
        assert cell.error is not None
        assert cell.error.kind == "Crash"
        assert box["kept"] == "before"
        first, second = runtime.guests
        assert first.closed
        assert not second.closed


@pytest.mark.parametrize("seed", [None, 7])
def test_a_fork_starts_in_the_state_with_a_key_of_its_own_unless_it_is_seeded(
    seed: int | None, engine: Engine, runtime: ScriptedRuntime
) -> None:
    with Sandbox(seed=seed, engine=engine) as box:
        box.run("keep both")
        with box.fork() as fork:
            fork.run("keep mine")
            assert (box["kept"], fork["kept"]) == ("both", "mine")
    of_box, _, of_fork = runtime.keys
    assert of_box is not None
    assert len(of_box) == RANDOM_KEY_BYTES
    assert (of_fork is None) == (seed is not None)
    assert of_fork != of_box
    assert {spec.is_reproducible for spec in runtime.specs} == {seed is not None}


def test_an_answer_that_is_not_a_message_breaks_the_guest(engine: Engine, runtime: ScriptedRuntime) -> None:
    with Sandbox(engine=engine) as box:
        box.run("keep before")
        runtime.guests[-1].call = lambda request, door=None: b"\xc1"  # type: ignore[method-assign]
        cell = box.run("anything")
        assert cell.error is not None
        assert (cell.error.kind, cell.restored) == ("BrokenGuest", True)
        assert box["kept"] == "before"


def test_an_interruption_of_the_guest_is_raised_after_it(engine: Engine) -> None:
    with Sandbox(engine=engine) as box:
        with pytest.raises(KeyboardInterrupt):
            box.run("interrupt")
        assert box.run("keep on").ok


def test_a_sleep_at_the_door_is_spent_of_the_cells_time(engine: Engine, runtime: ScriptedRuntime) -> None:
    def sleep(guest: ScriptedGuest, code: str, door: DoorFunction) -> dict[str, Any]:
        door(wire.encode({"v": wire.VERSION, "op": wire.SLEEP, "nanoseconds": int(code)}))
        return {}

    runtime.script = sleep
    with Sandbox(seed=1, engine=engine) as box:  # whose clock jumps
        box.run(str(4 * 10**9))
        account = runtime.guests[0].time
        assert account.left_seconds == pytest.approx(6, abs=1)
        box.run(str(60 * 10**9))
        assert account.interrupts == 1


def test_cancel_and_close_reach_the_guest(engine: Engine, runtime: ScriptedRuntime) -> None:
    box = Sandbox(engine=engine)
    box.cancel()
    assert runtime.guests[0].cancelled
    box.close()
    assert runtime.guests[0].closed


def test_a_snapshot_of_another_runtime_is_refused(engine: Engine) -> None:
    with Sandbox(engine=engine) as box, Engine() as other:
        box.run("keep this")
        with pytest.raises(SandboxError, match="with another engine"):
            Sandbox.restore(box.snapshot(), engine=other)


class CountingRuntime:
    """Ours, counted: what a sandbox asks of it and how often."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.spawned_with_state: list[bool] = []

    def warm(self, *, is_reproducible: bool = False) -> None:
        self.runtime.warm(is_reproducible=is_reproducible)

    def spawn(self, spec: GuestSpec, *, state: Checkpoint | None = None, random_key: bytes | None = None) -> Guest:
        self.spawned_with_state.append(state is not None)
        return self.runtime.spawn(spec, state=state, random_key=random_key)


def test_one_guest_serves_all_cells_until_it_is_lost() -> None:
    with Engine() as engine:
        counting = CountingRuntime(InProcessRuntime())
        engine.runtime = counting
        with Sandbox(engine=engine) as box:
            for number in range(5):
                assert box.run(f"x = {number}\nx").value == number
            assert counting.spawned_with_state == [False]
            assert box.run("import os; os.abort()").restored
            assert box.run("x").value == 4
            assert counting.spawned_with_state == [False, True]
