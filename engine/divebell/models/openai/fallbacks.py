"""Changes to a request for an endpoint that refuses a field, a value or a role of it.

An endpoint that refuses one has certainly done nothing with the request (refunds.py), so asking again costs no more.
Each change is tried once, and what helped is remembered for the endpoint and the model as long as the process lives: a
new adapter for the same two begins with it. Only what Divebell itself adds is changed, not `extra_body`. What
the hold depends on stays: the output limit is sent under one name or the other, and the reply's tier is checked.
"""

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from divebell.models.endpoints.error_body import ErrorBody

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


def _rename(old: str, new: str) -> Callable[[Fields], None]:
    def change(fields: Fields) -> None:
        fields[new] = fields.pop(old)

    return change


def _drop(name: str, pattern: str = "") -> Fallback:
    def change(fields: Fields) -> None:
        del fields[name]

    named = re.compile(pattern or rf"(?<![\w-]){name}(?![\w-])")
    return Fallback(name, named, lambda fields: name in fields, change)


def _is_strict(fields: Fields) -> bool:
    return bool(_format(fields).get("strict"))


def _loosen_schema(fields: Fields) -> None:
    shape = {**_format(fields), "strict": False}
    if "response_format" in fields:
        fields["response_format"] = {**fields["response_format"], "json_schema": shape}
    else:
        fields["text"] = {**fields["text"], "format": shape}


def _format(fields: Fields) -> dict[str, Any]:
    schema_format = fields.get("response_format", {}).get("json_schema") or fields.get("text", {}).get("format") or {}
    return dict(schema_format)


def _remove_schema(fields: Fields) -> None:
    """Send no schema: it is in the prompt as well (run/subcalls.py), and every reply is checked."""
    text = {name: value for name, value in fields.pop("text", {}).items() if name != "format"}
    fields.pop("response_format", None)
    if text:
        fields["text"] = text


def _has_system(fields: Fields) -> bool:
    return any(message["role"] == "system" for message in _messages(fields))


def _messages(fields: Fields) -> list[dict[str, Any]]:
    return list(fields.get("messages") or fields.get("input") or [])


def _merge_system_messages(fields: Fields) -> None:
    """Move each system message into the user's message after it: the templates of some models let only user and
    assistant take turns, beginning with the user."""
    merged: list[dict[str, Any]] = []
    system_texts: list[str] = []
    for message in _messages(fields):
        if message["role"] == "system":
            system_texts.append(_text(message["content"]))
        elif message["role"] == "user" and system_texts:
            content = message["content"]
            merged.append({**message, "content": _prepend_text(system_texts, content, fields)})
            system_texts = []
        else:
            merged.append(message)
    if system_texts:
        merged.append({"role": "user", "content": "\n\n".join(system_texts)})
    fields["messages" if "messages" in fields else "input"] = merged


def _prepend_text(system_texts: list[str], content: "str | list[Any]", fields: Fields) -> "str | list[Any]":
    if isinstance(content, str):
        return "\n\n".join([*system_texts, content])
    kind = "text" if "messages" in fields else "input_text"
    return [{"type": kind, "text": "\n\n".join(system_texts)}, *content]


def _text(content: object) -> str:
    parts = content if isinstance(content, list) else []
    return content if isinstance(content, str) else "\n".join(str(part.get("text", "")) for part in parts)


_FALLBACKS = (
    Fallback(
        "max_tokens",
        re.compile(r"(?<!\w)max_completion_tokens(?!\w)"),
        lambda fields: "max_completion_tokens" in fields,
        _rename("max_completion_tokens", "max_tokens"),
    ),
    Fallback(
        "max_completion_tokens",
        re.compile(r"(?<!\w)max_tokens(?!\w)"),
        lambda fields: "max_tokens" in fields,
        _rename("max_tokens", "max_completion_tokens"),
    ),
    Fallback(
        "loose schema", re.compile(r"\bstrict\b|invalid schema|additional ?properties"), _is_strict, _loosen_schema
    ),
    Fallback(
        "no schema",
        re.compile(r"response_format|json_schema|json mode|structured output|text\.format|invalid schema|\bstrict\b"),
        lambda fields: "response_format" in fields or "format" in fields.get("text", {}),
        _remove_schema,
    ),
    Fallback(
        "no system role",
        re.compile(
            r"\b(?:system|developer)['`\"]? (?:role|message|prompt|instruction)"
            r"|role['`\"]?:? (?:does not support )?['`\"]?(?:system|developer)|conversation roles must alternate"
        ),
        _has_system,
        _merge_system_messages,
    ),
    _drop("temperature"),
    _drop("service_tier"),
    _drop("store"),
    _drop("prompt_cache_key"),
    _drop("safety_identifier"),
    _drop("n", r"['`\"]n['`\"]|param(?:eter)?s?:? n\b|argument supplied: n\b|\bbody n\b"),
)
_BY_NAME = {fallback.name: fallback for fallback in _FALLBACKS}
_OPPOSITE = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
MAX_FALLBACKS = len(_FALLBACKS) - 1  # of the two names for the output limit one is left


def next_fallback(body: ErrorBody, fields: Fields, tried: tuple[str, ...]) -> str | None:
    """The next change to try after this complaint; None if no change is left."""
    named = [str(layer.get("param") or layer.get("loc") or "") for layer in body.layers]
    words = " ".join([body.sentence, *named]).lower()
    for fallback in _FALLBACKS:
        used = fallback.name in tried or _OPPOSITE.get(fallback.name) in tried
        if not used and fallback.is_sent(fields) and fallback.named.search(words):
            return fallback.name
    return None


def apply_fallbacks(fields: Fields, names: tuple[str, ...]) -> Fields:
    """The request with these changes, as far as they apply to it."""
    fields = dict(fields)
    for name in names:
        fallback = _BY_NAME[name]
        if fallback.is_sent(fields):
            fallback.change(fields)
    return fields


class HelpfulFallbacks:
    """The fallbacks that helped, by endpoint and model. Thread-safe. Beyond MAX_REMEMBERED the oldest entry is
    dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: OrderedDict[tuple[str, ...], tuple[str, ...]] = OrderedDict()

    def get(self, key: tuple[str, ...]) -> tuple[str, ...]:
        with self._lock:
            return self._names.get(key, ())

    def add(self, key: tuple[str, ...], names: tuple[str, ...]) -> None:
        """Remember these, in addition to what other calls have added meanwhile."""
        with self._lock:
            names_before = self._names.get(key, ())
            fresh = tuple(
                name for name in names if name not in names_before and _OPPOSITE.get(name) not in names_before
            )
            if not fresh:
                return
            self._names[key] = names_before + fresh
            if len(self._names) > MAX_REMEMBERED:
                self._names.popitem(last=False)
        _log.warning("%s at %s does not take what is sent to it: from now on: %s", key[2], key[1], ", ".join(fresh))


REMEMBERED = HelpfulFallbacks()
