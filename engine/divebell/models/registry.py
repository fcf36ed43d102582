"""Models that are given by name, as in `RLM("gpt-5")`: which adapter makes each.

A name may begin with an adapter's prefix and a colon: "openai-responses:gpt-5". What follows the colon is the name that
the provider and the rate card know. A name without a registered prefix is a name at DEFAULT_PREFIX as it is, whatever
it contains: endpoints have models such as "llama3:8b" and "openai/gpt-oss-20b".

An adapter is registered by one line in _BUILT_IN; or, in a package of its own, by an entry point whose name is the
prefix and whose object is a ModelAdapter:

    [project.entry-points."divebell.models"]
    acme = "divebell_acme:adapter"

Guaranteed: an installed package cannot replace a built-in adapter; a key is given to the models of one provider only,
and is in no error that is raised here.
"""

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from divebell.errors import ConfigurationError
from divebell.models.adapter import ModelAccess, ModelAdapter
from divebell.models.openai.chat import OpenAIChatModel
from divebell.models.openai.responses import OpenAIResponsesModel
from divebell.models.protocol import Model
from divebell.models.secret_texts import SecretTexts

ENTRY_POINT_GROUP = "divebell.models"
DEFAULT_PREFIX = "openai"
MAX_REMEMBERED_PREFIXES = 1_000
MAX_ERROR_CHARACTERS = 500

_BUILT_IN: Mapping[str, ModelAdapter] = {
    "openai": ModelAdapter("OpenAI", OpenAIChatModel.connect),
    "openai-responses": ModelAdapter("OpenAI", OpenAIResponsesModel.connect),
}


class ModelFinder:
    """Makes the models that one application gives by name."""

    def __init__(self, access: ModelAccess) -> None:
        self._access = access
        self._secrets = SecretTexts([access.api_key])
        self._providers: list[str] = []

    def find(self, name: str) -> Model:
        """The model of that name. ConfigurationError if its adapter cannot make it, or if a key or a URL was
        given and the names are of several providers."""
        adapter, own_name = _adapter_of(name)
        self._check_provider(adapter.provider)
        try:
            model: object = adapter.make(own_name, self._access)
        except ConfigurationError as error:
            problem = str(error)
        except Exception as error:  # an adapter of another package may raise anything
            problem = f"the adapter of {adapter.provider} cannot make {name!r}: {type(error).__name__}: {error}"
        else:
            if isinstance(model, Model):
                return model
            problem = f"the adapter of {adapter.provider} made a {type(model).__name__} of {name!r}, which is no Model"
        raise ConfigurationError(self._secrets.clean(problem))  # out here it has no context, which could have the key

    def _check_provider(self, provider: str) -> None:
        if provider not in self._providers:
            self._providers.append(provider)
        is_shared = self._access.api_key is not None or self._access.base_url is not None
        if is_shared and len(self._providers) > 1:
            raise ConfigurationError(
                "api_key and base_url are for the models of one provider, and these names are of "
                f"{' and '.join(self._providers)}: make the models of one of them yourself, and give those"
            )


def _adapter_of(name: str) -> tuple[ModelAdapter, str]:
    """The adapter for a name, and the name without its prefix."""
    prefix, colon, rest = name.partition(":")
    if colon:
        adapter = _BUILT_IN.get(prefix) or _installed_adapter(prefix)
        if adapter is not None:
            return adapter, rest
    return _BUILT_IN[DEFAULT_PREFIX], name


def _installed_adapter(prefix: str) -> ModelAdapter | None:
    point = _entry_point(prefix)
    if point is None:
        return None
    try:
        adapter: object = point.load()
    except Exception as error:  # importing another package may raise anything
        why = f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS]
        raise ConfigurationError(f"the adapter for {prefix!r} ({point.value}) cannot be loaded: {why}") from error
    if not isinstance(adapter, ModelAdapter):
        raise ConfigurationError(
            f"the entry point {point.value} for {prefix!r} must lead to a ModelAdapter, not a {type(adapter).__name__}"
        )
    return adapter


@lru_cache(maxsize=MAX_REMEMBERED_PREFIXES)
def _entry_point(prefix: str) -> EntryPoint | None:
    """Looked up once in a process: reading what is installed takes milliseconds."""
    points = tuple(entry_points(group=ENTRY_POINT_GROUP, name=prefix))
    if len({point.value for point in points}) > 1:
        values = ", ".join(sorted(point.value for point in points))
        raise ConfigurationError(f"several installed packages have an adapter for {prefix!r}: {values}")
    return points[0] if points else None
