"""The first line of a journal: what was asked, of what, and with which settings; enough to run it again."""

import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from divebell.context import Context
from divebell.errors import ConfigurationError, JournalError
from divebell.journal.file import JournalFile
from divebell.journal.journal import Journal
from divebell.journal.records import VERSION, Record, Recorded, has_begun, pack, read
from divebell.metadata import check_metadata
from divebell.prompts.templates import prompts_digest
from divebell.sandbox.tools import Tools
from divebell.version import __version__

if TYPE_CHECKING:
    from divebell.run.settings import Settings

EMBEDDED_BYTES = 4 << 20
"""A context of up to so many bytes is in the journal itself, so that it can be replayed without its file. A larger one
is told by its digest, and has to be given again."""

_NUMBERS = {
    "max_iterations": 10_000, "max_depth": 32, "max_repairs": 100, "observation_characters": 10_000_000,
    "sub_characters": 100_000_000, "window_tokens": 100_000_000, "child_concurrency": 1_000,
}  # fmt: skip
COPIED = (*_NUMBERS, "seed", "on_exhausted", "preview", "tool_seconds")
"""The settings that are in the header as they are."""
LATER = ("instructions", "child_instructions")
"""Texts that are in the header as they are, too; None where they were not given, as in the header of an older run."""
FREE_TO_CHANGE = frozenset({"seed", "child_concurrency", "tool_seconds", "on_exhausted"})
"""Settings that a resumed run may have of its own: what is recorded does not depend on them. The seed is the first
run's in any case."""
_SAID = {"levels": "set of tools, temperatures or output limits (levels)", "limits": "set of sandbox limits"}
"""What is said of a setting that is another where its name alone would not tell what to look at."""
_MAX_OUTPUT_TOKENS = 10_000_000
_MAX_LEVELS = 33


def header_of(settings: "Settings", query: str, context: Context) -> Record:
    """The header for a run that begins now."""
    return {
        "kind": "header",
        "version": VERSION,
        "id": secrets.token_hex(16),
        "divebell": __version__,
        "prompts": prompts_digest(),
        "query": query,
        "metadata": dict(settings.labels),
        "context": {"type": context.type_name, "length": context.length, "digest": context.digest()},
        "notes": list(context.notes),
        "embedded": _embedded(context),
        "models": {
            "levels": [level.model.name for level in settings.levels],
            "named": {name: model.name for name, model in settings.models.items()},
        },
        "settings": {
            **{name: getattr(settings, name) for name in COPIED},
            **{name: getattr(settings, name) for name in LATER},
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


def _embedded(context: Context) -> str | None:
    if max(context.length, context.shared_bytes) > EMBEDDED_BYTES:
        return None
    packed = pack(context.copy_out())
    return packed if len(packed) <= 2 * EMBEDDED_BYTES else None


def check_header(header: Record) -> None:
    """JournalError where a field is missing, or is none of the kind that it must be. A journal is a file: whoever
    replays it may not have written it."""
    settings, models, context = header.get("settings"), header.get("models"), header.get("context")
    if not (isinstance(settings, dict) and isinstance(models, dict) and isinstance(context, dict)):
        raise JournalError("the journal's header has no settings, no models or no context")
    levels, named = models.get("levels"), models.get("named")
    tool_seconds: Any
    seed, schema, tool_seconds = settings.get("seed"), settings.get("schema"), settings.get("tool_seconds")
    for name, is_right in (
        ("id", _is_text(header.get("id"), 200)),
        ("query", _is_text(header.get("query"))),
        ("metadata", _is_metadata(header.get("metadata"))),
        ("context", _is_text(context.get("digest")) and _is_text(context.get("type"))),
        ("notes", _are_texts(header.get("notes"))),
        ("embedded", header.get("embedded") is None or _is_text(header.get("embedded"))),
        ("models", _are_texts(levels) and isinstance(named, dict) and _are_texts([*named, *named.values()])),
        ("seed", type(seed) is int and abs(seed) < 1 << 128),
        ("on_exhausted", settings.get("on_exhausted") in ("answer", "raise")),
        ("preview", type(settings.get("preview")) is bool),
        ("tool_seconds", isinstance(tool_seconds, (int, float)) and 0 < tool_seconds <= 86_400),
        *((name, settings.get(name) is None or isinstance(settings.get(name), str)) for name in LATER),
        ("limits", isinstance(settings.get("limits"), dict)),
        ("schema", schema is None or isinstance(schema, dict)),
        ("levels", _are_levels(settings.get("levels"), levels)),
        *((name, _is_count(settings.get(name), most, least=0)) for name, most in _NUMBERS.items()),
        ("child_concurrency", settings.get("child_concurrency") != 0),
    ):
        if not is_right:
            raise JournalError(f"the journal's header is damaged: its {name} makes no sense")


def _is_metadata(value: object) -> bool:
    """Journals of before there was any have none."""
    try:
        check_metadata(value)
    except ConfigurationError:
        return False
    return True


def _is_text(value: object, most: int = 1 << 30) -> bool:
    return isinstance(value, str) and 0 < len(value) <= most


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _is_count(value: object, most: int, *, least: int = 1) -> bool:
    return type(value) is int and least <= value <= most


def _are_levels(levels: object, names: object) -> bool:
    if not (isinstance(levels, list) and isinstance(names, list) and 1 <= len(levels) == len(names) <= _MAX_LEVELS):
        return False
    return all(isinstance(level, dict) and _is_level(level) for level in levels)


def _is_level(level: dict[str, Any]) -> bool:
    temperature, tools = level.get("temperature"), level.get("tools")
    return (
        (temperature is None or (type(temperature) in (int, float) and abs(temperature) <= 100))
        and _is_count(level.get("root_output_tokens"), _MAX_OUTPUT_TOKENS)
        and _is_count(level.get("sub_output_tokens"), _MAX_OUTPUT_TOKENS)
        and type(level.get("small")) is bool
        and isinstance(tools, list)
        and all(
            isinstance(tool, dict) and all(isinstance(tool.get(name), str) for name in ("name", "signature"))
            for tool in tools
        )
        and all(isinstance(tool.get("documentation"), str) for tool in tools)
    )


def open_journal(journal: Path | None, resume: Path | None, header: Record) -> Journal:
    """The journal that a run was told to write, or to go on from.

    ConfigurationError where it is of another run, JournalError where it cannot be read or written.
    """
    if journal is not None and resume is not None:
        raise ConfigurationError("give a journal to begin, or one to resume, not both")
    if journal is not None:
        return Journal.begin(JournalFile.begin(journal), header)
    assert resume is not None
    if not resume.exists():
        return Journal.begin(JournalFile.begin(resume), header)
    if not has_begun(resume):
        return Journal.begin(JournalFile.begin_anew(resume, lambda: has_begun(resume)), header)
    found: list[Recorded] = []

    def whole() -> tuple[int, str | None]:
        found.append(read(resume))
        _check_same(resume, found[0].header, header)
        return found[0].whole_bytes, found[0].last_check

    file = JournalFile.go_on(resume, whole)
    return Journal(found[0], file, id=found[0].header["id"])


def _check_same(path: Path, recorded: Record, header: Record) -> None:
    """Whether it is the same run. What its requests do not depend on may be another."""
    check_header(recorded)
    for name, what in (("query", "question"), ("context", "context"), ("models", "set of models")):
        if recorded[name] != header[name]:
            raise ConfigurationError(f"the journal {path} is of a run with another {what}: name another file")
    for name, value in header["settings"].items():
        if name not in FREE_TO_CHANGE and recorded["settings"].get(name) != _as_read(value):
            what = _SAID.get(name, name)
            raise ConfigurationError(
                f"the journal {path} is of a run with another {what}: give the same, or name another file"
            )


def _as_read(value: Any) -> Any:
    """As JSON gives it back."""
    if isinstance(value, dict):
        return {str(key): _as_read(each) for key, each in value.items()}
    return [_as_read(each) for each in value] if isinstance(value, (list, tuple)) else value
