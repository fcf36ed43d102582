"""The contract's names in a cell: what becomes of one that the code takes, of `answer`, and of names from elsewhere."""

from typing import Any

import pytest

from divebell import RLM, Sandbox, ScriptedModel
from divebell.models.protocol import texts_of
from tests.support.cells import error_kind, value_of


@pytest.mark.parametrize(
    ("name", "given"),
    [("budget", 5), ("history", [1, 2]), ("context", "part"), ("llm_query", "text"), ("SHOW_VARS", {"a": 1})],
)
def test_a_name_that_is_put_back_is_told_once_and_its_value_is_kept(box: Sandbox, name: str, given: Any) -> None:
    before = box.run(f"type({name}).__name__").value
    cell = box.run(f"{name} = {given!r}")
    [notice] = cell.notices
    assert notice.startswith(f"`{name}` is a name of the sandbox and was put back")
    assert f"`my_{name}`" in notice
    assert notice in cell.output
    assert cell.stdout == cell.stderr == ""
    assert value_of(box.run(f"my_{name}")) == given
    assert value_of(box.run(f"type({name}).__name__")) == before
    assert box.run(f"FINAL_VAR('my_{name}')").final == str(given)
    again = box.run(f"{name} = 'again'")
    assert again.notices == ()
    assert value_of(box.run(f"my_{name}")) == "again"
    assert name not in box.run("SHOW_VARS()").stdout


def test_a_variable_of_the_codes_own_is_not_overwritten(box: Sandbox) -> None:
    box.run("my_budget = 'mine'")
    [notice] = box.run("budget = 5").notices
    assert "my_budget" not in notice
    assert value_of(box.run("my_budget")) == "mine"


@pytest.mark.parametrize("code", ["for budget in range(3): pass", "def history(): pass", "import json as context"])
def test_every_way_to_take_a_name_is_noticed(box: Sandbox, code: str) -> None:
    assert len(box.run(code).notices) == 1
    assert len(box.run(f"{code}\n1 / 0").notices) == 0


def test_a_cell_that_fails_is_told_too_and_forks_remember(box: Sandbox) -> None:
    cell = box.run("budget = 1\n1 / 0")
    assert (error_kind(cell), len(cell.notices)) == ("ZeroDivisionError", 1)
    with box.fork() as twin:
        assert twin.run("budget = 2").notices == ()
        assert len(twin.run("history = 2").notices) == 1


@pytest.mark.parametrize(
    "code", ["x = budget", "del budget", "llm_query = llm_query", "import json", "json = 5", "answer = 5", "1 / 0"]
)
def test_nothing_is_told_where_nothing_was_taken(box: Sandbox, code: str) -> None:
    assert box.run(code).notices == ()


def test_the_model_sees_it() -> None:
    root = ScriptedModel("root", ["```repl\nbudget = 1200\n```", "FINAL(done)"])
    RLM(root, ScriptedModel("sub", ["y"])).run("text", "q?")
    assert "`budget` is a name of the sandbox" in "\n".join(texts_of(root.requests[1].messages[-1]))


@pytest.mark.parametrize(
    ("given", "held"),
    [("'Paris'", "Paris"), ("42", 42), ("[1, 2]", [1, 2]), ("{'a': 1}", {"a": 1}), ("None", None), ("0", 0)],
)
def test_a_variable_named_answer_stays_what_the_code_made_it(box: Sandbox, given: str, held: object) -> None:
    cell = box.run(f"answer = {given}")
    assert (cell.notices, cell.final) == ((), None)
    assert value_of(box.run("answer")) == held
    assert box["answer"] == held
    assert "answer: " in box.run("SHOW_VARS()").stdout
    assert box.run("SUBMIT(answer=answer)").submitted == {"answer": held}
    assert box.run("SUBMIT(answer=answer, sources=[answer])").submitted == {"answer": held, "sources": [held]}
    assert box.run("FINAL(answer)").final == box.run("FINAL_VAR('answer')").final == str(held)
    assert value_of(box.run("answer")) == held


def test_dspys_default_field_in_two_turns() -> None:
    from dataclasses import dataclass

    @dataclass
    class Output:
        answer: str

    root = ScriptedModel(
        "root", ["```repl\nanswer = llm_query('capital?')\n```", "```repl\nSUBMIT(answer=answer)\n```"]
    )
    result = RLM(root, ScriptedModel("sub", ["Paris"]), output=Output).run("text", "q?")
    assert result.value == Output("Paris")


@pytest.mark.parametrize(
    ("cells", "final"),
    [
        (["answer['content'] = 'a'", "answer['ready'] = True"], "a"),
        (["answer['content'] = 'a'", "answer['content'] += 'b'", "answer['ready'] = True"], "ab"),
        (["answer = 'Paris'", "answer['ready'] = True"], "Paris"),
        (["answer = 'Paris and Rome'", "answer['content'] = 'Rome'; answer['ready'] = True"], "Rome"),
        (["answer = 'Paris'", "answer['content'] = answer['content'].upper()\nanswer['ready'] = True"], "PARIS"),
        (["answer = {'a': 1}", "answer['content'] = 5\nanswer"], None),
        (["answer = {'content': 'x', 'ready': True}"], "x"),
        (["answer = {'content': 'x'}", "answer['ready'] = True"], "x"),
        (["answer = 5\nanswer = {'content': 6, 'ready': 1}"], "6"),
        (["del answer", "answer['content'] = 'a'; answer['ready'] = True"], "a"),
        (["answer = {'ready': False}", "answer.update(content='u', ready=True)"], "u"),
    ],
)
def test_the_authors_form_works_whatever_answer_was_before(box: Sandbox, cells: list[str], final: str | None) -> None:
    *before, last = cells
    for code in before:
        assert box.run(code).final is None
    cell = box.run(last)
    assert (error_kind(cell), cell.final) == (None, final)
    assert box.run("1").final is None


def test_submitting_the_dict_itself_submits_its_content(box: Sandbox) -> None:
    box.run("answer['content'] = 'Paris'")
    assert box.run("SUBMIT(answer=answer)").submitted == {"answer": "Paris"}
    assert box.run("SUBMIT(answer)").submitted == {"answer": "Paris"}


@pytest.mark.parametrize("value", ["'Paris'", "5", "(1, 2)"])
def test_ready_in_the_cell_that_made_a_text_of_it_is_an_error_that_says_what_to_do(box: Sandbox, value: str) -> None:
    cell = box.run(f"answer = {value}\nanswer['ready'] = True")
    assert (error_kind(cell), cell.final) == ("TypeError", None)
    assert "SUBMIT(answer=answer)" in cell.output
    assert "SUBMIT" not in box.run("x = (1,)\nx['ready'] = True").output


@pytest.mark.parametrize(
    ("code", "draft"),
    [
        ("", None),
        ("answer['content'] = 'so far'", "so far"),
        ("answer['content'] = 'so far'\n1 / 0", "so far"),
        ("answer = 'Paris'", "Paris"),
        ("answer = [1, {'a': None}]", '[1, {"a": null}]'),
        ("answer = 0", "0"),
        ("answer = ''", None),
        ("answer = None", None),
        ("answer = llm_query", None),
        ("answer['content'] = (c for c in 'ab')", None),
        ("answer = 10 ** 10000", None),
        ("class S(str):\n    def __str__(self): return 'mine'\nanswer = S('x')", None),
        ("del answer", None),
    ],
)
def test_the_host_can_read_the_draft(box: Sandbox, code: str, draft: str | None) -> None:
    box.run(code)
    assert box.draft() == draft
    assert box.run("1").final is None


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("llm_call('a')", "llm_query(prompt)"), ("sub_llm('a')", "llm_query(prompt)"), ("llm('a')", "llm_query(prompt)"),
        ("ask_llm('a')", "llm_query(prompt)"), ("query_llm('a')", "llm_query(prompt)"), ("call_llm('a')", "llm_query("),
        ("llm_batched(['a'])", "llm_query_batched(prompts)"), ("parallel_llm_query(['a'])", "llm_query_batched("),
        ("rlm('a')", "rlm_query("), ("sub_rlm('a', 'b')", "rlm_query("), ("recursive_query('a')", "rlm_query("),
        ("final_answer('a')", "FINAL(value)"), ("FINAL_ANSWER('a')", "FINAL(value)"), ("done('a')", "FINAL(value)"),
        ("return_answer('a')", "FINAL(value)"), ("submit_answer('a')", "FINAL(value)"), ("final_var('a')", "FINAL_VAR("),
        ("submit(a=1)", "SUBMIT(field=value)"), ("print(ctx[:10])", "`context`"), ("print(prompt)", "`context`"),
        ("get_context()", "`context`"), ("documents[0]", "`context`"), ("len(document)", "`context`"),
        ("show_vars()", "SHOW_VARS()"), ("get_budget()", "budget()"), ("messages[-1]", "`history`"),
        ("def f():\n    return llm_call('a')\nf()", "llm_query(prompt)"), ("await allm('a'); llm_call", None),
        ("undefined_name", None), ("raise NameError('llm_call')", None), ("raise NameError", None),
    ],
)  # fmt: skip
def test_a_name_of_another_engine_is_an_error_that_says_which_name_does_that_here(
    box: Sandbox, code: str, says: str | None
) -> None:
    cell = box.run(code)
    assert error_kind(cell) == "NameError"
    assert cell.error is not None
    for shown in (cell.error.message, cell.output):
        assert ("There is no `" in shown) == (says is not None)
        assert says is None or says in shown


@pytest.mark.parametrize("name", ["Stop", "FinalOutput", "SystemExit"])
def test_a_class_that_extends_system_exit_is_an_error_of_its_name(box: Sandbox, name: str) -> None:
    code = f"class {name}(SystemExit): pass\nFINAL(1)\nraise {name}('over')"
    cell = box.run(code)
    assert (error_kind(cell), cell.exit_status, cell.final) == (name, None, None)
    assert cell.error is not None
    assert cell.error.message == "over"
    assert box.run("import sys\nsys.exit(3)").exit_status == 3
