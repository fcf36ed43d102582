"""The draft that a run returns if it has no answer: the value of `answer`, or the output of its last turns.

A draft is not an answer: nobody has said that it is right or complete. Result.status "failed" and the error beside it
say so.
"""

from collections.abc import Sequence

import anyio

from divebell.errors import DivebellError
from divebell.run.result import Turn
from divebell.run.tasks import in_thread
from divebell.sandbox.sandbox import Sandbox

MAX_READ_SECONDS = 5.0
MAX_TURNS_SHOWN = 3
MAX_SHOWN_CHARACTERS = 20_000


async def read_draft(box: Sandbox, seconds_left: float | None = None) -> str:
    """The value that code has put into `answer` without declaring it ready. Empty if there is none, or no time to
    ask."""
    draft: str | None = None
    seconds = MAX_READ_SECONDS if seconds_left is None else min(seconds_left / 2, MAX_READ_SECONDS)
    try:
        with anyio.move_on_after(seconds):  # a cell that was just ended may still be at work
            draft = await in_thread(box.draft, abandon_on_cancel=True)
    except DivebellError:
        return ""
    return (draft or "").strip()


def draft_of_turns(turns: Sequence[Turn]) -> str:
    """A draft from the last turns: an answer that was not accepted, else the output of their cells, else the last
    reply."""
    for turn in reversed(turns):
        finals = [cell.final for cell in turn.cells if cell.final]
        if finals:
            return finals[-1]
    outputs: list[str] = []
    for turn in reversed(turns):
        text = "\n".join(cell.output if cell.ok else cell.stdout for cell in turn.cells)
        if text.strip():
            outputs.insert(0, text.strip())
        if len(outputs) == MAX_TURNS_SHOWN:
            break
    if outputs:
        return "\n\n".join(outputs)[-MAX_SHOWN_CHARACTERS:]
    last_reply = next((turn.reply.strip() for turn in reversed(turns) if turn.reply.strip() and not turn.cells), "")
    return last_reply[-MAX_SHOWN_CHARACTERS:]
