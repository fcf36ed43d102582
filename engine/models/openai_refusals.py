"""What an endpoint's refusal means: one sentence that says what to do, and whether the call cost anything.

A refusal before the model ran costs nothing. The statuses in NEVER_RAN are such; but a request that a content filter
judged was read by a model, so it may be billed, whatever its status. Azure goes further and may bill any 400
(https://learn.microsoft.com/en-us/answers/questions/1632971), so there a 400 gives nothing back.
"""

import time
from collections.abc import Mapping
from typing import Any

from divebell.errors import ModelError, ModelRefused, ModelUnavailable
from divebell.models.openai_where import MAX_READ_CHARACTERS, Where
from divebell.models.retry_after import retry_after_seconds

NEVER_RAN = frozenset({*range(300, 400), 400, 401, 403, 404, 405, 413, 422, 429})
MAY_RETRY = frozenset({408, 409, 429, 500, 502, 503, 504, 529})

_STATUS_OF_CODE = {"server_error": 500, "rate_limit_exceeded": 429}
_TOO_LONG_CODES = frozenset({"context_length_exceeded", "string_above_max_length"})
_TOO_LONG_WORDS = ("context length", "context window", "context_length", "prompt is too long", "input is too long")
_JUDGED_WORDS = ("content_filter", "content_policy", "responsibleaipolicy", "moderation", "content management policy")
_NO_SUCH_FIELD_WORDS = (
    "unsupported", "not supported", "unknown", "unrecognized", "unrecognised", "unexpected", "extra",
    "not permitted", "not allowed",
)  # fmt: skip


def is_unknown_field(error: Exception, name: str) -> bool:
    """Whether the endpoint refused the request because it does not know the field of that name."""
    if getattr(error, "status_code", None) not in (400, 422):
        return False
    text = str(getattr(getattr(error, "response", None), "text", ""))[:MAX_READ_CHARACTERS].lower()
    return name in text and any(word in text for word in _NO_SUCH_FIELD_WORDS)


def refused(status: int, body: object, where: Where, headers: Mapping[str, str] | None = None) -> ModelError:
    """The error for an answer with this status. body: the decoded JSON, or the text. headers: by names in lower case,
    or in any case where the mapping does not mind."""
    code, said = _code_of(body), where.clean(_text_of(body)).rstrip(".")
    no_money = "insufficient_quota" in code
    wait = retry_after_seconds(headers, time.time()) if headers is not None else None
    may_retry = status in MAY_RETRY and not no_money
    sentence = _sentence(status, code, said, where, wait)
    cost: dict[str, Any] = {
        "never_ran": _never_ran(status, code, said, where),
        "may_retry": may_retry,
        "retry_after_seconds": wait if may_retry else None,
    }
    if status >= 500 or status == 408:
        return ModelUnavailable(sentence, model=where.model, **cost)
    return ModelRefused(sentence, model=where.model, status=status, **cost)


def of_body(body: dict[str, object], where: Where) -> ModelError:
    """The error for a reply that has an error in it, though its status says success: what some gateways send. It may
    have been billed."""
    inner = body.get("error")
    code = inner.get("code") if isinstance(inner, dict) else None
    status = _STATUS_OF_CODE.get(code, 200) if isinstance(code, str) else code
    error = refused(status if type(status) is int and 400 <= status <= 599 else 200, body, where)
    error.never_ran = False
    return error


def _never_ran(status: int, code: str, said: str, where: Where) -> bool:
    if status == 400 and where.bills_refusals:
        return False
    judged = f"{code} {said}".lower()
    return status in NEVER_RAN and not any(word in judged for word in _JUDGED_WORDS)


def _sentence(status: int, code: str, said: str, where: Where, wait: float | None) -> str:
    model, because = where.model, f": {said}" if said else ""
    if status >= 500:
        return f"{where.url} is failing ({status}){because}; try again later"
    if status == 408:
        return f"{where.url} gave up waiting (408){because}; try again"
    if status == 401:  # what the provider says to a wrong key quotes the key
        return f"the endpoint refused the key (401 from {where.url}): check OPENAI_API_KEY or api_key"
    if status == 403:
        return f"the endpoint refused the key for {model!r} (403 from {where.url}){because}"
    if status == 404:
        hint = "" if where.official else f", and that base_url {where.url} is right (it often ends in /v1)"
        return f"the endpoint does not know the model {model!r} (404){because}; check its name{hint}"
    if status == 429 and "insufficient_quota" in code:
        return f"the account's quota is used up (429){because}; add credit at the provider, or raise its limit"
    if status == 429:
        advice = "make fewer calls at once, or raise the limit at the provider"
        if wait is not None:
            advice = f"the provider says to wait {wait:g} s"
        return f"too many requests for {model!r} (429){because}; {advice}"
    if status == 413 or _is_too_long(code, said):
        return f"the prompt is longer than {model!r} can read ({status}){because}; send less in one call"
    if 300 <= status < 400:
        return f"{where.url} redirects ({status}), and prompts do not follow: set base_url to the new address"
    return f"{model!r} refused the request ({status}){because}"


def _code_of(body: object) -> str:
    """The provider's machine-readable words for the error: its code and its type."""
    if not isinstance(body, dict):
        return ""
    inner = body.get("error")
    found = inner if isinstance(inner, dict) else body
    return " ".join(word for word in (found.get("code"), found.get("type")) if isinstance(word, str))


def _text_of(body: object) -> str:
    """The provider's sentence, wherever its dialect puts it. A page of HTML says nothing."""
    for _ in range(3):
        if isinstance(body, list):
            body = body[0] if body else ""
        if not isinstance(body, dict):
            break
        keys = ("error", "message", "detail", "msg")
        body = next((body[key] for key in keys if isinstance(body.get(key), (str, dict, list))), "")
    return body if isinstance(body, str) and not body.lstrip().startswith("<") else ""


def _is_too_long(code: str, said: str) -> bool:
    return any(word in code for word in _TOO_LONG_CODES) or any(words in said.lower() for words in _TOO_LONG_WORDS)
