"""`RLMOptions`: all options of RLM, for type checkers. `Wiring`: those options that are objects, such as models, a
budget, a tenant or a listener. The numbers and words are `Options` (options.py).

Engine.rlm and Tenant.rlm take the same named arguments without repeating them (`**options: Unpack[RLMOptions]`). What
each option means is in RLM's docstring.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypedDict

from divebell.calls.memo import Memo
from divebell.calls.retries import Retries
from divebell.calls.tenant_account import TenantAccount
from divebell.errors import ConfigurationError
from divebell.events import EventListener
from divebell.limits import Limits
from divebell.metadata import check_metadata
from divebell.models.protocol import Model
from divebell.options import OnExhausted, Options, Prompt, explain_renamed
from divebell.resources import EngineResources, default_engine
from divebell.run.levels import Level
from divebell.run.listeners import guard_listener
from divebell.sandbox.tools import Tools
from divebell.trace.schema import TraceDetail
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.rates import Rate


class RLMOptions(TypedDict, total=False):
    """The named options of RLM, Engine.rlm and Tenant.rlm, for type checkers; RLM's docstring says what they mean.

    An application that makes many RLMs may keep what they share in one: `shared: RLMOptions = {"max_iterations": 10}`,
    then `RLM("gpt-5", **shared)`.
    """

    models: Mapping[str, str | Model] | Sequence[str | Model | Level] | None
    tools: Tools | Mapping[str, Callable[..., Any]] | None
    budget: Budget | None
    limits: Limits | None
    max_iterations: int
    max_answer_retries: int
    max_output_tokens: int
    sub_max_output_tokens: int
    max_shown_characters: int
    max_sub_call_characters: int
    context_window_tokens: int
    show_preview: bool
    instructions: str | None
    child_instructions: str | None
    prompt: Prompt
    temperature: float | None
    tool_seconds: float | None
    call_seconds: float
    retries: Retries | None
    max_concurrent_calls: int
    max_concurrent_children: int
    rates: Mapping[str, Rate] | None
    seed: int | None
    base_url: str | None
    api_key: str | None
    engine: EngineResources | None
    tenant: TenantAccount | None
    ledger: Ledger | None
    on_exhausted: OnExhausted
    on_event: EventListener | None
    trace: TraceDetail
    trace_folder: Path | str
    memo: Literal["run", "tenant"] | Memo | None
    metadata: Mapping[str, str] | None


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """The options of RLM that are objects. Raises ConfigurationError if one of them makes no sense by itself."""

    models: Mapping[str, str | Model] | Sequence[str | Model | Level] | None = None
    tools: Tools | Mapping[str, Callable[..., Any]] | None = None
    budget: Budget | None = None
    limits: Limits | None = None
    retries: Retries | None = None
    rates: Mapping[str, Rate] | None = None
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    engine: EngineResources | None = None
    tenant: TenantAccount | None = None
    ledger: Ledger | None = None
    on_event: EventListener | None = None
    trace: TraceDetail = "off"
    trace_folder: Path | str = "traces"
    memo: Literal["run", "tenant"] | Memo | None = None
    metadata: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        guard_listener(self.on_event)
        if self.limits is not None and not isinstance(self.limits, Limits):
            raise ConfigurationError(f"limits must be made by divebell.Limits(...), not {self.limits!r:.50}")
        if self.retries is not None and not isinstance(self.retries, Retries):
            raise ConfigurationError(f"retries must be made by divebell.Retries(...), not {self.retries!r:.50}")
        check_metadata(self.metadata)
        if self.memo not in (None, "run", "tenant") and not isinstance(self.memo, Memo):
            raise ConfigurationError(f"memo must be 'run', 'tenant', a Memo or None, not {self.memo!r}")
        if self.memo == "tenant" and self.tenant is None:
            raise ConfigurationError("memo='tenant' needs a tenant: engine.tenant(...).rlm(...)")

    def find_engine(self) -> EngineResources:
        """The engine to run with. ConfigurationError if engine, tenant and ledger do not belong together."""
        engine, tenant, ledger = self.engine, self.tenant, self.ledger
        _check_kind("engine", engine, EngineResources, "divebell.Engine(...)")
        _check_kind("tenant", tenant, TenantAccount, "engine.tenant(NAME)")
        _check_kind("ledger", ledger, Ledger, "SQLiteLedger(PATH), or by Engine(ledger=PATH)")
        chosen = engine or (tenant.engine if tenant is not None else default_engine())
        if tenant is not None and tenant.engine is not chosen:
            raise ConfigurationError("the tenant belongs to another engine: leave out engine, or make it there")
        if tenant is not None and ledger is not None and ledger is not chosen.ledger:
            raise ConfigurationError("a tenant's money is in its engine's ledger: leave out ledger")
        return chosen


_IN_OPTIONS = {option.name: option for option in fields(Options)}
_IN_WIRING = {option.name: option for option in fields(Wiring)}


def read_options(options: RLMOptions) -> tuple[Options, Wiring]:
    """Sort RLM's options into the two records, which check them. TypeError for a name that is not an option, with the
    most similar one."""
    for name in options:
        if name in _IN_OPTIONS or name in _IN_WIRING:
            continue
        renamed = explain_renamed(name)
        if renamed is not None:
            raise TypeError(f"RLM: {renamed}")
        names = [*_IN_OPTIONS, *_IN_WIRING, "model", "sub_model", "output"]
        similar = difflib.get_close_matches(name, names, n=1)
        hint = f": did you mean {similar[0]!r}?" if similar else "; help(divebell.RLM) lists them"
        raise TypeError(f"RLM has no option {name!r}{hint}")
    values: Mapping[str, Any] = {**options}
    return (
        Options(**{name: value for name, value in values.items() if name in _IN_OPTIONS}),
        Wiring(**{name: value for name, value in values.items() if name in _IN_WIRING}),
    )


def make_signature() -> inspect.Signature:
    """The signature of RLM with all options and defaults, for help() and for editors that read it at run time."""
    positional, keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, positional, default=None) for name in ("model", "sub_model")]
    parameters.append(inspect.Parameter("output", keyword, default=None))
    for name in RLMOptions.__annotations__:
        option = _IN_OPTIONS.get(name) or _IN_WIRING[name]
        parameters.append(inspect.Parameter(name, keyword, default=option.default, annotation=option.type))
    return inspect.Signature(parameters)


def _check_kind(name: str, value: object, kind: type, example: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(f"{name} must be made by {example}, not {str(value)[:50]!r}")
