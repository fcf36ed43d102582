"""How a reply ended, in the words of every endpoint that speaks OpenAI's APIs; and what it called instead of writing.

Pure. What is not known is a stop: most servers have words of their own for that, and few for a cut.

Sources of the words: https://platform.openai.com/docs/api-reference/chat/object (stop, length, content_filter,
tool_calls), https://docs.mistral.ai/api (model_length, error), https://ai.google.dev/api/generate-content#FinishReason
(MAX_TOKENS, SAFETY, RECITATION and the like, which gateways pass on), https://platform.claude.com/docs/en/api/messages
(max_tokens, model_context_window_exceeded, refusal), https://api-docs.deepseek.com/api/create-chat-completion
(insufficient_system_resource), https://openrouter.ai/docs/api/reference/overview (error, native_finish_reason),
https://docs.vllm.ai/en/latest/api/vllm/v1/request (abort), https://docs.z.ai/api-reference/llm/chat-completion
(sensitive, network_error).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from divebell.models.protocol import CONTENT_FILTER, LENGTH, STOP
from divebell.models.text import encodable

MAX_TOOL_CALLS = 32
MAX_TOOL_CALL_CHARACTERS = 1 << 20  # of the texts in all of one reply's calls
MAX_TOOL_CALL_NODES = 1_000
MAX_TOOL_CALL_DEPTH = 16

INTERRUPTED = "interrupted"
"""The endpoint failed in the middle of the reply. Not a word of Completion: such a reply is an error."""

_MEANINGS = {
    **dict.fromkeys(
        (
            *("length", "max_tokens", "max_output_tokens", "max_completion_tokens", "max_length", "model_length"),
            *("incomplete", "token_limit", "limit", "model_context_window_exceeded", "context_length_exceeded"),
            "length_limit",
        ),
        LENGTH,
    ),
    **dict.fromkeys(
        (
            *("content_filter", "content_filtered", "safety", "recitation", "prohibited_content", "blocklist", "spii"),
            *("sensitive", "guardrail_intervened", "image_safety"),
        ),
        CONTENT_FILTER,
    ),
    **dict.fromkeys(
        (
            *("error", "abort", "aborted", "cancelled", "canceled", "network_error", "insufficient_system_resource"),
            *("timeout", "failed"),
        ),
        INTERRUPTED,
    ),
}
_MAX_WORD_CHARACTERS = 60
_CALL_ITEMS = frozenset({"function_call", "custom_tool_call", "code_interpreter_call", "mcp_call", "tool_use"})


def ending_of(*words: object) -> str:
    """STOP, LENGTH, CONTENT_FILTER or INTERRUPTED: the worst that any of these words says. Words are read in any case,
    and with the prefix that some SDKs leave on them ("FinishReason.MAX_TOKENS")."""
    meanings = {_meaning(word) for word in words}
    return next((each for each in (INTERRUPTED, LENGTH, CONTENT_FILTER) if each in meanings), STOP)


def _meaning(word: object) -> str:
    if not isinstance(word, str) or len(word) > _MAX_WORD_CHARACTERS:
        return STOP
    bare = word.strip().lower().rpartition(".")[2].removeprefix("finish_reason_").replace("-", "_").replace(" ", "_")
    return _MEANINGS.get(bare, STOP)


def tool_calls_of_message(message: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """The tool calls of a Chat Completions message: its `tool_calls`, the older `function_call`, and the parts of its
    content that some gateways leave as Anthropic's API has them ({"type": "tool_use", ...})."""
    found: list[object] = []
    calls, single, content = message.get("tool_calls"), message.get("function_call"), message.get("content")
    if isinstance(calls, list):
        found += calls[:MAX_TOOL_CALLS]
    if isinstance(single, dict) and single.get("name"):
        found.append({"type": "function", "function": single})
    if isinstance(content, list):
        found += _items_that_call(content)
    return bounded_tool_calls(found)


def tool_calls_of_output(output: object) -> tuple[dict[str, Any], ...]:
    """The tool calls among the output items of the Responses API."""
    return bounded_tool_calls(_items_that_call(output)) if isinstance(output, list) else ()


def _items_that_call(items: list[Any]) -> Iterator[object]:
    return (item for item in items if isinstance(item, dict) and item.get("type") in _CALL_ITEMS)


def bounded_tool_calls(found: Iterable[object]) -> tuple[dict[str, Any], ...]:
    """Copies of those that are dicts of plain data, as long as they keep within the bounds together. What does not is
    left out, and so is all that follows it."""
    kept: list[dict[str, Any]] = []
    allowance = _Allowance()
    for each in found:
        if len(kept) == MAX_TOOL_CALLS:
            break
        try:
            copy = allowance.copied(each, 1)
        except _TooMuch:
            break
        if isinstance(copy, dict):
            kept.append(copy)
    return tuple(kept)


class _TooMuch(Exception):
    pass


class _Allowance:
    """What may still be copied of a reply's tool calls."""

    def __init__(self) -> None:
        self._nodes = MAX_TOOL_CALL_NODES
        self._characters = MAX_TOOL_CALL_CHARACTERS

    def copied(self, value: object, depth: int) -> object:
        self._nodes -= 1
        if isinstance(value, str):
            self._characters -= len(value)
        if self._nodes < 0 or self._characters < 0 or depth > MAX_TOOL_CALL_DEPTH:
            raise _TooMuch
        if isinstance(value, str):
            return encodable(value)
        if isinstance(value, dict):
            return {str(self.copied(key, depth + 1)): self.copied(each, depth + 1) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.copied(each, depth + 1) for each in value]
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)) and -(1 << 62) <= value <= 1 << 62:  # not a NaN, which no journal can hold
            return value
        return None
