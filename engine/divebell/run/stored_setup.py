"""A run's setup as its journal stores it: the header is made here, and read here again for a replay."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from divebell.context import Context
from divebell.errors import ModelError
from divebell.journal.header import make_header
from divebell.journal.records import Record
from divebell.limits import Limits
from divebell.models.protocol import Completion, Model, ModelRequest
from divebell.options import Options
from divebell.resources import EngineResources
from divebell.run.levels import Levels, ResolvedLevel
from divebell.run.setup import Setup
from divebell.sandbox.tools import Tools
from divebell.schemas import AnswerSchema


class AbsentModel:
    """Stands for a model whose completions are in a journal, and refuses to be called."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(self, request: ModelRequest) -> Completion:
        raise ModelError(f"a replay calls no model, and {self.name!r} was asked", model=self.name, never_ran=True)


def make_run_header(setup: Setup, query: str, context: Context, metadata: Mapping[str, str]) -> Record:
    """The header of the journal of a run that begins now."""
    models = {
        "levels": [level.model.name for level in setup.levels.by_depth],
        "named": {name: model.name for name, model in setup.levels.models.items()},
    }
    stored = {
        **setup.options.to_header(),
        "tool_seconds": setup.tool_seconds,
        "max_depth": setup.max_depth,
        "limits": asdict(setup.limits),
        "schema": None if setup.schema is None else setup.schema.json_schema(),
        "levels": [
            {
                "temperature": level.temperature,
                "root_output_tokens": level.root_output_tokens,
                "sub_output_tokens": level.sub_output_tokens,
                "small": level.prompt == "small",
                "tools": Tools.of(level.tools).descriptions,
            }
            for level in setup.levels.by_depth
        ],
    }
    return make_header(query, context, models=models, settings=stored, metadata=metadata)


def restore_setup(
    header: Record, *, model: Model | None, sub_model: Model | None, engine: EngineResources, seconds: float | None
) -> Setup:
    """The setup of the run that has this header, which was checked (journal/header.py). `model` answers as its root
    models and `sub_model` as all others; None for models that are not there.

    KeyError, TypeError, ValueError or AttributeError if the header is damaged in a way that its check does not see.
    """
    stored: Mapping[str, Any] = header["settings"]
    names: Mapping[str, Any] = header["models"]

    def find_model(name: str, depth: int) -> Model:
        live = model if depth == 0 else sub_model or model
        return AbsentModel(name) if live is None else live

    levels = tuple(
        ResolvedLevel(
            model=find_model(name, depth),
            temperature=level["temperature"],
            root_output_tokens=level["root_output_tokens"],
            sub_output_tokens=level["sub_output_tokens"],
            prompt="small" if level["small"] else "standard",
            tools=Tools.from_descriptions(level["tools"]),
        )
        for depth, (name, level) in enumerate(zip(names["levels"], stored["levels"], strict=True))
    )
    models_of_levels = dict(zip(names["levels"], [level.model for level in levels], strict=True))
    models = {name: models_of_levels.get(real) or find_model(real, 1) for name, real in names["named"].items()}
    return Setup(
        options=Options.from_header(stored),
        levels=Levels(by_depth=levels, models=models),
        limits=Limits(**stored["limits"]),
        schema=None if stored["schema"] is None else AnswerSchema.of(stored["schema"]),
        max_depth=stored["max_depth"],
        seconds=seconds,
        engine=engine,
    )
