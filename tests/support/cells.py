"""How a cell ended."""

from divebell import Cell


def error_kind(cell: Cell) -> str | None:
    """The name of the exception that ended the cell, None for a cell that succeeded."""
    return cell.error.kind if cell.error else None


def value(cell: Cell) -> object:
    """The cell's value; a cell that failed fails the test with its error."""
    assert cell.error is None, cell.error
    return cell.value
