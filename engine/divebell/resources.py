"""What all sandboxes and runs of an application share: the runtime of their guests; the ledger, the prices, the
connections; the default models and limits.

`Engine` is this with the methods that make RLMs and tenants. Sandboxes and runs need only what is here. It is created
when something first needs it, or explicitly by an application, and costs nothing while no guest runs: no thread, no
timer.
"""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never, Self

from divebell.concurrency import FairLimit
from divebell.errors import ConfigurationError
from divebell.limits import Limits
from divebell.models.client_pool import ClientPool
from divebell.models.protocol import Model
from divebell.options import refuse_unknown
from divebell.runtime.base import Runtime
from divebell.runtime.in_process import InProcessRuntime
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.memory_ledger import MemoryLedger
from divebell_bridge.money.rates import Rate, RateCard
from divebell_bridge.money.store import ledger_store

_MOVED = {
    "epochs": "Engine.epochs is now Engine.runtime.epochs",
    "image": "Engine.image() is gone: Engine.warm() boots what a sandbox starts from, Engine.runtime has it",
    "watchdog": "Engine.watchdog is gone: Engine.runtime ends what runs too long",
}
"""What engines had in version 0.1.0."""


class EngineResources:
    """The resources of an Engine, which documents the arguments. Thread-safe."""

    def __init__(
        self,
        *,
        models: Mapping[str, str | Model] | None = None,
        ledger: Ledger | Path | str | None = None,
        limits: Limits | None = None,
        rates: Mapping[str, Rate] | None = None,
        max_concurrent_calls: int | None = None,
        epochs: bool | None = None,
        **unknown: Never,
    ) -> None:
        refuse_unknown("Engine", unknown)
        self.places = FairLimit(max_concurrent_calls)
        self.models = dict(models or {})
        self.limits = limits or Limits()
        self.rates = RateCard(rates)
        self._owns_ledger = not isinstance(ledger, Ledger)
        self.ledger = ledger if isinstance(ledger, Ledger) else _open_ledger(ledger)
        self.runtime: Runtime = InProcessRuntime(epochs=epochs)
        self.clients = ClientPool()

    if not TYPE_CHECKING:  # for type checkers it is an unknown attribute, like any other

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(_MOVED.get(name) or f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        models = ", ".join(list(self.models)[:10]) or "none of its own"
        return f"<Engine models: {models}; ledger: {type(self.ledger).__name__}>"

    def close(self) -> None:
        """Close the connections to models given by name, and the ledger, if the engine opened it. Runs that are still
        in progress fail."""
        self.clients.close()
        if self._owns_ledger:
            self.ledger.close()
        else:
            self.ledger.backlog.finish_all()

    async def aclose(self) -> None:
        """As `close`, for asyncio: the connections of this event loop are closed when this returns."""
        await self.clients.aclose()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    def warm(self) -> None:
        """Compile or load the guest and boot the image now, rather than with the first sandbox."""
        self.runtime.warm()


def _open_ledger(ledger: Path | str | None) -> Ledger:
    if ledger is None:
        return MemoryLedger()
    if not isinstance(ledger, (str, os.PathLike)) or not os.fspath(ledger):
        raise ConfigurationError(f"ledger must be a Ledger or the path of its file, not {str(ledger)[:50]!r}")
    return ledger_store(ledger).open()


_default: EngineResources | None = None
_default_lock = threading.Lock()


def default_engine() -> EngineResources:
    """The process's own engine, made when it is first needed (and again after a fork)."""
    global _default
    with _default_lock:
        if _default is None:
            _default = EngineResources()
        return _default


def _after_fork() -> None:
    """A forked child shares no threads with its parent; its engine starts anew."""
    global _default, _default_lock
    _default, _default_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
