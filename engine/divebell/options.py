"""What a run may be told: one record for every option of RLM, with its default and its bounds.

`RLMOptions` is the same list for type checkers, so that RLM, Engine.rlm and Tenant.rlm take the same named arguments
without repeating them (`**options: Unpack[RLMOptions]`). What each option means is in RLM's docstring.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypedDict

from divebell.bounds import MAX_OUTPUT_TOKENS
from divebell.calls.memo import Memo
from divebell.calls.retries import CALL_SECONDS, Retries
from divebell.errors import ConfigurationError
from divebell.events import EventListener
from divebell.limits import Limits
from divebell.metadata import check_metadata
from divebell.models.protocol import Model
from divebell.resources import EngineResources, default_engine
from divebell.run.listeners import guard_listener
from divebell.run.settings import Level
from divebell.run.tenant_account import TenantAccount
from divebell.sandbox.tools import Tools
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.dollars import quote
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.rates import Rate

_MOST = {
    "max_iterations": 10_000, "max_repairs": 100, "window_tokens": 100_000_000, "max_output_tokens": MAX_OUTPUT_TOKENS,
    "sub_max_output_tokens": MAX_OUTPUT_TOKENS, "observation_characters": 10_000_000, "sub_characters": 100_000_000,
    "concurrency": 10_000, "child_concurrency": 1_000,
}  # fmt: skip
"""Options that are whole numbers from 1 on, and the most that each may be."""
MAX_TOOL_SECONDS = 86_400
MAX_CALL_SECONDS = 86_400
MAX_INSTRUCTIONS_CHARACTERS = 50_000


def check_instructions(name: str, given: object) -> None:
    """ConfigurationError where this is not a text that a prompt can have in it."""
    if given is not None and not isinstance(given, str):
        raise ConfigurationError(f"{name} must be a text, or None, not {type(given).__name__}")
    if isinstance(given, str) and len(given) > MAX_INSTRUCTIONS_CHARACTERS:
        raise ConfigurationError(
            f"{name} has {len(given):,} characters, at most {MAX_INSTRUCTIONS_CHARACTERS:,} are allowed: they are sent "
            "with every turn; give what is long as the context"
        )


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
    max_repairs: int
    max_output_tokens: int
    sub_max_output_tokens: int
    observation_characters: int
    sub_characters: int
    window_tokens: int
    preview: bool
    instructions: str | None
    child_instructions: str | None
    small: bool
    temperature: float | None
    tool_seconds: float | None
    call_seconds: float
    retries: Retries | None
    concurrency: int
    child_concurrency: int
    rates: Mapping[str, Rate] | None
    seed: int | None
    base_url: str | None
    api_key: str | None
    engine: EngineResources | None
    tenant: TenantAccount | None
    ledger: Ledger | None
    on_exhausted: Literal["answer", "raise"]
    on_event: EventListener | None
    trace: Literal["full", "redacted", "off"]
    trace_folder: Path | str
    memo: Literal["run", "tenant"] | Memo | None
    metadata: Mapping[str, str] | None


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options as given, checked where a value can be wrong by itself. Raises ConfigurationError."""

    models: Mapping[str, str | Model] | Sequence[str | Model | Level] | None = None
    tools: Tools | Mapping[str, Callable[..., Any]] | None = None
    budget: Budget | None = None
    limits: Limits | None = None
    max_iterations: int = 20
    max_repairs: int = 3
    max_output_tokens: int = 16_384
    sub_max_output_tokens: int = 4_096
    observation_characters: int = 20_000
    sub_characters: int = 400_000
    window_tokens: int = 128_000
    preview: bool = True
    instructions: str | None = None
    child_instructions: str | None = None
    small: bool = False
    temperature: float | None = None
    tool_seconds: float | None = None
    call_seconds: float = CALL_SECONDS
    retries: Retries | None = None
    concurrency: int = 16
    child_concurrency: int = 4
    rates: Mapping[str, Rate] | None = None
    seed: int | None = None
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    engine: EngineResources | None = None
    tenant: TenantAccount | None = None
    ledger: Ledger | None = None
    on_exhausted: Literal["answer", "raise"] = "answer"
    on_event: EventListener | None = None
    trace: Literal["full", "redacted", "off"] = "off"
    trace_folder: Path | str = "traces"
    memo: Literal["run", "tenant"] | Memo | None = None
    metadata: Mapping[str, str] | None = None

    @classmethod
    def of(cls, given: RLMOptions) -> "Options":
        """The options that a caller named. TypeError for a name that is none, with the one that was meant."""
        known = {option.name for option in fields(cls)}
        for name in given:
            if name not in known:
                close = difflib.get_close_matches(name, [*known, "model", "sub_model", "output"], n=1)
                meant = f": did you mean {close[0]!r}?" if close else "; help(divebell.RLM) lists them"
                raise TypeError(f"RLM has no option {name!r}{meant}")
        return cls(**given)

    @classmethod
    def signature(cls) -> inspect.Signature:
        """What RLM takes, with all defaults, for help() and editors that read signatures at run time."""
        either, keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
        parameters = [inspect.Parameter(name, either, default=None) for name in ("model", "sub_model")]
        parameters.append(inspect.Parameter("output", keyword, default=None))
        for option in fields(cls):
            parameters.append(inspect.Parameter(option.name, keyword, default=option.default, annotation=option.type))
        return inspect.Signature(parameters)

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise ConfigurationError(f"{name} must be a whole number from 1 to {most:,}, not {quote(value)}")
        if self.on_exhausted not in ("answer", "raise"):
            raise ConfigurationError(f"on_exhausted must be 'answer' or 'raise', not {self.on_exhausted!r}")
        guard_listener(self.on_event)
        if self.limits is not None and not isinstance(self.limits, Limits):
            raise ConfigurationError(f"limits must be made by divebell.Limits(...), not {self.limits!r:.50}")
        seconds = self.tool_seconds
        if seconds is not None and (type(seconds) not in (int, float) or not 0 < seconds <= MAX_TOOL_SECONDS):
            raise ConfigurationError(
                f"tool_seconds must be a number over 0 and up to {MAX_TOOL_SECONDS:,}, or None, not {quote(seconds)}"
            )
        seconds = self.call_seconds
        if type(seconds) not in (int, float) or not 0 < seconds <= MAX_CALL_SECONDS:
            raise ConfigurationError(
                f"call_seconds must be a number over 0 and up to {MAX_CALL_SECONDS:,}, not {quote(seconds)}"
            )
        if self.retries is not None and not isinstance(self.retries, Retries):
            raise ConfigurationError(f"retries must be made by divebell.Retries(...), not {self.retries!r:.50}")
        for name in ("instructions", "child_instructions"):
            check_instructions(name, getattr(self, name))
        check_metadata(self.metadata)
        self._check_memo()

    def _check_memo(self) -> None:
        if self.memo not in (None, "run", "tenant") and not isinstance(self.memo, Memo):
            raise ConfigurationError(f"memo must be 'run', 'tenant', a Memo or None, not {self.memo!r}")
        if self.memo == "tenant" and self.tenant is None:
            raise ConfigurationError("memo='tenant' needs a tenant: engine.tenant(...).rlm(...)")

    def find_engine(self) -> EngineResources:
        """The engine to run with. ConfigurationError where engine, tenant and ledger do not belong together."""
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


def _check_kind(name: str, given: object, kind: type, example: str) -> None:
    if given is not None and not isinstance(given, kind):
        raise ConfigurationError(f"{name} must be made by {example}, not {str(given)[:50]!r}")
