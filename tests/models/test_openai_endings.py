"""How a reply ended, in the words of each endpoint; and what it called instead of writing."""

import asyncio
import json
from typing import Any, Literal

import pytest

from divebell.bounds import MAX_TOOL_CALL_CHARACTERS
from divebell.errors import ModelUnavailableError
from divebell.journal.outcomes import completion_as_record, completion_of
from divebell.models import Completion, ModelRequest, OpenAIChatModel, OpenAIResponsesModel, Usage
from divebell.models.endings import INTERRUPTED, ending_of
from divebell.models.tool_calls import (
    MAX_TOOL_CALL_DEPTH,
    MAX_TOOL_CALLS,
    bound_tool_calls,
)
from tests.support.chat_server import KEY, ChatServer, Reply

REQUEST = ModelRequest(messages=[{"role": "user", "content": "Go on."}], max_output_tokens=100, timeout_seconds=20)
COUNTED = {"prompt_tokens": 7, "completion_tokens": 50}


def completion_for(reply: Reply, api: Literal["chat", "responses"] = "chat") -> Completion:
    kind = OpenAIChatModel if api == "chat" else OpenAIResponsesModel
    with ChatServer(lambda _asked: reply) as server:
        return asyncio.run(kind("local", base_url=server.url, api_key=KEY).complete(REQUEST))


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        (("stop",), "stop"),
        (("tool_calls",), "stop"),
        (("STOP",), "stop"),
        (("end_turn",), "stop"),
        ((None, None), "stop"),
        ((7, ["length"]), "stop"),
        (("x" * 1_000_000,), "stop"),
        (("length",), "length"),
        (("LENGTH",), "length"),
        (("max_tokens",), "length"),
        (("MAX_TOKENS",), "length"),
        (("FinishReason.MAX_TOKENS",), "length"),
        (("FINISH_REASON_MAX_TOKENS",), "length"),
        (("max-tokens",), "length"),
        (("model_length",), "length"),
        (("incomplete",), "length"),
        (("max_output_tokens",), "length"),
        (("model_context_window_exceeded",), "length"),
        (("stop", "MAX_TOKENS"), "length"),
        (("content_filter",), "content_filter"),
        (("SAFETY",), "content_filter"),
        (("sensitive",), "content_filter"),
        (("stop", "RECITATION"), "content_filter"),
        (("error",), INTERRUPTED),
        (("abort",), INTERRUPTED),
        (("insufficient_system_resource",), INTERRUPTED),
        (("length", "error"), INTERRUPTED),
    ],
)
def test_what_the_words_mean(words: tuple[object, ...], meaning: str) -> None:
    assert ending_of(*words) == meaning


@pytest.mark.parametrize("word", ["length", "max_tokens", "MAX_TOKENS", "model_length", "incomplete"])
def test_a_reply_that_was_cut_says_so_whatever_the_endpoint_calls_it(word: str) -> None:
    completion = completion_for(Reply(text="FINAL(Ann, Bob, and", finish_reason=word))
    assert completion.finish_reason == "length"
    assert completion.is_cut


def test_a_gateway_that_calls_a_cut_a_stop_is_read_by_the_providers_own_word() -> None:
    choice = {"message": {"content": "half"}, "finish_reason": "stop", "native_finish_reason": "MAX_TOKENS"}
    assert completion_for(Reply(more={"choices": [choice]})).finish_reason == "length"


def test_what_a_filter_left_of_a_reply_is_cut_too() -> None:
    completion = completion_for(Reply(text="It begins", finish_reason="content_filter"))
    assert (completion.text, completion.finish_reason, completion.is_cut) == ("It begins", "content_filter", True)


def test_a_reply_that_broke_off_is_an_error_that_was_billed() -> None:
    with pytest.raises(ModelUnavailableError, match="broke off the reply") as caught:
        completion_for(Reply(text="It beg", finish_reason="error", usage=COUNTED))
    assert caught.value.may_retry
    assert not caught.value.never_ran
    assert caught.value.usage == Usage(input_tokens=7, output_tokens=50)


@pytest.mark.parametrize(
    ("details", "ending"),
    [
        ({"reason": "max_output_tokens"}, "length"),
        ({"reason": "content_filter"}, "content_filter"),
        ({"reason": "something new"}, "length"),
        ({}, "length"),
        (None, "length"),
        ("max_output_tokens", "length"),
    ],
)
def test_an_incomplete_response_is_cut_whatever_reason_it_gives(details: object, ending: str) -> None:
    reply = Reply(text="half", more={"status": "incomplete", "incomplete_details": details})
    assert completion_for(reply, "responses").finish_reason == ending


CALL = {"id": "call_1", "type": "function", "function": {"name": "python", "arguments": '{"code": "print(1)"}'}}
OLD_CALL = {"name": "python", "arguments": "print(1)"}
PART = {"type": "tool_use", "id": "toolu_1", "name": "repl", "input": {"code": "print(1)"}}
ITEM = {"type": "function_call", "call_id": "c", "name": "python", "arguments": '{"code": "print(1)"}'}


@pytest.mark.parametrize(
    ("message", "calls"),
    [
        ({"content": None, "tool_calls": [CALL]}, (CALL,)),
        ({"content": "Let me look.", "tool_calls": [CALL, CALL]}, (CALL, CALL)),
        ({"content": None, "function_call": OLD_CALL}, ({"type": "function", "function": OLD_CALL},)),
        ({"content": [{"type": "text", "text": "Let me look."}, PART]}, (PART,)),
        ({"content": "x", "tool_calls": None, "function_call": None}, ()),
        ({"content": "x", "tool_calls": "python"}, ()),
        ({"content": "x", "tool_calls": [7, None, "x"]}, ()),
        ({"content": "x", "tool_calls": []}, ()),
    ],
)
def test_tool_calls_come_as_the_endpoint_sent_them(message: dict[str, Any], calls: tuple[dict[str, Any], ...]) -> None:
    completion = completion_for(Reply(message=message, finish_reason="tool_calls"))
    assert completion.tool_calls == calls
    assert completion.finish_reason == "stop"


def test_tool_calls_of_the_responses_api() -> None:
    items: list[object] = [{"type": "reasoning", "summary": []}, ITEM]
    assert completion_for(Reply(more={"output": items}), "responses").tool_calls == (ITEM,)


def _nested(depth: int) -> object:
    return {} if depth == 0 else {"x": _nested(depth - 1)}


def test_tool_calls_are_bounded_in_number_length_and_depth() -> None:
    assert len(bound_tool_calls([CALL] * 10_000)) == MAX_TOOL_CALLS
    assert bound_tool_calls([CALL, {"arguments": "x" * (MAX_TOOL_CALL_CHARACTERS + 1)}, CALL]) == (CALL,)
    assert bound_tool_calls([CALL, _nested(MAX_TOOL_CALL_DEPTH)]) == (CALL,)
    assert bound_tool_calls([CALL, {"x": [0] * 1_000_000}]) == (CALL,)
    assert bound_tool_calls([{"x": float("nan"), "y": "\ud83d", "z": 10**400}]) == ({"x": None, "y": "?", "z": None},)


def test_tool_calls_outlive_a_journal_and_journals_without_them_are_read() -> None:
    completion = Completion(text="", tool_calls=(CALL, PART), finish_reason="length")
    record = completion_as_record(completion)
    assert completion_of(json.loads(json.dumps(record))) == completion
    plain = completion_as_record(Completion(text="x"))
    assert "tool_calls" not in plain
    assert completion_of(plain).tool_calls == ()
