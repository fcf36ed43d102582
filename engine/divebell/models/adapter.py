"""What the registry asks of an adapter: one function that makes a model of its name."""

from collections.abc import Callable
from dataclasses import dataclass, field

from divebell.models.client_pool import ClientPool
from divebell.models.protocol import Model


@dataclass(frozen=True, kw_only=True)
class ModelAccess:
    """How models that are given by name reach their endpoint. None for what the adapter knows by itself, for example
    from the environment.

    clients: where the adapter keeps its connections; they are shared with the other models of an engine.
    """

    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    clients: ClientPool | None = None


MakeModel = Callable[[str, ModelAccess], Model]


@dataclass(frozen=True)
class ModelAdapter:
    """Makes the models of one prefix.

    provider: whose API keys it takes, for example "OpenAI". A key is given to the models of one provider only.
    make: the model of a name, without the prefix. Raises ConfigurationError if there can be none. It is called on
        whatever thread makes an RLM, so the provider's library is best imported at the first call.
    """

    provider: str
    make: MakeModel
