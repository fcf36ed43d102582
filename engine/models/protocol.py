"""What a language model is to Divebell: one async method, and a name that the rate card knows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypedDict, runtime_checkable


class Message(TypedDict):
    """One chat message. `role` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a call used, in tokens, as the provider reported it. `output_tokens` includes reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    """The part of `input_tokens` that the provider read from its prefix cache."""
    cache_write_tokens: int = 0
    """The part of `input_tokens` that the provider wrote to its prefix cache, where it reports that: some charge more
    for it."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One reply. `usage` is None where the provider did not say; the meter then charges the worst case."""

    text: str
    usage: Usage | None = None
    finish_reason: str = "stop"
    """"stop", or "length" where the output limit cut the reply off."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call of a model."""

    messages: Sequence[Message]
    max_output_tokens: int
    """The most that the reply may take, reasoning included. The adapter must send it to the provider: the hold rests on
    it."""
    timeout_seconds: float = 600.0
    metadata: dict[str, str] = field(default_factory=dict)
    """For the provider's own bookkeeping: "cache_key", "tenant". Never prompts, never secrets."""


@runtime_checkable
class Model(Protocol):
    """A language model.

    `complete` may run many times at once. It raises ModelError (or a subclass), and nothing else, when the call failed;
    it never retries by itself, because a retry is a new hold. It does not guarantee that a failed call cost nothing.
    """

    @property
    def name(self) -> str:
        """The name that the provider and the rate card know, for example "gpt-5-mini"."""
        ...

    async def complete(self, request: Request) -> Completion:
        """Make one call. Raises ModelError if it failed."""
        ...
