"""Cells as users of the peers' engines have them: the authors' `rlms`, and DSPy's `dspy.RLM`. They run unchanged."""

from dataclasses import dataclass
from typing import Any

import pytest

from divebell import RLM, Budget, ModelRequest, Result, ScriptedModel
from tests.support.scripts import request_text


def block(code: str) -> str:
    return f"```repl\n{code.strip()}\n```"


def played(*cells: str, context: Any, **options: Any) -> Result:
    """A run whose root model writes these cells, one a turn. Its sub-model says how long its prompt is."""
    root = ScriptedModel("root", [block(cell) for cell in cells])
    return RLM(root, ScriptedModel("sub", lambda request: f"{len(request_text(request))} read"), **options).run(
        context, "q"
    )


SECTIONS = [f"Section {number}. " + "words " * 100 for number in range(25)]
BOOK = "\n".join(SECTIONS)

RLMS = {
    "a chunk is asked about": (
        "chunk = context[:10000]\nanswer = llm_query(f'What is the magic number? Here is the chunk: {chunk}')\nprint(answer)",
        "answer['content'] = answer['content'].split()[0]\nanswer['ready'] = True",
    ),
    "chunks of a list, in a batch, then a summary": (
        """
query = "How many jobs did he have?"
sections = context.split("\\n")
chunk_size = len(sections) // 10
chunks = []
for i in range(10):
    if i < 9:
        chunk_str = "\\n".join(sections[i*chunk_size:(i+1)*chunk_size])
    else:
        chunk_str = "\\n".join(sections[i*chunk_size:])
    chunks.append(chunk_str)
prompts = [f"Try to answer: {query}. Here are the documents:\\n{chunk}" for chunk in chunks]
answers = llm_query_batched(prompts)
for i, answer in enumerate(answers):
    print(f"I got the answer from chunk {i}: {answer}")
final_answer = llm_query(f"Aggregating all the answers: {query}\\n\\nAnswers:\\n" + "\\n".join(answers))
""",
        "print(SHOW_VARS())",
        "FINAL_VAR('final_answer')",
    ),
    "a buffer over headers found by regular expression": (
        """
import re
sections = re.split(r'Section (\\d+)\\.', context)
buffers = []
for i in range(1, len(sections), 2):
    header, info = sections[i], sections[i + 1]
    summary = llm_query(f"Summarize this {header} section: {info}")
    buffers.append(f"{header}: {summary}")
final_answer = llm_query(f"Based on these summaries: {buffers}")
""",
        "FINAL_VAR(final_answer)",
    ),
    "the answer dict, in steps": (
        "answer['content'] = 'a draft'",
        "answer['content'] = llm_query('better: ' + answer['content'])",
        "answer['ready'] = True",
    ),
    "a model by its name, or None": (
        "r = llm_query('a', model=None) + llm_query('b', 'sub')\nrs = llm_query_batched(['a'], model='sub')",
        "answer = {'content': r + rs[0], 'ready': True}",
    ),
}


@pytest.mark.parametrize("name", RLMS)
def test_code_for_rlms(name: str) -> None:
    result = played(*RLMS[name], context=BOOK)
    assert result.status == "answered"
    assert all(cell.ok for turn in result.turns for cell in turn.cells)
    assert any(character.isdigit() for character in result.answer)


def test_a_child_of_rlms_finds_all_of_a_prompt_too_long_for_a_question_in_its_context() -> None:
    def policy(request: ModelRequest) -> str:
        if "count the x" in request_text(request).rpartition("The question:")[2]:
            return block("FINAL((len(context), context.count('x'), context.startswith('count the x')))")
        return block("data = 'x' * 200_000\nFINAL(rlm_query(f'count the x, then say it.\\n{data}\\nCount all of it.'))")

    model = ScriptedModel("m", policy)
    assert eval(RLM(model).run("c", "q").answer) == (200_000 + 43, 200_001, True)
    assert all(len(request_text(request)) < 20_000 for request in model.requests)
    assert "Count all of it." in request_text(model.requests[1])


def test_a_question_that_is_too_long_beside_a_context_is_refused_in_one_sentence() -> None:
    result = played("try: rlm_query('q' * 60_000, 'c')\nexcept BadRequest as error: FINAL(error)", context="c")
    assert "put what is long into its context" in result.answer
    assert "\n" not in result.answer


def test_at_the_depth_limit_the_long_prompt_is_a_plain_call() -> None:
    result = played("FINAL(rlm_query('q' * 60_000))", context="c", budget=Budget(depth=0))
    assert result.answer == "60000 read"


@dataclass
class Found:
    answer: str
    count: int


DSPY: dict[str, tuple[tuple[str, ...], object, object]] = {
    "outputs by their names": (("SUBMIT(answer='x', count=2)",), Found, Found("x", 2)),
    "outputs in their order": (("answer, count = 'x', 2\nSUBMIT(answer, count)",), Found, Found("x", 2)),
    "one output": (("SUBMIT('x')",), str, "x"),
    "one output of a signature": (
        ("SUBMIT([1, 2])",),
        {"type": "object", "properties": {"numbers": {"type": "array"}}, "required": ["numbers"]},
        {"numbers": [1, 2]},
    ),
    "the first SUBMIT ends it": (
        (
            "for number, part in enumerate(context.split('.')):\n"
            "    if 'words' in part: SUBMIT(answer=part[:9].strip(), count=number)\n"
            "SUBMIT(answer='nothing', count=-1)",
        ),
        Found,
        Found("words wo", 1),
    ),
    "in a function, after a batch": (
        (
            "print(type(context), len(context))",
            """
def solve():
    chunks = [context[i:i + 5000] for i in range(0, len(context), 5000)]
    results = llm_query_batched([f"Find it in: {c}" for c in chunks])
    best = max(results, key=len)
    SUBMIT(best.split()[-1], len(results))
solve()
print("not reached")
""",
        ),
        Found,
        Found("read", -(-len(BOOK) // 5000)),
    ),
    "a wrong one, then a right one": (("SUBMIT('x', 'many')", "SUBMIT('x', 3)"), Found, Found("x", 3)),
    "too many, then a right one": (("SUBMIT('x', 3, 4)", "SUBMIT('x', 3)"), Found, Found("x", 3)),
}


@pytest.mark.parametrize("name", DSPY)
def test_code_for_dspy(name: str) -> None:
    cells, output, expected = DSPY[name]
    result = played(*cells, context=BOOK, output=output)
    assert (result.status, result.value) == ("answered", expected)
    assert "not reached" not in "".join(cell.output for turn in result.turns for cell in turn.cells)


def test_an_answer_in_order_is_told_with_the_names_of_its_fields() -> None:
    assert played("SUBMIT('x', 2)", context="c", output=Found).answer == '{"answer": "x", "count": 2}'


def test_blocks_after_one_that_submitted_do_not_run() -> None:
    root = ScriptedModel(
        "root", [block("SUBMIT('first')") + "\nThen\n" + block("llm_query('spent')\nSUBMIT('second')")]
    )
    sub = ScriptedModel("sub")
    assert RLM(root, sub).run("c", "q").answer == "first"
    assert not sub.requests
