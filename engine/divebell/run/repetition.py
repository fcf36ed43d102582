"""A model that repeats itself, without code and without an answer in the form that it was asked for.

Its third such reply is taken as its best answer, because further turns would cost money for nothing.
"""

import unicodedata
from collections import Counter
from hashlib import sha256

SAME_REPLIES = 3


class Repetition:
    """Counts a run's replies that have neither code nor an answer."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()

    def is_repeated(self, reply: str) -> bool:
        """Count the reply. Whether the model has given it SAME_REPLIES times or more."""
        words = _normalise(reply)
        if not words:
            return False
        key = sha256(words.encode("utf-8", "surrogatepass")).digest()
        self._counts[key] += 1
        return self._counts[key] >= SAME_REPLIES


def _normalise(reply: str) -> str:
    """The reply's letters and digits: case, space, punctuation and markup make no difference, where there are any."""
    folded = unicodedata.normalize("NFKC", reply).casefold()
    return " ".join("".join(mark if mark.isalnum() else " " for mark in folded).split()) or folded.strip()
