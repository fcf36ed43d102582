"""The engine: what all sandboxes and runs of an application share. The compiled guest, its images, the watchdog; the
ledger, the prices, the models and limits that are the default.

Made lazily by whatever first needs one, or explicitly by an application. It costs nothing while no guest runs: no
thread, no timer.
"""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from divebell.concurrency import FairLimit, check_places
from divebell.errors import ConfigurationError
from divebell.limits import Limits
from divebell.models.openai.client_pool import ClientPool
from divebell.runtime import compiled, native
from divebell.runtime.ctrl_c import without_ctrl_c
from divebell.runtime.image import REPRODUCIBLE_KEY, Image, boot
from divebell.runtime.pages import can_protect
from divebell.runtime.watchdog import Watchdog
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.memory_ledger import MemoryLedger
from divebell_bridge.money.patience import wait_and_do
from divebell_bridge.money.rates import Rate, RateCard

if TYPE_CHECKING:
    from divebell.models.protocol import Model
    from divebell.options import RLMOptions
    from divebell.rlm import RLM
    from divebell.tenant import Tenant

Answer = TypeVar("Answer")


class Engine:
    """Compiled guest, images, watchdog, ledger. Thread-safe; one per process is usual.

    models: by name; `engine.rlm("fast")` looks names up here first, and code may name them in llm_query(model=...).
    ledger: where budgets are kept: a Ledger, or the path of a SQLite file that many processes may share; by default in
        memory. A ledger given as a path is closed with the engine.
    limits: of every sandbox, where it is given none of its own.
    rates: prices that the pinned rate card does not have, or has otherwise.
    concurrency: model calls at once, of all runs together, on whatever threads and event loops; by default as many as
        they like. Tenants are served in turn, and the runs of one tenant in the order in which they asked.
    epochs: compiles the guest with checks that end a runaway cell, where the operating system cannot take its memory
    away (Windows), or where DIVEBELL_EPOCHS=1 asks for it. The guest then runs about a third slower.
    """

    def __init__(
        self,
        *,
        models: "Mapping[str, str | Model] | None" = None,
        ledger: "Ledger | Path | str | None" = None,
        limits: Limits | None = None,
        rates: Mapping[str, Rate] | None = None,
        concurrency: int | None = None,
        epochs: bool | None = None,
    ) -> None:
        self.places = FairLimit(concurrency)
        self.models = dict(models or {})
        self.limits = limits or Limits()
        self.rates = RateCard(rates)
        self._owns_ledger = not isinstance(ledger, Ledger)
        self.ledger = ledger if isinstance(ledger, Ledger) else _opened(ledger)
        wanted = os.environ.get("DIVEBELL_EPOCHS", "") in ("1", "true", "yes") if epochs is None else epochs
        self.epochs = wanted or not can_protect()
        self.clients = ClientPool()
        self._lock = threading.Lock()
        self._module: native.NativeModule | None = None
        self._images: dict[bool, Image] = {}
        self._watchdog: Watchdog | None = None

    def __repr__(self) -> str:
        models = ", ".join(list(self.models)[:10]) or "none of its own"
        return f"<Engine models: {models}; ledger: {type(self.ledger).__name__}>"

    @overload
    def rlm(
        self,
        model: "str | Model | None" = None,
        sub_model: "str | Model | None" = None,
        *,
        output: None = None,
        **options: "Unpack[RLMOptions]",
    ) -> "RLM[str]": ...

    @overload
    def rlm(
        self,
        model: "str | Model | None" = None,
        sub_model: "str | Model | None" = None,
        *,
        output: type[Answer],
        **options: "Unpack[RLMOptions]",
    ) -> "RLM[Answer]": ...

    @overload
    def rlm(
        self,
        model: "str | Model | None" = None,
        sub_model: "str | Model | None" = None,
        *,
        output: object,
        **options: "Unpack[RLMOptions]",
    ) -> "RLM[Any]": ...

    def rlm(
        self,
        model: "str | Model | None" = None,
        sub_model: "str | Model | None" = None,
        *,
        output: object = None,
        **options: "Unpack[RLMOptions]",
    ) -> "RLM[Any]":
        """An RLM of this engine. Takes what RLM takes; names of models are looked up in the engine's first. Without a
        model, the engine's only one (or its first) is the root."""
        from divebell.rlm import RLM

        if options.get("engine") not in (None, self):
            raise ConfigurationError("engine.rlm(...) makes an RLM of that engine: leave out engine=")
        options["engine"] = self
        models = options.get("models")
        if isinstance(models, (list, tuple)):
            options["models"] = [self._model(each) for each in models]
            return RLM(model, sub_model, output=output, **options)
        if models is not None and not isinstance(models, Mapping):
            return RLM(model, sub_model, output=output, **options)  # which says what is wrong
        if model is None:
            if not self.models:
                raise ConfigurationError("name a model: engine.rlm('gpt-5'), or give the engine some with models={...}")
            model = next(iter(self.models.values()))
        options["models"] = {**self.models, **(models or {})}
        return RLM(self._model(model), self._model(sub_model), output=output, **options)

    def _model(self, given: "str | Model | None") -> Any:
        return self.models.get(given, given) if isinstance(given, str) else given

    def tenant(
        self,
        name: str,
        *,
        budget: Budget | None = None,
        per_day: Budget | None = None,
        total: Budget | None = None,
        rates: Mapping[str, Rate] | None = None,
        concurrency: int | None = None,
    ) -> "Tenant":
        """Somebody with caps of its own: `budget` for each run, `per_day`, and `total`. See Tenant.

        concurrency: model calls at once of all its runs in this engine; None keeps the limit that it has, or none.

        The last two are written to the ledger, and a later call with others replaces them; what was spent stays spent.
        Left out, they stay as the ledger has them.
        Raises ConfigurationError for a name or a cap that makes no sense, LedgerError if the ledger cannot be written.
        """
        from divebell.tenant import Tenant

        RateCard(rates)  # refuses what are no rates, now
        tenant = Tenant(name=name, engine=self, per_run=budget, per_day=per_day, total=total, rates=dict(rates or {}))
        if concurrency is not None:
            check_places("concurrency", concurrency)
        wait_and_do(tenant.write_caps)
        if concurrency is not None:
            self.places.limit_group(name, concurrency)
        return tenant

    def close(self) -> None:
        """Close the connections to models that were named, and the ledger, if the engine opened it. Runs that are still
        going then fail."""
        self.clients.close()
        if self._owns_ledger:
            self.ledger.close()
        else:
            self.ledger.backlog.finish_all()

    async def aclose(self) -> None:
        """As `close`, for asyncio: the connections of this event loop are closed when this returns."""
        await self.clients.aclose()
        self.close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    async def __aenter__(self) -> "Engine":
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    def warm(self) -> None:
        """Compile or load the guest and boot the image now, rather than with the first sandbox."""
        self.image(reproducible=False)

    def image(self, *, reproducible: bool) -> Image:
        """The image for unseeded sandboxes (its hash secret is random) or for seeded ones (it is always the same)."""
        with self._lock:
            if reproducible not in self._images:
                if self._module is None:
                    with without_ctrl_c():
                        engine = native.make_engine(epochs=self.epochs)
                    loaded = compiled.load(engine, epochs=self.epochs)
                    with without_ctrl_c():
                        self._module = native.NativeModule(engine, loaded)
                key = REPRODUCIBLE_KEY if reproducible else None
                with without_ctrl_c():  # the boot calls back from the guest, where an exception would be lost
                    self._images[reproducible] = boot(self._module, key)
            return self._images[reproducible]

    @property
    def watchdog(self) -> Watchdog:
        with self._lock:
            if self._watchdog is None:
                assert self._module is not None, "a sandbox asks for its image first"
                self._watchdog = Watchdog(self._module.engine.increment_epoch if self.epochs else None)
            return self._watchdog


def _opened(ledger: "Path | str | None") -> Ledger:
    if ledger is None:
        return MemoryLedger()
    if not isinstance(ledger, (str, os.PathLike)) or not os.fspath(ledger):
        raise ConfigurationError(f"ledger must be a Ledger or the path of its file, not {str(ledger)[:50]!r}")
    from divebell_bridge.money.sqlite.ledger import SQLiteLedger

    return SQLiteLedger(ledger)


_default: Engine | None = None
_default_lock = threading.Lock()


def default_engine() -> Engine:
    """The process's own engine, made when it is first asked for (and again after a fork)."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Engine()
        return _default


def _after_fork() -> None:
    """A forked child shares no threads with its parent; its engine starts anew."""
    global _default, _default_lock
    _default, _default_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
