"""Reading a Chat Completions reply, believing as little as possible of it. Pure.

Usage that is missing, negative, absurd or contradictory becomes None, so that the meter charges the whole hold; so does
usage of a service tier other than the one that was asked for, because it has other prices.
"""

import json
from typing import Any

from divebell.errors import ModelError, ModelUnavailable
from divebell.models.openai_errors import Where, of_body
from divebell.models.protocol import Completion, Usage

TIER = "default"
MAX_REPLY_CHARACTERS = 16 << 20
MAX_TOKEN_COUNT = 10**9  # of one call; a provider that reports more is not believed


def read_completion(body: bytes, where: Where) -> Completion:
    """The completion. ModelError where there is none, or none that may be passed on."""
    reply = _decoded(body, where)
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        if reply.get("error"):
            raise of_body(reply, where)  # some gateways report errors with status 200
        raise ModelError(f"{where.url} replied without a choice", model=where.model)
    finish_reason = choice.get("finish_reason")
    return Completion(
        text=_text(message, finish_reason, where),
        usage=_usage(reply, where),
        finish_reason="length" if finish_reason == "length" else "stop",
    )


def encodable(text: str) -> str:
    """The text with "?" for lone surrogates, which UTF-8 cannot hold. Never more bytes than the meter counted."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _decoded(body: bytes, where: Where) -> dict[str, Any]:
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        reply = None
    if isinstance(reply, dict):
        return reply
    raise ModelUnavailable(
        f"{where.url} replied with something that is not a JSON object: is a Chat Completions API there?",
        model=where.model,
    )


def _text(message: dict[str, Any], finish_reason: object, where: Where) -> str:
    content, refusal = message.get("content"), message.get("refusal")
    if isinstance(content, list):  # of parts, as some endpoints write it; what is not text is thinking
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "".join(part for part in parts if isinstance(part, str))
    if not content and isinstance(refusal, str) and refusal:
        raise ModelError(f"{where.model!r} refused to answer: {where.clean(refusal)}", model=where.model)
    if not content and finish_reason == "content_filter":
        raise ModelError(f"the content filter of {where.url} withheld the reply", model=where.model)
    if content is None:
        return ""
    if not isinstance(content, str):
        sentence = f"{where.url} replied with a {type(content).__name__} where text belongs"
        raise ModelError(sentence, model=where.model)
    if len(content) > MAX_REPLY_CHARACTERS:
        raise ModelError(
            f"{where.model!r} replied with {len(content):,} characters, at most {MAX_REPLY_CHARACTERS:,} are allowed",
            model=where.model,
        )
    return encodable(content)


def _usage(reply: dict[str, Any], where: Where) -> Usage | None:
    if where.official and reply.get("service_tier") not in (None, TIER):
        return None
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details")
    reported = details.get("cached_tokens") if isinstance(details, dict) else None
    sent, received = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    cached = 0 if reported is None else _count(reported)
    if sent is None or received is None or cached is None or cached > sent:
        return None
    return Usage(input_tokens=sent, output_tokens=received, cached_input_tokens=cached)


def _count(value: object) -> int | None:
    """A number of tokens, if it can be one."""
    return value if type(value) is int and 0 <= value <= MAX_TOKEN_COUNT else None
