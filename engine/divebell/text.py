"""Prepares text for display and for the wire: clips it, and escapes or replaces what could steer a terminal or mislead
a reader, and what UTF-8 cannot hold.

Names, prompts, replies, code and output come from models, guests and whoever wrote the context, so all of them may be
hostile. Each way of showing them is defined here once. The guest has its own in output.py, on the other side of the
wall.
"""

import re

ELLIPSIS = "…"
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters other than tab and newline, and those that change the direction of writing."""


def clip(text: str, limit: int, *, mark: str = ELLIPSIS) -> str:
    """The text, or its beginning and a mark: at most `limit` characters together."""
    return text if len(text) <= limit else text[: max(limit - len(mark), 0)] + mark[: max(limit, 0)]


def clip_middle(text: str, limit: int) -> str:
    """The first and the last part of a long text, `limit` characters together, with a line between them that says how
    much is missing."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters not shown ...]\n{text[-half:]}"


def replace_surrogates(text: str) -> str:
    """The text with "?" for lone surrogates, which UTF-8 cannot hold. Never more bytes than the meter counted."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def flatten(text: str) -> str:
    """The text on one line, each run of white space as one space."""
    return " ".join(text.split())


def flatten_and_clip_middle(text: str, limit: int) -> str:
    """One line with its middle left out: prompts of a batch begin alike, and differ at the end."""
    line, third = flatten(text), limit // 3
    return line if len(line) <= limit else f"{line[:third]} {ELLIPSIS} {line[third + 3 - limit :]}"


def printable(text: str, *, keep: str = "", replacement: str | None = None) -> str:
    """The text with every character that is neither printable nor in `keep` escaped as Python does it, or replaced."""
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or character in keep
        else (character.encode("unicode_escape").decode("ascii") if replacement is None else replacement)
        for character in text
    )


def replace_controls(text: str) -> str:
    """The text with each character that steers a terminal replaced by U+FFFD. Lines and tabs stay, and so do joiners,
    which some scripts and emoji need."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def quote(text: str, limit: int = 60) -> str:
    """A name on one line, quoted and escaped as Python would, clipped to `limit` characters."""
    return printable(repr(clip(text, limit)))


def quote_some(names: list[str], limit: int = 5) -> str:
    """The first `limit` names, quoted, and how many more there are."""
    first = ", ".join(quote(name) for name in names[:limit])
    return first if len(names) <= limit else f"{first} and {len(names) - limit:,} more"
