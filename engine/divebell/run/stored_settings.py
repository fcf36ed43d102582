"""A run's settings as its journal stores them: the header is made here, and read here again for a replay."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from divebell.context import Context
from divebell.errors import ModelError
from divebell.events import EventListener
from divebell.journal.base import Journal
from divebell.journal.header import STORED_AS_THEY_ARE, STORED_TEXTS, make_header
from divebell.journal.records import Record
from divebell.limits import Limits
from divebell.models.protocol import Completion, Model, Request
from divebell.resources import EngineResources
from divebell.run.settings import Resolved, Settings
from divebell.sandbox.tools import Tools
from divebell.schemas import AnswerSchema


class AbsentModel:
    """Stands for a model whose completions are in a journal, and refuses to be called."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(self, request: Request) -> Completion:
        raise ModelError(f"a replay calls no model, and {self.name!r} was asked", model=self.name, never_ran=True)


def header_of_run(settings: Settings, query: str, context: Context) -> Record:
    """The header of the journal of a run that begins now."""
    models = {
        "levels": [level.model.name for level in settings.levels],
        "named": {name: model.name for name, model in settings.models.items()},
    }
    stored = {
        **{name: getattr(settings, name) for name in (*STORED_AS_THEY_ARE, *STORED_TEXTS)},
        "limits": asdict(settings.limits),
        "schema": None if settings.schema is None else settings.schema.json_schema(),
        "levels": [
            {
                "temperature": level.temperature,
                "root_output_tokens": level.root_output_tokens,
                "sub_output_tokens": level.sub_output_tokens,
                "small": level.small,
                "tools": Tools.of(level.tools).descriptions,
            }
            for level in settings.levels
        ],
    }
    return make_header(query, context, models=models, settings=stored, metadata=settings.labels)


def settings_of_header(
    header: Record,
    *,
    model: Model | None,
    sub_model: Model | None,
    journal: Journal,
    engine: EngineResources,
    listener: EventListener | None,
    seconds: float | None,
    run_id: str,
) -> Settings:
    """The settings of the run that has this header, which was checked (journal/header.py). `model` answers as its root
    models and `sub_model` as all others; None for models that are not there.

    KeyError, TypeError, ValueError or AttributeError where the header is damaged in a way that its check does not see.
    """
    stored: Mapping[str, Any] = header["settings"]
    names: Mapping[str, Any] = header["models"]

    def find_model(name: str, depth: int) -> Model:
        live = model if depth == 0 else sub_model or model
        return AbsentModel(name) if live is None else live

    levels = tuple(
        Resolved(
            model=find_model(name, depth),
            temperature=level["temperature"],
            root_output_tokens=level["root_output_tokens"],
            sub_output_tokens=level["sub_output_tokens"],
            small=level["small"],
            tools=Tools.from_descriptions(level["tools"]),
        )
        for depth, (name, level) in enumerate(zip(names["levels"], stored["levels"], strict=True))
    )
    known = dict(zip(names["levels"], [level.model for level in levels], strict=True))
    as_they_are: dict[str, Any] = {name: stored[name] for name in STORED_AS_THEY_ARE}
    as_they_are |= {name: stored.get(name) for name in STORED_TEXTS}
    return Settings(
        **as_they_are,
        levels=levels,
        models={name: known.get(real) or find_model(real, 1) for name, real in names["named"].items()},
        limits=Limits(**stored["limits"]),
        engine=engine,
        listener=listener,
        seconds=seconds,
        schema=None if stored["schema"] is None else AnswerSchema.of(stored["schema"]),
        journal=journal,
        metadata={},
        sub_metadata={},
        labels=header.get("metadata") or {},
        run_id=run_id,
    )
