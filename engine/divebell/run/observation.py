"""What the root model sees of its cells: their output, clipped, and what it needs in order to continue."""

from divebell.cell import Cell
from divebell.text import clip_middle


def describe_cells(cells: list[Cell], skipped: int, limit: int) -> str:
    """The observation for a reply's cells, at most about `limit` characters in all."""
    parts = []
    characters_each = max(limit // max(len(cells), 1), 200)
    for number, cell in enumerate(cells, 1):
        title = "Output" if len(cells) == 1 else f"Output of block {number}"
        output = clip_middle(cell.output, characters_each) or "(nothing was printed)"
        parts.append(f"{title}:\n{output}")
    if skipped:
        blocks = "block was" if skipped == 1 else "blocks were"
        parts.append(f"{skipped} later {blocks} not run, because this one failed.")
    return "\n\n".join(parts)
