"""The adapter for endpoints that speak the Chat Completions API, through the real `openai` client.

The client is imported at the first call, on another thread: importing it takes most of a second.
"""

import os
import re
import threading
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from divebell.errors import ConfigurationError, ModelError
from divebell.models.openai_errors import Where, is_unknown_field, translate
from divebell.models.openai_reply import TIER, encodable, read_completion
from divebell.models.protocol import Completion, Request

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from divebell.models.openai_client import LoopClients

OFFICIAL_URL = "https://api.openai.com/v1"
OFFICIAL_HOST = "api.openai.com"  # and its regional subdomains
MAX_IDENTIFIER_CHARACTERS = 64  # of prompt_cache_key and safety_identifier, set by the API

TokensField = Literal["max_completion_tokens", "max_tokens"]

# What the hold rests on: how often, how long, at which prices, and that nothing but tokens is billed.
_OWN_FIELDS = frozenset(
    {
        *("model", "messages", "n", "best_of", "stream", "max_completion_tokens", "max_tokens", "service_tier"),
        *("tools", "functions", "web_search_options", "audio", "modalities"),
    }
)


class OpenAIChatModel:
    """A model behind a Chat Completions endpoint: OpenAI's, or a compatible one at `base_url`.

    api_key: by default $OPENAI_API_KEY. An endpoint at a base_url may need none.
    base_url: by default $OPENAI_BASE_URL, else the OpenAI API.
    client: an openai.AsyncOpenAI to use instead of own ones. It belongs to the caller, and to one event loop.
    max_tokens_field: how the output limit is sent. Where an endpoint answers that it does not know
        max_completion_tokens, max_tokens is sent from then on. Say "max_tokens" for a server that ignores fields which
        it does not know: it would not keep to the limit.
    extra_body: further fields of the request, for example {"reasoning_effort": "low"}.

    The SDK's own retries are off, because a retry is a new hold, and redirects are not followed. Of the OpenAI API the
    standard service tier is asked for; a reply from another tier costs another price, so it comes back without usage,
    and the meter charges the whole hold. The tenant is sent only as a hash. Raises ConfigurationError where the
    arguments make no sense.
    """

    def __init__(
        self,
        name: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        client: "AsyncOpenAI | None" = None,
        max_tokens_field: TokensField = "max_completion_tokens",
        extra_body: Mapping[str, object] | None = None,
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"the model's name must be a text such as 'gpt-5-mini', not {name!r}")
        if max_tokens_field not in ("max_completion_tokens", "max_tokens"):
            raise ConfigurationError(
                f"max_tokens_field must be 'max_completion_tokens' or 'max_tokens', not {max_tokens_field!r}"
            )
        self._extra_body = dict(extra_body or {})
        owned = sorted(_OWN_FIELDS.intersection(self._extra_body))
        if owned:
            raise ConfigurationError(f"extra_body may not set {', '.join(owned)}: the budget rests on them")
        self._name = name
        self._tokens_field: TokensField = max_tokens_field
        self._given: AsyncOpenAI | None = None
        if client is not None:
            if api_key or base_url:
                raise ConfigurationError("the client has a key and a URL of its own: leave out api_key and base_url")
            self._given = client.with_options(max_retries=0)
            base_url, key = str(client.base_url), client.api_key
        else:
            base_url = checked_url(base_url or os.environ.get("OPENAI_BASE_URL") or OFFICIAL_URL)
            key = checked_key(api_key or os.environ.get("OPENAI_API_KEY") or "")
        parts = urlsplit(base_url)
        official = parts.hostname == OFFICIAL_HOST or (parts.hostname or "").endswith(f".{OFFICIAL_HOST}")
        if client is None and official and not key:
            raise ConfigurationError(
                "no API key: set OPENAI_API_KEY, or name an endpoint that needs none with base_url"
            )
        self._base_url = base_url
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"  # queries may hold keys
        self._where = Where(model=name, url=shown, official=official, key=key)
        self._lock = threading.Lock()
        self._clients: LoopClients | None = None

    @property
    def name(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"OpenAIChatModel({self._name!r}, base_url={self._where.url!r})"

    async def complete(self, request: Request) -> Completion:
        """One call. ModelRefused, ModelUnavailable or another ModelError where it failed; never the client's own."""
        try:
            with anyio.fail_after(request.timeout_seconds):  # the client's own timeouts start anew with each byte
                return read_completion(await self._answer(request), self._where)
        except ModelError:
            raise
        except Exception as error:
            failure = translate(error, self._where)
        raise failure  # out here it has no context: the client's exception holds the key

    async def _answer(self, request: Request) -> bytes:
        """The reply's body. Sends again only where the endpoint did not know the limit's field, so did nothing."""
        client = self._given
        if client is None:
            clients = self._clients
            if clients is None:
                clients = await anyio.to_thread.run_sync(self._open)
            client = await clients.current()
        from divebell.models.openai_client import post

        deadline = time.monotonic() + request.timeout_seconds
        field = self._tokens_field
        try:
            return await post(client, self._fields(request, field), request.timeout_seconds)
        except Exception as error:
            if field == "max_tokens" or not is_unknown_field(error, field):
                raise
        left = max(deadline - time.monotonic(), 0.001)
        body = await post(client, self._fields(request, "max_tokens"), left)
        self._tokens_field = "max_tokens"
        return body

    def _open(self) -> "LoopClients":
        """Imports the client, so runs on a thread of its own, or all other tasks would stand still."""
        from divebell.models.openai_client import LoopClients

        with self._lock:
            if self._clients is None:
                self._clients = LoopClients(self._base_url, self._where.key)
            return self._clients

    def _fields(self, request: Request, tokens_field: TokensField) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "model": self._name,
            "messages": [
                {"role": message["role"], "content": encodable(message["content"])} for message in request.messages
            ],
            tokens_field: request.max_output_tokens,
            "n": 1,
            "extra_body": self._extra_body,
        }
        if self._where.official:
            fields |= {"store": False, "service_tier": TIER}
            tenant, cache_key = request.metadata.get("tenant"), request.metadata.get("cache_key")
            if tenant:
                fields["safety_identifier"] = _digest(tenant)
            if cache_key:
                short = len(cache_key) <= MAX_IDENTIFIER_CHARACTERS
                fields["prompt_cache_key"] = cache_key if short else _digest(cache_key)
        return fields


def checked_url(url: str) -> str:
    """The URL, if an endpoint can be there. ConfigurationError otherwise; it never shows a password."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise ConfigurationError("base_url is not a valid URL; it must look like http://localhost:8000/v1") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("base_url may not hold a user name or a password: give the key as api_key")
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_valid or re.search(r"\s", url):
        raise ConfigurationError(f"base_url must look like http://localhost:8000/v1, not {url[:200]!r}")
    return url


def checked_key(key: str) -> str:
    """The key without the line break that `$(cat file)` and editors leave. It must fit into a header."""
    key = key.strip()
    if re.search(r"[^\x21-\x7e]", key):
        raise ConfigurationError("the API key holds spaces, line breaks or characters that are not ASCII: check it")
    return key


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
