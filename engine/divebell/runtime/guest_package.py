"""The guest's package, as the engine boots it: the module, its manifest, and all the Python that it starts with.

The package (`divebell_wasm`) imports nothing of the other rooms, so two things are done here: its error becomes one of
Divebell's, and the door's facts, which guest and host both use, are put among its sources.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import divebell_wasm
from divebell.errors import GuestError
from divebell_bridge.door import bounds, contract, wire

DOOR_FACTS = {"wire": wire, "contract": contract, "bounds": bounds}
"""Modules of the door that the guest runs too, by their names in its package: right after its `__init__`."""


@contextmanager
def _as_guest_error() -> Iterator[None]:
    try:
        yield
    except divebell_wasm.ModuleError as error:
        raise GuestError(str(error), kind="BadModule") from error


def manifest() -> divebell_wasm.Manifest:
    """The manifest: how the module was built. Raises GuestError."""
    with _as_guest_error():
        return divebell_wasm.manifest()


def module_bytes() -> bytes:
    """The WebAssembly module, decompressed, which takes about a second. Raises GuestError."""
    with _as_guest_error():
        return divebell_wasm.module_bytes()


def sources() -> dict[str, str]:
    """All Python sources that the guest boots with, by module name, in the order in which it runs them."""
    package = divebell_wasm.GUEST_PACKAGE
    own = divebell_wasm.guest_sources()
    facts = {f"{package}.{name}": inspect.getsource(module) for name, module in DOOR_FACTS.items()}
    return {package: own.pop(package), **facts, **own}
