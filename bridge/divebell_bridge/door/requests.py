"""What the guest asks of the host, as a Host receives it: checked, typed and frozen. reading.py makes these."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Image:
    """A picture for a model. `media_type` is "image/png" and the like; the bytes are not looked at."""

    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Query:
    """One call to a sub-model. With a `schema` (JSON Schema, as plain data) the outcome is a value, not a text."""

    prompt: str
    model: str | None = None
    schema: dict[str, object] | None = None
    images: tuple[Image, ...] = ()


@dataclass(frozen=True)
class ContextReference:
    """The part [start, end) of the asking sandbox's own `context`, a str (in characters) or bytes. The guest says so:
    whether the context is of that kind and that long is the host's to check."""

    start: int
    end: int


@dataclass(frozen=True)
class ContextItem:
    """The item of the asking sandbox's own `context` at that key (a dict's) or index (a list's). The guest says so:
    whether there is such an item is the host's to check."""

    key: str | int


@dataclass(frozen=True)
class ChildQuery:
    """One question to a child RLM. `context` is plain data, a reference to a part of the parent's, or None for all of
    the parent's."""

    prompt: str
    context: object = None
    model: str | None = None


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool that the application registered. The arguments are plain data."""

    name: str
    arguments: tuple[object, ...] = ()
    keyword_arguments: dict[str, object] = field(default_factory=dict)


Call = Query | ChildQuery | ToolCall
"""What can be started and waited for."""

Outcome = dict[str, object]
"""The outcome of one call: {"text": reply}, {"value": plain data}, or {"kind": error, "message": why}. A tool's own
exception has its class's name as "error" beside them."""
