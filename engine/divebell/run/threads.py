"""Threads in which sandboxes run. They are not among anyio's forty, because a parent keeps its thread while its
children run, so a bound here could starve them. They are bounded by max_concurrent_children and the depth."""

from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread

_T = TypeVar("_T")
_limiter: anyio.CapacityLimiter | None = None


async def in_thread(function: Callable[..., _T], *arguments: Any, abandon_on_cancel: bool = False) -> _T:
    """Call the function in a thread and wait for it."""
    global _limiter
    if _limiter is None:
        _limiter = anyio.CapacityLimiter(float("inf"))
    return await anyio.to_thread.run_sync(function, *arguments, abandon_on_cancel=abandon_on_cancel, limiter=_limiter)
