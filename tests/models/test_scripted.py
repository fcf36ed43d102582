"""ScriptedModel: what the other tests and the demo rest on."""

import asyncio
import threading

import pytest

from divebell.errors import ModelError
from divebell.models import Completion, Model, ModelRequest, ScriptedModel, Usage
from divebell.models.scripted import count_tokens


def request(text: str = "hello", *, max_output_tokens: int = 100) -> ModelRequest:
    return ModelRequest(messages=[{"role": "user", "content": text}], max_output_tokens=max_output_tokens)


def complete(model: Model, asked: ModelRequest | None = None) -> Completion:
    return asyncio.run(_complete(model, asked or request()))


async def _complete(model: Model, asked: ModelRequest) -> Completion:
    return await model.complete(asked)


def test_is_a_model() -> None:
    assert isinstance(ScriptedModel(), Model)
    assert ScriptedModel("root").name == "root"


def test_replies_come_in_order_and_then_the_script_has_run_out() -> None:
    model = ScriptedModel("m", ["one", "two"])
    assert [complete(model).text, complete(model).text] == ["one", "two"]
    with pytest.raises(ModelError, match="the script of 'm' has run out") as caught:
        complete(model)
    assert caught.value.model == "m"


def test_the_script_may_come_from_a_generator() -> None:
    model = ScriptedModel("m", (str(number) for number in range(2)))
    assert [complete(model).text, complete(model).text] == ["0", "1"]


def test_a_policy_sees_the_request() -> None:
    model = ScriptedModel("m", lambda asked: asked.messages[-1]["content"].upper())
    assert complete(model, request("loud")).text == "LOUD"


def test_a_policy_may_be_async() -> None:
    async def policy(asked: ModelRequest) -> str:
        await asyncio.sleep(0)
        return str(asked.max_output_tokens)

    assert complete(ScriptedModel("m", policy)).text == "100"


def test_a_policy_may_give_a_whole_completion() -> None:
    given = Completion(text="as it is", usage=None, finish_reason="length")
    assert complete(ScriptedModel("m", lambda _asked: given)) is given


def test_what_a_policy_raises_comes_out() -> None:
    def policy(_asked: ModelRequest) -> str:
        raise ModelError("down")

    with pytest.raises(ModelError, match="down"):
        complete(ScriptedModel("m", policy))


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("ü" * 4, 2), ("\ud800", 1)]
)
def test_tokens_are_a_quarter_of_the_bytes(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


def test_usage_counts_all_messages_and_the_reply() -> None:
    messages = [{"role": "system", "content": "a" * 8}, {"role": "user", "content": "b" * 5}]
    asked = ModelRequest(messages=messages, max_output_tokens=10)  # type: ignore[arg-type]
    assert complete(ScriptedModel("m", ["c" * 9]), asked).usage == Usage(input_tokens=2 + 2, output_tokens=3)


def test_keeps_to_the_output_limit() -> None:
    completion = complete(ScriptedModel("m", ["x" * 100]), request(max_output_tokens=5))
    assert completion.text == "x" * 20
    assert completion.finish_reason == "length"
    assert completion.usage is not None
    assert completion.usage.output_tokens == 5


def test_a_cut_does_not_leave_half_a_character() -> None:
    completion = complete(ScriptedModel("m", ["xxx" + "€" * 3]), request(max_output_tokens=1))
    assert completion.text == "xxx"


def test_requests_are_kept_up_to_a_bound() -> None:
    model = ScriptedModel("m", lambda _asked: "ok", kept_requests=3)
    for number in range(5):
        complete(model, request(str(number)))
    assert [asked.messages[0]["content"] for asked in model.requests] == ["2", "3", "4"]


@pytest.mark.slow
def test_delay_does_not_hold_other_calls_up() -> None:
    """One after the other they would take over an hour, and the test would be ended."""
    model = ScriptedModel("m", lambda _asked: "ok", delay_seconds=0.2)

    async def many() -> list[Completion]:
        return await asyncio.gather(*(model.complete(request()) for _ in range(20_000)))

    assert len(asyncio.run(many())) == 20_000


def test_threads_do_not_get_the_same_reply_twice() -> None:
    model = ScriptedModel("m", [str(number) for number in range(400)])
    got: list[str] = []

    def take() -> None:
        for _ in range(50):
            got.append(complete(model).text)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got, key=int) == [str(number) for number in range(400)]
