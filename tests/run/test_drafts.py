"""A run whose model or money fails for good gives what it has, and says that it is a draft."""

import copy
import pickle
from pathlib import Path

import pytest

from divebell import (
    RLM,
    Budget,
    BudgetExceeded,
    Completion,
    DivebellError,
    Event,
    ModelError,
    ModelRequest,
    Rate,
    RunError,
    ScriptedModel,
    Usage,
)
from divebell.errors import ContextTooLongError, IncompleteReply, ModelRefusedError
from divebell.run.pace import Pace
from divebell.run.repetition import SAME_REPLIES, Repetition
from divebell.testing import replay
from tests.support.endings import all_are_strict, scripted, strict_problem
from tests.support.scripts import block, request_text

CONTEXT = "the needle is 17\n" + "hay\n" * 100
DRAFT = "answer['content'] = 'probably 17'"


def failing_after(*replies: str) -> ScriptedModel:
    """Plays the replies, and then its endpoint is down for good."""
    return ScriptedModel("root", list(replies))


@pytest.mark.parametrize(
    ("replies", "draft"),
    [
        ([block(DRAFT)], "probably 17"),
        ([block(DRAFT), block("print('more')")], "probably 17"),
        ([block("answer = 'probably 17'")], "probably 17"),
        ([block("answer['content'] = {'n': 17}")], '{"n": 17}'),
        ([block("answer['content'] = 'x' * 5_000_000")], "x" * 5_000_000),
        ([block("answer['content'] = '   '\nprint(17)")], "17"),
        ([block("del answer\nprint(17)")], "17"),
        ([block("print('line 1: 17')")], "line 1: 17"),
        ([block("print('one')"), block("print('two')\n1 / 0")], "one\n\ntwo"),
        ([block("x = 17"), "I think that it is 17."], "I think that it is 17."),
    ],
)
def test_what_there_is(replies: list[str], draft: str) -> None:
    events: list[Event] = []
    result = RLM(failing_after(*replies), on_event=events.append).run(CONTEXT, "q")
    assert (result.status, result.answer, result.iterations) == ("failed", draft, len(replies))
    assert isinstance(result.error, ModelError)
    told = events[-1]
    assert (told.kind, told.data["answer"], told.data["status"]) == ("answer", draft, "failed")
    assert told.data["error"] == str(result.error)


def test_with_a_schema_a_draft_has_no_value() -> None:
    result = RLM(failing_after(block(DRAFT)), output=int).run(CONTEXT, "q")
    assert (result.status, result.answer, result.value) == ("failed", "probably 17", None)


@pytest.mark.parametrize("replies", [[], [block("x = 1")]])
def test_with_nothing_there_the_error_is_raised(replies: list[str]) -> None:
    with pytest.raises(ModelError, match="run out"):
        RLM(failing_after(*replies)).run(CONTEXT, "q")


def test_raise_raises_and_text_alone_is_never_a_draft() -> None:
    with pytest.raises(ModelError, match="run out"):
        RLM(failing_after(block(DRAFT)), on_exhausted="raise").run(CONTEXT, "q")
    with pytest.raises(ModelError, match="run out"):
        RLM(failing_after(block(DRAFT))).completion(CONTEXT, "q")


def test_a_last_call_that_fails_leaves_the_draft_and_says_both() -> None:
    root = scripted(block(DRAFT), last=ModelError("down"))
    result = RLM(root, budget=Budget(calls=3)).run(CONTEXT, "q")
    assert (result.status, result.answer) == ("failed", "probably 17")
    assert result.stopped_by is not None
    assert result.stopped_by.limit == "calls"
    assert isinstance(result.error, BudgetExceeded)
    assert isinstance(result.error.__cause__, ModelError)


def test_no_money_for_the_last_call_leaves_the_draft() -> None:
    """A cent a token: even the smallest last call would take more than a quarter, so nothing was kept back."""
    root = scripted(block(DRAFT + "\nllm_query('x')"))
    sub = scripted(Completion(text="y", usage=Usage(input_tokens=1, output_tokens=100)), name="sub")
    rates = {"root": Rate.per_million("0", "10000"), "sub": Rate.per_million("0", "10000")}
    rlm = RLM(root, sub, budget=Budget(dollars="1.30"), rates=rates, max_output_tokens=60, sub_max_output_tokens=100)
    result = rlm.run(CONTEXT, "q")
    assert (result.status, result.answer) == ("failed", "probably 17")
    assert isinstance(result.error, BudgetExceeded)
    assert len(root.requests) == 1


def test_a_session_does_not_give_an_earlier_questions_draft() -> None:
    replies = [block("answer['content'] = 'first'\nanswer['ready'] = True"), block("x = 1")]
    with RLM(failing_after(*replies)).session(CONTEXT) as session:
        assert session.ask("one?").answer == "first"
        with pytest.raises(ModelError, match="run out"):
            session.ask("two?")


CHILD = """
try:
    print('whole', rlm_query('which?'))
except IncompleteReply as error:
    print('draft', error.text, '|', error)
"""


def test_a_childs_draft_goes_to_its_parent_marked(tmp_path: Path) -> None:
    child = ScriptedModel("child", [block(DRAFT)])
    root = scripted(block(CHILD), "FINAL(x)")
    result = RLM(root, child).run(CONTEXT, "q", journal=tmp_path / "journal")
    shown = result.turns[0].cells[0].stdout
    assert shown.startswith("draft probably 17 | ")
    assert "came to no answer" in shown
    assert replay(tmp_path / "journal").turns[0].cells[0].stdout == shown


def test_a_failed_run_repeats_and_a_resumed_one_goes_on(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    made = RLM(failing_after(block(DRAFT))).run(CONTEXT, "q", journal=journal)
    again = replay(journal)
    assert (again.status, again.answer, str(again.error)) == ("failed", made.answer, str(made.error))
    resumed = RLM(ScriptedModel("root", ["FINAL(17)"])).run(CONTEXT, "q", resume=journal)
    assert (resumed.answer, resumed.status, resumed.iterations) == ("17", "answered", 2)


@pytest.mark.parametrize(
    "error",
    [
        BudgetExceeded("no", limit="calls", cap=3, spent=3, account="0"),
        ModelRefusedError("no", model="m", status=401, never_ran=True),
        ContextTooLongError("no", limit_tokens=8, requested_tokens=9, counts_output=False),
        IncompleteReply("cut", text="half"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_in_a_result_can_be_copied_and_pickled(error: DivebellError) -> None:
    for other in (copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is type(error)
        assert (str(other), vars(other)) == (str(error), vars(error))


# Replies that say the same again.

REFUSAL = "I'm sorry, but I can't help with that."


@pytest.mark.parametrize("again", [REFUSAL, REFUSAL.upper(), f"**{REFUSAL}**", f"  {REFUSAL}\n", REFUSAL.rstrip(".")])
def test_the_third_same_reply_is_the_best_answer(again: str) -> None:
    root = scripted(REFUSAL, again, REFUSAL)
    result = RLM(root).run(CONTEXT, "q")
    assert (result.answer, result.status, result.iterations) == (REFUSAL, "exhausted", SAME_REPLIES)
    assert result.stopped_by is not None
    assert (result.stopped_by.limit, result.stopped_by.cap) == ("repeats", SAME_REPLIES)
    all_are_strict(root)


def test_same_replies_need_not_follow_each_other_and_code_between_does_not_matter() -> None:
    root = scripted("It is 17.", block("print(1)"), "It is 17.", "Let me see.", "It is 17!")
    result = RLM(root).run(CONTEXT, "q")
    assert (result.answer, result.iterations) == ("It is 17!", 5)


def test_replies_that_differ_or_have_code_are_not_repetitions() -> None:
    root = scripted(*[block("print(1)")] * 4, "It is 1.", "It is 2.", "It is 3.", "FINAL(17)")
    assert RLM(root).run(CONTEXT, "q").status == "answered"
    counts = Repetition()
    assert not any(counts.is_repeated(text) for text in ("", " ", "...", "", "", "!", "?"))
    assert [counts.is_repeated(text) for text in ("🙂", " 🙂\n", "🙂")] == [False, False, True]


def test_with_a_schema_a_repeated_reply_is_judged() -> None:
    assert RLM(scripted("17"), output=int).run(CONTEXT, "q").value == 17
    root = scripted("seventeen", last="17")
    result = RLM(root, output=int, max_answer_retries=1).run(CONTEXT, "q")
    assert (result.value, result.stopped_by.limit if result.stopped_by else "") == (17, "repairs")
    assert "does not fit" in request_text(root.requests[3])


def test_with_raise_a_repeated_reply_is_an_error() -> None:
    root = scripted(REFUSAL)
    with pytest.raises(DivebellError, match="the same reply 3 times"):
        RLM(root, on_exhausted="raise").run(CONTEXT, "q")
    assert len(root.requests) == SAME_REPLIES


# Empty replies, and what strict endpoints take.


@pytest.mark.parametrize("empty", ["", "   \n", "<think>I wonder</think>", "<think>a</think>\n\n"])
def test_after_an_empty_reply_every_request_is_one_that_strict_endpoints_take(empty: str, tmp_path: Path) -> None:
    root = scripted(empty, block("print(len(history))"), empty, "FINAL(17)")
    result = RLM(root).run(CONTEXT, "q", journal=tmp_path / "journal")
    assert result.answer == "17"
    all_are_strict(root)
    assert "empty" in str(root.requests[1].messages[-1]["content"])
    assert replay(tmp_path / "journal").answer == "17"


def test_a_session_goes_on_after_an_empty_answer_and_a_failed_question() -> None:
    def play(request: ModelRequest) -> str:
        assert not strict_problem(request.messages), strict_problem(request.messages)
        if "Q2" in request_text(request) and "Q3" not in request_text(request):
            raise ModelError("down")
        return "FINAL(17)" if "Q3" in request_text(request) else ""

    with RLM(ScriptedModel("root", play), max_iterations=1).session(CONTEXT) as session:
        with pytest.raises(RunError, match="empty"):
            session.ask("Q1?")
        with pytest.raises(ModelError, match="down"):
            session.ask("Q2?")
        assert session.ask("Q3?").answer == "17"


def test_a_sub_models_empty_reply_to_a_schema_is_repaired_with_messages_that_endpoints_take() -> None:
    sub = scripted("", "17", name="sub")
    root = scripted(block("print(llm_query('n', schema=int))"), "FINAL(x)")
    assert RLM(root, sub).run(CONTEXT, "q").turns[0].cells[0].stdout.strip() == "17"
    all_are_strict(sub)


@pytest.mark.parametrize("prompt", ["", "  ", "\n\t"])
def test_an_empty_prompt_is_an_error_of_the_codes_and_is_not_sent(prompt: str) -> None:
    sub = scripted("yes", name="sub")
    code = f"try:\n    llm_query({prompt!r})\nexcept ModelError as error:\n    print(error)"
    root = scripted(block(code), "FINAL(x)")
    assert "the prompt is empty" in RLM(root, sub).run(CONTEXT, "q").turns[0].cells[0].stdout
    assert not sub.requests


# Time and money that are kept back.


def test_the_time_that_is_kept_back_is_what_the_slowest_call_took(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("divebell.run.pace.time.monotonic", lambda: now)
    pace, changes = Pace(6.0), []
    pace.changed = lambda: changes.append(pace.kept_back_seconds)
    assert pace.kept_back_seconds == pytest.approx(0.6)
    for seconds in (0.8, 0.3, 1.2, 100.0):
        with pace.timed():
            now += seconds
    assert changes == pytest.approx([1.2, 1.8, 3.0]), "half of the budget at most"
    child, grandchild = Pace(6.0, above=pace), Pace(6.0, above=Pace(6.0, above=pace))
    assert pace.kept_back_seconds < child.kept_back_seconds < grandchild.kept_back_seconds < 6.0
    assert Pace(None, above=None).kept_back_seconds == 0.0


@pytest.mark.parametrize("dollars", ["0.02", "0.06", "0.30", "5"])
def test_a_small_budget_keeps_back_what_a_last_call_can_use_and_no_more(dollars: str) -> None:
    """The prices of a middling model; the root's turns and its last answer are as long as they may be."""
    kept: list[float] = []
    code = block(f"print('KEPT', {dollars} - budget()['dollars'])")
    rates = {"root": Rate.per_million("0.25", "2.00")}
    root = scripted(code, "FINAL(done)")
    result = RLM(root, budget=Budget(dollars=dollars), rates=rates, max_output_tokens=2_000).run("hay", "q")
    kept.append(float(result.turns[0].cells[0].stdout.split("KEPT")[1]) - 0.004)
    assert kept[0] <= float(dollars) / 4
    assert result.answer == "done"


def test_a_run_of_a_small_budget_lands_on_what_was_kept_back() -> None:
    rates = {"root": Rate.per_million("1.25", "10")}
    root = scripted(block("print('working')"), last="FINAL(landed)")
    result = RLM(root, budget=Budget(dollars="0.06"), rates=rates).run("hay", "q")
    assert (result.answer, result.status) == ("landed", "exhausted")
    assert result.spend["dollars"] <= 0.06


@pytest.mark.parametrize(
    ("last", "answer"),
    [
        (block("FINAL(x)"), "17"),
        (block("print(x)\nFINAL_VAR('x')"), "17"),
        (block("SUBMIT(answer=x + 1)"), "18"),
        ("I give it in code:\n" + block("y = x * 2") + "\n" + block("FINAL(y)"), "34"),
        (block("answer['content'] = 'x'") + "\nFINAL(17)", "17"),
    ],
)
def test_a_last_answer_in_code_is_what_the_code_gives(last: str, answer: str) -> None:
    root = scripted(block("x = 17"), "I am not sure.", last=last)
    result = RLM(root, max_iterations=2).run(CONTEXT, "q")
    assert (result.answer, result.status) == (answer, "exhausted")
    typed = RLM(scripted(block("x = 17"), last=last), max_iterations=1, output=int).run(CONTEXT, "q")
    assert typed.value == int(answer)


@pytest.mark.parametrize("last", [block("FINAL(nothing)"), block("FINAL(llm_query('x'))"), "FINAL_VAR(y)"])
def test_where_the_last_reply_gives_no_answer_the_draft_counts(last: str) -> None:
    root = scripted(block(f"x = 17\n{DRAFT}"), last=last)
    result = RLM(root, max_iterations=1).run(CONTEXT, "q")
    assert (result.answer, result.status) == ("probably 17", "failed")
    assert "last reply" in str(result.error)


def test_a_last_reply_of_code_that_gives_no_answer_may_be_the_answer() -> None:
    code = "```python\ndef half(x):\n    return x / 2\n```"
    result = RLM(scripted("Let me see.", last=code), max_iterations=1).run(CONTEXT, "write a function")
    assert (result.answer, result.status) == (code, "exhausted")


def test_code_of_the_last_reply_that_asks_a_model_is_not_run() -> None:
    """The run has nothing left to ask with; what it was told then would not be in the journal, and a replay differ."""
    last = "```repl\nprint(llm_query('one'))\n```\n```repl\nFINAL('after')\n```"
    root = ScriptedModel("root", ["```repl\nprint('so far')\n```", last])
    sub = ScriptedModel("sub", lambda request: "yes")
    result = RLM(root, sub, max_iterations=1).run("hay", "What?")
    assert not sub.requests
    assert (result.answer, result.status) == ("so far", "failed")
    assert "its code asks a model" in str(result.error)
