"""The list of the contract's names is the guest's, the prompts', the README's: what one says, all say."""

import re
from pathlib import Path
from typing import Any

import pytest

from divebell import Sandbox
from divebell.prompts.system import system_prompt
from divebell.sandbox.tools import RESERVED_NAMES
from divebell_bridge.door import contract
from divebell_bridge.door.contract import CONTRACT, ContractName
from tests.contract.test_names import Family
from tests.run.test_prompts import SITUATIONS

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text("utf-8")
OURS = re.compile(r"(?<![\w.])(a?[lr]lm_\w+|\w+_llm_\w+|llm_batch|recursive_llm|FINAL\w*|SUBMIT|SHOW_VARS)\b")


@pytest.fixture(scope="module")
def box() -> Any:
    with Sandbox("text") as made:
        yield made


def test_no_name_is_twice() -> None:
    assert len({entry.name for entry in CONTRACT}) == len(CONTRACT)


@pytest.mark.parametrize("entry", CONTRACT, ids=lambda entry: entry.name)
def test_the_guest_has_the_name_and_it_is_what_the_list_says(entry: ContractName, box: Sandbox) -> None:
    kind = box.run(
        f"import inspect\n[inspect.iscoroutinefunction({entry.name}), isinstance({entry.name}, type) and "
        f"issubclass({entry.name}, Exception), not callable({entry.name})]"
    ).value
    assert kind == [entry.is_awaitable, entry.is_error, entry.is_data]


def test_the_guest_has_no_other_names(box: Sandbox) -> None:
    names = box.run(
        "import types, builtins\n"
        "sorted(n for n, v in globals().items() if not n.startswith('__') and not isinstance(v, types.ModuleType))"
    ).value
    assert isinstance(names, list)
    assert set(names) == contract.NAMES


@pytest.mark.parametrize("entry", [entry for entry in CONTRACT if entry.same_as], ids=lambda entry: entry.name)
def test_another_word_for_a_name_is_the_same_function(entry: ContractName, box: Sandbox) -> None:
    assert box.run(f"{entry.name} is {entry.same_as}").value is True


@pytest.mark.parametrize("entry", [entry for entry in CONTRACT if entry.asks_model], ids=lambda entry: entry.name)
def test_whatever_asks_a_model_can_be_awaited(entry: ContractName) -> None:
    given = "['a', 'b']" if entry.is_batched else "'a'"
    with Sandbox("text", host=Family()) as own:
        replies: Any = own.run(f"await {entry.name}({given})").value
    assert [reply[0] for reply in replies] == ["a", "b"] if entry.is_batched else replies.startswith("a")


def test_modules_that_are_bound_are_those_of_the_list(box: Sandbox) -> None:
    with Sandbox("text") as own:
        bound = own.run(
            "import types\nsorted(n for n, v in globals().items() if isinstance(v, types.ModuleType))"
        ).value
    assert isinstance(bound, list)
    assert set(bound) - {"types"} == set(contract.PRESET_MODULES)


def test_a_tool_cannot_take_a_name_of_the_list() -> None:
    assert contract.NAMES | set(contract.PRESET_MODULES) <= RESERVED_NAMES


@pytest.mark.parametrize("text", [README, *map(system_prompt, SITUATIONS)], ids=lambda text: text[:12])
def test_no_text_tells_of_a_name_that_is_not_in_the_list(text: str) -> None:
    named = set(OURS.findall(text))
    assert named
    assert named <= contract.NAMES


@pytest.mark.parametrize("entry", [entry for entry in CONTRACT if entry.awaited], ids=lambda entry: entry.name)
def test_the_async_form_of_a_name_is_the_one_of_the_list(entry: ContractName, box: Sandbox) -> None:
    """But for recursive_llm, whose arguments have other names than those of arlm_query."""
    form = box.run(f"__import__('sys').modules['divebell_guest.twins'].forms[{entry.name}].__name__").value
    assert form == ("_arecursive_llm" if entry.name == "recursive_llm" else entry.awaited)
