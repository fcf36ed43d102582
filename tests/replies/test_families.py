"""Replies as the families of models write them, each in its own forms: what must be read in them.

The forms are those of the chat templates on huggingface.co and of the parsers of vLLM and SGLang; the words are made up.
"""

import json

import pytest

from divebell.replies.meanings import Final
from divebell.replies.replies import parse_reply, strip_thinking

LOOK = "print(context[:100])"
JSON_CALL = json.dumps({"name": "python", "arguments": {"code": LOOK}})
FENCED = f"```repl\n{LOOK}\n```"


def text(value: str) -> Final:
    return Final("text", value)


CODE: dict[str, str] = {
    "deepseek r1: a thought, then a block": f"<think>\nI should look.\nFINAL(1)?\n</think>\n\n{FENCED}",
    "deepseek r1: the template wrote the first mark": f"I should look. Perhaps ```repl\nbad(\n```\nno.\n</think>\n\n{FENCED}",
    "deepseek r1: a block that was never closed in a thought": f"So:\n```python\nbad(\n\n</think>\n\n{FENCED}",
    "deepseek v3: its tokens": f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>python\n```json\n{json.dumps({'code': LOOK})}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "deepseek v3.1: its tokens": f"Let me look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>python<｜tool▁sep｜>{json.dumps({'code': LOOK})}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "deepseek v3.2: its tags": f'<｜DSML｜function_calls>\n<｜DSML｜invoke name="python">\n<｜DSML｜parameter name="code" string="true">{LOOK}</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>',
    "qwen 2.5: hermes' form": f"<tool_call>\n{JSON_CALL}\n</tool_call>",
    "qwen 2.5: not closed": f"<tool_call>\n{JSON_CALL}",
    "qwen 3: a thought, then hermes' form": f"<think>\nFINAL(3)\n</think>\n\n<tool_call>\n{JSON_CALL}\n</tool_call>",
    "qwen 3: an empty thought": f"<think>\n\n</think>\n\n{FENCED}",
    "qwen 3: a second end of the thought": f"<think>\na\n</think>\nFINAL(0)\n</think>\n{FENCED}",
    "qwen3-coder: its tags": f"<tool_call>\n<function=python>\n<parameter=code>\n{LOOK}\n</parameter>\n</function>\n</tool_call>",
    "qwen3-coder: without the outer tag": f"<function=execute_python>\n<parameter=code>\n{LOOK}\n</parameter>\n</function>",
    "qwen: a fence on the line of its words": f"好的，我先看看：```python\n{LOOK}\n```",
    "llama 3.1: the python tag": f"<|python_tag|>{LOOK}<|eom_id|>",
    "llama 3.1: the python tag and json": '<|python_tag|>{"name": "python", "parameters": {"code": "print(context[:100])"}}<|eom_id|>',
    "llama 3.1: its function form": f"<function=python>{json.dumps({'code': LOOK})}</function>",
    "llama 3.2: bare json": json.dumps({"name": "python", "parameters": {"code": LOOK}}),
    "llama 3.3: bare json in a list": json.dumps([{"name": "code_interpreter", "arguments": {"code": LOOK}}]),
    "llama: bold headings": f"**Step 1: look**\n\n**Code:** ```python\n{LOOK}\n```",
    "llama: no fence": LOOK,
    "llama: the mark without a fence": f"python\n{LOOK}",
    "gpt-oss: analysis, then commentary to python": f"<|channel|>analysis<|message|>I look. FINAL(1)<|end|><|start|>assistant<|channel|>commentary to=functions.python <|constrain|>json<|message|>{json.dumps({'code': LOOK})}<|call|>",
    "gpt-oss: the built-in python": f"<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>analysis to=python code<|message|>{LOOK}<|call|>",
    "gpt-oss: the recipient in the role": f"<|start|>assistant to=functions.python<|channel|>commentary json<|message|>{json.dumps({'code': LOOK})}<|call|>",
    "gpt-oss: a block in the final channel": f"<|channel|>analysis<|message|>```repl\nbad()\n```<|end|><|start|>assistant<|channel|>final<|message|>{FENCED}<|return|>",
    "gpt-oss: the tokens lost": f"analysisWe need to look. FINAL(1)assistantfinal{FENCED}",
    "gpt-oss: the tokens lost, a call": f"analysisWe need to look.assistantcommentary to=python code{LOOK}",
    "mistral: magistral's thought": f"[THINK]FINAL(1) or so[/THINK]{FENCED}",
    "mistral: a list of calls": f"[TOOL_CALLS] [{JSON_CALL}]",
    "mistral: a list of calls, and the end": f"[TOOL_CALLS][{JSON_CALL}]</s>",
    "mistral: name and arguments": f"[TOOL_CALLS]python[ARGS]{json.dumps({'code': LOOK})}",
    "mistral: name, id and arguments": f"[TOOL_CALLS]python[CALL_ID]a1B2c3D4e[ARGS]{json.dumps({'code': LOOK})}",
    "mistral: a list item": f"1. Look first:\n   - ```python\n     {LOOK}\n     ```",
    "gemini: tool_code": f"```tool_code\n{LOOK}\n```",
    "gemini: thoughts": f"<thought>\nI plan: FINAL(x)\n</thought>\n```tool_code\n{LOOK}\n```",
    "gemma 4: a channel of thought": f"<|channel>thought\nFINAL(1)\n<channel|>{FENCED}",
    "gemma: its function form": f"<start_function_call>call:python{{code:<escape>{LOOK}<escape>}}<end_function_call>",
    "gemma: python3.11": f"```python3.11\n{LOOK}\n```",
    "medgemma: a thought": f"<unused94>thought\nFINAL(1)<unused95>{FENCED}",
    "claude: its tags": f'<function_calls>\n<invoke name="python">\n<parameter name="code">{LOOK}</parameter>\n</invoke>\n</function_calls>',
    "claude: invoke alone": f'I will look.\n<invoke name="repl">\n<parameter name="code">\n{LOOK}\n</parameter>\n</invoke>',
    "claude: an analysis": f"<analysis>\nFINAL(1)\n```repl\nbad()\n```\n</analysis>\n\n{FENCED}",
    "claude: a scratchpad": f"<scratchpad>FINAL(1)\n</scratchpad>\n{FENCED}",
    "claude: thinking": f"<thinking>\nFINAL(1)\n</thinking>\n\nLet me look.\n\n{FENCED}",
    "kimi k2: its tokens": f"<|tool_calls_section_begin|><|tool_call_begin|>functions.python:0<|tool_call_argument_begin|>{json.dumps({'code': LOOK})}<|tool_call_end|><|tool_calls_section_end|>",
    "kimi vl: a thought": f"◁think▷FINAL(1)◁/think▷\n{FENCED}",
    "kimi k2: a heading": f"### First look ```repl\n{LOOK}\n```",
    "glm 4.5: keys and values": f"<tool_call>python\n<arg_key>code</arg_key>\n<arg_value>{LOOK}</arg_value>\n</tool_call>",
    "glm 4.5: no line feeds": f"<think>x</think><tool_call>python<arg_key>code</arg_key><arg_value>{LOOK}</arg_value></tool_call>",
    "glm 4.6: a block after the thought": f"<think>FINAL(1)</think>{FENCED}",
    "seed oss: a thought": f"<seed:think>\nFINAL(1)\n</seed:think>\n{FENCED}",
    "seed oss: its tags": f"<seed:tool_call>\n<function=python>\n<parameter=code>{LOOK}</parameter>\n</function>\n</seed:tool_call>",
    "seed oss: a budget in the thought": f"<seed:think>\na\n<seed:cot_budget_reflect>9 tokens left</seed:cot_budget_reflect>\nFINAL(1)\n</seed:think>{FENCED}",
    "minimax: its tags": f'<minimax:tool_call>\n<invoke name="python">\n<parameter name="code">{LOOK}</parameter>\n</invoke>\n</minimax:tool_call>',
    "granite: a list of calls": f"<|tool_call|>[{JSON_CALL}]",
    "granite 3.2: thought and response": f"Here is my thought process: nothing.\n\nHere is my response:\n\n{FENCED}",
    "granite 4: the tag": f"<tool_call>[{JSON_CALL}]</tool_call>",
    "phi 4: a list of calls": f"<|tool_call|>[{JSON_CALL}]<|/tool_call|>",
    "phi 4 mini: functools": f"functools[{JSON_CALL}]",
    "phi 4 reasoning: a thought": f"<think>User asks: FINAL(1)</think> {FENCED}",
    "command a: its tokens": f"<|START_THINKING|>FINAL(1)<|END_THINKING|><|START_ACTION|>[\n{json.dumps({'tool_call_id': '0', 'tool_name': 'python_interpreter', 'parameters': {'code': LOOK}})}\n]<|END_ACTION|>",
    "command a: a response": f"<|START_RESPONSE|>{FENCED}<|END_RESPONSE|>",
    "internlm: the interpreter": f"I look.<|action_start|><|interpreter|>\n{LOOK}<|action_end|>",
    "internlm: a plugin": f"<|action_start|><|plugin|>{json.dumps({'name': 'python', 'parameters': {'code': LOOK}})}<|action_end|>",
    "nemotron: its tag": f"<TOOLCALL>[{JSON_CALL}]</TOOLCALL>",
    "openthinker: thought and solution": f"<|begin_of_thought|>\nFINAL(1)\n<|end_of_thought|>\n\n<|begin_of_solution|>\n{FENCED}\n<|end_of_solution|>",
    "apertus: inner words": f"<|inner_prefix|>FINAL(1)<|inner_suffix|>{FENCED}",
    "exaone: a thought": f"<thought>\nFINAL(1)\n</thought>\n{FENCED}",
    "codeact: execute": f"I look at it.\n<execute>\n{LOOK}\n</execute>",
    "openhands: execute_ipython": f"<execute_ipython>\n{LOOK}\n</execute_ipython>",
    "smolagents: code tags": f"Thought: I look first.\n<code>\n{LOOK}\n</code>",
    "smolagents: the end is a stop sequence": f"Thought: I look first.\n<code>\n{LOOK}\n",
    "smolagents: a block and its end": f"Thought: look.\nCode:\n```py\n{LOOK}\n```<end_code>",
    "react: action input": f"Thought: I look.\nAction: python_repl\nAction Input: {LOOK}\nObservation: ",
    "react: action input as json": f"Action: python\nAction Input: {json.dumps({'code': LOOK})}",
    "openai: a call in a block": f"```json\n{JSON_CALL}\n```",
    "openai: arguments as a string": json.dumps(
        {"tool_calls": [{"type": "function", "function": {"name": "python", "arguments": json.dumps({"code": LOOK})}}]}
    ),
    "openai: multi_tool_use": json.dumps(
        {"tool_uses": [{"recipient_name": "functions.python", "parameters": {"code": LOOK}}]}
    ),
    "a dict as Python writes it": f"<tool_call>{ {'name': 'python', 'arguments': {'code': LOOK}} }</tool_call>",
    "raw line feeds in json": '<tool_call>{"name": "python", "arguments": {"code": "x = 1\n' + LOOK + '"}}</tool_call>',
    "code in a block in the argument": f"<tool_call>{json.dumps({'name': 'python', 'arguments': {'code': f'```python{chr(10)}{LOOK}{chr(10)}```'}})}</tool_call>",
    "lines of code in a list": f"<tool_call>{json.dumps({'name': 'python', 'arguments': {'code': [LOOK]}})}</tool_call>",
    "words before the fence": f"Let me look: ```repl\n{LOOK}\n```",
    "words before it, without a mark": f"Here is the code: ```\n{LOOK}\n```",
    "a heading before it": f"## Code ```python\n{LOOK}\n```",
    "a heading alone before it": f"### ```python\n{LOOK}\n```",
    "bold around it": f"**```repl**\n{LOOK}\n```",
    "a bullet before it": f"- ```repl\n  {LOOK}\n  ```",
    "a number with a parenthesis before it": f"2) ```repl\n   {LOOK}\n   ```",
    "an emoji before it": f"🔍 ```repl\n{LOOK}\n```",
    "in a quotation": f"> ```repl\n> {LOOK}\n> ```",
    "in a quotation, its end is not": f"> ```repl\n> {LOOK}\n```",
    "the mark on the next line": f"```\nrepl\n{LOOK}\n```",
    "code on the fence's line": f"```repl {LOOK}\n```",
    "a notebook's prompt without a fence": f"In [1]: {LOOK}",
    "the next turn made up": f"{FENCED}<|im_end|>\n<|im_start|>user\nOutput: 12\n<|im_start|>assistant\nFINAL(12)",
    "the tool's reply made up": f"<tool_call>\n{JSON_CALL}\n</tool_call>\n<tool_response>\n12\n</tool_response>\nFINAL(12)",
    "llama: the next turn made up": f"{FENCED}<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n12<|eot_id|><|start_header_id|>assistant<|end_header_id|>\nFINAL(12)",
    "ipython": f"```ipython\n{LOOK}\n```",
    "ipython3": f"```ipython3\n{LOOK}\n```",
    "jupyter": f"```jupyter-python\n{LOOK}\n```",
    "py3": f"```py3\n{LOOK}\n```",
    "in braces": f"```{{python}}\n{LOOK}\n```",
    "in braces, with more": f"```{{.python .numberLines}}\n{LOOK}\n```",
    "myst": f"```{{code-cell}} ipython3\n{LOOK}\n```",
    "with a file's name": f"```python:look.py\n{LOOK}\n```",
    "python repl": f"```python repl\n{LOOK}\n```",
    "python-repl": f"```python-repl\n{LOOK}\n```",
    "pycon": f"```pycon\n>>> {LOOK}\nThe first hundred\n```",
    "pycon in a python block": f"```python\n>>> {LOOK}\nThe first hundred (or so\n```",
    "a notebook's prompt": f"```python\nIn [1]: {LOOK}\nOut[1]: 'The\n```",
    "its end on its last line": f"```repl\n{LOOK}```",
    "words behind its end": f"```repl\n{LOOK}\n``` and then I will see.",
    "five backticks": f"`````repl\n{LOOK}\n`````",
    "tildes": f"~~~python\n{LOOK}\n~~~",
    "python tags": f"<python>\n{LOOK}\n</python>",
    "python tags on one line": f"<python>{LOOK}</python>",
    "repl tags": f"Look:\n<repl>\n{LOOK}\n</repl>",
    "code tags with a language": f'<code language="python">\n{LOOK}\n</code>',
    "cdata": f"<python><![CDATA[\n{LOOK}\n]]></python>",
    "a block in tags": f"<code>\n```python\n{LOOK}\n```\n</code>",
    "a block in tags, its end on the same line": f"<execute>\n```python\n{LOOK}\n```</execute>",
    "thoughts in the middle": f"So.\n<reflection>\nFINAL(2)\n</reflection>\n{FENCED}",
    "a thought in a thought": f"<think>a <think>b</think> FINAL(1)\n</think>\n{FENCED}",
    "a thought's mark in quotes": f"The tag `<think>` is counted.\n{FENCED}",
    "longcat: a thought": f"<longcat_think>\nFINAL(1)\n```repl\nbad()\n```\n</longcat_think>\n{FENCED}",
    "a thought whose name has a number": f"<think_never_used_51bce0c7>\nFINAL(1)\n</think_never_used_51bce0c7>\n{FENCED}",
    "granite 3.2: code in its thought": f"Here's my thought process:\nFINAL(1)\n```repl\nbad()\n```\nHere's my response:\n{FENCED}",
    "apriel: reasoning steps": f"Here are my reasoning steps:\nFINAL(1)\n[BEGIN FINAL RESPONSE]\n{FENCED}\n[END FINAL RESPONSE]",
    "a rationale": f"<rationale>\nFINAL(1)\n</rationale>\n{FENCED}",
    "a plan": f"<plan>\nFINAL(1)\n```repl\nbad()\n```\n</plan>\n{FENCED}",
    "a self-reflection": f"<self_reflection>\nFINAL(1)\n</self_reflection>\n{FENCED}",
    "reasoning content": f"<reasoning_content>FINAL(1)\n</reasoning_content>{FENCED}",
    "reasoning in brackets": f"[REASONING]\nFINAL(1)\n[/REASONING]\n{FENCED}",
    "thinking in braces": f"{{thinking}}\nFINAL(1)\n{{/thinking}}\n{FENCED}",
    "a thought in escaped tags": f"&lt;think&gt;\nFINAL(1)\n&lt;/think&gt;\n{FENCED}",
    "a thought in Chinese": f"<思考>\nFINAL(1)\n</思考>\n{FENCED}",
    "code llama: brackets": f"[PYTHON]\n{LOOK}\n[/PYTHON]",
    "llama 4: a call as Python writes it": f"[python(code={LOOK!r})]",
    "gemma 3: a call as Python writes it": f"run_python(code={LOOK!r})",
    "a tag in a tag": f'<pre><code class="language-python">\n{LOOK}\n</code></pre>',
    "tags in a block of xml": f"```xml\n<tool_call>{JSON_CALL}</tool_call>\n```",
    "one tick": f"`repl\n{LOOK}\n`",
    "two ticks": f"I look:\n\n``python\n{LOOK}\n``",
    "quotes for ticks": f"'''repl\n{LOOK}\n'''",
    "a label with a colon": f"repl:\n{LOOK}",
    "a notebook's magic": f"%%python\n{LOOK}",
    "thinking closed by think": f"<thinking>\nFINAL(1)\n</think>\n{FENCED}",
}

FINALS: dict[str, tuple[str, Final]] = {
    "gpt-oss: the final channel": (
        "<|channel|>analysis<|message|>FINAL(1)<|end|><|start|>assistant<|channel|>final<|message|>FINAL(42)<|return|>",
        text("42"),
    ),
    "gpt-oss: the tokens lost": ("analysisThe count is 42. FINAL(41)?assistantfinalFINAL(42)", text("42")),
    "deepseek: after the thought": ("<think>FINAL(1)</think>FINAL(42)", text("42")),
    "mistral: after the thought": ("[THINK]\nFINAL(1)\n[/THINK]\nFINAL(42)", text("42")),
    "qwen: the first mark was left out": ("FINAL(1)?\nHm, no.\n</think>\n\nFINAL(42)", text("42")),
    "seed: after the thought": ("<seed:think>FINAL(1)\n</seed:think>FINAL(42)", text("42")),
    "hunyuan: answer tags": ("<think>\nFINAL(1)\n</think>\n<answer>\nFINAL(42)\n</answer>", text("42")),
    "hunyuan: answer tags on one line": ("<think>a</think><answer>FINAL(42)</answer>", text("42")),
    "openthinker: a solution": (
        "<|begin_of_thought|>FINAL(1)<|end_of_thought|>\n<|begin_of_solution|>FINAL(42)<|end_of_solution|>",
        text("42"),
    ),
    "llama: its end": ("FINAL(42)<|eot_id|>", text("42")),
    "mistral: its end": ("FINAL(42)</s>", text("42")),
    "an answer of code": ("FINAL(```python\nprint(1)\n```)", text("```python\nprint(1)\n```")),
    "an answer about tags": ("FINAL(Use the </think> tag, then <code>)", text("Use the </think> tag, then <code>")),
    "an answer about fences": ("FINAL(Write ```repl first)", text("Write ```repl first")),
    "an answer about calls": (
        "FINAL(<tool_call>{}</tool_call> is Hermes' form)",
        text("<tool_call>{}</tool_call> is Hermes' form"),
    ),
}

NOTHING: dict[str, tuple[str, str]] = {
    "another tool": ('<tool_call>{"name": "web_search", "arguments": {"query": "x"}}</tool_call>', "call_not_run"),
    "bash as a tool": ('<tool_call>{"name": "bash", "arguments": {"command": "ls"}}</tool_call>', "call_not_run"),
    "bash": ("```bash\nls\n```", "other_language"),
    "javascript": ("```js\nconsole.log(1)\n```", "other_language"),
    "two blocks without a mark": ("```\nprint(1)\n```\n```\nprint(2)\n```", "unmarked_block"),
    "a thought only": ("<think>\nFINAL(42)\n</think>\n", "in_thought"),
    "a thought that goes on": ("<reasoning>\n```repl\nx = 1\n```\n", "in_thought"),
    "thought in a bracket": ("[THINK]\nFINAL(42)\n", "in_thought"),
    "gpt-oss: analysis only": ("<|channel|>analysis<|message|>FINAL(42)<|end|>", "in_thought"),
    "gpt-oss: a made-up reply of the tool": (
        "<|start|>python to=assistant<|channel|>commentary<|message|>FINAL(42)<|end|>",
        "in_thought",
    ),
    "empty": ("", "empty"),
    "in a sentence": ("Then FINAL(42) is what I say.", "answer_in_words"),
    "in a list": ("- FINAL(42)", "answer_in_words"),
    "a placeholder": ("FINAL(your answer here)", "answer_in_words"),
    "words behind it": ("FINAL(42) is the answer", "answer_in_words"),
}


@pytest.mark.parametrize("reply", CODE.values(), ids=CODE.keys())
def test_the_code_is_read_and_nothing_else(reply: str) -> None:
    read = parse_reply(reply)
    assert [code.strip().removeprefix("x = 1\n") for code in read.code_blocks] == [LOOK]
    assert read.final is None


@pytest.mark.parametrize("reply", CODE.values(), ids=CODE.keys())
def test_it_is_so_without_the_thought_that_is_left_out_of_the_history(reply: str) -> None:
    assert [code.strip().removeprefix("x = 1\n") for code in parse_reply(strip_thinking(reply)).code_blocks] == [LOOK]


@pytest.mark.parametrize(("reply", "final"), FINALS.values(), ids=FINALS.keys())
def test_the_answer_is_read_and_nothing_else(reply: str, final: Final) -> None:
    read = parse_reply(reply)
    assert (read.code_blocks, read.final) == ((), final)
    assert parse_reply(strip_thinking(reply)).final == final


@pytest.mark.parametrize(("reply", "why"), NOTHING.values(), ids=NOTHING.keys())
def test_nothing_is_taken_and_the_model_is_told_why(reply: str, why: str) -> None:
    read = parse_reply(reply)
    assert (read.code_blocks, read.final) == ((), None)
    assert why in [note.template for note in read.notes]


def test_there_are_as_many_as_promised() -> None:
    assert len(CODE) + len(FINALS) + len(NOTHING) >= 130
