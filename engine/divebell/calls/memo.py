"""A memo of sub-calls: an identical request to the same model at temperature 0 gets the recorded answer, at no cost.

Off by default, because a provider's answers vary from day to day even at temperature 0. Where it is on, it is shared
within a run, within a tenant, or in a store that the application keeps. Guaranteed: an answer to one tenant never
reaches another, unless the application made the store with `across_tenants=True`; so a tenant cannot find out what
another one asked by which calls are fast and free.
"""

import sys
import threading
from collections import OrderedDict

from divebell.errors import ConfigurationError
from divebell.models.protocol import Completion, ModelRequest
from divebell.models.request_digest import request_digest

ENTRY_BYTES = 200  # what an entry takes beside its text


class Memo:
    """A store of answers, in memory. Thread-safe. When full, the least recently used entry is evicted.

    max_entries, max_bytes: the most answers, and the most memory for them.
    across_tenants: whether tenants share their answers.

    Models are told apart by `identity`, a text, where they have such an attribute (Divebell's own do: endpoint and
    `extra_body` are in it), else by their name: give models of your own that differ different names.
    """

    def __init__(self, *, max_entries: int = 10_000, max_bytes: int = 64 << 20, across_tenants: bool = False) -> None:
        for name, value in (("max_entries", max_entries), ("max_bytes", max_bytes)):
            if type(value) is not int or value < 1:
                raise ConfigurationError(f"{name} must be a whole number over 0, not {value!r}")
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._across_tenants = across_tenants
        self._lock = threading.Lock()
        self._answers: OrderedDict[tuple[str, str], Completion] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, tenant: str, model: str, request: ModelRequest) -> Completion | None:
        """The recorded answer, if there is one and the request is at temperature 0."""
        if request.temperature != 0:
            return None
        key = self._key(tenant, model, request)
        with self._lock:
            answer = self._answers.get(key)
            if answer is not None:
                self._answers.move_to_end(key)
            return answer

    def put(self, tenant: str, model: str, request: ModelRequest, completion: Completion) -> None:
        """Record an answer, unless it was cut off or the request is not at temperature 0."""
        size = _size(completion)
        if request.temperature != 0 or completion.finish_reason != "stop" or size > self._max_bytes:
            return
        key = self._key(tenant, model, request)
        with self._lock:
            before = self._answers.pop(key, None)
            self._bytes += size - (0 if before is None else _size(before))
            self._answers[key] = completion
            while self._bytes > self._max_bytes or len(self._answers) > self._max_entries:
                _, oldest = self._answers.popitem(last=False)
                self._bytes -= _size(oldest)

    def _key(self, tenant: str, model: str, request: ModelRequest) -> tuple[str, str]:
        return "" if self._across_tenants else tenant, request_digest(model, request)


def _size(completion: Completion) -> int:
    """In bytes: a character takes up to four of them."""
    return sys.getsizeof(completion.text) + sys.getsizeof(repr(completion.tool_calls)) + ENTRY_BYTES
