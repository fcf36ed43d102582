"""What the root model sees of its cells: the output, shortened, with what it needs to go on."""

from divebell.cell import Cell


def shortened(text: str, limit: int) -> str:
    """The first and the last part of a long text, with a line between that says how much is missing."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters not shown ...]\n{text[-half:]}"


def of_cells(cells: list[Cell], skipped: int, limit: int) -> str:
    """The observation for a reply's cells, at most about `limit` characters in all."""
    parts = []
    each = max(limit // max(len(cells), 1), 200)
    for number, cell in enumerate(cells, 1):
        title = "Output" if len(cells) == 1 else f"Output of block {number}"
        shown = shortened(cell.output, each) or "(nothing was printed)"
        parts.append(f"{title}:\n{shown}")
    if skipped:
        blocks = "block was" if skipped == 1 else "blocks were"
        parts.append(f"{skipped} later {blocks} not run, because this one failed.")
    return "\n\n".join(parts)
