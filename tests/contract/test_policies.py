"""Root models as they are: each row is what one writes, turn by turn, and the answer that must come of it.

The sub-model says its prompt in capitals; the context is a page with a needle in it.
"""

from typing import Any

import pytest

from divebell import RLM, Budget, Limits, Result, ScriptedModel
from tests.support.names import name_value
from tests.support.scripts import block, request_text

CONTEXT = "hay\n" * 2_000 + "the needle is 17\n" + "straw\n" * 2_000
FIND = "hit = re.findall(r'needle is (\\d+)', context)[0]"


def run(*replies: str, context: Any = CONTEXT, **options: Any) -> tuple[Result, ScriptedModel]:
    root = ScriptedModel("root", replies)
    options.setdefault("limits", Limits(cell_seconds=0.5, grace_seconds=0.5))
    result = RLM(root, ScriptedModel("sub", lambda request: request_text(request).upper()), **options).run(
        context, "needle?"
    )
    return result, root


CLUMSY = {
    "no fence": [f"{FIND}\nprint(hit)", "FINAL_VAR(hit)"],
    "two fences": [block(FIND) + "\nThen I print it.\n" + block("print(hit)", "python"), "FINAL_VAR(hit)"],
    "a fence without a mark": [block(FIND, ""), "FINAL_VAR(hit)"],
    "a fence that is never closed": [f"Let me look.\n```repl\n{FIND}\nFINAL(hit)"],
    "prose after code": [block(FIND) + "\nI expect that this finds it. If it does, I will give FINAL(hit).", "FINAL_VAR(hit)"],
    "code and answer in one reply": [block(FIND) + "\nFINAL_VAR(hit)"],
    "the answer before its code has worked": [block("hit = nothing\nprint(hit)") + "\nFINAL(42)", block(FIND), "FINAL_VAR(hit)"],
    "an early FINAL in code that fails": [block("FINAL('42')\n1 / 0"), block(FIND + "\nFINAL(hit)")],
    "FINAL in a string and a comment": [block(f"# FINAL(1)\nplan = 'then FINAL(2)'\n{FIND}"), "FINAL_VAR(hit)"],
    "wrong names": [block("print(prompt[:10])"), block("ask_llm('where?')"), block(FIND + "\nFINAL(hit)")],
    "a variable that there is not": ["FINAL_VAR(hit)", block(FIND), 'FINAL_VAR("hit")'],
    "FINAL_VAR of the value": [block(FIND + "\nFINAL_VAR(hit)")],
    "answer as a variable": [block(FIND + "\nanswer = hit"), "FINAL_VAR(answer)"],
    "an endless loop": [block("while True: pass"), block(FIND + "\nFINAL(hit)")],
    "an endless loop that catches everything": [
        block(f"{FIND}\nwhile True:\n    try:\n        while True: pass\n    except BaseException: pass"),
        block(FIND + "\nFINAL(hit)"),
    ],
    "a huge print": [block("for _ in range(1_000): print(context)"), block(FIND + "\nFINAL(hit)")],
    "a memory bomb": [block("x = []\nwhile True: x.append(' ' * 10_000_000)"), block(FIND + "\nFINAL(hit)")],
    "context defined anew": [block("context = context[:10]\nprint(context)"), block(FIND + "\nFINAL(hit)")],
    "context deleted": [block("del context"), block(FIND + "\nFINAL(hit)")],
    "llm_query defined anew": [
        block("def llm_query(p): return 'simulated'\nprint(llm_query('a'))"),
        block("assert llm_query('a') == 'A'\n" + FIND + "\nFINAL(hit)"),
    ],
    "FINAL and print taken": [block("FINAL = print = None"), block(FIND + "\nFINAL(hit)")],
    "only words, at first": ["I will search for the needle.", "Let me think about that.", block(FIND + "\nFINAL(hit)")],
    "nothing at all": ["", "   \n", block(FIND + "\nFINAL(hit)")],
    "a placeholder": ["FINAL(your answer)", block(FIND + "\nFINAL(hit)")],
    "thoughts with an answer in them": ["<think>Maybe\nFINAL(3)\n</think>\n" + block(FIND + "\nFINAL(hit)")],
    "a shell": ["```bash\ngrep needle context.txt\n```", block(FIND + "\nFINAL(hit)")],
    "a file": [block("open('context.txt').read()"), block(FIND + "\nFINAL(hit)")],
    "pip": [block("!pip install regex"), block(FIND + "\nFINAL(hit)")],
    "exit after the answer": [block(FIND + "\nFINAL(hit)\nexit()")],
    "input": [block("input('where? ')"), block(FIND + "\nFINAL(hit)")],
    "a prompt that is no text": [block("llm_query(['a', 'b'])"), block(FIND + "\nFINAL(hit)")],
}  # fmt: skip


@pytest.mark.parametrize("name", CLUMSY)
@pytest.mark.slow
def test_a_clumsy_model_gets_there(name: str) -> None:
    result, root = run(*CLUMSY[name])
    assert (result.answer, result.status) == ("17", "answered")
    assert len(root.requests) == len(CLUMSY[name])
    assert all(len(request_text(request)) < 40_000 for request in root.requests), (
        "a model is never shown all of a huge output"
    )


TOLD = {
    "wrong names": (CLUMSY["wrong names"], "NameError: name 'prompt' is not defined"),
    "an endless loop": (CLUMSY["an endless loop"], "the cell ran longer than its limit of 0.5 s"),
    "a huge print": (CLUMSY["a huge print"], "characters not shown"),
    "a memory bomb": (CLUMSY["a memory bomb"], "MemoryError"),
    "only words": (CLUMSY["only words, at first"], "no code block"),
    "an early answer": (CLUMSY["the answer before its code has worked"], "mend the code first"),
    "a variable that there is not": (CLUMSY["a variable that there is not"], "there is no variable 'hit'"),
    "a file": (CLUMSY["a file"], "FileNotFoundError"),
    "input": (CLUMSY["input"], "EOFError"),
    "the whole of a huge context in one prompt": (
        [block("huge = context * 3_500\nllm_query(huge)"), block(FIND + "\nFINAL(hit)")],
        "characters, and no model reads so many: send a slice of it",
    ),
    "copies of what is large": (
        [block("parts = [context.upper() for _ in range(50_000)]"), block(FIND + "\nFINAL(hit)")],
        "the memory of this sandbox is used up: work on slices",
    ),
    "a schema without an end": (
        [block("s = {}\ns['items'] = s\nllm_query('a', schema=s)"), block(FIND + "\nFINAL(hit)")],
        "BadRequest: a schema nests dicts and lists at most 32 deep",
    ),
    "a prompt that is no text": (CLUMSY["a prompt that is no text"], "must be a str, not list"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TOLD)
def test_it_is_told_what_went_wrong(name: str) -> None:
    replies, sentence = TOLD[name]
    _, root = run(*replies)
    assert sentence in str(root.requests[1].messages[-1]["content"])


def test_a_model_that_never_gives_code_has_its_turns_and_then_its_last_word() -> None:
    thoughts = ("Let me think.", "Where could it be?", "Perhaps at the end.", "It is long.", "I should look.")
    result, root = run(*thoughts, "It is 17.", max_iterations=5)
    assert (result.answer, result.status, result.iterations) == ("It is 17.", "exhausted", 5)
    assert len(root.requests) == 6


STRATEGIES = {
    "peek": ("FINAL(context[:3])", "hay"),
    "grep": ("FINAL(re.search(r'needle is (\\d+)', context)[1])", "17"),
    "partition and map": (
        "parts = [context[i:i + 4_000] for i in range(0, len(context), 4_000)]\n"
        "FINAL(sum('NEEDLE' in reply for reply in llm_query_batched(parts)))",
        "1",
    ),
    "summarise": (
        "lines = [line for line in context.splitlines() if 'needle' in line]\n"
        "FINAL(llm_query('; '.join(llm_query_batched(lines))))",
        "THE NEEDLE IS 17",
    ),
    "long output": ("whole = context.upper()\nFINAL_VAR('whole')", CONTEXT.upper()),
    "a child for a slice": ("FINAL(rlm_query('what is in it?', context[:100_000]))", "WHAT IS IN IT?\n\n" + CONTEXT.upper()),
    "children at once": ("FINAL('|'.join(rlm_query_batched(['a', 'b'], ['c', 'd'])))", "A\n\nC|B\n\nD"),
    "recursive_llm": ("FINAL(recursive_llm('a', 'c'))", "A\n\nC"),
    "gather of children": (
        "import asyncio\nFINAL('|'.join(await asyncio.gather(*[arlm_query(q, 'c') for q in 'ab'])))", "A\n\nC|B\n\nC"),
    "the purse": ("FINAL(sorted(budget()))", "['calls', 'depth', 'dollars', 'seconds', 'tokens']"),
    "the history": ("FINAL([message['role'] for message in history])", "['system', 'user']"),
    "the variables": (f"{FIND}\nFINAL(SHOW_VARS())", "hit: str, length 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_model_that_knows_its_way(name: str) -> None:
    """At the limit of depth, where children are plain calls: what the sub-model is asked shows in the answer."""
    code, answer = STRATEGIES[name]
    assert run(block(code), budget=Budget(depth=0), sub_max_output_tokens=10_000)[0].answer == answer


@pytest.mark.parametrize("context", ["text", b"bytes", ["a", "b"], {"a": "b"}], ids=name_value)
def test_a_plain_call_in_a_childs_place_gets_the_context_only_where_the_code_gave_it(context: Any) -> None:
    for given, sent in ((", context", "W?\n\n" + str(context).upper()), ("", "W?")):
        answer = run(block(f"FINAL(rlm_query('w?'{given}))"), context=context, budget=Budget(depth=0))[0].answer
        assert answer == sent
        answer = run(block(f"FINAL(await arlm_query('w?'{given}))"), context=context, budget=Budget(depth=0))[0].answer
        assert answer == sent
