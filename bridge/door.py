"""The host's side of the door: one request of the guest in, one answer out.

Guaranteed: `Door.answer` never raises, whatever bytes it is given; every field of a request is checked for its type and
its bounds before anything acts on it; an operation that is not in the table below is refused. Not guaranteed: that the
work behind an operation is quick. It runs on the guest's thread, and the services bound their own waiting.

A new operation is a name in wire.py, an entry in `_OPERATIONS`, and a method of `Services`.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

from divebell.bridge import wire

MAX_BATCH = 10_000  # prompts in one batch
MAX_MODEL_NAME = 200

Outcome = dict[str, str]
"""What came of one call: {"text": reply} or {"kind": error, "message": why}."""


class Refused(Exception):
    """The host refuses an operation. `kind` names the exception that the guest raises."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Services(Protocol):
    """What stands behind the door. Methods may raise Refused; anything else that they raise is a fault of the host,
    which the guest is told of without its details."""

    def query(self, prompts: list[str], model: str | None) -> list[Outcome]: ...

    def child(self, prompts: list[str], contexts: list[object], model: str | None) -> list[Outcome]: ...

    def budget(self) -> dict[str, object]: ...

    def clock(self) -> tuple[int, int]:
        """Real and monotonic time in nanoseconds, each at least 2**32, so that msgpack writes nine bytes for it."""
        ...

    def sleep(self, nanoseconds: int) -> None: ...


def _prompts(request: dict[str, Any]) -> list[str]:
    prompts = request.get("prompts")
    if not isinstance(prompts, list) or not all(type(prompt) is str for prompt in prompts):
        raise Refused(wire.BAD_REQUEST, "prompts must be a list of str")
    if len(prompts) > MAX_BATCH:
        raise Refused(wire.BAD_REQUEST, f"{len(prompts):,} prompts in one batch; at most {MAX_BATCH:,} are allowed")
    return prompts


def _model(request: dict[str, Any]) -> str | None:
    model = request.get("model")
    if model is not None and (type(model) is not str or len(model) > MAX_MODEL_NAME):
        raise Refused(wire.BAD_REQUEST, "model must be a name or None")
    return model


def _query(services: Services, request: dict[str, Any]) -> object:
    return services.query(_prompts(request), _model(request))


def _child(services: Services, request: dict[str, Any]) -> object:
    prompts, contexts = _prompts(request), request.get("contexts")
    if not isinstance(contexts, list) or len(contexts) != len(prompts):
        raise Refused(wire.BAD_REQUEST, "contexts must be a list with one entry for each prompt")
    for context in contexts:
        if not isinstance(context, (type(None), str, bytes, list, dict)):
            raise Refused(wire.BAD_REQUEST, f"a context is a str, bytes, list or dict, not {type(context).__name__}")
    return services.child(prompts, contexts, _model(request))


def _budget(services: Services, _request: dict[str, Any]) -> object:
    return services.budget()


def _clock(services: Services, _request: dict[str, Any]) -> object:
    return services.clock()


def _sleep(services: Services, request: dict[str, Any]) -> object:
    nanoseconds = request.get("nanoseconds")
    if type(nanoseconds) is not int or nanoseconds < 0:
        raise Refused(wire.BAD_REQUEST, "nanoseconds must be a whole number, 0 or more")
    services.sleep(nanoseconds)
    return None


_OPERATIONS: dict[str, Callable[[Services, dict[str, Any]], object]] = {
    wire.QUERY: _query,
    wire.CHILD: _child,
    wire.BUDGET: _budget,
    wire.CLOCK: _clock,
    wire.SLEEP: _sleep,
}


class Door:
    """Answers the guest's requests with the given services."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.charge: Callable[[float], None] | None = None
        """Told the seconds that reading requests and writing answers took: the guest pays for them with its time."""
        self.interrupted: BaseException | None = None
        """A KeyboardInterrupt or cancellation that came while a request was answered; the sandbox raises it on."""

    def answer(self, packed: bytes) -> bytes:
        began = time.perf_counter()
        try:
            try:
                request = wire.decode_bounded(packed)
            finally:
                self._charge(began)
            if not isinstance(request, dict) or request.get("v") != wire.VERSION:
                return wire.failure(wire.BAD_REQUEST, f"a request is a map with v = {wire.VERSION}")
            name = request.get("op")
            operation = _OPERATIONS.get(name) if type(name) is str else None
            if operation is None:
                return wire.failure(wire.BAD_REQUEST, f"there is no operation {str(name)[:40]!r}")
            result = operation(self._services, request)
            began = time.perf_counter()
            try:
                return wire.success(result)
            finally:
                self._charge(began)
        except Refused as refused:
            return wire.failure(refused.kind, str(refused))
        except wire.WireError as error:
            return wire.failure(wire.BAD_REQUEST, str(error))
        except Exception as error:
            return wire.failure(wire.MODEL_ERROR, f"the host failed to answer ({type(error).__name__})")
        except BaseException as interruption:
            self.interrupted = interruption
            return wire.failure(wire.UNAVAILABLE, "the run was interrupted")

    def _charge(self, since: float) -> None:
        if self.charge is not None:
            self.charge(time.perf_counter() - since)
