"""A person's own words in the prompt: the root's, the children's if asked, in a replay, in `divebell prompts`."""

from pathlib import Path
from typing import Any

import pytest

from divebell import RLM, ConfigurationError, ScriptedModel
from divebell.journal.records import read_journal
from divebell.options import Options
from divebell.prompts import PromptFacts, system_prompt
from divebell.testing import replay
from tests.support.command import run
from tests.support.endings import scripted
from tests.support.scripts import block

OWN = "Answer in French.\n\n\n- never name a person, say $name or ${x}\n  - not even \\n this one"


def system(model: ScriptedModel) -> str:
    return str(model.requests[0].messages[0]["content"])


def asked(**options: Any) -> tuple[str, str]:
    """What the root and a child are told."""
    root = scripted(block("print(rlm_query('x'))"), "FINAL(1)")
    child = scripted("FINAL(2)", name="child")
    RLM(root, child, **options).run("hay", "q")
    return system(root), system(child)


@pytest.mark.parametrize("prompt", ["standard", "small"])
def test_they_end_the_roots_prompt_as_they_are_and_children_have_their_own(prompt: str) -> None:
    root, child = asked(instructions=f"  {OWN}\n", prompt=prompt)
    assert root.endswith(OWN)
    assert "French" not in child
    root, child = asked(child_instructions="Be short.", prompt=prompt)
    assert child.endswith("Be short.")
    assert "Be short." not in root


@pytest.mark.parametrize("nothing", [None, "", " \n "])
def test_without_any_the_prompt_is_as_it_was(nothing: str | None) -> None:
    facts = PromptFacts(context_type="str", context_description="a str", options=Options(instructions=nothing))
    assert system_prompt(facts) == system_prompt(PromptFacts(context_type="str", context_description="a str"))


@pytest.mark.parametrize("wrong", [5, ["Be short."], b"Be short.", "x" * 50_001])
@pytest.mark.parametrize("name", ["instructions", "child_instructions"])
def test_what_is_no_text_or_too_long_is_refused(name: str, wrong: object) -> None:
    with pytest.raises(ConfigurationError, match=name):
        RLM(ScriptedModel("m", ["FINAL(1)"]), **{name: wrong})  # type: ignore[call-overload]


def test_a_replay_has_them_and_a_resumed_run_must_too(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    RLM(ScriptedModel("m", ["FINAL(1)"]), instructions=OWN).run("hay", "q", journal=journal)
    assert read_journal(journal).header["settings"]["instructions"] == OWN
    assert replay(journal).answer == "1"
    with pytest.raises(ConfigurationError, match="instructions"):
        RLM(ScriptedModel("m", ["FINAL(1)"])).run("hay", "q", resume=journal)


@pytest.mark.slow
def test_divebell_prompts_shows_them() -> None:
    shown = run("prompts", "--instructions", OWN)
    assert shown.status == 0
    assert OWN in shown.stdout
