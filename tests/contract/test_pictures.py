"""llm_query(prompt, images=[...]) from a cell's picture to what the provider is sent, and what it costs."""

from decimal import Decimal
from typing import Any

import pytest

from divebell import RLM, Budget, Rate, ScriptedModel
from divebell.models import OpenAIChatModel
from divebell.models.images import data_url
from tests.support.chat_server import ChatServer
from tests.support.images import png

RATES = dict.fromkeys(("root", "gpt-5-mini"), Rate.per_million("1", "1"))

WAYS = {
    "llm_query": "[llm_query('what?', images=[context['a.png'], context['b.png']['data']])]",
    "allm_query": "[await allm_query('what?', images=[context['a.png'], context['b.png']['data']])]",
    "llm_query_batched": "llm_query_batched(['what?'], images=[[context['a.png'], context['b.png']]])",
    "ThreadPoolExecutor": "list(__import__('concurrent.futures').futures.ThreadPoolExecutor().map(\n"
    "lambda q: llm_query(q, images=[context['a.png'], context['b.png']]), ['what?']))",
}


def run(code: str, **budget: Any) -> tuple[Any, ChatServer]:
    pictures = {"a.png": png(4_000, 4_000), "b.png": png(20, 20)}
    root = ScriptedModel("root", [f"```repl\n{code}\n```", "FINAL(gone on)"])
    with ChatServer("a diver") as server:
        sub = OpenAIChatModel("gpt-5-mini", base_url=server.url, api_key=server.key)
        context = {name: {"media_type": "image/png", "data": data} for name, data in pictures.items()}
        return RLM(root, sub, budget=Budget(**budget), rates=RATES).run(context, "q"), server


@pytest.mark.parametrize("way", WAYS)
def test_pictures_reach_the_provider_and_are_paid_for(way: str) -> None:
    result, server = run(f"FINAL({WAYS[way]})", dollars="5")
    assert result.answer == "['a diver']"
    [received] = server.received
    text, *images = received.json["messages"][-1]["content"]
    assert text == {"type": "text", "text": "what?"}
    sent = [image["image_url"]["url"] for image in images]
    given = [{"type": "image", "media_type": "image/png", "data": png(*size)} for size in ((4_000, 4_000), (20, 20))]
    assert sent == [data_url(image) for image in given]  # type: ignore[arg-type]
    # The provider reported what it was: two tokens for the pictures, two for the text, two for the reply.
    spent = result.spend["models"]["gpt-5-mini"]
    assert (spent["calls"], spent["dollars"]) == (1, Decimal(spent["input_tokens"] + spent["output_tokens"]) / 10**6)
    assert spent["input_tokens"] >= 3


def test_a_picture_that_the_budget_cannot_bear_is_never_sent() -> None:
    code = "try: llm_query('?', images=[context['a.png']] * 20)\nexcept BudgetExceeded as error: FINAL(type(error).__name__)"
    result, server = run(code, tokens=20_000)
    assert (result.answer, server.received) == ("BudgetExceeded", [])


def test_what_is_no_picture_is_told_to_the_code() -> None:
    code = "llm_query('?', images=[{'media_type': 'image/png', 'data': b'\\x89PNG\\r\\n\\x1a\\n'}])"
    result, server = run(code, dollars="5")
    assert (result.answer, server.received) == ("gone on", [])
    assert "PNG" in result.turns[0].cells[0].output
