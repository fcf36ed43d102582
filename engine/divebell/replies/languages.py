"""Which blocks of a reply hold code: by the mark behind the fence, as models write it."""

import re

_WORD = re.compile(r"[\s{\[(.<*_\"'|]*(?:language[-=]|lang=|class=)?[.\"']*([A-Za-z_][\w.+#-]*)", re.IGNORECASE)
_CODE = re.compile(
    r"(?:repl|py|python|pyrepl|pycon|pyodide|ipy|ipython|jupyter|tool_?code|code-?cell|code_interpreter)[\d.]*|"
    r"(?:i?python|py|repl|jupyter)[-_](?:repl|code|console|exec|execute|shell|python|script|session|interpreter)|"
    r"(?:execute|run|exec)[-_](?:i?python|py|repl|code)"
)
_TEXT = frozenset({"", "text", "txt", "plain", "plaintext", "markdown", "md", "final", "answer", "output"})
_MAYBE_CODE = frozenset({"", "code", "exec", "execute", "run", "script", "cell", "interpreter", "sandbox", "tool"})
DATA = frozenset({"", "json", "json5", "jsonc", "tool_call", "tool_calls", "tool_use", "function_call", "tool", "xml"})
"""Marks of blocks that may hold a tool call."""

_PROMPT = re.compile(r"[ \t]*(?:>>>|In ?\[\d*\]:)[ \t]?")
_CONTINUED = re.compile(r"[ \t]*\.\.\.(?::|[ \t]|$)[ \t]?")


def language_of(info: str) -> str:
    """The language in a fence's info string, in lower case: "python3.11" of ` Python3.11 title=a.py`."""
    word = _WORD.match(info)
    return word[1].lower().rstrip(".*_") if word else ""


def is_code(language: str) -> bool:
    """Whether a block of that language is run as it is."""
    return _CODE.fullmatch(language) is not None


def may_be_code(language: str) -> bool:
    """Whether the mark says nothing of it: such a block is run if it is plainly code."""
    return language in _MAYBE_CODE


def is_text(language: str) -> bool:
    """Whether a block of that language may hold an answer."""
    return language in _TEXT


def strip_prompts(code: str) -> str:
    """The code of an interactive session: what stands behind its prompts, without the output between them. Code that
    does not begin with a prompt stays."""
    lines = code.split("\n")
    first = next((line for line in lines if line.strip()), "")
    if not _PROMPT.match(first):
        return code
    code_lines: list[str] = []
    is_input = False
    for line in lines:
        if prompt := _PROMPT.match(line):
            code_lines.append(line[prompt.end() :])
            is_input = True
        elif is_input and (more := _CONTINUED.match(line)):
            code_lines.append(line[more.end() :])
        else:
            is_input = False
    return "\n".join(code_lines)
