"""How the loop works: one frozen record for a query and all its children."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from divebell.events import EventListener
from divebell.journal.base import Journal
from divebell.limits import Limits
from divebell.models.protocol import Model
from divebell.resources import EngineResources
from divebell.sandbox.tools import Tools
from divebell.schemas import AnswerSchema


@dataclass(frozen=True, kw_only=True)
class Level:
    """One depth of the recursion: who answers there, and how.

    model: the root model of runs at this depth, and what answers llm_query of the depth above. In RLM(models=[...]) a
        name is looked up as RLM's `model` is.
    temperature: sent with every call to it; None for the model's own.
    max_output_tokens: of each of its replies; None for RLM's max_output_tokens and sub_max_output_tokens.
    tools: what code at this depth may call; None for RLM's tools.
    small: whether the model is a weak one, that is helped by a shorter prompt with an example.
    """

    model: "str | Model"
    temperature: float | None = None
    max_output_tokens: int | None = None
    tools: "Tools | Mapping[str, Callable[..., Any]] | None" = None
    small: bool = False


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A Level whose model has been found and whose tools are known."""

    model: Model
    temperature: float | None
    root_output_tokens: int
    sub_output_tokens: int
    tools: "Tools | Mapping[str, Callable[..., Any]]"
    small: bool


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What RLM was told, checked. `levels` is by depth; the last one stands for all that are deeper."""

    levels: tuple[Resolved, ...]
    models: Mapping[str, Model]
    max_iterations: int
    max_depth: int
    max_repairs: int
    observation_characters: int
    sub_characters: int
    window_tokens: int
    child_concurrency: int
    limits: Limits
    tool_seconds: float
    seed: int | None
    engine: EngineResources
    listener: EventListener | None
    seconds: float | None
    on_exhausted: str
    schema: AnswerSchema | None
    journal: Journal
    preview: bool
    instructions: str | None
    child_instructions: str | None
    metadata: dict[str, str]
    """Sent with each request of a root model; sub_metadata with each sub-call. Not the application's: see labels."""
    sub_metadata: dict[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    """What the application said of the run (`metadata=`): in events, trace, journal and Result, never in a request."""
    run_id: str = ""

    def instructions_at(self, depth: int) -> str | None:
        """What the application's people add to the prompt of runs at this depth."""
        return self.child_instructions if depth else self.instructions

    def level(self, depth: int) -> Resolved:
        """How runs at this depth work."""
        return self.levels[min(depth, len(self.levels) - 1)]
