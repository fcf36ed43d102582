"""`rlm(...)` of an engine and of a tenant: RLM's arguments, with models looked up by name in the engine first."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar, Unpack, overload

from divebell.errors import ConfigurationError
from divebell.models.protocol import Model
from divebell.resources import EngineResources
from divebell.rlm import RLM
from divebell.wiring import RLMOptions

Answer = TypeVar("Answer")


class RLMFactory(ABC):
    """A base of Engine and Tenant, which make RLMs that belong to them."""

    @overload
    def rlm(
        self,
        model: str | Model | None = None,
        sub_model: str | Model | None = None,
        *,
        output: None = None,
        **options: Unpack[RLMOptions],
    ) -> RLM[str]: ...

    @overload
    def rlm(
        self,
        model: str | Model | None = None,
        sub_model: str | Model | None = None,
        *,
        output: type[Answer],
        **options: Unpack[RLMOptions],
    ) -> RLM[Answer]: ...

    @overload
    def rlm(
        self,
        model: str | Model | None = None,
        sub_model: str | Model | None = None,
        *,
        output: object,
        **options: Unpack[RLMOptions],
    ) -> RLM[Any]: ...

    def rlm(
        self,
        model: str | Model | None = None,
        sub_model: str | Model | None = None,
        *,
        output: object = None,
        **options: Unpack[RLMOptions],
    ) -> RLM[Any]:
        """Make an RLM of this engine or tenant. Takes the same arguments as RLM; names of models are looked up in the
        engine first. Without a model, the first one of the engine is the root model."""
        engine = self._bind(options)
        models = options.get("models")
        if isinstance(models, (list, tuple)):
            options["models"] = [_look_up(engine, each) for each in models]
            return RLM(model, sub_model, output=output, **options)
        if models is not None and not isinstance(models, Mapping):
            return RLM(model, sub_model, output=output, **options)  # RLM raises the error
        if model is None:
            if not engine.models:
                raise ConfigurationError("name a model: engine.rlm('gpt-5'), or give the engine some with models={...}")
            model = next(iter(engine.models.values()))
        options["models"] = {**engine.models, **(models or {})}
        return RLM(_look_up(engine, model), _look_up(engine, sub_model), output=output, **options)

    @abstractmethod
    def _bind(self, options: RLMOptions) -> EngineResources:
        """Put this engine or tenant among the options. Returns the engine. ConfigurationError if they name another."""


def _look_up(engine: EngineResources, model: Any) -> Any:
    return engine.models.get(model, model) if isinstance(model, str) else model
