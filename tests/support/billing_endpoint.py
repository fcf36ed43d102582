"""An endpoint that keeps a bill of its own: a real local HTTP server that generates, counts, bills, and only then says how
the call ended.

    endpoint = BillingEndpoint(WAYS["a limit that was used up"])
    with ChatServer(endpoint) as server: ...
    endpoint.picodollars                 # what it wants to be paid
"""

import threading
from collections.abc import Callable
from typing import Any

from divebell_bridge.money.rates import Rate
from tests.support.chat_server import Reply, error

RATE = Rate.per_million("2.00", "8.00")
GENERATED_TOKENS = 2_000
BYTES_PER_TOKEN = 4

Way = Callable[[dict[str, int]], Reply]


class BillingEndpoint:
    """A policy of a ChatServer. It generates as much as it may, at most GENERATED_TOKENS, and bills it at RATE."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._lock = threading.Lock()
        self.calls = 0
        self.picodollars = 0

    def __call__(self, request: dict[str, Any]) -> Reply:
        sent = sum(len(message["content"].encode()) for message in request["messages"])
        limit = request.get("max_completion_tokens") or request.get("max_tokens") or GENERATED_TOKENS
        usage = {"prompt_tokens": -(-sent // BYTES_PER_TOKEN), "completion_tokens": min(limit, GENERATED_TOKENS)}
        with self._lock:
            self.calls += 1
            self.picodollars += RATE.cost_picodollars(usage["prompt_tokens"], usage["completion_tokens"])
        return self._way(usage)


def _body(status: int = 400, *, outside: dict[str, object] | None = None, **fields: object) -> Reply:
    inner = {"message": "The request failed.", "type": "invalid_request_error", **fields}
    return Reply(status=status, body={"error": inner, **(outside or {})})


_FINISHED = "Could not finish the message because max_tokens or model output limit was reached. Please try again."

WAYS: dict[str, Way] = {
    "a limit that was used up": lambda usage: error(400, _FINISHED),
    "a prompt that a policy flags": lambda usage: error(400, "Invalid prompt.", code="invalid_prompt"),
    "a content filter": lambda usage: error(400, "The response was filtered.", code="content_filter"),
    "a content filter inside of an inner error": lambda usage: _body(
        innererror={"code": "ResponsibleAIPolicyViolation"}
    ),
    "JSON that does not fit": lambda usage: _body(code="json_validate_failed", failed_generation='{"a": '),
    "a tool call that does not fit": lambda usage: _body(code="tool_use_failed", failed_generation="<function=x>"),
    "what was generated, with a code of a bad request": lambda usage: _body(
        code="unsupported_parameter", failed_generation="Well, "
    ),
    "usage beside the error": lambda usage: _body(outside={"usage": usage}),
    "usage inside of the error, with a code of a bad request": lambda usage: _body(code="invalid_value", usage=usage),
    "a completion in the body": lambda usage: _body(
        code="context_length_exceeded", outside={"choices": [{"message": {"content": "4"}}], "usage": usage}
    ),
    "a sentence that nobody knows": lambda usage: error(400, "Something went wrong while we answered."),
    "nothing at all": lambda usage: Reply(status=400, body=""),
    "a page of HTML": lambda usage: Reply(status=400, body="<html>400</html>", headers={"Content-Type": "text/html"}),
    "a body that breaks off": lambda usage: Reply(
        status=400, body='{"error": {"message": "maximum context length is 8192'
    ),
    "more than is read of a body": lambda usage: _body(code="unknown_parameter", failed_generation="x" * (80 << 10)),
    "a provider's refusal inside of a gateway's": lambda usage: _body(
        metadata={"raw": '{"error": {"message": "Failed to generate JSON", "code": "json_validate_failed"}}'}
    ),
    "403 for the safety of the answer": lambda usage: error(403, "Content violates usage guidelines."),
    "a window that was full as it wrote": lambda usage: error(400, "Reached maximum context length while generating"),
    "a window, and a piece of what was written": lambda usage: _body(
        message="The maximum context length is 8192 tokens", completion="Well, "
    ),
    "a tool call that does not fit, of a gateway that drops its code": lambda usage: error(
        400,
        "Tool call validation failed: parameters for tool search did not match schema: errors: "
        "[additionalProperties 'x' not allowed]",
    ),
    "a field of what was written": lambda usage: error(400, "Model called tool with unexpected parameter 'city'"),
    "a schema that the answer does not fit": lambda usage: error(
        400, "json_schema validation failed: additional properties are not allowed ('b' was unexpected)"
    ),
    "usage as Google names it": lambda usage: _body(
        code="invalid_value", outside={"usageMetadata": {"totalTokenCount": 20}}
    ),
    "usage in texts": lambda usage: _body(code="invalid_value", usage={"completion_tokens": "20"}),
    "a filter in the second of two errors": lambda usage: Reply(
        status=400, body={"errors": [{"message": "unknown parameter"}, {"code": "content_filter"}]}
    ),
    "a reply that its own server cannot check": lambda usage: Reply(
        status=422, body={"detail": [{"type": "missing", "loc": ["response", "choices"], "msg": "Field required"}]}
    ),
    "429 in the middle": lambda usage: error(429, "Rate limit reached while generating, after 200 tokens"),
    "402 in the middle": lambda usage: error(402, "Insufficient credits: completion cut at 300 tokens"),
    "422 without a reason": lambda usage: Reply(status=422, body={"detail": "Unprocessable"}),
}
"""Ways to refuse a call that was generated and billed. The usage, where it is reported, is what was billed."""
