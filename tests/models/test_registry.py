"""Models by name: which adapter makes them, those of installed packages too; and that nobody's key goes astray."""

import importlib
import logging
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from divebell import RLM, ConfigurationError, ModelError, OpenAIChatModel, OpenAIResponsesModel
from divebell.models import registry
from divebell.models.adapter import ModelAccess
from divebell.models.client_pool import ClientPool
from divebell.models.registry import ModelFinder

KEY = "acme-0a1b2c3d4e5f6a7b8c9d"

ACME = """
    import os

    from divebell import Completion, ConfigurationError, ModelRefusedError
    from divebell.models import ModelAdapter


    class AcmeModel:
        def __init__(self, name, key):
            self.name, self.secrets = name, [key]

        async def complete(self, request):
            if self.name == "locked":
                raise ModelRefusedError(f"401: no such key: {self.secrets[0]}", model=self.name, status=401, never_ran=True)
            return Completion(text="FINAL(four)")


    def make(name, access):
        if name == "unknown":
            raise ConfigurationError(f"no model {name} for {access.api_key}")
        if name == "broken":
            raise ValueError(access.api_key)
        if name == "nothing":
            return None
        return AcmeModel(name, access.api_key or os.environ["ACME_KEY"])


    adapter = ModelAdapter("Acme", make)
    not_an_adapter = make
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef")
    registry._entry_point.cache_clear()
    yield
    registry._entry_point.cache_clear()


@pytest.fixture
def _acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    install(tmp_path, "acme", "acme = divebell_acme:adapter", "openai = divebell_acme:adapter")
    (tmp_path / "divebell_acme.py").write_text(textwrap.dedent(ACME))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ACME_KEY", KEY)
    yield
    sys.modules.pop("divebell_acme", None)


def install(folder: Path, package: str, *lines: str) -> None:
    """A package with these entry points, as pip leaves it."""
    metadata = folder / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("\n".join(["[divebell.models]", *lines, ""]))
    importlib.invalidate_caches()


def find(name: str, **access: Any) -> Any:
    return ModelFinder(ModelAccess(**access)).find(name)


@pytest.mark.parametrize(
    ("given", "kind", "name"),
    [
        ("gpt-5", OpenAIChatModel, "gpt-5"),
        ("openai:gpt-5", OpenAIChatModel, "gpt-5"),
        ("openai-responses:gpt-5", OpenAIResponsesModel, "gpt-5"),
        ("openai:ft:gpt-4o:org::id", OpenAIChatModel, "ft:gpt-4o:org::id"),
        ("llama3:8b", OpenAIChatModel, "llama3:8b"),
        ("openai/gpt-oss-20b", OpenAIChatModel, "openai/gpt-oss-20b"),
        ("nobody:gpt-5", OpenAIChatModel, "nobody:gpt-5"),
        (":x", OpenAIChatModel, ":x"),
    ],
)
def test_a_name_finds_its_adapter(given: str, kind: type, name: str) -> None:
    model = find(given)
    assert (type(model), model.name) == (kind, name)


def test_what_was_said_of_the_endpoint_reaches_the_adapter() -> None:
    pool = ClientPool()
    model = find("openai-responses:m", base_url="http://localhost:1/v1", api_key="sk-of-this-endpoint", clients=pool)
    assert model.secrets == ("sk-of-this-endpoint",)
    assert "http://localhost:1/v1" in repr(model)
    assert model._pool is pool


def test_a_prefix_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the model's name must be a text"):
        find("openai-responses:")


@pytest.mark.usefixtures("_acme")
def test_an_installed_package_brings_an_adapter() -> None:
    model = find("acme:large")
    assert (type(model).__name__, model.name) == ("AcmeModel", "large")
    assert RLM("acme:large").completion("a context", "2 + 2?") == "four"


@pytest.mark.usefixtures("_acme")
def test_an_installed_package_cannot_take_over_a_built_in_prefix() -> None:
    assert type(find("openai:gpt-5")) is OpenAIChatModel


@pytest.mark.usefixtures("_acme")
def test_the_key_of_an_installed_adapter_is_in_no_error_log_journal_or_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    kept, events = tmp_path / "kept", []
    kept.mkdir()
    rlm = RLM("acme:locked", trace="full", trace_folder=kept, on_event=lambda event: events.append(repr(event)))
    with pytest.raises(ModelError, match="401") as caught:
        rlm.run("a context", "2 + 2?", journal=kept / "run.journal")
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY[:12] not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__
    files = [path.read_text() for path in kept.rglob("*") if path.is_file()]
    assert len(files) == 2
    assert any("[secret]" in text for text in files)
    assert "[secret]" in caplog.text
    for text in (*files, *events, caplog.text):
        assert KEY[:12] not in text
        assert KEY[-12:] not in text


@pytest.mark.usefixtures("_acme")
@pytest.mark.parametrize("name", ["unknown", "broken", "nothing"])
def test_an_adapter_that_cannot_make_a_model_is_a_configuration_error_without_the_key(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RLM(f"acme:{name}", api_key=KEY)
    assert KEY[:12] not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.usefixtures("_acme")
@pytest.mark.parametrize("access", [{"api_key": KEY}, {"base_url": "http://localhost:1/v1"}])
def test_one_providers_key_is_not_given_to_another(access: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="these names are of OpenAI and Acme"):
        RLM("gpt-5", "acme:large", **access)
    assert RLM("openai:gpt-5", "openai-responses:gpt-5-mini", **access)


@pytest.mark.usefixtures("_acme")
def test_models_of_several_providers_go_together_with_keys_of_their_own() -> None:
    assert "gpt-5, large" in repr(RLM("gpt-5", "acme:large"))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("divebell_nowhere:adapter", "cannot be loaded: ModuleNotFoundError"),
        ("divebell_acme:not_an_adapter", "must lead to a ModelAdapter, not a function"),
    ],
)
@pytest.mark.usefixtures("_acme")
def test_an_entry_point_that_leads_to_no_adapter_is_said(tmp_path: Path, value: str, sentence: str) -> None:
    install(tmp_path, "other", f"other = {value}")
    with pytest.raises(ConfigurationError, match=sentence):
        find("other:large")


@pytest.mark.usefixtures("_acme")
def test_two_packages_for_one_prefix_are_refused(tmp_path: Path) -> None:
    install(tmp_path, "another", "acme = another_acme:adapter")
    with pytest.raises(ConfigurationError, match="several installed packages have an adapter for 'acme'"):
        find("acme:large")
