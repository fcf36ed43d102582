"""The model of each depth: resolves the models given to RLM into one ResolvedLevel for each depth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

from divebell.bounds import MAX_LEVELS, MAX_OUTPUT_TOKENS
from divebell.errors import ConfigurationError
from divebell.models.protocol import Model
from divebell.options import Options, Prompt, check_temperature, explain_renamed
from divebell.sandbox.tools import Tools


@dataclass(frozen=True, kw_only=True)
class Level:
    """One depth of the recursion: its model, and how that is called.

    model: the root model of runs at this depth, and what answers llm_query of the depth above. In RLM(models=[...]) a
        name is looked up as RLM's `model` is.
    temperature: sent with every call to it; None for RLM's temperature.
    max_output_tokens: of each of its replies; None for RLM's max_output_tokens and sub_max_output_tokens.
    tools: what code at this depth may call; None for RLM's tools.
    prompt: the prompt of root models at this depth; None for RLM's prompt.
    """

    model: "str | Model"
    temperature: float | None = None
    max_output_tokens: int | None = None
    tools: "Tools | Mapping[str, Callable[..., Any]] | None" = None
    prompt: Prompt | None = None


if not TYPE_CHECKING:
    _init_level = Level.__init__

    @wraps(_init_level)  # help(Level) and inspect.signature show the fields
    def _refuse_former_names(self: Level, *arguments: object, **fields: object) -> None:
        if "small" in fields:
            raise TypeError(f"Level: {explain_renamed('small')}")
        _init_level(self, *arguments, **fields)

    Level.__init__ = _refuse_former_names


@dataclass(frozen=True, kw_only=True)
class ResolvedLevel:
    """A Level whose model has been found, with RLM's options where it has none of its own."""

    model: Model
    temperature: float | None
    root_output_tokens: int
    sub_output_tokens: int
    tools: "Tools | Mapping[str, Callable[..., Any]]"
    prompt: Prompt


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The levels by depth, the last of which stands for all that are deeper; and the models that code may name."""

    by_depth: tuple[ResolvedLevel, ...]
    models: Mapping[str, Model]

    def at(self, depth: int) -> ResolvedLevel:
        """How runs at this depth work."""
        return self.by_depth[min(depth, len(self.by_depth) - 1)]


def resolve_levels(
    model: "str | Model | None",
    sub_model: "str | Model | None",
    models: "Mapping[str, str | Model] | Sequence[str | Model | Level] | None",
    *,
    find: Callable[[str], Model],
    tools: "Tools | Mapping[str, Callable[..., Any]]",
    options: Options,
) -> Levels:
    """The levels of RLM(model, sub_model, models=models). `find` makes a Model of a name, once for each name.

    Raises ConfigurationError if the arguments do not go together.
    """
    in_order, by_name = _arrange(model, sub_model, models)
    resolved: dict[str, Model] = {}

    def find_model(one: object) -> Model:
        if isinstance(one, str):
            if one not in resolved:
                resolved[one] = find(one)
            return resolved[one]
        if not isinstance(one, Model):
            raise ConfigurationError(f"a model is a name or a Model, not {type(one).__name__}")
        return one

    levels = []
    for one in in_order:
        level = one if isinstance(one, Level) else Level(model=one)
        _check_level(level)
        own_tools = tools if level.tools is None else level.tools
        Tools.of(own_tools)  # refuses what cannot be a tool, now
        levels.append(
            ResolvedLevel(
                model=find_model(level.model),
                temperature=options.temperature if level.temperature is None else level.temperature,
                root_output_tokens=level.max_output_tokens or options.max_output_tokens,
                sub_output_tokens=level.max_output_tokens or options.sub_max_output_tokens,
                tools=own_tools,
                prompt=level.prompt or options.prompt,
            )
        )
    models_of_levels = {level.model.name: level.model for level in levels}
    return Levels(
        by_depth=tuple(levels), models={**models_of_levels, **{name: find_model(one) for name, one in by_name.items()}}
    )


def _arrange(model: object, sub_model: object, models: object) -> "tuple[list[Any], Mapping[str, Any]]":
    """Split RLM's models into those by depth and those by name."""
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


def _check_level(level: Level) -> None:
    tokens = level.max_output_tokens
    if tokens is not None and (type(tokens) is not int or not 1 <= tokens <= MAX_OUTPUT_TOKENS):
        raise ConfigurationError(f"Level.max_output_tokens must be a whole number over 0 or None, not {tokens!r}")
    if level.prompt not in (None, "standard", "small"):
        raise ConfigurationError(f"Level.prompt must be 'standard', 'small' or None, not {level.prompt!r}")
    check_temperature(level.temperature)
