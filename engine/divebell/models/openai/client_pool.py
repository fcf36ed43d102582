"""HTTP clients that models share: one for each endpoint, key and event loop, whoever makes the models.

An application that makes an RLM for each request would otherwise make a client, and an SSL context of 30 ms, each time,
and leave its connections to the garbage collector. An engine has one pool; models that are made by themselves have one
each. Thread-safe. Costs nothing, and imports nothing, until the first call.
"""

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from divebell.models.openai.client import LoopClients

MAX_ENDPOINTS = 1_000
"""Of a pool. Beyond it the one that was not used for longest is let go; models that hold it still use it."""


class ClientPool:
    """The clients of an engine, or of one model."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._endpoints: OrderedDict[tuple[str, str], LoopClients] = OrderedDict()

    def __repr__(self) -> str:
        return f"<ClientPool of {len(self._endpoints):,} endpoints>"

    def get(self, base_url: str, key: str) -> "LoopClients":
        """The clients for an endpoint and a key, made if there are none. Imports `openai`: not on an event loop."""
        from divebell.models.openai.client import LoopClients

        with self._lock:
            found = self._endpoints.pop((base_url, key), None) or LoopClients(base_url, key)
            self._endpoints[base_url, key] = found
            if len(self._endpoints) > MAX_ENDPOINTS:
                self._endpoints.popitem(last=False)
            return found

    def close(self) -> None:
        """Close all connections: those of other event loops on their loops, soon; those of a loop that is not running
        when it ends. Calls in flight fail. A later call opens new ones."""
        for clients in self._all():
            clients.close()

    async def aclose(self) -> None:
        """As `close`, and those of this event loop are closed when this returns."""
        for clients in self._all():
            await clients.aclose()

    def _all(self) -> "list[LoopClients]":
        with self._lock:
            return list(self._endpoints.values())
