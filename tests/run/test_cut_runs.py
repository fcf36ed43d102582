"""Replies that their output limit cut off never count as whole: in turns, in the last answer, in sub-calls, in children."""

from pathlib import Path

import pytest

from divebell import RLM, Budget, Completion, Event, IncompleteReply, ModelError, ModelRequest, Rate, ScriptedModel
from divebell.testing import replay
from tests.support.endings import all_are_strict, cut, scripted
from tests.support.scripts import block, is_last, request_text

CONTEXT = "Ann, Bob, Cid and Dan signed it.\n" * 3


@pytest.mark.parametrize(
    ("reply", "whole", "output"),
    [
        ("FINAL(The parties are: Ann, Bob, and", "Ann, Bob, Cid", None),
        ("FINAL(12", "123456", int),
        ("SUBMIT(12", "123456", int),
        ("I know it.\n\nFINAL(3.1", "3.14", float),
        ("```repl\nFINAL('half", "all of it", None),
        ("```repl\nresult = 'half'\nFINAL(result)", "all of it", None),
        ("FINAL_VAR(result", "the full one", None),
        ("The answer is Ann, Bob and", "Ann, Bob, Cid", None),
    ],
)
def test_an_open_answer_of_a_cut_reply_does_not_count(reply: str, whole: str, output: object) -> None:
    given = block("result, result_full = 'another', 'the full one'")
    root = scripted(given, cut(reply), f"FINAL({whole})")
    result = RLM(root, output=output).run(CONTEXT, "who?")
    assert (result.answer, result.status, result.iterations, result.is_cut) == (whole, "answered", 3, False)
    assert len(result.turns[1].cells) == 0
    told = str(root.requests[2].messages[-1]["content"])
    assert "cut off" in told
    assert "16,384 tokens" in told
    assert "variable" in told
    all_are_strict(root)


@pytest.mark.parametrize("word", ["length", "max_tokens", "MAX_TOKENS", "model_length", "FinishReason.MAX_TOKENS"])
def test_an_applications_own_model_may_use_any_providers_word(word: str) -> None:
    root = scripted(cut("FINAL(12", finish_reason=word), "FINAL(123)")
    assert RLM(root).run(CONTEXT, "q").answer == "123"


def test_whole_code_before_the_cut_runs_and_its_output_is_shown() -> None:
    root = scripted(cut(block("print(6 * 7)") + "\nThen I shall "), "FINAL(42)")
    result = RLM(root).run(CONTEXT, "q")
    told = str(root.requests[1].messages[-1]["content"])
    assert "42" in told
    assert "cut off" in told
    assert result.turns[0].cells[0].stdout.strip() == "42"


def test_a_whole_answer_before_the_cut_counts() -> None:
    assert RLM(scripted(cut("FINAL(42)\nBecause I cou"))).run(CONTEXT, "q").answer == "42"


@pytest.mark.parametrize("text", ["", "  \n", "<think>hm, what</think>", "<think>\nlet me see</think>\n  "])
def test_a_reply_that_was_all_thinking_is_told_so(text: str) -> None:
    root = scripted(cut(text), "FINAL(42)")
    assert RLM(root).run(CONTEXT, "q").answer == "42"
    told = str(root.requests[1].messages[-1]["content"])
    assert "nothing in it but thinking" in told
    assert "16,384 tokens" in told
    assert "no code block" not in told
    all_are_strict(root)


def test_a_reply_that_a_filter_cut_off_is_told_so() -> None:
    root = scripted(cut("FINAL(the first", finish_reason="content_filter"), "FINAL(42)")
    assert RLM(root).run(CONTEXT, "q").answer == "42"
    assert "content filter" in str(root.requests[1].messages[-1]["content"])


def test_near_a_cap_the_lowered_limit_is_named_and_the_cut_reply_is_not_taken() -> None:
    """The engine lowers the output limit itself, so that the call fits; what that cut is no answer."""
    limits: list[int] = []

    def play(request: ModelRequest) -> "str | Completion":
        limits.append(request.max_output_tokens)
        if is_last(request):
            return "Ann, Bob, Cid and Dan"
        return cut("FINAL(Ann, Bob, and", output_tokens=request.max_output_tokens)

    root = ScriptedModel("root", play)
    rlm = RLM(
        root, rates={"root": Rate.per_million("0", "10")}, budget=Budget(dollars="0.06"), max_output_tokens=16_000
    )
    result = rlm.run(CONTEXT, "who?")
    assert limits[0] < 6_000
    told = str(root.requests[1].messages[-1]["content"])
    assert f"{limits[0]:,} tokens (lowered from 16,000" in told
    assert (result.answer, result.status, result.is_cut) == ("Ann, Bob, Cid and Dan", "exhausted", False)


def test_a_cut_last_answer_is_asked_for_once_more_and_then_said_to_be_cut() -> None:
    events: list[Event] = []
    root = scripted(block("print(1)"), last=cut("Ann, Bob and"))
    result = RLM(root, max_iterations=2, on_event=events.append).run(CONTEXT, "who?")
    assert (result.answer, result.status, result.is_cut) == ("Ann, Bob and", "exhausted", True)
    assert events[-1].data["is_cut"] is True
    assert len(root.requests) == 4
    assert "fewer words" in request_text(root.requests[-1])
    all_are_strict(root)


def test_a_second_attempt_that_is_whole_is_the_answer() -> None:
    def play(request: ModelRequest) -> "str | Completion":
        if not is_last(request):
            return block("print(1)")
        return "Ann and three more" if "fewer words" in request_text(request) else cut("Ann, Bob and")

    result = RLM(ScriptedModel("root", play), max_iterations=1).run(CONTEXT, "who?")
    assert (result.answer, result.is_cut) == ("Ann and three more", False)


def test_with_a_schema_a_cut_last_answer_is_only_a_draft() -> None:
    result = RLM(scripted(block("print(1)"), last=cut("12")), output=int, max_iterations=1).run(CONTEXT, "how many?")
    assert (result.status, result.answer, result.value, result.is_cut) == ("failed", "12", None, True)
    assert "cut off" in str(result.error)


CAUGHT = """
try:
    print('whole:', llm_query('list'))
except IncompleteReply as error:
    print('part:', error.text, '|', isinstance(error, ModelError), '|', error)
"""


def test_a_cut_sub_reply_is_an_error_that_has_the_text() -> None:
    root = scripted(block(CAUGHT), "FINAL(x)")
    result = RLM(root, scripted(cut("Ann, Bob and"), name="sub")).run(CONTEXT, "who?")
    shown = result.turns[0].cells[0].stdout
    assert shown.startswith("part: Ann, Bob and | True | ")
    assert "4,096 tokens" in shown
    assert "ask for less" in shown


def test_a_sub_reply_that_was_all_thinking_says_so() -> None:
    root = scripted(block(CAUGHT), "FINAL(x)")
    result = RLM(root, scripted(cut(""), name="sub")).run(CONTEXT, "who?")
    assert "all thinking" in result.turns[0].cells[0].stdout


BATCHES = (
    "replies = llm_query_batched(['a', 'b', 'c'])",
    "replies = await allm_query_batched(['a', 'b', 'c'])",
    "replies = await asyncio.gather(*[allm_query(p) for p in 'abc'], return_exceptions=True)",
)


@pytest.mark.parametrize("code", BATCHES)
@pytest.mark.parametrize("cut_ones", ["b", "abc"])
def test_in_a_batch_it_stands_in_its_place(code: str, cut_ones: str) -> None:
    def sub(request: ModelRequest) -> "str | Completion":
        return cut("12") if request_text(request) in cut_ones else "whole"

    shows = "\nprint([(type(r).__name__ == 'str', r.text if hasattr(r, 'text') else r) for r in replies])"
    root = scripted(block("import asyncio\n" + code + shows), "FINAL(x)")
    result = RLM(root, ScriptedModel("sub", sub)).run(CONTEXT, "who?")
    expected = [(True, "whole") if name not in cut_ones else (False, "12") for name in "abc"]
    assert result.turns[0].cells[0].output.strip() == str(expected)


@pytest.mark.parametrize(("schema", "reply"), [("dict", '{"n": 12'), ("int", "12"), ("list", "[1, 2]"), ("str", '"a"')])
def test_with_a_schema_a_cut_sub_reply_never_fits(schema: str, reply: str) -> None:
    code = f"try:\n    print('whole', llm_query('n', schema={schema}))\nexcept IncompleteReply as e:\n    print('part', e.text)"
    root = scripted(block(code), "FINAL(x)")
    result = RLM(root, scripted(cut(reply), name="sub")).run(CONTEXT, "q")
    assert result.turns[0].cells[0].stdout.strip() == f"part {reply}"


def test_a_childs_cut_answer_is_an_error_in_its_parent() -> None:
    code = "try:\n    print(rlm_query('who?'))\nexcept IncompleteReply as error:\n    print('part', error.text)"
    child = scripted(block("pass"), last=cut("Ann, Bob and"), name="child")
    root = scripted(block(code), "FINAL(x)")
    result = RLM(root, child, max_iterations=2).run(CONTEXT, "who?")
    assert result.turns[0].cells[0].stdout.strip() == "part Ann, Bob and"


def test_a_run_with_cut_replies_repeats_exactly(tmp_path: Path) -> None:
    journal = tmp_path / "run.journal"
    root = scripted(cut("FINAL(Ann, B"), block(CAUGHT), "FINAL(all)")
    made = RLM(root, scripted(cut("Ann"), name="sub")).run(CONTEXT, "who?", journal=journal)
    again = replay(journal)
    assert again.answer == made.answer == "all"
    assert [turn.reply for turn in again.turns] == [turn.reply for turn in made.turns]
    assert again.turns[1].cells[0].stdout == made.turns[1].cells[0].stdout


def test_a_memo_keeps_no_cut_reply() -> None:
    sub = scripted(cut("Ann, B"), "Ann, Bob", name="sub")
    code = "try:\n    print(llm_query('x'))\nexcept ModelError:\n    print('cut')\nprint(llm_query('x'))"
    rlm = RLM(scripted(block(code), "FINAL(x)"), sub, memo="run", temperature=0)
    assert rlm.run(CONTEXT, "q").turns[0].cells[0].stdout.split("\n")[:2] == ["cut", "Ann, Bob"]


def test_the_error_is_a_model_error_with_a_text() -> None:
    error = IncompleteReply("cut", text="Ann")
    assert isinstance(error, ModelError)
    assert error.text == "Ann"
