"""The loop with scripted models that behave like real ones, clumsy ones too."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from divebell import (
    RLM,
    Budget,
    BudgetExceeded,
    Completion,
    ConfigurationError,
    ContextError,
    Event,
    Limits,
    ModelError,
    ModelRequest,
    Rate,
    Result,
    ScriptedModel,
    UnknownPriceError,
    Usage,
)
from tests.support.scripts import block

CONTEXT = "the needle is 17\n" + "hay\n" * 1000


def run(
    *replies: str, sub: "Callable[[ModelRequest], str] | None" = None, **options: Any
) -> tuple[Result, ScriptedModel]:
    root = ScriptedModel("root", replies)
    rlm = RLM(root, ScriptedModel("sub", sub or (lambda request: "sub-reply")), **options)
    return rlm.run(CONTEXT, "where is the needle?"), root


def test_peek_grep_answer() -> None:
    result, root = run(
        block("print(context[:16])"), block("hit = re.findall(r'needle is (\\d+)', context)[0]") + "\nFINAL_VAR(hit)"
    )
    assert (result.answer, result.status, result.iterations) == ("17", "answered", 2)
    assert "the needle is 17" in root.requests[1].messages[-1]["content"]


def test_the_root_sees_the_beginning_of_the_context_unless_it_is_switched_off() -> None:
    _, root = run("FINAL(1)")
    assert "needle is 17" in str(root.requests[0].messages[0]["content"])
    _, root = run("FINAL(1)", show_preview=False)
    sent = "".join(str(message["content"]) for message in root.requests[0].messages)
    assert "needle is 17" not in sent
    assert f"{len(CONTEXT):,} characters" in sent


def test_history_is_append_only() -> None:
    _, root = run(block("print(1)"), block("print(2)"), "FINAL(done)")
    first, second, third = (list(request.messages) for request in root.requests)
    assert second[: len(first)] == first
    assert third[: len(second)] == second


def test_final_in_the_text_counts_only_if_the_code_ran() -> None:
    result, root = run(block("1 / 0") + "\nFINAL(too early)", "FINAL(right)")
    assert result.answer == "right"
    assert "ZeroDivisionError" in root.requests[1].messages[-1]["content"]


def test_final_in_code_does_not_count_if_the_cell_fails_afterwards() -> None:
    result, _ = run(block("FINAL('too early')\n1 / 0"), "FINAL(right)")
    assert result.answer == "right"


def test_later_blocks_are_skipped_after_a_failure_and_the_model_is_told() -> None:
    _, root = run(block("1 / 0") + "\n" + block("print('never')"), "FINAL(x)")
    seen = root.requests[1].messages[-1]["content"]
    assert "not run" in seen
    assert "never" not in seen


@pytest.mark.parametrize(
    "code",
    ["answer['content'] = 'it'\nanswer['ready'] = True", "answer = {'content': 'it', 'ready': True}", "FINAL('it')"],
)
def test_every_way_to_finish_in_code(code: str) -> None:
    assert run(block(code))[0].answer == "it"


def test_final_var_gives_a_long_variable_at_full_length() -> None:
    result, _ = run(block("long = 'ab' * 500_000"), "FINAL_VAR(long)")
    assert result.answer == "ab" * 500_000


def test_final_var_of_a_missing_variable_is_explained_and_the_run_goes_on() -> None:
    result, root = run("FINAL_VAR(missing)", "FINAL(1)")
    assert result.answer == "1"
    assert "missing" in root.requests[1].messages[-1]["content"]


def test_a_reply_without_code_or_answer_is_nudged() -> None:
    _, root = run("I shall think about it.", "FINAL(1)")
    assert "no code block" in root.requests[1].messages[-1]["content"]


def test_at_exhaustion_the_best_answer_is_asked_for() -> None:
    result, root = run(block("print(1)"), block("print(2)"), "It is probably 17.", max_iterations=2)
    assert (result.answer, result.status, result.iterations) == ("It is probably 17.", "exhausted", 2)
    assert "no turns left" in root.requests[2].messages[-1]["content"]


def test_at_exhaustion_a_variable_can_be_the_answer() -> None:
    result, _ = run(block("best = 'from code'"), "FINAL_VAR(best)", max_iterations=1)
    assert result.answer == "from code"


def test_huge_prints_are_shortened_for_the_model() -> None:
    _, root = run(block("print('x' * 1_000_000)"), "FINAL(1)", max_shown_characters=2_000)
    assert len(root.requests[1].messages[-1]["content"]) < 3_000


def test_a_batch_keeps_its_order_and_runs_at_once() -> None:
    result, _ = run(
        block("FINAL(' '.join(llm_query_batched([str(i) for i in range(50)])))"),
        sub=lambda request: f"{request.messages[-1]['content']}!",
    )
    assert result.answer == " ".join(f"{i}!" for i in range(50))


def test_one_failed_call_does_not_lose_the_batch() -> None:
    def sub(request: ModelRequest) -> str:
        if request.messages[-1]["content"] == "1":
            raise ModelError("down")
        return "ok"

    result, _ = run(block("r = llm_query_batched(['0', '1', '2'])\nFINAL(f'{r[0]} {r[1].kind} {r[2]}')"), sub=sub)
    assert result.answer == "ok ModelError ok"


def test_a_model_that_is_not_allowed_is_refused_with_the_names_that_are() -> None:
    result, _ = run(block("try:\n    llm_query('x', model='gpt-9')\nexcept ModelError as e:\n    FINAL(e)"))
    assert "gpt-9" in result.answer
    assert "root, sub" in result.answer


def test_a_child_shares_its_parents_context_and_answers() -> None:
    def sub(request: ModelRequest) -> str:
        return block("FINAL(len(context))") if request.messages[0]["role"] == "system" else "plain"

    result, _ = run(block("FINAL(rlm_query('how long?'))"), sub=sub)
    assert result.answer == str(len(CONTEXT))


def test_a_child_can_have_a_context_of_its_own() -> None:
    def sub(request: ModelRequest) -> str:
        return block("FINAL(context.upper())") if request.messages[0]["role"] == "system" else "plain"

    result, _ = run(block("FINAL(', '.join(rlm_query_batched(['a', 'b'], ['one', 'two'])))"), sub=sub)
    assert result.answer == "ONE, TWO"


def test_at_the_depth_limit_a_child_is_a_plain_call() -> None:
    result, _ = run(
        block("FINAL(rlm_query('q', 'own context'))"),
        sub=lambda request: f"{len(request.messages)}:{request.messages[0]['content']}",
        budget=Budget(depth=0),
    )
    assert result.answer == "1:q\n\nown context"


def test_a_child_cannot_go_deeper_than_the_budget_allows() -> None:
    def sub(request: ModelRequest) -> str:
        return block("FINAL(rlm_query('deeper'))") if request.messages[0]["role"] == "system" else "bottom"

    assert run(block("FINAL(rlm_query('down'))"), sub=sub, budget=Budget(depth=3))[0].answer == "bottom"


def test_a_cell_that_redefines_our_names_is_undone() -> None:
    result, _ = run(block("context = 'mine'\nllm_query = print"), block("FINAL(len(context))"))
    assert result.answer == str(len(CONTEXT))


@pytest.mark.slow
def test_an_endless_cell_is_ended_and_the_run_goes_on() -> None:
    result, root = run(
        block("x = 5"), block("while True: pass"), block("FINAL(x)"), limits=Limits(cell_seconds=0.3, grace_seconds=0.3)
    )
    assert result.answer == "5"
    assert "TimeoutError" in root.requests[2].messages[-1]["content"]


def test_a_cap_on_calls_holds_and_the_guest_can_see_it() -> None:
    result, _ = run(
        block("r = llm_query_batched(['x'] * 10)\nFINAL(f\"{r.count('sub-reply')} {budget()['calls']}\")"),
        budget=Budget(calls=4),
    )
    # One call for the root, one kept back for its last answer, two are left.
    assert result.answer == "2 0"
    assert result.spend["calls"] == 3


def test_a_cap_in_dollars_holds_over_a_batch() -> None:
    # rlms spends $10.01 here: a cap of 5 cents, and one batch of 1,000 prompts at a cent each.
    root = ScriptedModel("root", [block("r = llm_query_batched(['x'] * 1000)"), "FINAL(1)"])
    sub = ScriptedModel("sub", lambda request: Completion(text="y", usage=Usage(input_tokens=1, output_tokens=100)))
    rlm = RLM(
        root,
        sub,
        budget=Budget(dollars="0.05"),
        rates={"root": Rate.per_million("0", "0"), "sub": Rate.per_million("0", "100")},
        sub_max_output_tokens=100,
    )
    result = rlm.run(CONTEXT, "q")
    assert result.spend["dollars"] == Decimal("0.05")
    assert len(sub.requests) == 5


def test_a_model_that_reports_no_usage_is_charged_its_whole_hold() -> None:
    root = ScriptedModel("root", lambda request: Completion(text="FINAL(1)", usage=None))
    rlm = RLM(root, budget=Budget(dollars="1"), rates={"root": Rate.per_million("1", "1")}, max_output_tokens=1000)
    result = rlm.run(CONTEXT, "q")
    assert result.spend["uncertain_calls"] == 1
    assert result.spend["dollars"] >= Decimal("0.001")


def test_an_unknown_price_is_refused_before_the_first_call() -> None:
    root = ScriptedModel("nobody-knows-it", ["FINAL(1)"])
    with pytest.raises(UnknownPriceError, match="price of 'nobody-knows-it' is not known"):
        RLM(root, budget=Budget(dollars="1")).run(CONTEXT, "q")
    assert not root.requests


@pytest.mark.slow
def test_a_run_ends_at_its_seconds() -> None:
    endless = block("while True: llm_query('x')")
    with pytest.raises(BudgetExceeded) as raised:
        run(endless, budget=Budget(seconds=0.5), limits=Limits(cell_seconds=30), on_exhausted="raise")
    assert (raised.value.limit, raised.value.cap) == ("seconds", 0.5)


def test_a_failing_root_model_is_an_error_of_ours() -> None:
    with pytest.raises(ModelError, match="run out"):
        run()


@pytest.mark.parametrize(("context", "query", "error"), [("", "q", ContextError), ("x", " ", ConfigurationError)])
def test_bad_input_is_refused_in_one_sentence(context: str, query: str, error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        RLM(ScriptedModel("root", ["FINAL(1)"])).run(context, query)
    assert "\n" not in str(raised.value)


def test_cost_summary_adds_up_and_reset_forgets() -> None:
    rlm = RLM(ScriptedModel("root", lambda request: "FINAL(1)"))
    first = rlm.run(CONTEXT, "q").spend
    rlm.run(CONTEXT, "q")
    assert rlm.cost_summary()["input_tokens"] == 2 * first["input_tokens"]
    rlm.reset()
    assert rlm.cost_summary()["calls"] == 0


def test_completion_is_the_text_alone() -> None:
    assert RLM(ScriptedModel("root", ["FINAL(1)"])).completion(CONTEXT, "q") == "1"


async def _arun() -> str:
    rlm = RLM(ScriptedModel("root", ["FINAL(1)"]))
    with pytest.raises(ConfigurationError, match="await"):
        rlm.run(CONTEXT, "q")
    return (await rlm.arun(CONTEXT, "q")).answer


def test_arun_inside_a_loop_where_run_says_so() -> None:
    import anyio

    assert anyio.run(_arun) == "1"


def test_a_listener_that_raises_does_not_break_a_run() -> None:
    seen: list[str] = []

    def listener(event: Event) -> None:
        seen.append(event.kind)
        raise RuntimeError("broken consumer")

    assert run(block("llm_query('x')"), "FINAL(1)", on_event=listener)[0].answer == "1"
    assert seen == ["run", "reply", "code", "call", "cell", "reply", "answer"]


def test_seeded_runs_repeat() -> None:
    code = block(
        'import random, uuid\nFINAL(f\'{random.random()} {uuid.uuid4()} {list({"a", "b", "c"})} {time.time()}\')'
    )
    assert run(code, seed=3)[0].answer == run(code, seed=3)[0].answer
    assert run(code, seed=3)[0].answer != run(code, seed=4)[0].answer
