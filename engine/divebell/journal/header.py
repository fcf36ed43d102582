"""The first line of a journal: what was asked, about which context, with which settings; enough to run it again."""

import secrets
from collections.abc import Mapping
from typing import Any

from divebell.bounds import MAX_LEVELS, MAX_OUTPUT_TOKENS
from divebell.context import Context
from divebell.errors import ConfigurationError, JournalError
from divebell.journal.records import VERSION, Record, pack
from divebell.metadata import check_metadata
from divebell.options import Options
from divebell.prompts.templates import prompts_digest
from divebell.version import __version__

EMBEDDED_BYTES = 4 << 20
"""A context of up to this size is in the journal itself, so that a replay needs no other file. For a larger one the
header has its digest, and a replay needs the context again."""


def make_header(
    query: str,
    context: Context,
    *,
    models: Mapping[str, object],
    settings: Mapping[str, object],
    metadata: Mapping[str, str],
) -> Record:
    """The header of a run that begins now. `models`: the names of those by depth (`levels`) and of those that code may
    name (`named`). `settings`: by the stored names."""
    return {
        "kind": "header",
        "version": VERSION,
        "id": secrets.token_hex(16),
        "divebell": __version__,
        "prompts": prompts_digest(),
        "query": query,
        "metadata": dict(metadata),
        "context": {"type": context.type_name, "length": context.length, "digest": context.digest()},
        "notes": list(context.notes),
        "embedded": _embed(context),
        "models": dict(models),
        "settings": dict(settings),
    }


def _embed(context: Context) -> str | None:
    """The context as text for the header; None if it is too large."""
    if max(context.length, context.shared_bytes) > EMBEDDED_BYTES:
        return None
    packed = pack(context.copy_out())
    return packed if len(packed) <= 2 * EMBEDDED_BYTES else None


def check_header(header: Record) -> None:
    """JournalError if a field is missing or malformed. A journal is a file: whoever replays it may not have written
    it."""
    settings, models, context = header.get("settings"), header.get("models"), header.get("context")
    if not (isinstance(settings, dict) and isinstance(models, dict) and isinstance(context, dict)):
        raise JournalError("the journal's header has no settings, no models or no context")
    levels, named = models.get("levels"), models.get("named")
    schema = settings.get("schema")
    for name, is_right in (
        ("id", _is_text(header.get("id"), 200)),
        ("query", _is_text(header.get("query"))),
        ("metadata", _is_metadata(header.get("metadata"))),
        ("context", _is_text(context.get("digest")) and _is_text(context.get("type"))),
        ("notes", _are_texts(header.get("notes"))),
        ("embedded", header.get("embedded") is None or _is_text(header.get("embedded"))),
        ("models", _are_texts(levels) and isinstance(named, dict) and _are_texts([*named, *named.values()])),
        ("limits", isinstance(settings.get("limits"), dict)),
        ("schema", schema is None or isinstance(schema, dict)),
        ("levels", _are_levels(settings.get("levels"), levels)),
        ("max_depth", _is_count(settings.get("max_depth"), MAX_LEVELS - 1, least=0)),
    ):
        if not is_right:
            raise JournalError(f"the journal's header has a malformed {name}")
    try:
        Options.from_header(settings)
    except ConfigurationError as error:
        raise JournalError(f"the journal's header has a malformed {error}") from None


def _is_metadata(value: object) -> bool:
    """Older journals have none."""
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
    if not (isinstance(levels, list) and isinstance(names, list) and 1 <= len(levels) == len(names) <= MAX_LEVELS):
        return False
    return all(isinstance(level, dict) and _is_level(level) for level in levels)


def _is_level(level: dict[str, Any]) -> bool:
    temperature, tools = level.get("temperature"), level.get("tools")
    return (
        (temperature is None or (type(temperature) in (int, float) and abs(temperature) <= 100))
        and _is_count(level.get("root_output_tokens"), MAX_OUTPUT_TOKENS)
        and _is_count(level.get("sub_output_tokens"), MAX_OUTPUT_TOKENS)
        and type(level.get("small")) is bool
        and isinstance(tools, list)
        and all(
            isinstance(tool, dict) and all(isinstance(tool.get(name), str) for name in ("name", "signature"))
            for tool in tools
        )
        and all(isinstance(tool.get("documentation"), str) for tool in tools)
    )
