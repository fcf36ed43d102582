"""Who answers at which depth: from what RLM was given to one Resolved for each level."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from divebell.bounds import MAX_LEVELS, MAX_OUTPUT_TOKENS
from divebell.errors import ConfigurationError
from divebell.models.protocol import Model
from divebell.run.settings import Level, Resolved
from divebell.sandbox.tools import Tools

MAX_TEMPERATURE = 2.0


def levels_of(
    model: "str | Model | None",
    sub_model: "str | Model | None",
    models: "Mapping[str, str | Model] | Sequence[str | Model | Level] | None",
    *,
    find: Callable[[str], Model],
    tools: "Tools | Mapping[str, Callable[..., Any]]",
    temperature: float | None,
    small: bool,
    root_output_tokens: int,
    sub_output_tokens: int,
) -> tuple[tuple[Resolved, ...], dict[str, Model]]:
    """The levels by depth, and the models that code may name. `find` makes a Model of a name; one of each is made.

    Raises ConfigurationError where the arguments do not go together.
    """
    given, allowed = _given(model, sub_model, models)
    _check(Level(model="", temperature=temperature))
    found: dict[str, Model] = {}

    def as_model(one: object) -> Model:
        if isinstance(one, str):
            if one not in found:
                found[one] = find(one)
            return found[one]
        if not isinstance(one, Model):
            raise ConfigurationError(f"a model is a name or a Model, not {type(one).__name__}")
        return one

    levels = []
    for one in given:
        level = one if isinstance(one, Level) else Level(model=one)
        _check(level)
        own_tools = tools if level.tools is None else level.tools
        Tools.of(own_tools)  # refuses what cannot be a tool, now
        levels.append(
            Resolved(
                model=as_model(level.model),
                temperature=temperature if level.temperature is None else level.temperature,
                root_output_tokens=level.max_output_tokens or root_output_tokens,
                sub_output_tokens=level.max_output_tokens or sub_output_tokens,
                tools=own_tools,
                small=level.small or small,
            )
        )
    named = {level.model.name: level.model for level in levels}
    return tuple(levels), {**named, **{name: as_model(one) for name, one in allowed.items()}}


def _given(model: object, sub_model: object, models: object) -> "tuple[list[Any], Mapping[str, Any]]":
    if isinstance(models, (list, tuple)):
        if model is not None or sub_model is not None:
            raise ConfigurationError("models=[...] names the model of each depth: leave out model and sub_model")
        if not 1 <= len(models) <= MAX_LEVELS:
            raise ConfigurationError(f"models=[...] names the models of 1 to {MAX_LEVELS} depths, not {len(models)}")
        return list(models), {}
    if models is not None and not isinstance(models, Mapping):
        raise ConfigurationError(f"models is a list by depth or a dict by name, not {type(models).__name__}")
    if model is None:
        raise ConfigurationError('name a model: RLM("gpt-5"), or one for each depth: RLM(models=["gpt-5", "gpt-4o"])')
    return [model, model if sub_model is None else sub_model], models or {}


def _check(level: Level) -> None:
    tokens, temperature = level.max_output_tokens, level.temperature
    if tokens is not None and (type(tokens) is not int or not 1 <= tokens <= MAX_OUTPUT_TOKENS):
        raise ConfigurationError(f"Level.max_output_tokens must be a whole number over 0 or None, not {tokens!r}")
    if temperature is not None and (
        isinstance(temperature, bool)
        or not isinstance(temperature, (int, float))
        or not 0 <= temperature <= MAX_TEMPERATURE
    ):
        raise ConfigurationError(f"a temperature is from 0 to {MAX_TEMPERATURE:g}, or None, not {temperature!r}")
