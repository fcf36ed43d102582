"""A reply that makes up what its code prints, and answers from that: told from one that quotes, or reasons."""

import pytest

from divebell import RLM, ScriptedModel
from divebell.cell import Cell
from divebell.models.protocol import texts_of
from divebell.replies.meanings import Final
from divebell.run.invented_output import find_invented_output

CODE = "```repl\nprint(59 * 50)\n```"

INVENTED = {
    "a line": ("Output: 12345", "12345", "2950\n"),
    "a line in bold": ("**Output:** 12345", "12345", "2950\n"),
    "a line of its own": ("Output:\n12345", "12345", "2950\n"),
    "a block behind a label": ("Output:\n```\n12345\n```", "12345", "2950\n"),
    "a block marked as output": ("```output\n12345\n```", "12345", "2950\n"),
    "a heading": ("### Result:\n\n12345", "12345", "2950\n"),
    "what a notebook shows": ("Out[1]: 12345", "12345", "2950\n"),
    "in our own words": ("Output of block 1:\n12345", "12345", "2950\n"),
    "an observation": ("Observation: The answer is 12345", "12345", "2950\n"),
    "execution output": ("Execution output => 12,345", "12345", "2950\n"),
    "a sentence as the answer": ("Output: 12345", "The total is 12345.", "2950\n"),
    "a word": ("Output: Paris", "Paris", "Rome\n"),
    "several lines": ("Output:\nAnn 3\nBob 5\n", "Bob 5", "Ann 3\nBob 4\n"),
    "the code printed nothing": ("Output: 12345", "12345", ""),
    "another rounding": ("Output: 0.52", "0.52", "0.5138\n"),
    "in German": ("Ausgabe: 12345", "12345", "2950\n"),
    "in French": ("Le résultat : 12345", "12345", "2950\n"),
    "in Spanish": ("**Salida:** Madrid", "Madrid", "Bilbao\n"),
    "in Russian": ("Вывод: 12345", "12345", "2950\n"),
    "in Chinese": ("运行结果：12345", "12345", "2950\n"),
    "in Japanese": ("出力: 12345", "12345", "2950\n"),
    "in Korean": ("실행 결과: 12345", "12345", "2950\n"),
    "of the code above": ("Output of the code above: 12345", "12345", "2950\n"),
    "with a word in parentheses": ("Output (stdout): 12345", "12345", "2950\n"),
    "a label without a colon": ("[Output]\n12345", "12345", "2950\n"),
    "a heading without a colon": ("## Output\n\n12345", "12345", "2950\n"),
    "in a tag": ("<output>12345</output>", "12345", "2950\n"),
    "in a tag over lines": ("<tool_result>\n12345\n</tool_result>", "12345", "2950\n"),
    "a block without a mark": ("```\n12345\n```", "12345", "2950\n"),
    "a block of text": ("```text\n12345\n```", "12345", "2950\n"),
    "behind an arrow": ("=> 12345", "12345", "2950\n"),
    "in a sentence": ("The code prints 12345.", "12345", "2950\n"),
    "in a sentence of what it is": ("The output is 12345.", "12345", "2950\n"),
    "in a sentence of the past": ("Running this code returned 12345", "12345", "2950\n"),
}


@pytest.mark.parametrize("name", INVENTED)
def test_an_answer_from_an_output_that_was_made_up_is_found(name: str) -> None:
    said, answer, printed = INVENTED[name]
    claim = find_invented_output(f"{CODE}\n\n{said}\n\nFINAL({answer})", [Cell(stdout=printed)], Final("text", answer))
    assert claim is not None
    assert claim in said.replace("**", "")


LEFT_ALONE = {
    "the right output": ("Output: 2950", "2950", "2950\n"),
    "the right output, written otherwise": ("Output: 2,950.00", "2950", "total: 2950\n"),
    "a right answer from the output": ("Output: 2949", "2950", "2950\n"),
    "the output rounded": ("Output: 0.51", "0.51", "0.5138\n"),
    "the output as a percentage": ("Result: 51.4 %", "51.4 %", "0.5138\n"),
    "a word of a long output": ("Output: Paris", "Paris", "The capital is Paris, in France.\n"),
    "no output stated": ("So it must be 12345.", "12345", "2950\n"),
    "an output, and another answer": ("Output: 17", "12345", "2950\n"),
    "a word in a sentence": ("The output will show 12345.", "12345", "2950\n"),
    "a result of something else": ("Results vary: see above", "12345", "2950\n"),
    "a word that begins as a label does": ("Outposts: 12345", "12345", "2950\n"),
    "a sentence about the text": ("The text gives 12345.", "12345", "2950\n"),
    "a block with the answer in it": ("```\nFINAL(12345)\n```", "12345", "2950\n"),
    "a sentence that is right": ("This prints 2950.", "2950", "2950\n"),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_a_reply_that_quotes_or_reasons_is_left_alone(name: str) -> None:
    said, answer, printed = LEFT_ALONE[name]
    reply = f"{CODE}\n\n{said}\n\nFINAL({answer})"
    assert find_invented_output(reply, [Cell(stdout=printed)], Final("text", answer)) is None


def test_what_was_said_before_the_code_or_printed_in_an_earlier_turn_is_not_made_up() -> None:
    final, cells = Final("text", "12345"), [Cell(stdout="2950\n")]
    assert find_invented_output(f"Output: 12345\n{CODE}\nFINAL(12345)", cells, final) is None
    reply = f"{CODE}\nOutput: 12345\nFINAL(12345)"
    assert find_invented_output(reply, cells, final) == "12345"
    assert find_invented_output(reply, cells, final, earlier=["sum 12345"]) is None
    assert find_invented_output(reply, [], final) is None
    assert find_invented_output("```repl\nx = '''\nOutput: 12345\n'''\n```\nFINAL(12345)", cells, final) is None
    for kind in ("variable", "expression", "submit"):
        assert find_invented_output(reply, cells, Final(kind, "x")) is None


@pytest.mark.parametrize(
    "text",
    ["Output: " * 30_000, "Output:\n" * 30_000, "[" * 200_000, "the " * 50_000, "```\n" * 50_000, "1.5 " * 50_000,
     "9" * 200_000, "Output: " + "1," * 100_000, "**" * 100_000, "Result" + " " * 200_000],
    ids=lambda text: text[:8],
)  # fmt: skip
def test_any_text_has_a_verdict(text: str) -> None:
    cells = [Cell(stdout=text), Cell(stdout="0.5 " * 20_000)]
    find_invented_output(f"{CODE}\n{text}\nFINAL(7.25)", cells, Final("text", " ".join(f"{n}.25" for n in range(200))))
    find_invented_output(text, cells, Final("text", text[:2000]))


def said(root: ScriptedModel, request: int) -> str:
    return "\n".join(texts_of(root.requests[request].messages[-1]))


def test_the_model_is_shown_what_the_code_printed_and_asked_again() -> None:
    lie = f"{CODE}\n\nOutput: 12345\n\nFINAL(12345)"
    root = ScriptedModel("root", [lie, "FINAL(2950)"])
    result = RLM(root, ScriptedModel("sub", ["y"])).run("text", "q?")
    assert (result.answer, result.iterations) == ("2950", 2)
    assert "Output:\n2950" in said(root, 1)
    assert "the output is `12345`" in said(root, 1)


def test_a_model_that_insists_has_its_answer() -> None:
    lie = f"{CODE}\n\nOutput: 12345\n\nFINAL(12345)"
    root = ScriptedModel("root", [lie, lie])
    result = RLM(root, ScriptedModel("sub", ["y"])).run("text", "q?")
    assert (result.answer, result.iterations) == ("12345", 2)


@pytest.mark.parametrize(
    "last",
    [
        "```repl\nFINAL(12345)\n```",
        "```repl\ntotal = 12345\nFINAL(total)\n```",
        "```repl\nFINAL(f'It is {12345}')\n```",
        "```repl\nSUBMIT(answer=12345)\n```",
        "SUBMIT(answer=12345)",
        "SUBMIT(12345)",
    ],
)
def test_code_that_only_states_what_was_made_up_is_asked_about(last: str) -> None:
    model = ScriptedModel("root", [f"{CODE}\n\nOutput: 12345\n\n{last}", "FINAL(2950)"])
    assert RLM(model).run("abc", "q").answer == "2950"
    assert "before the code had run" in texts_of(model.requests[-1].messages[-1])[0]


@pytest.mark.parametrize(
    "last",
    [
        "```repl\nFINAL(total)\n```",
        "```repl\nFINAL(len(context))\n```",
        "```repl\nimport math\nFINAL(math.floor(12345.6))\n```",
    ],
)
def test_code_that_computes_its_answer_is_believed(last: str) -> None:
    code = "```repl\ntotal = 12345\nprint(total - 1)\n```"
    model = ScriptedModel("root", [f"{code}\n\nOutput: 12345\n\n{last}"])
    assert RLM(model).run("x" * 12345, "q").answer == "12345"
