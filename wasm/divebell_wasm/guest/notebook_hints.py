"""Explains a SyntaxError at a line that a notebook understands and Python does not."""

import re

MAX_READ_CHARACTERS = 300  # of such a line
MAX_SHOWN_CHARACTERS = 60

_INSTALL = re.compile(r"\s*[!%]{0,2}\s*((python3?|uv)\s+(-m\s+)?)?(pip3?|conda|mamba|apt|apt-get|npm)\s+(-\S+\s+)*\w+")
_SHELL = re.compile(r"\s*(\w+\s*=\s*)?!+\s*\S")
_MAGIC = re.compile(r"\s*(\w+\s*=\s*)?%{1,2}[a-zA-Z]")
_HELP = re.compile(r"\s*(\?{1,2}\s*[\w.]+|[\w.]+(\(.*\))?\s*\?{1,2})\s*$")


def explain(error: SyntaxError, code: str) -> None:
    """Let the error say what there is instead, if its line is one of a notebook's."""
    lines = code.splitlines()
    number = error.lineno
    if type(number) is not int or not 0 < number <= len(lines):
        return
    line = lines[number - 1][:MAX_READ_CHARACTERS]
    if _INSTALL.match(line):
        error.msg = (
            "nothing can be installed in this sandbox; Python's standard library is there, and what can be imported"
        )
    elif _SHELL.match(line):
        error.msg = f"there is no shell in this sandbox, so `{_shorten(line)}` cannot run: write it in Python"
    elif _MAGIC.match(line):
        error.msg = f"`{_shorten(line)}` is a command of notebooks, not Python: write it in Python, or leave it out"
    elif _HELP.match(line):
        error.msg = f"`{_shorten(line)}` is a notebook's way to ask for help: write help(thing)"


def _shorten(line: str) -> str:
    line = line.strip()
    return line if len(line) <= MAX_SHOWN_CHARACTERS else line[:MAX_SHOWN_CHARACTERS] + "..."
