"""What the adapters for OpenAI's two APIs share: their options, how a call is sent, and what callers may not change.

The client is imported at the first call, on another thread: importing it takes most of a second.
"""

import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Self

import anyio
import anyio.to_thread

from divebell.concurrency import ConcurrencyLimit
from divebell.errors import ConfigurationError, ModelError
from divebell.models.adapter import ModelAccess
from divebell.models.client_pool import ClientPool
from divebell.models.endpoints.hosts import OFFICIAL_URL, check_key, check_url, endpoint_at
from divebell.models.openai.errors import Progress, translate
from divebell.models.openai.fallbacks import MAX_FALLBACKS, REMEMBERED, apply_fallbacks, next_fallback
from divebell.models.openai.refusals import read_complaint
from divebell.models.openai.usage import TIER
from divebell.models.protocol import Completion, ModelRequest

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from divebell.models.openai.client import Api, LoopClients

IDEMPOTENCY_HEADER = "Idempotency-Key"
"""Identifies the call. A resumed run sends the same value when it makes a call again; each retry has a value of its
own, because some endpoints would only repeat the failure. Endpoints that honour the header (gateways do; OpenAI's API
does not promise it) answer the second request as they did the first, and bill once; others ignore it, and bill both.
Some refuse the second if it differs, which it does where less money was left for its output."""
MAX_IDENTIFIER_CHARACTERS = 64  # of prompt_cache_key and safety_identifier, set by the API

# The hold depends on these: which model, what is sent, how often, how long, at which prices, and that only tokens of
# text and images are billed.
_OWN_FIELDS = frozenset(
    {
        *("model", "models", "stream", "service_tier", "tools", "plugins", "prompt_cache_options", "timeout"),
        *("extra_body", "extra_headers", "extra_query"),
    }
)


class OpenAIModel(ABC):
    """One model behind an endpoint that speaks one of OpenAI's APIs. Its subclasses are the adapters."""

    api: ClassVar["Api"]
    own_fields: ClassVar[frozenset[str]]
    """Fields that `extra_body` may not set in this API, in addition to those that it may not set in either API."""

    def __init__(
        self,
        name: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        client: "AsyncOpenAI | None" = None,
        extra_body: Mapping[str, object] | None = None,
        max_concurrency: int | None = None,
        clients: ClientPool | None = None,
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"the model's name must be a text such as 'gpt-5-mini', not {name!r}")
        self._extra_body = dict(extra_body or {})
        self._check_extra_body()
        self._name = name
        self._limit = None if max_concurrency is None else ConcurrencyLimit(max_concurrency)
        self._callers_client: AsyncOpenAI | None = None
        if client is not None:
            if api_key or base_url:
                raise ConfigurationError("the client has a key and a URL of its own: leave out api_key and base_url")
            self._callers_client = client.with_options(max_retries=0)
            base_url, key = str(client.base_url), client.api_key
        else:
            base_url = check_url(base_url or os.environ.get("OPENAI_BASE_URL") or OFFICIAL_URL)
            key = check_key(api_key or os.environ.get("OPENAI_API_KEY") or "")
        self._base_url = base_url
        self._endpoint = endpoint_at(base_url, model=name, key=key)
        if client is None and self._endpoint.official and not key:
            raise ConfigurationError(
                "no API key: set OPENAI_API_KEY, or name an endpoint that needs none with base_url"
            )
        self._owns_pool = clients is None
        self._pool = ClientPool() if clients is None else clients

    @classmethod
    def connect(cls, name: str, access: ModelAccess) -> Self:
        """The model of that name, for the registry."""
        return cls(name, api_key=access.api_key, base_url=access.base_url, clients=access.clients)

    @property
    def name(self) -> str:
        return self._name

    @property
    def identity(self) -> str:
        """What distinguishes it from others of its name: its API, its endpoint, and `extra_body`."""
        more = json.dumps(self._extra_body, sort_keys=True, default=repr)
        return f"{self._name} {type(self).__name__} {self._base_url} {more}"

    @property
    def surcharge_percent(self) -> int:
        """How much more than the list price its endpoint may cost. Rates of the application are used unchanged."""
        return self._endpoint.surcharge_percent

    @property
    def secrets(self) -> tuple[str, ...]:
        """Its key, which is kept out of replies, errors, logs, traces and journals."""
        return (self._endpoint.key,) if self._endpoint.key else ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r}, base_url={self._endpoint.url!r})"

    async def complete(self, request: ModelRequest) -> Completion:
        """One call. Raises ModelRefusedError, ModelUnavailableError or another ModelError, and nothing else.

        The request's timeout covers waiting for a slot of `max_concurrency`, connecting, and the reply. The client's
        own timeouts begin once there is a slot, with the time that is left. A call that got no slot never ran.
        """
        progress = Progress()
        try:
            with anyio.fail_after(request.timeout_seconds):  # the client's own timeouts start again with each byte
                deadline = time.monotonic() + request.timeout_seconds
                async with self._limit or nullcontext():
                    progress.phase = "connecting"
                    return self._read(await self._fetch_reply(request, deadline, progress))
        except ModelError as error:
            error.model = error.model or self._name
            raise
        except Exception as error:
            failure = translate(error, self._endpoint, progress)
        raise failure  # out here it has no context: the client's exception holds the key

    def _check_extra_body(self) -> None:
        owned = sorted((_OWN_FIELDS | self.own_fields).intersection(self._extra_body))
        if owned:
            raise ConfigurationError(f"extra_body may not set {', '.join(owned)}: the budget depends on them")

    @abstractmethod
    def _fields(self, request: ModelRequest) -> dict[str, Any]:
        """The fields of the request in this API. RequestError if it cannot be sent."""

    @abstractmethod
    def _read(self, body: bytes) -> Completion:
        """The completion in the reply's body. ModelError if there is none."""

    async def _fetch_reply(self, request: ModelRequest, deadline: float, progress: Progress) -> bytes:
        """The reply's body. Sends again only where the endpoint refused a part of the request, and so did nothing."""
        key = (self.api, self._endpoint.url, self._name)
        names = known = REMEMBERED.get(key)
        original = self._fields(request)
        for attempt in range(1, MAX_FALLBACKS + 2):
            fields = apply_fallbacks(original, names)
            if attempt > 1 and "extra_headers" in fields:  # the first one's name may stand for its refusal
                headers = fields["extra_headers"].items()
                fields["extra_headers"] = {header: f"{value}-{attempt}" for header, value in headers}
            try:
                client = await self._open_client()
                from divebell.models.openai.client import post

                progress.phase = "connecting" if self._callers_client is None else "unknown"
                left_seconds = max(deadline - time.monotonic(), 0.001)
                body = await post(client, self.api, fields, left_seconds, progress)
            except Exception as error:
                complaint = read_complaint(error)
                name = None if complaint is None else next_fallback(complaint, fields, names)
                if name is None:
                    raise
                names = (*names, name)
            else:
                if names != known:
                    REMEMBERED.add(key, names)
                return body
        raise AssertionError("each fallback is tried once")

    async def _open_client(self) -> "AsyncOpenAI":
        """The caller's client, or the running loop's."""
        if self._callers_client is not None:
            return self._callers_client
        endpoint = (open_clients, self._base_url, self._endpoint.key)
        if "divebell.models.openai.client" in sys.modules:
            clients = self._pool.get(*endpoint)
        else:  # the first call imports it: on a thread, because that would block all other tasks
            clients = await anyio.to_thread.run_sync(self._pool.get, *endpoint)
        return await clients.current()

    async def aclose(self) -> None:
        """Close the model's connections, if they are its own: an engine closes its own, and a client that was passed in
        belongs to the caller. Otherwise they are closed when their event loop ends."""
        if self._owns_pool:
            await self._pool.aclose()

    def _common_fields(self, request: ModelRequest) -> dict[str, Any]:
        """The fields that both APIs have in common."""
        fields: dict[str, Any] = {"model": self._name, "extra_body": dict(self._extra_body)}
        if "call" in request.metadata:
            fields["extra_headers"] = {IDEMPOTENCY_HEADER: f"divebell-{_digest(request.metadata['call'])[:48]}"}
        if request.temperature is not None:
            fields["temperature"] = request.temperature
            fields["extra_body"].pop("temperature", None)
        if self._endpoint.official:
            fields |= {"store": False, "service_tier": TIER}
            tenant, cache_key = request.metadata.get("tenant"), request.metadata.get("cache_key")
            if tenant:
                fields["safety_identifier"] = _digest(tenant)
            if cache_key:
                short = len(cache_key) <= MAX_IDENTIFIER_CHARACTERS
                fields["prompt_cache_key"] = cache_key if short else _digest(cache_key)
        return fields


def open_clients(base_url: str, key: str) -> "LoopClients":
    """Clients for a ClientPool. Imports `openai`: not on an event loop."""
    from divebell.models.openai.client import LoopClients

    return LoopClients(base_url, key)


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
