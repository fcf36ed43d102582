"""What all tests share: no network but loopback, limits that make runaway cells short, and processes that may die."""

import ipaddress
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings

from divebell import Engine, Limits, Sandbox
from divebell.runtime import pages

settings.register_profile("divebell", deadline=None)  # a busy machine is no failure
settings.load_profile("divebell")

SETTINGS = {"OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}
LOOPBACK_NAMES = {None, "", "localhost", b"", b"localhost"}


def _is_loopback(host: object) -> bool:
    if host in LOOPBACK_NAMES:
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """A test that reaches beyond this machine fails, whether or not the machine has a network."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(address: Any) -> None:
        if isinstance(address, tuple) and not _is_loopback(address[0]):
            raise AssertionError(f"a test tried to connect to {address[0]!r}")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        check(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        check(address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if not _is_loopback(host):
            raise AssertionError(f"a test tried to look {host!r} up")
        return getaddrinfo(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_settings() -> Iterator[None]:
    """Nothing of who runs the tests leads a model's client elsewhere: no key, no address, no proxy."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [*os.environ]:
            if name.upper() in SETTINGS:
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def short_limits() -> Limits:
    """A runaway cell is interrupted after half a second and killed 0.3 s later."""
    return Limits(cell_seconds=0.5, grace_seconds=0.3)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def engines() -> dict[str, Engine]:
    """The engines that are there already; tests take `engine`."""
    return {}


@pytest.fixture(params=["mapped", "copied", "epochs"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, engines: dict[str, Engine]) -> Engine:
    """Pages that are mapped; pages that are copied; and mapped ones with the interrupts of other systems."""
    if request.param == "copied":
        monkeypatch.setenv("DIVEBELL_COPY_PAGES", "1")
    elif not pages.can_map():
        pytest.skip("this machine cannot map pages")
    return engines.setdefault(request.param, Engine(epochs=request.param == "epochs"))


@pytest.fixture(scope="session")
def alone() -> Callable[..., str]:
    """Run a script in a process of its own and return its stdout: for what would take the tests' process with it."""

    def run(script: str, *, seconds: float = 600, **environment: str) -> str:
        try:
            process = subprocess.run(
                [sys.executable, "-X", "faulthandler", "-c", script],
                env={**os.environ, **environment}, capture_output=True, text=True, timeout=seconds,
            )  # fmt: skip
        except subprocess.TimeoutExpired as stuck:
            pytest.fail(f"the process did not end within {seconds} s; it said: {stuck.stdout!r} {stuck.stderr!r}")
        if process.returncode < 0:
            pytest.fail(
                f"the process died of signal {-process.returncode}: {process.stdout[-1000:]}{process.stderr[-2000:]}"
            )
        assert process.returncode == 0, process.stdout[-1000:] + process.stderr[-3000:]
        return process.stdout

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that is named after an address has another name in each process, and xdist could not tell which it is."""
    unstable = [item.nodeid for item in items if re.search(r" at 0x[0-9a-f]+", item.nodeid)]
    if unstable:
        raise pytest.UsageError(f"name these tests with tests.support.names.name_value: {unstable[:3]}")
