"""Where a call in a reply's text ends: FINAL( ... ), with parentheses in it that need not pair.

Models write numbered lists, `1) open it`, half-open intervals, `[0, 1)`, and smileys. So the call's end is where its
parentheses pair, those of intervals, smileys and of marks at the start of a line left out. Where more text follows that
has one `)` too many at the end of a line, the call goes on to that: no other reading accounts for it.
"""

import re
from dataclasses import dataclass

from divebell.replies.scanning import Scan, line_end

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
SYMBOLS = "\u2190-\u27bf\u2b00-\u2bff\ufe0f\U0001f000-\U0001faff"
"""Arrows, ticks and emoji."""
ONLY_MARKUP = re.compile(
    rf"\)*+(?:[\s*_`.;!\u3002{INVISIBLE}{SYMBOLS}]|\\n)*+(?:#[^\n]*+|(?:(?:<\|\w{{1,20}}\|>|</[\w:]{{1,20}}>)\s*+){{0,3}})?$"
)
"""What may follow a call on its last line."""

_BOUND = r"[^\[\]()\n,\"]{1,40}"
_INTERVAL = re.compile(rf"\[{_BOUND},{_BOUND}\)|\({_BOUND},{_BOUND}\]")
_SMILEY = re.compile(
    r"(?:(?<=\s)|(?<=[.!?,]))[:;=]['\u2019]?[-^o]?[)](?=[\s).,!?]|$)|(?<=\s)[:;]['\u2019]?-?[(](?=[\s).,!?]|$)"
)
_MARK = re.compile(r"\n[ \t]*+(?:\d{1,3}|[A-Za-z]|[ivx]{1,4})\)(?=[ \t]+\S)")
_TOKEN_AT = {"[": _INTERVAL, "(": _INTERVAL, ":": _SMILEY, ";": _SMILEY, "=": _SMILEY, "\n": _MARK}
"""What a character may begin that has a parenthesis in it which pairs with none."""
_ANY = re.compile(r"[()\uff08\uff09\"'\n\[:;=]")
_PLAIN = re.compile(r"[()\uff08\uff09\"']")
_LIKE_A_MARK = re.compile(r"(?:^|[\s,;:])\(?(?:\d{1,3}|[A-Za-z]|[ivx]{1,4})$")


@dataclass(frozen=True)
class End:
    """Where a call ends. content_end: its closing parenthesis; end: where that one's line ends.

    is_certain: its parentheses pair, and nothing suggests that the one that closes it is part of the text.
    """

    content_end: int
    end: int
    is_certain: bool


NEVER_CLOSED = End(-1, -1, is_certain=False)


def end_of_call(text: str, begin: int, boundary: "re.Pattern[str]", scan: Scan) -> End | None:
    """The end of the call whose content begins at `begin`; NEVER_CLOSED, or None if more text follows on its line.

    boundary: how the next call or block begins; what follows a pair's end is looked at so far.
    """
    content_end, after, is_plain = _find_balanced_end(text, begin, scan)
    if content_end is None:
        return NEVER_CLOSED
    end = line_end(text, after)
    markup = ONLY_MARKUP.match(text, after, end)
    content = text[begin:content_end]
    is_like_a_mark = _LIKE_A_MARK.search(content[-8:]) is not None and (markup is None or len(content) > 3)
    first = End(content_end, end, is_certain=not is_plain and not is_like_a_mark) if markup else None
    if first is None and not is_like_a_mark and content.strip().isidentifier():
        return None  # FINAL(answer) is what I will call at the end (or so).
    bound = after + max(scan.left, 0)
    following = boundary.search(text, after, bound)
    limit = following.start() if following else min(len(text), bound)
    scan.left -= limit - after
    skipped = after + len(text[after:end]) - len(text[after:end].lstrip(")")) if markup else after
    last = _find_last_unpaired(text, skipped, limit, may_be_mark=first is None or is_like_a_mark)
    if last is None:
        return first
    return End(last, line_end(text, last), is_certain=False)


def _match_token(text: str, bracket: "re.Match[str]") -> "re.Match[str] | None":
    token = _TOKEN_AT.get(bracket[0])
    return token.match(text, bracket.start()) if token else None


def _find_last_unpaired(text: str, begin: int, limit: int, *, may_be_mark: bool) -> int | None:
    """The last `)` that ends a line and that no `(` after `begin` opened."""
    depth, last = 0, None
    at = begin
    while bracket := _ANY.search(text, at, limit):
        token = _match_token(text, bracket)
        at = token.end() if token else bracket.end()
        if token:
            continue
        if bracket[0] in ("(", "\uff08"):
            depth += 1
        elif bracket[0] in (")", "\uff09"):
            if depth:
                depth -= 1
            elif ONLY_MARKUP.match(text, bracket.end(), line_end(text, bracket.end())) and (
                may_be_mark or not _LIKE_A_MARK.search(text[max(bracket.start() - 8, begin) : bracket.start()])
            ):
                last = bracket.start()
    return last


def _find_balanced_end(text: str, begin: int, scan: Scan) -> tuple[int | None, int, bool]:
    """The position of the parenthesis that closes the one before `begin`, the position after it, and whether intervals
    and the like had to be taken for pairs to find it.

    Parentheses inside quotes do not count where the quotes are closed; an apostrophe in prose is not a quote. Where
    that reading finds no end, quotes are ignored, and at last the rest.
    """
    saw_token = saw_quote = False
    for pattern, heed_quotes in ((_ANY, True), (_ANY, False), (_PLAIN, True), (_PLAIN, False)):
        if (pattern is _PLAIN and not saw_token) or (not heed_quotes and not saw_quote):
            continue  # that would be the same reading again
        depth, at = 1, begin
        bracket = None
        while bracket := pattern.search(text, at, begin + max(scan.left, 0)):
            mark, at = bracket[0], bracket.end()
            if pattern is _ANY and (token := _match_token(text, bracket)):
                at, saw_token = token.end(), True
            elif mark in ("(", "\uff08"):
                depth += 1
            elif mark in (")", "\uff09"):
                depth -= 1
                if depth == 0:
                    scan.left -= at - begin
                    return bracket.start(), at, pattern is _PLAIN
            elif heed_quotes and mark in ('"', "'") and _opens_literal(text, bracket.start(), begin):
                saw_quote = True
                closing = _end_of_literal(text, bracket.start())
                if closing is None:
                    break
                at = closing
        scan.left -= (at if bracket else len(text)) - begin
    return None, begin, False


def _opens_literal(text: str, at: int, begin: int) -> bool:
    """A quote opens a literal at the very start, or after a separator; `it's` does not."""
    return at == begin or text[at - 1] in " \t\n(,[{:=+"


def _end_of_literal(text: str, at: int) -> int | None:
    """The position after the literal that opens at `at`; None if it does not close."""
    quote = text[at]
    mark = quote * 3 if text.startswith(quote * 3, at) else quote
    position = at + len(mark)
    limit = len(text) if len(mark) == 3 else line_end(text, at)
    while True:
        end = text.find(mark, position, limit)
        if end < 0:
            return None
        slashes = len(text[position:end]) - len(text[position:end].rstrip("\\"))
        if slashes % 2 == 0:
            return end + len(mark)
        position = end + 1
