"""Reading a Chat Completions reply, believing as little as possible of it. Pure.

A reply whose text cannot be passed on was billed all the same: its error carries the usage, where that can be believed.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from divebell.bounds import MAX_REPLY_CHARACTERS
from divebell.errors import ModelError, ModelUnavailableError
from divebell.models.endings import INTERRUPTED, ending_of
from divebell.models.endpoints.endpoint import Endpoint
from divebell.models.openai.refusals import error_in_body
from divebell.models.openai.usage import CHAT_NAMES, usage_of
from divebell.models.protocol import CONTENT_FILTER, Completion
from divebell.models.tool_calls import MAX_TOOL_CALLS, bound_tool_calls
from divebell.text import replace_surrogates
from divebell.usage import Usage

MAX_JSON_PARTS = 1_000_000
UNCOUNTED_BYTES = 1 << 20  # a body up to this length cannot hold enough parts to matter
_CALL_ITEMS = frozenset({"function_call", "custom_tool_call", "code_interpreter_call", "mcp_call", "tool_use"})


def read_completion(body: bytes, endpoint: Endpoint) -> Completion:
    """The completion. ModelError if there is none, or none that may be passed on."""
    reply = decode_reply(body, endpoint)
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        if reply.get("error"):
            raise error_in_body(reply, endpoint)  # some gateways report errors with status 200
        usage = usage_of(reply, endpoint, CHAT_NAMES, has_text=False)
        raise ModelUnavailableError(
            f"{endpoint.url} replied without a choice; try again", model=endpoint.model, may_retry=True, usage=usage
        )
    content, refusal = message.get("content"), message.get("refusal")
    ending = ending_of(choice.get("finish_reason"), choice.get("native_finish_reason"))
    tool_calls = tool_calls_of_message(message)
    if isinstance(content, list):  # of parts, as some endpoints write it; what is not text is thinking
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "".join(part for part in parts if isinstance(part, str))
    usage = usage_of(reply, endpoint, CHAT_NAMES, has_text=bool(content))
    if ending == INTERRUPTED:
        raise interruption_error(endpoint, usage)
    return Completion(
        text=usable_text(
            content,
            endpoint,
            usage,
            refusal=refusal if isinstance(refusal, str) else "",
            withheld=ending == CONTENT_FILTER,
        ),
        usage=usage,
        finish_reason=ending,
        tool_calls=tool_calls,
    )


def interruption_error(endpoint: Endpoint, usage: Usage | None) -> ModelUnavailableError:
    """The error for a reply in whose middle the endpoint failed: what there is of it is nobody's answer."""
    sentence = f"{endpoint.url} broke off the reply of {endpoint.model!r} in its middle; try again"
    return ModelUnavailableError(sentence, model=endpoint.model, may_retry=True, usage=usage)


def decode_reply(body: bytes, endpoint: Endpoint) -> dict[str, Any]:
    """The reply as a JSON object. ModelUnavailableError if it is not one, or is made to fill memory."""
    try:
        text = body.decode("utf-8-sig")
        if len(body) > UNCOUNTED_BYTES and _count_of_parts(text) > MAX_JSON_PARTS:
            raise ModelError(
                f"{endpoint.url} replied with more than {MAX_JSON_PARTS:,} parts of JSON", model=endpoint.model
            )
        reply = json.loads(text)
    except (ValueError, RecursionError):
        reply = None
    if isinstance(reply, dict):
        return reply
    raise ModelUnavailableError(
        f"{endpoint.url} replied with something that is not a JSON object: is an OpenAI-compatible API there?",
        model=endpoint.model,
        may_retry=True,
    )


def _count_of_parts(text: str) -> int:
    """At least how many values the JSON holds, counted without making them: a byte of "[]," makes 20 of memory."""
    bare = text.replace("\\\\", "").replace('\\"', "")
    count = bare.count('"')
    if count > MAX_JSON_PARTS:  # or the next line would make as many texts
        return count
    return count + sum(between.count(mark) for between in bare.split('"')[::2] for mark in ",[{")


def usable_text(content: object, endpoint: Endpoint, usage: Usage | None, *, refusal: str, withheld: bool) -> str:
    """The text as it may be passed on. ModelError, with the usage, where the model refused, the provider withheld it,
    or it is no text of a bearable length."""
    sentence = ""
    if not content and refusal:
        sentence = f"{endpoint.model!r} refused to answer: {endpoint.clean(refusal)}"
    elif not content and withheld:
        sentence = f"the content filter of {endpoint.url} withheld the reply"
    elif content is None:
        return ""
    elif not isinstance(content, str):
        sentence = f"{endpoint.url} replied with a {type(content).__name__} where text belongs"
    elif len(content) > MAX_REPLY_CHARACTERS:
        length = f"{len(content):,} characters, at most {MAX_REPLY_CHARACTERS:,} are allowed"
        sentence = f"{endpoint.model!r} replied with {length}"
    else:
        return replace_surrogates(content)
    raise ModelError(sentence, model=endpoint.model, usage=usage)


def tool_calls_of_message(message: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """The tool calls of a Chat Completions message: its `tool_calls`, the older `function_call`, and the parts of its
    content that some gateways leave as Anthropic's API has them ({"type": "tool_use", ...})."""
    calls: list[object] = []
    several, single, content = message.get("tool_calls"), message.get("function_call"), message.get("content")
    if isinstance(several, list):
        calls += several[:MAX_TOOL_CALLS]
    if isinstance(single, dict) and single.get("name"):
        calls.append({"type": "function", "function": single})
    if isinstance(content, list):
        calls += _items_that_call(content)
    return bound_tool_calls(calls) if calls else ()


def tool_calls_of_output(output: object) -> tuple[dict[str, Any], ...]:
    """The tool calls among the output items of the Responses API."""
    return bound_tool_calls(_items_that_call(output)) if isinstance(output, list) else ()


def _items_that_call(items: list[Any]) -> Iterator[object]:
    return (item for item in items if isinstance(item, dict) and item.get("type") in _CALL_ITEMS)
