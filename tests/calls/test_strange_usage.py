"""An adapter that reports usage of the wrong types: the call costs its hold, and its answer is kept."""

import pytest

from divebell import RLM, Budget, Completion, ModelRequest, Rate, Usage


@pytest.mark.parametrize(
    "usage",
    [{"output_tokens": 3}, "3 tokens", object(), 7, Usage(output_tokens=3, service_tier=["priority"])],  # type: ignore[arg-type]
    ids=["a dict", "a text", "an object", "a number", "a tier that is a list"],
)
def test_usage_of_the_wrong_type_costs_the_hold_and_no_answer(usage: object) -> None:
    class Adapter:
        name = "m"

        async def complete(self, request: ModelRequest) -> Completion:
            return Completion(text="FINAL(Paris)", usage=usage)  # type: ignore[arg-type]

    rlm = RLM(Adapter(), rates={"m": Rate.per_million("1", "1000")}, budget=Budget(dollars="1"), max_iterations=2)
    assert rlm.run("context", "question").answer == "Paris"
    assert rlm.cost_summary()["uncertain_calls"] == 1
    assert rlm.cost_summary()["dollars"] > 0
