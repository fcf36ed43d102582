"""Endpoints that bill what they generated and answer 400: the cap holds, and no less is booked than they bill. And
refusals that surely came before the model ran cost nothing, those included by which fields are found that are not taken."""

from typing import Any

import anyio
import pytest

from divebell import Budget, BudgetExceeded, ModelError, ModelRequest, OpenAIChatModel
from divebell.calls.metered_calls import MeteredCalls
from divebell_bridge.money.dollars import picodollars
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.rates import RateCard
from tests.support.billing_endpoint import RATE, WAYS, BillingEndpoint
from tests.support.chat_server import KEY, ChatServer, Reply, error

CAP = "0.30"
CALLS = 50


def asking(text: str = "What is 2 + 2?") -> ModelRequest:
    return ModelRequest(messages=[{"role": "user", "content": text}], max_output_tokens=2_000, timeout_seconds=30)


def spent_on(endpoint: Any, request: ModelRequest, calls: int = CALLS) -> tuple[int, list[str], ChatServer]:
    """What was booked for so many calls one after another, and how each of them ended."""
    endings: list[str] = []

    async def main(url: str) -> int:
        model = OpenAIChatModel("billed", base_url=url, api_key=KEY)
        meter = Meter(Budget(dollars=CAP), RateCard({"billed": RATE}))
        caller = MeteredCalls({"billed": model}, max_concurrent=4)
        for _ in range(calls):
            try:
                await caller(meter, model, request)
                endings.append("answered")
            except (ModelError, BudgetExceeded) as failed:
                endings.append(type(failed).__name__)
        booked = picodollars(meter.summary()["dollars"], "what was booked")  # type: ignore[arg-type]
        meter.close()
        return booked

    with ChatServer(endpoint) as server:
        return anyio.run(main, server.url), endings, server


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_an_endpoint_that_bills_what_it_generated_never_counts_more_than_the_cap(way: str) -> None:
    endpoint = BillingEndpoint(WAYS[way])
    booked, endings, _ = spent_on(endpoint, asking())
    assert endpoint.calls > 10, "or the cap was not tried"
    assert "answered" not in endings
    assert endpoint.picodollars <= picodollars(CAP, "the cap")
    assert endpoint.picodollars <= booked <= picodollars(CAP, "the cap")


BEFORE = {
    "a field that is not known": error(400, "No", code="unknown_parameter"),
    "a prompt that is too long": error(400, "This model's maximum context length is 8 tokens."),
    "a model that is not known": error(404, "No such model", code="model_not_found"),
    "a key that is not known": error(401, "No", code="invalid_api_key"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BEFORE)
def test_a_refusal_before_the_model_ran_costs_nothing(name: str) -> None:
    booked, endings, server = spent_on(lambda _asked: BEFORE[name], asking())
    assert booked == 0
    assert len(endings) == len(server.received) == CALLS


def test_finding_out_what_an_endpoint_does_not_take_costs_one_call() -> None:
    """The endpoint refuses three things one after another, and bills only what it answers."""
    endpoint = BillingEndpoint(lambda usage: Reply(text="4", usage=usage))

    def picky(request: dict[str, Any]) -> Reply:
        if "max_completion_tokens" in request:
            return error(
                400, "Unsupported parameter: 'max_completion_tokens'. Use 'max_tokens'.", code="unsupported_parameter"
            )
        if "temperature" in request:
            return error(
                400, "Unsupported value: 'temperature' does not support 0 with this model.", code="unsupported_value"
            )
        if "n" in request:
            return error(400, "property 'n' is unsupported")
        return endpoint(request)

    request = ModelRequest(
        messages=[{"role": "user", "content": "What is 2 + 2?"}],
        max_output_tokens=2_000,
        temperature=0,
        timeout_seconds=30,
    )
    booked, endings, server = spent_on(picky, request, calls=3)
    assert endings == ["answered"] * 3
    assert booked == endpoint.picodollars
    assert len(server.received) == 3 + 3
