"""What keeps the reading of a reply linear in its length, however hostile the reply is."""

import re

SCAN_FACTOR = 6


class Scan:
    """How many characters may still be read without result, over one reply: SCAN_FACTOR times its length in all."""

    def __init__(self, text: str) -> None:
        self.left = SCAN_FACTOR * len(text) + 1000


class Finder:
    """Finds patterns in one text from positions that only grow, and reads the text once for each pattern."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._next: dict[re.Pattern[str], re.Match[str] | None] = {}

    def find(self, pattern: "re.Pattern[str]", at: int) -> "re.Match[str] | None":
        """The first match that begins at `at` or later."""
        next_match = self._next.get(pattern, self)
        if next_match is None or (isinstance(next_match, re.Match) and next_match.start() >= at):
            return next_match
        match = self._next[pattern] = pattern.search(self._text, at)
        return match


def line_end(text: str, position: int) -> int:
    """Where the line of that position ends: at its line feed, or at the text's end."""
    end = text.find("\n", position)
    return len(text) if end < 0 else end
