"""Children: to any depth, each with its own sandbox and allotment, and the parts of a context that they are given."""

import os
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from divebell import RLM, Budget, Completion, ConfigurationError, Event, Level, ModelRequest, Rate, ScriptedModel, Usage
from tests.support.scripts import block, request_text


def is_run(request: ModelRequest) -> bool:
    return request.messages[0]["role"] == "system"


def costing_one(text: str) -> Completion:
    return Completion(text=text, usage=Usage(input_tokens=1, output_tokens=1))


def tree_policy(request: ModelRequest) -> Completion:
    """Every run asks three children at once and adds up what they found; a leaf asks a reader."""
    if not is_run(request):
        return costing_one("1")
    return costing_one(
        block(
            "if budget()['depth'] > 0:\n"
            "    FINAL(sum(map(int, rlm_query_batched(['count'] * 3))))\n"
            "else:\n"
            "    FINAL(llm_query('one?'))"
        )
    )


def test_a_tree_of_depth_4_with_3_children_at_each_node_adds_up_in_parallel() -> None:
    events: list[Event] = []
    model = ScriptedModel("m", tree_policy)
    rlm = RLM(
        model,
        budget=Budget(dollars="50", calls=5_000, tokens=50_000_000, depth=4),
        rates={"m": Rate.per_million("1", "1")},
        max_concurrent_children=3,
        max_concurrent_calls=64,
        on_event=events.append,
    )
    result = rlm.run("a context", "count the leaves")
    assert result.answer == str(3**4)
    runs = sum(3**depth for depth in range(5))
    assert result.spend["calls"] == runs + 3**4
    assert result.spend["dollars"] == Decimal(2 * (runs + 3**4)) / 1_000_000

    # What each node spent is what its children spent and its own calls.
    spend = {event.path: event.data["spend"]["calls"] for event in events if event.kind == "answer"}
    assert len(spend) == runs
    for path, calls in spend.items():
        children = [other for other in spend if other.rpartition(".")[0] == path]
        if path.count(".") == 4:
            assert (calls, children) == (2, [])
        else:
            assert len(children) == 3
            assert calls == 1 + sum(spend[child] for child in children)


def test_no_run_is_deeper_than_the_budget_whatever_its_code_asks() -> None:
    depths: Counter[int] = Counter()

    def policy(request: ModelRequest) -> str:
        if not is_run(request):
            depths[99] += 1
            return "bottom"
        return block("FINAL(rlm_query('deeper and deeper', 'x' * 10))")

    def count(event: Event) -> None:
        if event.kind == "run":
            depths[event.data["depth"]] += 1

    result = RLM(ScriptedModel("m", policy), budget=Budget(depth=3), on_event=count).run("c", "q")
    assert result.answer == "bottom"
    assert depths == {0: 1, 1: 1, 2: 1, 3: 1, 99: 1}


def test_a_child_gets_the_part_of_the_context_that_it_is_asked_about() -> None:
    def policy(request: ModelRequest) -> str:
        if "part" in request_text(request).rpartition("The question:")[2]:
            return block("FINAL((len(context), context[:3], type(context).__name__))")
        return block("FINAL(rlm_query_batched(['part', 'part'], [context[100_000:300_000], context[:200]]))")

    text = "".join(chr(97 + i % 26) for i in range(400_000))
    result = RLM(ScriptedModel("m", policy)).run(text, "q")
    expected = [str((200_000, text[100_000:100_003], "str")), str((200, "abc", "str"))]
    assert eval(result.answer) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/maps is Linux's")
@pytest.mark.skipif("DIVEBELL_COPY_PAGES" in os.environ, reason="copies instead of mapping")
@pytest.mark.parametrize("given", ["", ", context", ", context[1_000_000:7_000_000]", ", context[5:-5]"])
def test_a_child_has_the_pages_of_its_parents_context_and_no_others(given: str) -> None:
    def mapped() -> list[str]:
        """Which shared texts are mapped into this process, each mapping once."""
        lines = [
            line.split() for line in Path("/proc/self/maps").read_text().splitlines() if "divebell-context" in line
        ]
        return [line[4] for line in lines if line[1] == "r--s"]

    def policy(request: ModelRequest) -> str:
        if "part" in request_text(request).rpartition("The question:")[2]:
            return block("FINAL((len(context), mapped()))")
        return block(
            f"before = mapped()\nlength, during = eval(rlm_query('part'{given}))\nFINAL((length, before, during))"
        )

    text = "no work and all play " * 400_000
    result = RLM(ScriptedModel("m", policy), tools={"mapped": mapped}).run(text, "q")
    length, before, during = eval(result.answer)
    assert length == len(eval("context" if not given else given[2:], {"context": text}))
    assert set(during) == set(before), "a text of its own was made for the child"
    assert len(during) > len(before), "the child maps it too"


def test_a_child_gets_one_document_of_many(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"document {name} " * 10_000)

    def policy(request: ModelRequest) -> str:
        if "part" in request_text(request).rpartition("The question:")[2]:
            return block("FINAL(context[:10] + str(len(context)))")
        return block("FINAL(rlm_query('part', context['b.txt']))")

    assert RLM(ScriptedModel("m", policy)).run(tmp_path, "q").answer == "document b110000"


def test_a_childs_variables_are_its_own() -> None:
    def policy(request: ModelRequest) -> str:
        if "part" in request_text(request).rpartition("The question:")[2]:
            return block("FINAL('secret' in globals())\nmine = 5")
        return block("secret = 1\nr = rlm_query('part')\nFINAL((r, 'mine' in globals()))")

    assert RLM(ScriptedModel("m", policy)).run("c", "q").answer == "('False', False)"


def test_a_child_that_fails_is_a_model_error_that_code_can_catch() -> None:
    def policy(request: ModelRequest) -> Completion:
        if "part" in request_text(request).rpartition("The question:")[2]:
            raise RuntimeError("a broken model")
        return Completion(
            text=block("try:\n    rlm_query('part')\nexcept ModelError as error:\n    FINAL(f'caught {error}')")
        )

    assert RLM(ScriptedModel("m", policy)).run("c", "q").answer.startswith("caught ")


def level_run(models: Any, **options: Any) -> tuple[str, dict[str, ScriptedModel]]:
    def policy(name: str) -> ScriptedModel:
        def reply(request: ModelRequest) -> str:
            if not is_run(request):
                return f"{name} read"
            return block(f"FINAL('{name} > ' + rlm_query('q', 'c'))")

        return ScriptedModel(name, reply)

    made = {name: policy(name) for name in ("root", "child", "leaf")}
    chosen = [made[one] if isinstance(one, str) else Level(model=made[one[0]], **one[1]) for one in models]
    return RLM(models=chosen, budget=Budget(depth=2), **options).run("c", "q").answer, made


def test_models_by_depth() -> None:
    answer, made = level_run(["root", "child", "leaf"])
    assert answer == "root > child > leaf > leaf read"
    assert [len(model.requests) for model in made.values()] == [1, 1, 2]


def test_the_last_level_stands_for_all_that_are_deeper() -> None:
    assert level_run(["root", "child"])[0] == "root > child > child > child read"


def test_temperatures_and_output_caps_by_depth() -> None:
    _, made = level_run(
        [("root", {"temperature": 0.0}), ("child", {"max_output_tokens": 500}), "leaf"], temperature=0.7
    )
    first = [model.requests[0] for model in made.values()]
    assert [request.temperature for request in first] == [0.0, 0.7, 0.7]
    assert [request.max_output_tokens for request in first] == [16_384, 500, 16_384]


def test_a_model_can_be_named_from_the_allow_list_and_from_nowhere_else() -> None:
    root = ScriptedModel(
        "root", [block("FINAL(llm_query('q', model='big'))"), block("FINAL(rlm_query('q', model='big'))")]
    )
    big = ScriptedModel("the-big-one", lambda request: "FINAL(from a run)" if is_run(request) else "big")
    rlm = RLM(root, ScriptedModel("sub"), models={"big": big})
    assert rlm.run("c", "q").answer == "big"
    assert rlm.run("c", "q").answer == "from a run"
    refused = ScriptedModel("root", [block("llm_query('q', model='gpt-5')"), "FINAL(1)"])
    RLM(refused, ScriptedModel("sub")).run("c", "q")
    assert "gpt-5" in request_text(refused.requests[1])
    assert "root, sub" in request_text(refused.requests[1])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"models": []},
        {"models": ["a"] * 34},
        {"models": 5},
        {"model": "a", "models": ["b"]},
        {"models": [5]},
        {"models": [Level(model=ScriptedModel(), temperature=3)]},
        {"models": [Level(model=ScriptedModel(), max_output_tokens=0)]},
        {"model": ScriptedModel(), "temperature": -1},
    ],
)
def test_levels_that_make_no_sense_are_refused_in_one_sentence(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        RLM(base_url="http://localhost:1/v1", **options)
    assert "\n" not in str(raised.value)


def test_many_sub_calls_run_at_once_up_to_the_limit() -> None:
    at_once = most = 0
    is_full = anyio.Event()

    async def sub(request: ModelRequest) -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        if at_once == 64:
            is_full.set()
        with anyio.fail_after(300):
            await is_full.wait()
        await anyio.sleep(0.001)
        at_once -= 1
        return request.messages[0]["content"]  # type: ignore[return-value]

    root = ScriptedModel(
        "root", [block("FINAL(llm_query_batched([str(i) for i in range(300)]) == [str(i) for i in range(300)])")]
    )
    assert RLM(root, ScriptedModel("sub", sub), max_concurrent_calls=64).run("c", "q").answer == "True"
    assert most == 64


def test_a_child_that_the_depth_does_not_allow_and_no_call_can_hold_is_a_refusal_of_the_budgets() -> None:
    code = """
try:
    rlm_query("what is it?", context="x" * 2_000_001)
except BudgetExceeded as refusal:
    FINAL(str(refusal))
"""
    model = ScriptedModel("m", [block(code)])
    result = RLM(model, budget=Budget(depth=0)).run("a context", "q")
    assert result.answer.startswith("no child is allowed at this depth")
    assert len(model.requests) == 1
