"""Errors are written for programmers, and name Python calls and arguments. Here they name what can be typed."""

import re
from dataclasses import fields

from divebell.options import RENAMED, Options

_OPTIONS = [option.name for option in fields(Options) if option.name != "tool_seconds"]  # there are no tools to type
FLAGS = {
    **{name: f"--{name.replace('_', '-')}" for name in _OPTIONS if "_" in name},
    "base_url": "--base-url",
    "cell_seconds": "--cell-seconds",
    "memory_bytes": "--memory-mib",
}
"""Arguments of RLM and Limits, and the options of `divebell ask` that are the same. Names of
one word, such as seed, are left as they are: a sentence may have the word in another sense."""
_PHRASES = (
    ("give it as bytes with Context.from_file(path, binary=True)", "give it as bytes with --binary"),
    ("read it as text with Context.of(path, as_text=True)", "read it as text with --as-text"),
    ("narrow the pattern, or raise max_files", "narrow the pattern, or name a folder inside it"),
    ("narrow the pattern, or raise max_bytes", "narrow the pattern, or name a folder inside it"),
    ("memo='tenant' needs a tenant: engine.tenant(...).rlm(...)", "--memo tenant needs --tenant NAME --ledger FILE"),
    ("Retries.attempts", "--attempts"),
    ("Budget.seconds", "--seconds"),
    ("seconds must be a number over 0 or None", "seconds must be a number over 0"),
    ("already: resume from it, or name another", "already: go on from it with --resume, or name another"),
    ("check OPENAI_API_KEY or api_key", "check OPENAI_API_KEY"),
    ("give the key as api_key", "give the key in OPENAI_API_KEY"),
)
_ARGUMENT = re.compile(rf"(?<![\w.-])(?:Limits\.)?({'|'.join(FLAGS)})\b=?")
_SUBJECT = re.compile(r"^(instructions|child_instructions)(?= must be | has )")
_METADATA = re.compile(r"^metadata\['([^']*)'\]")
_RATES = re.compile(r"\brates=\{.*?\)\} or (?=--rate)")

_NO_SUCH_OPTION = re.compile(r"No such option:? '?--(no-)?([a-z-]+)")


def explain_renamed_flag(sentence: str) -> str | None:
    """What to type instead of an option's former name, where the parser says that there is no such option."""
    match = _NO_SUCH_OPTION.match(sentence)
    name = match[2].replace("-", "_") if match else ""
    if match is None or name not in RENAMED:
        return None
    no = match[1] or ""
    now = "--prompt small" if name == "small" else f"--{no}{RENAMED[name].replace('_', '-')}"
    return f"The option --{no}{match[2]} is now called {now}"


def use_option_names(sentence: str) -> str:
    """The sentence with the command line's options in place of Python's."""
    for python, option in _PHRASES:
        sentence = sentence.replace(python, option)
    sentence = _SUBJECT.sub(lambda match: f"--{match[1].replace('_', '-')}", sentence)
    sentence = _METADATA.sub(lambda match: f"--metadata {match[1]}", sentence)
    sentence = _RATES.sub("", sentence)
    return _ARGUMENT.sub(lambda match: FLAGS[match[1]], sentence)
