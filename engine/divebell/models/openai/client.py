"""The HTTP side of the adapters. Importing this imports `openai`, which takes most of a second: import it late.

Connections belong to the event loop in which they were made, while a model may be used from several loops, at once or
one after another: `RLM.run` makes one for each query. So there is a client for each loop. It is closed when its loop
ends, without anybody's help: an asynchronous generator holds it, and a loop finishes its generators before it closes.

Not guaranteed: a loop that is closed without `shutdown_asyncgens` (asyncio.run and anyio.run call it) leaves its
connections to the garbage collector.
"""

import asyncio
import contextlib
import os
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Literal

import httpx2
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from divebell.bounds import MAX_BODY_BYTES
from divebell.models.openai.errors import Progress, ReplyTooLong

NO_KEY = "none"  # the client insists on a key; endpoints that need none ignore this one
CONNECT_SECONDS = 20.0
CONNECT_SHARE = 0.9  # of the call's time: a TLS handshake that is cancelled from outside leaves its socket open
MAX_CONNECTIONS = 1_000
CLOSE_SECONDS = 2.0  # how long a client of another loop is waited for
IDLE_SECONDS = 2.0  # servers close idle connections after 5 s or more; a request sent at that moment would be lost
MAX_ERROR_BYTES = 64 << 10


Api = Literal["chat", "responses"]

_progress: ContextVar[Progress] = ContextVar("_progress")


async def post(
    client: AsyncOpenAI, api: Api, fields: dict[str, Any], timeout_seconds: float, progress: Progress
) -> bytes:
    """Send one request once, and return the answer's body. Raises what openai and httpx2 raise, and ReplyTooLong.

    progress: says "sent" from the moment on when something of the request may have left, if the client is one of
    LoopClients; for other clients that is not known.
    """
    timeout = httpx2.Timeout(timeout_seconds, connect=min(timeout_seconds * CONNECT_SHARE, CONNECT_SECONDS))
    resource: Any = client.chat.completions if api == "chat" else client.responses
    body = bytearray()
    progress_token = _progress.set(progress)
    try:
        async with resource.with_streaming_response.create(**fields, timeout=timeout) as response:
            async for piece in response.iter_bytes():  # decompressed, so that a small body cannot become a large one
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    raise ReplyTooLong(MAX_BODY_BYTES)
    finally:
        _progress.reset(progress_token)
    return bytes(body)


@lru_cache(maxsize=4)
def _ssl_context(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """Takes 30 ms, and all clients can share it, as long as the environment names the same certificates."""
    return httpx2.create_ssl_context()


class LoopClients:
    """One client for each running event loop, all for the same endpoint."""

    def __init__(self, base_url: str, key: str) -> None:
        self._base_url = base_url
        self._key = key
        self._verify = _ssl_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        self._limits = httpx2.Limits(
            max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS, keepalive_expiry=IDLE_SECONDS
        )
        self._lock = threading.Lock()
        self._open: dict[asyncio.AbstractEventLoop, tuple[AsyncOpenAI, AsyncGenerator[None, None]]] = {}

    async def current(self) -> AsyncOpenAI:
        """The running loop's client."""
        loop = asyncio.get_running_loop()
        opened = self._open.get(loop)
        if opened is not None:
            return opened[0]
        self._forget_ended()
        client = AsyncOpenAI(
            api_key=self._key or NO_KEY,
            base_url=self._base_url,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(
                verify=self._verify,
                limits=self._limits,
                follow_redirects=False,  # prompts go where the application said, and nowhere else
                event_hooks={"request": [_watch], "response": [_bound_errors]},
            ),
        )
        keeper = _close_with_its_loop(client)
        await anext(keeper)  # does not wait, so that no other task comes between
        with self._lock:
            self._open[loop] = client, keeper
        return client

    def _forget_ended(self) -> None:
        with self._lock:
            for old in [each for each in self._open if each.is_closed()]:
                del self._open[old]

    def close(self) -> None:
        """Close all clients: each on its own loop, soon. Those of a loop that is not running are closed at its end."""
        for loop, keeper in self._take_running():
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                asyncio.run_coroutine_threadsafe(_end(keeper), loop)

    async def aclose(self) -> None:
        """As `close`; this loop's client is closed when this returns, and those of others are waited for a moment."""
        here = asyncio.get_running_loop()
        for loop, keeper in self._take_running():
            if loop is here:
                await keeper.aclose()
                continue
            with contextlib.suppress(RuntimeError, TimeoutError):
                elsewhere = asyncio.run_coroutine_threadsafe(_end(keeper), loop)
                await asyncio.wait_for(asyncio.wrap_future(elsewhere), CLOSE_SECONDS)

    def _take_running(self) -> list[tuple[asyncio.AbstractEventLoop, AsyncGenerator[None, None]]]:
        """The running loops' clients, which are no longer handed out."""
        with self._lock:
            running = [loop for loop in self._open if loop.is_running()]
            return [(loop, self._open.pop(loop)[1]) for loop in running]


async def _end(keeper: AsyncGenerator[None, None]) -> None:
    await keeper.aclose()


async def _close_with_its_loop(client: AsyncOpenAI) -> AsyncGenerator[None, None]:
    """Closes the client when its loop ends, or before that when nobody holds the generator any more."""
    try:
        yield
    finally:
        await client.close()


async def _watch(request: httpx2.Request) -> None:
    """Note when the transport begins to send the request: from then on it may have been billed."""
    progress = _progress.get()

    async def traced(event: str, info: dict[str, Any]) -> None:
        to_proxy = getattr(info.get("request"), "method", b"") == b"CONNECT"  # opens a tunnel, and sends nothing of it
        if "send_request" in event and event.endswith(".started") and not to_proxy:
            progress.phase = "sent"
            request.extensions.pop("trace", None)  # what comes after that decides nothing

    request.extensions = {**request.extensions, "trace": traced}


async def _bound_errors(response: httpx2.Response) -> None:
    """End an error's body after MAX_ERROR_BYTES: the openai client reads all of it, however long it is."""
    if not response.is_success:
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    """A stream that ends early, after MAX_ERROR_BYTES."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left_bytes = MAX_ERROR_BYTES
        async for piece in self._stream:
            yield piece[:left_bytes]
            left_bytes -= len(piece)
            if left_bytes <= 0:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()
