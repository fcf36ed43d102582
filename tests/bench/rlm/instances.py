"""One question about one context, with the published rule that scores its answer.

Contexts are written to files, piece by piece, so that 10^9 characters never lie in the benchmark's own memory: what is
measured is the engine's. An ASCII file is mapped by `Context.from_file` as it is.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

CHARACTERS_PER_TOKEN = 4  # as in divebell.testing.count_tokens
PIECE_CHARACTERS = 1 << 20


class DataError(ValueError):
    """A file of real data is absent, or not in the published format. One sentence that says what to do."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One query of a benchmark.

    task: "s-niah", "oolong" or "pairs". variant: the kind of haystack or question.
    characters: the context's length. size: what was asked for; for real data the same as `characters`.
    score: the answer's score by the published rule, from 0.0 to 1.0.
    labels: what the scripted reader knows of the world: the label of a question, by its text. A real model has its own
        knowledge and is not told.
    """

    task: str
    variant: str
    context: Path
    characters: int
    size: int
    query: str
    score: Callable[[str], float]
    labels: Mapping[str, str] = field(default_factory=dict, repr=False)


def write_text(path: Path, pieces: Iterable[str]) -> int:
    """Write the pieces to a file as UTF-8, with "\\n" as it is. Returns the number of characters."""
    characters = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        pending: list[str] = []
        waiting = 0
        for piece in pieces:
            pending.append(piece)
            waiting += len(piece)
            if waiting >= PIECE_CHARACTERS:
                file.write("".join(pending))
                characters += waiting
                pending, waiting = [], 0
        file.write("".join(pending))
    return characters + waiting


def words(text: str) -> list[str]:
    """The words of a text: for lists that are read more easily as lines of words."""
    return text.split()
