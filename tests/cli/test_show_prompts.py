"""`divebell prompts`: exactly what a model would see."""

import json
from pathlib import Path

import pytest

from divebell import RLM, ModelRequest, ScriptedModel
from divebell.prompts import PromptFacts, opening_messages
from tests.support.command import Done, run

pytestmark = pytest.mark.slow


def printed(messages: list[dict[str, str]]) -> str:
    return "".join(f"=== {message['role']} ===\n{message['content']}\n" for message in messages)


def test_prints_the_first_messages_of_a_run() -> None:
    facts = PromptFacts(
        context_type="str", context_description="a str of 1,000,000 characters", can_have_children=True, max_depth=1
    )
    done = run("prompts", "How many?")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout == printed(opening_messages(facts, "How many?"))  # type: ignore[arg-type]


def test_instructions_may_be_in_a_file_as_for_ask(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("Answer in French.", "utf-8")
    assert run("prompts", "--instructions", f"@{words}") == run("prompts", "--instructions", "Answer in French.")
    missing = run("prompts", "--instructions", "@no/such/file")
    assert missing == Done(2, "", "divebell: --instructions: cannot read no/such/file: No such file or directory\n")


def test_prints_the_situation_that_was_asked_for(tmp_path: Path) -> None:
    context, schema = tmp_path / "context.txt", tmp_path / "schema.json"
    context.write_text("x" * 1234, "utf-8")
    schema.write_text(json.dumps({"type": "object", "properties": {"total": {"type": "number"}}}), "utf-8")
    tool = "lookup(name: str) -> dict: Look a customer up."
    done = run(
        *("prompts", "--context", str(context), "--schema", str(schema), "--tool", tool),
        "--prompt",
        "small",
    )
    assert done.status == 0
    for told in ("a str of 1,234 characters", "SUBMIT(total=...)", "`lookup(name: str) -> dict`: Look"):
        assert told in done.stdout
    assert "level 2 of 2" in run("prompts", "--depth", "2", "--max-depth", "2").stdout


def test_it_is_what_the_model_of_a_run_is_sent(tmp_path: Path) -> None:
    def lookup(name: str) -> dict:  # type: ignore[type-arg]
        """Look a customer up."""
        return {}

    def policy(request: ModelRequest) -> str:
        return "FINAL(1)" if "the part" in str(request.messages[-1]) else "```repl\nFINAL(rlm_query('the part'))\n```"

    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"{name} " * 1_000)
    tool = ("--tool", "lookup(name: str) -> dict: Look a customer up.")
    model = ScriptedModel("m", policy)
    RLM(model, tools={"lookup": lookup}).run(tmp_path, "How many?")
    for depth, question in ((0, "How many?"), (1, "the part")):
        done = run("prompts", question, "--context", str(tmp_path), *tool, "--depth", str(depth))
        assert done.stdout == printed(model.requests[depth].messages)  # type: ignore[arg-type]


def test_the_context_is_described_and_shown_unless_it_should_not_be(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes("Über die Tiefe\nGrüße aus dem Süden, schöne Tage".encode("latin-1"))
    shown = run("prompts", "--context", str(path)).stdout
    assert "not UTF-8" in shown
    assert "> Über die Tiefe\n> Grüße" in shown
    assert "die Tiefe" not in run("prompts", "--context", str(path), "--no-show-preview").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--depth", "2"), "--depth 2 is deeper than --max-depth 1"),
        (("--tool", "not a tool"), "--tool must look like"),
        (("--schema", "/nowhere.json"), "cannot read /nowhere.json: No such file"),
        (("--context", "/nowhere.txt"), "/nowhere.txt"),
        (("--depth", "-1"), "--depth"),
        (("--depth", "1", "--schema", "/nowhere.json"), "a child's answer is text"),
        (("  ",), "the query is empty"),
    ],
    ids=str,
)
def test_bad_input_gets_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = run("prompts", *arguments)
    assert done.status == 2
    assert sentence in done.sentence


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('"text"', "JSON Schema as a dict, not 'text'"),
        ('{"type": "nothing"}', "this is not a JSON Schema: type"),
        (" " * (1 << 20) + "{}", "too large for a schema"),
    ],
    ids=lambda text: text[:12].strip(),
)
def test_a_bad_schema_file_gets_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "schema.json"
    path.write_text(content, "utf-8")
    done = run("prompts", "--schema", str(path))
    assert done.status == 2
    assert sentence in done.sentence
