"""What a model says of itself beside the protocol, and what counts where it says nothing, or nonsense."""

from typing import Any

import pytest

from divebell import RLM, Budget, Completion, ModelRequest, Rate, RequestError, Usage
from divebell.models import ImagePart, worst_case_image_tokens
from divebell.models.traits import identity_of, image_tokens_of, surcharge_percent_of
from tests.support.images import png

PICTURE: ImagePart = {"type": "image", "media_type": "image/png", "data": png(64, 64)}


class Plain:
    name = "plain"

    async def complete(self, request: ModelRequest) -> Completion:
        return Completion(text="a grey square", usage=Usage(input_tokens=100, output_tokens=3))


def saying(**traits: Any) -> Any:
    return type("Saying", (Plain,), traits)()


@pytest.mark.parametrize(
    ("traits", "identity", "surcharge"),
    [
        ({}, "plain", 0),
        ({"identity": "plain at home", "surcharge_percent": 10}, "plain at home", 10),
        ({"identity": 7, "surcharge_percent": -1}, "plain", 0),
        ({"identity": None, "surcharge_percent": 1.5}, "plain", 0),
        ({"surcharge_percent": True}, "plain", 0),
    ],
)
def test_identity_and_surcharge(traits: dict[str, Any], identity: str, surcharge: int) -> None:
    model = saying(**traits)
    assert (identity_of(model), surcharge_percent_of(model)) == (identity, surcharge)


@pytest.mark.parametrize("tokens", [7, 0])
def test_the_count_of_a_model_that_counts_images_is_used(tokens: int) -> None:
    assert image_tokens_of(saying(image_tokens=lambda _self, _image: tokens), [PICTURE, PICTURE]) == 2 * tokens


@pytest.mark.parametrize("nonsense", [None, -1, 1.5, "7", True])
def test_what_is_not_a_count_is_ignored(nonsense: object) -> None:
    worst = worst_case_image_tokens(PICTURE, "plain")
    assert image_tokens_of(Plain(), [PICTURE]) == worst
    assert image_tokens_of(saying(image_tokens=lambda _self, _image: nonsense), [PICTURE]) == worst


@pytest.mark.parametrize(("tokens", "refused"), [(1_000, False), (1_000_000, True)])
def test_a_call_is_held_at_what_the_model_says_of_its_images(tokens: int, refused: bool) -> None:
    def count(_self: object, image: ImagePart) -> int:
        if image["data"] != PICTURE["data"]:
            raise RequestError("not this one")
        return tokens

    root = "```repl\ntry:\n    FINAL(llm_query('What is this?', images=[context]))\nexcept Exception as error:\n    FINAL(str(error))\n```"
    replies = type("Root", (Plain,), {"name": "root", "complete": lambda _self, _request: _completion(root)})()
    rates = {"plain": Rate.per_million("1", "1"), "root": Rate.per_million("0", "0")}
    rlm = RLM(replies, saying(image_tokens=count), budget=Budget(dollars="0.05"), rates=rates)
    answer = rlm.completion({"media_type": "image/png", "data": PICTURE["data"]}, "What is it?")
    assert answer.startswith("the call may cost $1.000") is refused
    assert (answer == "a grey square") is not refused


async def _completion(text: str) -> Completion:
    return Completion(text=text, usage=Usage(input_tokens=1, output_tokens=1))
