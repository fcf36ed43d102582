"""`Setup`: how all runs of one RLM work. `QueryScope`: what one query's own run and its children share."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from divebell.calls.metered_calls import MeteredCalls
from divebell.events import EventListener
from divebell.journal.base import Journal
from divebell.limits import Limits
from divebell.options import Options
from divebell.resources import EngineResources
from divebell.run.levels import Levels
from divebell.schemas import AnswerSchema


@dataclass(frozen=True, kw_only=True)
class Setup:
    """RLM's arguments, checked and resolved: the same for every query.

    max_depth, seconds: those of the budget.
    """

    options: Options
    levels: Levels
    limits: Limits
    schema: AnswerSchema | None
    max_depth: int
    seconds: float | None
    engine: EngineResources

    @property
    def tool_seconds(self) -> float:
        """How long one call of a tool may take."""
        seconds = self.options.tool_seconds
        return self.limits.tool_seconds if seconds is None else seconds

    def with_seed(self, seed: int) -> "Setup":
        """The same with this seed."""
        return replace(self, options=replace(self.options, seed=seed))


@dataclass(frozen=True, kw_only=True)
class QueryScope:
    """One query: its model calls, its journal, its listener and its labels.

    metadata: the application's own labels: in events, trace, journal and Result, never in a request.
    tenant, cache_key: sent with requests, for the provider's bookkeeping; empty if there is none.
    started: when the query began, by time.monotonic().
    """

    setup: Setup
    calls: MeteredCalls
    journal: Journal
    listener: EventListener | None
    started: float
    metadata: Mapping[str, str] = field(default_factory=dict)
    tenant: str = ""
    cache_key: str = ""

    @property
    def sub_call_metadata(self) -> dict[str, str]:
        """What is sent with each sub-call, for the provider's bookkeeping."""
        return {"tenant": self.tenant} if self.tenant else {}

    @property
    def root_call_metadata(self) -> dict[str, str]:
        """What is sent with each request of a root model."""
        return {**self.sub_call_metadata, "cache_key": self.cache_key} if self.cache_key else {}
