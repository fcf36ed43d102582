"""A plain sandbox, and an engine for each way in which a context gets into a sandbox."""

from collections.abc import Iterator

import pytest

from divebell import Engine, Sandbox
from divebell.runtime import pages

_ENGINES: dict[str, Engine] = {}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(params=["mapped", "copied", "epochs"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Pages that are mapped; pages that are copied; and mapped ones with the interrupts of other systems."""
    if request.param == "copied":
        monkeypatch.setenv("DIVEBELL_COPY_PAGES", "1")
    elif not pages.can_map():
        pytest.skip("this machine cannot map pages")
    return _ENGINES.setdefault(request.param, Engine(epochs=request.param == "epochs"))
