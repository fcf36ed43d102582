"""What says of a refusal that the model ran, whatever its code; and what does not, though it speaks of a completion."""

from typing import Any

import pytest

from divebell.models.endpoints.error_body import read_error
from divebell.models.endpoints.refunds import surely_never_ran


def said(message: str, **fields: object) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


RAN: list[tuple[int, Any]] = [
    (400, said("Context length exceeded during decoding", code="context_length_exceeded")),
    (400, said("The model's completion exceeds the maximum context length of 8192")),
    (400, said("Completion truncated: prompt too long for further tokens")),
    (400, said("Model emitted a call with unknown parameter 'city'")),
    (400, said("tool_use_failed: parameters for tool x not allowed")),
    (400, said("Max completion tokens exhausted before JSON was complete; response_format not supported here")),
    (400, said("Empty completion", code="invalid_value")),
    (400, said("Model returned no content", code="missing")),
    (400, said("No", code="context_length_exceeded", text="The capital is")),
    (400, said("No", code="invalid_value", completion_tokens=200)),
    (400, said("No", code="invalid_value", tokens_used=200)),
    (400, said("No", code="invalid_value", details=[{"code": "content_filter"}])),
    (400, said("No", code="invalid_value", content_filter_result={"hate": {"filtered": True}})),
    (400, {**said("No", code="invalid_value"), "cost": 0.2}),
    (400, {**said("No", code="invalid_value"), "usage": {"of": [{"completion_tokens": 20}]}}),
    (400, {**said("No", code="invalid_value"), "timings": {"predicted_n": 20}}),
    (400, {**said("No", code="invalid_value"), "message": {"content": "Paris"}}),
    (400, {"detail": [{"type": "missing", "msg": "Field required"}, {"failed_generation": "Well"}]}),
    (400, said("No", code="invalid_value", more=[{"a": {}}] * 6_000)),
    (422, {"detail": [{"type": "json_invalid", "loc": ["output", 5], "msg": "JSON decode error"}]}),
    (422, {"detail": "Output parsing: unexpected parameter x"}),
    (403, said("Blocked by policy", code="permission_denied")),
    (404, said("no completion found")),
    (413, "Response body too large"),
    (429, said("Stream was cut, output tokens per minute exceeded")),
    (303, ""),
]

NEVER_RAN: list[tuple[int, Any]] = [
    (400, said("Unknown parameter: 'safety_identifier'.")),
    (400, said("Unsupported parameter: 'top_k' is not supported with this model.")),
    (400, said("This model's maximum context length is 4097 tokens, however you requested 4353 tokens (2353 in your "
               "prompt; 2000 for the completion). Please reduce your prompt; or completion length.")),
    (400, said("However, you requested 5000 tokens (1000 in the messages, 4000 in the completion): this model's maximum "
               "context length is 4096 tokens. Please reduce the length of the messages or completion.")),
    (400, said("Response format json_schema is not supported: unsupported value for response_format")),
    (400, said("No", code="invalid_value", usage={"completion_tokens": 0, "total_tokens": 0})),
    (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "store"], "msg": "Extra inputs are not permitted",
                       "input": {"messages": [{"content": "generated text"}]}}]}),
    (404, said("No endpoints found matching your data policy")),
    (404, said("This model is only supported in v1/responses and not in v1/chat/completions.")),
    (429, said("Rate limit reached for output tokens per minute. Please try again in 7.66s.", code="rate_limit_exceeded")),
    (429, said("You exceeded your current quota", code="insufficient_quota")),
    (401, said("Incorrect API key provided", code="invalid_api_key")),
    (307, ""),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), RAN)
def test_what_says_anywhere_that_the_model_ran_is_not_given_back(status: int, body: object) -> None:
    assert not surely_never_ran(status, read_error(body))


@pytest.mark.parametrize(("status", "body"), NEVER_RAN)
def test_refusals_of_the_request_itself_are_given_back(status: int, body: object) -> None:
    assert surely_never_ran(status, read_error(body))


@pytest.mark.parametrize(
    "piece", ["[" * 50_000, "reached ", "while a", "tool ", "not supported param ", '{"a":' * 9_000]
)
def test_reading_a_long_refusal_ends(piece: str) -> None:
    text = (piece * (60_000 // len(piece) + 1))[:60_000]
    assert not surely_never_ran(400, read_error({"error": {"message": text}}))
