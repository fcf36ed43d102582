"""The memo: identical sub-calls at temperature 0 are answered once, and never across tenants unless asked for."""

from pathlib import Path
from typing import Any

import pytest

from divebell import (
    RLM,
    Budget,
    Completion,
    ConfigurationError,
    Engine,
    Memo,
    ModelError,
    ModelRequest,
    Rate,
    ScriptedModel,
)
from divebell.models import OpenAIChatModel
from divebell.testing import replay
from tests.support.scripts import block


def models(code: str, runs: int = 1) -> tuple[ScriptedModel, ScriptedModel]:
    replies = iter(range(1000))
    root = ScriptedModel("root", [block(code)] * runs)
    return root, ScriptedModel("sub", lambda request: f"reply {next(replies)}")


TWICE = "FINAL([llm_query('same'), llm_query('same'), llm_query('other')])"


def test_it_is_off_by_default() -> None:
    root, sub = models(TWICE)
    assert RLM(root, sub, temperature=0).run("c", "q").answer == "['reply 0', 'reply 1', 'reply 2']"


def test_an_identical_call_is_answered_from_the_memo_and_counted_and_costs_nothing() -> None:
    root, sub = models(TWICE)
    rlm = RLM(
        root, sub, temperature=0, memo="run", budget=Budget(dollars="1"), rates={"root": Rate(0, 0), "sub": Rate(1, 1)}
    )
    result = rlm.run("c", "q")
    assert result.answer == "['reply 0', 'reply 0', 'reply 1']"
    assert (result.spend["calls"], result.spend["memo_calls"]) == (3, 1)
    assert result.spend["models"]["sub"]["calls"] == 2
    assert rlm.cost_summary()["memo_calls"] == 1


def test_a_memo_of_a_run_ends_with_it() -> None:
    root, sub = models(TWICE, runs=2)
    rlm = RLM(root, sub, temperature=0, memo="run")
    assert rlm.run("c", "q").answer != rlm.run("c", "q").answer


@pytest.mark.parametrize("temperature", [None, 0.5])
def test_a_call_that_has_no_single_answer_is_asked_each_time(temperature: float | None) -> None:
    root, sub = models(TWICE)
    assert RLM(root, sub, temperature=temperature, memo="run").run("c", "q").spend["memo_calls"] == 0


@pytest.mark.parametrize(
    "other",
    [
        "llm_query('same', model='big')",
        "llm_query('same', schema={'type': 'string'})",
        "llm_query('same ')",
    ],
)
def test_another_request_is_not_identical(other: str) -> None:
    root, sub = models(f"llm_query('same'); {other}; FINAL(1)")
    big = ScriptedModel("the big one", lambda request: "other")
    assert RLM(root, sub, models={"big": big}, temperature=0, memo="run").run("c", "q").spend["memo_calls"] == 0


def test_a_failure_and_a_reply_that_was_cut_off_are_not_remembered() -> None:
    seen: list[str] = []

    def policy(request: ModelRequest) -> Completion:
        seen.append("asked")
        if len(seen) == 1:
            raise ModelError("down")
        return Completion(text="half", finish_reason="length" if len(seen) == 2 else "stop")

    code = "for _ in range(4):\n    try: r = llm_query('same')\n    except ModelError: pass\nFINAL(r)"
    rlm = RLM(ScriptedModel("root", [block(code)]), ScriptedModel("sub", policy), temperature=0, memo="run")
    assert rlm.run("c", "q").answer == "half"
    assert len(seen) == 3


def test_a_tenants_memo_is_its_own() -> None:
    engine = Engine()
    acme, other = engine.tenant("acme"), engine.tenant("other")
    root, sub = models("FINAL(llm_query('same'))", runs=3)
    options: dict[str, Any] = {"temperature": 0, "memo": "tenant"}
    assert acme.rlm(root, sub, **options).run("c", "q").answer == "reply 0"
    assert acme.rlm(root, sub, **options).run("c", "q").answer == "reply 0"
    assert other.rlm(root, sub, **options).run("c", "q").answer == "reply 1"


@pytest.mark.slow
@pytest.mark.parametrize(("across", "answers"), [(False, ["reply 0", "reply 1"]), (True, ["reply 0", "reply 0"])])
def test_a_store_of_the_hosts_is_across_tenants_only_where_it_says_so(across: bool, answers: list[str]) -> None:
    engine, store = Engine(), Memo(across_tenants=across)
    root, sub = models("FINAL(llm_query('same'))", runs=2)
    tenants = [engine.tenant("acme"), engine.tenant("other")]
    assert [each.rlm(root, sub, temperature=0, memo=store).run("c", "q").answer for each in tenants] == answers


class Endpoint(OpenAIChatModel):
    """A model at an endpoint, that says what it was made with."""

    async def complete(self, request: ModelRequest) -> Completion:
        return Completion(text=self.identity)


@pytest.mark.parametrize(
    "other", [{"base_url": "http://127.0.0.2:1/v1"}, {"extra_body": {"reasoning_effort": "high"}}], ids=str
)
def test_a_namesake_at_another_endpoint_is_not_the_same_model(other: dict[str, Any]) -> None:
    store, url = Memo(), "http://127.0.0.1:1/v1"
    answers = []
    for options in ({}, other, {}):
        root, sub = (
            ScriptedModel("root", [block("FINAL(llm_query('same'))")]),
            Endpoint("llama", **{"base_url": url, "api_key": "k" * 20, **options}),
        )
        result = RLM(root, sub, temperature=0, memo=store).run("c", "q")
        assert result.answer == sub.identity
        answers.append(result.spend["memo_calls"])
    assert answers == [0, 0, 1]


def test_a_memo_counts_bytes_not_characters() -> None:
    memo = Memo(max_bytes=10_000)
    request = ModelRequest(messages=[{"role": "user", "content": "x"}], max_output_tokens=1, temperature=0)
    memo.put("", "m", request, Completion(text="\U0001f600" * 3_000))
    assert memo.get("", "m", request) is None


def test_a_memo_opens_no_model_that_a_run_may_not_use() -> None:
    store = Memo()
    root, sub = models("FINAL(llm_query('same', model='big'))")
    big = ScriptedModel("the big one", ["big"])
    RLM(root, sub, models={"big": big}, temperature=0, memo=store).run("c", "q")
    assert len(store) == 1
    root, sub = models("try: print(llm_query('same', model='big'))\nexcept ModelError as e: FINAL(str(e))")
    assert "may not use a model named 'big'" in RLM(root, sub, temperature=0, memo=store).run("c", "q").answer


def test_a_full_memo_forgets_what_was_not_asked_for_longest() -> None:
    memo = Memo(max_entries=2)
    asked = [
        ModelRequest(messages=[{"role": "user", "content": text}], max_output_tokens=1, temperature=0) for text in "abc"
    ]
    memo.put("", "m", asked[0], Completion(text="A"))
    memo.put("", "m", asked[1], Completion(text="B"))
    assert memo.get("", "m", asked[0]) is not None
    memo.put("", "m", asked[2], Completion(text="C"))
    assert [memo.get("", "m", request) is not None for request in asked] == [True, False, True]


def test_a_memos_bytes_are_bounded() -> None:
    memo = Memo(max_bytes=10_000)
    for number in range(100):
        request = ModelRequest(messages=[{"role": "user", "content": str(number)}], max_output_tokens=1, temperature=0)
        memo.put("", "m", request, Completion(text="x" * 3_000))
        memo.put("", "m", request, Completion(text="y" * 3_000))
        assert len(memo) <= 3
    memo.put("", "m", request, Completion(text="x" * 20_000))
    assert memo.get("", "m", request) is not None


@pytest.mark.parametrize("memo", ["always", 5, "tenant"])
def test_a_memo_that_makes_no_sense_is_refused(memo: object) -> None:
    with pytest.raises(ConfigurationError):
        RLM(ScriptedModel(), memo=memo)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError):
        Memo(max_entries=0)


def test_a_run_with_a_memo_replays_whatever_the_memo_holds_by_then(tmp_path: Path) -> None:
    root, sub = models(TWICE)
    result = RLM(root, sub, temperature=0, memo="run").run("c", "q", journal=tmp_path / "j")
    again = replay(tmp_path / "j")
    assert again.answer == result.answer
    assert (again.spend["calls"], again.spend["memo_calls"]) == (3, 1)
