"""What a model may say about itself in addition to the protocol, and the defaults where it says nothing.

Each of these protocols is one attribute or method that a Model may have. None is required: a model without a key has no
`secrets`. These values come from adapters, so a value of another type is ignored.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from divebell.models.image_tokens import worst_case_image_tokens
from divebell.models.protocol import ImagePart, Model


@runtime_checkable
class HasSecrets(Protocol):
    """A model that is called with keys."""

    @property
    def secrets(self) -> Sequence[str]:
        """Its keys. They are cleaned out of its replies and errors, and so are in no log, journal or trace; nor is
        what masks or encodes them (secret_texts.py)."""
        ...


@runtime_checkable
class HasIdentity(Protocol):
    """A model that differs from others of its name."""

    @property
    def identity(self) -> str:
        """What distinguishes it from these: its endpoint, for example. The memo and the limits that an endpoint names
        are kept by identity. Without one, models are distinguished by name."""
        ...


@runtime_checkable
class HasSurcharge(Protocol):
    """A model whose endpoint may cost more than the maker's list price."""

    @property
    def surcharge_percent(self) -> int:
        """How much more, in percent. Rates that the application sets are used unchanged."""
        ...


@runtime_checkable
class CountsImages(Protocol):
    """A model that knows what its provider bills for an image."""

    def image_tokens(self, image: ImagePart) -> int:
        """At most how many input tokens the image is billed as: the hold depends on it. RequestError if the image
        cannot be sent. Without this method, OpenAI's rules count, by the dearest reading (image_tokens.py)."""
        ...


def secrets_of(models: Iterable[object]) -> tuple[str, ...]:
    """The keys that these models name."""
    secrets: list[str] = []
    for model in models:
        named = model.secrets if isinstance(model, HasSecrets) else ()
        if isinstance(named, str):  # a str is a sequence of str, but it is meant as one key
            named = (named,)
        if isinstance(named, (tuple, list, set, frozenset)):
            secrets += [secret for secret in named if isinstance(secret, str)]
    return tuple(dict.fromkeys(secrets))


def identity_of(model: Model) -> str:
    """What distinguishes the model from others."""
    identity = model.identity if isinstance(model, HasIdentity) else None
    return identity if isinstance(identity, str) else model.name


def surcharge_percent_of(model: Model) -> int:
    """How much more than the list price the model's endpoint may cost, in percent."""
    percent = model.surcharge_percent if isinstance(model, HasSurcharge) else 0
    return percent if type(percent) is int and percent >= 0 else 0


def image_tokens_of(model: Model, images: Iterable[ImagePart]) -> int:
    """At most how many input tokens the images are billed as. RequestError if one of them cannot be sent."""
    return sum(_tokens_of_image(model, image) for image in images)


def _tokens_of_image(model: Model, image: ImagePart) -> int:
    tokens = model.image_tokens(image) if isinstance(model, CountsImages) else None
    return tokens if type(tokens) is int and tokens >= 0 else worst_case_image_tokens(image, model.name)
