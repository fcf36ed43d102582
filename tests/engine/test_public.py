"""The public surface: exactly these names, each with a docstring, and nothing heavy loaded for them."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import divebell
import divebell.models
import divebell.trace
from divebell import errors

NAMES = {
    "RLM",
    "AnswerError",
    "Budget",
    "BudgetExceeded",
    "CacheError",
    "Cell",
    "CellError",
    "Completion",
    "ConfigurationError",
    "Context",
    "ContextError",
    "ContextTooLongError",
    "DivebellError",
    "Engine",
    "Event",
    "EventListener",
    "GuestError",
    "ImagePart",
    "IncompleteReply",
    "JournalError",
    "Ledger",
    "LedgerBusyError",
    "LedgerError",
    "LedgerUnavailableError",
    "Level",
    "Limits",
    "LongPrompt",
    "Memo",
    "MemoryLedger",
    "Message",
    "Model",
    "ModelError",
    "ModelRefusedError",
    "ModelRequest",
    "ModelUnavailableError",
    "NotPlainDataError",
    "OpenAIChatModel",
    "OpenAIResponsesModel",
    "OutputTooLongError",
    "RLMOptions",
    "Rate",
    "RateCard",
    "ReplayDivergedError",
    "RequestError",
    "Result",
    "Retries",
    "RunError",
    "RunStream",
    "SQLiteLedger",
    "Sandbox",
    "SandboxClosedError",
    "SandboxError",
    "SchemaRefusedError",
    "ScriptedModel",
    "Session",
    "Snapshot",
    "Source",
    "Stop",
    "Tenant",
    "TextPart",
    "Tools",
    "TraceError",
    "Turn",
    "UnknownModelError",
    "UnknownPriceError",
    "Usage",
    "Variable",
}
ALIASES = {"EventListener", "Source"}
"""Types that have no docstring of their own: the source has one below them."""


def test_these_names_are_public_and_no_others() -> None:
    assert set(divebell.__all__) == NAMES
    assert list(divebell.__all__) == sorted(divebell.__all__, key=lambda name: (not name.isupper(), name))


@pytest.mark.parametrize("name", sorted(NAMES - ALIASES))
def test_every_public_name_has_a_docstring_and_so_have_its_methods(name: str) -> None:
    thing = getattr(divebell, name)
    assert inspect.getdoc(thing)
    assert not (thing.__doc__ or "").startswith(f"{name}("), "a dataclass's own signature is no docstring"
    if getattr(thing, "_is_protocol", False):
        return  # the contract is the class's docstring
    for attribute, value in vars(thing).items():
        if not attribute.startswith("_") and inspect.isfunction(value):
            assert value.__doc__, f"{name}.{attribute}"


def test_every_error_is_public_and_under_the_one_root() -> None:
    for name in errors.__all__:
        assert name in NAMES
        assert issubclass(getattr(errors, name), divebell.DivebellError)


def test_the_tree_in_the_docstring_is_the_tree(alone: Callable[..., str]) -> None:
    assert errors.__doc__ is not None
    stack: list[str] = []
    for line in errors.__doc__.splitlines():
        if "──" not in line and line.strip() != "DivebellError":
            continue
        depth = 0 if line.strip() == "DivebellError" else (line.index("──") - 1) // 4 + 1
        name = line.replace("│", " ").replace("├──", "").replace("└──", "").split()[0]
        del stack[depth:]
        if stack:
            assert issubclass(getattr(errors, name), getattr(errors, stack[-1])), (name, stack[-1])
        stack.append(name)
    drawn = {word for word in errors.__doc__.split() if word in errors.__all__}
    assert drawn == set(errors.__all__)


@pytest.mark.parametrize("name", sorted(errors.RENAMED_ERRORS))
@pytest.mark.parametrize("module", ["divebell", "divebell.errors"])
def test_a_former_name_of_an_error_is_refused_with_the_present_one(module: str, name: str) -> None:
    sentence = rf"^{module}\.{name} is now called {module}\.{name}Error$"
    with pytest.raises(ImportError, match=sentence):
        getattr(importlib.import_module(module), name)
    with pytest.raises(ImportError, match=sentence):
        exec(f"from {module} import {name}")
    assert issubclass(getattr(divebell, f"{name}Error"), divebell.DivebellError)


@pytest.mark.parametrize(
    ("module", "name", "now"),
    [
        ("divebell", "Request", "ModelRequest"),
        ("divebell.models", "Request", "ModelRequest"),
        ("divebell.trace", "Totals", "SpanTotals"),
    ],
)
def test_another_former_name_is_refused_with_the_present_one(module: str, name: str, now: str) -> None:
    with pytest.raises(ImportError, match=rf"^{module}\.{name} is now called {module}\.{now}$"):
        exec(f"from {module} import {name}")
    assert hasattr(importlib.import_module(module), now)


def test_a_sandboxs_former_option_is_refused_with_the_present_one() -> None:
    wrong: dict[str, Any] = {"services": None}
    unknown: dict[str, Any] = {"nonsense": 1}
    with divebell.Sandbox() as box:
        for make in (divebell.Sandbox, lambda **options: divebell.Sandbox.restore(box.snapshot(), **options)):
            with pytest.raises(TypeError, match=r"^Sandbox: the option 'services' is now called 'host'$"):
                make(**wrong)
            with pytest.raises(TypeError, match=r"^Sandbox: there is no option 'nonsense'$"):
                make(**unknown)


def test_a_name_that_never_was_is_no_attribute() -> None:
    assert not hasattr(divebell, "NothingOfThatName")
    for module in (errors, divebell.models, divebell.trace):
        assert not hasattr(module, "NothingOfThatName")


@pytest.mark.slow
def test_importing_the_package_loads_no_provider_and_starts_nothing(alone: Callable[..., str]) -> None:
    script = (
        "import sys, threading, divebell\n"
        "print([m for m in ('openai', 'httpx', 'pydantic', 'typer', 'rich', 'numpy') if m in sys.modules], threading.active_count())"
    )
    assert alone(script).strip() == "[] 1"


def test_the_version_is_that_of_the_installed_package() -> None:
    from importlib.metadata import version

    assert divebell.__version__ == version("divebell")
