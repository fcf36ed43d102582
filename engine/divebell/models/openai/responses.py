"""The adapter for endpoints that speak the Responses API, through the real `openai` client."""

from collections.abc import Mapping
from typing import Any

from divebell.errors import ConfigurationError
from divebell.models.openai.base import OpenAIModel
from divebell.models.openai.content import response_items, schema_format
from divebell.models.openai.responses_reply import read_response
from divebell.models.protocol import Completion, ModelRequest


class OpenAIResponsesModel(OpenAIModel):
    """A model behind a Responses endpoint: OpenAI's, or a compatible one at `base_url`.

    api_key, base_url, client, max_concurrency, clients: as for OpenAIChatModel, and so is all that is said there of
        retries, service tiers and tenants.
    extra_body: further fields of the request, for example {"reasoning": {"effort": "low"}} or
        {"text": {"verbosity": "low"}}. What a ModelRequest says wins.

    Each request holds the whole conversation; nothing is stored at the provider. Raises ConfigurationError if the
    arguments make no sense.
    """

    api = "responses"
    own_fields = frozenset(
        {
            *("input", "instructions", "prompt", "previous_response_id", "conversation", "max_output_tokens", "store"),
            *("background", "background_options", "context_management", "image", "moderation"),
        }
    )

    def _check_extra_body(self) -> None:
        super()._check_extra_body()
        text = self._extra_body.get("text", {})
        if not isinstance(text, Mapping) or "format" in text:
            raise ConfigurationError("extra_body's text must be a dict without a format: the budget depends on it")

    def _fields(self, request: ModelRequest) -> dict[str, Any]:
        fields = self._common_fields(request)
        fields |= {"input": response_items(request), "max_output_tokens": request.max_output_tokens, "store": False}
        if request.schema is not None:
            text = fields["extra_body"].pop("text", {})
            fields["text"] = {**text, "format": {"type": "json_schema", **schema_format(request.schema)}}
        return fields

    def _read(self, body: bytes) -> Completion:
        return read_response(body, self._endpoint)
