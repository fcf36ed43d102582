"""A prompt that outgrows the model's window is compacted and asked again; limits that an endpoint names are kept to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from divebell import (
    RLM,
    Budget,
    ContextTooLongError,
    Event,
    ModelRequest,
    OpenAIChatModel,
    OutputTooLongError,
    Rate,
    ScriptedModel,
)
from divebell.testing import count_tokens, replay
from tests.support.chat_server import ChatServer, Reply, error
from tests.support.endings import all_are_strict, strict_problem
from tests.support.scripts import block, is_last

CONTEXT = "the needle is 17\n" + "hay\n" * 100
PRINTING = block("print('x' * 6_000)")
WINDOW = 8_192

Sentence = Callable[[int, int, int], Reply]
"""The refusal of a prompt of so many tokens with such an output limit, by a model with such a window."""


def openai(prompt: int, output: int, window: int) -> Reply:
    total = f"{prompt + output} tokens ({prompt} in the messages, {output} in the completion)"
    sentence = f"This model's maximum context length is {window} tokens. However, you requested {total}."
    return error(400, sentence, code="context_length_exceeded")


def vllm(prompt: int, output: int, window: int) -> Reply:
    sentence = f"maximum context length is {window} tokens and your request has {prompt} input tokens ({output} > "
    return error(400, f"'max_tokens' or 'max_completion_tokens' is too large: {output}. This model's {sentence}0).")


def llama_cpp(prompt: int, output: int, window: int) -> Reply:
    said = {"code": 400, "message": "the request exceeds the available context size", "n_ctx": window}
    return Reply(status=400, body={"error": {**said, "type": "exceed_context_size_error", "n_prompt_tokens": prompt}})


def unnamed(prompt: int, output: int, window: int) -> Reply:
    return error(400, "Your input exceeds the context window of this model.", code="context_length_exceeded")


SENTENCES: dict[str, Sentence] = {"OpenAI": openai, "vLLM": vllm, "llama.cpp": llama_cpp, "no number": unnamed}


def small_endpoint(sentence: Sentence, window: int, reply: Callable[[dict[str, Any]], str]) -> Callable[..., Any]:
    def policy(request: dict[str, Any]) -> "str | Reply":
        prompt = sum(count_tokens(str(message["content"])) for message in request["messages"])
        output = request.get("max_completion_tokens") or request["max_tokens"]
        return sentence(prompt, output, window) if prompt + output > window else reply(request)

    return policy


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES.keys())
def test_the_first_call_of_an_8k_model_works_with_the_defaults(sentence: Sentence) -> None:
    with ChatServer(small_endpoint(sentence, WINDOW, lambda request: "FINAL(17)")) as server:
        result = RLM(OpenAIChatModel("local", base_url=server.url, api_key=server.key)).run(CONTEXT, "q")
        assert (result.answer, result.status) == ("17", "answered")
        assert result.spend["calls"] == 1
        assert result.spend["refunded_calls"] == len(server.received) - 1 <= 4


@pytest.mark.slow
@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES.keys())
def test_a_history_that_outgrows_the_window_goes_on(sentence: Sentence, tmp_path: Path) -> None:
    turns = 0

    def reply(request: dict[str, Any]) -> str:
        nonlocal turns
        turns += 1
        return PRINTING if turns < 15 else "FINAL(17)"

    with ChatServer(small_endpoint(sentence, WINDOW, reply)) as server:
        rlm = RLM(OpenAIChatModel("local", base_url=server.url, api_key=server.key))
        result = rlm.run(CONTEXT, "q", journal=tmp_path / "journal")
        assert (result.answer, result.status, result.iterations) == ("17", "answered", 15)
        assert len(server.received) < 60
        assert not [each for each in server.received if strict_problem(each.json["messages"])]
    again = replay(tmp_path / "journal")
    assert (again.answer, again.iterations) == ("17", 15)


def test_what_an_endpoint_taught_is_known_to_later_runs() -> None:
    with ChatServer(small_endpoint(openai, WINDOW, lambda request: "FINAL(17)")) as server:
        rlm = RLM(OpenAIChatModel("local", base_url=server.url, api_key=server.key))
        rlm.run(CONTEXT, "q")
        before = len(server.received)
        rlm.run(CONTEXT, "q")
        assert len(server.received) == before + 1


@pytest.mark.parametrize("named", [True, False])
def test_an_output_limit_over_the_models_is_lowered_for_good(named: bool) -> None:
    limits: list[int] = []

    def play(request: ModelRequest) -> str:
        limits.append(request.max_output_tokens)
        if request.max_output_tokens > 4_096:
            limit = 4_096 if named else None
            raise OutputTooLongError("too high", output_limit_tokens=limit, model="root", status=400, never_ran=True)
        return block("print(1)") if len(limits) < 5 else "FINAL(1)"

    result = RLM(ScriptedModel("root", play)).run(CONTEXT, "q")
    assert result.answer == "1"
    assert limits[1:4] == ([4_096] * 3 if named else [8_192, 4_096, 16_384])


def too_long(request: ModelRequest, window: int) -> None:
    prompt = sum(map(count_tokens, request.sent_texts()))
    asked = prompt + request.max_output_tokens
    if asked > window:
        raise ContextTooLongError(
            f"the prompt has {prompt:,} tokens", limit_tokens=window, requested_tokens=asked, status=400, never_ran=True
        )


def test_a_sub_prompt_that_is_too_long_says_how_long_it_was_and_what_fits() -> None:
    def sub(request: ModelRequest) -> str:
        too_long(request, WINDOW)
        return "yes"

    code = (
        "try:\n    llm_query('x' * 100_000)\nexcept ModelError as error:\n    print(error)\nprint(llm_query('short'))"
    )
    root = ScriptedModel("root", [block(code), "FINAL(x)"])
    shown = RLM(root, ScriptedModel("sub", sub)).run(CONTEXT, "q").turns[0].cells[0].stdout
    assert "100,000 characters" in shown
    assert "8,192 tokens" in shown
    assert "yes" in shown


def test_what_cannot_be_made_shorter_names_the_options() -> None:
    def play(request: ModelRequest) -> str:
        too_long(request, 300)
        return "FINAL(x)"

    with pytest.raises(ContextTooLongError) as raised:
        RLM(ScriptedModel("root", play)).run(CONTEXT, "q")
    for option in ("context_window_tokens=", "max_output_tokens=", "--context-window-tokens", "--max-output-tokens"):
        assert option in str(raised.value)


@pytest.mark.parametrize("limit", [0, 1, -5, 10**30])
def test_an_endpoint_that_names_nonsense_does_not_keep_the_run_busy(limit: int) -> None:
    calls = 0

    def play(request: ModelRequest) -> str:
        nonlocal calls
        calls += 1
        raise ContextTooLongError("no", limit_tokens=limit, requested_tokens=7, status=400, never_ran=True)

    with pytest.raises(ContextTooLongError):
        RLM(ScriptedModel("root", play)).run(CONTEXT, "q")
    assert calls < 10


def test_a_run_that_grew_over_the_window_of_an_endpoint_that_takes_nothing_more_lands() -> None:
    """Every turn is refused from some point on, and only a prompt without the turns is taken."""
    turns = 0

    def play(request: ModelRequest) -> str:
        nonlocal turns
        if is_last(request):
            if len(request.messages) > 2:
                raise ContextTooLongError("no", status=400, never_ran=True)
            return "FINAL(landed)"
        turns += 1
        if turns > 3:
            raise ContextTooLongError("no", status=400, never_ran=True)
        return block("print(1)")

    result = RLM(ScriptedModel("root", play)).run(CONTEXT, "q")
    assert (result.answer, result.status) == ("landed", "exhausted")
    assert result.stopped_by is not None
    assert result.stopped_by.limit == "window"


def test_each_try_is_held_and_given_back_under_a_cap() -> None:
    def play(request: ModelRequest) -> str:
        too_long(request, WINDOW)
        return "FINAL(17)"

    rates = {"root": Rate.per_million("1", "1")}
    result = RLM(ScriptedModel("root", play), budget=Budget(dollars="0.05"), rates=rates).run(CONTEXT, "q")
    assert result.answer == "17"
    assert result.spend["uncertain_calls"] == 0


@pytest.mark.parametrize(
    "refusal",
    [
        "'response_format' of type 'json_schema' is not supported with this model",
        "Unrecognized request argument supplied: response_format",
        "This model does not support response format `json_schema`.",
        "json_schema: grammar is not supported",
        "Extra inputs are not permitted: text.format",
    ],
)
def test_a_schema_that_the_endpoint_does_not_know_is_only_in_the_prompt(refusal: str) -> None:
    def policy(request: dict[str, Any]) -> "str | Reply":
        return error(400, refusal) if "response_format" in request else '{"n": 17}'

    schema = "{'type': 'object', 'properties': {'n': {'type': 'integer'}}, 'required': ['n']}"
    code = f"print([llm_query('q', schema={schema}) for _ in range(3)])"
    with ChatServer(policy) as server:
        root = ScriptedModel("root", [block(code), "FINAL(x)"])
        sub = OpenAIChatModel("local", base_url=server.url, api_key=server.key)
        result = RLM(root, sub).run(CONTEXT, "q")
        assert result.turns[0].cells[0].stdout.strip() == str([{"n": 17}] * 3)
        assert len(server.received) == 4, "it is asked with a schema once"


def test_a_refused_schema_is_not_a_reason_to_send_other_refused_requests_again() -> None:
    with ChatServer(lambda request: error(400, "the prompt is forbidden")) as server:
        code = "try:\n    llm_query('q', schema=int)\nexcept ModelError as e:\n    print(e)"
        root = ScriptedModel("root", [block(code), "FINAL(x)"])
        RLM(root, OpenAIChatModel("local", base_url=server.url, api_key=server.key)).run(CONTEXT, "q")
        assert len(server.received) == 1


@pytest.mark.parametrize(
    "broken",
    [Reply(more={"choices": []}), Reply(more={"choices": None}), Reply(body=b""), Reply(body={})],
    ids=["no choices", "choices null", "empty body", "empty object"],
)
def test_a_reply_without_a_reply_is_asked_for_again(broken: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("divebell.calls.metered_calls.FIRST_RETRY_SECONDS", 0.001)
    replies: list[str | Reply] = [block("print(1)"), broken, "FINAL(17)"]
    with ChatServer(lambda request: replies.pop(0)) as server:
        result = RLM(OpenAIChatModel("local", base_url=server.url, api_key=server.key)).run(CONTEXT, "q")
        assert (result.answer, result.status, len(server.received)) == ("17", "answered", 3)
        assert len({each.headers["idempotency-key"] for each in server.received}) == 3


def test_events_tell_of_the_limit_that_was_sent() -> None:
    def play(request: ModelRequest) -> str:
        too_long(request, WINDOW)
        return "FINAL(17)"

    events: list[Event] = []
    root = ScriptedModel("root", play)
    RLM(root, on_event=events.append).run(CONTEXT, "q")
    limits = [event.data["output_limit_tokens"] for event in events if event.kind == "reply"]
    assert limits == [root.requests[-1].max_output_tokens]
    all_are_strict(root)
