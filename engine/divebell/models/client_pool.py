"""HTTP clients that models share: one for each provider, endpoint, key and event loop, whoever makes the models.

An application that makes an RLM for each request would otherwise make a client, and an SSL context of 30 ms, each time,
and leave its connections to the garbage collector. An engine has one pool; models that are made by themselves have one
each. Thread-safe. Costs nothing, and imports nothing, until the first call.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, TypeVar, cast

MAX_ENDPOINTS = 1_000
"""Of a pool. Beyond it the least recently used entry is dropped; models that hold it still use it."""


class Clients(Protocol):
    """The connections to one endpoint with one key. They belong to the event loops in which they were opened."""

    def close(self) -> None:
        """Close those of every event loop: of other loops on these, soon."""
        ...

    async def aclose(self) -> None:
        """As `close`, and those of this event loop are closed when this returns."""
        ...


_C = TypeVar("_C", bound=Clients)


class ClientPool:
    """The clients of an engine, or of one model."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._endpoints: OrderedDict[tuple[Callable[[str, str], Clients], str, str], Clients] = OrderedDict()

    def __repr__(self) -> str:
        return f"<ClientPool of {len(self._endpoints):,} endpoints>"

    def get(self, open_clients: Callable[[str, str], _C], base_url: str, key: str) -> _C:
        """The clients for an endpoint and a key; `open_clients` makes them of the two where there are none.

        open_clients: a function of the adapter's module. It may import the provider's library, so call this on a thread
            where that takes long.
        """
        with self._lock:
            endpoint = (open_clients, base_url, key)
            clients = cast("_C", self._endpoints.pop(endpoint, None) or open_clients(base_url, key))
            self._endpoints[endpoint] = clients
            if len(self._endpoints) > MAX_ENDPOINTS:
                self._endpoints.popitem(last=False)
            return clients

    def close(self) -> None:
        """Close all connections: those of other event loops on their loops, soon; those of a loop that is not running
        when it ends. Calls in flight fail. A later call opens new ones."""
        for clients in self._all():
            clients.close()

    async def aclose(self) -> None:
        """As `close`, and those of this event loop are closed when this returns."""
        for clients in self._all():
            await clients.aclose()

    def _all(self) -> list[Clients]:
        with self._lock:
            return list(self._endpoints.values())
