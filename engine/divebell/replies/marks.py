"""The marks that model families put around code and calls, outside of fences: where each begins, and where it ends.

A mark that is only spoken of stands in quotes or backticks, or holds nothing that can be read; it is prose.
"""

import re
from dataclasses import dataclass

from divebell.replies.thoughts import CLOSING, OPENING

_SPACE_NAME = r"(?:\w{1,16}:|[|\uff5c]DSML[|\uff5c])?"
_WRAPPERS = r"tool_calls?|function_calls?|toolcall|tool_use|tools?_code_call"
_END_TOKENS = r"<\|(?:eom_id|eot_id|end_of_text|endoftext|im_end|end|return|call)\|>|</s>"
_OTHER_SIDE = (
    r"<\|im_start\|>(?:user|system|tool)\b|<\|start_header_id\|>(?:user|system|ipython|tool)<|"
    r"<start_of_turn>user\b|<[|\uff5c](?:user|observation|tool[_\u2581]outputs[_\u2581]begin)[|\uff5c]>|<tool_response>|"
    r"<function_results>|\[INST\]|\[TOOL_RESULTS\]"
)
"""Where a model continues with what others would say to it."""
_CODE_TAGS = (
    r"execute(?:_i?python)?|i?python3?|py|repl|run(?:_python|_code)?|exec|tool_code|(?:code_)?interpreter|python_code|"
    r"code_execution|jupyter"
)
_MAYBE_CODE_TAGS = r"code|cell|action"
_CHANNEL = (
    r"(?:<\|start\|>(?P<role>[^<\n]{0,80}))?<\|channel\|>(?P<channel>[^<\n]{0,80}(?:<\|constrain\|>[^<\n]{0,40})?)"
    r"<\|message\|>"
)
END_OF_MESSAGE = re.compile(r"<\|(?:end|call|return|start|channel)\|>")

MARK = re.compile(
    rf"(?P<channel_mark>{_CHANNEL})|(?P<thought>{OPENING})|(?P<thought_end>{CLOSING})|"
    rf"(?P<wrapper><{_SPACE_NAME}(?P<wrapper_name>{_WRAPPERS})>)|"
    rf"(?P<function><function(?:=|\s+name=)[\w\".:-]{{1,100}}\s*>)|"
    rf"(?P<invoke><{_SPACE_NAME}invoke\s+name=[^>\n]{{1,200}}>)|"
    r"(?P<python_tag><\|python_tag\|>)|"
    r"(?P<mistral>\[TOOL_CALLS\])|"
    r"(?P<sections><[|\uff5c]tool[_\u2581]calls?(?:[_\u2581]section)?[_\u2581]begin[|\uff5c]>)|"
    r"(?P<tool_call><\|tool_call\|>)|(?P<functools>functools(?=\[\s*\{))|"
    r"(?P<cohere><\|START_ACTION\|>)|(?P<internlm><\|action_start\|>)|(?P<gemma><start_function_call>)|"
    rf"(?P<code_tag><(?P<code_name>{_CODE_TAGS})(?:\s[^<>\n]{{0,100}})?>)|"
    r"(?P<bracket_tag>\[(?P<bracket_name>PYTHON|REPL|CODE)\](?=[ \t]*\Z))|"
    r"(?P<odd_fence>(?<![`'\w])(?:'{3}|`{1,2})(?P<odd_name>repl|python3?|py)(?=[ \t]*\Z))|"
    rf"(?P<maybe_code_tag><(?P<maybe_name>{_MAYBE_CODE_TAGS})(?:\s[^<>\n]{{0,100}})?>)|"
    rf"(?P<other_side>{_OTHER_SIDE})|(?P<turn_end>{_END_TOKENS})",
    re.IGNORECASE,
)
"""Any mark; its kind is the name of the group that matched (`kind_of`)."""

_KINDS = (
    "channel_mark", "thought", "thought_end", "wrapper", "function", "invoke", "python_tag", "mistral", "sections",
    "tool_call", "functools", "cohere", "internlm", "gemma", "code_tag", "bracket_tag", "odd_fence", "maybe_code_tag",
    "other_side", "turn_end",
)  # fmt: skip

CALLS = frozenset({"wrapper", "function", "invoke"})
"""Kinds of marks of a tool's call that are written as tags."""
TAGS = frozenset({"code_tag", "bracket_tag", "odd_fence", "maybe_code_tag"})
"""Kinds of marks around code itself."""

_END_OF = {
    "function": re.compile(r"</function>", re.IGNORECASE),
    "invoke": re.compile(rf"</{_SPACE_NAME}invoke>", re.IGNORECASE),
    "python_tag": re.compile(_END_TOKENS),
    "mistral": re.compile(r"</s>"),
    "sections": re.compile(r"<[|\uff5c]tool[_\u2581]calls(?:[_\u2581]section)?[_\u2581]end[|\uff5c]>"),
    "tool_call": re.compile(rf"<\|/tool_call\|>|{_END_TOKENS}"),
    "functools": re.compile(_END_TOKENS),
    "cohere": re.compile(r"<\|END_ACTION\|>"),
    "internlm": re.compile(r"<\|action_end\|>"),
    "gemma": re.compile(r"<end_function_call>"),
}
_END_OF_WRAPPER = {
    name: re.compile(rf"</{_SPACE_NAME}(?:{name})>", re.IGNORECASE)
    for name in ("tool_call", "tool_calls", "function_call", "function_calls", "toolcall", "tool_use")
}
_END_OF_ODD_FENCE = re.compile(r"^[ \t]*(?:'{3}|`{1,3})[ \t]*$", re.MULTILINE)
"""A fence of too few ticks, or of quotes."""
_END_OF_TAG: dict[str, re.Pattern[str]] = {}


@dataclass(frozen=True)
class Channel:
    """A message's header in gpt-oss's format (https://cookbook.openai.com/articles/openai-harmony). recipient: the tool
    that it calls, or empty."""

    name: str
    recipient: str
    is_assistant: bool


def kind_of(mark: "re.Match[str]") -> str:
    return next(kind for kind in _KINDS if mark[kind] is not None)


def name_of_tag(mark: "re.Match[str]") -> str:
    """`python`, of a mark of one of TAGS."""
    return (mark["code_name"] or mark["maybe_name"] or mark["bracket_name"] or mark["odd_name"]).lower()


def end_of(mark: "re.Match[str]", kind: str) -> "re.Pattern[str]":
    """How what the mark begins ends."""
    if kind == "wrapper":
        return _END_OF_WRAPPER[mark["wrapper_name"].lower()]
    if kind == "bracket_tag":
        return _END_OF_TAG.setdefault(
            f"[{mark['bracket_name']}]", re.compile(rf"\[/{mark['bracket_name']}\]", re.IGNORECASE)
        )
    if kind == "odd_fence":
        return _END_OF_ODD_FENCE
    if kind in TAGS:
        name = name_of_tag(mark)
        return _END_OF_TAG.setdefault(name, re.compile(rf"</{name}>", re.IGNORECASE))
    return _END_OF[kind]


def includes_its_marks(kind: str) -> bool:
    """Whether the mark and its end are part of what is read."""
    return kind in ("function", "invoke")


def channel_of(mark: "re.Match[str]") -> Channel:
    """What the header says."""
    head = f"{mark['role'] or ''} {mark['channel'] or ''}"
    recipient = re.search(r"\bto=([\w.-]{1,100})", head)
    role = (mark["role"] or "assistant").split(" to=")[0].strip()
    name = (mark["channel"] or "").split()
    return Channel(
        name[0].lower() if name else "",
        recipient[1] if recipient else "",
        is_assistant=role in ("", "assistant"),
    )
