"""How a run ended."""

from dataclasses import dataclass

from divebell.errors import DivebellError
from divebell.run.answers import Answer
from divebell.stop import Stop


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a run ended.

    stop: the limit that ended its turns, if one did. is_cut: whether the answer was cut off. error: why there is only a
    draft in place of an answer.
    """

    answer: Answer
    stop: Stop | None = None
    is_cut: bool = False
    error: DivebellError | None = None
