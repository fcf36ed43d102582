"""The adapter for endpoints that speak the Chat Completions API, through the real `openai` client."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from divebell.errors import ConfigurationError
from divebell.models.client_pool import ClientPool
from divebell.models.openai.base import OpenAIModel
from divebell.models.openai.content import chat_messages, schema_format
from divebell.models.openai.reply import read_completion
from divebell.models.protocol import Completion, ModelRequest

if TYPE_CHECKING:
    from openai import AsyncOpenAI

TokensField = Literal["max_completion_tokens", "max_tokens"]


class OpenAIChatModel(OpenAIModel):
    """A model behind a Chat Completions endpoint: OpenAI's, or a compatible one at `base_url`.

    api_key: by default $OPENAI_API_KEY. An endpoint at a base_url may need none.
    base_url: by default $OPENAI_BASE_URL, else the OpenAI API.
    client: an openai.AsyncOpenAI to use instead of own ones. It belongs to the caller, and to one event loop.
    max_tokens_field: the name of the output limit. Use "max_tokens" for a server that ignores fields which it does not
        know: it would not keep to the limit.
    extra_body: further fields of the request, for example {"reasoning_effort": "low"}. Those of a request win.
    max_concurrency: how many calls may run at once, over all threads and event loops; others wait, in order. None for
        no limit.
    clients: connections to share with other models, as Engine.clients; by default its own.

    Where an endpoint refuses a field, a value or a role that Divebell sends of its own accord (max_completion_tokens,
    temperature, a schema, the system role and others), the call is sent again without it, or under its other name, and
    so are all later calls of the model there. The SDK's own retries are off, because a retry is a new hold, and
    redirects are not followed. OpenAI's API is asked for the standard service tier; a reply from another tier has
    another price, so it comes back without usage, and the meter charges the whole hold. The tenant is sent only as a
    hash. Raises ConfigurationError if the arguments make no sense.
    """

    api = "chat"
    own_fields = frozenset(
        {
            *("messages", "n", "best_of", "max_completion_tokens", "max_tokens", "response_format"),
            *("functions", "web_search_options", "audio", "modalities", "prediction"),
        }
    )

    def __init__(
        self,
        name: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        client: "AsyncOpenAI | None" = None,
        max_tokens_field: TokensField = "max_completion_tokens",
        extra_body: Mapping[str, object] | None = None,
        max_concurrency: int | None = None,
        clients: ClientPool | None = None,
    ) -> None:
        if max_tokens_field not in ("max_completion_tokens", "max_tokens"):
            raise ConfigurationError(
                f"max_tokens_field must be 'max_completion_tokens' or 'max_tokens', not {max_tokens_field!r}"
            )
        super().__init__(
            name,
            api_key=api_key,
            base_url=base_url,
            client=client,
            extra_body=extra_body,
            max_concurrency=max_concurrency,
            clients=clients,
        )
        self._tokens_field: TokensField = max_tokens_field

    def _fields(self, request: ModelRequest) -> dict[str, Any]:
        fields = self._common_fields(request)
        fields |= {"messages": chat_messages(request), self._tokens_field: request.max_output_tokens, "n": 1}
        if request.schema is not None:
            fields["response_format"] = {"type": "json_schema", "json_schema": schema_format(request.schema)}
        return fields

    def _read(self, body: bytes) -> Completion:
        return read_completion(body, self._endpoint)
