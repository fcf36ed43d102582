"""Code that a model wrote as the call of a tool: in its text, in its family's own form, or in the reply's `tool_calls`.

Divebell offers models no tools; they were trained to have some, most of all one that runs Python. The content of such a
call is code as plainly as a block is. So is a call of a name of the contract (`llm_query`). Nothing else is run.

Pure, bounded, never raises. The forms, with their sources:

- a JSON object with a name and arguments, alone or in a list (Hermes, Qwen, Llama 3, Granite, Phi 4, Mistral);
- `<function=python>` with `<parameter=code>` (Qwen3-Coder, Seed OSS) or JSON in it (Llama 3.1);
- `<invoke name="python">` with `<parameter name="code">` (Claude, MiniMax, DeepSeek V3.2);
- a name, `<arg_key>` and `<arg_value>` (GLM 4.5 and later);
- a name, a separator, and arguments: `python<|tool_sep|>{...}` (DeepSeek), `functions.python:0
  <|tool_call_argument_begin|>{...}` (Kimi K2), `python[ARGS]{...}` (Mistral), `call:python{code:<escape>...}`
  (FunctionGemma);
- a call as Python writes it: `[python(code="...")]` (Llama 4, Gemma 3).

The chat templates of these models on huggingface.co, and vLLM's parsers of them
(https://github.com/vllm-project/vllm/tree/main/vllm/tool_parsers), are where they are from.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from divebell.bounds import MAX_TOOL_CALL_CHARACTERS
from divebell.replies.python_text import compiles, does_more_than_name, parse_expression
from divebell_bridge.door import contract

MAX_CALLS = 64
MAX_NESTING = 6  # of calls in lists in objects
MAX_NAME_CHARACTERS = 100

_RUNS_PYTHON = re.compile(
    r"python|repl\b|(?:^|_)repl|interpreter|jupyter|notebook|ipython|^py$|"
    r"(?:^|_)(?:exec|execute|run|eval|code|execution|sandbox|cell)(?:_|$)"
)
_RUNS_OTHERWISE = re.compile(
    r"bash|shell|(?:^|_)sh(?:_|$)|javascript|(?:^|_)js(?:_|$)|sql|node|command|cmd|terminal|search|file"
)
_NAME_KEYS = ("name", "tool_name", "tool", "function", "function_name", "action", "recipient_name", "recipient")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "tool_input", "action_input", "params", "kwargs")
_LIST_KEYS = ("tool_calls", "tool_uses", "calls", "function_call", "functions", "tool_call")
_CODE_KEYS = (
    "code", "python_code", "python", "source", "source_code", "script", "cell", "snippet", "program", "repl", "cmd",
    "command", "input", "content", "expression", "query", "text", "__arg1", "arg0",
)  # fmt: skip
_POSITIONAL = frozenset({"FINAL", "FINAL_VAR"})

_INVOKE = re.compile(
    r"<(?:\w{1,16}:|\|DSML\|)?invoke\s+name=\"?([\w.:-]{1,100})\"?[^>\n]{0,100}>(.*?)"
    r"(?:</(?:\w{1,16}:|\|DSML\|)?invoke>|\Z)",
    re.DOTALL,
)
_NAMED_PARAMETER = re.compile(
    r"<(?:\w{1,16}:|\|DSML\|)?parameter\s+name=\"?(\w{1,100})\"?[^>\n]{0,100}>(.*?)"
    r"(?:</(?:\w{1,16}:|\|DSML\|)?parameter>|\Z)",
    re.DOTALL,
)
_FUNCTION = re.compile(r"<function(?:=|\s+name=)\"?([\w.:-]{1,100})\"?\s*>(.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=\"?(\w{1,100})\"?\s*>(.*?)(?:</parameter>|\Z)", re.DOTALL)
_ARGUMENT = re.compile(r"<arg_(key|value)>(.*?)(?:</arg_(?:key|value)>|\Z)", re.DOTALL)
_NAME_ALONE = re.compile(r"\s*([\w.:-]{1,100})\s*(?=<arg_key>|\Z)")
_SEPARATED = re.compile(
    r"(?:function)?(?:<\|tool_sep\|>)?\s*([A-Za-z_][\w.-]{0,99})(?::\d{1,6})?\s*"
    r"(?:\[CALL_ID\]\w{1,40})?(?:<\|tool_sep\|>|<\|tool_call_argument_begin\|>|\[ARGS\]|\n(?=\s*(?:```|\{))|(?=\{))\s*"
)
_BETWEEN_CALLS = re.compile(
    r"<\|tool_call_(?:begin|end)\|>|<\|tool_calls(?:_section)?_(?:begin|end)\|>|\[TOOL_CALLS\]|"
    r"<start_function_call>|<end_function_call>|call:(?=[A-Za-z_])"
)
_ESCAPED = re.compile(r"(\w{1,100}):<escape>(.*?)(?:<escape>|\Z)", re.DOTALL)
_FENCE = re.compile(r"\s*```[\w-]*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_LINE_FEEDS = re.compile(r"\A[ \t]*\n|\n[ \t]*\Z")


@dataclass(frozen=True)
class WrittenCall:
    """A tool's call as a model wrote it. `arguments` is plain data, or a text where it could not be read as data."""

    name: str
    arguments: object


def calls_in_text(body: str) -> list[WrittenCall]:
    """The calls in a text that is marked as one of calls, in order."""
    body = body[:MAX_TOOL_CALL_CHARACTERS].replace("\uff5c", "|").replace("\u2581", "_")
    for read in (_read_tags, _read_keys, _read_values, _read_separated):
        calls = read(body)
        if calls:
            return calls[:MAX_CALLS]
    return []


def calls_in_data(data: object, nesting: int = 0) -> list[WrittenCall]:
    """The calls that plain data describes: an object with a name and arguments, or such in a list."""
    if nesting > MAX_NESTING:
        return []
    if isinstance(data, (list, tuple)):
        return [call for item in data[:MAX_CALLS] for call in calls_in_data(item, nesting + 1)][:MAX_CALLS]
    if not isinstance(data, Mapping):
        return []
    for key in _LIST_KEYS:
        if isinstance(data.get(key), (list, tuple, Mapping)) and (calls := calls_in_data(data[key], nesting + 1)):
            return calls
    function = data.get("function")
    if isinstance(function, Mapping):
        return calls_in_data(function, nesting + 1)
    if data.get("type") == "code_interpreter_call" and isinstance(data.get("code"), str):
        return [WrittenCall("python", {"code": data["code"]})]
    name = next((data[key] for key in _NAME_KEYS if isinstance(data.get(key), str) and data[key]), None)
    arguments_key = next((key for key in _ARGUMENT_KEYS if key in data), None)
    if name is None:
        code = next((data[key] for key in _CODE_KEYS[:3] if isinstance(data.get(key), str)), "")
        return [WrittenCall("python", {"code": code})] if does_more_than_name(code) else []
    return [WrittenCall(name[:MAX_NAME_CHARACTERS], data[arguments_key] if arguments_key is not None else {})]


def calls_in_python(text: str) -> list[WrittenCall]:
    """The calls in a text that is nothing else, written as Python, one or a list: `[python(code="print(1)")]` (Llama 4,
    Gemma 3). Empty unless each calls what runs Python, with constants only."""
    tree = parse_expression(text) if "(" in text[: MAX_NAME_CHARACTERS * 2] else None
    written = tree.elts if isinstance(tree, ast.List) else [tree]
    calls: list[WrittenCall] = []
    for each in written[:MAX_CALLS]:
        if not isinstance(each, ast.Call) or each.args or not each.keywords:
            return []
        try:
            arguments = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in each.keywords}
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return []
        calls.append(WrittenCall(ast.unparse(each.func)[:MAX_NAME_CHARACTERS], arguments))
    are_tools = all(call.name not in contract.NAMES and code_of(call) is not None for call in calls)
    return calls if are_tools else []


def data_in(text: str) -> object:
    """The value of a text that is JSON or a Python literal; None if it is neither."""
    text = text.strip()
    if len(text) > MAX_TOOL_CALL_CHARACTERS or text[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        pass
    tree = parse_expression(text)
    try:
        return None if tree is None else ast.literal_eval(tree)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def code_of(call: WrittenCall) -> str | None:
    """The code that the call stands for; None if it calls something that does not exist here."""
    name = re.sub(r":\d+$", "", call.name.strip()).rpartition(".")[2]
    if name in contract.FUNCTIONS:
        return _call_of_contract(name, call.arguments)
    key = name.lower().replace("-", "_")
    if not _RUNS_PYTHON.search(key) or _RUNS_OTHERWISE.search(key):
        return None
    code = _code_in(call.arguments)
    return code if code is not None and code.strip() else None


def _code_in(arguments: object) -> str | None:
    if isinstance(arguments, str):
        data = data_in(arguments)
        if isinstance(data, Mapping) and (code := _code_in(data)) is not None:
            return code
        if isinstance(data, Mapping) or arguments.lstrip().startswith('{"'):
            return None  # JSON that is broken or has no code: as code it would be a dict
        fenced = _FENCE.match(arguments)
        return fenced[1] if fenced else arguments
    if not isinstance(arguments, Mapping):
        return None
    values = [arguments[key] for key in _CODE_KEYS if key in arguments] or list(arguments.values())[:1]
    for value in values:
        if isinstance(value, (list, tuple)) and value and all(isinstance(line, str) for line in value):
            return "\n".join(line.rstrip("\n") for line in value)
        if isinstance(value, str) and value.strip():
            fenced = _FENCE.fullmatch(value.rstrip())
            return fenced[1] if fenced else value
    return None


def _call_of_contract(name: str, arguments: object) -> str | None:
    """`llm_query(prompt='...')`: the call, as code."""
    if isinstance(arguments, str):
        data = data_in(arguments)
        arguments = data if data is not None else arguments
    if isinstance(arguments, Mapping):
        if name in _POSITIONAL and len(arguments) == 1:
            written = repr(next(iter(arguments.values())))
        elif all(isinstance(key, str) and key.isidentifier() for key in arguments):
            written = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        else:
            return None
    elif isinstance(arguments, (list, tuple)):
        written = ", ".join(map(repr, arguments))
    else:
        written = repr(arguments) if arguments else ""
    code = f"{name}({written})"
    return code if compiles(code) else None


def _read_tags(body: str) -> list[WrittenCall]:
    """`<invoke name=...>` and `<function=...>`."""
    calls = [
        WrittenCall(match[1], dict(_strip_line_feeds(_NAMED_PARAMETER.findall(match[2]))))
        for match in _INVOKE.finditer(body)
    ]
    for match in _FUNCTION.finditer(body):
        arguments = dict(_strip_line_feeds(_PARAMETER.findall(match[2])))
        calls.append(WrittenCall(match[1], arguments or _data_or_text(match[2])))
    return calls


def _strip_line_feeds(pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Values stand on lines of their own between their tags."""
    return ((name, _LINE_FEEDS.sub("", value)) for name, value in pairs)


def _read_keys(body: str) -> list[WrittenCall]:
    """A name, then `<arg_key>` and `<arg_value>` in turns."""
    name = _NAME_ALONE.match(body)
    parts = _ARGUMENT.findall(body) if name else []
    if name is None or not parts:
        return []
    keys = [value.strip() for kind, value in parts if kind == "key"]
    values = [_LINE_FEEDS.sub("", value) for kind, value in parts if kind == "value"]
    return [WrittenCall(name[1], dict(zip(keys, values, strict=False)))]


def _read_values(body: str) -> list[WrittenCall]:
    """One JSON value, or several, one after the other."""
    calls = calls_in_data(data_in(body))
    decoder = json.JSONDecoder(strict=False)
    at = 0
    while not calls or at:
        start = re.compile(r"[\s,;]*(?=[{\[])").match(body, at)
        if start is None:
            break
        try:
            data, at = decoder.raw_decode(body, start.end())
        except (ValueError, RecursionError):
            break
        calls += calls_in_data(data)
        if len(calls) >= MAX_CALLS:
            break
    return calls


def _read_separated(body: str) -> list[WrittenCall]:
    """Names and arguments with a mark between them."""
    calls: list[WrittenCall] = []
    for part in _BETWEEN_CALLS.split(body):
        match = _SEPARATED.match(part)
        if match is None:
            continue
        rest = part[match.end() :].strip()
        fenced = _FENCE.match(rest)
        escaped = dict(_ESCAPED.findall(rest))
        calls.append(WrittenCall(match[1], escaped or _data_or_text(fenced[1] if fenced else rest)))
        if len(calls) >= MAX_CALLS:
            break
    return calls


_REACT = re.compile(r"^Action:[ \t]*([\w.-]{1,100})[ \t]*\nAction Input:[ \t]*", re.MULTILINE | re.IGNORECASE)
_REACT_END = re.compile(r"^Observation:", re.MULTILINE | re.IGNORECASE)


def find_react_call(text: str) -> WrittenCall | None:
    """The first `Action: python` with its `Action Input:`, if that is data or Python."""
    match = _REACT.search(text)
    if match is None:
        return None
    ending = _REACT_END.search(text, match.end())
    arguments = text[match.end() : ending.start() if ending else len(text)].strip()
    data = data_in(arguments)
    if data is None and not does_more_than_name(arguments):
        return None
    return WrittenCall(match[1], arguments if data is None else data)


def _data_or_text(text: str) -> object:
    data = data_in(text)
    return text.strip() if data is None else data


def calls_in_field(tool_calls: Sequence[Mapping[str, Any]]) -> list[WrittenCall]:
    """The calls in the reply's field `tool_calls` (Completion.tool_calls)."""
    return calls_in_data(list(tool_calls[:MAX_CALLS]))
