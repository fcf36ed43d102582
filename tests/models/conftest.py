"""A local endpoint for the adapters."""

from collections.abc import Iterator

import pytest

from tests.support.chat_server import ChatServer


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """Replies "hello" to every request."""
    with ChatServer("hello") as running:
        yield running
