"""What a run has to give where it comes to no answer: the draft in `answer`, or what its last turns showed.

A draft is not an answer: nobody has said that it is right or whole. Who gets one is told so, by Result.status "failed"
and by the error beside it.
"""

from collections.abc import Sequence

import anyio

from divebell.errors import DivebellError
from divebell.run.result import Turn
from divebell.run.threads import in_thread
from divebell.sandbox.sandbox import Sandbox

MAX_READ_SECONDS = 5.0
MAX_TURNS_SHOWN = 3
MAX_SHOWN_CHARACTERS = 20_000


async def read_draft(box: Sandbox, seconds_left: float | None = None) -> str:
    """What code has put into `answer`, without saying that it is ready. Empty where there is nothing, or no time."""
    draft: str | None = None
    seconds = MAX_READ_SECONDS if seconds_left is None else min(seconds_left / 2, MAX_READ_SECONDS)
    try:
        with anyio.move_on_after(seconds):  # a cell that was just ended may still be at work
            draft = await in_thread(box.draft, abandon_on_cancel=True)
    except DivebellError:
        return ""
    return (draft or "").strip()


def draft_of_turns(turns: Sequence[Turn]) -> str:
    """What the last turns have: an answer that was given and not taken, or else what they printed, or said."""
    for turn in reversed(turns):
        given = [cell.final for cell in turn.cells if cell.final]
        if given:
            return given[-1]
    shown: list[str] = []
    for turn in reversed(turns):
        text = "\n".join(cell.output if cell.ok else cell.stdout for cell in turn.cells)
        if text.strip():
            shown.insert(0, text.strip())
        if len(shown) == MAX_TURNS_SHOWN:
            break
    if shown:
        return "\n\n".join(shown)[-MAX_SHOWN_CHARACTERS:]
    said = next((turn.reply.strip() for turn in reversed(turns) if turn.reply.strip() and not turn.cells), "")
    return said[-MAX_SHOWN_CHARACTERS:]
