"""What is sent otherwise to an endpoint that does not take a field, a value or a role of the request.

An endpoint that refuses one surely did nothing with the request (openai_refunds.py), so asking again costs no more.
Each change is tried once, and what helped is remembered for the endpoint and the model as long as the process lives: a
new adapter for the same two begins with it. Only what Divebell sends of its own accord is changed, not `extra_body`.
What the hold rests on stays: the output limit is sent under one name or the other, and the reply's tier is looked at.
"""

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from divebell.models.openai.error_body import ErrorBody

Fields = dict[str, Any]
MAX_REMEMBERED = 10_000
_log = logging.getLogger("divebell.models")


@dataclass(frozen=True)
class Fallback:
    """named: how an endpoint names what it does not take. is_sent: whether that is in the request. change: the request
    without it."""

    name: str
    named: re.Pattern[str]
    is_sent: Callable[[Fields], bool]
    change: Callable[[Fields], None]


def _renamed(old: str, new: str) -> Callable[[Fields], None]:
    def change(fields: Fields) -> None:
        fields[new] = fields.pop(old)

    return change


def _dropping(name: str, pattern: str = "") -> Fallback:
    def change(fields: Fields) -> None:
        del fields[name]

    named = re.compile(pattern or rf"(?<![\w-]){name}(?![\w-])")
    return Fallback(name, named, lambda fields: name in fields, change)


def _is_strict(fields: Fields) -> bool:
    return bool(_format(fields).get("strict"))


def _loosened(fields: Fields) -> None:
    shape = {**_format(fields), "strict": False}
    if "response_format" in fields:
        fields["response_format"] = {**fields["response_format"], "json_schema": shape}
    else:
        fields["text"] = {**fields["text"], "format": shape}


def _format(fields: Fields) -> dict[str, Any]:
    found = fields.get("response_format", {}).get("json_schema") or fields.get("text", {}).get("format") or {}
    return dict(found)


def _without_format(fields: Fields) -> None:
    """The schema is in the prompt, too (run/subcalls.py); and the reply is checked, whoever wrote it."""
    text = {name: value for name, value in fields.pop("text", {}).items() if name != "format"}
    fields.pop("response_format", None)
    if text:
        fields["text"] = text


def _has_system(fields: Fields) -> bool:
    return any(message["role"] == "system" for message in _messages(fields))


def _messages(fields: Fields) -> list[dict[str, Any]]:
    return list(fields.get("messages") or fields.get("input") or [])


def _without_system(fields: Fields) -> None:
    """What the system messages say comes first in the user's message after them: some models' templates let only user
    and assistant take turns, beginning with the user."""
    kept: list[dict[str, Any]] = []
    waiting: list[str] = []
    for message in _messages(fields):
        if message["role"] == "system":
            waiting.append(_text(message["content"]))
        elif message["role"] == "user" and waiting:
            content = message["content"]
            begun = "\n\n".join([*waiting, content]) if isinstance(content, str) else _begun(waiting, content, fields)
            kept.append({**message, "content": begun})
            waiting = []
        else:
            kept.append(message)
    if waiting:
        kept.append({"role": "user", "content": "\n\n".join(waiting)})
    fields["messages" if "messages" in fields else "input"] = kept


def _begun(waiting: list[str], parts: list[Any], fields: Fields) -> list[Any]:
    kind = "text" if "messages" in fields else "input_text"
    return [{"type": kind, "text": "\n\n".join(waiting)}, *parts]


def _text(content: object) -> str:
    parts = content if isinstance(content, list) else []
    return content if isinstance(content, str) else "\n".join(str(part.get("text", "")) for part in parts)


_FALLBACKS = (
    Fallback(
        "max_tokens",
        re.compile(r"(?<!\w)max_completion_tokens(?!\w)"),
        lambda fields: "max_completion_tokens" in fields,
        _renamed("max_completion_tokens", "max_tokens"),
    ),
    Fallback(
        "max_completion_tokens",
        re.compile(r"(?<!\w)max_tokens(?!\w)"),
        lambda fields: "max_tokens" in fields,
        _renamed("max_tokens", "max_completion_tokens"),
    ),
    Fallback("loose schema", re.compile(r"\bstrict\b|invalid schema|additional ?properties"), _is_strict, _loosened),
    Fallback(
        "no schema",
        re.compile(r"response_format|json_schema|json mode|structured output|text\.format|invalid schema|\bstrict\b"),
        lambda fields: "response_format" in fields or "format" in fields.get("text", {}),
        _without_format,
    ),
    Fallback(
        "no system role",
        re.compile(
            r"\b(?:system|developer)['`\"]? (?:role|message|prompt|instruction)"
            r"|role['`\"]?:? (?:does not support )?['`\"]?(?:system|developer)|conversation roles must alternate"
        ),
        _has_system,
        _without_system,
    ),
    _dropping("temperature"),
    _dropping("service_tier"),
    _dropping("store"),
    _dropping("prompt_cache_key"),
    _dropping("safety_identifier"),
    _dropping("n", r"['`\"]n['`\"]|param(?:eter)?s?:? n\b|argument supplied: n\b|\bbody n\b"),
)
_BY_NAME = {fallback.name: fallback for fallback in _FALLBACKS}
_OPPOSITE = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
MAX_FALLBACKS = len(_FALLBACKS) - 1  # of the two names for the output limit one is left


def next_fallback(told: ErrorBody, fields: Fields, tried: tuple[str, ...]) -> str | None:
    """The change that answers this complaint, None where there is none (any more)."""
    named = [str(layer.get("param") or layer.get("loc") or "") for layer in told.layers]
    said = " ".join([told.sentence, *named]).lower()
    for fallback in _FALLBACKS:
        used = fallback.name in tried or _OPPOSITE.get(fallback.name) in tried
        if not used and fallback.is_sent(fields) and fallback.named.search(said):
            return fallback.name
    return None


def changed(fields: Fields, names: tuple[str, ...]) -> Fields:
    """The request with these changes, as far as they apply to it."""
    fields = dict(fields)
    for name in names:
        fallback = _BY_NAME[name]
        if fallback.is_sent(fields):
            fallback.change(fields)
    return fields


class Remembered:
    """What helped, by endpoint and model. Thread-safe; of more than MAX_REMEMBERED the oldest goes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: OrderedDict[tuple[str, ...], tuple[str, ...]] = OrderedDict()

    def get(self, key: tuple[str, ...]) -> tuple[str, ...]:
        with self._lock:
            return self._names.get(key, ())

    def add(self, key: tuple[str, ...], names: tuple[str, ...]) -> None:
        """Remember these beside what another call may have found meanwhile."""
        with self._lock:
            known = self._names.get(key, ())
            fresh = tuple(name for name in names if name not in known and _OPPOSITE.get(name) not in known)
            if not fresh:
                return
            self._names[key] = known + fresh
            if len(self._names) > MAX_REMEMBERED:
                self._names.popitem(last=False)
        _log.warning("%s at %s does not take what is sent to it: from now on: %s", key[2], key[1], ", ".join(fresh))


REMEMBERED = Remembered()
