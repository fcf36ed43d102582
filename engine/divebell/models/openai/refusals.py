"""What an endpoint's refusal means: one sentence that says what to do, whether the call cost anything, and the limit
that was exceeded. refunds.py says which refusals certainly cost nothing; where a refusal reports usage, that is
charged.
"""

import time
from collections.abc import Mapping
from typing import Any

from divebell.errors import (
    ContextTooLongError,
    ModelError,
    ModelRefusedError,
    ModelUnavailableError,
    OutputTooLongError,
)
from divebell.models.endpoints.endpoint import Endpoint
from divebell.models.endpoints.error_body import ErrorBody, read_error
from divebell.models.endpoints.limits import NamedLimit, named_limit
from divebell.models.endpoints.refunds import is_malformed, surely_never_ran
from divebell.models.endpoints.retry_after import retry_after_seconds
from divebell.models.openai.usage import CHAT_NAMES, RESPONSES_NAMES, usage_of
from divebell.usage import Usage

MAY_RETRY = frozenset({408, 409, 429, 500, 502, 503, 504, 529})

_STATUS_OF_CODE = {"server_error": 500, "rate_limit_exceeded": 429}
_LENGTH_STATUSES = frozenset({400, 413, 422, 429, 500})


def explain_refusal(
    status: int, body: object, endpoint: Endpoint, headers: Mapping[str, str] | None = None
) -> ModelError:
    """The error for an answer with this status. body: the decoded JSON, or the text. headers: by names in lower case,
    or in any case where the mapping does not mind."""
    details = read_error(body)
    reason = endpoint.clean(details.sentence).rstrip(".")
    limit = _limit(status, details)
    wait = retry_after_seconds(headers, time.time()) if headers is not None else None
    may_retry = status in MAY_RETRY and limit is None and "insufficient_quota" not in details.codes
    sentence = _sentence(status, details, reason, endpoint, wait, limit)
    never_ran = surely_never_ran(status, details, bills_refusals=endpoint.bills_refusals)
    more: dict[str, Any] = {
        "model": endpoint.model,
        "never_ran": never_ran,
        "may_retry": may_retry,
        "retry_after_seconds": wait if may_retry else None,
        "usage": None if never_ran else _usage(details, endpoint),
    }
    if limit is not None and limit.kind == "context":
        return ContextTooLongError(
            sentence,
            limit_tokens=limit.limit_tokens,
            requested_tokens=limit.asked_tokens,
            counts_output=limit.counts_output,
            status=status,
            **more,
        )
    if limit is not None:
        return OutputTooLongError(sentence, output_limit_tokens=limit.limit_tokens, status=status, **more)
    if status >= 500 or status == 408:
        return ModelUnavailableError(sentence, **more)
    return ModelRefusedError(sentence, status=status, **more)


def error_in_body(body: dict[str, object], endpoint: Endpoint) -> ModelError:
    """The error for a reply that has an error in it, though its status says success: what some gateways send. It may
    have been billed."""
    inner = body.get("error")
    code = inner.get("code") if isinstance(inner, dict) else None
    status = _STATUS_OF_CODE.get(code, 200) if isinstance(code, str) else code
    error = explain_refusal(status if type(status) is int and 400 <= status <= 599 else 200, body, endpoint)
    error.never_ran = False
    error.usage = None
    return error


def read_complaint(error: Exception) -> ErrorBody | None:
    """What the endpoint said where it did not take a field, a value or a role of the request, and so surely did nothing
    else with it. None if it refused for another reason, or failed."""
    status, body = getattr(error, "status_code", None), body_of(error)
    details = read_error(body)
    return (
        details if type(status) is int and is_malformed(status, details) and _limit(status, details) is None else None
    )


def body_of(error: Exception) -> object:
    """The body of an error of the client's, as far as it was read: all of it, where the client keeps only a part."""
    try:
        text = getattr(getattr(error, "response", None), "text", None)
    except Exception:  # it was not read
        text = None
    return text if isinstance(text, str) and text else getattr(error, "body", None)


def _limit(status: int, details: ErrorBody) -> NamedLimit | None:
    if status not in _LENGTH_STATUSES:
        return None
    window = {name: details.number(name) for name in ("n_ctx", "n_prompt_tokens")}
    reason = " ".join([details.sentence, *sorted(details.codes)])
    limit = named_limit(details.sentence, window) or named_limit(reason)
    return NamedLimit("context") if limit is None and status == 413 else limit


def _usage(details: ErrorBody, endpoint: Endpoint) -> Usage | None:
    reply = details.usage_reply
    if reply is None:
        return None
    names = RESPONSES_NAMES if "input_tokens" in reply["usage"] else CHAT_NAMES
    has_text = any(layer.get("failed_generation") for layer in details.layers)
    return usage_of(reply, endpoint, names, has_text=has_text)


def _sentence(
    status: int, details: ErrorBody, reason: str, endpoint: Endpoint, wait: float | None, limit: NamedLimit | None
) -> str:
    model, because = endpoint.model, f": {reason}" if reason else ""
    if limit is not None:
        return _length_sentence(status, because, endpoint, limit)
    if status >= 500:
        return f"{endpoint.url} is failing ({status}){because}; try again later"
    if status == 408:
        return f"{endpoint.url} gave up waiting (408){because}; try again"
    if status == 401:  # what the provider says to a wrong key quotes the key
        return f"the endpoint refused the key (401 from {endpoint.url}): check OPENAI_API_KEY or api_key"
    if status == 402:
        return f"the account has no credit left (402 from {endpoint.url}){because}; add credit at the provider"
    if status == 403 and details.says_that_it_ran:
        return f"the endpoint forbids what was sent to {model!r} or what it answers (403){because}; change the prompt"
    if status == 403:
        return f"the endpoint refused the key for {model!r} (403 from {endpoint.url}){because}"
    if status == 404:
        hint = "" if endpoint.official else f", and that base_url {endpoint.url} is right (it often ends in /v1)"
        return f"the endpoint does not know the model {model!r} (404){because}; check its name{hint}"
    if status == 429 and "insufficient_quota" in details.codes:
        return f"the account's quota is used up (429){because}; add credit at the provider, or raise its limit"
    if status == 429:
        advice = "make fewer calls at once, or raise the limit at the provider"
        if wait is not None:
            advice = f"the provider says to wait {wait:g} s"
        return f"too many requests for {model!r} (429){because}; {advice}"
    if 300 <= status < 400:
        return f"{endpoint.url} redirects ({status}), and prompts do not follow: set base_url to the new address"
    return f"{model!r} refused the request ({status}){because}"


def _length_sentence(status: int, because: str, endpoint: Endpoint, limit: NamedLimit) -> str:
    named = limit.limit_tokens
    if limit.kind == "output":
        most = "less than it was asked for" if named is None else f"at most {named:,} tokens"
        advice = "lower max_output_tokens (for sub-calls sub_max_output_tokens)"
        return f"{endpoint.model!r} writes {most} in one reply ({status}){because}; {advice}"
    window = "its window" if named is None else f"its window of {named:,} tokens"
    advice = (
        "lower context_window_tokens to that, or max_output_tokens"
        if named
        else "lower context_window_tokens or max_output_tokens"
    )
    return (
        f"the prompt is longer than {endpoint.model!r} can read ({status}): it does not fit into {window} beside the "
        f"output limit{because}; {advice}, or send less in one call"
    )
