"""Running a coroutine to its end where no event loop is: for `RLM.run`, `Session.ask` and `replay`."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import sniffio

from divebell.errors import ConfigurationError

_T = TypeVar("_T")


def run_blocking(function: Callable[[], Awaitable[_T]], *, instead: str) -> _T:
    """Run it in an event loop of its own. ConfigurationError if one is running already, with what to write
    instead."""
    if _is_in_a_loop():
        raise ConfigurationError(f"an event loop is running here: use `{instead}`")
    return anyio.run(function)


def _is_in_a_loop() -> bool:
    try:
        sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        return False
    return True
