"""What endpoints have revealed about their models, and how a request is changed so that they accept it.

An endpoint that refuses a request for its size often names the limit: the model's window, or the highest output limit.
One that does not support JSON schemas says so. This is remembered for the model, so that later requests fit at once,
and the refused request is changed and sent again, with a hold of its own. The journal does not see any of this: it has
the original request and the final outcome.

An endpoint is not trusted with everything: a limit under LEAST_TRUSTED_TOKENS is not remembered, and a call is changed
at most MAX_CHANGES times.
"""

import threading
from dataclasses import dataclass, replace

from divebell.errors import ContextTooLongError, ModelError, ModelRefusedError, OutputTooLongError
from divebell.models.protocol import Model, ModelRequest
from divebell.models.traits import identity_of

MAX_CHANGES = 4
LEAST_TRUSTED_TOKENS = 64
UNNAMED_OUTPUT_TOKENS = (8_192, 4_096, 2_048, 1_024)
"""The output limits to try, the highest first, where an endpoint refuses the size and names no limit."""
TYPICAL_TOKENS_PER_BYTE = 0.3
"""Of English. If it is wrong for a prompt, the endpoint refuses once more and names the right number."""
_SCHEMA_WORDS = (
    *("response_format", "response format", "json_schema", "json schema", "text.format", "structured output"),
    *("structured_output", "guided", "grammar", "json mode"),
)
_THIS_SCHEMA_WORDS = ("invalid schema", "invalid_json_schema", "json_validate_failed", "failed_generation")
"""The endpoint supports schemas, and refuses this one, or a reply to it."""
_SCHEMA_STATUSES = frozenset({400, 404, 415, 422, 501})


@dataclass(frozen=True)
class ModelLimits:
    """What is known of one model; None for what is not known.

    window_tokens: of input and output together where `counts_output`, else of the input alone.
    """

    window_tokens: int | None = None
    counts_output: bool = True
    output_tokens: int | None = None
    tokens_per_byte: float = TYPICAL_TOKENS_PER_BYTE
    takes_schemas: bool = True


class KnownLimits:
    """What is known of each model that an RLM calls, by its identity (endpoint and name). Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, ModelLimits] = {}

    def of(self, model: Model) -> ModelLimits:
        """What is known of this model now."""
        if not self._known:
            return ModelLimits()
        with self._lock:
            return self._known.get(identity_of(model), ModelLimits())

    def _learn(self, model: Model, **facts: object) -> None:
        with self._lock:
            limits = self._known.get(identity_of(model), ModelLimits())
            self._known[identity_of(model)] = replace(limits, **facts)  # type: ignore[arg-type]

    def fit(self, model: Model, request: ModelRequest, least_output_tokens: int) -> ModelRequest:
        """The request as it probably fits: with a lower output limit, and without a schema, where that is known to be
        necessary. For the window's sake its output limit is not lowered under the least."""
        limits = self.of(model)
        output = request.max_output_tokens
        if limits.output_tokens is not None:
            output = min(output, limits.output_tokens)
        if limits.window_tokens is not None and limits.counts_output:
            room = limits.window_tokens - int(_count_bytes(request) * limits.tokens_per_byte)
            output = min(output, max(room, least_output_tokens))
        schema = request.schema if limits.takes_schemas else None
        return replace(request, max_output_tokens=max(output, 1), schema=schema)

    def adapt(
        self, model: Model, request: ModelRequest, sent_output_tokens: int, error: ModelError, least_output_tokens: int
    ) -> ModelRequest | None:
        """The request to send next after this refusal; None if no change of the request can help.

        sent_output_tokens: the output limit that was sent. least_output_tokens: the lowest that is still useful.
        """
        if isinstance(error, OutputTooLongError):
            return self._with_output(model, request, sent_output_tokens, error.output_limit_tokens)
        if isinstance(error, ContextTooLongError):
            return self._in_window(model, request, sent_output_tokens, error, least_output_tokens)
        if request.schema is not None and isinstance(error, ModelRefusedError) and error.status in _SCHEMA_STATUSES:
            sentence = str(error).lower()
            if any(words in sentence for words in _SCHEMA_WORDS):
                if not any(words in sentence for words in _THIS_SCHEMA_WORDS):
                    self._learn(model, takes_schemas=False)
                return replace(request, schema=None)
        return None

    def _with_output(self, model: Model, request: ModelRequest, sent: int, limit: int | None) -> ModelRequest | None:
        if limit is not None and limit < sent:
            if limit >= LEAST_TRUSTED_TOKENS:
                self._learn(model, output_tokens=limit)
            return replace(request, max_output_tokens=max(limit, 1))
        return _with_a_lower_output(request, sent)

    def _in_window(
        self, model: Model, request: ModelRequest, sent: int, error: ContextTooLongError, least: int
    ) -> ModelRequest | None:
        """A lower output limit helps where input and output share the window, and the input leaves room for enough."""
        window, requested = error.limit_tokens, error.requested_tokens
        if window is None:
            return None if sent <= least else _with_a_lower_output(request, sent, least)
        if window >= LEAST_TRUSTED_TOKENS:
            self._learn(model, window_tokens=window, counts_output=error.counts_output)
        if not error.counts_output:
            return None
        if requested is None:
            prompt = int(_count_bytes(request) * self.of(model).tokens_per_byte)
            output = min(window - prompt, sent // 2)
        else:
            prompt = requested - sent if requested > sent else requested
            if window >= LEAST_TRUSTED_TOKENS and _count_bytes(request):
                self._learn(model, tokens_per_byte=min(prompt / _count_bytes(request), 1.0))
            output = min(window - prompt, sent - 1)
        if output < min(least, request.max_output_tokens):
            return None
        return replace(request, max_output_tokens=output)


def _with_a_lower_output(request: ModelRequest, sent: int, least: int = 1) -> ModelRequest | None:
    lower = next((tokens for tokens in UNNAMED_OUTPUT_TOKENS if least <= tokens < sent), None)
    return None if lower is None else replace(request, max_output_tokens=lower)


def _count_bytes(request: ModelRequest) -> int:
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in request.sent_texts())
