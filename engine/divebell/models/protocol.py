"""The protocol of a language model: one async method, and a name that the rate card knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, Protocol, TypedDict, runtime_checkable

from divebell.models.schema import schema_text
from divebell.usage import Usage

Detail = Literal["high", "low"]

DEFAULT_TIMEOUT_SECONDS = 600.0
STOP, LENGTH, CONTENT_FILTER = "stop", "length", "content_filter"
"""How a reply may have ended: Completion.finish_reason."""


class TextPart(TypedDict):
    """Text in a message that also has images."""

    type: Literal["text"]
    text: str


class ImagePart(TypedDict):
    """An image in a message, as the bytes of its file.

    media_type: "image/png", "image/jpeg", "image/gif" or "image/webp". detail: "high" (the default), or "low" for a
    coarse and cheap look.
    """

    type: Literal["image"]
    media_type: str
    data: bytes
    detail: NotRequired[Detail]


Part = TextPart | ImagePart
Content = str | Sequence[Part]


class Message(TypedDict):
    """One chat message. `role` is "system", "user" or "assistant". Only a user's message may hold images."""

    role: str
    content: Content


def texts_of(message: Message) -> list[str]:
    """The message's texts, in order."""
    content = message["content"]
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content if part["type"] == "text"]


def images_of(message: Message) -> list[ImagePart]:
    """The message's images, in order."""
    content = message["content"]
    return [] if isinstance(content, str) else [part for part in content if part["type"] == "image"]


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One reply. `usage` is None if the provider reported none; the meter then charges the worst case."""

    text: str
    usage: Usage | None = None
    finish_reason: str = STOP
    """"stop"; "length" where the output limit (or the model's window) cut the reply off; or "content_filter" where the
    endpoint's filter did."""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    """What the model called instead of writing, as the endpoint sent it: plain data, bounded. Divebell offers models no
    tools of the endpoint and runs none of these calls: they are only read."""

    @property
    def is_cut(self) -> bool:
        """Whether the reply ends before its end."""
        return self.finish_reason in (LENGTH, CONTENT_FILTER)


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """One call of a model."""

    messages: Sequence[Message]
    max_output_tokens: int
    """The most tokens of the reply, reasoning included. The adapter must send it to the provider, because the hold
    depends on it."""
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    """Of the whole call, waiting for a slot at the model included."""
    metadata: dict[str, str] = field(default_factory=dict)
    """For the provider's own bookkeeping: "cache_key", "tenant", and "call", which names the call among all others and
    is the same when a resumed run makes it again. Never prompts, never secrets."""
    schema: Mapping[str, object] | None = None
    """A JSON Schema that the reply is asked to keep to. Whether it does, the caller checks."""
    temperature: float | None = None
    """None for the model's own."""

    def sent_texts(self) -> list[str]:
        """Every text that is sent and billed as input: those of the messages and the schema, without images, roles and
        framing. RequestError if the schema cannot be sent."""
        texts: list[str] = []
        for message in self.messages:
            texts += texts_of(message)
        return texts if self.schema is None else [*texts, schema_text(self.schema)]

    def sent_images(self) -> list[ImagePart]:
        """Every image that is sent."""
        images: list[ImagePart] = []
        for message in self.messages:
            if not isinstance(message["content"], str):
                images += images_of(message)
        return images


@runtime_checkable
class Model(Protocol):
    """A language model.

    `complete` may run many times at once. It raises ModelError (or a subclass), and nothing else, when the call failed;
    it never retries by itself, because a retry is a new hold. It does not guarantee that a failed call cost nothing:
    only an error with `never_ran` says so.

    A model may have more, none of which is demanded (models/traits.py):
    - `secrets: Sequence[str]`, its keys: they are kept out of every reply, error, log, journal and trace.
    - `identity: str`, which distinguishes it from other models of its name.
    - `surcharge_percent: int`, how much more than the list price its endpoint may cost.
    - `image_tokens(image) -> int`, at most how many input tokens an image is billed as.
    """

    @property
    def name(self) -> str:
        """The name that the provider and the rate card know, for example "gpt-5-mini"."""
        ...

    async def complete(self, request: ModelRequest) -> Completion:
        """Make one call. Raises ModelError if it failed."""
        ...
