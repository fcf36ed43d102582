"""The first line of a journal: what was asked, of what, and with which settings; enough to run it again."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from divebell.context import Context
from divebell.errors import JournalError
from divebell.journal.records import VERSION, Record, Recorded, pack
from divebell.tools import Tools

if TYPE_CHECKING:
    from divebell.loop.settings import Settings

EMBEDDED_CHARACTERS = 1 << 20
"""A context of up to so many characters (or items) is in the journal itself, so that it can be replayed without its
file. A larger one is told by its digest, and has to be given again."""

COPIED = (
    "max_iterations", "max_depth", "max_repairs", "observation_characters", "sub_characters", "window_tokens",
    "child_concurrency", "seed", "on_exhausted", "preview", "tool_seconds",
)  # fmt: skip
"""The settings that are in the header as they are."""


def header_of(settings: "Settings", query: str, context: Context) -> Record:
    """The header for a run that begins now."""
    from divebell import __version__

    return {
        "kind": "header",
        "version": VERSION,
        "divebell": __version__,
        "query": query,
        "context": {"type": context.type_name, "length": context.length, "digest": context.digest()},
        "embedded": pack(context.copy_out()) if context.length <= EMBEDDED_CHARACTERS else None,
        "models": {
            "levels": [level.model.name for level in settings.levels],
            "named": {name: model.name for name, model in settings.models.items()},
        },
        "settings": {
            **{name: getattr(settings, name) for name in COPIED},
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
        },
    }


def seed_of(recorded: Recorded) -> int:
    """The seed of the run. JournalError where the header has none."""
    seed: Any = recorded.header["settings"].get("seed")
    if type(seed) is not int:
        raise JournalError("the journal names no seed, so its run cannot be repeated")
    return seed
