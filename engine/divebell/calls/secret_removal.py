"""Removing a model's secrets from its replies and its errors, before anything else sees them.

So the run, its journal, its trace and a replay all have the same text, without the key: an endpoint knows the key that
it was called with, and a hostile endpoint may repeat it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from divebell.errors import ModelError
from divebell.models.protocol import Completion
from divebell.models.secret_texts import SecretTexts


def clean_completion(completion: Completion, secrets: SecretTexts) -> Completion:
    """The completion without the secrets."""
    if not secrets:
        return completion
    text, calls = secrets.clean(completion.text), _clean(completion.tool_calls, secrets)
    return replace(completion, text=text, tool_calls=tuple(calls))


def clean_error(error: ModelError, secrets: SecretTexts) -> ModelError:
    """The same error, without the secrets in its sentence. Where it or one of its causes had one, it has no causes
    any more."""
    sentence = str(error)
    cleaned = secrets.clean(sentence)
    if cleaned != sentence:
        error.args = (cleaned,)
    if cleaned != sentence or any(secrets.clean(text) != text for text in _causes(error)):
        error.__cause__ = None
        error.__context__ = None
    return error


def _causes(error: BaseException) -> list[str]:
    texts: list[str] = []
    seen: set[int] = set()
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        texts.append(f"{cause} {cause!r}")
        cause = cause.__cause__ or cause.__context__
    return texts


def _clean(value: Any, secrets: SecretTexts) -> Any:
    """Plain data without the secrets. Its depth is bounded by whoever read it."""
    if isinstance(value, str):
        return secrets.clean(value)
    if isinstance(value, Mapping):
        return {_clean(key, secrets): _clean(each, secrets) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(each, secrets) for each in value]
    return value
