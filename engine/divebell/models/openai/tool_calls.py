"""Where the replies of OpenAI's two APIs, and of gateways that speak them, have tool calls. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from divebell.models.tool_calls import MAX_TOOL_CALLS, bound_tool_calls

_CALL_ITEMS = frozenset({"function_call", "custom_tool_call", "code_interpreter_call", "mcp_call", "tool_use"})


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
